//! Messages in, bytes out.

use bytes::Bytes;

use crate::deflate::{Deflate, DeflateParams, put_deflated, take_deflated};
use crate::frame::{CloseFrame, FrameHeader, MaskingKeys, Opcode, apply_mask};

use super::compressor::{Compressor, DeflateClass};
use super::fragments::Fragments;
use super::{Message, MessageRef, PreparedMessage, Role, WriteBuffer};

/// Payloads from here on stay where they lie instead of being copied behind their header: a copy
/// wins below 1 KiB, is equal to about 4 KiB, and a chunk of its own is 2.4 times better at 16 KiB.
const CHUNK_BYTES_MIN: usize = 16 * 1024;

/// Writes frames as one role does: a client masks each with a fresh key.
#[derive(Debug)]
pub struct Encoder {
    /// `None` for a server that does not compress.
    extras: Option<Box<Extras>>,
    /// Messages shorter than this go out as they are, in one frame.
    plain_below: u32,
    /// Longest payload of a data frame: at least one byte.
    fragment_bytes: u32,
}

#[derive(Debug, Default)]
struct Extras {
    /// A client's. They are large, and a server that compresses has none.
    keys: Option<Box<MaskingKeys>>,
    compressor: Option<Compressor>,
}

impl Encoder {
    /// An encoder for one end that writes each message as one frame.
    ///
    /// # Panics
    /// For a client, when the operating system has no random numbers to give.
    #[must_use]
    pub fn new(role: Role) -> Self {
        match role {
            Role::Server => Self { extras: None, plain_below: u32::MAX, fragment_bytes: u32::MAX },
            Role::Client => Self::with_keys(
                MaskingKeys::from_os().expect("the operating system gives random numbers"),
            ),
        }
    }

    /// A client's encoder with keys of one's own: for tests and simulations.
    #[must_use]
    pub fn with_keys(keys: MaskingKeys) -> Self {
        let extras = Extras { keys: Some(Box::new(keys)), compressor: None };
        Self { extras: Some(Box::new(extras)), plain_below: u32::MAX, fragment_bytes: u32::MAX }
    }

    /// Cuts messages into frames of at most so many payload bytes; `None`: messages are never cut. 0
    /// counts as 1.
    pub fn set_fragment_bytes(&mut self, bytes_max: Option<usize>) {
        let bytes_max = bytes_max.and_then(|bytes| u32::try_from(bytes).ok());
        self.fragment_bytes = bytes_max.unwrap_or(u32::MAX).max(1);
        self.set_plain_below();
    }

    /// Compresses messages from now on as was agreed. Before the first message only.
    pub fn set_deflate(&mut self, params: &DeflateParams, settings: &Deflate) {
        self.extras.get_or_insert_default().compressor = Some(Compressor::new(params, settings));
        self.set_plain_below();
    }

    fn set_plain_below(&mut self) {
        let threshold = self.compressor().map_or(usize::MAX, Compressor::threshold_bytes);
        let threshold = u32::try_from(threshold).unwrap_or(u32::MAX);
        self.plain_below = self.fragment_bytes.saturating_add(1).min(threshold);
    }

    /// Writes a data message. Cost: one copy of the payload, no allocation once `out` has grown.
    #[inline]
    pub fn message(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) {
        let payload = message.as_bytes();
        out.note_message(payload.len());
        if payload.len() < self.plain_below as usize {
            self.frame(message.opcode(), payload, out);
        } else {
            let is_due = self.is_due(payload.len());
            self.special_message(message.opcode(), payload, is_due, out);
        }
    }

    /// Writes an owned message. Payloads of 16 KiB and more are not copied, but for a client's, which
    /// must be masked. A ping or pong is cut to the 125 bytes it may have.
    pub fn owned(&mut self, message: &Message, out: &mut WriteBuffer) {
        match message {
            Message::Text(text) => self.data(Opcode::Text, text.as_bytes(), out),
            Message::Binary(payload) => self.data(Opcode::Binary, payload, out),
            Message::Ping(payload) => self.control(Opcode::Ping, payload, out),
            Message::Pong(payload) => self.control(Opcode::Pong, payload, out),
            Message::Close(frame) => self.close(frame.as_ref(), out),
        }
    }

    /// Writes a message that was encoded before, as one frame. Not copied from 16 KiB on, but for a
    /// client's.
    pub fn prepared(&mut self, message: &PreparedMessage, out: &mut WriteBuffer) {
        out.note_last_frame();
        if self.is_masking() {
            return self.prepared_masked(message, out);
        }
        let frame = self.frame_for(message);
        if frame.len() >= CHUNK_BYTES_MIN {
            out.push_chunk(frame.clone());
        } else {
            out.extend_from_slice(frame);
        }
    }

    /// The frame of a prepared message for this peer of a server, which is about to be sent.
    pub(crate) fn frame_for<'m>(&mut self, message: &'m PreparedMessage) -> &'m Bytes {
        self.compressed_frame_for(message).unwrap_or_else(|| message.frame())
    }

    fn compressed_frame_for<'m>(&mut self, message: &'m PreparedMessage) -> Option<&'m Bytes> {
        let compressor = self.compressor_mut()?;
        if !message.is_compressed_from(compressor.threshold_bytes()) {
            return None;
        }
        let frame = message.compressed_frame(compressor.class())?;
        compressor.note_foreign_frame();
        Some(frame)
    }

    /// A prepared message as fragments.
    pub(crate) fn prepared_fragments(&mut self, message: &PreparedMessage) -> Fragments {
        let opcode = message.opcode();
        if !self.is_masking()
            && let Some(frame) = self.compressed_frame_for(message)
            && let Ok(Some((_, header_len))) = FrameHeader::parse(frame)
        {
            return Fragments::new(opcode, frame.slice(header_len..), true);
        }
        let payload = message.payload_bytes();
        let is_due = self.is_masking() && self.is_due_for(message);
        let mut deflated = Vec::new();
        if is_due && self.compress(&payload, &mut deflated) {
            return Fragments::new(opcode, deflated.into(), true);
        }
        Fragments::new(opcode, payload, false)
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

    /// Longest payload of a data frame, in bytes.
    pub(crate) const fn fragment_bytes(&self) -> usize {
        self.fragment_bytes as usize
    }

    /// Whether each frame has to be masked.
    pub(crate) fn is_masking(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.keys.is_some())
    }

    /// Whether messages must be encoded in the order in which they are sent.
    pub(crate) fn keeps_context(&self) -> bool {
        self.compressor().is_some_and(Compressor::keeps_context)
    }

    /// Whose compressed frames the peer can read, and from which length on they are wanted.
    pub(crate) fn class(&self) -> Option<(DeflateClass, usize)> {
        self.compressor().map(|compressor| (compressor.class(), compressor.threshold_bytes()))
    }

    /// Frames that were compressed elsewhere go to the peer.
    pub(crate) fn note_foreign_frame(&mut self) {
        if let Some(compressor) = self.compressor_mut() {
            compressor.note_foreign_frame();
        }
    }

    /// Called now and then: gives memory back that was not used since the last time.
    pub(crate) fn rest(&mut self) {
        if let Some(compressor) = self.compressor_mut() {
            compressor.rest();
        }
    }

    /// A message as fragments, compressed if it is to be.
    pub(crate) fn fragments(&mut self, opcode: Opcode, payload: &Bytes) -> Fragments {
        let mut deflated = Vec::new();
        if self.is_due(payload.len()) && self.compress(payload, &mut deflated) {
            return Fragments::new(opcode, deflated.into(), true);
        }
        Fragments::new(opcode, payload.clone(), false)
    }

    /// Writes one frame of a data message.
    pub(crate) fn data_frame(
        &mut self,
        opcode: Opcode,
        fin: bool,
        is_compressed: bool,
        payload: &Bytes,
        out: &mut WriteBuffer,
    ) {
        let mut header = FrameHeader::new(opcode, payload.len() as u64);
        (header.fin, header.rsv1) = (fin, is_compressed);
        if payload.len() >= CHUNK_BYTES_MIN && !self.is_masking() {
            self.header(header, 0, out);
            out.push_chunk(payload.clone());
        } else {
            self.copied_frame(header, payload, out);
        }
    }

    #[inline]
    fn frame(&mut self, opcode: Opcode, payload: &[u8], out: &mut WriteBuffer) {
        let first = 0x80 | opcode as u8;
        match (payload.len(), &self.extras) {
            (len @ 0..=125, None) => out.extend_from_slice(&[first, len as u8]),
            (len @ 126..=0xffff, None) => {
                out.extend_from_slice(&[first, 126, (len >> 8) as u8, len as u8]);
            }
            (len, _) => {
                return self.copied_frame(FrameHeader::new(opcode, len as u64), payload, out);
            }
        }
        out.extend_from_slice(payload);
    }

    fn copied_frame(&mut self, header: FrameHeader, payload: &[u8], out: &mut WriteBuffer) {
        let key = self.header(header, payload.len(), out);
        out.extend_from_slice(payload);
        if let Some(key) = key {
            apply_mask(out.last_mut(payload.len()), key);
        }
    }

    /// A message that is compressed or cut.
    #[inline(never)]
    fn special_message(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        is_due: bool,
        out: &mut WriteBuffer,
    ) {
        let mut deflated = take_deflated();
        let is_compressed = is_due && self.compress(payload, &mut deflated);
        let mut rest = if is_compressed { &deflated[..] } else { payload };
        let mut header = FrameHeader::new(opcode, 0);
        header.rsv1 = is_compressed;
        loop {
            let (piece, left) = rest.split_at(rest.len().min(self.fragment_bytes()));
            header.payload_len = piece.len() as u64;
            header.fin = left.is_empty();
            self.copied_frame(header, piece, out);
            if left.is_empty() {
                break;
            }
            (header.opcode, header.rsv1) = (Opcode::Continuation, false);
            rest = left;
        }
        put_deflated(deflated);
    }

    fn data(&mut self, opcode: Opcode, payload: &Bytes, out: &mut WriteBuffer) {
        if payload.len() < self.plain_below as usize {
            out.note_message(payload.len());
            return self.data_frame(opcode, true, false, payload, out);
        }
        out.note_payload(payload.len());
        let mut fragments = self.fragments(opcode, payload);
        while fragments.encode_next(self, out) {}
    }

    /// A client's, which shares nothing.
    fn prepared_masked(&mut self, message: &PreparedMessage, out: &mut WriteBuffer) {
        if self.is_due_for(message) {
            self.special_message(message.opcode(), message.payload(), true, out);
        } else {
            self.frame(message.opcode(), message.payload(), out);
        }
    }

    /// Whether messages of this length are compressed.
    fn is_due(&self, len: usize) -> bool {
        self.compressor().is_some_and(|compressor| len >= compressor.threshold_bytes())
    }

    fn is_due_for(&self, message: &PreparedMessage) -> bool {
        self.compressor().is_some_and(|known| message.is_compressed_from(known.threshold_bytes()))
    }

    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        self.compressor_mut().is_some_and(|compressor| compressor.compress(payload, out))
    }

    fn compressor(&self) -> Option<&Compressor> {
        self.extras.as_ref()?.compressor.as_ref()
    }

    fn compressor_mut(&mut self) -> Option<&mut Compressor> {
        self.extras.as_mut()?.compressor.as_mut()
    }

    fn header(
        &mut self,
        mut header: FrameHeader,
        copied: usize,
        out: &mut WriteBuffer,
    ) -> Option<[u8; 4]> {
        let keys = self.extras.as_mut().and_then(|extras| extras.keys.as_mut());
        header.mask_key = keys.map(|keys| keys.next_key());
        let mut bytes = [0; FrameHeader::BYTES_MAX];
        let len = header.encode(&mut bytes);
        out.reserve(len + copied);
        out.extend_from_slice(&bytes[..len]);
        header.mask_key
    }
}
