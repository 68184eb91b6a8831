//! A running server under attack: raw sockets against it, and a healthy client that must not notice.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sockeye::frame::Frame;
use sockeye::{
    Acceptor, CloseOutcome, Config, Connection, Connector, Handler, MessageRef, NetStream, Server,
    WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::io::RawPeer;
use super::pair::quiet;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The faces a server can use, for an attack has to fail on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Handler,
    Recv,
    Split,
}

pub(crate) const FACES: [Face; 3] = [Face::Handler, Face::Recv, Face::Split];

/// Limits that an attack reaches soon.
pub(crate) fn small() -> Config {
    let mut config = quiet();
    config.message_bytes_max = 64 * 1024;
    config.fragments_max = 1000;
    config
}

/// The lines of a lawful request, each by its name.
const LAWFUL: [&str; 5] = [
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// A request with these header lines in the place of the lawful ones of that name.
pub(crate) fn request_with(name: &str, lines: &[&str]) -> Vec<u8> {
    let is_named = |line: &&str| !line.starts_with(&format!("{name}:"));
    let rest = LAWFUL.into_iter().filter(is_named);
    let lines: Vec<_> = rest.chain(lines.iter().copied()).collect();
    format!("GET /ws HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

pub(crate) fn lawful() -> Vec<u8> {
    request_with("", &[])
}

/// A request with another request line.
pub(crate) fn request_line(line: &str) -> Vec<u8> {
    format!("{line}\r\n{}\r\n\r\n", LAWFUL.join("\r\n")).into_bytes()
}

/// A request for this target, with these header lines beside the lawful ones.
pub(crate) fn request_for(target: &str, lines: &[&str]) -> Vec<u8> {
    let lines: Vec<_> = LAWFUL.into_iter().chain(lines.iter().copied()).collect();
    format!("GET {target} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// What followed the head so far.
    pub(crate) rest: Vec<u8>,
    /// Open after a 101; else the server has closed it.
    pub(crate) stream: Option<TcpStream>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The upgraded connection.
    pub(crate) fn into_peer(self) -> RawPeer<TcpStream> {
        assert_eq!(self.status, 101, "{}", self.head);
        RawPeer::client(self.stream.expect("open")).with_input(self.rest)
    }
}

/// Counts the connections that are alive.
struct Live(Arc<AtomicUsize>);

impl Live {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sends back what comes and reports how the connection ended.
pub(crate) struct Echo {
    outcomes: mpsc::UnboundedSender<CloseOutcome>,
}

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        if message.as_bytes() == b"panic" {
            // Unwinds as a panic does, without a word on the terminal.
            std::panic::resume_unwind(Box::new("as asked"));
        }
        let _ = connection.send(message);
    }

    fn on_close(&mut self, outcome: &CloseOutcome) {
        let _ = self.outcomes.send(outcome.clone());
    }
}

/// Takes what comes and says nothing.
pub(crate) struct Deaf;

impl Handler for Deaf {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

async fn echo(
    face: Face,
    mut socket: WebSocket<NetStream>,
    outcomes: mpsc::UnboundedSender<CloseOutcome>,
) {
    match face {
        Face::Handler => drop(socket.run(Echo { outcomes }).await),
        Face::Recv => {
            while let Ok(Some(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
            socket.outcome().into_iter().for_each(|outcome| drop(outcomes.send(outcome.clone())));
        }
        Face::Split => {
            let (sender, mut receiver) = socket.split();
            while let Ok(Some(message)) = receiver.recv().await {
                if sender.send(message).await.is_err() {
                    break;
                }
            }
            // What is sent after the end fails before its reason is known.
            while let Ok(Some(_)) = receiver.recv().await {}
            receiver.outcome().into_iter().for_each(|outcome| drop(outcomes.send(outcome)));
        }
    }
}

/// A server and its healthy client.
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    pub(crate) face: Face,
    pub(crate) outcomes: mpsc::UnboundedReceiver<CloseOutcome>,
    healthy: WebSocket<NetStream>,
    served: u32,
    live: Arc<AtomicUsize>,
    serving: JoinHandle<io::Result<()>>,
}

impl Site {
    /// A server with small limits; its healthy client has been served once.
    pub(crate) async fn start(face: Face) -> Self {
        Self::with(face, Acceptor::new(small())).await
    }

    pub(crate) async fn with(face: Face, acceptor: Acceptor) -> Self {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        Self::on(server, face, acceptor).await
    }

    pub(crate) async fn on(server: Server, face: Face, acceptor: Acceptor) -> Self {
        let addr = server.local_addr().unwrap();
        let live = Arc::<AtomicUsize>::default();
        let (ended, outcomes) = mpsc::unbounded_channel();
        let count = live.clone();
        let serving = tokio::spawn(server.acceptor(acceptor).serve(move |socket, _| {
            let (live, ended) = (Live::enter(&count), ended.clone());
            async move {
                echo(face, socket, ended).await;
                drop(live);
            }
        }));
        let url = format!("ws://{addr}/healthy");
        let healthy = Connector::new(quiet()).connect(&url).await.unwrap();
        let mut site = Self { addr, face, outcomes, healthy, served: 0, live, serving };
        site.check().await;
        site
    }

    /// The healthy client is served.
    pub(crate) async fn check(&mut self) {
        self.served += 1;
        let text = format!("healthy {}", self.served);
        self.healthy.send(text.as_str()).await.unwrap();
        let answer = timeout(LONG, self.healthy.recv()).await.expect("the healthy client waits");
        assert_eq!(answer.unwrap().unwrap().as_text(), Some(text.as_str()));
    }

    pub(crate) async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Writes a request, in these pieces, and reads the answer: a 101, or all up to the end.
    pub(crate) async fn request_in(&mut self, pieces: &[&[u8]]) -> Reply {
        let mut stream = self.raw().await;
        stream.set_nodelay(true).unwrap();
        let (mut reader, mut writer) = stream.split();
        let writing = async {
            for piece in pieces {
                // The server may refuse and close before it has all.
                if writer.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        let (bytes, ()) = tokio::join!(read_reply(&mut reader), async {
            writing.await;
            self.check().await;
        });
        let mut reply = parse(&bytes);
        reply.stream = (reply.status == 101).then_some(stream);
        reply
    }

    pub(crate) async fn request(&mut self, request: &[u8]) -> Reply {
        self.request_in(&[request]).await
    }

    /// A raw client behind its handshake.
    pub(crate) async fn peer(&mut self) -> RawPeer<TcpStream> {
        self.request(&lawful()).await.into_peer()
    }

    /// Waits until nobody but the healthy client is connected.
    pub(crate) async fn is_alone(&self) {
        let alone = async {
            while self.live.load(Ordering::SeqCst) > 1 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, alone).await.expect("an attacker's connection is still there");
    }

    /// The attacks are over: nothing is left of them, and old and new clients are served.
    pub(crate) async fn end(mut self) {
        self.is_alone().await;
        self.check().await;
        let mut newcomer = sockeye::connect(&format!("ws://{}/new", self.addr)).await.unwrap();
        newcomer.send("hello").await.unwrap();
        assert_eq!(newcomer.recv().await.unwrap(), Some("hello".into()));
        assert!(!self.serving.is_finished());
        self.serving.abort();
    }
}

/// Bytes up to the end of the stream, or of the head of a 101.
pub(crate) async fn read_reply(reader: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let has_head = bytes.windows(4).any(|window| window == b"\r\n\r\n");
            if has_head && bytes.starts_with(b"HTTP/1.1 101 ") {
                return;
            }
            // A reset behind the answer is an end, too.
            match reader.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    timeout(LONG, reading).await.expect("the server neither answers nor closes");
    bytes
}

/// Reads the head of an answer and not a byte more.
pub(crate) async fn read_head(mut stream: TcpStream) -> (String, TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

pub(crate) fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| digits.parse().ok());
    Reply {
        status: status.unwrap_or_else(|| panic!("no status: {head}")),
        head,
        rest: bytes[end + 4..].to_vec(),
        stream: None,
    }
}

/// Writes an attack to a fresh connection and expects this close code, then the end, on every face.
pub(crate) async fn refused(config: &Config, code: u16, attacks: &[(&str, Vec<u8>)]) {
    for face in FACES {
        let mut site = Site::with(face, Acceptor::new(config.clone())).await;
        for (name, bytes) in attacks {
            let mut peer = site.peer().await;
            peer.write(bytes).await;
            site.check().await;
            let came = within(peer.close_code()).await;
            assert_eq!(came, Some(code), "{face:?}: {name}");
            assert_eq!(within(peer.frame()).await, None, "{face:?}: {name}: nothing follows");
        }
        site.end().await;
    }
}

/// Writes frames to a fresh connection and expects these frames back; then the connection is well.
pub(crate) async fn served(config: &Config, sent: &[u8], answers: &[Frame]) {
    for face in FACES {
        let mut site = Site::with(face, Acceptor::new(config.clone())).await;
        let mut peer = site.peer().await;
        peer.write(sent).await;
        for answer in answers {
            assert_eq!(within(peer.frame()).await.as_ref(), Some(answer), "{face:?}");
        }
        peer.send(Frame::text("well")).await;
        assert_eq!(within(peer.frame()).await, Some(Frame::text("well")), "{face:?}");
        drop(peer);
        site.end().await;
    }
}

/// What a test waits for comes in time.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(LONG, future).await.expect("nothing comes")
}

/// Room for a descriptor at each end of many connections. What the system does not allow shows at the
/// connect.
#[cfg(unix)]
pub(crate) fn allow_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(not(unix))]
pub(crate) fn allow_descriptors() {}
