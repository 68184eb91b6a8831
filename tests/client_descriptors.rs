//! Faults over real sockets, one after another: each is an error that says so, and no socket is left behind.
//!
//! One test, for the descriptors are those of the whole process.

#![cfg(all(target_os = "linux", feature = "ring"))]

mod support;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sockeye::{CloseOutcome, Connector, Error, ErrorKind, HandshakeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use support::client::{LAWFUL, with_accept};
use support::pair::quiet;
use support::server::{read_head, within};
use support::tls::{Authority, Site};

/// What happens behind the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
    Silence,
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Short waits, for there are many that end so.
fn connector() -> Connector {
    let wait = Duration::from_millis(400);
    Connector::new(quiet()).dial_timeout(wait).unwrap().handshake_timeout(wait).unwrap()
}

/// Forwards one connection; of what the server says so many bytes go through. Says how many there were.
async fn relay(listener: &TcpListener, addr: SocketAddr, bytes_max: usize, end: End) -> usize {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut server = TcpStream::connect(addr).await.unwrap();
    let (mut passed, mut there, mut back) = (0, [0; 4096], [0; 4096]);
    while passed < bytes_max {
        tokio::select! {
            len = client.read(&mut there) => match len {
                Ok(len @ 1..) => server.write_all(&there[..len]).await.unwrap(),
                _ => return passed,
            },
            len = server.read(&mut back) => {
                let len = len.unwrap().min(bytes_max - passed);
                client.write_all(&back[..len]).await.unwrap();
                passed += len;
            }
        }
    }
    match end {
        End::Reset => client.set_zero_linger().unwrap(),
        End::Fin => client.shutdown().await.unwrap(),
        End::Silence => {}
    }
    if end != End::Reset {
        // Until the client goes.
        while matches!(client.read(&mut there).await, Ok(1..)) {}
    }
    passed
}

/// In which phase it failed; each phase has its errors.
fn phase(error: &Error, end: End) -> &'static str {
    let is_lost = |error: &io::Error| match end {
        End::Fin => error.kind() == io::ErrorKind::UnexpectedEof,
        End::Reset => error.kind() == io::ErrorKind::ConnectionReset,
        End::Silence => false,
    };
    assert_eq!(error.kind(), ErrorKind::Internal, "{error:?}");
    assert!(error.retryable(), "{end:?}: {error:?}");
    match error {
        // It may be over before we know that it has begun.
        Error::Tls(error) | Error::Connect(error) if is_lost(error) => "tls",
        Error::Connect(error) if end == End::Silence && error.kind() == io::ErrorKind::TimedOut => {
            "tls"
        }
        Error::Io(error) if is_lost(error) => "handshake",
        Error::Handshake(HandshakeError::Closed) if end == End::Fin => "handshake",
        Error::Handshake(HandshakeError::Timeout) if end == End::Silence => "handshake",
        other => panic!("{end:?}: {other:?}"),
    }
}

/// E32, E33: all that a server says with TLS up to the 101, cut here and there.
async fn tls_is_cut(authority: &Authority, site: &Site) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let connector = connector().tls(authority.connector());
    let connecting = async { connector.connect(&url).await.map(drop) };
    let relaying = relay(&listener, site.addr, usize::MAX, End::Fin);
    let (connected, whole) = within(async { tokio::join!(connecting, relaying) }).await;
    connected.unwrap();
    for end in [End::Fin, End::Reset, End::Silence] {
        let mut phases = BTreeSet::new();
        let step = if end == End::Silence { whole / 5 } else { whole / 40 };
        // What comes last may be the tickets of the session, or what is said of the end.
        for cut in (0..whole - 250).step_by(step).chain([1, 5, 6]) {
            let connecting = connector.connect(&url);
            let relaying = relay(&listener, site.addr, cut, end);
            let (result, _) = within(async { tokio::join!(connecting, relaying) }).await;
            match result {
                Err(error) => phases.insert(phase(&error, end)),
                Ok(_) => panic!("{end:?} after {cut} of {whole}"),
            };
        }
        assert!(phases.contains("tls"), "{end:?}: {phases:?}");
    }
}

/// E32: a reset in each state of a connection without TLS, before and after it is there.
async fn resets(state: &str) -> Result<CloseOutcome, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    if state == "refused" {
        drop(listener);
        return Err(connector().connect(&url).await.unwrap_err());
    }
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        if state != "accepted" {
            let (head, same) = read_head(stream).await;
            stream = same;
            let answer = with_accept(LAWFUL.as_bytes(), &head);
            match state {
                "asked" => {}
                "answering" => stream.write_all(&answer[..50]).await.unwrap(),
                "refusing" => {
                    let refusal = b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\nbusy";
                    stream.write_all(refusal).await.unwrap();
                }
                _ => {
                    stream.write_all(&answer).await.unwrap();
                    // The first message of the client, or its close frame.
                    stream.read_exact(&mut [0; 8]).await.unwrap();
                }
            }
            if state == "in a message" {
                stream.write_all(&[0x82, 100, 1, 2, 3]).await.unwrap();
            }
        }
        stream.set_zero_linger().unwrap();
    };
    let talking = async {
        let mut socket = connector().connect(&url).await?;
        if state == "closing" {
            return socket.close(1000, "").await;
        }
        socket.send("hi").await?;
        while socket.recv().await?.is_some() {}
        Ok(socket.outcome().unwrap().clone())
    };
    let (ended, ()) = within(async { tokio::join!(talking, serving) }).await;
    ended
}

/// E32, E33, CE-06, BY-27: nothing is left of connections that failed.
#[tokio::test]
async fn e32_no_socket_is_left() {
    let authority = Authority::new();
    let site = Site::start(authority.here()).await;
    // What is opened once.
    site.serves(&authority).await;
    let before = descriptors();
    tls_is_cut(&authority, &site).await;
    for state in ["refused", "accepted", "asked", "answering", "refusing", "open", "in a message"] {
        let error = resets(state).await.unwrap_err();
        let is_expected = match &error {
            // It may be over before we know that it has begun.
            Error::Connect(_) => matches!(state, "refused" | "accepted"),
            Error::Handshake(HandshakeError::UnexpectedStatus(refused)) => {
                state == "refusing" && refused.status() == 503
            }
            Error::Io(error) => error.kind() == io::ErrorKind::ConnectionReset,
            _ => false,
        };
        assert!(is_expected && error.retryable(), "{state}: {error:?}");
    }
    let outcome = resets("closing").await.unwrap();
    assert!(!outcome.clean, "{outcome:?}");
    let back = async {
        while descriptors() > before {
            tokio::task::yield_now().await;
        }
    };
    within(back).await;
}
