//! NATS servers: the real program, and one that says what is written down.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::pubsub::nats::Nats;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::brokers::Program;
use super::server::within;

/// Who may do everything at a server with these [settings](LOGIN).
pub(crate) const USER: &str = "bus";
pub(crate) const PASSWORD: &str = "tops3cret";
pub(crate) const LOGIN: &str = "authorization { user: bus, password: tops3cret }\n";

/// What a server says first.
pub(crate) const INFO: &str = "INFO {\"server_id\":\"fake\",\"max_payload\":1048576} \r\n";

/// The real program with a file of settings, until it is dropped.
pub(crate) struct Server {
    pub(crate) program: Program,
    settings: PathBuf,
}

impl Server {
    /// `None` where the program is missing.
    pub(crate) async fn start(settings: &str) -> Option<Self> {
        let path = temporary("conf");
        fs::write(&path, settings).unwrap();
        let file = path.clone();
        let command = move |port: u16| {
            let mut command = Command::new("nats-server");
            command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"]).arg(&file);
            command
        };
        Some(Self { program: Program::start(command).await?, settings: path })
    }

    /// Takes other settings while it runs.
    pub(crate) async fn reload(&self, settings: &str, until: &str) {
        fs::write(&self.settings, settings).unwrap();
        self.program.signal(rustix::process::Signal::HUP);
        within(async { while !self.info().await.contains(until) {} }).await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.program.address()
    }

    pub(crate) fn broker(&self) -> Nats {
        broker_at(self.address())
    }

    /// By the first two numbers of its version.
    pub(crate) async fn is_older_than(&self, version: (u16, u16)) -> bool {
        let info = self.info().await;
        let (_, rest) = info.split_once("\"version\":\"").expect("it says its version");
        let mut numbers = rest.split('.').map(|number| number.parse::<u16>().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap()) < version
    }

    async fn info(&self) -> String {
        let mut buf = [0; 1024];
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let len = stream.read(&mut buf).await.unwrap();
        String::from_utf8_lossy(&buf[..len]).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.settings);
    }
}

pub(crate) fn broker_at(address: SocketAddr) -> Nats {
    Nats::new(&format!("nats://{USER}:{PASSWORD}@{address}")).unwrap()
}

/// Asks past every client of ours, and what is answered.
pub(crate) async fn ask(address: SocketAddr, subject: &str, payload: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let options = format!("{{\"verbose\":false,\"user\":\"{USER}\",\"pass\":\"{PASSWORD}\"}}");
    let head =
        format!("CONNECT {options}\r\nSUB answer 1\r\nPUB {subject} answer {}\r\n", payload.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(payload).await.unwrap();
    stream.write_all(b"\r\n").await.unwrap();
    let (mut said, mut buf) = (String::new(), [0; 4096]);
    while !said.split_once("\r\nMSG answer ").is_some_and(|(_, rest)| rest.ends_with("}\r\n")) {
        let len = within(stream.read(&mut buf)).await.unwrap();
        said.push_str(&String::from_utf8_lossy(&buf[..len]));
        assert!(len > 0 && !said.contains("-ERR"), "{said}");
    }
    said
}

/// A folder, until it is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = temporary("folder");
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Publishes so many bytes that mean nothing, past every bus.
pub(crate) async fn publish_bytes(address: SocketAddr, subject: &str, bytes: usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let options = format!("{{\"verbose\":false,\"user\":\"{USER}\",\"pass\":\"{PASSWORD}\"}}");
    let head = format!("CONNECT {options}\r\nPUB {subject} {bytes}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; bytes]).await.unwrap();
    stream.write_all(b"\r\nPING\r\n").await.unwrap();
    let (mut said, mut buf) = (String::new(), [0; 1024]);
    while !said.contains("PONG\r\n") {
        let len = within(stream.read(&mut buf)).await.unwrap();
        said.push_str(&String::from_utf8_lossy(&buf[..len]));
        assert!(len > 0 && !said.contains("-ERR"), "{said}");
    }
}

/// Where nobody else has a file.
pub(crate) fn temporary(extension: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("sockeye-nats-{}-{count}.{extension}", std::process::id()))
}

/// A server that is none.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    /// What all clients said, one after another.
    heard: watch::Sender<String>,
    /// Connections that clients have ended.
    ended: watch::Sender<usize>,
    _task: JoinSet<()>,
}

/// What it says.
#[derive(Clone)]
struct Script {
    first: Vec<u8>,
    then: Vec<u8>,
    is_staying: bool,
}

impl Fake {
    /// Says the one at once and the other instead of the answer to the first ping, where there is any; then it hangs up.
    pub(crate) async fn start(first: impl Into<Vec<u8>>, then: &str) -> Self {
        let script = Script { first: first.into(), then: then.into(), is_staying: false };
        Self::with(script).await
    }

    /// The same, but it stays and answers the other pings.
    pub(crate) async fn staying(first: &str, then: &str) -> Self {
        Self::with(Script { first: first.into(), then: then.into(), is_staying: true }).await
    }

    async fn with(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, ended) = (watch::Sender::default(), watch::Sender::default());
        let mut task = JoinSet::new();
        let (hearing, ending) = (heard.clone(), ended.clone());
        task.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client may be gone before it is answered.
                let _ = serve(stream, &script, &hearing).await;
                ending.send_modify(|count| *count += 1);
            }
        });
        Self { address, heard, ended, _task: task }
    }

    pub(crate) fn broker(&self) -> Nats {
        broker_at(self.address)
    }

    /// All that it was told, once these words are among it.
    pub(crate) async fn heard(&self, words: &str) -> String {
        let mut heard = self.heard.subscribe();
        within(heard.wait_for(|heard| heard.contains(words))).await.unwrap().clone()
    }

    pub(crate) async fn has_ended(&self, connections: usize) {
        let mut ended = self.ended.subscribe();
        within(ended.wait_for(|count| *count >= connections)).await.unwrap();
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &Script,
    heard: &watch::Sender<String>,
) -> std::io::Result<()> {
    stream.write_all(&script.first).await?;
    let (mut own, mut answered, mut buf) = (String::new(), 0, [0; 4096]);
    if script.then.is_empty() && !script.is_staying {
        stream.shutdown().await?;
    }
    loop {
        let len = stream.read(&mut buf).await?;
        let text = String::from_utf8_lossy(&buf[..len]);
        own.push_str(&text);
        heard.send_modify(|heard| heard.push_str(&text));
        while own.matches("PING\r\n").count() > answered {
            match answered {
                0 => stream.write_all(&script.then).await?,
                _ => stream.write_all(b"PONG\r\n").await?,
            }
            answered += 1;
            if !script.is_staying {
                stream.shutdown().await?;
            }
        }
        if len == 0 {
            return Ok(());
        }
    }
}
