//! A message on its way out, fragment by fragment (RFC 6455 5.4).

use bytes::{Buf, Bytes};

use crate::frame::Opcode;

use super::{Encoder, WriteBuffer};

/// What is left of a message. Control frames, and nothing else, may pass between its fragments.
#[derive(Clone, Debug)]
pub(crate) struct Fragments {
    payload: Bytes,
    opcode: Opcode,
    is_compressed: bool,
}

impl Fragments {
    /// What is left of a message of which `opcode` begins the next frame. An empty one is one frame.
    pub(crate) const fn new(opcode: Opcode, payload: Bytes, is_compressed: bool) -> Self {
        Self { payload, opcode, is_compressed }
    }

    /// Payload bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.payload.len()
    }

    /// Passes over so many fragments: they are on their way.
    pub(crate) fn skip(&mut self, count: usize, fragment_bytes: usize) {
        if count > 0 {
            self.payload.advance(self.payload.len().min(count.saturating_mul(fragment_bytes)));
            self.opcode = Opcode::Continuation;
            self.is_compressed = false;
        }
    }

    /// Writes the next fragment, of at most `bytes_max`. False: it was the last.
    pub(crate) fn encode_next(&mut self, encoder: &mut Encoder, out: &mut WriteBuffer) -> bool {
        let len = self.payload.len().min(encoder.fragment_bytes());
        let payload = self.payload.split_to(len);
        let fin = self.payload.is_empty();
        encoder.data_frame(self.opcode, fin, self.is_compressed, &payload, out);
        if fin {
            out.note_last_frame();
        }
        self.opcode = Opcode::Continuation;
        self.is_compressed = false;
        !fin
    }
}
