//! The payload of a tagged event: its object without `type` and `requestId`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::Text;

/// Whether a member is the codec's and not the payload's.
pub(super) fn is_of_codec(member: &str) -> bool {
    matches!(member, "type" | "requestId")
}

pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(Whole(PhantomData))
}

/// The payload as an object of its own; `None` when it has no members.
pub(super) fn object(json: &str) -> Option<String> {
    let members = parse::<Pairs<'_>>(json).ok()?.0;
    let mut object = String::with_capacity(json.len());
    for (name, value) in members {
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(&serde_json::to_string(&name).ok()?);
        object.push(':');
        object.push_str(value.get());
    }
    if object.is_empty() {
        return None;
    }
    object.push('}');
    Some(object)
}

/// An object's members, without the codec's.
pub(super) struct Members<A>(pub(super) A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(Text(name)) = self.0.next_key()? {
            if is_of_codec(&name) {
                self.0.next_value::<IgnoredAny>()?;
                continue;
            }
            let key = match name {
                Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
                Cow::Owned(name) => seed.deserialize(StringDeserializer::new(name)),
            };
            return key.map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

struct Whole<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Whole<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(Members(object)))
    }
}

/// Names and values as they stand there.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Pairs<'de>, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Text(name), value)) = object.next_entry()? {
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}
