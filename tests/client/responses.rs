//! Answers that are no 101, and redirects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, ORIGIN, USER_AGENT};
use http::{HeaderName, HeaderValue};
use sockeye::client::{Denied, Policy, RedirectError};
use sockeye::handshake::RefusedResponse;
use sockeye::{Connector, Error, ErrorKind, HandshakeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::client::{LAWFUL, Net, PlainTls, header, read_head};
use crate::support::pair::quiet;
use crate::support::server::within;

async fn refused(answer: impl Into<Vec<u8>>) -> RefusedResponse {
    let answer = answer.into();
    let net = Net::new(move |_, _| answer.clone());
    match net.connector().connect("ws://9.9.9.9/").await {
        Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) => *refused,
        other => panic!("not refused: {other:?}"),
    }
}

/// E02: status, headers and body of an answer that is no 101.
#[tokio::test]
async fn e02_a_refusal_is_handed_out() {
    let length = refused(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 9\r\n\r\nno token!more",
    )
    .await;
    assert_eq!(length.status(), 401);
    assert_eq!(length.headers()["www-authenticate"], "Bearer");
    assert_eq!(length.body(), b"no token!");
    let chunked = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n\
        4\r\nbusy\r\n3;x\r\n...\r\n0\r\n\r\n";
    let chunked = refused(chunked).await;
    assert_eq!((chunked.status().as_u16(), chunked.body()), (503, &b"busy..."[..]));
    assert_eq!(chunked.retry_after(), Some(Duration::from_secs(7)));
    assert!(refused("HTTP/1.1 204 None\r\n\r\n").await.body().is_empty());
    assert!(!format!("{length:?}").contains("token"), "not in a log");
}

/// E09: a body of 1 GiB is read up to 8 KiB, of a server that never stops.
#[tokio::test]
async fn e09_a_body_without_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (_, mut stream) = crate::support::server::read_head(stream).await;
        let head = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 1073741824\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut written = 0;
        while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() && written < 1 << 30 {
            written += 16 * 1024;
        }
        written
    };
    let connecting = Connector::new(quiet());
    let connecting = async { connecting.connect(&url).await };
    let (result, written) = within(async { tokio::join!(connecting, serving) }).await;
    let Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) = result else {
        panic!("{result:?}");
    };
    assert_eq!(refused.body(), [b'x'; 8 * 1024]);
    assert!(written < 64 << 20, "{written} bytes went");
}

/// E09: a body that drips is given up after 2 s, within the handshake's time, with what came.
#[tokio::test(start_paused = true)]
async fn e09_a_body_that_drips() {
    for (timeout, expected) in [("10s", 2), ("1s", 1)] {
        let net = Net::new(|_, _| b"HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nwhy".into());
        let start = Instant::now();
        let connector = net.connector().handshake_timeout(timeout).unwrap();
        let error = connector.connect("ws://9.9.9.9/").await.unwrap_err();
        let Error::Handshake(HandshakeError::UnexpectedStatus(refused)) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(refused.body(), b"why");
        assert_eq!(start.elapsed().as_secs(), expected);
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::Internal, false));
    }
}

fn to(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// Redirects each path that is a key to its value, and upgrades the others.
fn site(table: &'static [(&'static str, &'static str)]) -> Net {
    Net::new(move |_: SocketAddr, head: &str| {
        let head = head.strip_prefix("TLS a.test\r\n").unwrap_or(head);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let found = table.iter().find(|(from, _)| *from == path);
        found.map_or(LAWFUL.into(), |(_, location)| to(location))
    })
    .name("a.test", &["9.9.9.9"])
    .name("b.test", &["8.8.8.8"])
    .name("here.test", &["127.0.0.1"])
}

fn following(net: &Net) -> Connector {
    net.connector().follow_redirects(10).unwrap()
}

/// BY-50: a redirect is an error with its status and place, unless they are followed.
#[tokio::test]
async fn redirects_are_off_by_default() {
    let net = site(&[("/", "/next")]);
    let error = net.connector().connect("ws://a.test/").await.unwrap_err();
    let Error::Handshake(HandshakeError::Redirect(refused)) = &error else {
        panic!("{error:?}");
    };
    assert_eq!((refused.status().as_u16(), refused.location()), (302, Some("/next")));
    assert!(!error.retryable());
    assert_eq!(net.heads().len(), 1);
}

/// BY-50: redirects are followed, the last answer counts.
#[tokio::test]
async fn redirects_are_followed() {
    let net = site(&[("/", "/one?x=1"), ("/one?x=1", "two"), ("/two", "http://b.test/three")]);
    following(&net).connect("ws://a.test/").await.unwrap();
    let hosts: Vec<_> =
        net.heads().iter().map(|(_, head)| header(head, "host").unwrap().to_owned()).collect();
    assert_eq!(hosts, ["a.test", "a.test", "a.test", "b.test"]);
    assert!(net.heads()[3].1.starts_with("GET /three HTTP/1.1"));
    let keys: std::collections::HashSet<_> = net
        .heads()
        .iter()
        .map(|(_, head)| header(head, "sec-websocket-key").unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 4, "a new key for each request");
}

/// E08: a circle ends, and so does a chain without one.
#[tokio::test]
async fn e08_loops() {
    let net = site(&[("/", "/a"), ("/a", "/b"), ("/b", "http://A.test:80/a#part")]);
    let error = following(&net).connect("ws://a.test/").await.unwrap_err();
    assert!(matches!(error, Error::Redirect(RedirectError::Loop)), "{error:?}");
    assert_eq!((net.heads().len(), error.retryable()), (3, false));
    let itself = site(&[("/", "/")]);
    let error = following(&itself).connect("ws://a.test/").await.unwrap_err();
    assert!(matches!(error, Error::Redirect(RedirectError::Loop)), "{error:?}");
    let count = Arc::new(AtomicUsize::new(0));
    let endless = {
        let count = count.clone();
        Net::new(move |_, _| to(&format!("/{}", count.fetch_add(1, Ordering::Relaxed))))
    };
    for max in [1, 10] {
        count.store(0, Ordering::Relaxed);
        let connector = endless.connector().follow_redirects(max).unwrap();
        let error = connector.connect("ws://9.9.9.9/").await.unwrap_err();
        let is_too_many =
            matches!(error, Error::Redirect(RedirectError::TooMany { max: same }) if same == max);
        assert!(is_too_many, "{error:?}");
        assert_eq!(count.load(Ordering::Relaxed), usize::from(max) + 1);
    }
}

/// E08: other schemes, and from wss to ws.
#[tokio::test]
async fn e08_where_no_redirect_leads() {
    for location in [
        "file:///etc/passwd",
        "ftp://a.test/",
        "ws+unix:///run/docker.sock",
        "javascript:1",
        "ws://u:p@a.test/x",
        "ws://a\"b/",
        "ws://",
    ] {
        let net = Net::new(move |_, _| to(location)).name("a.test", &["9.9.9.9"]);
        let error = following(&net).connect("ws://a.test/").await.unwrap_err();
        assert!(matches!(error, Error::Redirect(RedirectError::Location)), "{location}: {error:?}");
        assert_eq!(net.dialled().len(), 1);
        assert!(net.sockets().is_empty());
    }
    let net = Net::silent().name("a.test", &["9.9.9.9"]);
    let connector = following(&net).tls(PlainTls);
    let connecting = connector.connect("wss://a.test/");
    let serving = async {
        let mut stream = net.accept().await;
        read_head(&mut stream).await.unwrap();
        stream.write_all(&to("ws://a.test/")).await.unwrap();
        let _ = stream.read(&mut [0; 10]).await;
    };
    let (result, ()) = within(async { tokio::join!(connecting, serving) }).await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Redirect(RedirectError::Downgrade)), "{error:?}");
    assert_eq!(net.dialled().len(), 1);
}

/// E08: what proves who we are stays with the server it was given for; once dropped it stays so.
#[tokio::test]
async fn e08_credentials_do_not_go_elsewhere() {
    let value = |text| HeaderValue::from_static(text);
    let net =
        site(&[("/", "/same"), ("/same", "ws://b.test/other"), ("/other", "ws://a.test/back")]);
    let connector = following(&net)
        .header(AUTHORIZATION, value("Bearer marker"))
        .header(COOKIE, value("session=marker"))
        .header(HeaderName::from_static("x-api-key"), value("marker"))
        .header(ORIGIN, value("http://page.test"))
        .header(USER_AGENT, value("sockeye"))
        .subprotocol("chat")
        .subprotocol("bearer.marker");
    connector.connect("ws://a.test/").await.unwrap();
    let heads = net.heads();
    assert_eq!(heads.len(), 4);
    for (index, (_, head)) in heads.iter().enumerate() {
        let count = head.matches("marker").count();
        assert_eq!(count, if index < 2 { 4 } else { 0 }, "{head}");
        assert_eq!(header(head, "user-agent"), Some("sockeye"));
        assert_eq!(header(head, "origin"), Some("http://page.test"));
        assert!(header(head, "sec-websocket-protocol").unwrap().starts_with("chat"));
    }
    // User and password of the URL, to another port.
    let net = site(&[("/", "/same"), ("/same", "ws://a.test:81/other")]);
    following(&net).connect("ws://user:marker@a.test/").await.unwrap();
    let has: Vec<_> =
        net.heads().iter().map(|(_, head)| header(head, "authorization").is_some()).collect();
    assert_eq!(has, [true, true, false]);
}

/// BY-51, CE-02: a redirect is judged like a URL of the caller's, its address, too.
#[tokio::test]
async fn by_51_redirects_are_judged() {
    for (location, why) in [
        ("ws://127.0.0.1/", Denied::Address),
        ("ws://here.test/", Denied::Address),
        ("ws://b.test/secret", Denied::Url),
    ] {
        let net = Net::new(move |_, _| to(location))
            .name("a.test", &["9.9.9.9"])
            .name("b.test", &["8.8.8.8"])
            .name("here.test", &["127.0.0.1"]);
        let policy = Policy::public_only().deny("ws://b.test").unwrap();
        let error = following(&net).policy(policy).connect("ws://a.test/").await.unwrap_err();
        assert!(matches!(error, Error::Denied(denied) if denied == why), "{error:?}");
        assert_eq!(net.dialled().len(), 1);
    }
}
