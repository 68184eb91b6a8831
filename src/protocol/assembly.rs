//! A message that comes in pieces: fragments, one frame in several reads, or compressed.

use bytes::{Bytes, BytesMut};

use crate::deflate::{Inflater, put_scratch, take_scratch};
use crate::frame::{FrameHeader, Opcode, Utf8Validator, Violation};

use super::Config;

/// The most that is reserved before any byte of a payload has come.
const FIRST_RESERVE_BYTES_MAX: usize = 64 * 1024;

/// What one step of a message that is read piece by piece inflates, in bytes.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Empty space that an inflated message may keep when it is handed out, in bytes.
const SLACK_BYTES_MAX: usize = 4096;

/// What has come of a message, control frame or header that is not whole yet.
///
/// Memory follows what arrived, never what a header claims:
/// `buffer.capacity() <= max(64 KiB, 4 * arrived)` (but for what the allocator rounds up), and
/// `inflated.capacity() <= limit + 256 KiB`.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) opcode: Opcode,
    pub(super) buffer: BytesMut,
    /// Of a compressed message, what has come out of it, or its current piece.
    inflated: Vec<u8>,
    /// Of a compressed message.
    pub(super) inflater: Option<Box<Inflater>>,
    /// A control frame whose payload is not whole: it may come between two fragments.
    pub(super) control: Vec<u8>,
    pub(super) in_message: bool,
    /// A header that was cut: `spilled <= 13`.
    pub(super) spill: [u8; FrameHeader::BYTES_MAX],
    pub(super) spilled: u8,
    /// The message is given out piece by piece.
    is_given: bool,
    /// Bytes of the message that were given out piece by piece.
    given: u64,
    /// Bytes of its payloads that were announced.
    announced: u64,
    utf8: Utf8Validator,
    fragments: u32,
    empty_fragments: u32,
}

impl Assembly {
    pub(super) fn new() -> Self {
        Self {
            opcode: Opcode::Binary,
            buffer: BytesMut::new(),
            inflated: Vec::new(),
            inflater: None,
            control: Vec::new(),
            in_message: false,
            spill: [0; FrameHeader::BYTES_MAX],
            spilled: 0,
            is_given: false,
            given: 0,
            announced: 0,
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
        self.announced = self.announced.saturating_add(bytes);
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

    /// The message is compressed.
    pub(super) fn begin_inflating(&mut self, inflater: Box<Inflater>) {
        self.inflater = Some(inflater);
    }

    /// The message has to wait for more of it: the thread's buffer is not held on to meanwhile, and of a
    /// large one only what was earned.
    pub(super) fn settle(&mut self) {
        let len = self.inflated.len();
        if self.inflated.capacity() > 4 * len + SLACK_BYTES_MAX {
            let own = self.inflated.as_slice().to_vec();
            put_scratch(std::mem::replace(&mut self.inflated, own));
        }
    }

    /// Whether the message is given out piece by piece. It is decided anew until something has come of
    /// it.
    pub(super) fn is_given(&mut self, is_streaming: bool) -> bool {
        if self.given == 0 && self.buffer.is_empty() && self.inflated.is_empty() {
            self.is_given = is_streaming;
        }
        self.is_given
    }

    /// Bytes of the payloads that were announced so far.
    pub(super) const fn announced(&self) -> u64 {
        self.announced
    }

    /// Takes bytes of the payload, unmasked. `remaining`: bytes of the frame, these included.
    pub(super) fn push(&mut self, piece: &[u8], remaining: u64) -> Result<(), Violation> {
        self.check_text(piece)?;
        self.reserve(piece.len(), remaining);
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// The same for a compressed message: all that comes out of them, up to the limit.
    pub(super) fn inflate(&mut self, piece: &[u8], bytes_max: usize) -> Result<(), Violation> {
        let Some(inflater) = &mut self.inflater else {
            return Ok(());
        };
        let before = self.inflated.len();
        if before == 0 && self.inflated.capacity() == 0 {
            self.inflated = take_scratch();
        }
        // One byte more than is allowed shows that it is too long.
        let room = bytes_max.saturating_add(1).saturating_sub(before);
        let taken = inflater.push(piece, &mut self.inflated, room);
        let taken = taken.map_err(|_| Violation::InvalidDeflate)?;
        if self.inflated.len() > bytes_max || taken < piece.len() {
            return Err(too_big(self.inflated.len() as u64, bytes_max));
        }
        if self.opcode == Opcode::Text {
            let checked = self.utf8.push(&self.inflated[before..]);
            return checked.map_err(|_| Violation::InvalidUtf8);
        }
        Ok(())
    }

    /// The same for a message that is given out piece by piece: some of what comes out of them is in
    /// [`inflated`](Self::inflated) afterwards. Returns how many bytes were taken.
    pub(super) fn inflate_piece(
        &mut self,
        piece: &[u8],
        bytes_max: usize,
    ) -> Result<usize, Violation> {
        let Some(inflater) = &mut self.inflater else {
            return Ok(piece.len());
        };
        self.inflated.clear();
        if self.inflated.capacity() == 0 {
            self.inflated = take_scratch();
        }
        let taken = inflater.push(piece, &mut self.inflated, PIECE_BYTES_MAX);
        let taken = taken.map_err(|_| Violation::InvalidDeflate)?;
        if self.opcode == Opcode::Text {
            self.utf8.push(&self.inflated).map_err(|_| Violation::InvalidUtf8)?;
        }
        self.count_given(self.inflated.len(), bytes_max)?;
        Ok(taken)
    }

    /// Whether an inflated piece was as long as a piece may be, so that more may be behind it.
    pub(super) fn is_piece_full(&self) -> bool {
        self.inflated.len() >= PIECE_BYTES_MAX
    }

    /// Bytes of a message that is not compressed are given out where they lie.
    pub(super) fn give_piece(&mut self, piece: &[u8], bytes_max: usize) -> Result<(), Violation> {
        self.check_text(piece)?;
        self.count_given(piece.len(), bytes_max)
    }

    fn count_given(&mut self, len: usize, bytes_max: usize) -> Result<(), Violation> {
        self.given += len as u64;
        if self.given > bytes_max as u64 {
            return Err(too_big(self.given, bytes_max));
        }
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

    /// The last fragment is whole. Gives the inflater back, if there is one.
    pub(super) fn finish(&mut self) -> Result<Option<Box<Inflater>>, Violation> {
        let mut inflater = self.inflater.take();
        if let Some(inflater) = &mut inflater {
            inflater.finish().map_err(|_| Violation::InvalidDeflate)?;
        }
        if self.opcode == Opcode::Text && !self.utf8.is_complete() {
            return Err(Violation::InvalidUtf8);
        }
        self.in_message = false;
        Ok(inflater)
    }

    /// What came out of a compressed message, or its current piece.
    pub(super) fn inflated(&self) -> &[u8] {
        &self.inflated
    }

    /// The same, taken; to be given to [`put_scratch`] when it is not needed any more.
    pub(super) fn take_inflated(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.inflated)
    }

    /// The whole message, without a copy where it fits its memory.
    pub(super) fn take(&mut self) -> Bytes {
        if self.inflated.is_empty() {
            return std::mem::take(&mut self.buffer).freeze();
        }
        if self.inflated.capacity() > self.inflated.len() + SLACK_BYTES_MAX {
            return Bytes::copy_from_slice(&self.inflated);
        }
        self.take_inflated().into()
    }
}

impl Drop for Assembly {
    fn drop(&mut self) {
        if self.inflated.capacity() > 0 {
            put_scratch(self.take_inflated());
        }
    }
}

fn too_big(bytes: u64, bytes_max: usize) -> Violation {
    Violation::MessageTooBig { bytes, bytes_max: bytes_max as u64 }
}
