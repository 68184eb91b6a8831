//! A long message written from where the caller has it.

use std::io::IoSlice;

use bytes::Bytes;

use crate::frame::{FrameHeader, Opcode};
use crate::protocol::{Fragments, MessageRef, WriteBuffer};

use super::Outbox;
use super::item::{Active, Queued};
use super::queue::WriteNow;
use super::state::State;

/// Fragments of one write: each is two slices, and what the connection has written itself is one.
const FRAGMENTS_PER_WRITE: usize = 16;

/// A borrowed message, as far as it is not written.
struct Borrowed<'m> {
    opcode: Opcode,
    payload: &'m [u8],
    fragment_bytes: usize,
}

impl Outbox {
    /// Writes the connection's own bytes and one borrowed message behind them, without copying the
    /// payload unless the kernel refuses it. False: there is no line to write to, or the payload has
    /// to be changed.
    pub(crate) fn write_through(&self, own: &mut WriteBuffer, message: MessageRef<'_>) -> bool {
        let mut state = self.lock();
        let Some(line) = state.line.clone().filter(|_| !state.is_closed && !state.is_broken) else {
            return false;
        };
        if state.encoder.is_masking() || state.encoder.class().is_some() || state.rare.has_kept() {
            return false;
        }
        self.note_own_sent(own);
        self.note_sent(1, message.as_bytes().len());
        if !own.is_one_slice() || !state.tail.is_empty() || !state.is_queue_empty() {
            let mut progress = false;
            let mut write = |slices: &[IoSlice<'_>]| line.write_now(slices);
            // An error shows again in the connection's next flush.
            let _ = state.flush(own, &mut write, &mut progress);
        }
        if state.is_blocked || !state.is_queue_empty() {
            state.take_own(own);
            state.send_own(Queued::Message(message.to_message()));
        } else {
            let fragment_bytes = state.encoder.fragment_bytes();
            let payload = message.as_bytes();
            let borrowed = Borrowed { opcode: message.opcode(), payload, fragment_bytes };
            borrowed.write(&*line, own, &mut state);
        }
        self.note(&state);
        true
    }
}

impl<'m> Borrowed<'m> {
    /// Writes until all is written or the line takes no more; what is left is copied.
    fn write(mut self, line: &dyn WriteNow, own: &mut WriteBuffer, state: &mut State) {
        loop {
            let before = own.len();
            let (result, wanted) = self.write_once(line, own.first());
            let written = result.unwrap_or(0);
            let own_messages = own.messages();
            own.advance(written.min(before));
            state.ledger.delivered(own_messages - own.messages());
            let mut left = written.saturating_sub(before);
            if written == wanted {
                self.pass(left);
                if self.payload.is_empty() {
                    state.ledger.delivered(1);
                    return;
                }
                continue;
            }
            state.is_blocked = true;
            state.tail.append(own);
            left = self.pass(left);
            if left > 0 {
                let (header, len, piece) = self.front();
                let header_left = left.min(len);
                state.tail.extend_from_slice(&header[header_left..len]);
                state.tail.extend_from_slice(&piece[left - header_left..]);
                self.pass(len + piece.len());
                state.tail.note_begun(self.payload.is_empty());
            }
            let is_begun = self.opcode == Opcode::Continuation;
            if !is_begun || !self.payload.is_empty() {
                let rest = Bytes::copy_from_slice(self.payload);
                state.activate(Active::Message(Fragments::new(self.opcode, rest, false)));
            }
            return;
        }
    }

    /// One write; what it came to, and how many bytes it was given.
    fn write_once(&self, line: &dyn WriteNow, own: &[u8]) -> (std::io::Result<usize>, usize) {
        let mut headers = [[0; FrameHeader::BYTES_MAX]; FRAGMENTS_PER_WRITE];
        let mut parts = [(0, &[][..]); FRAGMENTS_PER_WRITE];
        let mut next = Self { ..*self };
        let mut count = 0;
        while count < FRAGMENTS_PER_WRITE {
            let (header, len, piece) = next.front();
            (headers[count], parts[count]) = (header, (len, piece));
            count += 1;
            next.pass(len + piece.len());
            if next.payload.is_empty() {
                break;
            }
        }
        let mut slices = [IoSlice::new(&[]); 2 * FRAGMENTS_PER_WRITE + 1];
        slices[0] = IoSlice::new(own);
        for (index, (len, piece)) in parts[..count].iter().enumerate() {
            slices[1 + 2 * index] = IoSlice::new(&headers[index][..*len]);
            slices[2 + 2 * index] = IoSlice::new(piece);
        }
        let slices = &slices[usize::from(own.is_empty())..=2 * count];
        (line.write_now(slices), slices.iter().map(|slice| slice.len()).sum())
    }

    /// The next frame: its header, that header's length, and its payload.
    fn front(&self) -> ([u8; FrameHeader::BYTES_MAX], usize, &'m [u8]) {
        let (piece, rest) = self.payload.split_at(self.payload.len().min(self.fragment_bytes));
        let mut header = FrameHeader::new(self.opcode, piece.len() as u64);
        header.fin = rest.is_empty();
        let mut bytes = [0; FrameHeader::BYTES_MAX];
        let len = header.encode(&mut bytes);
        (bytes, len, piece)
    }

    /// Passes over the frames that lie whole in the next `written` bytes; returns what is left of them.
    fn pass(&mut self, mut written: usize) -> usize {
        while !self.payload.is_empty() {
            let (_, len, piece) = self.front();
            if written < len + piece.len() {
                break;
            }
            written -= len + piece.len();
            self.payload = &self.payload[piece.len()..];
            self.opcode = Opcode::Continuation;
        }
        written
    }
}
