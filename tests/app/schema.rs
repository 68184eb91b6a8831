//! JSON Schema before handlers: what breaks it is told, with field and keyword. Over real sockets.

#![cfg(feature = "schema")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::{App, AppError, Codec, Context, Next, Route};

use crate::support::app::{AppClient, AppSite};

/// That of the seed, whose messages are tagged.
fn seed() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["join", "leave", "message"]},
            "content": {"type": "string", "maxLength": 1000},
            "roomId": {"type": "string"},
        },
        "required": ["type"],
    })
}

fn order() -> Value {
    json!({
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": {"$ref": "#/$defs/item"},
                "minItems": 1,
            },
            "kind": {"enum": ["fast", "slow"]},
            "code": {"type": "string", "pattern": "^(a|a)*b?$"},
        },
        "required": ["items", "kind"],
        "additionalProperties": false,
        "$defs": {
            "item": {
                "type": "object",
                "properties": {"a/b~c": {"type": "integer", "maximum": 9}},
                "required": ["a/b~c"],
            },
        },
    })
}

/// Answers what has come through, and counts it.
fn route(seen: &Arc<AtomicUsize>) -> Route {
    let seen = seen.clone();
    Route::events().on("order", move |_: Context, payload: Value| {
        seen.fetch_add(1, Ordering::Relaxed);
        async { payload }
    })
}

fn written(codec: Codec, event: &str, payload: &Value, id: &str) -> Value {
    let Codec::Tagged = codec else {
        return json!({"v": "1.0", "e": event, "p": payload, "c": id});
    };
    let mut message = payload.clone();
    message["type"] = event.into();
    message["requestId"] = id.into();
    message
}

/// Asks, and gives the error: its payload, for both codecs.
async fn refused(client: &mut AppClient, codec: Codec, event: &str, payload: &Value) -> Value {
    client.json(written(codec, event, payload, "c7")).await;
    let mut error = client.event().await;
    let (name, id) = match codec {
        Codec::Envelope => ("e", "c"),
        Codec::Tagged => ("type", "requestId"),
    };
    let expected = if codec == Codec::Envelope { "sys.error" } else { "error" };
    assert_eq!((&error[name], &error[id]), (&json!(expected), &json!("c7")), "{error}");
    if codec == Codec::Envelope { error["p"].take() } else { error }
}

fn fields(error: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = error["errors"].as_array().unwrap();
    errors.iter().map(|error| (text(&error["field"]), text(&error["rule"]))).collect()
}

/// RT-04, RT-05, ER-11: a payload that breaks its event's schema is refused with all that is wrong, in both codecs, also behind
/// middleware; the handler is not called and the connection stays.
#[tokio::test]
async fn rt_04_a_payload_has_a_schema() {
    for (codec, has_middleware) in [
        (Codec::Envelope, false),
        (Codec::Tagged, false),
        (Codec::Envelope, true),
        (Codec::Tagged, true),
    ] {
        let seen = Arc::default();
        let mut route = route(&seen).codec(codec).schema("order", &order());
        if has_middleware {
            route = route.middleware(async |next: Next| next.run().await);
        }
        let site = AppSite::start(App::new().route("/orders", route)).await;
        let mut client = site.connect("/orders").await;
        for (payload, expected) in [
            (json!({"kind": "fast"}), vec![("/items", "required")]),
            (json!({}), vec![("/items", "required"), ("/kind", "required")]),
            (json!({"items": [], "kind": "fast"}), vec![("/items", "minItems")]),
            (
                json!({"items": [{"a/b~c": 1}, {}, {"a/b~c": "x"}, {"a/b~c": 10}], "kind": "no"}),
                vec![
                    ("/items/1/a~1b~0c", "required"),
                    ("/items/2/a~1b~0c", "type"),
                    ("/items/3/a~1b~0c", "maximum"),
                    ("/kind", "enum"),
                ],
            ),
            (
                json!({"items": [{"a/b~c": 1}], "kind": "slow", "x/y": 1, "z": 2}),
                vec![("/x~1y", "additionalProperties"), ("/z", "additionalProperties")],
            ),
        ] {
            let error = refused(&mut client, codec, "order", &payload).await;
            assert_eq!((&error["code"], &error["recoverable"]), (&json!(422), &json!(true)));
            let mut found = fields(&error);
            found.sort();
            let expected: Vec<_> = expected
                .iter()
                .map(|(field, rule)| (field.to_string(), rule.to_string()))
                .collect();
            assert_eq!(found, expected, "{error}");
            let (first, message) = (&error["errors"][0], error["message"].as_str().unwrap());
            let (field, text) =
                (first["field"].as_str().unwrap(), first["message"].as_str().unwrap());
            assert_eq!(message, format!("{field}: {text}"));
        }
        assert_eq!(seen.load(Ordering::Relaxed), 0);
        let good = json!({"items": [{"a/b~c": 9}], "kind": "slow"});
        client.json(written(codec, "order", &good, "c8")).await;
        let answer = client.event().await;
        let answer = if codec == Codec::Envelope { &answer["p"] } else { &answer };
        assert_eq!(answer["items"], good["items"]);
        assert_eq!(seen.load(Ordering::Relaxed), 1);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct Order {
    items: Vec<u8>,
    kind: String,
}

/// ER-11: the same mistake looks the same, whether a schema finds it or the type of a payload.
#[tokio::test]
async fn er_11_schemas_and_types_speak_alike() {
    let schema = json!({
        "properties": {"items": {"type": "array", "items": {"type": "integer"}}, "kind": {}},
        "required": ["items", "kind"],
        "additionalProperties": false,
    });
    let app = App::new()
        .on("schema", async |_: Context, _: Value| ())
        .schema("schema", &schema)
        .on("type", async |_: Context, _: Order| ());
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    for payload in [
        json!({"kind": "a"}),
        json!({"items": {}, "kind": "a"}),
        json!({"items": [1, "x"], "kind": "a"}),
        json!({"items": [], "kind": "a", "more~": 1}),
    ] {
        let by_schema = refused(&mut client, Codec::Envelope, "schema", &payload).await;
        let by_type = refused(&mut client, Codec::Envelope, "type", &payload).await;
        assert_eq!(fields(&by_schema), fields(&by_type), "{payload}");
        assert_eq!(by_schema["code"], by_type["code"]);
        let members =
            |error: &Value| error.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(members(&by_schema), members(&by_type));
    }
}

/// RT-04, EX-09: one schema for all messages of a route, as they are on the wire: that of the seed. What the protocol itself says is
/// not asked about.
#[tokio::test]
async fn rt_04_all_messages_have_a_schema() {
    let echo = async |_: Context, payload: Value| payload;
    let app = App::new()
        .codec(Codec::Tagged)
        .message_schema(&seed())
        .on("message", echo)
        .on("join", echo)
        .on("other", echo);
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    for (event, payload, field, rule) in [
        ("message", json!({"content": "x".repeat(1001)}), "/content", "maxLength"),
        ("message", json!({"content": 7}), "/content", "type"),
        ("join", json!({"roomId": []}), "/roomId", "type"),
        ("other", json!({}), "/type", "enum"),
        ("nobody.knows", json!({}), "/type", "enum"),
    ] {
        let error = refused(&mut client, Codec::Tagged, event, &payload).await;
        assert_eq!(error["code"], 422);
        assert_eq!(fields(&error), [(field.to_owned(), rule.to_owned())], "{error}");
    }
    let error = refused(&mut client, Codec::Tagged, "leave", &json!({})).await;
    assert_eq!(error["code"], 404, "it may be sent, and nobody handles it");
    client.json(json!({"type": "sys.ping", "n": 1})).await;
    assert_eq!(client.event().await, json!({"type": "sys.pong", "n": 1}));
    client.json(json!({"type": "message", "content": "x".repeat(1000)})).await;
    assert_eq!(client.event().await["type"], "message.ack");
}

/// RT-04: in the envelope the fields are those of the payload all the same; what is outside of it is named by the text.
#[tokio::test]
async fn rt_04_whole_messages_in_the_envelope() {
    let schema = json!({
        "properties": {
            "e": {"const": "say"},
            "p": {"properties": {"text": {"maxLength": 3}}, "required": ["text"]},
        },
        "required": ["p", "c"],
    });
    let echo = async |_: Context, payload: Value| payload;
    let site = AppSite::start(App::new().message_schema(&schema).on("say", echo)).await;
    let mut client = site.connect("/ws").await;
    for (event, payload, field, rule, text) in [
        ("say", json!({"text": "long"}), "/text", "maxLength", "/text: "),
        ("say", json!({}), "/text", "required", "/text: "),
        ("cry", json!({"text": "a"}), "", "const", "/: `e`: "),
    ] {
        let error = refused(&mut client, Codec::Envelope, event, &payload).await;
        assert_eq!(fields(&error), [(field.to_owned(), rule.to_owned())], "{error}");
        assert!(error["message"].as_str().unwrap().starts_with(text), "{error}");
    }
    client.send("say", json!({"text": "a"})).await;
    let error = client.expect("sys.error").await;
    assert_eq!(error["errors"][0]["message"], "`c`: is required");
    client.ask("say", json!({"text": "a"}), "1").await;
    client.expect("say.ack").await;
}

/// A schema that is none, that refers to something outside, or whose event nobody handles, is an error when the
/// application is to start.
#[tokio::test]
async fn a_bad_schema_is_an_error_at_the_start() {
    let echo = async |_: Context, payload: Value| payload;
    let fine = json!({"type": "object"});
    for (app, of, reason) in [
        (App::new().on("a", echo).schema("a", &json!({"type": "strange"})), "event a", "strange"),
        (App::new().on("a", echo).schema("a", &json!({"pattern": "("})), "event a", "/pattern: "),
        (App::new().on("a", echo).schema("a", &json!({"$ref": "http://a.test/b"})), "event a", ""),
        (
            App::new().on("a", echo).schema("a", &json!({"$ref": "file:///etc/passwd"})),
            "event a",
            "",
        ),
        (App::new().on("a", echo).schema("a", &json!({"$ref": "#/nowhere"})), "event a", ""),
        (App::new().message_schema(&json!([])), "messages at /ws", ""),
        (App::new().on("a", echo).schema("b", &fine), "event b", "no handler"),
        (
            App::new().on("a", echo).schema("a", &fine).schema("a", &fine),
            "event a",
            "there is one already",
        ),
    ] {
        match app.host("127.0.0.1").port(0).start().await {
            Err(AppError::Schema { of: found, reason: why }) => {
                assert_eq!(found, of);
                assert!(!why.is_empty() && why.contains(reason), "{why}");
            }
            other => panic!("{of}: {other:?}"),
        }
    }
    let raw = Route::raw(async |_, _, _| ()).message_schema(&fine);
    let refused = App::new().port(0).route("/raw", raw).start().await;
    assert!(matches!(refused, Err(AppError::Route { .. })), "{refused:?}");
}

/// What is told is bounded, whatever the client sends: in errors, in their length, and in the time that a
/// pattern takes.
#[tokio::test]
async fn what_is_told_is_bounded() {
    let schema = json!({
        "properties": {"code": {"pattern": "^(a+)+$"}, "list": {"items": {"type": "integer"}}},
        "additionalProperties": {"type": "integer"},
    });
    let echo = async |_: Context, _: Value| ();
    let site = AppSite::start(App::new().on("a", echo).schema("a", &schema)).await;
    let mut client = site.connect("/ws").await;
    let long = "k".repeat(20_000);
    let many: Vec<_> = (0..1000).map(|_| "x".repeat(10)).collect();
    for payload in [
        json!({"list": many}),
        json!({"code": format!("{}!", "a".repeat(30_000))}),
        json!({&long: "text"}),
        json!({&long: {"deep": [1]}, "code": long}),
        Value::Object((0..1000).map(|n| (format!("k{n}"), "text".into())).collect()),
    ] {
        let error = refused(&mut client, Codec::Envelope, "a", &payload).await;
        assert_eq!(error["code"], 422);
        assert!((1..=16).contains(&error["errors"].as_array().unwrap().len()), "{error}");
        assert!(error.to_string().len() < 12 * 1024, "{}", error.to_string().len());
    }
}

/// Neither a schema that refers to itself nor a message that nests is a way to the stack.
#[tokio::test]
async fn what_nests_ends() {
    let echo = async |_: Context, _: Value| json!({"done": true});
    let around = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}});
    let app = App::new().on("a", echo).schema("a", &around).message_schema(&json!({"$ref": "#"}));
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    client.send("a", json!({})).await;
    assert_eq!(client.expect("a.ack").await, json!({"done": true}));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    client.text(format!(r#"{{"v":"1.0","e":"a","p":{{"d":{deep}}}}}"#)).await;
    let error = client.expect("sys.error").await;
    assert_eq!(error["code"], 422, "{error}");
}
