//! Our client with servers that nobody here wrote: gorilla/websocket in Go, and nginx as a reverse proxy with TLS
//! in front of our own server. (`ws` and `websockets` are in `tests/browser`.)
//!
//! A program that is not there is told loudly, and is a failure where `SOCKEYE_ALL_PROGRAMS` is set.

#![cfg(all(unix, feature = "ring"))]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sockeye::tls::TlsConnector;
use sockeye::{
    Acceptor, CloseCode, Config, Connector, Deflate, Error, HandshakeError, Message, NetStream,
    Server, WebSocket,
};
use tokio::task::{JoinSet, spawn_blocking};

use crate::support::pair::quiet;
use crate::support::programs::{Running, free_port, listening, not_tested, spawn};
use crate::support::server::within;
use crate::support::tls::{Authority, talk};

/// Where Debian puts the libraries of Go.
const GO_PATH: &str = "/usr/share/gocode";

/// A folder of this test's own, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sockeye-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Each way to compress, and none.
fn modes() -> [Deflate; 4] {
    let small = Deflate::context_takeover().window_bits(10).unwrap();
    [Deflate::disabled(), Deflate::no_context(), Deflate::context_takeover(), small]
}

/// Messages of every kind and length come back as they went, many at once as well.
async fn echoes(socket: &mut WebSocket<NetStream>) {
    let text = "\u{1f41f} the same again and again ".repeat(5000);
    for message in [Message::text(""), Message::text("hello"), Message::text(text)] {
        talk(socket, message).await;
    }
    for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        talk(socket, crate::support::deflate::noise(len, 7).into()).await;
    }
    for number in 0..200 {
        socket.feed(format!("{{\"number\":{number},\"text\":\"much alike\"}}")).unwrap();
    }
    within(socket.flush()).await.unwrap();
    for number in 0..200 {
        let expected = format!("{{\"number\":{number},\"text\":\"much alike\"}}");
        assert_eq!(within(socket.recv()).await.unwrap(), Some(expected.into()));
    }
}

/// The Go server and where it listens.
fn gorilla() -> Option<(Running, String)> {
    let library = Path::new(GO_PATH).join("src/github.com/gorilla/websocket");
    if !library.exists() {
        not_tested("golang-github-gorilla-websocket-dev is not there");
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gorilla/echo.go");
    let mut command = Command::new("go");
    command.arg("run").arg(source).env("GO111MODULE", "off").env("GOPATH", GO_PATH);
    let folder = std::env::temp_dir().join("sockeye-go-cache");
    command.env("GOCACHE", folder).env("GOFLAGS", "").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = spawn(&mut command)?;
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").expect("it builds and listens");
    Some((running, address.to_owned()))
}

/// CL-01, CL-03, CL-07, CP-02, BY-50: gorilla/websocket, with and without compression.
#[tokio::test]
async fn gorilla_websocket() {
    let Some((mut running, address)) = spawn_blocking(gorilla).await.unwrap() else { return };
    for deflate in modes() {
        let connector = Connector::new(quiet()).compression(deflate);
        let connector = connector.subprotocol("other").subprotocol("chat");
        let mut socket = within(connector.connect(&format!("ws://{address}/echo"))).await.unwrap();
        assert_eq!(socket.subprotocol(), Some("chat"));
        let extensions = socket.response().unwrap().headers().get("sec-websocket-extensions");
        // It keeps no context, so where we insist on nothing it compresses each message by itself.
        let is_compressed = extensions.is_some();
        assert_eq!(is_compressed, deflate != Deflate::disabled(), "{deflate:?}: {extensions:?}");
        echoes(&mut socket).await;
        let outcome = within(socket.close(4000, "done")).await.unwrap();
        assert_eq!((outcome.code.as_u16(), outcome.clean), (4000, true));
        let mut socket = within(connector.connect(&format!("ws://{address}/greet"))).await.unwrap();
        assert_eq!(within(socket.recv()).await.unwrap(), Some("pong: there?".into()));
        assert_eq!(within(socket.recv()).await.unwrap(), None);
        let outcome = socket.outcome().unwrap();
        assert_eq!((outcome.code.as_u16(), outcome.reason.as_str()), (4001, "that was all"));
    }
    let error = sockeye::connect(&format!("ws://{address}/none")).await.unwrap_err();
    let Error::Handshake(HandshakeError::UnexpectedStatus(refused)) = error else {
        panic!("{error:?}");
    };
    assert_eq!((refused.status().as_u16(), refused.body()), (404, &b"404 page not found\n"[..]));
    // `go run` is the parent of what it runs, which ends with its input.
    drop(running.0.stdin.take());
    spawn_blocking(move || running.0.wait().unwrap()).await.unwrap();
}

fn nginx_conf(folder: &Path, port: u16, behind: u16) -> String {
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths =
        paths.map(|name| format!("{name}_temp_path {}/{name};", folder.display())).join("\n");
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; {paths}\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;\n\
         location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1;\n\
         proxy_set_header Host $host:$server_port; proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection upgrade; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n",
        folder = folder.display()
    )
}

/// Our echo server, and its port.
async fn behind(tasks: &mut JoinSet<std::io::Result<()>>) -> u16 {
    let mut config = quiet();
    config.deflate = Deflate::context_takeover();
    let server = Server::bind("127.0.0.1:0").await.unwrap().acceptor(Acceptor::new(config));
    let port = server.local_addr().unwrap().port();
    tasks.spawn(server.serve(|mut socket, _| async move {
        while let Ok(Some(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }));
    port
}

/// AU-13, BY-27, CL-01: `wss` through nginx to our server: its TLS and its HTTP between our two ends.
#[tokio::test]
async fn nginx_with_tls() {
    let mut tasks = JoinSet::new();
    let (folder, authority) = (Folder::new("nginx"), Authority::new());
    let issued = authority.issue(&["localhost"]);
    folder.write("chain.pem", &issued.chain);
    folder.write("key.pem", &issued.key);
    let port = free_port();
    let conf = folder.write("nginx.conf", &nginx_conf(&folder.0, port, behind(&mut tasks).await));
    let mut command = Command::new("nginx");
    command.arg("-c").arg(conf).arg("-e").arg(folder.0.join("early.log"));
    let Some(_running) = spawn(&mut command) else { return };
    listening(port).await;
    let url = format!("wss://localhost:{port}/echo?room=1");
    for deflate in modes() {
        let connector = Connector::new(quiet()).compression(deflate).tls(authority.connector());
        let mut socket = within(connector.connect(&url)).await.unwrap();
        echoes(&mut socket).await;
        let outcome = within(socket.close(1000, "")).await.unwrap();
        assert_eq!((outcome.code, outcome.clean), (CloseCode::Normal, true));
    }
    // Who does not trust it sends it nothing.
    let stranger: TlsConnector = Authority::new().connector();
    let error = Connector::new(Config::default()).tls(stranger).connect(&url).await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    // Behind it nobody listens any more: its 502 is an answer.
    tasks.shutdown().await;
    let connector = Connector::new(quiet()).tls(authority.connector());
    let error = within(connector.connect(&url)).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    let Error::Handshake(HandshakeError::UnexpectedStatus(refused)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(refused.status(), 502);
}
