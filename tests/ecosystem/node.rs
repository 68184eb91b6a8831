//! WebSockets over HTTP/2 with another's ends: Node's own http2, as client of our server and as server of our client.
//!
//! Where there is no `node` that is told loudly, and is a failure where `SOCKEYE_ALL_PROGRAMS` is set.

#![cfg(feature = "hyper")]

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use http::StatusCode;
use serde_json::{Value, json};
use sockeye::handshake::{Acceptance, Offer};
use sockeye::hyper::{ExtendedConnect, answer};
use sockeye::net::AttachedServer;
use sockeye::{Acceptor, Answer};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;

use crate::serving::{Http2, Serving, deflating, echo, exchange, refusal};
use crate::support::pair::quiet;
use crate::support::programs::{Running, spawn};
use crate::support::server::within;

/// Node with the script beside this file, and the lines that it prints.
fn node(arguments: &[&str]) -> Option<(Running, Lines<BufReader<ChildStdout>>)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ecosystem/http2.mjs");
    let mut node = Command::new("node");
    let node = node.arg(script).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut node = spawn(node)?;
    let stdout = node.0.stdout.take().unwrap();
    Some((node, BufReader::new(ChildStdout::from_std(stdout).unwrap()).lines()))
}

async fn said(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = within(lines.next_line()).await.unwrap().expect("node has said what is wrong");
    serde_json::from_str(&line).unwrap()
}

/// H2-01, BY-20: a client that knows nothing of this crate finds the setting, opens several streams, has its messages
/// back however they are cut, its ping answered, its close, and its refusals.
#[tokio::test]
async fn rfc8441_nodes_client_talks_to_our_server() {
    let acceptor = Acceptor::new(quiet()).on_request(async |request| {
        match request.subprotocols().iter().any(|name| name == "chat") {
            _ if request.path() == "/none" => Answer::refuse(StatusCode::NOT_FOUND, "nothing here"),
            true => Answer::Upgrade(Acceptance::default().subprotocol("chat")),
            false => Answer::accept(),
        }
    });
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let server = AttachedServer::new(acceptor, move |socket, _| echo(socket, told.clone()));
    let door = server.door();
    let serving = Serving::start(move |mut request, peer| {
        let door = door.clone();
        async move { answer(&door, &mut request, Some(peer)).await }
    })
    .await;
    let Some((_node, mut lines)) = node(&["client", &serving.address.port().to_string()]) else {
        return;
    };
    let wanted = json!({
        "takesWebSockets": true, "status": 200, "subprotocol": "chat", "accept": null,
        "seen": [true, true, true], "beside": "other", "pong": "are you there", "close": 4000, "ended": true,
        "refused": [404, "nothing here"], "foreign": 501,
    });
    assert_eq!(said(&mut lines).await, wanted);
    let outcome = within(outcomes.recv()).await.unwrap();
    assert_eq!((u16::from(outcome.code), outcome.reason.as_str()), (4000, "bye"));
}

/// H2-01, BY-20: our client on a server that knows nothing of this crate.
#[tokio::test]
async fn rfc8441_our_client_talks_to_nodes_server() {
    let Some((_node, mut lines)) = node(&["server"]) else { return };
    let port = said(&mut lines).await["port"].as_u64().unwrap();
    let mut http2 = Http2::connect(SocketAddr::from(([127, 0, 0, 1], port as u16))).await;
    let offer = Offer::default().subprotocol("chat");
    // What it does not answer with is not used.
    let connect = ExtendedConnect::new(deflating()).offer(offer);
    let mut socket = http2.open(&connect, "/ws").await.unwrap();
    assert_eq!(socket.subprotocol(), Some("chat"));
    let mut other = http2.open_quiet("/ws").await;
    for len in [0, 1, 126, 70_000, 1_000_000] {
        exchange(&mut socket, &"x".repeat(len)).await;
        exchange(&mut other, "beside").await;
    }
    let outcome = within(socket.close(4001, "enough")).await.unwrap();
    assert_eq!((u16::from(outcome.code), outcome.reason.as_str()), (4001, "enough"));
    exchange(&mut other, "still here").await;
    let refused = refusal(http2.open(&ExtendedConnect::new(quiet()), "/none").await);
    assert_eq!((refused.status().as_u16(), refused.body()), (403, &b"not here"[..]));
}
