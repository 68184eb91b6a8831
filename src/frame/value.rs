//! One whole frame as a value: for tools, tests and protocols of one's own.

use bytes::Bytes;

use super::{CloseFrame, CloseFrameError, FrameHeader, Opcode, Violation, apply_mask};

/// One frame with its payload, unmasked.
///
/// The way of a message through a connection does not use it (there, payloads are borrowed or
/// written straight behind their headers); it is for those who work on frames themselves.
///
/// ```
/// use sockeye::frame::Frame;
///
/// let frame = Frame::text("Hello");
/// assert_eq!(frame.encode(), b"\x81\x05Hello");
/// assert_eq!(Frame::decode(b"\x81\x05Hello")?, Some((frame, 7)));
/// # Ok::<(), sockeye::frame::Violation>(())
/// ```
///
/// Source: RFC 6455 5.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether this is the last fragment of its message (default true).
    pub fin: bool,
    /// RSV1: compressed (default false).
    pub rsv1: bool,
    /// RSV2 (default false).
    pub rsv2: bool,
    /// RSV3 (default false).
    pub rsv3: bool,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The key to mask with, or that it was masked with (default none).
    pub mask_key: Option<[u8; 4]>,
    /// The payload, unmasked.
    pub payload: Bytes,
}

impl Frame {
    /// A whole frame without a mask.
    #[must_use]
    pub fn new(opcode: Opcode, payload: impl Into<Bytes>) -> Self {
        let payload = payload.into();
        Self { fin: true, rsv1: false, rsv2: false, rsv3: false, opcode, mask_key: None, payload }
    }

    /// A text message.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::new(Opcode::Text, Bytes::copy_from_slice(text.as_bytes()))
    }

    /// A binary message.
    #[must_use]
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::new(Opcode::Binary, payload)
    }

    /// A ping. More than 125 bytes make a frame no peer takes.
    #[must_use]
    pub fn ping(payload: impl Into<Bytes>) -> Self {
        Self::new(Opcode::Ping, payload)
    }

    /// A pong. More than 125 bytes make a frame no peer takes.
    #[must_use]
    pub fn pong(payload: impl Into<Bytes>) -> Self {
        Self::new(Opcode::Pong, payload)
    }

    /// A close frame.
    ///
    /// # Errors
    /// As [`CloseFrame::new`].
    pub fn close(code: u16, reason: &str) -> Result<Self, CloseFrameError> {
        Ok(Self::new(Opcode::Close, CloseFrame::new(code, reason)?.encode()))
    }

    /// The same frame masked with `key`, as a client sends it.
    #[must_use]
    pub fn masked(mut self, key: [u8; 4]) -> Self {
        self.mask_key = Some(key);
        self
    }

    /// The header in front of the payload.
    #[must_use]
    pub fn header(&self) -> FrameHeader {
        FrameHeader {
            fin: self.fin,
            rsv1: self.rsv1,
            rsv2: self.rsv2,
            rsv3: self.rsv3,
            opcode: self.opcode,
            mask_key: self.mask_key,
            payload_len: self.payload.len() as u64,
        }
    }

    /// The bytes on the wire. Cost: one allocation and one copy.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut header = [0; FrameHeader::BYTES_MAX];
        let header_len = self.header().encode(&mut header);
        let mut bytes = Vec::with_capacity(header_len + self.payload.len());
        bytes.extend_from_slice(&header[..header_len]);
        bytes.extend_from_slice(&self.payload);
        if let Some(key) = self.mask_key {
            apply_mask(&mut bytes[header_len..], key);
        }
        bytes
    }

    /// Reads a frame from the front of `bytes`, and how long it was. `None`: it is not whole yet.
    ///
    /// Cost: one copy of the payload. It has no limit of its own: what is not there is not
    /// allocated.
    ///
    /// # Errors
    /// As [`FrameHeader::parse`].
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some((header, header_len)) = FrameHeader::parse(bytes)? else {
            return Ok(None);
        };
        let rest = &bytes[header_len..];
        if header.payload_len > rest.len() as u64 {
            return Ok(None);
        }
        let mut payload = rest[..header.payload_len as usize].to_vec();
        if let Some(key) = header.mask_key {
            apply_mask(&mut payload, key);
        }
        let len = header_len + payload.len();
        let frame = Self {
            fin: header.fin,
            rsv1: header.rsv1,
            rsv2: header.rsv2,
            rsv3: header.rsv3,
            opcode: header.opcode,
            mask_key: header.mask_key,
            payload: payload.into(),
        };
        Ok(Some((frame, len)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// FR-01, FR-04: defaults and constructors.
    #[test]
    fn s5_7_examples_of_the_rfc() {
        assert_eq!(Frame::text("Hello").encode(), b"\x81\x05Hello");
        let masked = Frame::text("Hello").masked([0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(masked.encode(), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(Frame::ping("Hello").encode(), b"\x89\x05Hello");
        assert_eq!(Frame::pong("").encode(), b"\x8a\x00");
        assert_eq!(&Frame::binary(vec![0; 256]).encode()[..4], b"\x82\x7e\x01\x00");
        assert_eq!(&Frame::binary(vec![0; 65_536]).encode()[..10], b"\x82\x7f\0\0\0\0\0\x01\0\0");
        assert_eq!(Frame::close(1000, "bye").unwrap().encode(), b"\x88\x05\x03\xe8bye");
        assert!(Frame::close(1005, "").is_err());
    }

    proptest! {
        /// Fuzz target 2 in small: what is written is read back, and no cut gives a frame.
        #[test]
        fn s5_2_frames_round_trip(payload: Vec<u8>, key: Option<[u8; 4]>, fin: bool, rsv1: bool) {
            let mut frame = Frame::binary(payload);
            (frame.mask_key, frame.fin, frame.rsv1) = (key, fin, rsv1);
            let bytes = frame.encode();
            for cut in 0..bytes.len() {
                prop_assert_eq!(Frame::decode(&bytes[..cut]), Ok(None));
            }
            let len = bytes.len();
            prop_assert_eq!(Frame::decode(&bytes), Ok(Some((frame, len))));
        }
    }
}
