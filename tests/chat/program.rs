//! The compiled program, and who talks to it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::{Config, Connector, NetStream, WebSocket};
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

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/chat", self.addr)
    }

    /// A client with a session, in no room.
    pub(crate) async fn connect(&self) -> Person {
        let socket = Connector::new(Config::default()).connect(&self.url()).await.unwrap();
        let mut person = Person::silent(socket);
        person.session = person.expect("sys.session.created").await;
        person
    }

    /// Joins, and checks how many are there.
    pub(crate) async fn join(&self, room: &str, name: &str, people: usize) -> Person {
        let mut person = self.connect().await;
        let joined = person.enter(json!({"room": room, "name": name})).await.unwrap();
        assert_eq!((&joined["room"], &joined["name"]), (&json!(room), &json!(name)));
        assert_eq!(joined["isPrivate"], false);
        assert_eq!(person.people.len(), people, "{joined}");
        person
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

/// A member of a room.
pub(crate) struct Person {
    pub(crate) socket: WebSocket<NetStream>,
    pub(crate) id: u64,
    name: String,
    pub(crate) room: String,
    /// Who is in the room, as it was told.
    pub(crate) people: BTreeMap<u64, String>,
    /// Those of whom a change was told, and what: never the same twice.
    told: BTreeMap<u64, bool>,
    /// What the session is resumed with.
    pub(crate) session: Value,
    /// What has come and was not looked at.
    early: VecDeque<Value>,
}

impl Person {
    /// One to whom nothing was said.
    pub(crate) fn silent(socket: WebSocket<NetStream>) -> Self {
        let (people, told, early) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let (name, room, session) = (String::new(), String::new(), Value::Null);
        Self { socket, id: 0, name, room, people, told, session, early }
    }

    /// What the server says to the wish: the answer, or the error.
    pub(crate) async fn enter(&mut self, wish: Value) -> Result<Value, Value> {
        self.ask("room.join", wish).await;
        // What comes before the answer happened after the door was opened.
        let mut early = VecDeque::new();
        let answer = loop {
            let event = self.event().await;
            if event["c"] == "c1" {
                break event;
            }
            early.push_back(event);
        };
        let joined = &answer["p"];
        if answer["e"] != "room.join.ack" {
            assert_eq!(answer["e"], "sys.error");
            return Err(joined.clone());
        }
        self.id = joined["id"].as_u64().unwrap();
        self.name = joined["name"].as_str().unwrap().to_owned();
        self.room = joined["room"].as_str().unwrap().to_owned();
        let people = joined["members"].as_array().unwrap().iter();
        self.people = people.map(person).collect();
        self.told.clear();
        // What the answer has already is nothing new.
        early.retain(|event| {
            let change = &event["p"];
            if event["e"] != "room.presence" {
                return true;
            }
            let (id, _) = person(&change["person"]);
            let is_here = change["isHere"] == true;
            let is_known = self.people.contains_key(&id) == is_here;
            if is_known {
                self.told.insert(id, is_here);
            }
            !is_known
        });
        self.early = early;
        Ok(joined.clone())
    }

    pub(crate) async fn send(&mut self, event: &str, payload: Value) {
        let json = json!({"v": "1.0", "e": event, "p": payload}).to_string();
        self.socket.send(json).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, event: &str, payload: Value) {
        let json = json!({"v": "1.0", "e": event, "p": payload, "c": "c1"}).to_string();
        self.socket.send(json).await.unwrap();
    }

    /// The next event that is no acknowledgement.
    pub(crate) async fn event(&mut self) -> Value {
        if let Some(event) = self.early.pop_front() {
            return event;
        }
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.recv()).await;
            let message = message.expect("a message").unwrap().expect("not closed");
            let event: Value = serde_json::from_str(message.as_text().expect("text")).unwrap();
            if event["e"] != "sys.ack" && event["e"] != "chat.message.ack" {
                return event;
            }
        }
    }

    /// The payload of the next event, which has this name.
    pub(crate) async fn expect(&mut self, name: &str) -> Value {
        let event = self.event().await;
        assert_eq!(event["e"], name, "{event}");
        event["p"].clone()
    }

    pub(crate) async fn say(&mut self, text: &str) {
        let room = self.room.clone();
        self.send("chat.message", json!({"room": room, "text": text})).await;
    }

    pub(crate) async fn hears(&mut self, from: u64, name: &str, text: &str) {
        let mut said = self.expect("chat.message").await;
        assert!(said.as_object_mut().unwrap().remove("at").unwrap().is_u64());
        assert_eq!(said, json!({"id": from, "name": name, "room": self.room, "text": text}));
    }

    pub(crate) async fn hears_itself(&mut self, text: &str) {
        let name = self.name.clone();
        self.hears(self.id, &name, text).await;
    }

    /// Somebody came or went: how many are here now. Each change is told once; the answer to the join may have it
    /// already.
    pub(crate) fn notes(&mut self, change: &Value) -> usize {
        assert_eq!(change["room"], self.room.as_str());
        let (id, name) = person(&change["person"]);
        let is_here = change["isHere"].as_bool().unwrap();
        assert_ne!(self.told.insert(id, is_here), Some(is_here), "{change}");
        let known = match is_here {
            true => self.people.insert(id, name.clone()),
            false => self.people.remove(&id),
        };
        assert!(known.is_none_or(|known| known == name), "{change}");
        self.people.len()
    }

    /// The next that happens is that somebody comes or goes: `"Bob joined"`.
    pub(crate) async fn sees(&mut self, people: usize, notice: &str) {
        let change = self.expect("room.presence").await;
        assert_eq!(notice_of(&change), notice);
        assert_eq!(self.notes(&change), people);
    }

    /// The code and the reason the server closed with; other messages are passed over.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        let ended = async { while let Ok(Some(_)) = self.socket.recv().await {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("an end");
        let outcome = self.socket.outcome().unwrap();
        (outcome.code.as_u16(), outcome.reason.to_string())
    }

    /// Says goodbye.
    pub(crate) async fn leave(mut self) {
        assert!(self.socket.close(1000, "bye").await.unwrap().clean);
    }
}

fn person(value: &Value) -> (u64, String) {
    (value["id"].as_u64().unwrap(), value["name"].as_str().unwrap().to_owned())
}

pub(crate) fn notice_of(change: &Value) -> String {
    let what = if change["isHere"] == true { "joined" } else { "left" };
    format!("{} {what}", change["person"]["name"].as_str().unwrap())
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
