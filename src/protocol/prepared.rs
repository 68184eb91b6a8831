//! A message encoded once, for many.

use bytes::Bytes;

use crate::deflate::deflate_alone;
use crate::frame::{FrameHeader, Opcode};
use crate::sync::{Arc, OnceLock};

use super::compressor::DeflateClass;
use super::{Encoder, MessageRef, Role, WriteBuffer};

/// Classes of peers whose compressed frame is kept. Peers of further classes get it uncompressed.
const CLASSES_MAX: usize = 4;

/// Whether a message is compressed where the peer agreed to compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compress {
    /// When it is as long as the connection's threshold.
    #[default]
    Auto,
    /// Never: it is compressed already (an image), or holds a secret beside what an attacker chose.
    Never,
    /// Whatever the threshold says.
    Always,
}

/// A data message already encoded, for any number of peers of a server.
///
/// Frames of a server are not masked, so they are the same for all; compressed, they are the same for
/// all peers with the same level and window, and deflated once for these, when the first of them is
/// sent to. Cloning counts a reference. A client has to mask: sent by one, it costs a copy.
///
/// Source: RFC 6455 5.1, 5.2; RFC 7692 6.
#[derive(Clone, Debug)]
pub struct PreparedMessage(Arc<Prepared>);

#[derive(Clone, Debug)]
struct Prepared {
    frame: Bytes,
    payload_start: usize,
    is_text: bool,
    compress: Compress,
    variants: [OnceLock<Variant>; CLASSES_MAX],
}

#[derive(Clone, Debug)]
struct Variant {
    class: DeflateClass,
    /// `None`: it does not become shorter.
    frame: Option<Bytes>,
}

impl PreparedMessage {
    /// Encodes a message. Cost: two allocations and one copy.
    pub fn new<'a>(message: impl Into<MessageRef<'a>>) -> Self {
        let message = message.into();
        let mut out = WriteBuffer::new();
        Encoder::new(Role::Server).message(message, &mut out);
        let frame = Bytes::from(out.into_vec());
        let payload_start = frame.len() - message.as_bytes().len();
        Self(Arc::new(Prepared {
            frame,
            payload_start,
            is_text: matches!(message, MessageRef::Text(_)),
            compress: Compress::Auto,
            variants: [const { OnceLock::new() }; CLASSES_MAX],
        }))
    }

    /// The same, compressed always or never instead of by its length. Without effect on peers that did
    /// not agree to compression.
    ///
    /// Cost: none before the first clone.
    #[must_use]
    pub fn compress(mut self, compress: Compress) -> Self {
        Arc::make_mut(&mut self.0).compress = compress;
        self
    }

    /// Whether it is compressed where the peer agreed to compression.
    #[must_use]
    pub fn compression(&self) -> Compress {
        self.0.compress
    }

    /// The frame as a server sends it to peers without compression.
    #[must_use]
    pub fn frame(&self) -> &Bytes {
        &self.0.frame
    }

    /// The payload inside the frame. No copy.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0.frame[self.0.payload_start..]
    }

    /// The same, counted.
    pub(crate) fn payload_bytes(&self) -> Bytes {
        self.0.frame.slice(self.0.payload_start..)
    }

    /// Whether it is text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.0.is_text
    }

    pub(crate) fn opcode(&self) -> Opcode {
        if self.0.is_text { Opcode::Text } else { Opcode::Binary }
    }

    /// Whether it is to be compressed for a connection with this threshold.
    pub(crate) fn is_compressed_from(&self, threshold_bytes: usize) -> bool {
        match self.0.compress {
            Compress::Auto => self.payload().len() >= threshold_bytes,
            Compress::Never => false,
            Compress::Always => true,
        }
    }

    /// The compressed frame for a class of peers; `None` where the plain one is shorter. Compressed on
    /// the first call.
    pub(crate) fn compressed_frame(&self, class: DeflateClass) -> Option<&Bytes> {
        let window_bits = class.window_bits.min(self.window_bits_needed());
        let shared = DeflateClass { window_bits, ..class };
        // Nothing refers farther back than the message is long, so the connections' own coder will do: it
        // is there already.
        let make = || Variant { class: shared, frame: self.deflate(class) };
        self.0
            .variants
            .iter()
            .find_map(|slot| {
                let variant = slot.get_or_init(make);
                (variant.class == shared).then_some(&variant.frame)
            })?
            .as_ref()
    }

    /// A window that the whole message fits, as far as there is one: all larger ones are one class.
    fn window_bits_needed(&self) -> u8 {
        let len = self.payload().len().clamp(1 << 9, 1 << 15);
        len.next_power_of_two().trailing_zeros() as u8
    }

    #[cold]
    fn deflate(&self, class: DeflateClass) -> Option<Bytes> {
        let payload = self.payload();
        let mut deflated = Vec::new();
        deflate_alone(class.level, class.window_bits, payload, &mut deflated);
        if deflated.len() >= payload.len() {
            return None;
        }
        let mut header = FrameHeader::new(self.opcode(), deflated.len() as u64);
        header.rsv1 = true;
        let mut bytes = [0; FrameHeader::BYTES_MAX];
        let header_len = header.encode(&mut bytes);
        let mut frame = Vec::with_capacity(header_len + deflated.len());
        frame.extend_from_slice(&bytes[..header_len]);
        frame.extend_from_slice(&deflated);
        Some(frame.into())
    }
}

impl PartialEq for PreparedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.0.frame == other.0.frame && self.0.compress == other.0.compress
    }
}

impl Eq for PreparedMessage {}
