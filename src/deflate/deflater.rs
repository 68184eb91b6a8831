//! Messages in, compressed bytes out.

use flate2::{Compress, Compression, FlushCompress};

/// What is taken off the end of a message (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A message without a byte (RFC 7692 7.2.3.6).
const EMPTY: u8 = 0;

/// Room that the end of a message may need, in bytes.
const END_BYTES: usize = 16;

/// Deflates messages, piece by piece, each with the window that those before it have left.
///
/// Memory: about 380 KiB at a window of 15 bits, 250 KiB at 9.
///
/// Source: RFC 7692 7.2.1, RFC 1951.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
    /// Something of this message was taken that is not flushed.
    is_inside: bool,
}

impl Deflater {
    /// A deflater of a level (1 is fast, 9 is small) and a window (9 to 15 bits). What is outside of
    /// these counts as the nearest.
    #[must_use]
    pub fn new(level: u8, window_bits: u8) -> Self {
        let level = Compression::new(u32::from(level.clamp(1, 9)));
        let stream = Compress::new_with_window_bits(level, false, window_bits.clamp(9, 15));
        Self { stream, is_inside: false }
    }

    /// Takes bytes of a message. What comes out, now or later, is appended to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if !input.is_empty() {
            self.is_inside = true;
            self.run(input, out, FlushCompress::None);
        }
    }

    /// Appends all that is held back to `out`, so that a reader of it has every byte that was taken.
    /// Cost: some bytes that the message would not need.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_inside) {
            self.run(&[], out, FlushCompress::Sync);
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
        self.run(input, out, FlushCompress::Sync);
        debug_assert!(out.ends_with(&TAIL));
        out.truncate(out.len().saturating_sub(TAIL.len()));
    }

    /// Forgets the messages before. Cost: some microseconds, for its tables are cleared.
    pub fn reset(&mut self) {
        self.stream.reset();
        self.is_inside = false;
    }

    fn run(&mut self, input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) {
        let mut taken = 0;
        out.reserve(input.len() / 2 + END_BYTES);
        loop {
            if out.capacity() - out.len() < END_BYTES {
                out.reserve(END_BYTES.max((input.len() - taken) / 2));
            }
            let before = self.stream.total_in();
            // With room to write and a stream that was never finished it cannot fail.
            let _ = self.stream.compress_vec(&input[taken..], out, flush);
            taken += (self.stream.total_in() - before) as usize;
            // Room that is left: nothing is held back.
            if taken == input.len() && out.len() < out.capacity() {
                return;
            }
        }
    }
}
