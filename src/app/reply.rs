//! What a handler gives back.

use std::error::Error;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::event::UnwritableEvent;

/// What a handler gives back, as [middleware](super::Next) sees it: the payload of the answer, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Reply(Option<Box<RawValue>>);

impl Reply {
    /// No answer.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// An answer with this payload: what serialises to an object, or to nothing.
    ///
    /// # Errors
    /// When it is no object.
    pub fn new<P: Serialize + ?Sized>(payload: &P) -> Result<Self, UnwritableEvent> {
        let payload = serde_json::value::to_raw_value(payload)?;
        match payload.get() {
            "null" => Ok(Self(None)),
            object if object.starts_with('{') => Ok(Self(Some(payload))),
            _ => Err(UnwritableEvent::NotAnObject),
        }
    }

    /// The payload's JSON.
    #[must_use]
    pub fn payload_json(&self) -> Option<&str> {
        self.0.as_deref().map(RawValue::get)
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// What a handler may return: `()`, a value that serialises to an object, an `Option` of one, or a `Result` of
/// these, whose error is anything that is an error.
///
/// A value is the payload of the answer, whose name is the event's and `.ack`; `()` and `None` are no answer. An
/// [`EventError`](super::EventError) is shown to the client, and so is what becomes one; every other error is masked. `M` tells results from
/// values and is found by the compiler.
#[diagnostic::on_unimplemented(
    message = "a handler cannot answer with `{Self}`",
    note = "it returns `()`, a value that is `Serialize`, an `Option` of one, or a `Result` of these whose error is `Into<Box<dyn Error + Send + Sync>>`"
)]
pub trait IntoReply<M> {
    /// What is sent.
    type Value: Serialize;

    /// The value, or the error.
    ///
    /// # Errors
    /// That of the handler.
    fn into_result(self) -> Result<Self::Value, Box<dyn Error + Send + Sync>>;
}

/// Marks values.
#[derive(Debug)]
pub struct Plain;

/// Marks results.
#[derive(Debug)]
pub struct Fallible;

impl<T: Serialize> IntoReply<Plain> for T {
    type Value = T;

    fn into_result(self) -> Result<T, Box<dyn Error + Send + Sync>> {
        Ok(self)
    }
}

impl<T: Serialize, E: Into<Box<dyn Error + Send + Sync>>> IntoReply<Fallible> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)
    }
}
