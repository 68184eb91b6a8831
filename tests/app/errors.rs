//! What goes wrong in an application, and what its client is told. Over real sockets.

#![cfg(feature = "app")]

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::{
    App, Context, Disconnect, EventError, EventSendError, FieldError, Reconnect, RequestError,
};
use sockeye::auth::AuthError;
use sockeye::hub::limits::Limits;
use sockeye::hub::{BroadcastError, Hub, JoinError, MetadataError, Peer};
use sockeye::protocol::Rate;
use sockeye::{CloseCode, Message, SendError};
use tokio::sync::mpsc;

use crate::support::app::{AppClient, AppSite};
use crate::support::server::within;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Form {
    name: String,
    age: u8,
}

/// A handler that echoes, one that takes a form, and those that fail; what the hook is told.
fn failing() -> (App, mpsc::UnboundedReceiver<String>) {
    let (told, hook) = mpsc::unbounded_channel();
    let app = App::new()
        .on("echo", async |_: Context, payload: Value| payload)
        .on("form", async |_: Context, _: Form| json!({"ok": true}))
        .on("known", async |_: Context, _: Value| -> Result<(), BoxError> {
            Err(EventError::new(1001, "Error").with_reason("as_asked").into())
        })
        .on("rule", async |_: Context, _: Value| {
            Err::<(), _>(EventError::invalid(FieldError::new("/text", "maxLength", "at most 1000")))
        })
        .on("secret", async |_: Context, _: Value| -> Result<(), BoxError> {
            Err("the password is salmon".into())
        })
        .on("panic", async |_: Context, payload: Value| {
            assert_ne!(payload["n"], 1, "salmon");
        })
        .on("sync.panic", |_: Context, _: Value| -> std::future::Ready<()> { panic!("salmon") })
        .on("list", async |_: Context, _: Value| [1, 2])
        .on("own.error", async |context: Context, _: Value| context.error(1001, "Error").map(drop))
        .on_error(move |context, error| {
            let _ = told.send(format!("{} {error}", context.event()));
        });
    (app, hook)
}

/// Asks, and expects an error: its code, and the whole payload.
async fn refused(client: &mut AppClient, event: &str, payload: Value) -> Value {
    client.ask(event, payload, "c7").await;
    let error = client.event().await;
    assert_eq!((&error["e"], &error["c"]), (&json!("sys.error"), &json!("c7")), "{error}");
    error["p"].clone()
}

/// ER-09, ER-10, ER-11, ER-13, CN-19: errors that are meant for the client are shown, others masked and told the hook;
/// the connection lives.
#[tokio::test]
async fn er_10_errors_are_shown_or_masked() {
    let (app, mut hook) = failing();
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    let known = refused(&mut client, "known", json!({})).await;
    let shown =
        json!({"code": 1001, "message": "Error", "recoverable": true, "reason": "as_asked"});
    assert_eq!(known, shown);
    let own = refused(&mut client, "own.error", json!({})).await;
    assert_eq!(own, json!({"code": 1001, "message": "Error", "recoverable": true}));
    let rule = refused(&mut client, "rule", json!({})).await;
    assert_eq!(rule["code"], 422);
    assert_eq!(
        rule["errors"],
        json!([{"field": "/text", "rule": "maxLength", "message": "at most 1000"}])
    );
    let masked = json!({"code": 500, "message": "Internal server error", "recoverable": false});
    for (event, told) in [
        ("secret", "secret the password is salmon"),
        ("panic", "panic the handler panicked: "),
        ("sync.panic", "sync.panic the handler panicked: salmon"),
        ("list", "list a payload is an object"),
    ] {
        assert_eq!(refused(&mut client, event, json!({"n": 1})).await, masked);
        let line = within(hook.recv()).await.unwrap();
        assert!(line.starts_with(told), "{line}");
    }
    client.send("echo", json!({"n": 1})).await;
    assert_eq!(client.expect("echo.ack").await, json!({"n": 1}));
    assert!(hook.try_recv().is_err(), "the hook hears nothing of what is shown");
}

/// The same handlers with one type of error or the other.
fn refusing<E>() -> App
where
    E: From<JoinError> + From<EventSendError> + From<AuthError> + From<MetadataError>,
    E: From<RequestError> + From<SendError> + From<BroadcastError>,
    E: Into<BoxError> + Send + 'static,
{
    let may_join = |_: &Peer, room: &str| room != "secret";
    let mut limits = Limits::default();
    limits.metadata_bytes_max = 10;
    let hub = Hub::builder().limits(limits).room_members_max(1).on_join(may_join).job_queue(1);
    App::new()
        .hub(hub)
        .on("join", async |context: Context, payload: Value| -> Result<(), E> {
            Ok(context.join(payload["room"].as_str().unwrap_or_default())?)
        })
        .on("send", async |context: Context, _: Value| -> Result<(), E> {
            // More than any socket takes.
            let much = json!({"x": "x".repeat(10_000)});
            loop {
                context.send("news", &much)?;
            }
        })
        .on("peer", async |context: Context, _: Value| -> Result<(), E> {
            let much = "x".repeat(10_000);
            loop {
                context.peer().sender().try_send(&*much)?;
            }
        })
        .on("say", async |context: Context, _: Value| -> Result<(), E> {
            loop {
                context.to_all().except_self().send("news", &json!({}))?;
            }
        })
        .on("broadcast", async |context: Context, _: Value| -> Result<(), E> {
            loop {
                context.hub().broadcast_except("news", context.peer().id())?;
            }
        })
        .on("note", async |context: Context, _: Value| -> Result<(), E> {
            context.peer().set_metadata("key", "longer than it may be")?;
            Ok(())
        })
        .on("guard", async |_: Context, _: Value| -> Result<(), E> { Err(AuthError::Refused)? })
        .on("ask", async |context: Context, _: Value| -> Result<(), E> {
            context.request("question", &json!({}), Duration::from_millis(1)).await?;
            Ok(())
        })
        .on("list", async |context: Context, _: Value| -> Result<(), E> {
            context.send("list", &[1, 2])?;
            Ok(())
        })
}

/// What an error of the crate's own is for its client, and what passes before it.
async fn shown(client: &mut AppClient, event: &str, payload: Value) -> (i64, String, String) {
    client.ask(event, payload, "c7").await;
    loop {
        let text = within(client.socket.recv()).await.unwrap().expect("it stays open");
        let Ok(error) = serde_json::from_str::<Value>(text.as_text().unwrap()) else { continue };
        if error["e"] == "sys.error" {
            assert_eq!(error["c"], "c7", "{error}");
            let text = |member: &str| error["p"][member].as_str().unwrap_or_default().to_owned();
            return (error["p"]["code"].as_i64().unwrap(), text("reason"), text("message"));
        }
    }
}

async fn refusals_are_shown(app: App) {
    let (told, mut hook) = mpsc::unbounded_channel();
    let app = app.on_error(move |context, error| {
        let _ = told.send(format!("{} {error}", context.event()));
    });
    let site = AppSite::start(app).await;
    let (mut first, mut client) = (site.connect("/ws").await, site.connect("/ws").await);
    first.ask("join", json!({"room": "table"}), "c1").await;
    first.text(r#"{"v":"1.0","e":"sys.ping","c":"c2"}"#).await;
    first.expect("sys.pong").await;
    for (event, payload, code, reason, message) in [
        ("join", json!({"room": "table"}), 503, "room_full", "room full: 1 members"),
        ("join", json!({"room": "secret"}), 403, "refused", "not allowed in this room"),
        ("join", json!({"room": ""}), 422, "room_name", "room name: 1 to 128 bytes"),
        ("send", json!({}), 503, "busy", "too busy"),
        ("peer", json!({}), 503, "busy", "too busy"),
        ("say", json!({}), 503, "busy", "too busy"),
        ("broadcast", json!({}), 503, "busy", "too busy"),
        ("note", json!({}), 413, "too_much", "too much metadata: 10 bytes a connection"),
        ("guard", json!({}), 403, "", "not allowed"),
        ("ask", json!({}), 408, "no_answer", "no answer within 1 ms"),
    ] {
        let error = shown(&mut client, event, payload).await;
        assert_eq!((error.0, error.1.as_str()), (code, reason), "{event}: {error:?}");
        assert!(error.2.starts_with(message), "{event}: {error:?}");
    }
    assert!(hook.try_recv().is_err(), "the hook hears nothing of what is shown");
    let mistake = shown(&mut client, "list", json!({})).await;
    assert_eq!((mistake.0, mistake.2.as_str()), (500, "Internal server error"));
    assert_eq!(within(hook.recv()).await.unwrap(), "list a payload is an object");
}

/// ER-10: what a room, a door, an outbox or the hub refuses is shown where a handler ends with it by `?`, its errors
/// boxed; a mistake of the application is masked and told.
#[tokio::test]
async fn er_10_refusals_are_shown_boxed() {
    refusals_are_shown(refusing::<BoxError>()).await;
}

/// ER-10: the same where a handler's errors are events.
#[tokio::test]
async fn er_10_refusals_are_shown_as_events() {
    refusals_are_shown(refusing::<EventError>()).await;
}

/// ER-10: what is behind an error that is shown is for the application alone.
#[tokio::test]
async fn er_10_a_source_is_told_and_not_shown() {
    let (told, mut hook) = mpsc::unbounded_channel();
    let app = App::new()
        .on("read", async |_: Context, _: Value| -> Result<(), EventError> {
            let cause = std::io::Error::other("table users is locked");
            Err(EventError::new(503, "try again in a minute").with_source(cause))
        })
        .on_error(move |_, error| drop(told.send(error.to_string())));
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    let error = refused(&mut client, "read", json!({})).await;
    assert_eq!((&error["code"], &error["message"]), (&json!(503), &json!("try again in a minute")));
    assert!(!error.to_string().contains("locked"), "{error}");
    assert_eq!(within(hook.recv()).await.unwrap(), "table users is locked");
}

/// ER-10: whoever wraps a refusal has decided that it is another error, which is masked.
#[tokio::test]
async fn er_10_wrapped_refusals_are_masked() {
    let (told, mut hook) = mpsc::unbounded_channel();
    let app = App::new()
        .on("wrap", async |context: Context, _: Value| -> Result<(), BoxError> {
            context.join("").map_err(std::io::Error::other)?;
            Ok(())
        })
        .on_error(move |_, error| drop(told.send(error.to_string())));
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    assert_eq!(refused(&mut client, "wrap", json!({})).await["code"], 500);
    assert!(within(hook.recv()).await.unwrap().starts_with("room name"));
}

/// RT-04, RT-05, EX-09: a payload that does not fit is refused with field and rule; the handler is not called.
#[tokio::test]
async fn rt_05_payloads_are_checked_before_the_handler() {
    let (app, _hook) = failing();
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    for (payload, field, rule) in [
        (json!({"age": 1}), "/name", "required"),
        (json!({"name": 1, "age": 1}), "/name", "type"),
        (json!({"name": "ann", "age": 300}), "/age", "value"),
    ] {
        let error = refused(&mut client, "form", payload).await;
        assert_eq!((&error["code"], &error["recoverable"]), (&json!(422), &json!(true)));
        assert_eq!(
            (&error["errors"][0]["field"], &error["errors"][0]["rule"]),
            (&json!(field), &json!(rule))
        );
    }
    client.send("form", json!({"name": "ann", "age": 3})).await;
    client.expect("form.ack").await;
}

/// EV-07: messages that are no event are told so, with the correlation id where there is one.
#[tokio::test]
async fn ev_07_bad_messages_keep_the_connection() {
    let (app, _hook) = failing();
    let site = AppSite::start(app.event_bytes_max(1000)).await;
    let mut client = site.connect("/ws").await;
    let long = "x".repeat(1000);
    let long = format!(r#"{{"v":"1.0","e":"echo","p":{{"x":"{long}"}},"c":"l"}}"#);
    for (text, code, id) in [
        ("{", 400, Value::Null),
        (r#"{"v":"1.0","c":"a"}"#, 400, json!("a")),
        (r#"{"v":"3.0","e":"echo","c":"b"}"#, 415, json!("b")),
        (r#"{"v":"1.0","e":"nothing","c":"d"}"#, 404, json!("d")),
        (r#"{"v":"1.0","e":"sys.nothing","c":"e"}"#, 404, json!("e")),
        (r#"{"v":"1.0","e":"sys.reconnect.request","c":"f"}"#, 409, json!("f")),
        (long.as_str(), 413, json!("l")),
    ] {
        client.text(text).await;
        let error = client.event().await;
        assert_eq!(
            (&error["e"], &error["p"]["code"]),
            (&json!("sys.error"), &json!(code)),
            "{text}"
        );
        assert_eq!(error["c"], id, "{text}");
    }
    within(client.socket.send(Message::binary(vec![1, 2]))).await.unwrap();
    assert_eq!(client.expect("sys.error").await["code"], 415);
    client.send("echo", json!({"n": 1})).await;
    client.expect("echo.ack").await;
    client.text("x".repeat(300 * 1024)).await;
    assert_eq!(client.ended().await.code, CloseCode::MessageTooBig);
}

/// Ten bad events at once are borne, and one a second; who goes on is closed with 1008, and others are not.
#[tokio::test]
async fn bad_events_without_end_are_closed() {
    let (app, _hook) = failing();
    let site = AppSite::start(app).await;
    let (mut bad, mut good) = (site.connect("/ws").await, site.connect("/ws").await);
    for _ in 0..40 {
        // The server may have closed already.
        if bad.socket.send(Message::text("{")).await.is_err() {
            break;
        }
    }
    let mut errors = 0;
    while let Ok(Some(message)) = within(bad.socket.recv()).await {
        errors += usize::from(message.as_text().is_some_and(|text| text.contains("sys.error")));
    }
    assert_eq!(bad.socket.outcome().unwrap().code, CloseCode::PolicyViolation);
    assert!((10..=13).contains(&errors), "{errors}");
    good.send("echo", json!({"n": 1})).await;
    good.expect("echo.ack").await;
}

/// LM-05: more events than the rate are refused with 429, then the connection ends with 1008.
#[tokio::test]
async fn lm_05_too_many_events() {
    let (app, _hook) = failing();
    let site = AppSite::start(app.event_rate(Rate::per_minute(1).burst(3))).await;
    let mut client = site.connect("/ws").await;
    for n in 0..3 {
        client.send("echo", json!({"n": n})).await;
        client.expect("echo.ack").await;
    }
    let error = refused(&mut client, "echo", json!({})).await;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!(429), &json!(true)));
    for _ in 0..40 {
        if client.socket.send(Message::text(r#"{"v":"1.0","e":"echo"}"#)).await.is_err() {
            break;
        }
    }
    assert_eq!(client.ended().await.code, CloseCode::PolicyViolation);
}

/// A handler that takes too long is dropped, its client told 408, the hook told, and the next event handled.
#[tokio::test]
async fn handlers_have_a_deadline() {
    let (told, mut hook) = mpsc::unbounded_channel();
    let dropped = Arc::new(());
    let held = dropped.clone();
    let app = App::new()
        .handler_timeout(Duration::from_millis(50))
        .on("never", move |_: Context, _: Value| {
            let held = held.clone();
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        })
        .on("echo", async |_: Context, payload: Value| payload)
        .on_error(move |_, error| drop(told.send(error.to_string())));
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    let error = refused(&mut client, "never", json!({})).await;
    assert_eq!((&error["code"], &error["message"]), (&json!(408), &json!("timed out")));
    assert_eq!(within(hook.recv()).await.unwrap(), "the handler took longer than 50 ms");
    assert_eq!(Arc::strong_count(&dropped), 2, "the handler's own, and ours");
    client.send("echo", json!({"n": 1})).await;
    client.expect("echo.ack").await;
}

/// A20: a handler that panics a thousand times costs its client an error each, and nothing else.
#[tokio::test]
async fn a20_a_thousand_panics() {
    let app = App::new().on("panic", async |_: Context, payload: Value| {
        if payload["n"] == 1 {
            // Unwinds as a panic does, without a word on the terminal.
            std::panic::resume_unwind(Box::new("as asked"));
        }
    });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    for _ in 0..1000 {
        client.send("panic", json!({"n": 1})).await;
        assert_eq!(client.expect("sys.error").await["code"], 500);
    }
    assert_eq!(site.running.hub().len(), 1);
    site.stop().await;
}

/// BY-25: every close code has a name or a number, and says whether to come back; the application ends a session by name.
#[tokio::test]
async fn by_25_disconnects_have_reasons() {
    for code in 1000..5000 {
        assert_eq!(Disconnect::from_code(code).code(), code);
    }
    for (code, advice) in [
        (1000, Reconnect::Never),
        (1001, Reconnect::WithBackoff),
        (1002, Reconnect::Never),
        (1003, Reconnect::Never),
        (1006, Reconnect::WithBackoff),
        (1007, Reconnect::Never),
        (1008, Reconnect::Never),
        (1009, Reconnect::Never),
        (1011, Reconnect::Once),
        (1012, Reconnect::Later),
        (1013, Reconnect::Later),
        (4000, Reconnect::Never),
        (4001, Reconnect::Never),
        (4401, Reconnect::AfterLogin),
        (4403, Reconnect::Never),
        (4408, Reconnect::WithBackoff),
    ] {
        assert_eq!(Disconnect::from_code(code).advice(), advice, "{code}");
    }
    let app = App::new().on("end", async |context: Context, _: Value| {
        context.disconnect(Disconnect::Ended, "game over");
    });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    client.send("end", json!({})).await;
    let outcome = client.ended().await;
    assert_eq!((u16::from(outcome.code), outcome.reason.as_str()), (4000, "game over"));
    // It is in no room and not in the hub.
    assert_eq!(site.running.hub().len(), 0);
}
