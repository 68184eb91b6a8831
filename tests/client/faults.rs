//! Faults on the way to a connection, at every byte: the stream ends, fails or stands still. Each is an error
//! that says so, within its deadline, and may be tried again.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sockeye::client::{BoxFuture, Dial, Proxies, Proxy, ProxyError};
use sockeye::{Connector, Error, ErrorKind, HandshakeError, NetStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::support::client::{LAWFUL, with_accept};
use crate::support::pair::quiet;

/// What happens behind the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Eof,
    Reset,
    Silence,
}

const ENDS: [End; 3] = [End::Eof, End::Reset, End::Silence];

/// What a peer says at once, and what it answers to the head of a request.
#[derive(Clone, Copy, Debug)]
struct Script {
    first: &'static [u8],
    answer: &'static str,
    /// So many bytes come in all.
    cut: usize,
    end: End,
}

/// A peer that follows its script.
struct Scripted {
    script: Script,
    said: Vec<u8>,
    has_answered: bool,
    at: usize,
    reader: Option<Waker>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Scripted {
    fn answer(&mut self) {
        let written = self.written.lock().unwrap();
        if !self.has_answered && written.ends_with(b"\r\n\r\n") {
            self.has_answered = true;
            let head = String::from_utf8_lossy(&written);
            self.said.extend(with_accept(self.script.answer.as_bytes(), &head));
            self.reader.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let until = self.said.len().min(self.script.cut);
        if self.at < until {
            let len = buf.remaining().min(until - self.at);
            buf.put_slice(&self.said[self.at..self.at + len]);
            self.at += len;
            return Poll::Ready(Ok(()));
        }
        let is_cut = self.at == self.script.cut;
        match self.script.end {
            End::Eof if is_cut => Poll::Ready(Ok(())),
            End::Reset if is_cut => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.lock().unwrap().extend(bytes);
        self.answer();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A network of such peers.
struct Faulty {
    script: Script,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Dial for Faulty {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            match host {
                "silent.test" => std::future::pending().await,
                "none.test" => Ok(Vec::new()),
                _ => Ok(vec![([9, 9, 9, 9], port).into()]),
            }
        })
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<NetStream>> {
        let (script, written) = (self.script, self.written.clone());
        let said = script.first.to_vec();
        let stream = Scripted { script, said, has_answered: false, at: 0, reader: None, written };
        Box::pin(async move { Ok(NetStream::boxed(stream)) })
    }
}

/// What comes of a script: the result, what was written, and how long it took.
async fn play(script: Script, proxy: Option<&str>) -> (Result<(), Error>, Vec<u8>, Duration) {
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let mut connector = Connector::new(quiet())
        .dial(Faulty { script, written: written.clone() })
        .dial_timeout("7s")
        .and_then(|connector| connector.handshake_timeout("3s"))
        .unwrap();
    if let Some(proxy) = proxy {
        connector = connector.proxies(Proxies::all(Proxy::parse(proxy).unwrap()));
    }
    let start = Instant::now();
    let result = connector.connect("ws://a.test/x").await.map(drop);
    let written = written.lock().unwrap().clone();
    (result, written, start.elapsed())
}

fn assert_may_be_tried_again(error: &Error, what: &dyn std::fmt::Debug) {
    assert_eq!(error.kind(), ErrorKind::Internal, "{what:?}: {error:?}");
    assert!(error.retryable(), "{what:?}: {error:?}");
}

/// E32, E04, CE-06: the answer to the handshake, cut at every byte.
#[tokio::test(start_paused = true)]
async fn e32_an_answer_is_cut() {
    let whole = with_accept(LAWFUL.as_bytes(), "\r\nSec-WebSocket-Key: x\r\n").len();
    for end in ENDS {
        for cut in 0..whole {
            let script = Script { first: b"", answer: LAWFUL, cut, end };
            let (result, written, elapsed) = play(script, None).await;
            let error = result.unwrap_err();
            assert_may_be_tried_again(&error, &script);
            let (is_expected, seconds) = match (end, &error) {
                (End::Eof, Error::Handshake(HandshakeError::Closed)) => (true, 0),
                (End::Reset, Error::Io(error)) => {
                    (error.kind() == io::ErrorKind::ConnectionReset, 0)
                }
                (End::Silence, Error::Handshake(HandshakeError::Timeout)) => (true, 3),
                _ => (false, 0),
            };
            assert!(is_expected, "{script:?}: {error:?}");
            assert_eq!(elapsed.as_secs(), seconds, "{script:?}");
            assert!(written.ends_with(b"\r\n\r\n"), "the request and nothing behind it");
        }
        let script = Script { first: b"", answer: LAWFUL, cut: whole, end };
        assert!(play(script, None).await.0.is_ok(), "{script:?}");
    }
}

/// E13 to E15, BY-50: an HTTP proxy's answer, cut at every byte; the server's request is not sent before.
#[tokio::test(start_paused = true)]
async fn e15_the_answer_of_a_proxy_is_cut() {
    const ANSWER: &str = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
    for end in ENDS {
        for cut in 0..ANSWER.len() {
            let script = Script { first: b"", answer: ANSWER, cut, end };
            let (result, written, elapsed) = play(script, Some("http://proxy.test")).await;
            let error = result.unwrap_err();
            assert_may_be_tried_again(&error, &script);
            let (is_expected, seconds) = match (end, &error) {
                (End::Eof, Error::Proxy(ProxyError::Head(HandshakeError::Closed))) => (true, 0),
                (End::Reset, Error::Connect(error)) => {
                    (error.kind() == io::ErrorKind::ConnectionReset, 0)
                }
                (End::Silence, Error::Connect(error)) => {
                    (error.kind() == io::ErrorKind::TimedOut, 7)
                }
                _ => (false, 0),
            };
            assert!(is_expected, "{script:?}: {error:?}");
            assert_eq!(elapsed.as_secs(), seconds, "{script:?}");
            assert!(!written.windows(3).any(|window| window == b"GET"), "{script:?}");
        }
    }
}

/// E13 to E15, BY-50: a SOCKS proxy's answers, cut at every byte.
#[tokio::test(start_paused = true)]
async fn e15_the_answers_of_a_socks_proxy_are_cut() {
    let with_login = &[5, 2, 1, 0, 5, 0, 0, 1, 9, 9, 9, 9, 0, 80][..];
    let with_name = &[5, 0, 5, 0, 0, 3, 3, b'a', b'b', b'c', 0, 80][..];
    let with_v6 = &[5, 0, 5, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 0, 80][..];
    for first in [with_login, with_name, with_v6] {
        for end in ENDS {
            for cut in 0..first.len() {
                let script = Script { first, answer: "", cut, end };
                let (result, written, elapsed) =
                    play(script, Some("socks5://u:p@proxy.test")).await;
                let error = result.unwrap_err();
                assert_may_be_tried_again(&error, &script);
                let (kind, seconds) = match end {
                    End::Eof => (io::ErrorKind::UnexpectedEof, 0),
                    End::Reset => (io::ErrorKind::ConnectionReset, 0),
                    End::Silence => (io::ErrorKind::TimedOut, 7),
                };
                let is_expected = matches!(&error, Error::Connect(error) if error.kind() == kind);
                assert!(is_expected, "{script:?}: {error:?}");
                assert_eq!(elapsed.as_secs(), seconds, "{script:?}");
                assert!(!written.windows(3).any(|window| window == b"GET"), "{script:?}");
            }
        }
    }
}

/// CE-06, CL-04: a name that nobody looks up in time, and one without an address.
#[tokio::test(start_paused = true)]
async fn ce_06_names() {
    let script = Script { first: b"", answer: LAWFUL, cut: 0, end: End::Silence };
    for (url, kind, seconds) in [
        ("ws://silent.test/", io::ErrorKind::TimedOut, 10),
        ("ws://none.test/", io::ErrorKind::NotFound, 0),
    ] {
        let connector = Connector::new(quiet()).dial(Faulty { script, written: Arc::default() });
        let start = Instant::now();
        let error = connector.connect(url).await.unwrap_err();
        assert_may_be_tried_again(&error, &url);
        let is_expected = matches!(&error, Error::Connect(error) if error.kind() == kind);
        assert!(is_expected, "{url}: {error:?}");
        assert_eq!(start.elapsed().as_secs(), seconds, "{url}");
    }
}

/// E02, E09: what is behind a refusal may fail as well: the refusal is told all the same.
#[tokio::test(start_paused = true)]
async fn e09_a_refusal_that_is_cut() {
    const ANSWER: &str =
        "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n";
    let head = ANSWER.find("\r\n\r\n").unwrap() + 4;
    for end in ENDS {
        for cut in head..=ANSWER.len() {
            let script = Script { first: b"", answer: ANSWER, cut, end };
            let (result, _, elapsed) = play(script, None).await;
            let Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) = result else {
                panic!("{script:?}: {result:?}");
            };
            assert_eq!(refused.status(), 503);
            assert!(b"busy".starts_with(refused.body()), "{script:?}");
            // The body is waited for up to 2 s; its last line need not come.
            let is_whole = cut + 2 >= ANSWER.len();
            let waits = end == End::Silence && !is_whole;
            assert_eq!(elapsed.as_secs(), if waits { 2 } else { 0 }, "{script:?}");
        }
    }
}
