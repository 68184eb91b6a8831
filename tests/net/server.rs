//! Server and connector through the public API: pages, refusals, subprotocols, bytes that come with
//! the handshake, and shutting down.

use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use sockeye::frame::Frame;
use sockeye::handshake::Acceptance;
use sockeye::net::Listen;
use sockeye::protocol::Initiator;
use sockeye::{
    Acceptor, Answer, Connector, Error, HandshakeError, NetStream, Request, Server, WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::support::io::RawPeer;
use crate::support::pair::quiet;
use crate::support::server::{Face, Site, lawful, read_head, request_line, request_with, within};

const NAME: HeaderName = HeaderName::from_static("x-name");

async fn decide(request: Request) -> Answer {
    match (request.is_upgrade(), request.path()) {
        (true, "/healthy" | "/new" | "/ws") => Answer::accept(),
        (true, "/chosen") => {
            let last = request.subprotocols().last().cloned().unwrap_or_default();
            let name = HeaderValue::from_str(request.query("name").as_deref().unwrap_or("nobody"));
            let acceptance = Acceptance::default().subprotocol(last);
            Answer::Upgrade(acceptance.header(NAME, name.unwrap()))
        }
        (true, "/login") if request.bearer_token() != Some("secret") => {
            let mut response = Response::new("who are you?".into());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            Answer::Respond(response)
        }
        (true, "/login") => Answer::accept(),
        (false, "/") => Answer::respond(StatusCode::OK, "text/html", "<h1>hello</h1>"),
        (false, "/upgrade") => Answer::accept(),
        _ => Answer::refuse(StatusCode::NOT_FOUND, "not found"),
    }
}

async fn site() -> Site {
    Site::with(Face::Recv, Acceptor::new(quiet()).on_request(decide)).await
}

/// CE-05: without a runtime around a server is an error, no panic.
#[test]
fn ce_05_listening_without_a_runtime() {
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut refused =
        |mut binding: std::pin::Pin<&mut dyn Future<Output = std::io::Result<Server>>>| {
            match binding.as_mut().poll(&mut context) {
                Poll::Ready(Err(error)) => error.to_string(),
                other => panic!("{other:?}"),
            }
        };
    let expected = "there is no tokio runtime here";
    assert_eq!(refused(std::pin::pin!(Server::bind("localhost:0"))), expected);
    assert_eq!(refused(std::pin::pin!(Server::bind_unix("/nowhere/a.sock"))), expected);
    let shared = Server::bind_shared(([127, 0, 0, 1], 0).into());
    assert_eq!(shared.unwrap_err().to_string(), expected);
}

fn plain(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// SV-11, HS-05: pages and the upgrade live on one port; a page is whole and closes.
#[tokio::test]
async fn pages_for_plain_gets() {
    let mut site = site().await;
    let page = site.request(&plain("/")).await;
    assert_eq!((page.status, &page.rest[..]), (200, &b"<h1>hello</h1>"[..]));
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(page.header("content-length"), Some("14"));
    assert!(page.header("connection").unwrap().contains("close"));
    let missing = site.request(&plain("/missing")).await;
    assert_eq!((missing.status, &missing.rest[..]), (404, &b"not found"[..]));
    // What is no upgrade cannot be made one.
    let upgrade = site.request(&plain("/upgrade")).await;
    assert_eq!((upgrade.status, upgrade.header("upgrade")), (426, Some("websocket")));
    site.end().await;
}

/// BY-21, HS-04: an upgrade is refused with one's own status, headers and body, and the client sees
/// them.
#[tokio::test]
async fn refusals_of_the_hook() {
    let mut site = site().await;
    let refused = site.request(&request_line("GET /login HTTP/1.1")).await;
    assert_eq!((refused.status, &refused.rest[..]), (401, &b"who are you?"[..]));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));

    let url = format!("ws://{}/login", site.addr);
    let error = sockeye::connect(&url).await.unwrap_err();
    let Error::Handshake(HandshakeError::UnexpectedStatus(response)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");

    let token = HeaderValue::from_static("Bearer secret");
    let connector = Connector::new(quiet()).header(header::AUTHORIZATION, token);
    connector.connect(&url).await.unwrap();
    site.end().await;
}

/// HS-09, HS-10, HS-11, HS-12: what the request says is there at the upgrade; the answer's headers
/// and subprotocol are there on the client.
#[tokio::test]
async fn subprotocol_and_headers() {
    let site = site().await;
    let connector = Connector::new(quiet()).subprotocol("chat.v1").subprotocol("chat.v2");
    let url = format!("ws://{}/chosen?name=B%20C&name=D", site.addr);
    let socket = connector.connect(&url).await.unwrap();
    assert_eq!(socket.subprotocol(), Some("chat.v2"));
    assert_eq!(socket.response().unwrap().headers()[&NAME], "B C");
    drop(socket);
    let socket = sockeye::connect(&format!("ws://{}/ws", site.addr)).await.unwrap();
    assert_eq!(socket.subprotocol(), None);
    drop(socket);
    site.end().await;
}

/// HS-06: frames in the same segment as the request are messages, wherever they are cut.
#[tokio::test]
async fn frames_behind_the_request() {
    let mut site = site().await;
    let frame = Frame::text("early").masked([1, 2, 3, 4]).encode();
    for cut in 0..=frame.len() {
        let first = [&lawful()[..], &frame[..cut]].concat();
        let mut peer = site.request(&first).await.into_peer();
        peer.write(&frame[cut..]).await;
        assert_eq!(within(peer.frame()).await, Some(Frame::text("early")), "cut at {cut}");
    }
    let all = [lawful(), frame.repeat(3)].concat();
    let mut peer = site.request(&all).await.into_peer();
    for _ in 0..3 {
        assert_eq!(within(peer.frame()).await, Some(Frame::text("early")));
    }
    drop(peer);
    site.end().await;
}

/// HS-09: the request names its peer and keeps its headers.
#[tokio::test]
async fn request_names_its_peer() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let serving = tokio::spawn(server.serve(move |_socket, request: Request| {
        tell.send(request).unwrap();
        async {}
    }));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&request_with("X-User-Id", &["X-User-Id: 42"])).await.unwrap();
    let request = within(told.recv()).await.unwrap();
    assert_eq!(request.peer_addr(), Some(stream.local_addr().unwrap()));
    assert_eq!((request.header("x-user-id"), request.path()), (Some("42"), "/ws"));
    assert_eq!(request.http().headers().len(), 6);
    serving.abort();
}

/// A server until it is told to stop; each connection is served like this.
async fn echo(mut socket: WebSocket<NetStream>) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// SH-01, CC-02: shutting down closes all with 1001, waits for them, and accepts no more.
#[tokio::test]
async fn serve_until_closes_all() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async { drop(stopped.await) };
    let serving = tokio::spawn(server.serve_until(|socket, _| echo(socket), until));
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = sockeye::connect(&url).await.unwrap();
        client.send("hello").await.unwrap();
        assert_eq!(client.recv().await.unwrap(), Some("hello".into()));
        clients.push(client);
    }
    stop.send(()).unwrap();
    for client in &mut clients {
        assert_eq!(within(client.recv()).await.unwrap(), None);
        let outcome = client.outcome().unwrap();
        assert_eq!((outcome.code.as_u16(), outcome.initiator), (1001, Initiator::Peer));
        // Not the goodbye of a connection that is dropped, which gives no reason.
        assert_eq!(outcome.reason.as_str(), "server is shutting down");
        assert!(outcome.clean);
    }
    within(serving).await.unwrap().unwrap();
    assert!(sockeye::connect(&url).await.is_err());
}

/// Pipes instead of sockets; errors as they are sent.
#[derive(Debug)]
struct Pipes(mpsc::Receiver<std::io::Result<DuplexStream>>);

impl Listen for Pipes {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<Accepted>> {
        self.0.poll_recv(cx).map(|pipe| match pipe {
            Some(pipe) => Ok((NetStream::boxed(pipe?), None)),
            None => Err(ErrorKind::BrokenPipe.into()),
        })
    }
}

type Accepted = (NetStream, Option<std::net::SocketAddr>);

/// SV-01: a listener of another kind. What fails for one connection ends nothing, what fails for all ends the server.
#[tokio::test]
async fn listeners_of_ones_own() {
    let (connect, pipes) = mpsc::channel(4);
    let server = Server::on(Pipes(pipes));
    assert_eq!(server.local_addr().unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    assert_eq!(server.unix_path(), None);
    let serving = tokio::spawn(server.serve(|socket, request| async move {
        assert_eq!(request.peer_addr(), None);
        echo(socket).await;
    }));
    for _ in 0..3 {
        connect.send(Err(ErrorKind::ConnectionAborted.into())).await.unwrap();
        let (ours, theirs) = duplex(1024);
        connect.send(Ok(theirs)).await.unwrap();
        let connector = Connector::new(quiet());
        let mut client = within(connector.connect_on("ws://localhost/", ours)).await.unwrap();
        client.send("hello").await.unwrap();
        assert_eq!(within(client.recv()).await.unwrap(), Some("hello".into()));
    }
    connect.send(Err(ErrorKind::NotConnected.into())).await.unwrap();
    let ended = within(serving).await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::NotConnected);
}

/// A listener that is always ready, and always with an error of one connection.
#[derive(Debug)]
struct Restless;

impl Listen for Restless {
    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<Accepted>> {
        Poll::Ready(Err(ErrorKind::ConnectionAborted.into()))
    }
}

/// SV-01: a listener that never waits does not take the thread for itself: others have their turn, and the server can be
/// stopped.
#[test]
fn attack_a_listener_that_never_waits_starves_nobody() {
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stop, stopped) = oneshot::channel::<()>();
            let until = async { drop(stopped.await) };
            let serving = Server::on(Restless).serve_until(|socket, _| echo(socket), until);
            let stopping = async {
                tokio::task::yield_now().await;
                stop.send(()).unwrap();
            };
            let _ = told.send(tokio::join!(serving, stopping).0);
        });
    });
    let ended = ended.recv_timeout(Duration::from_secs(20)).expect("it can be stopped");
    ended.unwrap();
}

/// SH-01: a client that ignores the close does not hold the shutdown up for ever.
#[tokio::test]
async fn serve_until_waits_no_longer_than_it_says() {
    let mut config = quiet();
    config.close_timeout = Duration::from_millis(50);
    let server = Server::bind("127.0.0.1:0").await.unwrap().acceptor(Acceptor::new(config));
    let addr = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async { drop(stopped.await) };
    // One connection is deaf to the world, a handshake is under way.
    let serve = server.serve_until(
        |socket, _| async move {
            std::future::pending::<()>().await;
            drop(socket);
        },
        until,
    );
    let serving = tokio::spawn(serve);
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&lawful()).await.unwrap();
    let (_, stream) = read_head(stream).await;
    let half_open = TcpStream::connect(addr).await.unwrap();
    stop.send(()).unwrap();
    within(serving).await.unwrap().unwrap();
    let mut peer = RawPeer::client(stream);
    assert_eq!(within(peer.close_code()).await, Some(1001));
    assert_eq!(within(peer.frame()).await, None);
    drop(half_open);
}

/// SH-01: handshakes under way do not hold the shutdown up: they are dropped at once.
#[tokio::test]
async fn serve_until_drops_handshakes_at_once() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let acceptor = Acceptor::new(quiet()).on_request(|request| async move {
        if request.path() == "/slow" {
            std::future::pending::<()>().await;
        }
        Answer::accept()
    });
    let addr = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async { drop(stopped.await) };
    let serving =
        tokio::spawn(server.acceptor(acceptor).serve_until(|socket, _| echo(socket), until));
    let silent = TcpStream::connect(addr).await.unwrap();
    let mut slow = TcpStream::connect(addr).await.unwrap();
    slow.write_all(&request_line("GET /slow HTTP/1.1")).await.unwrap();
    // Connections are accepted in their order, so both are when this one is over.
    let mut client = sockeye::connect(&format!("ws://{addr}/")).await.unwrap();
    assert!(client.close(1000, "").await.unwrap().clean);

    tokio::time::pause();
    let start = tokio::time::Instant::now();
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    tokio::time::resume();
    for mut stream in [silent, slow] {
        let mut answer = Vec::new();
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty());
    }
}

/// CL-04, LM-07: the connector's deadlines, and what it refuses before it dials.
#[tokio::test(start_paused = true)]
async fn connector_options() {
    let connector = Connector::new(quiet())
        .dial_timeout(Duration::from_secs(3))
        .unwrap()
        .handshake_timeout(Duration::from_secs(2))
        .unwrap();
    let (stream, _silent) = tokio::io::duplex(1024);
    let start = tokio::time::Instant::now();
    let error = connector.connect_on("ws://localhost/", stream).await.unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::Timeout)), "{error}");
    assert!(error.retryable());
    assert_eq!(start.elapsed().as_secs(), 2);
    if cfg!(not(feature = "tls")) {
        let error = connector.connect("wss://localhost/").await.unwrap_err();
        assert!(matches!(error, Error::Url(_)) && !error.retryable(), "{error}");
    }
}

/// BY-27: any byte stream can be accepted, here a Unix socket.
#[cfg(unix)]
#[tokio::test]
async fn unix_sockets() {
    let (client, server) = tokio::net::UnixStream::pair().unwrap();
    let accepting = tokio::spawn(async move {
        let (mut socket, request) = Acceptor::new(quiet()).accept(server, None).await.unwrap();
        assert_eq!(request.peer_addr(), None);
        let sender = socket.sender();
        sender.try_send("written by itself").unwrap();
        while let Ok(Some(message)) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    });
    let connector = Connector::new(quiet());
    let mut socket = connector.connect_on("ws://localhost/", client).await.unwrap();
    assert_eq!(within(socket.recv()).await.unwrap(), Some("written by itself".into()));
    socket.send(vec![1; 1_000_000]).await.unwrap();
    assert_eq!(within(socket.recv()).await.unwrap(), Some(vec![1; 1_000_000].into()));
    assert!(socket.close(1000, "").await.unwrap().clean);
    within(accepting).await.unwrap();
}

/// SH-02: a server whose connections all end holds none of them.
#[tokio::test]
async fn connections_are_let_go() {
    let alive = Arc::new(());
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    let held = alive.clone();
    let serving = tokio::spawn(server.serve(move |socket, _| {
        let held = held.clone();
        async move {
            echo(socket).await;
            drop(held);
        }
    }));
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = sockeye::connect(&url).await.unwrap();
        client.send("hello").await.unwrap();
        client.recv().await.unwrap();
        clients.push(client);
    }
    assert_eq!(Arc::strong_count(&alive), 52);
    drop(clients);
    let freed = async {
        while Arc::strong_count(&alive) > 2 {
            tokio::task::yield_now().await;
        }
    };
    within(freed).await;
    serving.abort();
}
