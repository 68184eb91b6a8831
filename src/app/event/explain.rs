//! Which field of a payload does not fit, and which rule it breaks.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_path_to_error::{Path, Segment};

use super::error::{EventError, FieldError};
use super::rest::Members;

/// For a payload that is an object by itself.
#[cold]
pub(super) fn whole<'a, T: Deserialize<'a>>(json: &'a str) -> EventError {
    let mut reader = serde_json::Deserializer::from_str(json);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => invalid(error.path(), &error.inner().to_string()),
        // It was wrong a moment ago.
        Ok(_) => EventError::new(422, "the payload does not fit"),
    }
}

/// For one among the codec's members.
#[cold]
pub(super) fn rest<'a, T: Deserialize<'a>>(json: &'a str) -> EventError {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_str(json);
    let visitor = Among::<T> { found: &mut found, payload: PhantomData };
    // The error is in `found`, or it is one of the JSON itself.
    let read = reader.deserialize_map(visitor);
    let of_json = |error: serde_json::Error| invalid_at(String::new(), &error.to_string());
    let unknown = || EventError::new(422, "the payload does not fit");
    found.or_else(|| read.err().map(of_json)).unwrap_or_else(unknown)
}

struct Among<'f, T> {
    found: &'f mut Option<EventError>,
    payload: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Among<'_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        let reader = MapAccessDeserializer::new(Members(object));
        let read = serde_path_to_error::deserialize::<_, T>(reader);
        read.map(drop).map_err(|error| {
            *self.found = Some(invalid(error.path(), &error.inner().to_string()));
            error.into_inner()
        })
    }
}

fn invalid(path: &Path, message: &str) -> EventError {
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => escaped(key),
            Segment::Enum { variant } => escaped(variant),
            Segment::Unknown => break,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    invalid_at(pointer, message)
}

fn invalid_at(mut pointer: String, message: &str) -> EventError {
    // Where in the text it is says nothing to whoever did not write the text.
    let message = message.split(" at line ").next().unwrap_or_default();
    let rule = rule_of(message);
    if rule == "required"
        && let Some(field) = message.split('`').nth(1)
    {
        pointer.push('/');
        pointer.push_str(&escaped(field));
    }
    EventError::of_fields(vec![FieldError::new(pointer, rule, message)])
}

/// A name as a part of a JSON pointer. Source: RFC 6901 3.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The rule that serde's words are about, by its keyword in JSON Schema where there is one.
fn rule_of(message: &str) -> &'static str {
    let rules = [
        ("missing field", "required"),
        ("invalid type", "type"),
        ("invalid value", "value"),
        ("invalid length", "length"),
        ("unknown variant", "enum"),
        ("unknown field", "additionalProperties"),
        ("duplicate field", "twice"),
    ];
    let found = rules.iter().find(|(words, _)| message.starts_with(words));
    found.map_or("invalid", |(_, rule)| rule)
}
