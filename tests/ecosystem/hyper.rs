//! Requests over HTTP/1.1 that hyper has read.

#![cfg(feature = "hyper")]

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{HeaderValue, ORIGIN};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sockeye::frame::Frame;
use sockeye::handshake::Acceptance;
use sockeye::hyper::{answer, upgrade, upgrade_by};
use sockeye::net::{AttachedServer, SocketOwner};
use sockeye::{Acceptor, Answer, Connector, Error, HandshakeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::serving::{Serving, deflating, echo, exchange, refusal};
use crate::support::io::RawPeer;
use crate::support::pair::quiet;
use crate::support::server::{lawful, read_head, request_with, within};

/// A handler as hyper's users write it.
async fn by_hand(mut request: Request<Incoming>, _: SocketAddr) -> Response<Full<Bytes>> {
    let (response, opening) = match upgrade(&mut request) {
        Ok(upgrade) => upgrade,
        Err(refusal) => return refusal.to_response().map(Full::new),
    };
    tokio::spawn(async { echo(opening.await.unwrap(), mpsc::unbounded_channel().0).await });
    response
}

/// HP-01: an upgrade without settings; long messages, and what was written right behind the request is not lost.
#[tokio::test]
async fn a_request_becomes_a_websocket() {
    let serving = Serving::start(by_hand).await;
    let mut socket = serving.connect(&Connector::new(quiet()), "/").await.unwrap();
    for len in [0, 1, 126, 70_000, 3_000_000] {
        exchange(&mut socket, &"x".repeat(len)).await;
    }
    within(socket.close(1000, "")).await.unwrap();
    speaks_early(serving.address).await;
    // A server of HTTP/1.1 alone has the connection beneath another layer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(by_hand(request, peer).await) });
        let builder = hyper::server::conn::http1::Builder::new();
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        connection.await.unwrap();
    });
    speaks_early(address).await;
}

/// A client that does not wait for the answer is heard.
async fn speaks_early(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let early = RawPeer::client(&mut stream).encode(Frame::text("early"));
    stream.write_all(&[lawful(), early].concat()).await.unwrap();
    let (head, stream) = within(read_head(stream)).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let frame = within(RawPeer::client(stream).frame()).await.unwrap();
    assert_eq!(&frame.payload[..], b"early");
}

/// HP-02: what breaks a rule is refused by its status; so is a request whose stream somebody else has taken.
#[tokio::test]
async fn what_is_no_upgrade_is_refused() {
    let serving = Serving::start(by_hand).await;
    for (request, status) in [
        (request_with("Upgrade", &[]), 426),
        (request_with("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 8"]), 426),
        (request_with("Sec-WebSocket-Key", &[]), 400),
        (request_with("Origin", &["Origin: https://evil.test"]), 403),
    ] {
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let (head, _) = within(read_head(stream)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    let mut without = Request::get("/").body(()).unwrap();
    let good = [
        ("host", "a"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value) in good {
        without.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    assert_eq!(upgrade(&mut without).unwrap_err(), HandshakeError::NotUpgradable);
    let refused = upgrade_by(&Acceptor::default(), &mut without, None).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let server = AttachedServer::new(Acceptor::default(), |_, _| async {});
    let refused = answer(&server.door(), &mut without, None).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

/// HP-03: an acceptor says what is agreed on, from where browsers may come, and what else is answered; an owner closes what
/// came of it.
#[tokio::test]
async fn an_acceptor_decides() {
    let owner = SocketOwner::new(deflating().close_timeout);
    let acceptor = Acceptor::new(deflating()).on_request(async |request| match request.path() {
        "/ws" => Answer::Upgrade(Acceptance::default().subprotocol("chat")),
        _ => Answer::refuse(StatusCode::NOT_FOUND, "nothing here"),
    });
    let (tasks, (told, mut outcomes)) = (owner.tasks(), mpsc::unbounded_channel());
    let serving = Serving::start(move |mut request, peer| {
        let (acceptor, tasks, told) = (acceptor.clone(), tasks.clone(), told.clone());
        async move {
            match upgrade_by(&acceptor, &mut request, Some(peer)).await {
                Ok((response, opening)) => {
                    assert_eq!(opening.request().peer_addr(), Some(peer));
                    tasks.run(opening, |socket| echo(socket, told));
                    response
                }
                Err(answer) => answer,
            }
        }
    })
    .await;
    let connector = Connector::new(deflating()).subprotocol("other").subprotocol("chat");
    let mut socket = serving.connect(&connector, "/ws").await.unwrap();
    assert_eq!(socket.subprotocol(), Some("chat"));
    let headers = socket.response().unwrap().headers();
    assert!(headers["sec-websocket-extensions"].to_str().unwrap().contains("permessage-deflate"));
    exchange(&mut socket, &"squeeze ".repeat(10_000)).await;
    let evil = HeaderValue::from_static("https://evil.test");
    let foreign = connector.clone().header(ORIGIN, evil);
    assert_eq!(refusal(serving.connect(&foreign, "/ws").await).status(), 403);
    let nowhere = refusal(serving.connect(&connector, "/nowhere").await);
    assert_eq!((nowhere.status().as_u16(), nowhere.body()), (404, &b"nothing here"[..]));
    let (ended, ()) = tokio::join!(within(socket.recv()), within(owner.stop()));
    assert!(matches!(ended, Ok(None)), "{ended:?}");
    assert_eq!(u16::from(socket.outcome().unwrap().code), 1001);
    assert_eq!(u16::from(within(outcomes.recv()).await.unwrap().code), 1001);
}

/// HP-04: a stream that does not come is waited for as long as a handshake may take; one that cannot come not at all.
#[tokio::test(start_paused = true)]
async fn a_stream_has_to_come() {
    for (upgrades, timeout) in [(true, true), (false, false)] {
        let (told, mut openings) = mpsc::unbounded_channel();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (response, opening) = upgrade(&mut request).unwrap();
            told.send(opening).unwrap();
            async move {
                if timeout {
                    // The answer is never given.
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(response)
            }
        });
        let (mut client, stream) = duplex(4096);
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        let connection = tokio::spawn(async move {
            if upgrades { connection.with_upgrades().await } else { connection.await }
        });
        client.write_all(&lawful()).await.unwrap();
        let began = tokio::time::Instant::now();
        let opening = within(openings.recv()).await.unwrap();
        let error = within(opening).await.unwrap_err();
        let waited = began.elapsed().as_secs();
        match (timeout, &error) {
            (true, Error::Handshake(HandshakeError::Timeout)) => assert_eq!(waited, 10),
            (false, Error::Io(_)) => assert_eq!(waited, 0),
            _ => panic!("{error:?}"),
        }
        connection.abort();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
    }
}

/// HP-05: one call brings a request to a door: pages, refusals and WebSockets.
#[tokio::test]
async fn one_call_brings_a_request_to_a_door() {
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let acceptor = Acceptor::new(quiet()).on_request(async |request| match request.is_upgrade() {
        true => Answer::accept(),
        false => Answer::respond(StatusCode::OK, "text/plain", "a page"),
    });
    let server = AttachedServer::new(acceptor, move |socket, _| echo(socket, told.clone()));
    let door = server.door();
    let serving = Serving::start(move |mut request, peer| {
        let door = door.clone();
        async move { answer(&door, &mut request, Some(peer)).await }
    })
    .await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(&request_with("Upgrade", &["Connection: close"])).await.unwrap();
    let mut page = String::new();
    within(stream.read_to_string(&mut page)).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("a page"), "{page}");
    let connector = Connector::new(quiet());
    let mut socket = serving.connect(&connector, "/").await.unwrap();
    exchange(&mut socket, "hello").await;
    let (ended, ()) = tokio::join!(within(socket.recv()), within(server.stop()));
    assert!(matches!(ended, Ok(None)), "{ended:?}");
    assert_eq!(u16::from(within(outcomes.recv()).await.unwrap().code), 1001);
    assert_eq!(refusal(serving.connect(&connector, "/").await).status(), 503);
}
