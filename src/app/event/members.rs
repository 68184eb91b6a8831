//! The members of the object that an event is, as they stand there.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::codec::{Codec, NAME_BYTES_MAX};
use super::malformed::MalformedEvent;
use super::text;

/// What the protocol knows by name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Version,
    Name,
    Payload,
    CorrelationId,
    Timestamp,
}

const MEMBERS: usize = 5;

/// The members that the protocol knows, not looked at yet.
pub(super) struct Members<'a> {
    codec: Codec,
    values: [Option<&'a RawValue>; MEMBERS],
    twice: Option<Member>,
}

impl<'a> Members<'a> {
    pub(super) fn parse(codec: Codec, text: &'a str) -> Result<Self, MalformedEvent> {
        let mut reader = serde_json::Deserializer::from_str(text);
        if !text.trim_ascii_start().starts_with('{') {
            serde::de::Deserialize::deserialize(&mut reader).map(|IgnoredAny| ())?;
            return Err(MalformedEvent::NotAnObject);
        }
        let members = Scan(codec).deserialize(&mut reader)?;
        reader.end()?;
        Ok(members)
    }

    /// That no member stands there twice.
    pub(super) fn check_once(&self) -> Result<(), MalformedEvent> {
        self.twice
            .map_or(Ok(()), |member| Err(MalformedEvent::Twice { member: self.name_of(member) }))
    }

    pub(super) fn version(&self) -> Result<(), MalformedEvent> {
        if self.codec == Codec::Tagged {
            return Ok(());
        }
        let version = self.text(Member::Version)?.ok_or(MalformedEvent::Missing { member: "v" })?;
        let minor = version.strip_prefix("1.").unwrap_or_default();
        let is_known = (1..=9).contains(&minor.len()) && minor.bytes().all(|b| b.is_ascii_digit());
        if is_known { Ok(()) } else { Err(MalformedEvent::Version) }
    }

    pub(super) fn name(&self) -> Result<Cow<'a, str>, MalformedEvent> {
        let member = self.name_of(Member::Name);
        let name = self.text(Member::Name)?.ok_or(MalformedEvent::Missing { member })?;
        if is_name(&name) { Ok(name) } else { Err(MalformedEvent::Name { member }) }
    }

    /// The text of the payload's object, in the envelope.
    pub(super) fn payload(&self) -> Result<Option<&'a str>, MalformedEvent> {
        let payload = self.values[Member::Payload as usize].map(RawValue::get);
        match payload {
            Some(payload) if !payload.starts_with('{') => {
                Err(MalformedEvent::WrongType { member: "p", expected: "an object" })
            }
            payload => Ok(payload),
        }
    }

    pub(super) fn correlation_id(&self) -> Result<Option<Cow<'a, str>>, MalformedEvent> {
        let id = self.text(Member::CorrelationId)?;
        match id {
            Some(id) if !is_correlation_id(&id) => {
                Err(MalformedEvent::CorrelationId { member: self.name_of(Member::CorrelationId) })
            }
            id => Ok(id),
        }
    }

    pub(super) fn timestamp(&self) -> Result<Option<i64>, MalformedEvent> {
        let wrong = MalformedEvent::WrongType { member: "t", expected: "an integer" };
        let value = self.values[Member::Timestamp as usize];
        value.map(|value| value.get().parse().map_err(|_| wrong)).transpose()
    }

    fn text(&self, member: Member) -> Result<Option<Cow<'a, str>>, MalformedEvent> {
        let Some(value) = self.values[member as usize] else { return Ok(None) };
        let member = self.name_of(member);
        let wrong = MalformedEvent::WrongType { member, expected: "a string" };
        text::of_json(value.get()).map(Some).ok_or(wrong)
    }

    const fn name_of(&self, member: Member) -> &'static str {
        match (self.codec, member) {
            (Codec::Tagged, Member::Name) => "type",
            (Codec::Tagged, Member::CorrelationId) => "requestId",
            (_, Member::Version) => "v",
            (_, Member::Name) => "e",
            (_, Member::Payload) => "p",
            (_, Member::CorrelationId) => "c",
            (_, Member::Timestamp) => "t",
        }
    }
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

pub(super) fn is_correlation_id(id: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&id.len())
}

/// Reads the members of an object.
struct Scan(Codec);

impl<'de> DeserializeSeed<'de> for Scan {
    type Value = Members<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Members<'de>, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Scan {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members { codec: self.0, values: [None; MEMBERS], twice: None };
        while let Some(known) = object.next_key_seed(Key(self.0))? {
            let Some(member) = known else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let before = members.values[member as usize].replace(object.next_value()?);
            if before.is_some() {
                members.twice.get_or_insert(member);
            }
        }
        Ok(members)
    }
}

/// A member's name, where the codec has one of it.
struct Key(Codec);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<Member>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Option<Member>, D::Error> {
        reader.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<Member>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<Member>, E> {
        Ok(match (self.0, name) {
            (Codec::Envelope, "v") => Some(Member::Version),
            (Codec::Envelope, "e") => Some(Member::Name),
            (Codec::Envelope, "p") => Some(Member::Payload),
            (Codec::Envelope, "c") => Some(Member::CorrelationId),
            (Codec::Envelope, "t") => Some(Member::Timestamp),
            (Codec::Tagged, "type") => Some(Member::Name),
            (Codec::Tagged, "requestId") => Some(Member::CorrelationId),
            _ => None,
        })
    }
}
