//! A message that comes in pieces: fragments, or one frame in several reads.

use bytes::BytesMut;

use crate::frame::{Opcode, Utf8Validator, Violation};

use super::Config;

/// The most that is reserved before any byte of a payload has come.
const FIRST_RESERVE_BYTES_MAX: usize = 64 * 1024;

/// What has come of a message or control frame that is not whole yet.
///
/// Memory follows what arrived, never what a header claims:
/// `buffer.capacity() <= max(64 KiB, 4 * arrived)` (but for what the allocator rounds up).
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) opcode: Opcode,
    pub(super) buffer: BytesMut,
    /// A control frame whose payload is not whole: it may come between two fragments.
    pub(super) control: Vec<u8>,
    pub(super) in_message: bool,
    utf8: Utf8Validator,
    fragments: u32,
    empty_fragments: u32,
}

impl Assembly {
    pub(super) fn new() -> Self {
        Self {
            opcode: Opcode::Binary,
            buffer: BytesMut::new(),
            control: Vec::new(),
            in_message: false,
            utf8: Utf8Validator::new(),
            fragments: 0,
            empty_fragments: 0,
        }
    }

    /// A data frame begins. RFC 6455 5.4, and the limits on fragments.
    pub(super) fn begin(
        &mut self,
        opcode: Opcode,
        bytes: u64,
        config: &Config,
    ) -> Result<(), Violation> {
        if opcode != Opcode::Continuation {
            self.opcode = opcode;
            self.in_message = true;
        }
        self.fragments += 1;
        // A message that is not fragmented has one.
        let fragments_max = config.fragments_max.max(1);
        if self.fragments > fragments_max {
            return Err(Violation::TooManyFragments { fragments_max });
        }
        self.empty_fragments = if bytes == 0 { self.empty_fragments + 1 } else { 0 };
        if self.empty_fragments > config.empty_fragments_max {
            return Err(Violation::EmptyFragments {
                empty_fragments_max: config.empty_fragments_max,
            });
        }
        Ok(())
    }

    /// Takes bytes of the payload, unmasked. `remaining`: bytes of the frame, these included.
    pub(super) fn push(&mut self, piece: &[u8], remaining: u64) -> Result<(), Violation> {
        self.check_text(piece)?;
        self.reserve(piece.len(), remaining);
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// Makes room for `arrived` bytes, and beyond them as much of the frame as is earned by then.
    pub(super) fn reserve(&mut self, arrived: usize, remaining: u64) {
        let remaining = usize::try_from(remaining).unwrap_or(usize::MAX);
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare >= arrived.max(1) {
            return;
        }
        let earned = 3 * (self.buffer.len() + arrived);
        let additional = remaining.min(earned.max(FIRST_RESERVE_BYTES_MAX));
        self.buffer.reserve(additional.max(arrived));
    }

    /// Checks the last `len` bytes of the buffer, which were read straight into it.
    pub(super) fn check_tail(&mut self, len: usize) -> Result<(), Violation> {
        if self.opcode != Opcode::Text {
            return Ok(());
        }
        let start = self.buffer.len() - len;
        self.utf8.push(&self.buffer[start..]).map_err(|_| Violation::InvalidUtf8)
    }

    fn check_text(&mut self, piece: &[u8]) -> Result<(), Violation> {
        if self.opcode != Opcode::Text {
            return Ok(());
        }
        self.utf8.push(piece).map_err(|_| Violation::InvalidUtf8)
    }

    /// The last fragment is whole.
    pub(super) fn finish(&self) -> Result<(), Violation> {
        if self.opcode == Opcode::Text && !self.utf8.is_complete() {
            return Err(Violation::InvalidUtf8);
        }
        Ok(())
    }
}
