//! A server that another HTTP server accepts for: requests are judged as by our own acceptor, and connections have an
//! owner.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sockeye::net::{AttachedServer, Door};
use sockeye::{
    Acceptor, Answer, CloseOutcome, Connector, Deflate, Error, HandshakeError, NetStream, Role,
    WebSocket,
};
use tokio::io::duplex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::pair::quiet;
use crate::support::server::within;

/// What a program with hyper writes.
async fn handle(
    door: Door,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/own" {
        return Ok(Response::new(Full::from("hyper's own")));
    }
    let upgrading = match door.upgrade(&request, Some(peer)).await {
        Ok(upgrading) => upgrading,
        Err(answer) => return Ok(answer.map(Full::new)),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let stream = async { upgraded.await.map(|stream| NetStream::boxed(TokioIo::new(stream))) };
    Ok(door.serve(upgrading, stream).map(|()| Full::default()))
}

/// hyper on a port of its own.
struct Hyper {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Hyper {
    async fn start(door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let door = door.clone();
                let service = service_fn(move |request| handle(door.clone(), request, peer));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                connections.spawn(connection);
            }
        });
        Self { address, _tasks: tasks }
    }

    async fn connect(&self, path: &str) -> Result<WebSocket<NetStream>, Error> {
        self.connect_with(&Connector::new(quiet()), path).await
    }

    async fn connect_with(
        &self,
        connector: &Connector,
        path: &str,
    ) -> Result<WebSocket<NetStream>, Error> {
        within(connector.connect(&format!("ws://{}{path}", self.address))).await
    }

    /// Status and body of a refusal.
    async fn refusal(&self, connector: &Connector, path: &str) -> (u16, String) {
        match self.connect_with(connector, path).await {
            Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) => {
                let body = String::from_utf8_lossy(refused.body()).into_owned();
                (refused.status().as_u16(), body)
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// Echoes, and tells how each connection ended and from where it came.
fn echo(acceptor: Acceptor) -> (AttachedServer, mpsc::UnboundedReceiver<CloseOutcome>) {
    let (told, outcomes) = mpsc::unbounded_channel();
    let server = AttachedServer::new(acceptor, move |mut socket, request| {
        let told = told.clone();
        async move {
            assert!(request.peer_addr().unwrap().ip().is_loopback());
            while let Ok(Some(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
            let _ = told.send(socket.outcome().unwrap().clone());
        }
    });
    (server, outcomes)
}

/// BY-22, SV-08: connections that hyper has accepted are WebSockets as any other, compression and long messages among
/// it; hyper's own paths stay its own; a stop closes with 1001 and takes nobody in any more.
#[tokio::test]
async fn by_22_a_hyper_server_hands_connections_over() {
    let mut config = quiet();
    config.deflate = Deflate::no_context();
    let (server, mut outcomes) = echo(Acceptor::new(config.clone()));
    let hyper = Hyper::start(server.door()).await;
    let connector = Connector::new(config);
    let mut socket = hyper.connect_with(&connector, "/ws").await.unwrap();
    for len in [0, 1, 126, 70_000, 1_000_000] {
        let text = "x".repeat(len);
        within(socket.send(text.as_str())).await.unwrap();
        assert_eq!(within(socket.recv()).await.unwrap().unwrap().as_text(), Some(text.as_str()));
    }
    within(socket.close(1000, "done")).await.unwrap();
    assert_eq!(u16::from(within(outcomes.recv()).await.unwrap().code), 1000);
    assert_eq!(hyper.refusal(&connector, "/own").await, (200, "hyper's own".to_owned()));
    let mut left = hyper.connect("/ws").await.unwrap();
    let (closed, ()) = tokio::join!(within(left.recv()), within(server.stop()));
    assert!(matches!(closed, Ok(None)) || closed.is_err());
    assert_eq!(u16::from(left.outcome().unwrap().code), 1001);
    assert_eq!(u16::from(within(outcomes.recv()).await.unwrap().code), 1001);
    assert_eq!(hyper.refusal(&connector, "/ws").await.0, 503);
}

/// HS-13, AU-08: origin, hook and what is no upgrade are answered through hyper as by ourselves.
#[tokio::test]
async fn refusals_and_pages_go_out_by_hyper() {
    let acceptor = Acceptor::new(quiet()).on_request(async |request| {
        match (request.is_upgrade(), request.path()) {
            (true, "/ws") => Answer::accept(),
            (false, "/ws") => Answer::accept(),
            (false, "/page") => Answer::respond(StatusCode::OK, "text/html", "<h1>hello</h1>"),
            _ => Answer::refuse(StatusCode::NOT_FOUND, "nothing here"),
        }
    });
    let (server, _outcomes) = echo(acceptor);
    let hyper = Hyper::start(server.door()).await;
    let plain = Connector::new(quiet());
    let evil = "https://evil.test";
    let foreign = plain.clone().header(http::header::ORIGIN, HeaderValue::from_static(evil));
    assert_eq!(hyper.refusal(&plain, "/other").await, (404, "nothing here".to_owned()));
    assert_eq!(hyper.refusal(&foreign, "/ws").await.0, 403);
    let get = |path| Request::get(path).header("Host", "a").body(()).unwrap();
    let page = server.door().upgrade(&get("/page"), None).await.unwrap_err();
    assert_eq!((page.status(), &page.body()[..]), (StatusCode::OK, &b"<h1>hello</h1>"[..]));
    let missing = server.door().upgrade(&get("/ws"), None).await.unwrap_err();
    assert_eq!(missing.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(missing.headers()["sec-websocket-version"], "13");
    hyper.connect("/ws").await.unwrap();
}

fn lawful() -> Request<()> {
    Request::get("/ws")
        .header("Host", "a")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .unwrap()
}

/// A hook that panics is 500, one that takes too long 408; a stream that never comes is not waited for longer than a handshake,
/// and one that fails not at all.
#[tokio::test(start_paused = true)]
async fn nothing_is_waited_for_without_end() {
    let panics = Acceptor::new(quiet()).on_request(async |_| panic!("the hook's own"));
    let refused = panics.upgrade(&lawful(), None).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let slow = Acceptor::new(quiet()).on_request(|_| std::future::pending());
    let refused = slow.upgrade(&lawful(), None).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
    // What holds this is the task that waits.
    let (held, mut gone) = mpsc::channel::<()>(1);
    let (server, _outcomes) = echo(Acceptor::new(quiet()));
    let door = server.door();
    let upgrading = door.upgrade(&lawful(), None).await.unwrap();
    let response = door.serve(upgrading, async move {
        let _held = held;
        std::future::pending::<io::Result<NetStream>>().await
    });
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let waiting = tokio::time::timeout(Duration::from_secs(9), gone.recv());
    assert!(waiting.await.is_err(), "it waits");
    assert_eq!(tokio::time::timeout(Duration::from_secs(2), gone.recv()).await, Ok(None));
    let upgrading = door.upgrade(&lawful(), None).await.unwrap();
    let failed = async { Err::<NetStream, _>(io::Error::other("gone")) };
    drop(door.serve(upgrading, failed));
    server.stop().await;
}

/// BY-20: an extended CONNECT is answered with 200; a refusal has no header of a connection.
#[tokio::test(start_paused = true)]
async fn by_20_an_extended_connect() {
    let acceptor = Acceptor::new(quiet());
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("https://a/ws")
        .version(Version::HTTP_2)
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .unwrap();
    let upgrading = acceptor.upgrade_extended(&request, "websocket", None).await.unwrap();
    let response = upgrading.response();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
    assert!(response.headers().is_empty(), "{response:?}");
    assert_eq!(upgrading.request().path(), "/ws");
    let (ours, theirs) = duplex(1000);
    let (mut server, _request) = upgrading.open(ours);
    let mut client = WebSocket::from_stream(theirs, Role::Client, acceptor.config());
    client.send("hello").await.unwrap();
    assert_eq!(server.recv().await.unwrap(), Some("hello".into()));
    request.headers_mut().remove("Sec-WebSocket-Version");
    let refused = acceptor.upgrade_extended(&request, "websocket", None).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::UPGRADE_REQUIRED);
    assert!(!refused.headers().contains_key("connection"), "{refused:?}");
    assert!(!refused.headers().contains_key("upgrade"), "{refused:?}");
}

#[cfg(feature = "app")]
mod app {
    use super::*;
    use crate::support::app::{AppClient, AppSite};
    use serde_json::{Value, json};
    use sockeye::app::{App, Context, Route, authenticated};
    use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
    use sockeye::hub::Hub;

    fn by_token() -> impl sockeye::auth::Authenticator {
        authenticate_fn(async |credentials: Credentials| match credentials.token() {
            None => Err(AuthError::Missing),
            Some("wrong") => Err(AuthError::Refused),
            Some(user) => Ok(Identity::new(user)),
        })
    }

    fn echo() -> App {
        App::new()
            .authenticator(by_token())
            .on("who", async |context: Context, _: Value| json!({"user": context.user_id()}))
            .route("/members", Route::events().guard(authenticated()))
            .health("/healthz")
            .hub(Hub::builder().connections_max(2))
    }

    fn with_token(token: &str) -> Connector {
        let value = format!("Bearer {token}").parse().unwrap();
        Connector::new(quiet()).header(http::header::AUTHORIZATION, value)
    }

    /// SV-08, SV-10, BY-22: an application without a listener behind hyper: routes, guards, places and users as on its own
    /// port, sessions go on over another connection, and a stop ends them.
    #[tokio::test]
    async fn sv_08_an_application_attaches_to_a_server() {
        let site = AppSite { running: within(echo().attach()).await.unwrap() };
        assert!(site.running.local_addrs().is_empty());
        let hyper = Hyper::start(site.running.door()).await;
        let (ann, nobody) = (with_token("ann"), Connector::new(quiet()));
        for (connector, path, status) in [
            (&nobody, "/nowhere", 404),
            (&nobody, "/members", 401),
            (&with_token("wrong"), "/ws", 403),
            (&nobody, "/own", 200),
        ] {
            assert_eq!(hyper.refusal(connector, path).await.0, status, "{path}");
        }
        let page = Request::get("/healthz").header("Host", "a").body(()).unwrap();
        let page = site.running.door().upgrade(&page, None).await.unwrap_err();
        assert_eq!((page.status(), &page.body()[..]), (StatusCode::OK, &b"ok\n"[..]));
        let socket = hyper.connect_with(&ann, "/ws").await.unwrap();
        let mut client = AppClient { socket };
        let created = client.created().await;
        client.send("who", json!({})).await;
        assert_eq!(client.expect("who.ack").await, json!({"user": "ann"}));
        // The session is taken over: its place with it.
        let socket = hyper.connect_with(&ann, "/ws?resume=1").await.unwrap();
        let mut next = AppClient { socket };
        let ticket = json!({
            "sessionId": created["sessionId"], "token": created["token"], "received": 1,
        });
        next.send("sys.reconnect.request", ticket).await;
        assert_eq!(next.expect("sys.session.restored").await["restored"], true);
        assert_eq!(u16::from(client.ended().await.code), 4001);
        let (report, outcome) = tokio::join!(site.stop(), next.ended());
        assert_eq!((report.told, report.left), (1, 0));
        assert_eq!(u16::from(outcome.code), 1001);
        assert_eq!(hyper.refusal(&ann, "/ws").await.0, 503);
    }

    /// A place in the hub is taken by who was let in, and given back when the connection never comes.
    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_back() {
        let running = echo().hub(Hub::builder().connections_max(1)).attach().await.unwrap();
        let door = running.door();
        let request = lawful();
        let upgrading = door.upgrade(&request, None).await.unwrap();
        let full = door.upgrade(&request, None).await.unwrap_err();
        assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(upgrading);
        let upgrading = door.upgrade(&request, None).await.unwrap();
        drop(door.serve(upgrading, async { Err::<NetStream, _>(io::Error::other("gone")) }));
        tokio::time::sleep(Duration::from_millis(1)).await;
        let upgrading = door.upgrade(&request, None).await.unwrap();
        drop(running);
        drop(upgrading);
        assert_eq!(
            door.upgrade(&request, None).await.unwrap_err().status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
