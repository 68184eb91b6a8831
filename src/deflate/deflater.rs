//! Messages in, compressed bytes out.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

/// What is taken off the end of a message (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A message without a byte (RFC 7692 7.2.3.6).
const EMPTY: u8 = 0;

/// Room that the end of a message may need, in bytes.
const END_BYTES: usize = 16;

/// The memory level where nobody says another: a larger one makes nothing smaller by more than 0.3 %, and
/// costs 84 KiB more.
pub(super) const MEMORY_LEVEL: u8 = 6;

/// Deflates messages, piece by piece, each with the window that those before it have left.
///
/// Memory: about 290 KiB at a window of 15 bits, 165 KiB at 9.
///
/// Source: RFC 7692 7.2.1, RFC 1951.
pub struct Deflater {
    stream: Deflate,
    /// Something of this message was taken that is not flushed.
    is_inside: bool,
}

impl Deflater {
    /// A deflater of a level (1 is fast, 9 is small) and a window (9 to 15 bits). What is outside of
    /// these counts as the nearest.
    #[must_use]
    pub fn new(level: u8, window_bits: u8) -> Self {
        Self::with_memory_level(level, window_bits, MEMORY_LEVEL)
    }

    /// The same with a memory level (1 to 9): see
    /// [`Deflate::memory_level`](super::Deflate::memory_level).
    #[must_use]
    pub fn with_memory_level(level: u8, window_bits: u8, memory_level: u8) -> Self {
        let config = DeflateConfig {
            level: i32::from(level.clamp(1, 9)),
            // Below zero: without the header of another format.
            window_bits: -i32::from(window_bits.clamp(9, 15)),
            mem_level: i32::from(memory_level.clamp(1, 9)),
            ..DeflateConfig::default()
        };
        Self { stream: Deflate::new_with_config(config), is_inside: false }
    }

    /// Takes bytes of a message. What comes out, now or later, is appended to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if !input.is_empty() {
            self.is_inside = true;
            self.run(input, out, DeflateFlush::NoFlush);
        }
    }

    /// Appends all that is held back to `out`, so that a reader of it has every byte that was taken.
    /// Cost: some bytes that the message would not need.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_inside) {
            self.run(&[], out, DeflateFlush::SyncFlush);
        }
    }

    /// Takes the last bytes of a message and appends all that is left of it to `out`.
    pub fn finish(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if !self.is_inside && input.is_empty() {
            // An empty block, which is what a whole message ends with.
            out.push(EMPTY);
            return;
        }
        self.is_inside = false;
        self.run(input, out, DeflateFlush::SyncFlush);
        debug_assert!(out.ends_with(&TAIL));
        out.truncate(out.len().saturating_sub(TAIL.len()));
    }

    /// Forgets the messages before. Cost: some microseconds, for its tables are cleared.
    pub fn reset(&mut self) {
        self.stream.reset();
        self.is_inside = false;
    }

    fn run(&mut self, input: &[u8], out: &mut Vec<u8>, flush: DeflateFlush) {
        let (mut taken, mut len) = (0, out.len());
        loop {
            out.resize(len + END_BYTES + (input.len() - taken) / 2, 0);
            let before = (self.stream.total_in(), self.stream.total_out());
            // With room to write and a stream that was never finished it cannot fail.
            let _ = self.stream.compress(&input[taken..], &mut out[len..], flush);
            taken += (self.stream.total_in() - before.0) as usize;
            len += (self.stream.total_out() - before.1) as usize;
            // Room that is left: nothing is held back.
            if taken == input.len() && len < out.len() {
                return out.truncate(len);
            }
        }
    }
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").field("is_inside", &self.is_inside).finish_non_exhaustive()
    }
}
