//! The message that is being compressed.

/// The most bytes that are compressed together, a power of two.
///
/// With it all tables are as large as the processor's nearest cache, 32 KiB; each byte more costs five.
pub(super) const BYTES_MAX: usize = 4096;

/// A copy of the message with room behind it: reading eight or sixteen bytes at once needs no check.
pub(super) struct Text {
    bytes: [u8; BYTES_MAX + 16],
    len: usize,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; BYTES_MAX + 16], len: 0 }
    }

    /// Takes the first [`BYTES_MAX`] of a message.
    pub(super) fn set(&mut self, message: &[u8]) {
        self.len = message.len().min(BYTES_MAX);
        self.bytes[..self.len].copy_from_slice(&message[..self.len]);
    }

    /// At most [`BYTES_MAX`].
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes[at % BYTES_MAX]
    }

    /// The bytes from a place on, the first in the lowest place. What is behind the end is left from
    /// earlier messages.
    #[inline]
    pub(super) fn word(&self, at: usize) -> u64 {
        let rest = &self.bytes[at % BYTES_MAX..];
        rest.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
    }

    /// Sixteen bytes, like [`Text::word`].
    #[inline]
    pub(super) fn long_word(&self, at: usize) -> u128 {
        let rest = &self.bytes[at % BYTES_MAX..];
        rest.first_chunk().map_or(0, |word| u128::from_le_bytes(*word))
    }
}
