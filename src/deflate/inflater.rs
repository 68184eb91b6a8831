//! Compressed bytes in, messages out.

use zlib_rs::{Inflate, InflateFlush, Status};

/// What a sender takes off the end of a message (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// An empty block.
const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];

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
/// Behind a block that says it is the last the window is empty, as it is in zlib and in browsers: what follows
/// is another set of data (RFC 1951 3.2.3), whose sender begins anew, too. A reference to what was before it
/// is [`InvalidDeflate`].
///
/// Source: RFC 7692 7.2.2, RFC 1951.
pub struct Inflater {
    stream: Inflate,
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
        let stream = Inflate::new(false, window_bits.clamp(9, 15));
        Self { stream, place: Place::Start }
    }

    /// Takes bytes of a message and appends what they give to `out`, at most `room` bytes. Returns how many
    /// were taken. Where all of the room is used, more may come out of them.
    ///
    /// # Errors
    /// [`InvalidDeflate`]; only [`reset`](Self::reset) helps then.
    pub fn push(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, InvalidDeflate> {
        let (mut len, mut taken) = (out.len(), 0);
        let len_max = len.saturating_add(room);
        let result = loop {
            if len == out.len() {
                if len == len_max {
                    break Ok(taken);
                }
                prepare(out, input.len() - taken, len_max);
            }
            match self.step(&input[taken..], &mut out[len..]) {
                Ok((0, 0)) => break Ok(taken),
                Ok((step, given)) => (taken, len) = (taken + step, len + given),
                Err(error) => break Err(error),
            }
            // Room that is left: nothing is held back.
            if taken == input.len() && len < out.len() {
                break Ok(taken);
            }
        };
        out.truncate(len);
        result
    }

    /// The message is whole: nothing more comes out of it.
    ///
    /// # Errors
    /// [`InvalidDeflate`] when it was cut.
    pub fn finish(&mut self) -> Result<(), InvalidDeflate> {
        let is_whole = match self.place {
            // Not even the byte of an empty message (RFC 7692 7.2.3.6).
            Place::Start => false,
            Place::Inside => self.ends_block(),
            Place::Final => true,
        };
        self.place = Place::Start;
        is_whole.then_some(()).ok_or(InvalidDeflate)
    }

    /// Whether what a sender takes off ends a block, and no bit of it is left over: then all of an empty
    /// block is understood as one.
    fn ends_block(&mut self) -> bool {
        let mut behind = [0; TAIL.len() + EMPTY_BLOCK.len()];
        behind[..TAIL.len()].copy_from_slice(&TAIL);
        behind[TAIL.len()..].copy_from_slice(&EMPTY_BLOCK);
        let end = self.block(&behind);
        if !matches!(end, Some((Status::Ok, taken)) if taken == TAIL.len()) {
            return false;
        }
        match self.block(&EMPTY_BLOCK) {
            Some((Status::Ok, taken)) => taken == EMPTY_BLOCK.len(),
            // The block whose tail was taken off said itself that it is the last.
            Some((Status::StreamEnd, 0)) => {
                self.stream.reset(false);
                true
            }
            _ => false,
        }
    }

    /// Takes bytes up to the end of a block, out of which nothing may come. Returns how many.
    fn block(&mut self, input: &[u8]) -> Option<(Status, usize)> {
        let before = (self.stream.total_in(), self.stream.total_out());
        let status = self.stream.decompress(input, &mut [0; 16], InflateFlush::Block).ok()?;
        let is_silent = self.stream.total_out() == before.1;
        is_silent.then(|| (status, (self.stream.total_in() - before.0) as usize))
    }

    /// Forgets all that came before, errors included. Cost: no allocation.
    pub fn reset(&mut self) {
        self.stream.reset(false);
        self.place = Place::Start;
    }

    /// Returns how many bytes were taken and given.
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<(usize, usize), InvalidDeflate> {
        let before = (self.stream.total_in(), self.stream.total_out());
        let status = self.stream.decompress(input, room, InflateFlush::SyncFlush);
        let taken = (self.stream.total_in() - before.0) as usize;
        let given = (self.stream.total_out() - before.1) as usize;
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
        Ok((taken, given))
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Lengthens `out` by what there is memory for already, no more of it than the input is likely to need;
/// where there is none, some is made, never beyond `len_max`.
fn prepare(out: &mut Vec<u8>, input_len: usize, len_max: usize) {
    let (len, rest) = (out.len(), len_max - out.len());
    let likely = (4 * input_len).max(STEP_BYTES_MIN).min(rest);
    if len == out.capacity() {
        out.reserve_exact(likely.max(len).min(rest));
    }
    out.resize(len + likely.min(out.capacity() - len), 0);
}
