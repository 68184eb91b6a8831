//! From a URL to a connection: names, addresses, sockets.

use std::time::Duration;

use http::header::AUTHORIZATION;
use sockeye::client::Dial;
use sockeye::{Config, Connector, Error, ErrorKind, HandshakeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::client::{Conduct, LAWFUL, Net, PlainTls, header, read_head, with_accept};
use crate::support::server::within;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// BY-50: RFC 8305: the families in turn, the next attempt after 250 ms, the first that answers wins.
#[tokio::test(start_paused = true)]
async fn attempts_begin_one_after_the_other() {
    let net = Net::lawful()
        .name("two.test", &["2600::1", "2600::2", "9.9.9.1", "9.9.9.2"])
        .conduct("[2600::1]:80", Conduct::Silent)
        .conduct("9.9.9.1:80", Conduct::Accept(ms(400)))
        .conduct("[2600::2]:80", Conduct::Accept(ms(300)));
    let _socket = net.connector().connect("ws://two.test/").await.unwrap();
    let expected = ["0 [2600::1]:80", "250 9.9.9.1:80", "500 [2600::2]:80"];
    assert_eq!(net.dialled(), expected, "the one that won after 650 ms began second");
    assert_eq!(net.heads().len(), 1);
    assert_eq!(net.heads()[0].0, "9.9.9.1:80".parse().unwrap());
}

/// BY-50: an attempt that fails lets the next begin at once; the error is that of the first.
#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_not_waited_for() {
    let net = Net::lawful()
        .name("dead.test", &["9.9.9.1", "9.9.9.2", "9.9.9.3"])
        .conduct("9.9.9.1:80", Conduct::Refuse(ms(10)))
        .conduct("9.9.9.2:80", Conduct::Refuse(ms(10)))
        .conduct("9.9.9.3:80", Conduct::Refuse(ms(10)));
    let error = net.connector().connect("ws://dead.test/").await.unwrap_err();
    assert_eq!(net.dialled(), ["0 9.9.9.1:80", "10 9.9.9.2:80", "20 9.9.9.3:80"]);
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
}

/// BY-50: a name with a thousand addresses costs eight sockets, and not more time than was given.
#[tokio::test(start_paused = true)]
async fn attempts_are_bounded() {
    let addresses: Vec<_> = (0..1000).map(|n| format!("9.9.{}.{}", n / 250, n % 250)).collect();
    let mut net =
        Net::lawful().name("many.test", &addresses.iter().map(String::as_str).collect::<Vec<_>>());
    for address in &addresses {
        net = net.conduct(&format!("{address}:80"), Conduct::Silent);
    }
    let start = Instant::now();
    let connector = net.connector().dial_timeout("3s").unwrap();
    let error = connector.connect("ws://many.test/").await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(net.dialled().len(), 8);
    assert!(error.retryable() && matches!(error, Error::Connect(_)), "{error:?}");
}

/// CE-06: what cannot be reached is internal and may be tried again, its cause is kept.
#[tokio::test]
async fn ce_06_a_failed_connection_may_be_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let errors = [
        sockeye::connect(&format!("ws://{closed}/")).await.unwrap_err(),
        Net::lawful().connector().connect("ws://unknown.test/").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Internal, "{error:?}");
        assert!(error.retryable(), "{error:?}");
        assert!(error.message().starts_with("cannot connect: "), "{error}");
        let source = std::error::Error::source(&error).expect("a source");
        assert!(source.is::<std::io::Error>());
    }
}

/// CE-05: without a runtime around there is an error, no panic, and trying again does not help.
#[test]
fn ce_05_without_a_runtime() {
    let mut connecting = std::pin::pin!(sockeye::connect("ws://127.0.0.1:1/"));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(result) = connecting.as_mut().poll(&mut cx) else {
        panic!("it waits for nothing");
    };
    let error = result.unwrap_err();
    assert!(matches!(error, Error::NoRuntime));
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Internal, false));
}

/// CE-07: a connection that is no more is internal, and trying again on it does not help.
#[tokio::test]
async fn ce_07_a_connection_that_is_gone() {
    let net = Net::lawful();
    let mut socket = net.connector().connect("ws://9.9.9.9/").await.unwrap();
    socket.feed(sockeye::Message::Close(None)).unwrap();
    let error = socket.send("late").await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Internal, false));
}

/// E12, CL-02: user and password of a URL are a header, and stand nowhere else; a header of the caller's
/// goes before them.
#[tokio::test]
async fn e12_user_information_is_sent_as_basic() {
    let net = Net::lawful().name("a.test", &["9.9.9.9"]);
    let connector = net.connector();
    let socket = connector.connect("ws://us%40er:pass@a.test:81/x?y").await.unwrap();
    assert!(!format!("{socket:?} {connector:?}").contains("pass"));
    let given = connector.header(AUTHORIZATION, "Bearer own".parse().unwrap());
    given.connect("ws://us%40er:pass@a.test:81/x?y").await.unwrap();
    let heads = net.heads();
    let (_, head) = &heads[0];
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "host"), Some("a.test:81"));
    assert_eq!(header(head, "authorization"), Some("Basic dXNAZXI6cGFzcw=="));
    assert!(!head.contains("pass") && !head.contains("us@er"));
    assert_eq!(header(&heads[1].1, "authorization"), Some("Bearer own"));
    assert!(!format!("{given:?}").contains("own"));
}

/// CL-01: IPv6 literals, names in other scripts, queries.
#[tokio::test]
async fn cl_01_hosts_of_every_kind() {
    let net = Net::lawful().name("xn--bcher-kva.test", &["9.9.9.9"]);
    for (url, host, line) in [
        ("ws://[2600::1]:8080/a", "[2600::1]:8080", "GET /a HTTP/1.1"),
        ("ws://b\u{fc}cher.test?q=1", "xn--bcher-kva.test", "GET /?q=1 HTTP/1.1"),
        ("http://9.9.9.9/a/../b", "9.9.9.9", "GET /b HTTP/1.1"),
    ] {
        let known = net.heads().len();
        net.connector().connect(url).await.unwrap();
        let (_, head) = net.heads().swap_remove(known);
        assert_eq!(header(&head, "host"), Some(host));
        assert_eq!(head.lines().next(), Some(line));
    }
    assert_eq!(net.resolved(), ["xn--bcher-kva.test"], "an address is not looked up");
}

/// CL-01: `wss` goes through the TLS that was given, under the name of the URL, and not without.
#[tokio::test]
async fn cl_01_wss_takes_tls() {
    let net = Net::silent().name("a.test", &["9.9.9.9"]);
    if cfg!(not(feature = "tls")) {
        let error = net.connector().connect("wss://a.test/").await.unwrap_err();
        assert!(matches!(error, Error::Url(_)) && !error.retryable());
        assert!(net.dialled().is_empty() && net.resolved().is_empty());
    }
    for (url, name, host) in [
        ("wss://a.test/x", "a.test", "a.test"),
        ("wss://[2600::1]:444/x", "2600::1", "[2600::1]:444"),
    ] {
        let connector = net.connector().tls(PlainTls);
        let connecting = connector.connect(url);
        let serving = async {
            let mut stream = net.accept().await;
            let head = read_head(&mut stream).await.unwrap();
            let (tls, head) = head.split_once("\r\n").unwrap();
            assert_eq!(tls, format!("TLS {name}"));
            assert_eq!(header(head, "host"), Some(host));
            stream.write_all(&with_accept(LAWFUL.as_bytes(), head)).await.unwrap();
            stream
        };
        let (socket, _server) = within(async { tokio::join!(connecting, serving) }).await;
        assert!(socket.is_ok(), "{socket:?}");
    }
}

/// BY-27: a Unix socket, and what is asked for behind it.
#[cfg(unix)]
#[tokio::test]
async fn by_27_unix_sockets() {
    let folder = std::env::temp_dir().join(format!("sockeye client {}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.sock");
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let url = format!("ws+unix://{}:/chat?room=1", path.display()).replace(' ', "%20");
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        stream.write_all(&with_accept(LAWFUL.as_bytes(), &head)).await.unwrap();
        stream.write_all(b"\x81\x02hi").await.unwrap();
        (head, stream)
    };
    let talking = async {
        let mut socket = sockeye::connect(&url).await?;
        socket.recv().await
    };
    let (message, (head, _stream)) = within(async { tokio::join!(talking, serving) }).await;
    assert_eq!(message.unwrap(), Some("hi".into()));
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\n"), "{head}");
    std::fs::remove_dir_all(&folder).unwrap();
    let gone = sockeye::connect(&url).await.unwrap_err();
    assert!(matches!(&gone, Error::Connect(error) if error.kind() == std::io::ErrorKind::NotFound));
}

/// CL-04: the whole way to a connection has one deadline, the handshake another.
#[tokio::test(start_paused = true)]
async fn cl_04_deadlines() {
    let net = Net::silent().conduct("9.9.9.1:80", Conduct::Silent);
    let connector = net.connector().dial_timeout("1m30s").unwrap().handshake_timeout(2500).unwrap();
    let start = Instant::now();
    let error = connector.connect("ws://9.9.9.1/").await.unwrap_err();
    assert!(
        matches!(&error, Error::Connect(error) if error.kind() == std::io::ErrorKind::TimedOut)
    );
    assert_eq!(start.elapsed(), Duration::from_secs(90));
    let error = connector.connect("ws://9.9.9.2/").await.unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::Timeout)), "{error:?}");
    assert_eq!(start.elapsed(), Duration::from_millis(92_500));
}

/// CL-01: the default is the operating system's, parts of it can be replaced.
#[tokio::test]
async fn what_dials_can_be_replaced_in_parts() {
    struct Here;
    impl Dial for Here {
        fn resolve<'a>(
            &'a self,
            _: &'a str,
            port: u16,
        ) -> sockeye::client::BoxFuture<'a, std::io::Result<Vec<std::net::SocketAddr>>> {
            Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) })
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://somewhere.test:{}/", listener.local_addr().unwrap().port());
    let connector = Connector::new(Config::default()).dial(Here);
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        crate::support::server::read_head(stream).await.0
    };
    let (result, head) = within(async { tokio::join!(connector.connect(&url), serving) }).await;
    assert!(matches!(result.unwrap_err(), Error::Handshake(HandshakeError::Closed)));
    assert!(header(&head, "host").unwrap().starts_with("somewhere.test:"));
}
