//! The span of a connection, and what happens in it.

use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};
use sockeye::app::{App, Context};
use sockeye::handshake::TraceContext;
use sockeye::protocol::Overflow;
use sockeye::testing::{Pair, TestServer};
use sockeye::{Acceptor, Answer, Config, Connector};
use tracing::Level;

use super::heard::Heard;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn connector(traceparent: &str) -> Connector {
    let context = TraceContext::parse(traceparent).unwrap().with_state("vendor=1").unwrap();
    Connector::new(Config::default()).trace_context(&context)
}

/// TR-01, TC-05: a connection has one span, with its path, peer, number and trace, and in it its beginning and its end; a client
/// sends its trace, and handlers have it.
#[tokio::test(start_paused = true)]
async fn a_connection_has_a_span() {
    let (heard, _guard) = Heard::listen();
    async fn trace(context: Context, _: Value) -> Value {
        let trace = context.trace_context().unwrap();
        json!({"trace": trace.to_string(), "state": trace.state()})
    }
    let server = TestServer::app(App::new().path("/ws").on("trace", trace)).await;
    let opening = server.open("/ws").connector(connector(TRACEPARENT));
    let mut client = opening.from(([10, 0, 0, 9], 7000).into()).join().await;
    let answer = client.request("trace", &json!({})).await;
    assert_eq!(answer, json!({"trace": TRACEPARENT, "state": "vendor=1"}));
    client.close(1000, "bye").await;
    drop((client, server));
    tokio::time::sleep(Duration::from_secs(200)).await;

    let spans = heard.spans();
    let (id, fields) = spans.iter().find(|(_, fields)| fields["role"] == "server").unwrap();
    assert_eq!((fields["path"].as_str(), fields["peer"].as_str()), ("/ws", "10.0.0.9:7000"));
    assert_eq!(fields["trace_id"], TRACEPARENT[3..35]);
    assert_eq!(fields["parent_id"], TRACEPARENT[36..52]);
    assert!(fields["id"].parse::<u64>().is_ok() && !fields.contains_key("user"), "{fields:?}");
    assert_eq!(heard.story(*id), ["open", "session", "closed"]);
    let closed = heard.events().into_iter().rfind(|event| event.span == Some(*id)).unwrap();
    assert_eq!((closed.level, closed.fields["code"].as_str()), (Level::DEBUG, "1000"));
    assert_eq!((closed.fields["by"].as_str(), closed.fields["clean"].as_str()), ("peer", "true"));

    let (id, fields) = spans.iter().find(|(_, fields)| fields["role"] == "client").unwrap();
    assert_eq!((fields["host"].as_str(), fields["port"].as_str()), ("localhost", "80"));
    assert_eq!(heard.story(*id), ["open", "closed"]);
    assert_eq!((spans.len(), heard.open_spans()), (2, 0), "all spans end");
}

/// TR-01: what a peer did wrong is told with its section, and is no error of ours.
#[tokio::test(start_paused = true)]
async fn a_violation_is_told() {
    let (heard, _guard) = Heard::listen();
    let mut config = Config::default();
    config.message_bytes_max = 10;
    let server = TestServer::new(Acceptor::new(config), |mut socket, _| async move {
        while let Ok(Some(_)) = socket.recv().await {}
    });
    let mut client = server.connect("/").await;
    client.send_text("longer than ten").await;
    client.expect_close(1009).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(200)).await;
    let told = heard.one("violation");
    assert_eq!((told.level, told.fields["code"].as_str()), (Level::INFO, "1009"));
    assert_eq!(told.fields["by"], "us");
    assert!(told.fields["violation"].contains("limit") && !told.fields["section"].is_empty());
}

/// TR-02: who is refused, by whom and how; also where no request could be read.
#[tokio::test(start_paused = true)]
async fn refusals_are_told() {
    let (heard, _guard) = Heard::listen();
    let app = App::new().path("/ws").require_auth();
    let server = TestServer::app(app).await;
    server.open("/ws").expect_refusal(401).await;
    let told = heard.one("refused");
    assert_eq!((told.level, told.fields["status"].as_str()), (Level::DEBUG, "401"));
    assert_eq!(told.fields["by"], "admission");
    let (_, fields) = heard.spans().into_iter().find(|(id, _)| Some(*id) == told.span).unwrap();
    assert_eq!(fields["path"], "/ws");

    let (heard, _guard) = Heard::listen();
    let hook = |_| async { Answer::refuse(http::StatusCode::CONFLICT, "no") };
    let server = TestServer::new(Acceptor::default().on_request(hook), |_, _| async {});
    server.open("/").expect_refusal(409).await;
    assert_eq!(heard.one("refused").fields["by"], "hook");

    let (heard, _guard) = Heard::listen();
    server.open("/").origin("https://evil.example").expect_refusal(403).await;
    let told = heard.one("refused");
    assert_eq!((told.fields["status"].as_str(), told.span), ("403", None));
    assert_eq!(told.fields["why"], "handshake: origin not allowed");
    let (heard, _guard) = Heard::listen();
    assert_eq!(server.get("/").await.status().as_u16(), 409, "a page, as the hook has it");
    assert_eq!(heard.all(), "", "who wants a page is no connection");
}

/// TR-03: what an outbox drops is told where it happens, with its policy.
#[tokio::test(start_paused = true)]
async fn drops_are_told() {
    let (heard, _guard) = Heard::listen();
    let mut config = Config::default();
    config.outbox_messages_max = 2;
    config.overflow = Overflow::DropNewest;
    let (mut client, server) = Pair::new().server_config(config).capacity(1000).connect().await;
    let (sender, mut receiver) = server.split();
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = receiver.recv().await {} });
    for _ in 0..20 {
        let _ = sender.try_send("x".repeat(600));
        tokio::task::yield_now().await;
    }
    let dropped = heard.events().into_iter().filter(|event| event.message() == "dropped");
    let dropped: Vec<_> = dropped.collect();
    assert_eq!(dropped.len() as u64, sender.dropped(), "each was by itself");
    assert!(
        dropped.len() > 5 && dropped.iter().all(|event| event.fields["policy"] == "drop_newest")
    );
    let span = dropped[0].span;
    assert!(span.is_some());
    let total = sender.dropped();
    while client.recv().await.is_ok_and(|message| message.is_some()) {
        if sender.queued().0 == 0 {
            client.close(1000, "").await.unwrap();
        }
    }
    reading.await.unwrap();
    let is_end = |event: &super::heard::Told| event.span == span && event.message() == "closed";
    let closed = heard.events().into_iter().find(is_end).unwrap();
    assert!(closed.fields["dropped"].parse::<u64>().unwrap() >= total, "{closed:?}");
}

/// TR-04: a session is begun, goes on elsewhere, and who has lost it is told so.
#[tokio::test(start_paused = true)]
async fn sessions_are_told() {
    let (heard, _guard) = Heard::listen();
    let server = TestServer::app(App::new().path("/ws")).await;
    let mut first = server.open("/ws").connect().await;
    let created = first.expect_session().await;
    let mut second = server.connect("/ws?resume=1").await;
    let resume =
        json!({"sessionId": created["sessionId"], "token": created["token"], "received": 0});
    second.send_event("sys.reconnect.request", &resume).await;
    assert_eq!(second.next_json().await["e"], "sys.session.restored");
    first.expect_close(4001).await;
    let mut third = server.connect("/ws?resume=1").await;
    let unknown = json!({"sessionId": "nobody's s3cret", "token": "t0ken", "received": 0});
    third.send_event("sys.reconnect.request", &unknown).await;
    assert_eq!(third.next_json().await["p"]["restored"], false);
    assert_eq!(third.next_json().await["e"], "sys.session.created");

    let told = heard.events().into_iter().filter(|event| event.message() == "session");
    let told: Vec<_> =
        told.map(|event| (event.fields["what"].clone(), event.fields["session"].clone())).collect();
    let session = created["sessionId"].as_str().unwrap();
    let whats: Vec<_> = told.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(whats, ["begun", "resumed", "unknown", "begun"]);
    assert!(told[0].1 == session && told[1].1 == session && told[2].1.is_empty());
    let taken = heard
        .events()
        .into_iter()
        .find(|event| event.fields.get("code").is_some_and(|code| code == "4001"));
    assert_eq!(taken.unwrap().fields["by"], "us");
}

/// TR-05: what an application adds is in the connection's span.
#[tokio::test(start_paused = true)]
async fn an_application_adds_to_the_span() {
    let (heard, _guard) = Heard::listen();
    let server = TestServer::new(Acceptor::default(), |mut socket, request| async move {
        tracing::info!(target: "sockeye::test", parent: request.span(), "mine");
        let _ = socket.recv().await;
    });
    let opening =
        server.open("/mine").header(http::header::USER_AGENT, HeaderValue::from_static("x"));
    let mut client = opening.connect().await;
    client.close(1000, "").await;
    let span = heard.one("mine").span.unwrap();
    let (_, fields) = heard.spans().into_iter().find(|(id, _)| *id == span).unwrap();
    assert_eq!(fields["path"], "/mine");
}
