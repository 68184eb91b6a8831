//! A message encoded once, for many.

use bytes::Bytes;

use super::{Encoder, MessageRef, Role, WriteBuffer};

/// A data message already encoded, for any number of peers of a server.
///
/// Frames of a server are not masked, so they are the same for all. Cloning counts a reference.
/// A client has to mask: sent by one, it costs a copy.
///
/// Source: RFC 6455 5.1, 5.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedMessage {
    frame: Bytes,
    payload_start: usize,
    is_text: bool,
}

impl PreparedMessage {
    /// Encodes a message. Cost: one allocation and one copy.
    pub fn new<'a>(message: impl Into<MessageRef<'a>>) -> Self {
        let message = message.into();
        let mut out = WriteBuffer::new();
        Encoder::new(Role::Server).message(message, &mut out);
        let frame = Bytes::from(out.into_vec());
        let payload_start = frame.len() - message.as_bytes().len();
        Self { frame, payload_start, is_text: matches!(message, MessageRef::Text(_)) }
    }

    /// The frame as a server sends it.
    #[must_use]
    pub const fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The payload inside the frame. No copy.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.payload_start..]
    }

    /// Whether it is text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        self.is_text
    }
}
