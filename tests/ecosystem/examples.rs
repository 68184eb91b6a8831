//! The examples as their users start them.

#![cfg(feature = "axum")]

use std::process::Stdio;

use sockeye::{Connector, NetStream, WebSocket};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::serving::{Http2, exchange};
use crate::support::pair::quiet;
use crate::support::programs::example;
use crate::support::server::within;

/// A program, until it is dropped.
struct Program {
    _process: Child,
    authority: String,
}

impl Program {
    async fn start(name: &str) -> Self {
        let mut command = Command::from(example(name));
        command.args(["--port", "0"]).kill_on_drop(true).stdout(Stdio::piped());
        let built = "cargo test builds it, cargo test --test NAME does not";
        let mut process = command.spawn().expect(built);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let greeting = within(lines.next_line()).await.unwrap().expect("a greeting");
        let url = greeting.strip_prefix("listening on ws://").expect("a greeting");
        let authority = url.split('/').next().unwrap().to_owned();
        Self { _process: process, authority }
    }

    async fn connect(&self, path: &str) -> WebSocket<NetStream> {
        let url = format!("ws://{}{path}", self.authority);
        within(Connector::new(quiet()).connect(&url)).await.unwrap()
    }
}

async fn heard(socket: &mut WebSocket<NetStream>) -> String {
    within(socket.recv()).await.unwrap().unwrap().as_text().unwrap().to_owned()
}

/// AX-09: a program written against axum's `ws` runs with one line changed: its page, its echo over both versions of HTTP, and its
/// chat.
#[tokio::test]
async fn axum_chat() {
    let chat = Program::start("axum_chat").await;
    let mut stream = within(TcpStream::connect(&chat.authority)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut page = String::new();
    within(stream.read_to_string(&mut page)).await.unwrap();
    assert!(page.contains("<!doctype html>"), "{page}");
    exchange(&mut chat.connect("/echo").await, &"x".repeat(100_000)).await;
    let mut http2 = Http2::connect(chat.authority.parse().unwrap()).await;
    exchange(&mut http2.open_quiet("/echo").await, &"x".repeat(100_000)).await;
    let mut ann = chat.connect("/chat/ann").await;
    assert_eq!(heard(&mut ann).await, "ann is here");
    let mut bob = chat.connect("/chat/bob").await;
    for socket in [&mut ann, &mut bob] {
        assert_eq!(heard(socket).await, "bob is here");
    }
    bob.send("hello").await.unwrap();
    assert_eq!(heard(&mut ann).await, "bob: hello");
    assert_eq!(heard(&mut bob).await, "bob: hello");
    bob.send("bye").await.unwrap();
    assert!(matches!(within(bob.recv()).await, Ok(None)));
    let outcome = bob.outcome().unwrap();
    assert_eq!((u16::from(outcome.code), &*outcome.reason), (1000, "bye"));
    assert_eq!(heard(&mut ann).await, "bob has left");
}
