//! Two nodes behind nginx and HAProxy, with the configurations in `examples/proxy` as they are but for ports and times.
//!
//! A program that is not there is told loudly, and is a failure where `SOCKEYE_ALL_PROGRAMS` is set.

#![cfg(all(unix, feature = "app"))]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use serde_json::{Value, json};
use sockeye::app::{App, Route};
use sockeye::frame::{Frame, Opcode};
use sockeye::handshake::{ForwardedHeader, TrustedProxies};
use sockeye::hub::{Hub, HubBuilder};
use sockeye::{
    Acceptor, CloseOutcome, Config, Connector, Error, HandshakeError, NetStream, WebSocket,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

use crate::support::app::AppSite;
use crate::support::io::RawPeer;
use crate::support::pair::quiet;
use crate::support::programs::{Running, free_port, listening, spawn};
use crate::support::server::{read_head, request_for, within};

/// Longer than what a proxy keeps of one connection in its buffers.
const LARGE: usize = 3 << 20;

/// How often the nodes ping, and how long a connection may be silent at the proxies here.
const PING_INTERVAL: Duration = Duration::from_millis(250);
const SILENT_MAX: &str = "1s";

/// How a node learns who its client is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    ByHeader,
    ByProxyProtocol,
}

/// A proxy and two nodes, until they are dropped.
struct Front {
    port: u16,
    /// Each with its name; `None`: it was killed.
    nodes: [Option<AppSite>; 2],
    /// How connections ended, as their nodes see it.
    outcomes: mpsc::UnboundedReceiver<CloseOutcome>,
    _running: Running,
    _folder: Folder,
}

/// A folder of this test's own, until it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A configuration as it is shipped, with other ports: each text has to be there, so often.
fn shipped(name: &str, changes: &[(&str, String, usize)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/proxy").join(name);
    let text = fs::read_to_string(path).unwrap();
    changes.iter().fold(text, |text, (old, new, times)| {
        assert_eq!(text.matches(old).count(), *times, "{name}: {old}");
        text.replace(old, new)
    })
}

/// Says who it is, sends back what comes, and closes where it is asked to.
fn node(name: &'static str, told: Told, ended: &mpsc::UnboundedSender<CloseOutcome>) -> App {
    let mut config = Config::default();
    config.ping_interval = Some(PING_INTERVAL);
    config.message_bytes_max = 2 * LARGE;
    config.outbox_bytes_max = 4 * LARGE;
    let hub: HubBuilder = Hub::builder().config(config.clone());
    let proxies = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    let (hub, acceptor) = match told {
        Told::ByHeader => {
            (hub.behind(proxies, ForwardedHeader::XForwardedFor), Acceptor::default())
        }
        Told::ByProxyProtocol => (hub, Acceptor::default().proxy_protocol(proxies)),
    };
    let ended = ended.clone();
    let echo = Route::raw(move |mut socket, _, peer| {
        let ended = ended.clone();
        async move {
            let hello = json!({"node": name, "address": peer.address()});
            let _ = socket.send(hello.to_string()).await;
            while let Ok(Some(message)) = socket.recv().await {
                if message.as_text() == Some("close") {
                    let _ = socket.close(4003, "enough").await;
                    break;
                }
                if socket.send(message).await.is_err() {
                    break;
                }
            }
            // Nobody may be interested any more.
            let _ = socket.outcome().map(|outcome| ended.send(outcome.clone()));
        }
    });
    App::new().hub(hub).acceptor(acceptor).health("/healthz").route("/ws", echo)
}

impl Front {
    /// `None` where the program is missing.
    async fn start(
        told: Told,
        command: impl FnOnce(&Path, u16, [u16; 2]) -> Command,
    ) -> Option<Self> {
        let (ended, outcomes) = mpsc::unbounded_channel();
        let one = AppSite::start(node("one", told, &ended)).await;
        let two = AppSite::start(node("two", told, &ended)).await;
        let ports = [&one, &two].map(|site| site.running.local_addrs()[0].port());
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("sockeye-proxy-{port}"));
        fs::create_dir_all(&folder).unwrap();
        let folder = Folder(folder);
        let mut command = command(&folder.0, port, ports);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let running = spawn(&mut command)?;
        listening(port).await;
        Some(Self {
            port,
            nodes: [Some(one), Some(two)],
            outcomes,
            _running: running,
            _folder: folder,
        })
    }

    async fn nginx() -> Option<Self> {
        Self::start(Told::ByHeader, |folder, port, nodes| {
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let paths = paths.map(|name| format!("{name}_temp_path {}/{name};", folder.display()));
            let text = shipped(
                "nginx.conf",
                &[
                    ("http {\n", format!("http {{ access_log off; {}\n", paths.join(" ")), 1),
                    ("worker_connections 16384;", "worker_connections 64;".to_owned(), 1),
                    ("listen 8080;", format!("listen 127.0.0.1:{port};"), 1),
                    ("127.0.0.1:8081", format!("127.0.0.1:{}", nodes[0]), 1),
                    ("127.0.0.1:8082", format!("127.0.0.1:{}", nodes[1]), 1),
                    ("75s", SILENT_MAX.to_owned(), 2),
                ],
            );
            let conf = folder.join("nginx.conf");
            fs::write(&conf, text).unwrap();
            let early = folder.join("early.log");
            let global = format!(
                "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;",
                folder = folder.display()
            );
            let mut command = Command::new("nginx");
            command.arg("-c").arg(conf).arg("-e").arg(early).args(["-g", &global]);
            command
        })
        .await
    }

    async fn haproxy() -> Option<Self> {
        Self::start(Told::ByProxyProtocol, |folder, port, nodes| {
            let text = shipped(
                "haproxy.cfg",
                &[
                    ("maxconn 8000", "maxconn 64".to_owned(), 1),
                    ("bind :8080", format!("bind 127.0.0.1:{port}"), 1),
                    ("127.0.0.1:8081", format!("127.0.0.1:{}", nodes[0]), 1),
                    ("127.0.0.1:8082", format!("127.0.0.1:{}", nodes[1]), 1),
                    ("75s", SILENT_MAX.to_owned(), 3),
                ],
            );
            let conf = folder.join("haproxy.cfg");
            fs::write(&conf, text).unwrap();
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-q").arg("-f").arg(conf);
            command
        })
        .await
    }

    fn connector(&self) -> Connector {
        let origin = format!("http://127.0.0.1:{}", self.port);
        let origin = HeaderValue::from_str(&origin).unwrap();
        Connector::new(quiet()).header(http::header::ORIGIN, origin)
    }

    async fn try_connect(&self, connector: &Connector) -> Result<WebSocket<NetStream>, Error> {
        within(connector.connect(&format!("ws://127.0.0.1:{}/ws", self.port))).await
    }

    /// A connection, and what its node said first.
    async fn connect(&self, connector: &Connector) -> (WebSocket<NetStream>, Value) {
        let mut socket = self.try_connect(connector).await.unwrap();
        let hello = within(socket.recv()).await.unwrap().unwrap();
        (socket, serde_json::from_str(hello.as_text().unwrap()).unwrap())
    }

    /// One from another address, who writes headers of its own; frames by hand.
    async fn raw(&self, lines: &[&str]) -> RawPeer<tokio::net::TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = within(socket.connect(address)).await.unwrap();
        stream.write_all(&request_for("/ws", lines)).await.unwrap();
        let (head, stream) = read_head(stream).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        RawPeer::client(stream)
    }

    /// As a process that is killed: its connections are cut, and nobody listens there any more.
    fn kill(&mut self, name: &Value) {
        let at = ["one", "two"].iter().position(|known| name == known).unwrap();
        self.nodes[at] = None;
    }
}

/// What holds through every proxy.
async fn carries_all(mut front: Front) {
    // The page's origin is the host that the node sees, and the subprotocol comes back.
    let connector = front.connector().subprotocol("other").subprotocol("sockeye.v1");
    let (mut socket, _) = front.connect(&connector).await;
    assert_eq!(socket.subprotocol(), Some("sockeye.v1"));
    for text in ["", "hello", &"x".repeat(LARGE)] {
        within(socket.send(text)).await.unwrap();
        assert!(within(socket.recv()).await.unwrap() == Some(text.into()), "{} bytes", text.len());
    }
    let noise = crate::support::deflate::noise(LARGE, 7);
    within(socket.send(noise.clone())).await.unwrap();
    assert!(within(socket.recv()).await.unwrap() == Some(noise.into()));
    // Close codes pass in both directions.
    let outcome = within(socket.close(4000, "done")).await.unwrap();
    assert_eq!((outcome.code.as_u16(), outcome.clean), (4000, true));
    // Others may have ended before.
    let is_told = async {
        while front.outcomes.recv().await.is_none_or(|seen| seen.code.as_u16() != 4000) {}
    };
    within(is_told).await;
    let (mut socket, _) = front.connect(&connector).await;
    socket.send("close").await.unwrap();
    assert_eq!(within(socket.recv()).await.unwrap(), None);
    let outcome = socket.outcome().unwrap();
    assert_eq!((outcome.code.as_u16(), outcome.reason.as_str()), (4003, "enough"));
    idle_and_known(&front).await;
    a_node_is_killed(front).await;
}

/// A silent connection lives by the pings of its node for longer than the proxy lets one be silent; and its node knows who
/// the client is, whatever that claims.
async fn idle_and_known(front: &Front) {
    let mut peer = front.raw(&["X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6"]).await;
    let hello = within(peer.data()).await.expect("it is let in");
    let hello: Value = serde_json::from_slice(&hello.payload).unwrap();
    assert_eq!(hello["address"], "127.0.0.2");
    for _ in 0..10 {
        let ping = within(peer.frame()).await.expect("it stays open");
        assert_eq!(ping.opcode, Opcode::Ping);
        peer.send(Frame::pong(ping.payload)).await;
    }
    peer.send(Frame::text("still here")).await;
    assert_eq!(within(peer.data()).await, Some(Frame::text("still here")));
}

/// Whose node is killed comes to the other, and where there is none the answer says that trying again may help.
async fn a_node_is_killed(mut front: Front) {
    let (mut socket, hello) = front.connect(&front.connector()).await;
    let node = hello["node"].clone();
    front.kill(&node);
    let ended = within(socket.recv()).await;
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    for _ in 0..3 {
        let (mut socket, hello) = front.connect(&front.connector()).await;
        assert_ne!(hello["node"], node);
        within(socket.close(1000, "")).await.unwrap();
    }
    front.nodes = [None, None];
    let error = front.try_connect(&front.connector()).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    let Error::Handshake(HandshakeError::UnexpectedStatus(refused)) = error else {
        panic!("{error:?}");
    };
    assert!([502, 503].contains(&refused.status().as_u16()), "{refused:?}");
}

/// BY-23, row 63: all of it through nginx, which tells the client's address by a header, and sends who comes from one address to one
/// node.
#[tokio::test]
async fn through_nginx() {
    let Some(front) = Front::nginx().await else { return };
    let (_socket, first) = front.connect(&front.connector()).await;
    for _ in 0..3 {
        assert_eq!(front.connect(&front.connector()).await.1["node"], first["node"]);
    }
    carries_all(front).await;
}

/// BY-23, row 63: all of it through HAProxy, which tells the client's address by the PROXY protocol, spreads who comes, and knows by a
/// cookie who was there.
#[tokio::test]
async fn through_haproxy() {
    let Some(front) = Front::haproxy().await else { return };
    let (one, first) = front.connect(&front.connector()).await;
    let (_two, second) = front.connect(&front.connector()).await;
    assert_ne!(first["node"], second["node"], "where the fewest are");
    let cookie = one.response().unwrap().headers().get(SET_COOKIE).unwrap().to_str().unwrap();
    let cookie = HeaderValue::from_str(cookie.split(';').next().unwrap()).unwrap();
    for _ in 0..3 {
        let connector = front.connector().header(COOKIE, cookie.clone());
        assert_eq!(front.connect(&connector).await.1["node"], first["node"]);
    }
    carries_all(front).await;
}
