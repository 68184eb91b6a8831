//! Events without I/O: what is read, what is refused and why, what is written.

#![cfg(feature = "app")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sockeye::app::event::{Codec, Event, EventError, FieldError, MalformedEvent, UnwritableEvent};

const CODECS: [Codec; 2] = [Codec::Envelope, Codec::Tagged];

fn envelope(text: &str) -> Result<Event, MalformedEvent> {
    Codec::Envelope.parse(text).map(|event| event.to_event())
}

/// EV-01, EV-02: version, event, payload, correlation id, time; there and back.
#[test]
fn ev_01_the_envelope_of_the_seed() {
    let text = r#"{"v":"1.0","e":"chat.message","p":{"text":"hi"},"c":"abc123","t":1703123456789}"#;
    let event = Event::from_json(text).unwrap();
    assert_eq!((event.version(), event.name()), ("1.0", "chat.message"));
    assert_eq!(
        (event.correlation_id(), event.timestamp()),
        (Some("abc123"), Some(1_703_123_456_789))
    );
    assert_eq!(event.payload::<Value>().unwrap(), json!({"text": "hi"}));
    assert_eq!(event.to_json(), text);
    let least = Event::from_json(r#" {"e":"a","v":"1.7","more":[{}]} "#).unwrap();
    assert_eq!((least.payload_json(), least.correlation_id()), ("{}", None));
    assert_eq!(least.to_json(), r#"{"v":"1.0","e":"a"}"#);
}

/// EV-08: the same in the shape of S4.
#[test]
fn ev_08_the_tagged_shape() {
    let text =
        r#"{"type":"get-history","requestId":"r1","from":1,"to":"\"}","nested":{"type":"x"}}"#;
    let event = Codec::Tagged.parse(text).unwrap();
    assert_eq!((event.name(), event.correlation_id()), ("get-history", Some("r1")));
    let payload = json!({"from": 1, "to": "\"}", "nested": {"type": "x"}});
    assert_eq!(event.payload::<Value>().unwrap(), payload);
    assert_eq!(event.to_event().payload::<Value>().unwrap(), payload);
    assert_eq!(Codec::Tagged.encode(&event.to_event()).unwrap(), text);
    let bare = Codec::Tagged.parse(r#"{"type":"ping"}"#).unwrap();
    assert_eq!(bare.payload::<BTreeMap<String, Value>>().unwrap().len(), 0);
    assert_eq!(Codec::Tagged.encode(&bare.to_event()).unwrap(), r#"{"type":"ping"}"#);
}

/// EV-07: missing members, wrong types, members that stand twice, other versions, names that are none.
#[test]
fn ev_07_what_is_wrong_is_said() {
    let long = "x".repeat(129);
    let missing = |member| MalformedEvent::Missing { member };
    let wrong = |member, expected| MalformedEvent::WrongType { member, expected };
    let twice = |member| MalformedEvent::Twice { member };
    for (text, error) in [
        (r#"{"e":"a"}"#.to_owned(), missing("v")),
        (r#"{"v":"1.0"}"#.to_owned(), missing("e")),
        (r#"{"v":1,"e":"a"}"#.to_owned(), wrong("v", "a string")),
        (r#"{"v":"1.0","e":null}"#.to_owned(), wrong("e", "a string")),
        (r#"{"v":"1.0","e":"a","p":[]}"#.to_owned(), wrong("p", "an object")),
        (r#"{"v":"1.0","e":"a","p":null}"#.to_owned(), wrong("p", "an object")),
        (r#"{"v":"1.0","e":"a","c":1}"#.to_owned(), wrong("c", "a string")),
        (r#"{"v":"1.0","e":"\ud800"}"#.to_owned(), wrong("e", "a string")),
        (r#"{"v":"1.0","e":"a","t":"1"}"#.to_owned(), wrong("t", "an integer")),
        (r#"{"v":"1.0","e":"a","t":1.5}"#.to_owned(), wrong("t", "an integer")),
        (r#"{"v":"1.0","e":"a","t":9223372036854775808}"#.to_owned(), wrong("t", "an integer")),
        (r#"{"v":"1.0","e":"a","e":"a"}"#.to_owned(), twice("e")),
        (r#"{"v":"1.0","e":"a","p":{},"\u0070":{}}"#.to_owned(), twice("p")),
        (r#"{"v":"2.0","e":"a"}"#.to_owned(), MalformedEvent::Version),
        (r#"{"v":"1.","e":"a"}"#.to_owned(), MalformedEvent::Version),
        (r#"{"v":"1.0.1","e":"a"}"#.to_owned(), MalformedEvent::Version),
        (r#"{"v":"1.0","e":""}"#.to_owned(), MalformedEvent::Name { member: "e" }),
        (r#"{"v":"1.0","e":"a\n"}"#.to_owned(), MalformedEvent::Name { member: "e" }),
        (format!(r#"{{"v":"1.0","e":"{long}"}}"#), MalformedEvent::Name { member: "e" }),
        (r#"{"v":"1.0","e":"a","c":""}"#.to_owned(), MalformedEvent::CorrelationId { member: "c" }),
        (
            format!(r#"{{"v":"1.0","e":"a","c":"{long}"}}"#),
            MalformedEvent::CorrelationId { member: "c" },
        ),
        ("[]".to_owned(), MalformedEvent::NotAnObject),
        ("7".to_owned(), MalformedEvent::NotAnObject),
    ] {
        assert_eq!(envelope(&text).unwrap_err(), error, "{text}");
    }
    for text in
        ["", "{", "nothing", r#"{"v":"1.0","e":"a"} x"#, r#"{"v":"1.0","e":"a","p":{"b":}}"#]
    {
        assert!(matches!(envelope(text), Err(MalformedEvent::NotJson { .. })), "{text}");
    }
    let tagged = |text| Codec::Tagged.parse(text).unwrap_err();
    assert_eq!(tagged(r#"{"a":1}"#), missing("type"));
    assert_eq!(tagged(r#"{"type":1}"#), wrong("type", "a string"));
    assert_eq!(tagged(r#"{"type":"a","type":"b"}"#), twice("type"));
    assert_eq!(tagged(r#"{"type":"a","requestId":7}"#), wrong("requestId", "a string"));
    assert_eq!(MalformedEvent::Version.code(), 415);
    assert_eq!(missing("v").code(), 400);
}

/// Nesting without end is no way to the stack, in what is passed over and in what is read.
#[test]
fn deep_payloads_do_not_overflow() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for codec in CODECS {
        let text = match codec {
            Codec::Envelope => format!(r#"{{"v":"1.0","e":"a","p":{{"d":{deep}}}}}"#),
            Codec::Tagged => format!(r#"{{"type":"a","d":{deep}}}"#),
        };
        let event = codec.parse(&text).unwrap();
        assert_eq!(event.payload::<Value>().unwrap_err().code, 422);
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct Order {
    items: Vec<Item>,
    kind: Kind,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Item {
    #[serde(rename = "a/b~c")]
    odd: u8,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Fast,
}

fn of(payload: &Value, codec: Codec) -> EventError {
    let mut event = Event::new("order", &()).unwrap();
    event.set_payload(payload).unwrap();
    let text = codec.encode(&event).unwrap();
    codec.parse(&text).unwrap().payload::<Order>().unwrap_err()
}

/// ER-11, RT-05: the field, as a JSON pointer, and the rule.
#[test]
fn er_11_field_and_rule_are_named() {
    for codec in CODECS {
        for (payload, field, rule) in [
            (json!({"kind": "fast"}), "/items", "required"),
            (json!({"items": {}, "kind": "fast"}), "/items", "type"),
            (json!({"items": [{"a/b~c": 1}, {}], "kind": "fast"}), "/items/1/a~1b~0c", "required"),
            (json!({"items": [{"a/b~c": "x"}], "kind": "fast"}), "/items/0/a~1b~0c", "type"),
            (json!({"items": [{"a/b~c": 256}], "kind": "fast"}), "/items/0/a~1b~0c", "value"),
            (json!({"items": [], "kind": "slow"}), "/kind", "enum"),
            (json!({"items": [], "kind": "fast", "more": 1}), "/more", "additionalProperties"),
        ] {
            let error = of(&payload, codec);
            assert_eq!((error.code, error.recoverable), (422, true));
            let [found] = &error.errors[..] else { panic!("{error:?}") };
            assert_eq!((found.field.as_str(), &*found.rule), (field, rule), "{payload} {codec:?}");
            assert!(!found.message.contains(" at line "), "{}", found.message);
        }
    }
    let both = EventError::invalid(FieldError::new("/a", "minLength", "too short"))
        .with_field(FieldError::new("/b", "required", "missing"));
    assert_eq!(both.errors.len(), 2);
}

/// What an application cannot write is refused before anything is sent.
#[test]
fn unwritable_events_are_refused() {
    assert!(matches!(Event::new("", &()), Err(UnwritableEvent::Name)));
    assert!(matches!(Event::new("a\u{7f}", &()), Err(UnwritableEvent::Name)));
    assert!(matches!(Event::new("x".repeat(129), &()), Err(UnwritableEvent::Name)));
    assert!(matches!(Event::new("a", &[1]), Err(UnwritableEvent::NotAnObject)));
    assert!(matches!(Event::new("a", "text"), Err(UnwritableEvent::NotAnObject)));
    let pairs = BTreeMap::from([((1, 2), 3)]);
    assert!(matches!(Event::new("a", &pairs), Err(UnwritableEvent::Json(_))));
    let event = Event::new("a", &()).unwrap();
    assert!(matches!(event.with_correlation_id(""), Err(UnwritableEvent::CorrelationId)));
    for name in ["type", "requestId"] {
        let event = Event::new("a", &BTreeMap::from([(name, 1)])).unwrap();
        assert!(matches!(Codec::Tagged.encode(&event), Err(UnwritableEvent::Reserved)));
        assert!(Codec::Envelope.encode(&event).is_ok());
    }
    // As a value it is none of the codec's.
    let event = Event::new("a", &json!({"b": "type", "c": {"type": 1}})).unwrap();
    assert!(Codec::Tagged.encode(&event).is_ok());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Borrowed<'a> {
    text: &'a str,
}

/// BY-35: a payload may borrow from the text.
#[test]
fn payloads_may_borrow() {
    for (codec, text) in [
        (Codec::Envelope, r#"{"v":"1.0","e":"a","p":{"text":"hi"}}"#),
        (Codec::Tagged, r#"{"type":"a","text":"hi"}"#),
    ] {
        let event = codec.parse(text).unwrap();
        let payload: Borrowed<'_> = event.payload().unwrap();
        assert!(text.as_bytes().as_ptr_range().contains(&payload.text.as_ptr()));
    }
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn events() -> impl Strategy<Value = Event> {
    let members = prop::collection::btree_map("[a-z\"\\\\é]{0,5}", json_values(), 0..4);
    let id = prop::option::of("[ -~é\u{1}]{1,20}");
    ("[a-zA-Z.é\"\\\\]{1,20}", members, id, prop::option::of(any::<i64>())).prop_map(
        |(name, mut members, id, timestamp)| {
            members.remove("type");
            let mut event = Event::new(name, &members).unwrap();
            if members.is_empty() {
                event.set_payload(&()).unwrap();
            }
            if let Some(id) = id {
                event = event.with_correlation_id(id).unwrap();
            }
            timestamp.map_or(event.clone(), |ms| event.with_timestamp(ms))
        },
    )
}

proptest! {
    /// EV-02: what is written is read again.
    #[test]
    fn round_trip(event in events()) {
        let text = event.to_json();
        prop_assert_eq!(&Event::from_json(&text).unwrap(), &event);
        let text = Codec::Tagged.encode(&event).unwrap();
        let read = Codec::Tagged.parse(&text).unwrap().to_event();
        prop_assert_eq!((read.name(), read.correlation_id()), (event.name(), event.correlation_id()));
        prop_assert_eq!(read.payload::<Value>().unwrap(), event.payload::<Value>().unwrap());
    }

    /// A text that is cut is no event, and one with a byte changed never panics.
    #[test]
    fn cuts_and_changes(event in events(), at: prop::sample::Index, byte: u8) {
        for codec in CODECS {
            let text = codec.encode(&event).unwrap();
            let cut = at.index(text.len());
            if let Some(front) = text.get(..cut) {
                prop_assert!(codec.parse(front).is_err());
            }
            let mut bytes = text.into_bytes();
            bytes[cut] = byte;
            if let Ok(text) = std::str::from_utf8(&bytes)
                && let Ok(event) = codec.parse(text)
            {
                let _ = event.payload::<Order>();
                let event = event.to_event();
                prop_assert!(codec.encode(&event).is_ok());
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text: String) {
        for codec in CODECS {
            let _ = codec.parse(&text).map(|event| event.to_event());
        }
    }
}
