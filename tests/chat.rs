//! The chat example as its users meet it: the compiled program, with this crate's client.
//!
//! The page itself is driven by real browsers in `tests/browser`.

#![cfg(all(feature = "hub", feature = "json"))]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::handshake::HandshakeError;
use sockeye::{ClientStream, Config, Connector, Error, Message, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A test that waits longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The chat server, on a port of its own, until it is dropped.
struct Chat {
    process: Child,
    addr: SocketAddr,
}

impl Chat {
    fn start() -> Self {
        let mut process =
            Command::new(program()).args(["--port", "0"]).stdout(Stdio::piped()).spawn().expect(
                "the example is there: cargo test builds it, cargo test --test chat does not",
            );
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let addr =
            line.trim().strip_prefix("chat is at http://").and_then(|rest| rest.strip_suffix('/'));
        let addr = addr.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        Self { process, addr }
    }

    fn url(&self, room: &str, name: &str) -> String {
        let query = format!("room={}&name={}", encoded(room), encoded(name));
        format!("ws://{}/chat?{query}", self.addr)
    }

    async fn connect(&self, room: &str, name: &str) -> Result<WebSocket<ClientStream>, Error> {
        let mut config = Config::default();
        config.message_bytes_max = 1024 * 1024;
        Connector::new(config).connect(&self.url(room, name)).await
    }

    /// Joins and checks the welcome.
    async fn join(&self, room: &str, name: &str, people: usize) -> Person {
        let mut person =
            Person { socket: self.connect(room, name).await.unwrap(), id: String::new() };
        let joined = person.next().await;
        person.id = joined["id"].as_str().unwrap().to_owned();
        let expected = json!({
            "type": "joined", "id": person.id, "room": room.trim(), "name": name.trim(), "people": people,
        });
        assert_eq!(joined, expected);
        person
    }

    async fn get(&self, head: &str) -> Page {
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

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A member of a room.
struct Person {
    socket: WebSocket<ClientStream>,
    id: String,
}

impl Person {
    async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(PATIENCE, self.socket.recv()).await;
        let message = message.expect("a message").unwrap().expect("not closed");
        serde_json::from_str(message.as_text().expect("text")).unwrap()
    }

    async fn say(&mut self, text: &str) {
        let json = json!({"type": "message", "text": text}).to_string();
        self.socket.send(json).await.unwrap();
    }

    async fn hears(&mut self, from: &str, name: &str, text: &str) {
        let expected = json!({"type": "message", "id": from, "name": name, "text": text});
        assert_eq!(self.next().await, expected);
    }

    /// Somebody came or went.
    async fn sees(&mut self, people: usize, notice: &str) {
        let expected = json!({"type": "people", "people": people});
        assert_eq!(self.next().await, expected);
        let expected = json!({"type": "notice", "text": notice});
        assert_eq!(self.next().await, expected);
    }

    /// The code and the reason the server closed with; other messages are passed over.
    async fn closed(mut self) -> (u16, String) {
        let ended = async { while let Ok(Some(_)) = self.socket.recv().await {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("an end");
        let outcome = self.socket.outcome().unwrap();
        (outcome.code.as_u16(), outcome.reason.to_string())
    }
}

/// An answer that is no WebSocket.
struct Page {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Page {
    async fn read(mut stream: TcpStream) -> Self {
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

/// SV-11, EX-02: the page, its script and its style come from the WebSocket's port, under a policy
/// that forbids whatever is not from there.
#[tokio::test]
async fn the_page_is_served_with_a_strict_policy() {
    let chat = Chat::start();
    let types = [
        ("/", "text/html; charset=utf-8"),
        ("/?room=lobby", "text/html; charset=utf-8"),
        ("/chat.js", "text/javascript; charset=utf-8"),
        ("/chat.css", "text/css; charset=utf-8"),
    ];
    for (path, content_type) in types {
        let page = chat.get(&format!("GET {path} HTTP/1.1")).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.headers["content-type"], content_type);
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
    }
    let page = chat.get("GET / HTTP/1.1").await.body;
    assert!(page.contains(r#"<script src="/chat.js"></script>"#));
    assert!(page.contains(r#"<link rel="stylesheet" href="/chat.css">"#));
    assert!(!page.contains("<script>") && !page.contains("<style") && !page.contains("style="));
}

/// SV-11: what is not there is 404; the WebSocket's path is nothing for a plain GET.
#[tokio::test]
async fn unknown_paths_are_not_found() {
    let chat = Chat::start();
    for path in ["/index.html", "/chat/", "/../Cargo.toml", "/%2e%2e/x"] {
        let page = chat.get(&format!("GET {path} HTTP/1.1")).await;
        assert_eq!(page.status, 404, "{path}");
    }
    let page = chat.get("GET /chat?room=a&name=b HTTP/1.1").await;
    assert_eq!(page.status, 426);
    let page = chat.get("POST / HTTP/1.1").await;
    assert_eq!(page.status, 405);
}

/// EX-02, CL-18: everybody in a room hears what is said there, its author included; nobody else does.
#[tokio::test]
async fn rooms_are_apart() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("lobby", "Bob", 2).await;
    let mut eve = chat.join("rust", "Eve", 1).await;
    ann.sees(2, "Bob joined").await;
    assert!(ann.id != bob.id && bob.id != eve.id && ann.id != eve.id);

    ann.say("  hello\n<b>Bob</b> 🐟 \n").await;
    eve.say("is anybody here?").await;
    for person in [&mut ann, &mut bob] {
        let author = person.next().await;
        assert_eq!(author["text"], "hello\n<b>Bob</b> 🐟");
        assert_eq!(author["name"], "Ann");
    }
    // The next that each of them hears is of their own room.
    bob.say("hi").await;
    ann.hears(&bob.id, "Bob", "hi").await;
    bob.hears(&bob.id.clone(), "Bob", "hi").await;
    eve.hears(&eve.id.clone(), "Eve", "is anybody here?").await;
}

/// EX-02, HB-06: one person in two rooms, by two connections, is two members.
#[tokio::test]
async fn the_same_name_may_be_in_several_rooms() {
    let chat = Chat::start();
    let mut lobby = chat.join("lobby", "Ann", 1).await;
    let mut rust = chat.join("rust", "Ann", 1).await;
    let again = chat.join("lobby", "Ann", 2).await;
    lobby.sees(2, "Ann joined").await;
    rust.say("here").await;
    rust.hears(&rust.id.clone(), "Ann", "here").await;
    assert_ne!(lobby.id, again.id);
}

/// BC-07, EX-02: counts and notices follow members that come, leave, and vanish without a word.
#[tokio::test]
async fn counts_are_right() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("lobby", "Bob", 2).await;
    ann.sees(2, "Bob joined").await;
    let eve = chat.join("lobby", "Eve", 3).await;
    ann.sees(3, "Eve joined").await;
    bob.sees(3, "Eve joined").await;

    let mut socket = eve.socket;
    assert!(socket.close(1000, "bye").await.unwrap().clean);
    ann.sees(2, "Eve left").await;
    bob.sees(2, "Eve left").await;
    drop(bob);
    ann.sees(1, "Bob left").await;

    for is_reset in [false, true] {
        let stream = joined_by_hand(&chat).await;
        ann.sees(2, "Mallory joined").await;
        if is_reset {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(stream);
        ann.sees(1, "Mallory left").await;
    }
    chat.join("lobby", "Zoe", 2).await;
}

/// A member that answers nothing.
async fn joined_by_hand(chat: &Chat) -> TcpStream {
    let mut stream = TcpStream::connect(chat.addr).await.unwrap();
    let request = format!(
        "GET /chat?room=lobby&name=Mallory HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        chat.addr
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

/// HS-10, EX-02: a bad name or room is refused before anything is joined, with a line that says why.
#[tokio::test]
async fn bad_names_and_rooms_are_refused() {
    let chat = Chat::start();
    let names = ["", "+%20+", "%09%0A", "a%00b", "a%1Fb", "a%C2%85b", "%zz", "%FF", "%E2%82"];
    let queries = names.map(|name| format!("room=lobby&name={name}"));
    let long = format!("room=lobby&name={}", encoded(&"é".repeat(33)));
    for query in queries.into_iter().chain([long, "room=lobby".to_owned()]) {
        let page = chat.get(&format!("GET /chat?{query} HTTP/1.1")).await;
        assert_eq!(page.status, 400, "{query}");
        assert_eq!(page.headers["content-type"], "text/plain; charset=utf-8");
        assert!(page.body.starts_with("name: 1 to 32 characters"), "{}", page.body);
    }
    for room in ["", "%0D%0A", &encoded(&"é".repeat(65))] {
        let page = chat.get(&format!("GET /chat?name=a&room={room} HTTP/1.1")).await;
        assert_eq!(page.status, 400, "{room}");
        assert!(page.body.starts_with("room: 1 to 64 characters"), "{}", page.body);
    }
    assert_eq!(chat.get("GET /chat HTTP/1.1").await.status, 400);
    let refused = chat.connect("lobby", "\u{7f}").await;
    assert!(
        matches!(&refused, Err(Error::Handshake(HandshakeError::UnexpectedStatus(response)))
            if response.status() == 400),
        "{refused:?}"
    );
}

/// HS-10: length is counted in characters, without the space around.
#[tokio::test]
async fn names_are_counted_in_characters() {
    let chat = Chat::start();
    let (name, room) = ("魚".repeat(32), "🐟".repeat(64));
    let _first = chat.join(&room, &format!(" {name}\n"), 1).await;
    chat.join(&format!("\t{room} "), "a&b=c+d%20", 2).await;
}

/// EX-02: a page of another site does not get in (403).
#[tokio::test]
async fn other_origins_are_refused() {
    let chat = Chat::start();
    for (origin, is_in) in [
        ("http://example.com".to_owned(), false),
        ("null".to_owned(), false),
        (format!("http://{}", chat.addr), true),
    ] {
        let value = http::HeaderValue::from_str(&origin).unwrap();
        let connector = Connector::new(Config::default()).header(http::header::ORIGIN, value);
        let result = connector.connect(&chat.url("lobby", "Ann")).await;
        assert_eq!(result.is_ok(), is_in, "{origin}");
    }
}

/// EX-02: whatever is not a message of the chat closes with 1008 and a reason, and the seat is free.
#[tokio::test]
async fn what_is_not_understood_closes() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let message = |text: &str| json!({"type": "message", "text": text}).to_string();
    let bad = [
        Message::text("hello"),
        Message::text(""),
        Message::text("null"),
        Message::text("{}"),
        Message::text(r#"{"type":"joined","id":"1"}"#),
        Message::text(r#"{"type":"message"}"#),
        Message::text(r#"{"type":"message","text":7}"#),
        Message::text(r#"{"type":"message","text":"\ud800"}"#),
        Message::text(message("")),
        Message::text(message(" \n\t ")),
        Message::text(message(&"é".repeat(2001))),
        Message::binary(message("binary")),
    ];
    for message in bad {
        let mut bob = chat.join("lobby", "Bob", 2).await;
        ann.sees(2, "Bob joined").await;
        bob.socket.send(message.clone()).await.unwrap();
        let (code, reason) = bob.closed().await;
        assert_eq!(code, 1008, "{message:?}");
        assert!(reason.contains("message"), "{reason}");
        ann.sees(1, "Bob left").await;
    }
}

/// EX-02: 2,000 characters are taken however many bytes they are, 64 KiB and a byte is 1009.
#[tokio::test]
async fn long_messages_have_a_limit() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let id = ann.id.clone();
    for text in ["🐟".repeat(2000), "\u{1}".repeat(2000)] {
        ann.say(&format!(" {text} ")).await;
        ann.hears(&id, "Ann", &text).await;
    }
    ann.socket.feed(Message::text(" ".repeat(65_537))).unwrap();
    let _ = ann.socket.flush().await;
    assert_eq!(ann.closed().await.0, 1009);
}

/// BC-07, EX-02: while many come and speak at once, each is welcomed first, then hears all that is
/// said from there on, each author's words in order, and in the end has the right count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_among_many() {
    const PEOPLE: u64 = 12;
    const WORDS: u64 = 40;
    let chat = Arc::new(Chat::start());
    let tasks = (0..PEOPLE).map(|index| {
        let chat = chat.clone();
        tokio::spawn(async move {
            let mut person = Person {
                socket: chat.connect("lobby", &format!("p{index}")).await.unwrap(),
                id: String::new(),
            };
            for word in 0..WORDS {
                person.say(&word.to_string()).await;
            }
            let joined = person.next().await;
            assert_eq!(joined["type"], "joined");
            person.id = joined["id"].as_str().unwrap().to_owned();
            let mut people = joined["people"].as_u64().unwrap();
            // The next word of each author that was heard.
            let mut words = HashMap::from([(person.id.clone(), 0)]);
            while people < PEOPLE || words[&person.id] < WORDS {
                let message = person.next().await;
                match message["type"].as_str().unwrap() {
                    "people" => people = message["people"].as_u64().unwrap(),
                    "message" => {
                        let id = message["id"].as_str().unwrap().to_owned();
                        let word: u64 = message["text"].as_str().unwrap().parse().unwrap();
                        let next = words.entry(id).or_insert(word);
                        assert_eq!(word, *next, "in order, none missing, none twice");
                        *next += 1;
                    }
                    _ => {}
                }
            }
            assert_eq!(people, PEOPLE);
            person
        })
    });
    // All stay until the last has seen everything.
    let mut people = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        people.push(task.await.unwrap());
    }
    assert_eq!(people.len() as u64, PEOPLE);
}

/// BC-07, EX-02: a member that reads nothing is sent away in the end, and nobody else misses a word
/// of what is said meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_read_holds_up_nobody() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let slow = joined_by_hand(&chat).await;
    ann.sees(2, "Mallory joined").await;
    let mut others = Vec::new();
    // More than the kernel and the outbox hold.
    for word in 0..3000 {
        let text = format!("{word} {}", "🐟".repeat(1900));
        ann.say(&text).await;
        let mut heard = ann.next().await;
        while heard["type"] != "message" {
            others.push(heard);
            heard = ann.next().await;
        }
        assert_eq!(heard["text"], text);
    }
    // Its seat is free when its last write has timed out, on a slow machine before this.
    while others.len() < 2 {
        others.push(ann.next().await);
    }
    let left =
        [json!({"type": "people", "people": 1}), json!({"type": "notice", "text": "Mallory left"})];
    assert_eq!(others, left);
    drop(slow);
}

/// EX-02: a chat that is interrupted says goodbye (1001) and ends.
#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_chat_says_goodbye() {
    let mut chat = Chat::start();
    let ann = chat.join("lobby", "Ann", 1).await;
    let id = chat.process.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    assert_eq!(ann.closed().await.0, 1001);
    assert!(chat.process.wait().unwrap().success());
}
