//! The small examples of applications as their users start them.

#![cfg(feature = "app")]

use std::process::Stdio;

use serde_json::{Value, json};
use sockeye::{Connector, Error, HandshakeError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::support::app::AppClient;
use crate::support::pair::quiet;
use crate::support::programs::example;
use crate::support::server::within;

/// A program, until it is dropped.
struct Program {
    _process: Child,
    out: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
    url: String,
}

impl Program {
    async fn start(name: &str, options: &[&str]) -> Self {
        let mut command = Command::from(example(name));
        command.args(["--port", "0"]).args(options).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let built = "cargo test builds it, cargo test --test NAME does not";
        let mut process = command.spawn().expect(built);
        let mut out = BufReader::new(process.stdout.take().unwrap()).lines();
        let errors = BufReader::new(process.stderr.take().unwrap()).lines();
        let greeting = within(out.next_line()).await.unwrap().expect("a greeting");
        let url = greeting.strip_prefix("listening on ").expect("a greeting").to_owned();
        Self { _process: process, out, errors, url }
    }

    async fn try_connect(&self, below: &str, token: Option<&str>) -> Result<AppClient, Error> {
        let mut connector = Connector::new(quiet());
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            connector = connector.header(http::header::AUTHORIZATION, value);
        }
        let url = format!("{}{below}", self.url);
        let socket = within(connector.connect(&url)).await?;
        let mut client = AppClient { socket };
        client.created().await;
        Ok(client)
    }

    async fn connect(&self) -> AppClient {
        self.try_connect("", None).await.unwrap()
    }

    /// The next line on its standard error.
    async fn complaint(&mut self) -> String {
        within(self.errors.next_line()).await.unwrap().expect("it runs")
    }
}

/// A connection that falls without a word.
async fn cut(url: &str) {
    let (address, path) = url.strip_prefix("ws://").unwrap().split_once('/').unwrap();
    let mut stream = within(TcpStream::connect(address)).await.unwrap();
    let head = format!(
        "GET /{path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    within(stream.write_all(head.as_bytes())).await.unwrap();
    let mut line = String::new();
    within(BufReader::new(stream).read_line(&mut line)).await.unwrap();
    assert!(line.contains(" 101 "), "{line}");
}

/// The next message, which is an error: without its text.
async fn refused(client: &mut AppClient, sent: Value) -> Value {
    client.json(sent).await;
    let mut error = client.event().await;
    assert_eq!(error["type"], "error", "{error}");
    let text = error.as_object_mut().unwrap().remove("message").unwrap();
    assert!(!text.as_str().unwrap().is_empty());
    error
}

/// The first field of an error and the rule it breaks.
fn field(error: &Value) -> (&str, &str) {
    let first = &error["errors"][0];
    (first["field"].as_str().unwrap(), first["rule"].as_str().unwrap())
}

/// EX-09, RT-04, RT-05: what fits comes to the room; what does not is answered with field and rule, and the
/// connection stays.
#[tokio::test]
async fn validated() {
    let program = Program::start("validated", &[]).await;
    let (mut ann, mut bob) = (program.connect().await, program.connect().await);
    for client in [&mut ann, &mut bob] {
        client.json(json!({"type": "join", "roomId": "lobby"})).await;
        assert_eq!(client.event().await, json!({"type": "joined", "roomId": "lobby"}));
    }
    // With a schema it speaks first.
    let has_schema = cfg!(feature = "schema");
    let too_long = if has_schema { "maxLength" } else { "length" };
    let said = |content: Value| json!({"type": "message", "roomId": "lobby", "content": content});
    for (sent, place, rule) in [
        (said(json!(7)), "/content", "type"),
        (said(json!("x".repeat(1001))), "/content", too_long),
        (said(json!("")), "/content", "length"),
        (json!({"type": "message", "roomId": "lobby"}), "/content", "required"),
        (json!({"type": "message", "content": "hi"}), "/roomId", "required"),
        (json!({"type": "message", "roomId": "attic", "content": "hi"}), "/roomId", "joined"),
        (json!({"type": "leave", "roomId": "attic"}), "/roomId", "joined"),
        (json!({"type": "join", "roomId": " "}), "/roomId", "join"),
    ] {
        let error = refused(&mut ann, sent).await;
        assert_eq!((&error["code"], &error["recoverable"]), (&json!(422), &json!(true)));
        assert_eq!(field(&error), (place, rule), "{error}");
    }
    let unknown = refused(&mut ann, json!({"type": "shout"})).await;
    assert_eq!(unknown["code"], if has_schema { 422 } else { 404 });
    let longest = "\u{e9}".repeat(1000);
    ann.json(said(json!(longest))).await;
    let heard = bob.event().await;
    assert_eq!((&heard["type"], &heard["content"]), (&json!("room-message"), &json!(longest)));
    assert_eq!(ann.event().await, heard, "nothing of what was refused has come");
    bob.json(json!({"type": "leave", "roomId": "lobby"})).await;
    assert_eq!(bob.event().await, json!({"type": "left", "roomId": "lobby"}));
}

/// EX-11, ER-09, ER-10: a known error is shown, another is masked and stands on the standard error.
#[tokio::test]
async fn errors() {
    let mut program = Program::start("errors", &[]).await;
    let mut client = program.connect().await;
    let divide = |divisor: i64| json!({"type": "divide", "dividend": i64::MIN, "divisor": divisor});
    for divisor in [0, -1] {
        client.json(divide(divisor)).await;
        let shown = json!({
            "type": "error", "code": 1001, "message": "there is no such number", "recoverable": true,
        });
        assert_eq!(client.event().await, shown);
    }
    client.json(json!({"type": "report", "requestId": "r"})).await;
    let masked = json!({
        "type": "error", "requestId": "r", "code": 500, "message": "Internal server error",
        "recoverable": false,
    });
    assert_eq!(client.event().await, masked);
    let logged = program.complaint().await;
    assert!(logged.starts_with("report of ") && logged.contains("os error 2"), "{logged}");
    client.json(divide(2)).await;
    let quotient = json!({"type": "divide.ack", "quotient": i64::MIN / 2});
    assert_eq!(client.event().await, quotient);
    cut(&program.url).await;
    let lost = program.complaint().await;
    assert!(lost.starts_with("connection of "), "{lost}");
}

/// EX-10, EV-08: a connection is told its id, has its pings answered, and hears numbers and what is said to all.
#[tokio::test]
async fn managed() {
    let mut program = Program::start("managed", &["--stats-ms", "20"]).await;
    let mut ann = program.connect().await;
    let hello = of_type(&mut ann, "connection-established").await;
    let id = hello["connectionId"].as_str().unwrap().to_owned();
    let began = hello["serverTime"].as_u64().unwrap();
    let mut bob = program.connect().await;
    ann.json(json!({"type": "ping"})).await;
    let pong = of_type(&mut ann, "pong").await;
    assert!(pong["timestamp"].as_u64().unwrap() >= began, "{pong}");
    ann.json(json!({"type": "announce", "text": "hello"})).await;
    let said = json!({"type": "announcement", "connectionId": id, "text": "hello"});
    for client in [&mut ann, &mut bob] {
        assert_eq!(of_type(client, "announcement").await, said);
    }
    let stats = of_type(&mut bob, "server-stats").await;
    assert_eq!(stats["activeConnections"], 2);
    let uptime = stats["serverUptime"].as_f64().unwrap();
    assert!(of_type(&mut bob, "server-stats").await["serverUptime"].as_f64().unwrap() > uptime);
    // It may come back: its session waits, and is no connection.
    within(ann.socket.close(1001, "")).await.unwrap();
    let closed = within(program.out.next_line()).await.unwrap().unwrap();
    assert!(closed.starts_with(&format!("{id} closed: 1001")), "{closed}");
    within(async { while of_type(&mut bob, "server-stats").await["activeConnections"] != 1 {} })
        .await;
}

async fn of_type(client: &mut AppClient, name: &str) -> Value {
    loop {
        let event = client.event().await;
        if event["type"] == name {
            return event;
        }
    }
}

/// EX-12, RT-02: each path is a game; who plays it sees its state, and nobody else does.
#[tokio::test]
async fn game() {
    let program = Program::start("game", &[]).await;
    match program.try_connect("forest", None).await {
        Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) => {
            assert_eq!(refused.status().as_u16(), 401);
        }
        other => panic!("{:?}", other.map(drop)),
    }
    let state = |players: Value| json!({"type": "game-state", "players": players});
    let at = |x: i32, y: i32, action: Value| json!({"x": x, "y": y, "action": action});
    let mut ann = program.try_connect("forest", Some("ann")).await.unwrap();
    assert_eq!(ann.event().await, state(json!({"ann": at(0, 0, Value::Null)})));
    let mut cat = program.try_connect("a%20cave", Some("cat")).await.unwrap();
    assert_eq!(cat.event().await, state(json!({"cat": at(0, 0, Value::Null)})));
    let mut bob = program.try_connect("forest", Some("bob")).await.unwrap();
    let both = state(json!({"ann": at(0, 0, Value::Null), "bob": at(0, 0, Value::Null)}));
    assert_eq!(bob.event().await, both);
    assert_eq!(ann.event().await, both);
    bob.json(json!({"type": "player-move", "move": {"x": 2, "y": -1}})).await;
    bob.json(json!({"type": "player-action", "action": "jump"})).await;
    for action in [Value::Null, json!("jump")] {
        let now = state(json!({"ann": at(0, 0, Value::Null), "bob": at(2, -1, action)}));
        assert_eq!((ann.event().await, bob.event().await), (now.clone(), now));
    }
    let error = refused(&mut ann, json!({"type": "player-action", "action": "fly"})).await;
    assert_eq!(field(&error), ("/action", "enum"));
    within(bob.socket.close(1000, "")).await.unwrap();
    assert_eq!(ann.event().await, state(json!({"ann": at(0, 0, Value::Null)})));
    cat.json(json!({"type": "player-move", "move": {"x": i32::MAX, "y": 0}})).await;
    let next = state(json!({"cat": at(i32::MAX, 0, Value::Null)}));
    assert_eq!(cat.event().await, next, "nothing of the forest has come");
}

/// EX-08, BY-34: who has subscribed gets updates, none is missed; the history comes in pages that meet.
#[tokio::test]
async fn stream_data() {
    let program = Program::start("stream_data", &["--every-ms", "50"]).await;
    let mut client = program.connect().await;
    let error = refused(&mut client, json!({"type": "subscribe", "channel": "sun"})).await;
    assert_eq!(field(&error), ("/channel", "enum"));
    client.json(json!({"type": "subscribe", "channel": "wind", "last": 3})).await;
    assert_eq!(client.event().await, json!({"type": "subscribed", "channel": "wind"}));
    let mut heard = Vec::new();
    for _ in 0..8 {
        let update = client.event().await;
        assert_eq!((&update["type"], &update["channel"]), (&json!("data-update"), &json!("wind")));
        heard.push(update["data"].as_u64().unwrap());
    }
    assert!(heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "{heard:?}");
    client.json(json!({"type": "unsubscribe", "channel": "wind"})).await;
    while client.event().await["type"] != "unsubscribed" {}
    let newest = page(&mut client, "wind", None, 4).await;
    let numbers = numbers_of(&newest);
    let first = numbers[0];
    assert_eq!(numbers, (first..first + 4).collect::<Vec<_>>());
    assert!(first + 3 > heard[7], "the newest");
    let second = page(&mut client, "wind", Some(first), 3).await;
    assert_eq!(numbers_of(&second), [first - 3, first - 2, first - 1]);
    assert_eq!((&newest["hasMore"], &second["hasMore"]), (&json!(true), &json!(true)));
    let rest = page(&mut client, "wind", Some(first - 3), 1000).await;
    assert_eq!((numbers_of(&rest).last(), &rest["hasMore"]), (Some(&(first - 4)), &json!(false)));
}

/// BY-34: who subscribes with `last` has what came before at once.
#[tokio::test]
async fn stream_data_begins_with_the_last() {
    let program = Program::start("stream_data", &["--every-ms", "3600000"]).await;
    let mut client = program.connect().await;
    // One comes at the start, and then none for an hour.
    within(async { while numbers_of(&page(&mut client, "rain", None, 10).await) != [1] {} }).await;
    client.json(json!({"type": "subscribe", "channel": "rain", "last": 3})).await;
    assert_eq!(client.event().await["type"], "subscribed");
    let update = client.event().await;
    assert_eq!((&update["type"], &update["data"]), (&json!("data-update"), &json!(0)));
    client.json(json!({"type": "subscribe", "channel": "rain"})).await;
    assert_eq!(client.event().await["type"], "subscribed");
    client.json(json!({"type": "unsubscribe", "channel": "rain"})).await;
    assert_eq!(client.event().await["type"], "unsubscribed", "none by default");
}

async fn page(client: &mut AppClient, channel: &str, before: Option<u64>, count: usize) -> Value {
    let asked = json!({
        "type": "get-history", "requestId": "h", "channel": channel, "before": before, "count": count,
    });
    client.json(asked).await;
    let page = client.event().await;
    assert_eq!((&page["type"], &page["requestId"]), (&json!("history-data"), &json!("h")));
    page
}

fn numbers_of(page: &Value) -> Vec<u64> {
    let data = page["data"].as_array().unwrap();
    data.iter().map(|row| row["number"].as_u64().unwrap()).collect()
}

/// EX-10: a command line that is not understood is answered with what there is.
#[tokio::test]
async fn options_are_explained() {
    for arguments in [&["--port"][..], &["--port", "x"], &["--stats", "1"], &["--stats-ms", "-1"]] {
        let output = within(Command::from(example("managed")).args(arguments).output()).await;
        let output = output.expect("cargo test builds it, cargo test --test NAME does not");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--stats-ms N (default 30000)"), "{said}");
    }
}

/// EX-03, SN-02: who is in the room hears what is said there, and who says it is told that it was sent.
#[tokio::test]
async fn app_server() {
    let program = Program::start("app_server", &[]).await;
    let (mut ann, mut bob) = (program.connect().await, program.connect().await);
    for client in [&mut ann, &mut bob] {
        client.ask("room.join", json!({"roomId": "lobby"}), "1").await;
        let joined = client.event().await;
        assert_eq!(
            (&joined["e"], &joined["p"]),
            (&json!("room.joined"), &json!({"roomId": "lobby"}))
        );
    }
    ann.ask("chat.message", json!({"roomId": "lobby", "text": "hello"}), "2").await;
    let heard = bob.event().await;
    assert_eq!((&heard["e"], &heard["p"]["text"]), (&json!("chat.message"), &json!("hello")));
    let sent = ann.event().await;
    assert_eq!((&sent["e"], &sent["p"]), (&json!("chat.message.ack"), &json!({"status": "sent"})));
}

/// SV-08: an application behind hyper, whose own page is on the same port.
#[tokio::test]
async fn attached() {
    let program = Program::start("attached", &[]).await;
    let mut client = program.connect().await;
    client.ask("echo", json!({"text": "hello"}), "1").await;
    let answer = client.event().await;
    assert_eq!((&answer["e"], &answer["p"]), (&json!("echo.ack"), &json!({"text": "hello"})));
    let address = program.url.strip_prefix("ws://").unwrap().strip_suffix("/ws").unwrap();
    let mut stream = within(TcpStream::connect(address)).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    within(stream.write_all(request.as_bytes())).await.unwrap();
    let mut page = String::new();
    within(tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut page)).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("hyper says hello"), "{page}");
}
