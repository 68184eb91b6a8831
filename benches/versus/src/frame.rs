//! Frames. Source: RFC 6455 5.2.

use std::ops::Range;

/// The largest message a server here takes: 16 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// FIN and the reserved bits as they must be in the first byte of a whole message.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;

/// RSV1: compressed. Source: RFC 7692 6.
pub const COMPRESSED: u8 = 0x40;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

const MASKED: u8 = 0x80;
const RESERVED: u8 = 0x70;
const CONTROL: u8 = 0x08;

/// The header of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub key: [u8; 4],
    pub len: usize,
    pub payload_len: usize,
}

impl Header {
    pub fn is_control(&self) -> bool {
        self.first & CONTROL != 0
    }

    pub fn frame_len(&self) -> usize {
        self.len + self.payload_len
    }

    /// The length of the same frame's header without a masking key.
    pub fn reply_len(&self) -> usize {
        self.len - 4
    }
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    Incomplete,
    Invalid,
    Header(Header),
}

/// Reads the header of a client's frame from the start of `bytes`.
#[inline]
pub fn parse(bytes: &[u8]) -> Parsed {
    let &[first, second, ..] = bytes else {
        return Parsed::Incomplete;
    };
    if first & RESERVED != 0 || second & MASKED == 0 {
        return Parsed::Invalid;
    }
    let (extended_len, payload_len) = match second & !MASKED {
        126 => (2, bytes.get(2..4).map(big_endian)),
        127 => (8, bytes.get(2..10).map(big_endian)),
        short => (0, Some(u64::from(short))),
    };
    let len = 2 + extended_len + 4;
    let (Some(payload_len), Some(key)) = (payload_len, bytes.get(len - 4..len)) else {
        return Parsed::Incomplete;
    };
    let is_control = first & CONTROL != 0;
    if payload_len > PAYLOAD_BYTES_MAX as u64 || (is_control && extended_len > 0) {
        return Parsed::Invalid;
    }
    Parsed::Header(Header {
        first,
        key: [key[0], key[1], key[2], key[3]],
        len,
        payload_len: payload_len as usize,
    })
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// Writes the header of a frame without a masking key to the start of `bytes`; returns its length.
#[inline]
pub fn write_header(bytes: &mut [u8], first: u8, payload_len: usize) -> usize {
    bytes[0] = first;
    match payload_len {
        0..=125 => {
            bytes[1] = payload_len as u8;
            2
        }
        126..=0xffff => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        }
    }
}

/// The first byte of a server's frame that stands whole at the start of `bytes`, and where its payload is.
///
/// # Errors
/// It is masked, or longer than anything here.
pub fn whole(bytes: &[u8]) -> Result<Option<(u8, Range<usize>)>, &'static str> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    let (len, payload_len) = match second {
        126 => (4, bytes.get(2..4).map(big_endian)),
        127 => (10, bytes.get(2..10).map(big_endian)),
        MASKED.. => return Err("a masked frame of a server"),
        short => (2, Some(u64::from(short))),
    };
    match payload_len {
        Some(payload_len) if payload_len > PAYLOAD_BYTES_MAX as u64 => Err("a frame too long"),
        Some(payload_len) if bytes.len() - len >= payload_len as usize => {
            Ok(Some((first, len..len + payload_len as usize)))
        }
        _ => Ok(None),
    }
}

/// A whole frame as a server sends it.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 10];
    let len = write_header(&mut header, first, payload.len());
    [&header[..len], payload].concat()
}

/// A whole frame as a client sends it.
pub fn client_frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut frame = server_frame(first, payload);
    frame[1] |= MASKED;
    let header_len = frame.len() - payload.len();
    unmask(&mut frame[header_len..], key, 0);
    frame.splice(header_len..header_len, key);
    frame
}

/// Masks or unmasks `bytes`, the first of which is the payload's byte number `offset`.
pub fn unmask(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let key: [u8; 64] = std::array::from_fn(|index| key[(index + offset) % 4]);
    let mut chunks = bytes.chunks_exact_mut(64);
    for chunk in &mut chunks {
        for (byte, key) in chunk.iter_mut().zip(&key) {
            *byte ^= key;
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(&key) {
        *byte ^= key;
    }
}

/// Unmasks the `len` bytes at `from` and moves them down to `to`, in one pass.
///
/// `to <= from`, so that no chunk is written over before it is read.
#[inline]
pub fn unmask_down(bytes: &mut [u8], from: usize, to: usize, len: usize, key: [u8; 4]) {
    debug_assert!(to <= from);
    let mut at = 0;
    if len >= 64 {
        let wide: [u8; 64] = std::array::from_fn(|index| key[index % 4]);
        while at + 64 <= len {
            move_chunk(bytes, from + at, to + at, &wide);
            at += 64;
        }
    }
    let narrow: [u8; 16] = std::array::from_fn(|index| key[index % 4]);
    while at + 16 <= len {
        move_chunk(bytes, from + at, to + at, &narrow);
        at += 16;
    }
    while at + 4 <= len {
        move_chunk(bytes, from + at, to + at, &key);
        at += 4;
    }
    for index in at..len {
        bytes[to + index] = bytes[from + index] ^ key[index % 4];
    }
}

#[inline(always)]
fn move_chunk<const N: usize>(bytes: &mut [u8], from: usize, to: usize, key: &[u8; N]) {
    let mut chunk = [0; N];
    chunk.copy_from_slice(&bytes[from..from + N]);
    for (byte, key) in chunk.iter_mut().zip(key) {
        *byte ^= key;
    }
    bytes[to..to + N].copy_from_slice(&chunk);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x11, 0x92, 0x73, 0xd4];
    const LENGTHS: [usize; 9] = [0, 1, 16, 125, 126, 1000, 65535, 65536, 70003];

    #[test]
    fn a_header_survives_the_round_trip_and_every_cut_is_incomplete() {
        for payload_len in LENGTHS {
            let frame = client_frame(BINARY, &vec![7; payload_len], KEY);
            let Parsed::Header(header) = parse(&frame) else {
                panic!("{payload_len} does not parse");
            };
            assert_eq!(header.payload_len, payload_len);
            assert_eq!((header.first, header.key), (BINARY, KEY));
            assert_eq!(header.frame_len(), frame.len());
            for cut in 0..header.len {
                assert_eq!(parse(&frame[..cut]), Parsed::Incomplete);
            }
        }
    }

    #[test]
    fn unmasking_in_pieces_or_while_moving_down_is_unmasking() {
        for payload_len in LENGTHS {
            let payload: Vec<u8> = (0..payload_len).map(|index| index as u8).collect();
            let frame = client_frame(BINARY, &payload, KEY);
            let header_len = frame.len() - payload_len;

            let mut moved = frame.clone();
            unmask_down(&mut moved, header_len, header_len - 4, payload_len, KEY);
            assert_eq!(moved[header_len - 4..frame.len() - 4], payload);

            let mut pieces = frame[header_len..].to_vec();
            let cut = payload_len / 3;
            unmask(&mut pieces[..cut], KEY, 0);
            unmask(&mut pieces[cut..], KEY, cut);
            assert_eq!(pieces, payload);
        }
    }

    #[test]
    fn s5_1_an_unmasked_frame_is_invalid() {
        assert_eq!(parse(&server_frame(TEXT, b"a")), Parsed::Invalid);
    }
}
