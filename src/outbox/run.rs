//! Several prepared messages in a row, for many members.

use crate::protocol::PreparedMessage;

/// Consecutive prepared messages, and their frames end to end, so that one write sends them all to
/// each of many peers.
#[derive(Debug, Default)]
pub struct Run {
    messages: Vec<PreparedMessage>,
    bytes: Vec<u8>,
}

impl Run {
    /// Appends a message.
    pub fn push(&mut self, message: PreparedMessage) {
        self.bytes.extend_from_slice(message.frame());
        self.messages.push(message);
    }

    /// Forgets the messages, keeps the memory.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.bytes.clear();
    }

    /// The frames end to end, as a server sends them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The messages.
    #[must_use]
    pub fn messages(&self) -> &[PreparedMessage] {
        &self.messages
    }

    /// The index of the first message of which less than all was written, and how many bytes of it
    /// were.
    pub(crate) fn split_at(&self, mut written: usize) -> (usize, usize) {
        for (index, message) in self.messages.iter().enumerate() {
            let len = message.frame().len();
            if written < len {
                return (index, written);
            }
            written -= len;
        }
        (self.messages.len(), 0)
    }
}
