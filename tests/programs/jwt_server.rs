//! The example `jwt_server` as its users start it.

#![cfg(all(feature = "hub", feature = "auth"))]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sockeye::{Message, NetStream, WebSocket, connect};
use tokio::time::timeout;

use crate::support::programs::example;

/// A test that waits longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn command(arguments: &[&str]) -> Command {
    let mut command = example("jwt_server");
    command.args(arguments).env("SOCKEYE_SECRET", SECRET);
    command
}

fn run(arguments: &[&str]) -> Output {
    let built = "the example is there: cargo test builds it, cargo test --test NAME does not";
    command(arguments).output().expect(built)
}

fn token(arguments: &[&str]) -> String {
    let output = run(&[&["token"], arguments].concat());
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The program, until it is dropped.
struct Running {
    process: Child,
    addr: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--port", "0"], arguments].concat();
        let process = command(&arguments).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("cargo test builds it, cargo test --test NAME does not");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").expect("a greeting").to_owned();
        Self { process, addr }
    }

    async fn connect(&self, query: &str) -> Result<WebSocket<NetStream>, sockeye::Error> {
        timeout(PATIENCE, connect(&format!("ws://{}/?{query}", self.addr))).await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn hears(socket: &mut WebSocket<NetStream>, text: &str) {
    let message = timeout(PATIENCE, socket.recv()).await.unwrap();
    assert_eq!(message.unwrap(), Some(Message::text(text)));
}

/// EX-04, AU-05..08, BY-24: a token and a room's password let in; members hear each other; a token is
/// renewed by one of the same user.
#[tokio::test]
async fn members_with_tokens_talk() {
    let server = Running::start(&["--room", "chat=salmon", "--room", "other=trout"]);
    let query = |user: &str| format!("token={}&room=chat&room_password=salmon", token(&[user]));
    let mut ann = server.connect(&query("ann")).await.unwrap();
    let mut bob = server.connect(&query("bob")).await.unwrap();
    hears(&mut ann, "bob: joined").await;
    bob.send("hello").await.unwrap();
    hears(&mut ann, "bob: hello").await;
    ann.send(format!("renew {}", token(&["ann", "900"]))).await.unwrap();
    hears(&mut ann, "renewed").await;
    ann.send(format!("renew {}", token(&["bob"]))).await.unwrap();
    hears(&mut ann, "not your token").await;
    ann.send("renew abc").await.unwrap();
    hears(&mut ann, "invalid jwt").await;
    timeout(PATIENCE, bob.close(1000, "")).await.unwrap().unwrap();
    hears(&mut ann, "bob left").await;

    let token = token(&["cat"]);
    for (query, status) in [
        (format!("token={token}&room=chat&room_password=trout"), "403"),
        ("room=chat&room_password=salmon".to_owned(), "401"),
        (format!("token={token}0&room=chat&room_password=salmon"), "401"),
    ] {
        let error = server.connect(&query).await.unwrap_err().to_string();
        assert!(error.contains(status), "{error}");
    }
}

/// AU-06, EX-04: what is missing is said, and a secret that is too short is refused.
#[test]
fn a_bad_start_is_explained() {
    for (arguments, secret, why) in [
        (&["serve", "--port", "x"][..], SECRET, "invalid digit"),
        (&["serve", "--room", "chat"], SECRET, "--room NAME=PASSWORD"),
        (&[], SECRET, "what shall it do?"),
        (&["serve"], "short", "at least 32"),
    ] {
        let output = command(arguments).env("SOCKEYE_SECRET", secret).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && said.contains("jwt_server token USER"), "{said}");
    }
}
