//! The compiled program, and who talks to it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sockeye::{Config, Connector, Error, NetStream, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A test that waits longer than this hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The chat server, on a port of its own, until it is dropped.
pub(crate) struct Chat {
    pub(crate) process: Child,
    pub(crate) addr: SocketAddr,
}

impl Chat {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        let mut command = Command::new(program());
        let process = command.args(["--port", "0"]).args(options).stdout(Stdio::piped()).spawn();
        let mut process = process
            .expect("the example is there: cargo test builds it, cargo test --test chat does not");
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let addr =
            line.trim().strip_prefix("chat is at http://").and_then(|rest| rest.strip_suffix('/'));
        let addr = addr.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        Self { process, addr }
    }

    pub(crate) fn url(&self, room: &str, name: &str) -> String {
        let query = format!("room={}&name={}", encoded(room), encoded(name));
        format!("ws://{}/chat?{query}", self.addr)
    }

    pub(crate) async fn connect(
        &self,
        room: &str,
        name: &str,
    ) -> Result<WebSocket<NetStream>, Error> {
        self.connect_with(&self.url(room, name), None).await
    }

    /// As the page does it: the password is an offered subprotocol beside the chat's own.
    pub(crate) async fn connect_with(
        &self,
        url: &str,
        password: Option<&str>,
    ) -> Result<WebSocket<NetStream>, Error> {
        let mut config = Config::default();
        config.message_bytes_max = 1024 * 1024;
        let mut connector = Connector::new(config);
        if let Some(password) = password {
            let password = URL_SAFE_NO_PAD.encode(password);
            connector =
                connector.subprotocol("chat").subprotocol(format!("room-password.{password}"));
        }
        connector.connect(url).await
    }

    /// Joins and checks the welcome.
    pub(crate) async fn join(&self, room: &str, name: &str, people: usize) -> Person {
        let socket = self.connect(room, name).await.unwrap();
        Person::welcomed(socket, room, name, people, false).await
    }

    pub(crate) async fn get(&self, head: &str) -> Page {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let request = format!("{head}\r\nHost: {}\r\n\r\n", self.addr);
        stream.write_all(request.as_bytes()).await.unwrap();
        Page::read(stream).await
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Beside this test: target/PROFILE/deps/chat-HASH and target/PROFILE/examples/chat.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let name = format!("chat{}", std::env::consts::EXE_SUFFIX);
    profile.join("examples").join(name)
}

pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A member of a room.
pub(crate) struct Person {
    pub(crate) socket: WebSocket<NetStream>,
    pub(crate) id: String,
}

impl Person {
    pub(crate) async fn welcomed(
        socket: WebSocket<NetStream>,
        room: &str,
        name: &str,
        people: usize,
        is_private: bool,
    ) -> Self {
        let mut person = Self { socket, id: String::new() };
        let joined = person.next().await;
        person.id = joined["id"].as_str().unwrap().to_owned();
        let expected = json!({
            "type": "joined", "id": person.id, "room": room.trim(), "name": name.trim(), "people": people,
            "is_private": is_private,
        });
        assert_eq!(joined, expected);
        person
    }

    pub(crate) async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(PATIENCE, self.socket.recv()).await;
        let message = message.expect("a message").unwrap().expect("not closed");
        serde_json::from_str(message.as_text().expect("text")).unwrap()
    }

    pub(crate) async fn say(&mut self, text: &str) {
        let json = json!({"type": "message", "text": text}).to_string();
        self.socket.send(json).await.unwrap();
    }

    pub(crate) async fn hears(&mut self, from: &str, name: &str, text: &str) {
        let expected = json!({"type": "message", "id": from, "name": name, "text": text});
        assert_eq!(self.next().await, expected);
    }

    /// Somebody came or went.
    pub(crate) async fn sees(&mut self, people: usize, notice: &str) {
        let expected = json!({"type": "people", "people": people});
        assert_eq!(self.next().await, expected);
        let expected = json!({"type": "notice", "text": notice});
        assert_eq!(self.next().await, expected);
    }

    /// The code and the reason the server closed with; other messages are passed over.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        let ended = async { while let Ok(Some(_)) = self.socket.recv().await {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("an end");
        let outcome = self.socket.outcome().unwrap();
        (outcome.code.as_u16(), outcome.reason.to_string())
    }
}

/// An answer that is no WebSocket.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Page {
    pub(crate) async fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self { status: status.parse().unwrap(), headers: headers.collect(), body: body.to_owned() }
    }
}
