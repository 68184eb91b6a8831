//! The echo example as its users start it: the compiled program, with this crate's client.

#![cfg(feature = "hub")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sockeye::handshake::HandshakeError;
use sockeye::{CloseCode, Config, Connector, Error, Message, NetStream, WebSocket};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::programs::example;

/// A test that waits longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The echo server, on a port of its own, until it is dropped.
struct Echo {
    process: Child,
    addr: SocketAddr,
}

impl Echo {
    fn start(arguments: &[&str]) -> Self {
        let process = example("echo").args(arguments).stdout(Stdio::piped()).spawn();
        Self::announced(
            process.expect(
                "the example is there: cargo test builds it, cargo test --test echo does not",
            ),
        )
    }

    /// Waits for the line that says where it listens.
    fn announced(mut process: Child) -> Self {
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        Self { process, addr: addr.unwrap_or_else(|| panic!("{line:?}")) }
    }

    async fn connect(&self, path: &str) -> Result<WebSocket<NetStream>, Error> {
        Connector::new(Config::default()).connect(&format!("ws://{}{path}", self.addr)).await
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn next(socket: &mut WebSocket<NetStream>) -> Message {
    timeout(PATIENCE, socket.recv()).await.unwrap().unwrap().expect("a message")
}

/// EX-01: text, binary, nothing and much come back as they were; the path and the limit are options.
#[tokio::test]
async fn echoes_on_its_path_up_to_its_limit() {
    let echo = Echo::start(&["--port", "0", "--path", "/mirror", "--max-message", "100000"]);
    let mut socket = echo.connect("/mirror").await.unwrap();
    for message in [
        Message::text("héllo"),
        Message::binary(vec![]),
        Message::text(""),
        Message::binary(vec![7; 100_000]),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut socket).await, message);
    }
    socket.send(vec![7; 100_001]).await.unwrap();
    assert!(timeout(PATIENCE, socket.recv()).await.unwrap().unwrap_or(None).is_none());
    assert_eq!(socket.outcome().unwrap().code, CloseCode::MessageTooBig);

    let refused = echo.connect("/elsewhere").await.unwrap_err();
    let Error::Handshake(HandshakeError::UnexpectedStatus(response)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(response.status(), 404);
}

/// EX-01, BC-02: with a thread for each half of the members, what one says in the chat reaches all, in
/// order, the sender included.
#[tokio::test]
async fn chat_crosses_threads() {
    let echo = Echo::start(&["--port", "0", "--threads", "2"]);
    let mut members = Vec::new();
    for _ in 0..16 {
        members.push(echo.connect("/chat").await.unwrap());
    }
    // Who is answered is in: joining is done before the first message is handled.
    for (index, member) in members.iter_mut().enumerate() {
        let own = format!("in {index}");
        member.send(own.clone()).await.unwrap();
        while next(member).await.as_text() != Some(&own) {}
    }
    for number in 0..200 {
        members[0].feed(format!("{number}")).unwrap();
    }
    members[0].flush().await.unwrap();
    for member in &mut members {
        let mut expected = 0;
        while expected < 200 {
            let message = next(member).await;
            let text = message.as_text().unwrap();
            if !text.starts_with("in ") {
                assert_eq!(text, expected.to_string());
                expected += 1;
            }
        }
    }
}

/// EX-01: a command line that is not understood is an error with the usage.
#[test]
fn a_bad_command_line_is_explained() {
    for arguments in [&["--nonsense", "1"][..], &["--port"], &["--port", "x"], &["--threads", "0"]]
    {
        let output = example("echo").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: echo"));
    }
}

/// Row 49: a server that runs out of descriptors waits, and serves again when there are some.
#[cfg(unix)]
#[tokio::test]
async fn running_out_of_descriptors_passes() {
    let script = format!("ulimit -n 40; exec {:?} --port 0", example("echo").get_program());
    let mut command = Command::new("sh");
    let process = command.args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let echo = Echo::announced(process);
    let mut sockets = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..80 {
        // The kernel takes them all; the server can only take some.
        waiting.push(TcpStream::connect(echo.addr).await.unwrap());
    }
    let newcomer = echo.connect("/echo");
    assert!(timeout(Duration::from_secs(2), newcomer).await.is_err(), "the limit is reached");
    drop(waiting);
    for _ in 0..10 {
        let mut socket = timeout(PATIENCE, echo.connect("/echo")).await.unwrap().unwrap();
        socket.send("still here").await.unwrap();
        assert_eq!(next(&mut socket).await.as_text(), Some("still here"));
        sockets.push(socket);
    }
}
