//! The frame header: 2 to 14 bytes in front of each payload.

use super::{Opcode, Violation};

/// The header of a frame.
///
/// ```text
///  byte 0: FIN RSV1 RSV2 RSV3 opcode(4)     byte 1: MASK length(7)
///  then    0, 2 or 8 bytes of length        then    0 or 4 bytes of masking key
/// ```
///
/// Source: RFC 6455 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// RSV1: with permessage-deflate, this message is compressed (RFC 7692 6).
    pub rsv1: bool,
    /// RSV2: no meaning yet.
    pub rsv2: bool,
    /// RSV3: no meaning yet.
    pub rsv3: bool,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The masking key, when the payload is masked.
    pub mask_key: Option<[u8; 4]>,
    /// Payload length in bytes, at most 2^63 - 1.
    pub payload_len: u64,
}

impl FrameHeader {
    /// The longest header, in bytes.
    pub const BYTES_MAX: usize = 14;

    /// The header of a whole, unmasked message or control frame.
    #[must_use]
    pub const fn new(opcode: Opcode, payload_len: u64) -> Self {
        Self {
            fin: true,
            rsv1: false,
            rsv2: false,
            rsv3: false,
            opcode,
            mask_key: None,
            payload_len,
        }
    }

    /// How long a header is whose second byte is `byte`, in bytes.
    #[inline]
    #[must_use]
    pub const fn len_of(byte: u8) -> usize {
        let extended = match byte & 0x7f {
            127 => 8,
            126 => 2,
            _ => 0,
        };
        2 + extended + if byte & 0x80 != 0 { 4 } else { 0 }
    }

    /// Reads a header from the front of `bytes`, and how long it was. `None`: more is needed.
    ///
    /// Checks what a header alone can show: opcode, minimal length, control frames. Masks, reserved
    /// bits and the order of fragments depend on the endpoint and are its business.
    ///
    /// # Errors
    /// The [`Violation`] the header commits. It shows as soon as its byte is there.
    ///
    /// Source: RFC 6455 5.2 and 5.5.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let &[first, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let Some(opcode) = Opcode::from_nibble(first) else {
            return Err(Violation::ReservedOpcode(first & 0x0f));
        };
        let fin = first & 0x80 != 0;
        if opcode.is_control() && !fin {
            return Err(Violation::FragmentedControl);
        }
        let &[second, ..] = rest else { return Ok(None) };
        if opcode.is_control() && second & 0x7f > 125 {
            return Err(Violation::LongControl);
        }
        let header_len = Self::len_of(second);
        let (length, key) = match (second & 0x7f, bytes) {
            (127, &[_, _, a, b, c, d, e, f, g, h, ref key @ ..]) => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), key)
            }
            (126, &[_, _, a, b, ref key @ ..]) => (u64::from(u16::from_be_bytes([a, b])), key),
            (126 | 127, _) => return Ok(None),
            (length, &[_, _, ref key @ ..]) => (u64::from(length), key),
            _ => return Ok(None),
        };
        Self::check_length(second & 0x7f, length)?;
        let mask_key = match (second & 0x80 != 0, key) {
            (false, _) => None,
            (true, &[a, b, c, d, ..]) => Some([a, b, c, d]),
            (true, _) => return Ok(None),
        };
        let header = Self {
            fin,
            rsv1: first & 0x40 != 0,
            rsv2: first & 0x20 != 0,
            rsv3: first & 0x10 != 0,
            opcode,
            mask_key,
            payload_len: length,
        };
        Ok(Some((header, header_len)))
    }

    const fn check_length(marker: u8, length: u64) -> Result<(), Violation> {
        match (marker, length) {
            (126, 0..=125) | (127, 0..=0xffff) => Err(Violation::LengthNotMinimal),
            (127, length) if length >> 63 != 0 => Err(Violation::LengthOverflow),
            _ => Ok(()),
        }
    }

    /// Writes the header into `out` and tells how long it is. The length is minimal.
    #[inline]
    pub fn encode(&self, out: &mut [u8; Self::BYTES_MAX]) -> usize {
        out[0] = u8::from(self.fin) << 7
            | u8::from(self.rsv1) << 6
            | u8::from(self.rsv2) << 5
            | u8::from(self.rsv3) << 4
            | self.opcode as u8;
        let masked = u8::from(self.mask_key.is_some()) << 7;
        let mut len = match self.payload_len {
            short @ 0..=125 => {
                out[1] = masked | short as u8;
                2
            }
            middle @ 126..=0xffff => {
                out[1] = masked | 126;
                out[2..4].copy_from_slice(&(middle as u16).to_be_bytes());
                4
            }
            long => {
                out[1] = masked | 127;
                out[2..10].copy_from_slice(&long.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask_key {
            out[len..len + 4].copy_from_slice(&key);
            len += 4;
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers() -> impl Strategy<Value = FrameHeader> {
        let lengths = prop_oneof![0..130u64, 65_530..65_540u64, 0..=u64::MAX >> 1];
        let opcodes = prop::sample::select(vec![
            Opcode::Continuation,
            Opcode::Text,
            Opcode::Binary,
            Opcode::Close,
            Opcode::Ping,
            Opcode::Pong,
        ]);
        (any::<[bool; 4]>(), opcodes, any::<Option<[u8; 4]>>(), lengths).prop_map(
            |([fin, rsv1, rsv2, rsv3], opcode, mask_key, length)| FrameHeader {
                fin: fin || opcode.is_control(),
                rsv1,
                rsv2,
                rsv3,
                opcode,
                mask_key,
                payload_len: if opcode.is_control() { length % 126 } else { length },
            },
        )
    }

    proptest! {
        /// FR-01, FR-02: round trip; any cut asks for more; what follows is not touched.
        #[test]
        fn s5_2_round_trip_and_every_cut(header in headers()) {
            let mut bytes = [0xee; FrameHeader::BYTES_MAX];
            let len = header.encode(&mut bytes);
            prop_assert_eq!(len, FrameHeader::len_of(bytes[1]));
            prop_assert_eq!(FrameHeader::parse(&bytes), Ok(Some((header, len))));
            for cut in 0..len {
                prop_assert_eq!(FrameHeader::parse(&bytes[..cut]), Ok(None));
            }
        }

        /// Fuzz target 1 in small: arbitrary bytes never panic, and a verdict never changes when
        /// more bytes come.
        #[test]
        fn s5_2_arbitrary_bytes_have_one_verdict(bytes: [u8; 16]) {
            let verdict = FrameHeader::parse(&bytes);
            for cut in 0..bytes.len() {
                match FrameHeader::parse(&bytes[..cut]) {
                    Ok(None) => {}
                    early => prop_assert_eq!(early, verdict),
                }
            }
        }
    }

    /// Rows 17, 20, 23: what a header alone can show.
    #[test]
    fn s5_2_bad_headers_are_named() {
        let parse = |bytes: &[u8]| FrameHeader::parse(bytes).unwrap_err();
        assert_eq!(parse(&[0x83]), Violation::ReservedOpcode(3));
        assert_eq!(parse(&[0x09]), Violation::FragmentedControl);
        assert_eq!(parse(&[0x89, 126]), Violation::LongControl);
        assert_eq!(parse(&[0x82, 126, 0, 125]), Violation::LengthNotMinimal);
        assert_eq!(parse(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Violation::LengthNotMinimal);
        assert_eq!(parse(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Violation::LengthOverflow);
        let actix = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(parse(&actix), Violation::LengthOverflow);
    }
}
