//! Messages: what the application sees (RFC 6455 section 5.6).

use bytes::Bytes;
use bytestring::ByteString;

use crate::frame::{CloseFrame, Opcode};

/// Utf-8 text in shared, immutable memory. Cloning counts a reference and copies nothing.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Utf8Bytes(ByteString);

impl Utf8Bytes {
    /// Text that lives as long as the program. No copy.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// The bytes, counted and not copied.
    pub(crate) fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }
}

impl std::ops::Deref for Utf8Bytes {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(ByteString::from(text))
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = std::str::Utf8Error;
    /// Checks the bytes; no copy.
    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        ByteString::try_from(bytes).map(Self)
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Utf8Bytes {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl std::fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl std::fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

/// A message that is owned.
///
/// Source: RFC 6455 5.5 and 5.6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Utf-8 text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
    /// A ping: it was answered already. At most 125 bytes.
    Ping(Bytes),
    /// A pong. At most 125 bytes.
    Pong(Bytes),
    /// The peer's close frame; `None` when it had no body.
    Close(Option<CloseFrame>),
}

impl Message {
    /// The number of the text type, for programs that tell types by number.
    pub const TEXT: u8 = Opcode::Text as u8;
    /// The number of the binary type.
    pub const BINARY: u8 = Opcode::Binary as u8;

    /// A text message.
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::Binary(payload.into())
    }

    /// A data message by its opcode: text must be utf-8.
    ///
    /// # Errors
    /// The opcode when it is not text or binary, or the text is not utf-8: the payload comes back.
    pub fn from_opcode(opcode: Opcode, payload: Bytes) -> Result<Self, Bytes> {
        match opcode {
            Opcode::Binary => Ok(Self::Binary(payload)),
            Opcode::Text => {
                Utf8Bytes::try_from(payload.clone()).map(Self::Text).map_err(|_| payload)
            }
            _ => Err(payload),
        }
    }

    /// "text", "binary", "ping", "pong" or "close".
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
            Self::Ping(_) => "ping",
            Self::Pong(_) => "pong",
            Self::Close(_) => "close",
        }
    }

    /// The message borrowed, when it is text or binary.
    #[must_use]
    pub fn as_data(&self) -> Option<MessageRef<'_>> {
        match self {
            Self::Text(text) => Some(MessageRef::Text(text)),
            Self::Binary(payload) => Some(MessageRef::Binary(payload)),
            _ => None,
        }
    }

    /// The text of a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The payload; that of a close frame is empty here.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_str().as_bytes(),
            Self::Binary(payload) | Self::Ping(payload) | Self::Pong(payload) => payload,
            Self::Close(_) => &[],
        }
    }

    /// The payload without a copy; that of a close frame is empty here.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(payload) | Self::Ping(payload) | Self::Pong(payload) => payload,
            Self::Close(_) => Bytes::new(),
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

impl From<Utf8Bytes> for Message {
    fn from(text: Utf8Bytes) -> Self {
        Self::Text(text)
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

impl From<MessageRef<'_>> for Message {
    fn from(message: MessageRef<'_>) -> Self {
        message.to_message()
    }
}

/// What a data message holds, by its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageKind {
    /// Utf-8 text.
    Text = 1,
    /// Bytes.
    Binary = 2,
}

impl MessageKind {
    /// The opcode of its first frame.
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// A data message that is borrowed from where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRef<'a> {
    /// Utf-8 text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> MessageRef<'a> {
    /// The payload.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(payload) => payload,
        }
    }

    /// The text of a text message.
    #[must_use]
    pub const fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Text or binary.
    #[inline]
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::Text(_) => Opcode::Text,
            Self::Binary(_) => Opcode::Binary,
        }
    }

    /// An owned message. Cost: one allocation of the exact size and one copy.
    #[must_use]
    pub fn to_message(&self) -> Message {
        match self {
            Self::Text(text) => Message::text(*text),
            Self::Binary(payload) => Message::Binary(Bytes::copy_from_slice(payload)),
        }
    }
}

impl<'a> From<&'a str> for MessageRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for MessageRef<'a> {
    fn from(payload: &'a [u8]) -> Self {
        Self::Binary(payload)
    }
}
