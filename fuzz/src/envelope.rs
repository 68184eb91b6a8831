//! Events against the JSON reader alone: what is taken is what that reads, in both shapes; what is taken is written, and
//! read again as the same; what is refused is no event by the rules either.

use serde_json::Value;
use sockeye::app::event::{Codec, Event, EventRef, MalformedEvent};

/// One byte that says which shape, and a text.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    let codec = if kind % 2 == 0 { Codec::Envelope } else { Codec::Tagged };
    match codec.parse(text) {
        Ok(parsed) => {
            let event = parsed.to_event();
            same(&parsed, &event);
            check(codec, text, &event);
            again(codec, &event);
        }
        Err(error) => refused(codec, text, &error),
    }
}

/// What is read without a copy, and the copy.
fn same(parsed: &EventRef<'_>, event: &Event) {
    assert_eq!(parsed.name(), event.name());
    assert_eq!(parsed.correlation_id(), event.correlation_id());
    assert_eq!(parsed.timestamp(), event.timestamp());
    assert_eq!(parsed.is_system(), event.name().starts_with("sys."));
    let payloads = (parsed.payload::<Value>(), event.payload::<Value>());
    assert_eq!(payloads.0.as_ref().ok(), payloads.1.as_ref().ok());
}

fn object(text: &str) -> Option<serde_json::Map<String, Value>> {
    match serde_json::from_str(text).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Members by another reader. It takes the last of two, which is refused before; it does not take numbers and depths
/// without end, of which the envelope's payload may have any.
fn check(codec: Codec, text: &str, event: &Event) {
    assert!((1..=128).contains(&event.name().len()) && !event.name().chars().any(char::is_control));
    assert!(event.correlation_id().is_none_or(|id| (1..=128).contains(&id.len())));
    let Some(mut members) = object(text) else {
        return;
    };
    let (name, id) = match codec {
        Codec::Envelope => ("e", "c"),
        Codec::Tagged => ("type", "requestId"),
    };
    assert_eq!(members[name], event.name());
    assert_eq!(members.get(id).and_then(Value::as_str), event.correlation_id());
    let payload = match codec {
        Codec::Envelope => {
            assert!(members["v"].as_str().is_some_and(|version| version.starts_with("1.")));
            assert_eq!(members.get("t").and_then(integer), event.timestamp());
            members.remove("p").unwrap_or_else(|| Value::Object(Default::default()))
        }
        Codec::Tagged => {
            members.remove(name);
            members.remove(id);
            Value::Object(members)
        }
    };
    assert_eq!(event.payload::<Value>().expect("it was read as a value"), payload);
}

/// The other reader has no integer -0.
fn integer(value: &Value) -> Option<i64> {
    let is_minus_zero =
        value.as_f64().is_some_and(|float| float == 0.0 && float.is_sign_negative());
    value.as_i64().or(is_minus_zero.then_some(0))
}

fn again(codec: Codec, event: &Event) {
    let written = codec.encode(event).expect("what was read can be written");
    let read = codec.parse(&written).expect("what was written can be read").to_event();
    assert_eq!((read.name(), read.correlation_id()), (event.name(), event.correlation_id()));
    assert_eq!(read.timestamp(), event.timestamp());
    assert_eq!(codec.encode(&read).expect("as before"), written);
}

fn refused(codec: Codec, text: &str, error: &MalformedEvent) {
    let members = object(text);
    match error {
        MalformedEvent::NotJson { .. } | MalformedEvent::NotAnObject => assert_eq!(members, None),
        MalformedEvent::Missing { member } => {
            assert!(members.is_none_or(|members| !members.contains_key(*member)));
        }
        MalformedEvent::Version => assert_eq!(codec, Codec::Envelope),
        _ => {}
    }
}
