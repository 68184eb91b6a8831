//! The example `monitor` as its users start it; its page is driven by a browser in `tests/browser`.

#![cfg(all(feature = "hub", feature = "auth", feature = "json"))]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use sockeye::auth::{JwtSigner, Secret};
use sockeye::{Config, Connector, Error, HandshakeError, NetStream, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::programs::{end_of, example};

/// A test that waits longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn command(arguments: &[&str]) -> Command {
    let mut command = example("monitor");
    command.args(arguments).env("SOCKEYE_SECRET", SECRET);
    command
}

/// The program, until it is dropped.
struct Monitor {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    addr: String,
    token: String,
    watched: String,
}

impl Monitor {
    fn start(arguments: &[&str]) -> Self {
        let arguments = [&["--port", "0"], arguments].concat();
        let process = command(&arguments).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("cargo test builds it, cargo test --test NAME does not");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = |greeting| {
            let line: String = lines.next().unwrap().unwrap();
            line.strip_prefix(greeting).expect(&line).to_owned()
        };
        let address = next("monitor is at http://");
        let watched = next("it watches ");
        let (addr, token) = address.split_once("/#").unwrap();
        let (addr, token) = (addr.to_owned(), token.to_owned());
        Self { process, lines, addr, token, watched }
    }

    /// Opens what the page opens, as somebody who can set headers.
    async fn look(&self, token: Option<&str>) -> Result<WebSocket<NetStream>, Error> {
        let mut connector = Connector::new(Config::default());
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            connector = connector.header(AUTHORIZATION, value);
        }
        let url = format!("ws://{}/live", self.addr);
        timeout(PATIENCE, connector.connect(&url)).await.unwrap()
    }

    /// Status, head and body of an answer.
    async fn get(&self, path: &str, token: Option<&str>) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.addr).await.unwrap();
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{}\r\n",
            self.addr,
            token.unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn next_state(socket: &mut WebSocket<NetStream>) -> Value {
    let message = timeout(PATIENCE, socket.recv()).await.unwrap().unwrap().expect("not closed");
    serde_json::from_str(message.as_text().unwrap()).unwrap()
}

/// The first state whose newest point fits; they come once a second.
async fn state_that(
    socket: &mut WebSocket<NetStream>,
    fits: impl Fn(&Value, &Value) -> bool,
) -> Value {
    let mut last = Value::Null;
    for _ in 0..PATIENCE.as_secs() {
        last = next_state(socket).await;
        let point = last["points"].as_array().and_then(|points| points.last());
        if point.is_some_and(|point| fits(&last, point)) {
            return last;
        }
    }
    panic!("{last}");
}

fn token_of(claims: &Value) -> String {
    JwtSigner::new(Secret::new(SECRET).unwrap()).sign(claims).unwrap()
}

/// EX-13, AU-12: nobody looks without a token of an admin; the page and the health are for everybody.
#[tokio::test]
async fn only_admins_look() {
    let monitor = Monitor::start(&[]);
    let ends = u32::MAX;
    let user = token_of(&json!({"sub": "ann", "exp": ends}));
    let late = token_of(&json!({"sub": "ann", "roles": ["admin"], "exp": 1}));
    let other = format!("{}x", monitor.token);
    for (token, status) in
        [(None, 401), (Some(&user), 403), (Some(&late), 401), (Some(&other), 401)]
    {
        let token = token.map(String::as_str);
        let refused = monitor.look(token).await.unwrap_err();
        let Error::Handshake(HandshakeError::UnexpectedStatus(answer)) = refused else {
            panic!("{refused}");
        };
        assert_eq!(answer.status(), status);
        let (found, _, body) = monitor.get("/metrics", token).await;
        assert_eq!(found, status, "{body}");
        assert!(!body.contains("sockeye_"));
    }
    assert!(monitor.look(Some(&monitor.token)).await.is_ok());
    let (status, head, body) = monitor.get("/metrics", Some(&monitor.token)).await;
    assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("\nsockeye_connections 0\n"), "{body}");
    assert_eq!(monitor.get("/healthz", None).await.2, "ok\n");
    assert_eq!(monitor.get("/live", None).await.0, 426);
    assert_eq!(monitor.get("/index.html", Some(&monitor.token)).await.0, 404);
}

/// SV-11: everything of the page is under a policy that forbids what is not from here.
#[tokio::test]
async fn the_page_has_a_strict_policy() {
    let monitor = Monitor::start(&[]);
    for (path, kind) in [("/", "html"), ("/monitor.js", "javascript"), ("/monitor.css", "css")] {
        let (status, head, body) = monitor.get(path, None).await;
        assert!(
            status == 200 && head.contains(&format!("content-type: text/{kind}; charset=utf-8"))
        );
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self';"));
        assert!(head.contains("x-content-type-options: nosniff") && !head.contains("unsafe"));
        assert!(!body.contains(&monitor.token));
        assert!(!body.contains("<script>") && !body.contains("<style") && !body.contains("style="));
    }
}

/// EX-13, MT-01: an admin sees what happened and what happens; the load is switched on and off, and a
/// client of one's own is seen, too.
#[tokio::test]
async fn an_admin_sees_the_load() {
    let monitor = Monitor::start(&[]);
    let mut admin = monitor.look(Some(&monitor.token)).await.unwrap();
    let state = next_state(&mut admin).await;
    assert_eq!((&state["load"], &state["load_max"]), (&json!(0), &json!(500)));

    let mut guest = sockeye::connect(&monitor.watched.replace("lobby", "attic")).await.unwrap();
    let state = state_that(&mut admin, |_, point| point["connections"] == 1).await;
    assert_eq!(state["rooms"], json!([["attic", 1]]));
    timeout(PATIENCE, guest.close(1000, "")).await.unwrap().unwrap();

    admin.send(r#"{"load": 40}"#).await.unwrap();
    let is_busy = |state: &Value, point: &Value| {
        let is_some = |name: &str| point[name].as_u64() > Some(0);
        state["load"] == 40
            && point["connections"] == 40
            && is_some("messages_in")
            && is_some("messages_out")
            && is_some("bytes_out")
            && point["broadcast_us"].is_array()
    };
    let state = state_that(&mut admin, is_busy).await;
    let rooms = state["rooms"].as_array().unwrap();
    assert!(rooms.len() == 12 && rooms[0][0] == "lobby", "{rooms:?}");
    // Whoever comes later is shown what was before.
    let mut later = monitor.look(Some(&monitor.token)).await.unwrap();
    let points = next_state(&mut later).await["points"].as_array().unwrap().len();
    assert!(points > 1, "{points}");

    later.send(r#"{"load": 0}"#).await.unwrap();
    let state = state_that(&mut admin, |_, point| point["connections"] == 0).await;
    assert_eq!(state["closed"]["1000"], 41);
}

/// EX-13: what is no command closes with 1008; the server goes on.
#[tokio::test]
async fn what_is_no_command_closes() {
    let monitor = Monitor::start(&[]);
    for command in ["", "{}", r#"{"load": -1}"#, r#"{"load": 501}"#, "load", r#"{"load": "1"}"#] {
        let mut admin = monitor.look(Some(&monitor.token)).await.unwrap();
        admin.send(command).await.unwrap();
        let ended = async { while let Ok(Some(_)) = admin.recv().await {} };
        timeout(PATIENCE, ended).await.unwrap();
        assert_eq!(admin.outcome().unwrap().code.as_u16(), 1008, "{command}");
    }
    assert_eq!(monitor.get("/healthz", None).await.0, 200);
}

/// EX-15: a line every so many seconds says how the server is.
#[test]
fn a_line_is_printed_every_second() {
    let mut monitor = Monitor::start(&["--every", "1", "--clients", "30"]);
    let is_of_load = |line: &String| line.contains(" s, connections 30, rooms 12, in ");
    let lines = monitor.lines.by_ref().take(20).map(Result::unwrap);
    let line = lines.into_iter().find(is_of_load).expect("a line of the load");
    for part in
        ["/s, out ", " B/s, queued ", ", dropped ", ", closed ", ", refused ", ", round trip ms "]
    {
        assert!(line.starts_with("up ") && line.contains(part), "{line}");
    }
}

/// EX-13: a bad start is explained.
#[test]
fn a_bad_start_is_explained() {
    for (arguments, secret, why) in [
        (&["--port"][..], SECRET, "--port needs a value"),
        (&["--clients", "501"], SECRET, "500 at most"),
        (&["--every", "0"], SECRET, "1 to 3600"),
        (&["--fast", "1"], SECRET, "unknown option --fast"),
        (&[], "short", "SOCKEYE_SECRET: a secret of 5 bytes, at least 32"),
    ] {
        let output = command(arguments).env("SOCKEYE_SECRET", secret).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && said.contains("usage: monitor"), "{said}");
    }
}

/// BY-22, EX-13: asked to end, it says goodbye (1001) and ends.
#[cfg(unix)]
#[tokio::test]
async fn a_monitor_that_is_to_end_says_goodbye() {
    for signal in ["-INT", "-TERM"] {
        let mut monitor = Monitor::start(&["--clients", "20"]);
        let mut admin = monitor.look(Some(&monitor.token)).await.unwrap();
        state_that(&mut admin, |_, point| point["connections"] == 20).await;
        let id = monitor.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let ended = async { while let Ok(Some(_)) = admin.recv().await {} };
        timeout(PATIENCE, ended).await.unwrap();
        assert_eq!(admin.outcome().unwrap().code.as_u16(), 1001);
        assert!(end_of(&mut monitor.process).await.success(), "{signal}");
    }
}
