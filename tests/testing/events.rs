//! Clients of an application.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::event::{Codec, EventError};
use sockeye::app::{App, Context};
use sockeye::hub::Shutdown;
use sockeye::testing::{Faults, TestServer, for_seeds};

use super::broken::failure;

#[derive(Deserialize)]
struct Numbers {
    n: Vec<i64>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

async fn add(_: Context, Numbers { n }: Numbers) -> Value {
    json!({"sum": n.iter().sum::<i64>()})
}

async fn say(context: Context, Text { text }: Text) -> Result<Value, EventError> {
    if text.is_empty() {
        return Err(EventError::new(422, "say something"));
    }
    // Before the answer, so that the client has to pass by.
    let said = context.to_all().send("said", &json!({"text": text}));
    said.map_err(|_| EventError::new(500, "full"))?;
    Ok(json!({"ok": true}))
}

fn app() -> App {
    App::new().path("/ws").on("add", add).on("say", say).on("note", |_: Context, _: Value| async {})
}

/// TE-11: requests are answered by their own answers, and what came before them is kept, in order.
#[tokio::test]
async fn requests_have_their_answers() {
    let server = TestServer::app(app()).await;
    let (mut ann, mut bob) = (server.join("/ws").await, server.join("/ws").await);
    assert_eq!(ann.request("add", &json!({"n": [1, 2, 3]})).await, json!({"sum": 6}));
    for text in ["one", "two"] {
        assert_eq!(ann.request("say", &json!({"text": text})).await, json!({"ok": true}));
    }
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.expect_event("said").await, json!({"text": "one"}));
        assert_eq!(client.expect_event("said").await, json!({"text": "two"}));
    }
    bob.send_event("add", &json!({"n": []})).await;
    assert_eq!(
        ann.expect_error("say", &json!({"text": ""}), 422).await["message"],
        "say something"
    );
    assert_eq!(server.get("/none").await.status().as_u16(), 404);
    assert_eq!(server.running().hub().len(), 2);
    let stopped = server.stop(Shutdown::new(Duration::from_secs(5)));
    let ((report, _), _) = tokio::join!(
        async { tokio::join!(stopped, ann.expect_close(1001)) },
        bob.expect_close(1001)
    );
    assert_eq!((report.ended, report.left), (2, 0));
}

/// TE-11: what is wrong is said, with the name of the event and what came.
#[tokio::test(start_paused = true)]
async fn broken_expectations_of_events_say_so() {
    let server = TestServer::app(app()).await;
    let mut ann = server.join("/ws").await;
    ann.request("say", &json!({"text": "hi"})).await;
    let said = failure(async { drop(ann.expect_event("chat.message").await) }).await;
    assert!(said.starts_with("tests/testing/events.rs:"), "{said}");
    assert!(said.contains("/ws: expected the event \"chat.message\", but the text "), "{said}");
    assert!(said.contains("said"), "{said}");
    let said = failure(async { drop(ann.request("say", &json!({"text": ""})).await) }).await;
    assert!(said.contains("expected an answer, but an error: {\"code\":422"), "{said}");
    let said =
        failure(async { drop(ann.expect_error("add", &json!({"n": [1]}), 422).await) }).await;
    assert!(said.contains("expected the error 422, but add.ack {\"sum\":1} came"), "{said}");
    let said = failure(async { drop(ann.request("add", &1).await) }).await;
    assert!(said.ends_with("/ws: a payload is an object"), "{said}");

    let silent =
        App::new().path("/ws").on("wait", |_: Context, _: Value| std::future::pending::<()>());
    let server = TestServer::app(silent).await;
    let mut ann = server.join("/ws").await.deadline(Duration::from_secs(3));
    let said = failure(async { drop(ann.request("wait", &json!({})).await) }).await;
    assert!(said.ends_with("expected an answer to \"wait\", but none came in 3s"), "{said}");
}

/// TE-12: acknowledgements are passed over, so that silence is what the application makes of it.
#[tokio::test(start_paused = true)]
async fn acknowledgements_are_passed_over() {
    let server = TestServer::app(app()).await;
    let mut ann = server.join("/ws").await;
    for _ in 0..40 {
        ann.send_event("note", &json!({})).await;
    }
    ann.expect_nothing_for(Duration::from_secs(5)).await;
    let mut bare = server.connect("/ws").await;
    assert_eq!(bare.next_json().await["e"], "sys.session.created");
    bare.send_event("note", &json!({})).await;
    assert_eq!(bare.next_json().await["e"], "sys.ack", "nobody asked to pass over them");
}

/// TE-12: the tagged form is spoken and understood.
#[tokio::test]
async fn the_tagged_form_is_spoken() {
    let server = TestServer::app(app().codec(Codec::Tagged)).await;
    let mut ann = server.open("/ws").connect().await.tagged();
    assert!(ann.expect_session().await["sessionId"].is_string());
    ann.send_text(r#"{"type":"sys.ping","requestId":"1","x":2}"#).await;
    assert_eq!(ann.expect_event("sys.pong").await, json!({"x": 2}));
    ann.expect_error("none", &json!({}), 404).await;
}

/// TE-13: an application serves over any network that does not lose, and the session is told whatever the pieces are.
#[tokio::test(start_paused = true)]
async fn an_application_serves_over_rough_networks() {
    for_seeds(0..16, async |seed| {
        let server = TestServer::app(app()).await;
        let mut ann = server.open("/ws").faults(Faults::rough(seed)).join().await;
        assert_eq!(ann.request("add", &json!({"n": [seed, 1]})).await, json!({"sum": seed + 1}));
    })
    .await;
}
