//! What the accept hook decides, and what becomes of it.

use std::time::Duration;

use http::StatusCode;
use sockeye::handshake::TrustedProxies;
use sockeye::{Acceptor, Answer, Config, Error, HandshakeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::Instant;

/// What a client gets, and what the server's side says, for one request.
async fn exchange(acceptor: Acceptor, request: &str) -> (String, Result<(), Error>) {
    let (mut client, server) = duplex(64 * 1024);
    client.write_all(request.as_bytes()).await.unwrap();
    let accepting = tokio::spawn(async move { acceptor.accept(server, None).await.map(|_| ()) });
    let mut answer = String::new();
    let reading = async {
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
    };
    reading.await;
    (answer, accepting.await.unwrap())
}

/// HS-13, ER-08: accepting a request that is no upgrade is an error of its own, and the client is
/// told what was missing.
#[tokio::test(start_paused = true)]
async fn a_plain_get_cannot_be_accepted_as_a_websocket() {
    let acceptor = Acceptor::new(Config::default()).on_request(|request| async move {
        assert!(!request.is_upgrade());
        Answer::accept()
    });
    let (answer, result) = exchange(acceptor, "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("Sec-WebSocket-Version: 13\r\n"), "{answer}");
    assert!(matches!(result, Err(Error::WebSocketNotEnabled)), "{result:?}");
}

/// SV-11: the same port answers a plain GET with a page, and closes.
#[tokio::test(start_paused = true)]
async fn a_plain_get_may_get_a_page() {
    let acceptor = Acceptor::new(Config::default())
        .on_request(|_| async { Answer::respond(StatusCode::OK, "text/html", "<h1>hello</h1>") });
    let (answer, result) = exchange(acceptor, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Content-Type: text/html\r\n"), "{answer}");
    assert!(answer.contains("Content-Length: 14\r\n"), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n<h1>hello</h1>"), "{answer}");
    assert!(matches!(result, Err(Error::Answered(StatusCode::OK))), "{result:?}");
}

/// BY-21: the hook may wait and refuse with a status, headers and body of its own.
#[tokio::test(start_paused = true)]
async fn the_hook_refuses_with_its_own_answer() {
    let acceptor = Acceptor::new(Config::default()).on_request(|request| async move {
        tokio::task::yield_now().await;
        assert!(request.is_upgrade());
        let mut response = http::Response::new("who are you?".into());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let challenge = http::HeaderValue::from_static("Bearer");
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
        Answer::Respond(response)
    });
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let (answer, result) = exchange(acceptor, request).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.to_lowercase().contains("www-authenticate: bearer\r\n"), "{answer}");
    assert!(answer.ends_with("who are you?"), "{answer}");
    assert!(matches!(result, Err(Error::Answered(StatusCode::UNAUTHORIZED))), "{result:?}");
}

/// BY-21, SV-11: any answer takes more headers, the 101 included; a name may come twice.
#[tokio::test(start_paused = true)]
async fn answers_take_headers() {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (more, status) in [(upgrade, "101"), ("", "200")] {
        let acceptor = Acceptor::default().on_request(|request| async move {
            let answer = match request.is_upgrade() {
                true => Answer::accept(),
                false => Answer::respond(StatusCode::OK, "text/html", "hello"),
            };
            let cookie = |value| http::HeaderValue::from_static(value);
            answer
                .header(http::header::SET_COOKIE, cookie("a=1"))
                .header(http::header::SET_COOKIE, cookie("b=2"))
        });
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n");
        let (answer, _) = exchange(acceptor, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{answer}");
    }
}

/// HS-14, BY-07: a client that never finishes its request gets 408, the hook's time included.
#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_deadline() {
    let slow_hook = Acceptor::new(Config::default()).on_request(|_| std::future::pending());
    for (acceptor, request) in [
        (Acceptor::default(), "GET / HTTP/1.1\r\nHost: a\r\n"),
        (slow_hook, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let started = Instant::now();
        let (answer, result) = exchange(acceptor, request).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(matches!(result, Err(Error::Handshake(_))), "{result:?}");
        let elapsed = started.elapsed().as_secs();
        assert!((10..=12).contains(&elapsed), "{elapsed} s");
    }
}

/// BY-21: a response that is no final answer is never sent as a refusal.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_never_a_101() {
    let acceptor = Acceptor::new(Config::default())
        .on_request(|_| async { Answer::refuse(StatusCode::SWITCHING_PROTOCOLS, "") });
    let (answer, _) = exchange(acceptor, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
}

/// A12: a trusted proxy that begins its header and does not end it has 5 s, whatever the handshake has.
#[tokio::test(start_paused = true)]
async fn half_a_proxy_header_has_a_deadline() {
    let proxies = TrustedProxies::parse(["192.0.2.0/24"]).unwrap();
    let acceptor = Acceptor::default().handshake_timeout(Duration::from_secs(60));
    let acceptor = acceptor.proxy_protocol(proxies);
    let (ours, mut theirs) = duplex(1024);
    theirs.write_all(b"PROXY TCP4 203.0.113.9 ").await.unwrap();
    let begun = Instant::now();
    let accepted = acceptor.accept(ours, Some("192.0.2.7:1".parse().unwrap())).await;
    assert!(matches!(accepted.err(), Some(Error::Handshake(HandshakeError::Timeout))));
    // And a second at most to be rid of it.
    assert!((5..=6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}
