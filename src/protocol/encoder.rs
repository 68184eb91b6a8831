//! Messages in, bytes out.

use bytes::Bytes;

use crate::frame::{CloseFrame, FrameHeader, MaskingKeys, Opcode, apply_mask};

use super::{Message, MessageRef, PreparedMessage, Role, WriteBuffer};

/// Payloads from here on stay where they lie instead of being copied behind their header: a copy
/// wins below 1 KiB, is equal to about 4 KiB, and a chunk of its own is 2.4 times better at 16 KiB.
const CHUNK_BYTES_MIN: usize = 16 * 1024;

/// Writes frames as one role does: a client masks each with a fresh key.
#[derive(Debug)]
pub struct Encoder {
    keys: Option<Box<MaskingKeys>>,
}

impl Encoder {
    /// An encoder for one end.
    ///
    /// # Panics
    /// For a client, when the operating system has no random numbers to give.
    #[must_use]
    pub fn new(role: Role) -> Self {
        let keys = match role {
            Role::Server => None,
            Role::Client => Some(Box::new(
                MaskingKeys::from_os().expect("the operating system gives random numbers"),
            )),
        };
        Self { keys }
    }

    /// A client's encoder with keys of one's own: for tests and simulations.
    #[must_use]
    pub fn with_keys(keys: MaskingKeys) -> Self {
        Self { keys: Some(Box::new(keys)) }
    }

    /// Writes a data message as one frame. Cost: one copy of the payload, no allocation once `out`
    /// has grown.
    #[inline]
    pub fn message(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) {
        self.frame(message.opcode(), message.as_bytes(), out);
    }

    /// Writes an owned message as one frame. Payloads of 16 KiB and more are not copied, but for a
    /// client's, which must be masked. A ping or pong is cut to the 125 bytes it may have.
    pub fn owned(&mut self, message: &Message, out: &mut WriteBuffer) {
        match message {
            Message::Text(text) => self.payload(Opcode::Text, text.as_bytes(), out),
            Message::Binary(payload) => self.payload(Opcode::Binary, payload, out),
            Message::Ping(payload) => self.control(Opcode::Ping, payload, out),
            Message::Pong(payload) => self.control(Opcode::Pong, payload, out),
            Message::Close(frame) => self.close(frame.as_ref(), out),
        }
    }

    /// Writes a message that was encoded before. Not copied from 16 KiB on, but for a client's.
    pub fn prepared(&mut self, message: &PreparedMessage, out: &mut WriteBuffer) {
        match (&self.keys, message.frame()) {
            (Some(_), _) => {
                let opcode = if message.is_text() { Opcode::Text } else { Opcode::Binary };
                self.frame(opcode, message.payload(), out);
            }
            (None, frame) if frame.len() >= CHUNK_BYTES_MIN => out.push_chunk(frame.clone()),
            (None, frame) => out.extend_from_slice(frame),
        }
    }

    /// Writes a ping or pong, cut to the 125 bytes it may have.
    pub fn control(&mut self, opcode: Opcode, payload: &[u8], out: &mut WriteBuffer) {
        self.frame(opcode, &payload[..payload.len().min(125)], out);
    }

    /// Writes a close frame; `None` has no body.
    pub fn close(&mut self, frame: Option<&CloseFrame>, out: &mut WriteBuffer) {
        let payload = frame.map(CloseFrame::encode).unwrap_or_default();
        self.frame(Opcode::Close, &payload, out);
    }

    /// Only the header of a server's data frame, for a payload that is written from elsewhere.
    /// `None` for a client, who has to mask.
    pub(crate) fn header_only(
        &self,
        message: MessageRef<'_>,
        header: &mut [u8; FrameHeader::BYTES_MAX],
    ) -> Option<usize> {
        if self.keys.is_some() {
            return None;
        }
        Some(FrameHeader::new(message.opcode(), message.as_bytes().len() as u64).encode(header))
    }

    #[inline]
    fn frame(&mut self, opcode: Opcode, payload: &[u8], out: &mut WriteBuffer) {
        let first = 0x80 | opcode as u8;
        match (payload.len(), &self.keys) {
            (len @ 0..=125, None) => out.extend_from_slice(&[first, len as u8]),
            (len @ 126..=0xffff, None) => {
                out.extend_from_slice(&[first, 126, (len >> 8) as u8, len as u8]);
            }
            _ => return self.long_frame(opcode, payload, out),
        }
        out.extend_from_slice(payload);
    }

    fn long_frame(&mut self, opcode: Opcode, payload: &[u8], out: &mut WriteBuffer) {
        let key = self.header(opcode, payload.len(), payload.len(), out);
        out.extend_from_slice(payload);
        if let Some(key) = key {
            apply_mask(out.last_mut(payload.len()), key);
        }
    }

    fn payload(&mut self, opcode: Opcode, payload: &Bytes, out: &mut WriteBuffer) {
        if payload.len() < CHUNK_BYTES_MIN || self.keys.is_some() {
            self.frame(opcode, payload, out);
        } else {
            self.header(opcode, payload.len(), 0, out);
            out.push_chunk(payload.clone());
        }
    }

    fn header(
        &mut self,
        opcode: Opcode,
        payload_len: usize,
        copied: usize,
        out: &mut WriteBuffer,
    ) -> Option<[u8; 4]> {
        let mut header = FrameHeader::new(opcode, payload_len as u64);
        header.mask_key = self.keys.as_mut().map(|keys| keys.next_key());
        let mut bytes = [0; FrameHeader::BYTES_MAX];
        let len = header.encode(&mut bytes);
        out.reserve(len + copied);
        out.extend_from_slice(&bytes[..len]);
        header.mask_key
    }
}
