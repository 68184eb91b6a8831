//! The program `redis-server`, and how it is reached.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::process::Command;

use sockeye::pubsub::redis::Redis;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::within;

pub(crate) const PASSWORD: &str = "tops3cret";

/// For [`Program::start`](super::brokers::Program::start).
pub(crate) fn command(port: u16) -> Command {
    let mut command = Command::new("redis-server");
    let port = port.to_string();
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]);
    command
}

pub(crate) fn url_of(address: SocketAddr) -> String {
    format!("redis://:{PASSWORD}@{address}")
}

pub(crate) fn broker_at(address: SocketAddr) -> Redis {
    Redis::new(&url_of(address)).unwrap()
}

#[cfg(feature = "app")]
pub(crate) fn store_at(address: SocketAddr) -> sockeye::session::stores::RedisStore {
    sockeye::session::stores::RedisStore::new(&url_of(address)).unwrap()
}

/// What comes of these commands.
pub(crate) async fn run(address: SocketAddr, commands: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let commands = format!("AUTH {PASSWORD}\r\n{commands}\r\nQUIT\r\n");
    stream.write_all(commands.as_bytes()).await.unwrap();
    let mut answers = String::new();
    within(stream.read_to_string(&mut answers)).await.unwrap();
    let answers = answers.strip_prefix("+OK\r\n").expect("the password is right");
    answers.strip_suffix("+OK\r\n").expect("it says goodbye").trim_end().to_owned()
}

/// Cuts all clients but this one.
pub(crate) async fn client_kill(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let kills = "CLIENT KILL TYPE pubsub SKIPME yes\r\nCLIENT KILL TYPE normal SKIPME yes\r\n";
    let commands = format!("AUTH {PASSWORD}\r\n{kills}QUIT\r\n");
    stream.write_all(commands.as_bytes()).await.unwrap();
    let mut answers = String::new();
    within(stream.read_to_string(&mut answers)).await.unwrap();
    assert!(answers.starts_with("+OK\r\n:"), "{answers}");
}

/// Publishes so many bytes that mean nothing, past every bus.
pub(crate) async fn publish_bytes(address: SocketAddr, channel: &str, bytes: usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let name = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n", channel.len());
    let head = format!("AUTH {PASSWORD}\r\n{name}${bytes}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; bytes]).await.unwrap();
    stream.write_all(b"\r\nQUIT\r\n").await.unwrap();
    let mut answers = String::new();
    within(stream.read_to_string(&mut answers)).await.unwrap();
    assert!(answers.starts_with("+OK\r\n:1\r\n"), "one node listens: {answers}");
}
