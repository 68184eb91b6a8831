//! The example `cluster` as its users start it: nodes that are processes, with a broker that it starts itself. Its page is
//! driven by a browser in `tests/browser`.

#![cfg(all(unix, feature = "app", feature = "redis", feature = "nats"))]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sockeye::{Connector, NetStream, WebSocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::nats;
use crate::support::pair::quiet;
use crate::support::programs::{end_of, example, not_tested};
use crate::support::server::within;

/// The whole, until it is dropped.
struct Whole {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    broker: SocketAddr,
    nodes: Vec<SocketAddr>,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = example("cluster");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The address in `… is at SCHEME://ADDRESS/`.
fn address(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("://").unwrap_or_else(|| panic!("{line:?}"));
    rest.trim_end_matches('/').parse().unwrap()
}

/// What a page of this origin connects with, for somebody of this name.
fn connector(origin: &str, name: &str) -> Connector {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let guest = json!({"key": format!("{hex:0>32}"), "name": name});
    let token = URL_SAFE_NO_PAD.encode(guest.to_string());
    Connector::new(quiet())
        .header(http::header::ORIGIN, origin.parse().unwrap())
        .subprotocol("sockeye.v1")
        .subprotocol(format!("bearer.{token}"))
}

impl Whole {
    /// `None`: this broker is not installed.
    fn start(broker: &str) -> Option<Self> {
        let mut process =
            command(&["--nodes", "2", "--port", "0", "--start", broker]).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let Some(first) = lines.next() else {
            let mut said = String::new();
            process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(process.wait().unwrap().code(), Some(1));
            assert!(said.contains(&format!("apt-get install {broker}-server")), "{said}");
            not_tested(&format!("{broker}-server is not there"));
            return None;
        };
        let first = first.unwrap();
        assert!(first.starts_with(&format!("{broker}-server is at {broker}://")), "{first}");
        let nodes = (1..=2).map(|number| {
            let line = lines.next().unwrap().unwrap();
            assert!(line.starts_with(&format!("node {number} is at http://")), "{line}");
            address(&line)
        });
        let (broker, nodes) = (address(&first), nodes.collect());
        // What can be typed.
        assert!(lines.find(|line| line.as_ref().unwrap().contains("quit")).is_some());
        Some(Self { process, lines, broker, nodes })
    }

    /// Types a line and returns the answer.
    fn typed(&mut self, line: &str) -> String {
        let input = self.process.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        self.lines.next().unwrap().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.process.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Nothing of it is left: nobody listens where it was.
    async fn is_gone(&self) {
        for address in self.nodes.iter().chain([&self.broker]) {
            within(async {
                while TcpStream::connect(address).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }

    /// What a node answers to a plain GET.
    async fn get(&self, node: usize, path: &str) -> String {
        let address = self.nodes[node];
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }

    /// Somebody in the lobby, who comes as the page does.
    async fn join(&self, node: usize, name: &str) -> Person {
        let address = self.nodes[node];
        let connector = connector(&format!("http://{address}"), name);
        let socket = within(connector.connect(&format!("ws://{address}/chat"))).await.unwrap();
        let mut person = Person { socket, joined: Value::Null, here: BTreeSet::new() };
        person.send("room.join", json!({"room": "lobby", "name": name})).await;
        person.joined = person.next("room.join.ack").await;
        person
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // The children end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Person {
    socket: WebSocket<NetStream>,
    joined: Value,
    /// Whom it was told of.
    here: BTreeSet<String>,
}

impl Person {
    async fn send(&mut self, event: &str, payload: Value) {
        let event = json!({"v": "1.0", "e": event, "p": payload, "c": "c1"}).to_string();
        within(self.socket.send(event)).await.unwrap();
    }

    async fn say(&mut self, text: &str) {
        self.send("chat.message", json!({"room": "lobby", "text": text})).await;
    }

    /// The payload of the next event of this name.
    async fn next(&mut self, name: &str) -> Value {
        loop {
            let message = within(self.socket.recv()).await.unwrap().expect("it is open");
            let event: Value = serde_json::from_str(message.as_text().unwrap()).unwrap();
            self.note(&event);
            if event["e"] == name {
                return event["p"].clone();
            }
        }
    }

    /// Who is here, by the answer to the join and by what is told of those who come and go.
    fn note(&mut self, event: &Value) {
        let payload = &event["p"];
        let is_there = payload["isHere"] != json!(false);
        let members = payload["members"].as_array().into_iter().flatten();
        for member in members.chain([&payload["person"]]) {
            let Some(name) = member["name"].as_str() else { continue };
            if is_there {
                self.here.insert(name.to_owned());
            } else {
                self.here.remove(name);
            }
        }
    }

    async fn hears(&mut self, name: &str, text: &str) {
        let said = self.next("chat.message").await;
        assert_eq!((&said["name"], &said["text"]), (&json!(name), &json!(text)));
    }

    /// Until this has happened to somebody.
    async fn sees(&mut self, name: &str, is_here: bool) {
        loop {
            let change = self.next("room.presence").await;
            if change["person"]["name"] == name && change["isHere"] == is_here {
                return;
            }
        }
    }

    /// These are there: they were when this one came, or it is told of them a moment later, in any order, where the node has
    /// just begun.
    async fn knows(&mut self, names: &[&str]) {
        while !names.iter().all(|name| self.here.contains(*name)) {
            self.next("room.presence").await;
        }
    }

    /// Until its node is gone.
    async fn cut_off(mut self) {
        while let Ok(Some(_)) = within(self.socket.recv()).await {}
    }
}

/// The nodes are one chat, whichever dies: those at the other go on, it comes back, and in the end nothing is left.
async fn one_chat(broker: &str) {
    let Some(mut whole) = Whole::start(broker) else { return };
    let mut ann = whole.join(0, "Ann").await;
    let mut bob = whole.join(1, "Bob").await;
    bob.knows(&["Ann"]).await;
    assert_ne!(ann.joined["id"], bob.joined["id"]);
    ann.sees("Bob", true).await;
    for (text, is_ann) in [("from one", true), ("from the other", false)] {
        let name = if is_ann { "Ann" } else { "Bob" };
        if is_ann {
            ann.say(text).await;
        } else {
            bob.say(text).await;
        }
        ann.hears(name, text).await;
        bob.hears(name, text).await;
    }
    if broker == "nats" {
        // It has their sessions, and what the time is.
        let info = "$JS.API.STREAM.INFO.KV_sockeye-cluster";
        let has_them = async || nats::ask(whole.broker, info, b"").await;
        within(async { while !has_them().await.contains("\"messages\":3,") {} }).await;
    }
    assert_eq!(whole.typed("kill 1"), "node 1 is killed");
    ann.cut_off().await;
    let mut ann = whole.join(1, "Ann").await;
    ann.say("on the other node").await;
    bob.hears("Ann", "on the other node").await;
    // What was said before is there as well.
    assert_eq!(ann.joined["last"]["events"].as_array().unwrap().len(), 2);
    assert_eq!(whole.typed("kill 1"), "node 1 is not there");
    assert_eq!(whole.typed("start 1"), format!("node 1 is at http://{}/", whole.nodes[0]));
    let mut cid = whole.join(0, "Cid").await;
    cid.knows(&["Ann", "Bob"]).await;
    cid.say("here again").await;
    bob.hears("Cid", "here again").await;
    assert_eq!(whole.typed("stop 1"), "node 1 has stopped");
    // It has said goodbye, so nobody waits for its heartbeats.
    bob.sees("Cid", false).await;
    whole.signal(Signal::TERM);
    bob.cut_off().await;
    assert!(end_of(&mut whole.process).await.success());
    whole.is_gone().await;
}

/// EX-14, SC-03: over Redis.
#[tokio::test]
async fn one_chat_over_redis() {
    one_chat("redis").await;
}

/// EX-14, SC-03: over NATS.
#[tokio::test]
async fn one_chat_over_nats() {
    one_chat("nats").await;
}

/// What is ignored here is ignored by the programs that are started, where this can be known.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 != 0))
}

/// However it ends, nothing is left behind.
#[tokio::test]
async fn nothing_is_left_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL, Signal::HUP] {
        if signal == Signal::HUP && ignores_hangup() {
            eprintln!("NOT TESTED: SIGHUP, for it is ignored here, as under nohup");
            continue;
        }
        let Some(mut whole) = Whole::start("redis") else { return };
        whole.signal(signal);
        let is_asked = matches!(signal, Signal::INT | Signal::TERM);
        assert_eq!(end_of(&mut whole.process).await.success(), is_asked);
        whole.is_gone().await;
    }
    let Some(mut whole) = Whole::start("nats") else { return };
    assert_eq!(whole.typed("quit"), "all have ended");
    assert!(end_of(&mut whole.process).await.success());
    whole.is_gone().await;
}

/// SV-11: each page is told of all nodes, its own first, and may connect to them and to nothing else.
#[tokio::test]
async fn a_page_knows_all_nodes() {
    let Some(whole) = Whole::start("redis") else { return };
    let urls = [0, 1].map(|node| format!("ws://{}/chat", whole.nodes[node]));
    for (node, other) in [(0, 1), (1, 0)] {
        let names = [node, other].map(|node| format!("node {}", node + 1));
        let expected = json!([
            {"name": names[0], "url": urls[node]}, {"name": names[1], "url": urls[other]},
        ]);
        let script = whole.get(node, "/nodes.js").await;
        assert!(script.ends_with(&format!("\r\nexport const nodes = {expected};\n")), "{script}");
        let page = whole.get(node, "/").await;
        let policy = format!("connect-src 'self' {} {};", urls[node], urls[other]);
        assert!(page.contains(&policy) && page.contains("default-src 'self';"), "{page}");
        assert!(whole.get(node, "/healthz").await.ends_with("\r\nok\n"));
    }
    // The other node's pages may, strangers may not.
    let other = format!("http://{}", whole.nodes[1]);
    for (origin, may_connect) in [(&*other, true), ("http://evil.test", false)] {
        let connected = within(connector(origin, "Ann").connect(&urls[0])).await;
        assert_eq!(connected.is_ok(), may_connect, "{origin}");
    }
    let stranger = within(Connector::new(quiet()).connect(&urls[0])).await;
    assert!(stranger.is_err(), "without a name nobody gets in");
}

/// What the files beside it start nodes with is understood.
#[test]
fn files_name_options_that_there_are() {
    let said = command(&["--help"]).output().unwrap().stdout;
    let usage = String::from_utf8(said).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cluster");
    for name in ["Dockerfile", "compose.yaml", "kubernetes.yaml", "sockeye@.service"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let is_start = |line: &&str| line.contains("\"node\"") || line.contains("cluster node");
        let lines = text.lines().filter(|line| !line.trim().starts_with('#')).filter(is_start);
        let words = lines.flat_map(|line| line.split([' ', '"', ',', '[', ']']));
        let options: Vec<_> = words.filter(|word| word.starts_with("--")).collect();
        assert!(!options.is_empty(), "{name}");
        for option in options {
            assert!(usage.contains(&format!("\n  {option} ")), "{name}: {option}");
        }
    }
}

/// What is asked for and cannot be is explained.
#[test]
fn a_bad_start_is_explained() {
    for (arguments, why) in [
        (&["--nodes"][..], "--nodes needs a value"),
        (&["--nodes", "1"], "--nodes: 2 to 9"),
        (&["--port", "65530", "--nodes", "9"], "there are not 9 ports from 65530 on"),
        (&["--redis", "http://:s3cret@host"], "--redis: "),
        (&["--start", "kafka"], "\"kafka\" is not understood"),
        (&["--redis-cluster", "redis+unix:///:s3cret"], "--redis-cluster: "),
        (&["node"], "--redis, --redis-cluster or --nats is missing"),
        (&["node", "--nats", "host", "--behind", "10.0.0.1/8"], "--behind: "),
        (&["nodes"], "\"nodes\" is not understood"),
    ] {
        let mut command = command(arguments);
        for name in ["REDIS_URL", "REDIS_CLUSTER_URLS", "NATS_URL"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && said.contains("usage: cluster"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}
