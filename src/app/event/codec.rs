//! The two shapes of an event.

use super::malformed::MalformedEvent;
use super::members::Members;
use super::parsed::EventRef;
use super::unwritable::UnwritableEvent;
use super::value::Event;
use super::write::Outgoing;

/// The longest name of an event and the longest correlation id, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// The version that is written.
pub(super) const VERSION: &str = "1.0";

/// How events look on the wire. A route chooses, and its clients know which.
///
/// ```
/// use sockeye::app::event::{Codec, Event};
///
/// let event = Event::new("chat.message", &serde_json::json!({"text": "hello"}))?;
/// assert_eq!(Codec::Envelope.encode(&event)?, r#"{"v":"1.0","e":"chat.message","p":{"text":"hello"}}"#);
/// assert_eq!(Codec::Tagged.encode(&event)?, r#"{"type":"chat.message","text":"hello"}"#);
/// # Ok::<(), sockeye::app::event::UnwritableEvent>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// `{"v":"1.0","e":"chat.message","p":{...},"c":"c1","t":1703123456789}`: `v` and `e` are required, other
    /// members are passed over.
    #[default]
    Envelope,
    /// `{"type":"chat.message","requestId":"c1",...}`: all but these two members is the payload. It has neither
    /// version nor time.
    Tagged,
}

impl Codec {
    /// Reads an event, and copies nothing but texts with escapes in them.
    ///
    /// # Errors
    /// What is wrong with it: a missing member, one of a wrong type, one that stands twice, a name or a
    /// correlation id that is empty or longer than 128 bytes, another major version.
    ///
    /// Cost: one pass; no allocation for members without escapes, but a small one of the JSON reader for
    /// payloads that nest.
    pub fn parse(self, text: &str) -> Result<EventRef<'_>, MalformedEvent> {
        EventRef::new(self, text, &Members::parse(self, text)?)
    }

    /// Writes an event.
    ///
    /// # Errors
    /// For [`Tagged`](Self::Tagged) where the payload has a member `type` or `requestId` itself.
    pub fn encode(self, event: &Event) -> Result<String, UnwritableEvent> {
        Outgoing {
            name: event.name(),
            payload: &event.raw_payload(),
            correlation_id: event.correlation_id(),
            timestamp: event.timestamp(),
        }
        .to_json(self)
    }

    /// The correlation id of a message that is no event, where there is one.
    pub(crate) fn correlation_id(self, text: &str) -> Option<std::borrow::Cow<'_, str>> {
        Members::parse(self, text).ok()?.correlation_id().ok()?
    }

    /// What an error is called.
    pub(crate) const fn error_name(self) -> &'static str {
        match self {
            Self::Envelope => "sys.error",
            Self::Tagged => "error",
        }
    }
}
