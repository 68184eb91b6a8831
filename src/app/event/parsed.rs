//! An event as it was read.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::codec::Codec;
use super::error::EventError;
use super::explain;
use super::malformed::MalformedEvent;
use super::members::Members;
use super::rest;
use super::value::Event;

/// What stands for a payload that is not there.
pub(super) const NOTHING: &str = "{}";

/// An event that is borrowed from the text it was read from. Made by [`Codec::parse`].
#[derive(Clone, Debug)]
pub struct EventRef<'a> {
    /// All of it.
    text: &'a str,
    name: Cow<'a, str>,
    payload: Payload<'a>,
    correlation_id: Option<Cow<'a, str>>,
    timestamp: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Payload<'a> {
    /// An object.
    Whole(Option<&'a str>),
    /// All but those members that are the codec's.
    Rest,
}

impl<'a> EventRef<'a> {
    pub(super) fn new(
        codec: Codec,
        text: &'a str,
        members: &Members<'a>,
    ) -> Result<Self, MalformedEvent> {
        members.check_once()?;
        members.version()?;
        let name = members.name()?;
        let payload = match codec {
            Codec::Envelope => Payload::Whole(members.payload()?),
            Codec::Tagged => Payload::Rest,
        };
        let (correlation_id, timestamp) = (members.correlation_id()?, members.timestamp()?);
        Ok(Self { text, name, payload, correlation_id, timestamp })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What ties an answer to its question.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// When it was made, in milliseconds since 1970, as its sender says.
    #[must_use]
    pub const fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// Whether it belongs to the protocol itself: its name begins with `sys.`.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.name.starts_with("sys.")
    }

    /// The payload as a value, which may borrow from the text. One that is not there is an empty object.
    ///
    /// # Errors
    /// 422 with the field and the rule, where it does not fit. The payload is then read a second time, to
    /// find the field.
    pub fn payload<T: Deserialize<'a>>(&self) -> Result<T, EventError> {
        match self.payload {
            Payload::Whole(json) => {
                let json = json.unwrap_or(NOTHING);
                serde_json::from_str(json).map_err(|_| explain::whole::<T>(json))
            }
            Payload::Rest => rest::parse(self.text).map_err(|_| explain::rest::<T>(self.text)),
        }
    }

    /// The whole message as a value, the codec's members among it.
    pub(crate) fn message<T: Deserialize<'a>>(&self) -> Result<T, EventError> {
        serde_json::from_str(self.text).map_err(|_| explain::whole::<T>(self.text))
    }

    /// The event, owned.
    ///
    /// Cost: a copy of all of it.
    #[must_use]
    pub fn to_event(&self) -> Event {
        let payload = match self.payload {
            Payload::Whole(json) => json.map(str::to_owned),
            Payload::Rest => rest::object(self.text),
        };
        let payload = payload.and_then(|json| RawValue::from_string(json).ok());
        let (name, correlation_id) = (self.name.clone(), self.correlation_id.clone());
        Event::from_parts(
            name.into_owned(),
            payload,
            correlation_id.map(Cow::into_owned),
            self.timestamp,
        )
    }
}
