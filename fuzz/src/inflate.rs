//! Compressed bytes in any pieces and with any room: what comes out is what one pass over all of them
//! gives, never more at a time than was asked for; and what was deflated comes out again.

use flate2::{Decompress, FlushDecompress, Status};
use sockeye::deflate::{Deflater, Inflater, InvalidDeflate};

use super::source::{Source, pieces};

/// What a sender takes off the end of a message, and an empty block that is the last: a message is whole
/// where the reader sees it so.
const TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// What is taken off alone: the block it belongs to may itself be the last.
const BLOCK_TAIL_BYTES: usize = 4;

/// Room for one call, as the choice says.
const ROOMS: [usize; 4] = [1, 7, 1000, 16 * 1024];

/// More would only repeat.
const MESSAGES_MAX: usize = 12;

/// A byte of window, room and halves, a byte of cuts; then compressed bytes, or messages.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let (choice, seed) = (source.byte(), source.byte());
    let room = ROOMS[usize::from(choice >> 3 & 3)];
    if choice & 0x80 == 0 {
        compare(source.rest(), seed, room);
    } else {
        round_trips(source, choice, seed, room);
    }
}

fn compare(bytes: &[u8], seed: u8, room: usize) {
    let expected = in_one_pass(bytes);
    let mut inflater = Inflater::new(15);
    for seed in [seed, 0, 1] {
        let came = inflate(&mut inflater, &pieces(bytes, seed), room);
        assert_eq!(came, expected, "in pieces by {seed}, {room} at a time");
        inflater.reset();
    }
    // Whatever came before, it begins anew.
    let mut deflated = Vec::new();
    Deflater::new(5, 15).finish(b"well", &mut deflated);
    assert_eq!(inflate(&mut inflater, &[&deflated], room), Ok(b"well".to_vec()));
}

/// A whole message, each piece of it with so much room again and again.
fn inflate(
    inflater: &mut Inflater,
    pieces: &[&[u8]],
    room: usize,
) -> Result<Vec<u8>, InvalidDeflate> {
    let mut all = Vec::new();
    for piece in pieces {
        let mut taken = 0;
        loop {
            let mut out = Vec::new();
            taken += inflater.push(&piece[taken..], &mut out, room)?;
            assert!(out.len() <= room, "{} bytes came out where {room} fit", out.len());
            all.extend_from_slice(&out);
            if out.len() < room {
                break;
            }
        }
        assert_eq!(taken, piece.len(), "room was left, so all was taken");
    }
    inflater.finish()?;
    Ok(all)
}

/// The same by the library below, with all the room there is. Behind a last block a new stream begins.
fn in_one_pass(bytes: &[u8]) -> Result<Vec<u8>, InvalidDeflate> {
    let mut stream = Decompress::new(false);
    let (mut rest, mut out, mut is_at_end) = (bytes, Vec::new(), false);
    if bytes.is_empty() {
        return Err(InvalidDeflate);
    }
    while !rest.is_empty() {
        let (taken, status) = step(&mut stream, rest, &mut out)?;
        rest = &rest[taken..];
        is_at_end = status == Status::StreamEnd;
        if is_at_end {
            stream.reset(false);
        }
    }
    let before = out.len();
    if !is_at_end {
        let (taken, status) = step(&mut stream, &TAIL, &mut out)?;
        let is_whole =
            status == Status::StreamEnd && [BLOCK_TAIL_BYTES, TAIL.len()].contains(&taken);
        if !is_whole || out.len() > before {
            return Err(InvalidDeflate);
        }
    }
    Ok(out)
}

fn step(
    stream: &mut Decompress,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(usize, Status), InvalidDeflate> {
    // No code of DEFLATE gives more than 258 bytes for two bits.
    out.reserve(input.len() * 1040 + 1024);
    let before = stream.total_in();
    let status = stream.decompress_vec(input, out, FlushDecompress::Sync);
    Ok(((stream.total_in() - before) as usize, status.map_err(|_| InvalidDeflate)?))
}

/// Messages through a deflater and an inflater that agree on the window, each by itself or with the
/// window of those before.
fn round_trips(mut source: Source<'_>, choice: u8, seed: u8, room: usize) {
    let (window_bits, keeps_context) = (9 + choice % 7, choice & 0x40 != 0);
    let mut deflater = Deflater::new(source.byte() % 10, window_bits);
    let mut inflater = Inflater::new(window_bits);
    for _ in 0..MESSAGES_MAX {
        if source.is_empty() {
            break;
        }
        let (flushes, len, times) = (source.byte(), source.byte(), source.byte());
        let message = source.take(len.into()).repeat(1 + usize::from(times) * 4);
        let mut deflated = Vec::new();
        for (number, piece) in pieces(&message, flushes).into_iter().enumerate().take(50) {
            deflater.push(piece, &mut deflated);
            if flushes >> (number % 8) & 1 == 1 {
                deflater.flush(&mut deflated);
            }
        }
        let pushed: usize =
            pieces(&message, flushes).iter().take(50).map(|piece| piece.len()).sum();
        deflater.finish(&message[pushed..], &mut deflated);
        let came = inflate(&mut inflater, &pieces(&deflated, seed), room);
        assert_eq!(came.as_ref(), Ok(&message), "{window_bits} bits, context: {keeps_context}");
        if !keeps_context {
            deflater.reset();
            inflater.reset();
        }
    }
}
