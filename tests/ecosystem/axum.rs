//! The extractor of axum's handlers, in routers of axum's own.

#![cfg(feature = "axum")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::stream::FusedStream as _;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{HeaderValue, ORIGIN};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sockeye::axum::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use sockeye::frame::{Frame, Opcode};
use sockeye::handshake::Offer;
use sockeye::hyper::ExtendedConnect;
use sockeye::net::SocketOwner;
use sockeye::{Connector, Deflate, Error, NetStream, Origins};
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::serving::{Http2, deflating, exchange, refusal};
use crate::support::io::RawPeer;
use crate::support::pair::quiet;
use crate::support::server::{lawful, read_head, request_line, request_with, within};

/// A router on a port of its own, until it is dropped.
struct Site {
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Site {
    async fn start(router: Router) -> Self {
        Self::until(router, std::future::pending()).await
    }

    /// The same, until it is stopped.
    async fn until(router: Router, stopping: impl Future<Output = ()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            axum::serve(listener, router).with_graceful_shutdown(stopping).await.unwrap();
        });
        Self { address, tasks }
    }

    async fn connect(
        &self,
        connector: &Connector,
        path: &str,
    ) -> Result<sockeye::WebSocket<NetStream>, Error> {
        within(connector.connect(&format!("ws://{}{path}", self.address))).await
    }

    async fn peer(&self) -> RawPeer<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&lawful()).await.unwrap();
        let (head, stream) = within(read_head(stream)).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        RawPeer::client(stream)
    }

    /// The status line of an answer.
    async fn status(&self, request: &[u8]) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let (head, _) = within(read_head(stream)).await;
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_))
            && socket.send(message).await.is_err()
        {
            break;
        }
    }
}

/// AX-01: the same route serves HTTP/1.1 and HTTP/2, with a subprotocol and compression.
#[tokio::test]
async fn a_route_serves_both_versions_of_http() {
    async fn handler(upgrade: WebSocketUpgrade) -> Response {
        let requested: Vec<_> = upgrade.requested_protocols().cloned().collect();
        assert!(requested.is_empty() || requested == ["other", "chat"], "{requested:?}");
        let upgrade = upgrade.protocols(["best", "chat", "other"]).deflate(Deflate::no_context());
        let selected = upgrade.selected_protocol().cloned();
        upgrade.on_upgrade(move |socket| {
            assert_eq!(socket.protocol(), selected.as_ref());
            echo(socket)
        })
    }
    let site = Site::start(Router::new().route("/ws", any(handler))).await;
    let connector = Connector::new(deflating()).subprotocol("other").subprotocol("chat");
    let one = site.connect(&connector, "/ws").await.unwrap();
    let offer = Offer::default().subprotocol("other").subprotocol("chat");
    let connect = ExtendedConnect::new(deflating()).offer(offer);
    let mut http2 = Http2::connect(site.address).await;
    let two = http2.open(&connect, "/ws").await.unwrap();
    for mut socket in [one, two] {
        assert_eq!(socket.subprotocol(), Some("chat"));
        assert!(socket.response().unwrap().headers().contains_key("sec-websocket-extensions"));
        for len in [0, 126, 70_000, 1_000_000] {
            exchange(&mut socket, &"x".repeat(len)).await;
        }
        within(socket.close(1000, "done")).await.unwrap();
        assert_eq!(socket.outcome().unwrap().reason, "done");
    }
    let plain = site.connect(&Connector::new(quiet()), "/ws").await.unwrap();
    assert_eq!(plain.subprotocol(), None);
}

/// AX-02: rejections have the statuses of axum's, over both versions.
#[tokio::test]
async fn rejections_have_the_statuses_of_axum() {
    let site = Site::start(
        Router::new().route("/ws", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo))),
    )
    .await;
    for (request, status) in [
        (request_line("POST /ws HTTP/1.1"), 405),
        (request_with("Connection", &["Connection: close"]), 400),
        (request_with("Upgrade", &["Upgrade: h2c"]), 400),
        (request_with("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 8"]), 400),
        (request_with("Sec-WebSocket-Key", &[]), 400),
        (request_with("Origin", &["Origin: https://a", "Origin: https://a"]), 400),
        (request_with("Origin", &["Origin: https://evil.test"]), 403),
        (lawful(), 101),
    ] {
        let text = String::from_utf8_lossy(&request).into_owned();
        assert_eq!(site.status(&request).await, status, "{text}");
    }
    let mut http2 = Http2::connect(site.address).await;
    for (method, protocol, version, status) in [
        ("GET", None, "13", 405),
        ("CONNECT", Some("connect-udp"), "13", 400),
        ("CONNECT", Some("websocket"), "8", 400),
        ("CONNECT", Some("websocket"), "13", 200),
    ] {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}/ws", site.address))
            .header("sec-websocket-version", version)
            .body(http_body_util::Empty::<Bytes>::new())
            .unwrap();
        if let Some(protocol) = protocol {
            let protocol = hyper::ext::Protocol::from_static(protocol);
            request.extensions_mut().insert(protocol);
        }
        let response = within(http2.requests.send_request(request)).await.unwrap();
        assert_eq!(response.status(), status, "{method} {protocol:?} {version}");
    }
    // What no server has read has no stream.
    use axum::extract::FromRequestParts as _;
    let mut parts = http::Request::get("/ws").body(()).unwrap().into_parts().0;
    for line in String::from_utf8(lawful()).unwrap().lines().skip(1) {
        if let Some((name, value)) = line.split_once(": ") {
            let name: http::HeaderName = name.parse().unwrap();
            parts.headers.insert(name, value.parse().unwrap());
        }
    }
    let rejection = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.unwrap_err();
    assert_eq!(rejection.status(), 426);
    assert_eq!(rejection.body_text(), rejection.to_string());
}

/// AX-03: pings, pongs and the close frame are messages, answered already; the end of the stream is told once.
#[tokio::test]
async fn control_frames_are_messages() {
    let (told, mut seen) = mpsc::unbounded_channel();
    let handler = async |State(told): State<mpsc::UnboundedSender<_>>,
                         upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |mut socket| {
            while let Some(message) = socket.next().await {
                told.send(Some(message.unwrap())).unwrap();
            }
            assert!(socket.is_terminated());
            told.send(None).unwrap();
        })
    };
    let site = Site::start(Router::new().route("/ws", any(handler)).with_state(told)).await;
    let mut peer = site.peer().await;
    peer.send(Frame::ping("are you there")).await;
    let pong = within(peer.frame()).await.unwrap();
    assert_eq!((pong.opcode, &pong.payload[..]), (Opcode::Pong, &b"are you there"[..]));
    peer.send(Frame::pong("yes")).await;
    peer.send(Frame::text("text")).await;
    peer.send(Frame::binary("bytes")).await;
    peer.send(Frame::close(4001, "enough").unwrap()).await;
    assert_eq!(within(peer.close_code()).await, Some(4001));
    let frame = CloseFrame { code: 4001, reason: "enough".into() };
    for expected in [
        Message::Ping("are you there".into()),
        Message::Pong("yes".into()),
        Message::text("text"),
        Message::binary("bytes"),
        Message::Close(Some(frame)),
    ] {
        assert_eq!(within(seen.recv()).await.unwrap(), Some(expected));
    }
    assert_eq!(within(seen.recv()).await, Some(None), "the handler has ended");
}

/// AX-04: the limits that are set hold, a close frame is checked, and what is not masked is never taken.
#[tokio::test]
async fn limits_hold() {
    let (told, mut refused) = mpsc::unbounded_channel();
    let handler = async |State(told): State<mpsc::UnboundedSender<_>>,
                         upgrade: WebSocketUpgrade| {
        upgrade
            .max_message_size(1000)
            .max_frame_size(100)
            .read_buffer_size(1)
            .write_buffer_size(1)
            .max_write_buffer_size(1)
            .accept_unmasked_frames(true)
            .on_upgrade(async move |mut socket| {
                let bad = CloseFrame { code: close_code::ABNORMAL, reason: "".into() };
                let error = socket.send(Message::Close(Some(bad))).await.unwrap_err();
                told.send(error.to_string()).unwrap();
                echo(socket).await;
            })
    };
    let site = Site::start(Router::new().route("/ws", any(handler)).with_state(told)).await;
    for (frames, code) in [
        (vec![Frame::text(&"x".repeat(100))], None),
        (vec![Frame::text(&"x".repeat(101))], Some(1009)),
        (fragments(11), Some(1009)),
    ] {
        let mut peer = site.peer().await;
        for frame in frames {
            peer.send(frame).await;
        }
        match code {
            Some(code) => assert_eq!(within(peer.close_code()).await, Some(code)),
            None => assert_eq!(within(peer.data()).await.unwrap().payload.len(), 100),
        }
        assert!(within(refused.recv()).await.unwrap().contains("1006"));
    }
    let mut unmasked = site.peer().await;
    unmasked.write(&Frame::text("bare").encode()).await;
    assert_eq!(within(unmasked.close_code()).await, Some(1002));
}

/// A message of this many pieces of 100 bytes.
fn fragments(count: usize) -> Vec<Frame> {
    let piece = |at: usize| {
        let opcode = if at == 0 { Opcode::Binary } else { Opcode::Continuation };
        let mut frame = Frame::new(opcode, vec![0; 100]);
        frame.fin = at + 1 == count;
        frame
    };
    (0..count).map(piece).collect()
}

/// AX-05: a stop of the owner closes all with 1001, over both versions, and then axum's server ends as well.
#[tokio::test]
async fn an_owner_drains() {
    let owner = SocketOwner::new(Duration::from_secs(5));
    let handler = async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo);
    let native = async |upgrade: WebSocketUpgrade, State(tasks): State<_>| {
        upgrade.owned_by(tasks).on_upgrade_native(async |mut socket| {
            while let Ok(Some(message)) = socket.recv().await {
                assert!(message.as_data().is_some(), "no control frames here");
                socket.send(message).await.unwrap();
            }
        })
    };
    let router = Router::new().route("/native", any(native)).with_state(owner.tasks());
    let owned = Router::new().route("/ws", any(handler)).layer(Extension(owner.tasks()));
    let (ask, asked) = oneshot::channel::<()>();
    let stopping = async {
        asked.await.unwrap();
        owner.stop().await;
    };
    let mut site = Site::until(router.merge(owned), stopping).await;
    let connector = Connector::new(quiet());
    let mut http2 = Http2::connect(site.address).await;
    let mut sockets = vec![
        site.connect(&connector, "/ws").await.unwrap(),
        site.connect(&connector, "/native").await.unwrap(),
        http2.open_quiet("/ws").await,
        http2.open_quiet("/native").await,
    ];
    for socket in &mut sockets {
        exchange(socket, "hello").await;
    }
    ask.send(()).unwrap();
    for socket in &mut sockets {
        assert!(matches!(within(socket.recv()).await, Ok(None)));
        assert_eq!(u16::from(socket.outcome().unwrap().code), 1001);
    }
    within(site.tasks.join_next()).await.unwrap().unwrap();
}

/// AX-10: an owner that has stopped takes nobody in any more; without one it is a task of nobody's.
#[tokio::test]
async fn a_stopped_owner_takes_nobody() {
    let owner = SocketOwner::new(Duration::from_secs(5));
    let handler = async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo);
    let owned = Router::new().route("/ws", any(handler)).layer(Extension(owner.tasks()));
    let site = Site::start(owned.route("/free", any(handler))).await;
    let connector = Connector::new(quiet());
    let mut free = site.connect(&connector, "/free").await.unwrap();
    site.connect(&connector, "/ws").await.unwrap();
    within(owner.stop()).await;
    assert_eq!(refusal(site.connect(&connector, "/ws").await).status(), 503);
    exchange(&mut free, "still here").await;
}

/// AX-06: what was answered and comes to nothing is told; a page of another host is let in where it is said.
#[tokio::test]
async fn failures_are_told_and_origins_chosen() {
    let (told, mut failed) = mpsc::unbounded_channel::<String>();
    let failing = async move |upgrade: WebSocketUpgrade| {
        let told = told.clone();
        upgrade
            .on_failed_upgrade(move |error: axum::Error| told.send(error.to_string()).unwrap())
            .on_upgrade(async |_| panic!("nothing is opened"))
    };
    // A server that hands no connections over.
    let (mut client, stream) = duplex(4096);
    let service = TowerToHyperService::new(Router::new().route("/ws", any(failing)));
    let builder = hyper::server::conn::http1::Builder::new();
    let connection = tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
    client.write_all(&lawful()).await.unwrap();
    assert!(!within(failed.recv()).await.unwrap().is_empty());
    drop(within(connection).await);
    let open = async |upgrade: WebSocketUpgrade| upgrade.origins(Origins::Any).on_upgrade(echo);
    let wrong = async |mut upgrade: WebSocketUpgrade| {
        upgrade.set_selected_protocol(HeaderValue::from_static("not-offered"));
        upgrade.on_upgrade(echo)
    };
    let router = Router::new().route("/open", any(open)).route("/wrong", any(wrong));
    let site = Site::start(router).await;
    let evil = HeaderValue::from_static("https://elsewhere.test");
    let connector = Connector::new(quiet()).header(ORIGIN, evil);
    let mut socket = site.connect(&connector, "/open").await.unwrap();
    exchange(&mut socket, "hello").await;
    let plain = Connector::new(quiet());
    assert_eq!(refusal(site.connect(&plain, "/wrong").await).status(), 500);
}

/// AX-07: messages convert as axum's do.
#[test]
fn messages_convert() {
    let text = Utf8Bytes::from_static("héllo");
    assert_eq!(text, "héllo");
    assert_eq!(Utf8Bytes::from(&"a".to_owned()), Utf8Bytes::try_from(vec![b'a']).unwrap());
    assert!(Utf8Bytes::try_from(Bytes::from_static(&[0xff])).is_err());
    assert_eq!((text.len(), text.as_str(), text.to_string().as_str()), (6, "héllo", "héllo"));
    assert_eq!(Message::from("a"), Message::Text("a".into()));
    assert_eq!(Message::from("a".to_owned()), Message::text("a"));
    assert_eq!(Message::from(&b"a"[..]), Message::binary("a"));
    assert_eq!(Message::from(vec![1]), Message::from(Bytes::from_static(&[1])));
    assert_eq!(Vec::from(Message::text("a")), b"a");
    let close = Message::Close(Some(CloseFrame { code: 1000, reason: "done".into() }));
    assert_eq!(close.to_text().unwrap(), "done");
    assert_eq!(close.clone().into_text().unwrap(), "done");
    assert_eq!(close.into_data(), "done");
    assert_eq!(Message::Close(None).to_text().unwrap(), "");
    assert_eq!(Message::Ping("p".into()).into_text().unwrap(), "p");
    assert!(Message::binary(vec![0xff]).to_text().is_err());
    assert!(Message::Pong(vec![0xff].into()).into_text().is_err());
}

/// AX-08: it is a `Stream` and a `Sink`, which futures-util splits.
#[tokio::test]
async fn it_splits() {
    let handler = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |socket| {
            let (mut sink, mut stream) = socket.split();
            while let Some(Ok(Message::Text(text))) = stream.next().await {
                sink.feed(Message::text("you said")).await.unwrap();
                sink.send(Message::Text(text)).await.unwrap();
            }
            sink.close().await.unwrap();
        })
    };
    let site = Site::start(Router::new().route("/ws", any(handler))).await;
    let mut socket = site.connect(&Connector::new(quiet()), "/ws").await.unwrap();
    socket.send("hello").await.unwrap();
    assert_eq!(within(socket.recv()).await.unwrap(), Some("you said".into()));
    assert_eq!(within(socket.recv()).await.unwrap(), Some("hello".into()));
    socket.send(sockeye::Message::binary(vec![1])).await.unwrap();
    assert!(matches!(within(socket.recv()).await, Ok(None)));
    assert_eq!(u16::from(socket.outcome().unwrap().code), 1000);
}
