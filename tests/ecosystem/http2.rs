//! WebSockets over HTTP/2 (RFC 8441), both sides.

#![cfg(feature = "hyper")]

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, ORIGIN};
use http_body_util::{BodyExt as _, Empty};
use hyper::ext::Protocol;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use sockeye::handshake::{Acceptance, Offer};
use sockeye::hyper::{ExtendedConnect, answer};
use sockeye::net::AttachedServer;
use sockeye::{Acceptor, Answer, CloseOutcome, Error, HandshakeError};
use tokio::sync::mpsc;

use crate::serving::{Http2, Outcomes, Serving, deflating, echo, exchange, refusal};
use crate::support::pair::quiet;
use crate::support::server::within;

/// An echo behind hyper; `chat` is its subprotocol, `/` a page, `/slow` is never answered, and it closes at `/bye`.
async fn start() -> (AttachedServer, Serving, Outcomes) {
    let (told, outcomes) = mpsc::unbounded_channel();
    let acceptor = Acceptor::new(deflating()).on_request(async |request| {
        let is_chat = request.subprotocols().iter().any(|name| name == "chat");
        match request.path() {
            "/slow" => std::future::pending().await,
            "/none" => Answer::refuse(http::StatusCode::NOT_FOUND, "nothing here"),
            "/page" => Answer::respond(http::StatusCode::OK, "text/plain", "a page"),
            _ if is_chat => Answer::Upgrade(Acceptance::default().subprotocol("chat")),
            _ => Answer::accept(),
        }
    });
    let server = AttachedServer::new(acceptor, move |mut socket, request| {
        let told = told.clone();
        async move {
            assert_eq!(request.http().method(), Method::CONNECT);
            if request.path() == "/bye" {
                let _ = socket.close(4000, "enough").await;
                let _ = told.send(socket.outcome().unwrap().clone());
                return;
            }
            echo(socket, told).await;
        }
    });
    let door = server.door();
    let serving = Serving::start(move |mut request, peer| {
        let door = door.clone();
        async move { answer(&door, &mut request, Some(peer)).await }
    })
    .await;
    (server, serving, outcomes)
}

async fn ended(outcomes: &mut Outcomes) -> CloseOutcome {
    within(outcomes.recv()).await.unwrap()
}

/// H2-01: echo with compression and a subprotocol, and messages of several windows both ways at once.
#[tokio::test]
async fn rfc8441_s5_messages_go_both_ways() {
    let (_server, serving, mut outcomes) = start().await;
    let mut http2 = Http2::connect(serving.address).await;
    let offer = Offer::default().subprotocol("other").subprotocol("chat");
    let connect = ExtendedConnect::new(deflating()).offer(offer);
    let mut socket = http2.open(&connect, "/ws?x=1").await.unwrap();
    assert!(http2.settings.takes_websockets());
    assert_eq!(socket.subprotocol(), Some("chat"));
    let response = socket.response().unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let extensions = response.headers()["sec-websocket-extensions"].to_str().unwrap();
    assert!(extensions.contains("permessage-deflate"), "{extensions}");
    for len in [0, 1, 126, 70_000] {
        exchange(&mut socket, &"x".repeat(len)).await;
    }
    within(socket.close(1000, "done")).await.unwrap();
    assert_eq!(u16::from(ended(&mut outcomes).await.code), 1000);
    let mut plain = http2.open_quiet("/").await;
    assert!(!plain.response().unwrap().headers().contains_key("sec-websocket-extensions"));
    exchange(&mut plain, &"0123456789".repeat(500_000)).await;
}

/// H2-02: many WebSockets share a connection with each other and with ordinary requests.
#[tokio::test]
async fn many_share_a_connection() {
    let (_server, serving, mut outcomes) = start().await;
    let mut http2 = Http2::connect(serving.address).await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(http2.open_quiet("/ws").await);
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        exchange(socket, &format!("number {number}")).await;
    }
    let url = format!("http://{}/page", serving.address);
    let page = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
    let page = within(http2.requests.send_request(page)).await.unwrap();
    assert_eq!(page.status(), 200);
    let body = within(page.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(&body[..], b"a page");
    // One that nobody reads holds up none of the others.
    let mut stuck = http2.open_quiet("/ws").await;
    let flood = "x".repeat(60_000);
    stuck.send(flood.as_str()).await.unwrap();
    exchange(&mut sockets[99], "still here").await;
    for mut socket in sockets {
        within(socket.close(1000, "")).await.unwrap();
        assert_eq!(u16::from(ended(&mut outcomes).await.code), 1000);
    }
}

/// H2-03: the server closes, with a code; and its stop closes all.
#[tokio::test]
async fn the_server_closes() {
    let (server, serving, mut outcomes) = start().await;
    let mut http2 = Http2::connect(serving.address).await;
    let mut told = http2.open_quiet("/bye").await;
    assert!(matches!(within(told.recv()).await, Ok(None)));
    let outcome = told.outcome().unwrap();
    assert_eq!((u16::from(outcome.code), &*outcome.reason), (4000, "enough"));
    assert_eq!(u16::from(ended(&mut outcomes).await.code), 4000);
    let mut left = http2.open_quiet("/ws").await;
    let (closed, ()) = tokio::join!(within(left.recv()), within(server.stop()));
    assert!(matches!(closed, Ok(None)), "{closed:?}");
    assert_eq!(u16::from(left.outcome().unwrap().code), 1001);
    let late = http2.open(&ExtendedConnect::new(quiet()), "/ws").await;
    assert_eq!(refusal(late).status(), 503);
}

/// H2-04: a stream that is reset is a lost connection to the other side, and to nobody else; so is a TCP connection that is
/// cut, to all on it.
#[tokio::test]
async fn rfc8441_s5_a_reset_stream_is_a_lost_connection() {
    let (server, serving, mut outcomes) = start().await;
    let mut http2 = Http2::connect(serving.address).await;
    let (mut stays, goes) = (http2.open_quiet("/ws").await, http2.open_quiet("/ws").await);
    drop(goes);
    assert_eq!(u16::from(ended(&mut outcomes).await.code), 1006);
    exchange(&mut stays, "here").await;
    // The server drops what it has.
    drop(server);
    assert!(within(stays.recv()).await.is_err());
    assert_eq!(u16::from(stays.outcome().unwrap().code), 1006);
    let (_server, serving, mut outcomes) = start().await;
    let mut http2 = Http2::connect(serving.address).await;
    let sockets = [http2.open_quiet("/ws").await, http2.open_quiet("/ws").await];
    drop(serving);
    for mut socket in sockets {
        assert!(within(socket.recv()).await.is_err());
        assert_eq!(u16::from(ended(&mut outcomes).await.code), 1006);
    }
}

/// H2-05: refusals have their status and body, over HTTP/2 as over HTTP/1.1, and no page opens a tunnel.
#[tokio::test]
async fn what_breaks_a_rule_is_refused() {
    let (_server, serving, _outcomes) = start().await;
    let mut http2 = Http2::connect(serving.address).await;
    let plain = ExtendedConnect::new(quiet());
    let none = refusal(http2.open(&plain, "/none").await);
    assert_eq!((none.status().as_u16(), none.body()), (404, &b"nothing here"[..]));
    assert_eq!(refusal(http2.open(&plain, "/page").await).status(), 500);
    let evil = Offer::default().header(ORIGIN, HeaderValue::from_static("https://evil.test"));
    let foreign = plain.clone().offer(evil);
    assert_eq!(refusal(http2.open(&foreign, "/ws").await).status(), 403);
    let host = format!("http://{}", serving.address);
    let own = Offer::default().header(ORIGIN, host.parse().unwrap());
    http2.open(&plain.clone().offer(own), "/ws").await.unwrap();
    for (protocol, version, status) in
        [("websocket", "8", 426), ("websocket", "13", 200), ("connect-udp", "13", 501)]
    {
        let response = raw(&mut http2, protocol, version).await;
        assert_eq!(response.status(), status, "{protocol} {version}");
        assert!(!response.headers().contains_key("connection"));
    }
}

/// H2-05: what is no CONNECT is no WebSocket: what may be a page is told of upgrades, other methods are refused.
#[tokio::test]
async fn another_method_is_refused() {
    let (_server, serving, _outcomes) = start().await;
    let mut http2 = Http2::connect(serving.address).await;
    for (method, status) in [(Method::GET, 426), (Method::POST, 405)] {
        let request = Request::builder().method(method).uri(format!("http://{}/ws", http2.address));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = within(http2.requests.send_request(request)).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

/// An extended CONNECT by hand.
async fn raw(http2: &mut Http2, protocol: &'static str, version: &str) -> Response<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://{}/ws", http2.address))
        .header("sec-websocket-version", version)
        .body(Empty::<Bytes>::new())
        .unwrap();
    request.extensions_mut().insert(Protocol::from_static(protocol));
    within(http2.requests.send_request(request)).await.unwrap().map(drop)
}

/// H2-06: a server that does not say that it takes WebSockets is not asked; one that does not answer is not waited for.
#[tokio::test]
async fn rfc8441_s3_the_settings_of_the_server_are_respected() {
    let builder = auto::Builder::new(TokioExecutor::new());
    let without = Serving::with(builder, |_, _| async { panic!("it is asked") }).await;
    let mut http2 = Http2::connect(without.address).await;
    let error = http2.open(&ExtendedConnect::new(quiet()), "/ws").await.unwrap_err();
    let disabled = HandshakeError::ExtendedConnectDisabled;
    assert!(matches!(&error, Error::Handshake(error) if *error == disabled), "{error:?}");
    assert!(!http2.settings.takes_websockets() && !error.retryable());
    let (_server, serving, _outcomes) = start().await;
    let mut http2 = Http2::connect(serving.address).await;
    let connect = ExtendedConnect::new(quiet()).handshake_timeout(Duration::from_millis(300));
    let error = http2.open(&connect, "/slow").await.unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::Timeout)), "{error:?}");
    let url = "ftp://a/";
    let error = connect.open(&mut http2.requests, &http2.settings, url).await.unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::Uri(_))), "{error:?}");
    exchange(&mut http2.open_quiet("/ws").await, "the connection is as good as before").await;
}
