//! Compressed bytes in, messages out.

use flate2::{Decompress, FlushDecompress, Status};

/// What a sender takes off the end of a message (RFC 7692 7.2.1), in bytes.
const BLOCK_TAIL_BYTES: usize = 4;

/// What a sender takes off, and more empty blocks: they are longer than the longest header of a block (286
/// bytes), inside of which bytes are taken and nothing comes out. Where they give out a byte or do not
/// fit, the message was cut.
const TAIL: [u8; 299] = tail();

/// What a sender takes off, and an empty block that says it is the last: only where that is understood as
/// the end was the message whole.
const LAST_TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// The least that is made room for, in bytes.
const STEP_BYTES_MIN: usize = 1024;

/// The bytes are no DEFLATE data, or the message ends inside a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compressed data is damaged")]
pub struct InvalidDeflate;

/// Inflates the messages of one peer, piece by piece.
///
/// Memory: about 47 KiB once it was used, whatever comes.
///
/// Source: RFC 7692 7.2.2, RFC 1951.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    place: Place,
}

/// Where in a message the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before its first byte.
    Start,
    Inside,
    /// Behind a block that said it is the last: a message may end here, too (RFC 7692 7.2.3.4).
    Final,
}

impl Inflater {
    /// An inflater for a peer that keeps within this window (8 to 15 bits; others count as the next of
    /// these). 8 is inflated with the window of 9.
    #[must_use]
    pub fn new(window_bits: u8) -> Self {
        let stream = Decompress::new_with_window_bits(false, window_bits.clamp(9, 15));
        Self { stream, place: Place::Start }
    }

    /// Takes bytes of a message and appends what they give to `out`: at most `room` bytes, or
    /// what it has the capacity for. Returns how many were taken. Where `out` is full, more may come
    /// out of them.
    ///
    /// # Errors
    /// [`InvalidDeflate`]; only [`reset`](Self::reset) helps then.
    pub fn push(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, InvalidDeflate> {
        let len_max = out.len().saturating_add(room);
        let mut taken = 0;
        while out.len() < len_max {
            reserve(out, input.len() - taken, len_max);
            let (step, given) = self.step(&input[taken..], out)?;
            taken += step;
            let is_stuck = step == 0 && given == 0;
            if is_stuck || (taken == input.len() && out.len() < out.capacity()) {
                break;
            }
        }
        Ok(taken)
    }

    /// The message is whole: nothing more comes out of it.
    ///
    /// # Errors
    /// [`InvalidDeflate`] when it was cut.
    pub fn finish(&mut self) -> Result<(), InvalidDeflate> {
        self.finish_with(&TAIL)
    }

    /// The same for a message that is not followed by one that refers to it: everything is forgotten.
    /// Cheaper.
    pub(crate) fn finish_last(&mut self) -> Result<(), InvalidDeflate> {
        self.finish_with(&LAST_TAIL)
    }

    fn finish_with(&mut self, tail: &[u8]) -> Result<(), InvalidDeflate> {
        if self.place == Place::Start {
            // Not even the byte of an empty message (RFC 7692 7.2.3.6).
            return Err(InvalidDeflate);
        }
        if self.place == Place::Inside {
            let mut scrap = [0; 16];
            let before = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(tail, &mut scrap, FlushDecompress::Sync);
            let taken = (self.stream.total_in() - before.0) as usize;
            let is_whole = match status {
                Ok(Status::Ok) => taken == TAIL.len(),
                // Or the block whose tail was taken off says itself that it is the last.
                Ok(Status::StreamEnd) => [BLOCK_TAIL_BYTES, LAST_TAIL.len()].contains(&taken),
                _ => false,
            };
            if !is_whole || self.stream.total_out() != before.1 {
                return Err(InvalidDeflate);
            }
            if matches!(status, Ok(Status::StreamEnd)) {
                self.stream.reset(false);
            }
        }
        self.place = Place::Start;
        Ok(())
    }

    /// Forgets all that came before, errors included. Cost: no allocation.
    pub fn reset(&mut self) {
        self.stream.reset(false);
        self.place = Place::Start;
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, usize), InvalidDeflate> {
        let before = (self.stream.total_in(), out.len());
        let status = self.stream.decompress_vec(input, out, FlushDecompress::Sync);
        let taken = (self.stream.total_in() - before.0) as usize;
        if taken > 0 {
            self.place = Place::Inside;
        }
        match status {
            Ok(Status::Ok | Status::BufError) => {}
            Ok(Status::StreamEnd) => {
                self.stream.reset(false);
                self.place = Place::Final;
            }
            Err(_) => return Err(InvalidDeflate),
        }
        Ok((taken, out.len() - before.1))
    }
}

const fn tail() -> [u8; 299] {
    let mut tail = [0; 299];
    let mut at = 2;
    while at < tail.len() {
        (tail[at], tail[at + 1]) = (0xff, 0xff);
        at += 5;
    }
    tail
}

/// Makes some room in `out`, never beyond `len_max`.
fn reserve(out: &mut Vec<u8>, input_len: usize, len_max: usize) {
    if out.len() < out.capacity() {
        return;
    }
    let step = out.len().max(4 * input_len).max(STEP_BYTES_MIN);
    out.reserve_exact(step.min(len_max - out.len()));
}
