//! Messages as axum has them.

use axum_core::Error;
use bytes::Bytes;

use super::text::Utf8Bytes;
use crate::frame::{self, CloseFrameError};
use crate::protocol;

/// A close code as a number: [`close_code`](super::close_code) has names.
pub type CloseCode = u16;

/// Code and reason of a close message.
///
/// To be sent, the code has to be 1000 to 1003, 1007 to 1014 or 3000 to 4999 and the reason 123 bytes at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why, as a number.
    pub code: CloseCode,
    /// Why, for people.
    pub reason: Utf8Bytes,
}

/// A message, as axum has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Utf-8 text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
    /// A ping. One that came was answered already; one to send has 125 bytes at most.
    Ping(Bytes),
    /// A pong, at most 125 bytes.
    Pong(Bytes),
    /// The end: the peer's close frame, or ours to send; `None` has no body.
    Close(Option<CloseFrame>),
}

impl Message {
    /// A text message.
    pub fn text<S: Into<Utf8Bytes>>(text: S) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary<B: Into<Bytes>>(payload: B) -> Self {
        Self::Binary(payload.into())
    }

    /// The payload without a copy; of a close message the reason.
    #[must_use]
    pub fn into_data(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(payload) | Self::Ping(payload) | Self::Pong(payload) => payload,
            Self::Close(frame) => frame.map(|frame| frame.reason.into()).unwrap_or_default(),
        }
    }

    /// The payload as text, without a copy; of a close message the reason.
    ///
    /// # Errors
    /// When it is not utf-8.
    pub fn into_text(self) -> Result<Utf8Bytes, Error> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Close(frame) => Ok(frame.map(|frame| frame.reason).unwrap_or_default()),
            other => Utf8Bytes::try_from(other.into_data()).map_err(Error::new),
        }
    }

    /// The same, borrowed.
    ///
    /// # Errors
    /// When it is not utf-8.
    pub fn to_text(&self) -> Result<&str, Error> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Binary(payload) | Self::Ping(payload) | Self::Pong(payload) => {
                std::str::from_utf8(payload).map_err(Error::new)
            }
            Self::Close(frame) => Ok(frame.as_ref().map_or("", |frame| &frame.reason)),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&[u8]> for Message {
    fn from(payload: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(payload))
    }
}

impl From<Bytes> for Message {
    fn from(payload: Bytes) -> Self {
        Self::Binary(payload)
    }
}

impl From<Vec<u8>> for Message {
    fn from(payload: Vec<u8>) -> Self {
        Self::Binary(payload.into())
    }
}

impl From<Message> for Vec<u8> {
    fn from(message: Message) -> Self {
        message.into_data().into()
    }
}

impl From<protocol::Message> for Message {
    fn from(message: protocol::Message) -> Self {
        match message {
            protocol::Message::Text(text) => Self::Text(text.into()),
            protocol::Message::Binary(payload) => Self::Binary(payload),
            protocol::Message::Ping(payload) => Self::Ping(payload),
            protocol::Message::Pong(payload) => Self::Pong(payload),
            protocol::Message::Close(frame) => Self::Close(frame.map(|frame| CloseFrame {
                code: frame.code().into(),
                reason: frame.reason().into(),
            })),
        }
    }
}

impl TryFrom<Message> for protocol::Message {
    type Error = CloseFrameError;

    /// No copy, but for a close frame's reason.
    ///
    /// # Errors
    /// A close frame that may not be sent.
    fn try_from(message: Message) -> Result<Self, CloseFrameError> {
        Ok(match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(payload) => Self::Binary(payload),
            Message::Ping(payload) => Self::Ping(payload),
            Message::Pong(payload) => Self::Pong(payload),
            Message::Close(None) => Self::Close(None),
            Message::Close(Some(CloseFrame { code, reason })) => {
                Self::Close(Some(frame::CloseFrame::new(code, &reason)?))
            }
        })
    }
}
