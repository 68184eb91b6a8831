//! What a bad peer can do to a server with TLS, before there is TLS.

#![cfg(feature = "ring")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sockeye::handshake::TrustedProxies;
use sockeye::tls::rustls::client::ClientConnection;
use sockeye::tls::rustls::{HandshakeKind, version};
use sockeye::tls::{TlsConnector, TlsError};
use sockeye::{Acceptor, Connector, NetStream, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, duplex};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};

use crate::support::pair::quiet;
use crate::support::programs::spawn;
use crate::support::server::{lawful, within};
use crate::support::tls::{Authority, ByHand, Site, talk};

/// The first flight of a client.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let name = "localhost".try_into().unwrap();
    let mut tls = ClientConnection::new(Arc::new(authority.by_hand()), name).unwrap();
    let mut bytes = Vec::new();
    tls.write_tls(&mut bytes).unwrap();
    bytes
}

/// What the server says to these bytes, up to the end.
async fn answer_to(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(site.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = within(stream.read_to_end(&mut answer)).await;
    answer
}

/// A35: `close_notify` behind the ClientHello, rubbish, plain HTTP: each ends its connection and no other.
#[tokio::test]
async fn a35_close_notify_behind_the_hello() {
    let authority = Authority::new();
    // Some of it is the beginning of something lawful, and waits.
    let acceptor = Acceptor::new(quiet()).handshake_timeout(Duration::from_secs(3));
    let site = Site::with(authority.here(), acceptor).await;
    let hello = client_hello(&authority);
    let close_notify = [21, 3, 3, 0, 2, 1, 0];
    for bytes in [
        [&hello[..], &close_notify].concat(),
        [&hello[..], &[21, 3, 3, 0, 2, 2, 0]].concat(),
        [&hello[..], &hello[..]].concat(),
        close_notify.to_vec(),
        vec![22, 3, 1, 0xff, 0xff, 1],
        vec![0; 100_000],
        lawful(),
    ] {
        let answer = answer_to(&site, &bytes).await;
        assert!(!answer.starts_with(b"HTTP"), "nothing is said in the clear");
        site.serves(&authority).await;
    }
}

/// A35, row 52: a handshake of one byte a second has the deadline of any other.
#[tokio::test(start_paused = true)]
async fn a35_a_byte_a_second() {
    let authority = Authority::new();
    let acceptor = Acceptor::new(quiet()).handshake_timeout(Duration::from_secs(10));
    let site = Site::with(authority.here(), acceptor).await;
    let mut stream = TcpStream::connect(site.addr).await.unwrap();
    let hello = client_hello(&authority);
    let (mut sent, mut block) = (0, [0; 64]);
    for byte in &hello {
        let second = tokio::time::sleep(Duration::from_secs(1));
        tokio::select! {
            end = stream.read(&mut block) => {
                assert_eq!(end.unwrap_or(0), 0);
                break;
            }
            () = second => {}
        }
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent >= 5 && sent < hello.len() / 2, "{sent} of {}", hello.len());
}

/// A PROXY header of version 1, from this client.
fn proxied(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 192.0.2.1 5000 443\r\n").into_bytes()
}

/// A35, row 3: of 200 TLS handshakes that one client leaves half done, 32 are under way; others are served
/// meanwhile. The proxy's header stands before TLS, in one piece with it or not.
#[tokio::test]
async fn a35_200_half_handshakes() {
    let authority = Authority::new();
    let acceptor = Acceptor::new(quiet()).handshake_timeout(Duration::from_secs(3600));
    let acceptor = acceptor.proxy_protocol(TrustedProxies::parse(["127.0.0.0/8"]).unwrap());
    let site = Site::with(authority.here(), acceptor).await;
    let hello = client_hello(&authority);
    let mut halves = JoinSet::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(site.addr).await.unwrap();
        let half = [proxied("192.0.2.7"), hello[..number % 100].to_vec()].concat();
        stream.write_all(&half).await.unwrap();
        halves.spawn(async move {
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        });
    }
    for _ in 0..200 - 32 {
        let answer = within(halves.join_next()).await.unwrap().unwrap();
        assert!(answer.is_empty(), "no answer in the clear");
    }
    for is_in_one_piece in [true, false] {
        let mut tcp = TcpStream::connect(site.addr).await.unwrap();
        let (near, mut far) = duplex(1 << 16);
        let relay = tokio::spawn(async move {
            let mut first = proxied("192.0.2.8");
            if is_in_one_piece {
                far.read_buf(&mut first).await.unwrap();
            }
            tcp.write_all(&first).await.unwrap();
            copy_bidirectional(&mut far, &mut tcp).await
        });
        let connecting = authority.connector();
        let stream = within(connecting.connect("localhost", NetStream::boxed(near))).await.unwrap();
        let connector = Connector::new(quiet());
        let mut socket = within(connector.connect_on("wss://localhost/", stream)).await.unwrap();
        talk(&mut socket, "served".into()).await;
        within(socket.close(1000, "")).await.unwrap();
        relay.abort();
    }
    assert!(halves.try_join_next().is_none(), "32 are under way");
}

/// A ClientHello of an old version, with the least that a server of today looks for before the version.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x09, 1, 0]);
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    body.extend([0, 16]);
    body.extend([signatures, groups].concat());
    let mut bytes = vec![22, 3, 1, 0, u8::try_from(body.len() + 4).unwrap(), 1, 0, 0];
    bytes.push(u8::try_from(body.len()).unwrap());
    bytes.extend(body);
    bytes
}

/// A36: SSL 3, TLS 1.0 and 1.1 are refused with `protocol_version`, on request TLS 1.2 as well.
#[tokio::test]
async fn a36_old_versions() {
    let authority = Authority::new();
    let site = Site::start(authority.here()).await;
    for minor in 0..=2 {
        let answer = answer_to(&site, &old_hello(minor)).await;
        assert_eq!(answer.last_chunk::<2>(), Some(&[2, 70]), "3.{minor}: {answer:?}");
        assert_eq!((answer.len(), answer[0]), (7, 21));
    }
    site.serves(&authority).await;
    let site = Site::start(authority.here().tls13_only().unwrap()).await;
    let old = TlsConnector::from_config(authority.config(&[&version::TLS12]));
    let error = site.connect(old).await.unwrap_err();
    assert!(matches!(TlsError::of(&error), Some(TlsError::Other(_))), "{error:?}");
    site.serves(&authority).await;
}

/// A42: with a hub behind TLS, who fails at it is counted once, as what it is; who gets through it and fails at the
/// next door is counted there.
#[cfg(feature = "hub")]
#[tokio::test]
async fn a42_failed_tls_is_counted() {
    use sockeye::hub::metrics::Rejection;
    use sockeye::hub::{Handlers, Hub};
    let authority = Authority::new();
    let hub = Hub::builder().config(quiet()).build().unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap().tls(authority.here());
    let addr = server.local_addr().unwrap();
    let mut serving = JoinSet::new();
    let served = hub.clone();
    serving.spawn(async move {
        served.serve_until(server, Handlers::new(), std::future::pending()).await
    });
    let hello = client_hello(&authority);
    let attacks = [&[0; 100_000][..], &lawful(), &hello[..hello.len() / 2], &hello, b""];
    for (number, bytes) in (1..).zip(attacks) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        drop(stream);
        within(async {
            while hub.metrics().rejected_total() < number {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(hub.metrics().rejected[&Rejection::Tls], number);
    }
    let refused = spawn_blocking({
        let config = authority.by_hand();
        move || ByHand::dial(config, addr).talk(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap()
    });
    assert!(refused.await.unwrap().starts_with(b"HTTP/1.1 426 "));
    let rejected = hub.metrics().rejected;
    assert_eq!((rejected[&Rejection::Tls], rejected[&Rejection::BadRequest]), (5, 1));
}

/// A36: a session that goes on may send no early data.
#[tokio::test]
async fn a36_no_early_data() {
    let authority = Authority::new();
    let site = Site::start(authority.here()).await;
    let (mut config, addr) = (authority.by_hand(), site.addr);
    config.enable_early_data = true;
    let kinds = spawn_blocking(move || {
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut client = ByHand::dial(config.clone(), addr);
            assert!(client.tls.early_data().is_none());
            // To the end, so that the ticket has come.
            let answer = client.talk(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 426 "));
            kinds.push(client.tls.handshake_kind().unwrap());
        }
        kinds
    });
    assert_eq!(kinds.await.unwrap(), [HandshakeKind::Full, HandshakeKind::Resumed]);
}

/// A36: who asks for another handshake gets none.
#[tokio::test]
async fn a36_no_renegotiation() {
    let authority = Authority::new();
    // The client waits for the end.
    let acceptor = Acceptor::new(quiet()).handshake_timeout(Duration::from_secs(3));
    let site = Site::with(authority.here(), acceptor).await;
    let target = site.addr.to_string();
    let asked = spawn_blocking(move || {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-tls1_2", "-connect", &target]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(pipes)?;
        child.0.stdin.take().unwrap().write_all(b"R\n").unwrap();
        let mut said = Vec::new();
        child.0.stdout.take().unwrap().read_to_end(&mut said).unwrap();
        child.0.stderr.take().unwrap().read_to_end(&mut said).unwrap();
        Some(said)
    });
    let Some(said) = within(asked).await.unwrap() else { return };
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
    site.serves(&authority).await;
}
