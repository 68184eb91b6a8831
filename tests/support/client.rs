//! A network in memory for clients: names, addresses that answer or not, and servers by hand.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::client::{BoxFuture, Dial, Tls};
use sockeye::handshake::accept_key;
use sockeye::{Config, Connector, NetStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::io::RawPeer;

/// What an address does with who connects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Conduct {
    Accept(Duration),
    Refuse(Duration),
    Silent,
}

/// What a server says to the head of a request; `ACCEPT` stands for the answer to its key.
type Script = Box<dyn Fn(SocketAddr, &str) -> Vec<u8> + Send + Sync>;

#[derive(Default)]
struct State {
    names: HashMap<String, Vec<IpAddr>>,
    conducts: HashMap<SocketAddr, Conduct>,
    /// Addresses that were dialled, and when, in milliseconds since the beginning.
    dialled: Vec<(u128, SocketAddr)>,
    resolved: Vec<String>,
    sockets: Vec<PathBuf>,
    heads: Vec<(SocketAddr, String)>,
    /// Connections stay open.
    open: Vec<DuplexStream>,
    /// Connections whose request was not read by a script.
    raw: VecDeque<DuplexStream>,
}

/// The network. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
    script: Option<Arc<Script>>,
    accepted: Arc<Notify>,
    start: Instant,
}

/// A lawful answer.
pub(crate) const LAWFUL: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";

impl Net {
    /// Servers that answer with this script.
    pub(crate) fn new(
        script: impl Fn(SocketAddr, &str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { script: Some(Arc::new(Box::new(script))), ..Self::silent() }
    }

    /// Servers that upgrade every request.
    pub(crate) fn lawful() -> Self {
        Self::new(|_, _| LAWFUL.into())
    }

    /// Servers that are played by the test: see [`accept`](Self::accept).
    pub(crate) fn silent() -> Self {
        Self {
            state: Arc::default(),
            script: None,
            accepted: Arc::default(),
            start: Instant::now(),
        }
    }

    pub(crate) fn name(self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.state.lock().unwrap().names.insert(name.to_owned(), addresses);
        self
    }

    /// An address, with its port, that does this; the others accept at once.
    pub(crate) fn conduct(self, address: &str, conduct: Conduct) -> Self {
        self.state.lock().unwrap().conducts.insert(address.parse().unwrap(), conduct);
        self
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(Config::default()).dial(self.clone())
    }

    /// What was dialled, as `ms address`.
    pub(crate) fn dialled(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.dialled.iter().map(|(ms, address)| format!("{ms} {address}")).collect()
    }

    pub(crate) fn resolved(&self) -> Vec<String> {
        self.state.lock().unwrap().resolved.clone()
    }

    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        self.state.lock().unwrap().sockets.clone()
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<(SocketAddr, String)> {
        self.state.lock().unwrap().heads.clone()
    }

    /// The server's end of the next connection, where there is no script.
    pub(crate) async fn accept(&self) -> DuplexStream {
        loop {
            let next = self.state.lock().unwrap().raw.pop_front();
            match next {
                Some(stream) => return stream,
                None => self.accepted.notified().await,
            }
        }
    }

    /// The same behind a lawful handshake, as frames.
    pub(crate) async fn upgrade(&self) -> RawPeer<DuplexStream> {
        let mut stream = self.accept().await;
        let head = read_head(&mut stream).await.unwrap();
        stream.write_all(&with_accept(LAWFUL.as_bytes(), &head)).await.unwrap();
        RawPeer::server(stream)
    }

    fn serve(&self, address: SocketAddr, mut stream: DuplexStream) {
        let Some(script) = self.script.clone() else {
            self.state.lock().unwrap().raw.push_back(stream);
            self.accepted.notify_one();
            return;
        };
        let state = self.state.clone();
        tokio::spawn(async move {
            let Some(head) = read_head(&mut stream).await else { return };
            let answer = with_accept(&script(address, &head), &head);
            state.lock().unwrap().heads.push((address, head));
            // Who refuses may be gone before it has all.
            let _ = stream.write_all(&answer).await;
            state.lock().unwrap().open.push(stream);
        });
    }
}

/// The head of a request; `None` at the end of the stream.
pub(crate) async fn read_head(stream: &mut DuplexStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// An answer in which `ACCEPT` is the answer to this head's key.
pub(crate) fn with_accept(answer: &[u8], head: &str) -> Vec<u8> {
    let key = head.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let at = answer.windows(6).position(|window| window == b"ACCEPT");
    match (key, at) {
        (Some(key), Some(at)) => {
            [&answer[..at], &accept_key(key.as_bytes()), &answer[at + 6..]].concat()
        }
        _ => answer.to_vec(),
    }
}

/// The value of a header of a head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Lets time pass; real only where it is not paused.
async fn pass(time: Duration) {
    let _ = timeout(time, pending::<()>()).await;
}

impl Dial for Net {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let mut state = self.state.lock().unwrap();
        state.resolved.push(host.to_owned());
        let addresses = state.names.get(host).cloned();
        Box::pin(async move {
            let addresses = addresses.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
            Ok(addresses.into_iter().map(|address| (address, port).into()).collect())
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<NetStream>> {
        let mut state = self.state.lock().unwrap();
        state.dialled.push((self.start.elapsed().as_millis(), address));
        let conduct = state.conducts.get(&address).copied();
        drop(state);
        Box::pin(async move {
            match conduct.unwrap_or(Conduct::Accept(Duration::ZERO)) {
                Conduct::Accept(Duration::ZERO) => {}
                Conduct::Accept(after) => pass(after).await,
                Conduct::Refuse(after) => {
                    pass(after).await;
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Conduct::Silent => pending().await,
            }
            let (client, server) = duplex(64 * 1024);
            self.serve(address, server);
            Ok(NetStream::boxed(client))
        })
    }

    fn connect_unix<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<NetStream>> {
        self.state.lock().unwrap().sockets.push(path.to_owned());
        self.connect(([0, 0, 0, 0], 0).into())
    }
}

/// TLS that only says to whom: the name comes first on the stream, and a line end.
pub(crate) struct PlainTls;

impl Tls for PlainTls {
    fn connect<'a>(
        &'a self,
        host: &'a str,
        mut stream: NetStream,
    ) -> BoxFuture<'a, io::Result<NetStream>> {
        Box::pin(async move {
            stream.write_all(format!("TLS {host}\r\n").as_bytes()).await?;
            Ok(stream)
        })
    }
}
