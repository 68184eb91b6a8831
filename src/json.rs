//! JSON in text messages (feature `json`).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::{Message, MessageRef};

impl Message {
    /// A text message with a value as JSON.
    ///
    /// # Errors
    /// When the value cannot be written as JSON: a map whose keys are no strings, say.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::text)
    }

    /// The value that the message carries as JSON, be it text or binary.
    ///
    /// # Errors
    /// When the payload is no JSON, or not of that type.
    pub fn parse_json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.as_bytes())
    }
}

impl<'a> MessageRef<'a> {
    /// The value that the message carries as JSON; it may borrow from the message.
    ///
    /// # Errors
    /// As [`Message::parse_json`].
    pub fn parse_json<T: serde::Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.as_bytes())
    }
}
