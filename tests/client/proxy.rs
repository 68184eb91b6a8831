//! Through proxies, by hand and real ones.

use std::io;
use std::process::Command;
use std::time::Duration;

use http::header::{HeaderValue, PROXY_AUTHORIZATION};
use sockeye::client::{Denied, Policy, Proxies, Proxy, ProxyError};
use sockeye::{
    Acceptor, Config, Connector, Error, ErrorKind, HandshakeError, NetStream, Server, WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::support::client::{LAWFUL, Net, PlainTls, header, read_head, with_accept};
use crate::support::pair::quiet;
use crate::support::programs::{free_port, listening, start};
use crate::support::server::within;

fn through(net: &Net, proxy: &str) -> Connector {
    net.connector().proxies(Proxies::all(Proxy::parse(proxy).unwrap()))
}

/// A network in which only the proxy has a name.
fn net() -> Net {
    Net::silent().name("proxy.test", &["9.9.9.9"])
}

async fn read(stream: &mut DuplexStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// The origin behind the tunnel: the head of the request that it answers.
async fn upgrade(stream: &mut DuplexStream) -> String {
    let head = read_head(stream).await.unwrap();
    stream.write_all(&with_accept(LAWFUL.as_bytes(), &head)).await.unwrap();
    head
}

/// BY-50, E16: CONNECT with credentials, of which the origin sees nothing.
#[tokio::test]
async fn e16_http_connect() {
    let net = net();
    let connector = through(&net, "http://user:mark%65r@proxy.test:3128");
    assert!(!format!("{connector:?}").contains("marker"));
    let serving = async {
        let mut stream = net.accept().await;
        let asked = read_head(&mut stream).await.unwrap();
        assert!(asked.starts_with("CONNECT a.test:81 HTTP/1.1\r\nHost: a.test:81\r\n"), "{asked}");
        assert_eq!(header(&asked, "proxy-authorization"), Some("Basic dXNlcjptYXJrZXI="));
        // A length means nothing here.
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await.unwrap();
        (upgrade(&mut stream).await, stream)
    };
    let connecting = connector.connect("ws://a.test:81/x");
    let (socket, (head, _stream)) = within(async { tokio::join!(connecting, serving) }).await;
    socket.unwrap();
    assert!(head.starts_with("GET /x HTTP/1.1\r\nHost: a.test:81\r\n"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("proxy"), "{head}");
    assert!(!head.contains("dXNlcjptYXJrZXI="));
    assert_eq!(net.resolved(), ["proxy.test"], "the proxy looks the name up");
    assert_eq!(net.dialled()[0].split(' ').nth(1), Some("9.9.9.9:3128"));
}

/// E16: a header for proxies never goes to a server.
#[tokio::test]
async fn e16_a_header_for_proxies_is_refused() {
    let net = net();
    let connector = net.connector().header(PROXY_AUTHORIZATION, HeaderValue::from_static("marker"));
    let error = connector.connect("ws://9.9.9.9/").await.unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::HeaderOwned(_))), "{error:?}");
    assert!(net.dialled().is_empty() && !format!("{error:?}").contains("marker"));
}

/// BY-50: with TLS inside of the tunnel, and around it for a proxy that is called so.
#[tokio::test]
async fn tls_is_within_the_tunnel() {
    for (proxy, before) in [("http://proxy.test", ""), ("https://proxy.test", "TLS proxy.test\r\n")]
    {
        let net = net();
        let connector = through(&net, proxy).tls(PlainTls);
        let serving = async {
            let mut stream = net.accept().await;
            let asked = read_head(&mut stream).await.unwrap();
            assert!(
                asked.starts_with(&format!("{before}CONNECT a.test:443 HTTP/1.1\r\n")),
                "{asked}"
            );
            stream.write_all(b"HTTP/1.0 200 Connection established\r\n\r\n").await.unwrap();
            (upgrade(&mut stream).await, stream)
        };
        let connecting = connector.connect("wss://a.test/");
        let (socket, (head, _stream)) = within(async { tokio::join!(connecting, serving) }).await;
        socket.unwrap();
        assert!(head.starts_with("TLS a.test\r\nGET / HTTP/1.1\r\nHost: a.test\r\n"), "{head}");
    }
    if cfg!(not(feature = "tls")) {
        let connecting = through(&net(), "https://proxy.test");
        let error = connecting.connect("ws://a.test/").await.unwrap_err();
        assert!(matches!(error, Error::Proxy(ProxyError::Unsupported(_))), "{error:?}");
    }
}

/// What comes of a proxy that says this to CONNECT, and how often it was called.
async fn answered(answer: &[u8]) -> (Error, usize) {
    let answer = answer.to_vec();
    let net = Net::new(move |_, _| answer.clone()).name("proxy.test", &["9.9.9.9"]);
    let connector = through(&net, "http://user:marker@proxy.test");
    let error = within(connector.connect("ws://a.test/")).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("marker"));
    assert_eq!(error.kind(), ErrorKind::Internal);
    (error, net.dialled().len())
}

/// E13: a proxy that says 407 for ever is asked once.
#[tokio::test]
async fn e13_407_for_ever() {
    let answer = b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
    let (error, calls) = answered(answer).await;
    assert!(
        matches!(&error, Error::Proxy(ProxyError::Status(status)) if *status == 407),
        "{error:?}"
    );
    assert_eq!((calls, error.retryable()), (1, false));
    let (error, _) = answered(b"HTTP/1.1 503 Busy\r\n\r\n").await;
    assert!(error.retryable());
    // No redirect of a proxy is one of the server's.
    let (error, _) = answered(b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\n\r\n").await;
    assert!(matches!(error, Error::Proxy(ProxyError::Status(_))), "{error:?}");
}

/// E14: bytes behind the 200, before the server could have said anything.
#[tokio::test]
async fn e14_bytes_before_the_server_speaks() {
    let fake = format!("HTTP/1.1 200 OK\r\n\r\n{LAWFUL}");
    for answer in [&b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"[..], fake.as_bytes()] {
        let (error, _) = answered(answer).await;
        assert!(matches!(error, Error::Proxy(ProxyError::EarlyBytes)), "{error:?}");
        assert!(!error.retryable());
    }
}

/// E15: an answer of 20 MB, in one line and in many, one that is none, and one without an end.
#[tokio::test]
async fn e15_a_head_of_20_mb() {
    let line = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(20 << 20));
    let lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(3 << 20));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    for answer in
        [line.as_bytes(), lines.as_bytes(), interim.as_bytes(), b"SSH-2.0-x\r\n\r\n", b"\x05\x00"]
    {
        let (error, _) = answered(answer).await;
        assert!(matches!(error, Error::Proxy(ProxyError::Head(_))), "{error:?}");
    }
}

/// E15: a proxy that drips has the time of the whole way.
#[tokio::test(start_paused = true)]
async fn e15_a_slow_proxy() {
    for proxy in ["http://proxy.test", "socks5://proxy.test"] {
        let net = net();
        let start = Instant::now();
        let error = through(&net, proxy).connect("ws://a.test/").await.unwrap_err();
        assert!(matches!(&error, Error::Connect(error) if error.kind() == io::ErrorKind::TimedOut));
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }
}

/// BY-50: SOCKS5 by name and by address, with and without logging in.
#[tokio::test]
async fn socks5() {
    let name = b"\x05\x01\x00\x03\x06a.test\x00\x51";
    let v6 = [&b"\x05\x01\x00\x04\x26\x00"[..], &[0; 13], b"\x01\x00\x50"].concat();
    for (login, url, request) in [
        (true, "ws://a.test:81/", &name[..]),
        (false, "ws://8.8.8.8/", b"\x05\x01\x00\x01\x08\x08\x08\x08\x00\x50"),
        (false, "ws://[2600::1]/", &v6),
    ] {
        let net = net();
        let user = if login { "user:marker@" } else { "" };
        let connector = through(&net, &format!("socks5://{user}proxy.test"));
        let serving = async {
            let mut stream = net.accept().await;
            if login {
                assert_eq!(read(&mut stream, 4).await, [5, 2, 0, 2]);
                stream.write_all(&[5, 2]).await.unwrap();
                assert_eq!(read(&mut stream, 13).await, b"\x01\x04user\x06marker");
                stream.write_all(&[1, 0]).await.unwrap();
            } else {
                assert_eq!(read(&mut stream, 3).await, [5, 1, 0]);
                stream.write_all(&[5, 0]).await.unwrap();
            }
            assert_eq!(read(&mut stream, request.len()).await, request);
            // Where it connected from is a name here: whatever it is, it is passed over.
            stream.write_all(b"\x05\x00\x00\x03\x03abc\x12\x34").await.unwrap();
            (upgrade(&mut stream).await, stream)
        };
        let connecting = connector.connect(url);
        let (socket, (head, _stream)) = within(async { tokio::join!(connecting, serving) }).await;
        socket.unwrap();
        assert!(!head.contains("marker") && !head.contains("roxy"), "{head}");
        assert_eq!(net.dialled()[0].split(' ').nth(1), Some("9.9.9.9:1080"));
    }
}

/// E13 to E16 for SOCKS: every wrong answer is an error of its own, and none is waited for twice.
#[tokio::test]
async fn e13_hostile_socks() {
    let reply = |code: u8| [&[5, 0, 5, code][..], &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
    let replies: [(Vec<u8>, ProxyError, bool); 10] = [
        (vec![5, 0xff], ProxyError::Methods, false),
        (vec![5, 2, 1, 1], ProxyError::Credentials, false),
        (vec![5, 2, 5, 0], ProxyError::Socks("its version of logging in is another"), false),
        (vec![4, 0], ProxyError::Socks("its version is another"), false),
        (vec![5, 9], ProxyError::Socks("a way to log in that was not offered"), false),
        (b"HTTP/1.1 400 No\r\n\r\n".to_vec(), ProxyError::Socks("its version is another"), false),
        (vec![5, 0, 5, 0, 0, 9], ProxyError::Socks("an unknown kind of address"), false),
        (reply(2), ProxyError::Reply(2), false),
        (reply(5), ProxyError::Reply(5), true),
        (reply(99), ProxyError::Reply(99), false),
    ];
    for (answer, expected, is_retryable) in replies {
        let net = net();
        let connector = through(&net, "socks5h://user:marker@proxy.test");
        let serving = async {
            let mut stream = net.accept().await;
            stream.write_all(&answer).await.unwrap();
            stream
        };
        let connecting = connector.connect("ws://a.test/");
        let (result, _stream) = within(async { tokio::join!(connecting, serving) }).await;
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Proxy(found) if *found == expected), "{error:?}");
        assert_eq!(error.retryable(), is_retryable, "{error:?}");
        assert_eq!(net.dialled().len(), 1);
    }
    let net = net();
    let connector = through(&net, "socks5://proxy.test");
    let url = format!("ws://{}.test/", "a.".repeat(126));
    let serving = async {
        let mut stream = net.accept().await;
        stream.write_all(&[5, 0]).await.unwrap();
        stream
    };
    let (result, _stream) = within(async { tokio::join!(connector.connect(&url), serving) }).await;
    assert!(matches!(result.unwrap_err(), Error::Url(_)), "no length is cut");
}

/// BY-51: where addresses are judged, the proxy is asked for the address that was judged, not the name.
#[tokio::test]
async fn by_51_a_proxy_is_asked_for_what_was_judged() {
    let net = net().name("a.test", &["127.0.0.1", "8.8.8.8"]).name("here.test", &["10.0.0.1"]);
    let connector = through(&net, "http://proxy.test").policy(Policy::public_only());
    let serving = async {
        let mut stream = net.accept().await;
        let asked = read_head(&mut stream).await.unwrap();
        assert!(asked.starts_with("CONNECT 8.8.8.8:80 HTTP/1.1\r\n"), "{asked}");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        (upgrade(&mut stream).await, stream)
    };
    let connecting = connector.connect("ws://a.test/");
    let (socket, (head, _stream)) = within(async { tokio::join!(connecting, serving) }).await;
    socket.unwrap();
    assert_eq!(header(&head, "host"), Some("a.test"));
    for url in ["ws://here.test/", "ws://127.0.0.1/"] {
        let error = connector.connect(url).await.unwrap_err();
        assert!(matches!(error, Error::Denied(Denied::Address)), "{error:?}");
    }
}

/// BY-50: who is excepted is called directly.
#[tokio::test]
async fn exceptions_go_without() {
    let net = Net::lawful().name("proxy.test", &["9.9.9.9"]).name("a.test", &["8.8.8.8"]);
    let proxies = Proxies::all(Proxy::parse("http://proxy.test").unwrap()).except("a.test");
    net.connector().proxies(proxies).connect("ws://a.test/").await.unwrap();
    assert_eq!(net.resolved(), ["a.test"]);
}

async fn echo(mut socket: WebSocket<NetStream>) {
    while let Ok(Some(message)) = socket.recv().await {
        let _ = socket.send(message).await;
    }
}

/// An echo server and its URL.
async fn origin() -> String {
    let server = Server::bind("127.0.0.1:0").await.unwrap().acceptor(Acceptor::new(quiet()));
    let url = format!("ws://{}/", server.local_addr().unwrap());
    tokio::spawn(server.serve(|socket, _| echo(socket)));
    url
}

async fn talks(connector: &Connector, url: &str) {
    let mut socket = within(connector.connect(url)).await.unwrap();
    within(socket.send("hello")).await.unwrap();
    assert_eq!(within(socket.recv()).await.unwrap(), Some("hello".into()));
    within(socket.close(1000, "")).await.unwrap();
}

fn by(proxy: &str) -> Connector {
    let proxies = Proxies::all(Proxy::parse(proxy).unwrap());
    Connector::new(Config::default()).proxies(proxies)
}

/// BY-50: through a real HTTP proxy that wants credentials.
#[tokio::test]
async fn tinyproxy() {
    let port = free_port();
    let path = std::env::temp_dir().join(format!("sockeye-tinyproxy-{port}.conf"));
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nBasicAuth user secret\n"
    );
    std::fs::write(&path, text).unwrap();
    let Some(_running) = start(Command::new("tinyproxy").arg("-d").arg("-c").arg(&path)) else {
        return;
    };
    listening(port).await;
    let url = origin().await;
    talks(&by(&format!("http://user:secret@127.0.0.1:{port}")), &url).await;
    for login in ["", "user:wrong@"] {
        let error = by(&format!("http://{login}127.0.0.1:{port}")).connect(&url).await.unwrap_err();
        let is_refused = matches!(&error, Error::Proxy(ProxyError::Status(status)) if matches!(status.as_u16(), 401 | 407));
        assert!(is_refused, "{error:?}");
    }
    let _ = std::fs::remove_file(path);
}

/// BY-50: through a real SOCKS5 proxy that wants credentials.
#[tokio::test]
async fn microsocks() {
    let port = free_port();
    let arguments = ["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "user", "-P", "secret"];
    let Some(_running) = start(Command::new("microsocks").args(arguments)) else {
        return;
    };
    listening(port).await;
    let url = origin().await;
    talks(&by(&format!("socks5://user:secret@127.0.0.1:{port}")), &url).await;
    let name = url.replace("127.0.0.1", "localhost");
    talks(&by(&format!("socks5h://user:secret@127.0.0.1:{port}")), &name).await;
    let refused = by(&format!("socks5://user:wrong@127.0.0.1:{port}")).connect(&url).await;
    assert!(matches!(refused.unwrap_err(), Error::Proxy(ProxyError::Credentials)));
    let refused = by(&format!("socks5://127.0.0.1:{port}")).connect(&url).await;
    assert!(matches!(refused.unwrap_err(), Error::Proxy(ProxyError::Methods)));
    let closed = format!("ws://127.0.0.1:{}/", free_port());
    let refused = by(&format!("socks5://user:secret@127.0.0.1:{port}")).connect(&closed).await;
    assert!(matches!(refused.unwrap_err(), Error::Proxy(ProxyError::Reply(_))));
}
