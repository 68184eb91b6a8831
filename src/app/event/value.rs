//! An event that is owned.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::codec::{Codec, VERSION};
use super::error::EventError;
use super::explain;
use super::malformed::MalformedEvent;
use super::members::{is_correlation_id, is_name};
use super::parsed::NOTHING;
use super::unwritable::UnwritableEvent;

/// An event that is owned: version, name, payload, correlation id, time.
///
/// ```
/// use sockeye::app::event::Event;
///
/// let event = Event::new("chat.message", &serde_json::json!({"text": "hi"}))?.with_correlation_id("c1")?;
/// assert_eq!(event.to_json(), r#"{"v":"1.0","e":"chat.message","p":{"text":"hi"},"c":"c1"}"#);
/// assert_eq!(Event::from_json(&event.to_json()).unwrap(), event);
/// # Ok::<(), sockeye::app::event::UnwritableEvent>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    name: String,
    /// An object.
    payload: Option<Box<RawValue>>,
    correlation_id: Option<String>,
    timestamp: Option<i64>,
}

impl Event {
    /// An event with a payload: what serialises to an object, or to nothing (`&()`).
    ///
    /// # Errors
    /// When the name may not be one or the payload is no object.
    pub fn new<P: Serialize + ?Sized>(
        name: impl Into<String>,
        payload: &P,
    ) -> Result<Self, UnwritableEvent> {
        let mut event = Self::from_parts(name.into(), None, None, None);
        if !is_name(&event.name) {
            return Err(UnwritableEvent::Name);
        }
        event.set_payload(payload)?;
        Ok(event)
    }

    pub(super) const fn from_parts(
        name: String,
        payload: Option<Box<RawValue>>,
        correlation_id: Option<String>,
        timestamp: Option<i64>,
    ) -> Self {
        Self { name, payload, correlation_id, timestamp }
    }

    /// Reads one in the [envelope](Codec::Envelope); others with [`Codec::parse`].
    ///
    /// # Errors
    /// As [`Codec::parse`].
    pub fn from_json(text: &str) -> Result<Self, MalformedEvent> {
        Codec::Envelope.parse(text).map(|event| event.to_event())
    }

    /// Writes it in the [envelope](Codec::Envelope); others with [`Codec::encode`].
    #[must_use]
    pub fn to_json(&self) -> String {
        // Name, payload and id were checked when they were set, and the envelope reserves no members.
        Codec::Envelope.encode(self).unwrap_or_default()
    }

    /// With what ties an answer to its question.
    ///
    /// # Errors
    /// When it has no or more than 128 bytes.
    pub fn with_correlation_id(mut self, id: impl Into<String>) -> Result<Self, UnwritableEvent> {
        let id = id.into();
        if !is_correlation_id(&id) {
            return Err(UnwritableEvent::CorrelationId);
        }
        self.correlation_id = Some(id);
        Ok(self)
    }

    /// With when it was made, in milliseconds since 1970.
    #[must_use]
    pub const fn with_timestamp(mut self, ms: i64) -> Self {
        self.timestamp = Some(ms);
        self
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// When it may not be one.
    pub fn set_name(&mut self, name: impl Into<String>) -> Result<(), UnwritableEvent> {
        let name = name.into();
        if !is_name(&name) {
            return Err(UnwritableEvent::Name);
        }
        self.name = name;
        Ok(())
    }

    /// Gives it another payload.
    ///
    /// # Errors
    /// When it is no object.
    pub fn set_payload<P: Serialize + ?Sized>(
        &mut self,
        payload: &P,
    ) -> Result<(), UnwritableEvent> {
        let payload = serde_json::value::to_raw_value(payload)?;
        self.payload = match payload.get() {
            "null" => None,
            object if object.starts_with('{') => Some(payload),
            _ => return Err(UnwritableEvent::NotAnObject),
        };
        Ok(())
    }

    /// The version of the protocol: "1.0".
    #[must_use]
    pub const fn version(&self) -> &'static str {
        VERSION
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

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub const fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// The payload as a value. One that is not there is an empty object.
    ///
    /// # Errors
    /// 422 with the field and the rule, where it does not fit.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        let json = self.payload_json();
        serde_json::from_str(json).map_err(|_| explain::whole::<T>(json))
    }

    /// The payload's JSON: an object, an empty one where there is none.
    #[must_use]
    pub fn payload_json(&self) -> &str {
        self.payload.as_deref().map_or(NOTHING, RawValue::get)
    }

    pub(crate) fn raw_payload(&self) -> Option<&RawValue> {
        self.payload.as_deref()
    }
}

impl PartialEq for Event {
    /// Payloads are equal as texts.
    fn eq(&self, other: &Self) -> bool {
        let texts = |event: &Self| event.payload.as_deref().map(|json| json.get().to_owned());
        self.name == other.name
            && texts(self) == texts(other)
            && self.correlation_id == other.correlation_id
            && self.timestamp == other.timestamp
    }
}
