//! Frame headers: one verdict whatever the cut, the same as a reference's, and what is read is
//! written back.

use sockeye::frame::{Frame, FrameHeader};

/// The bytes are the front of a stream of frames.
pub fn run(data: &[u8]) {
    let verdict = FrameHeader::parse(data);
    for cut in 0..data.len().min(FrameHeader::BYTES_MAX + 2) {
        match FrameHeader::parse(&data[..cut]) {
            Ok(None) => {}
            early => assert_eq!(early, verdict, "more bytes changed the verdict at {cut}"),
        }
    }
    match (&verdict, reference(data)) {
        (Ok(Some((header, len))), Reference::Header { len: expected, payload_len }) => {
            assert_eq!((*len, u128::from(header.payload_len)), (expected, payload_len));
            assert_eq!(FrameHeader::len_of(data[1]), *len);
            let mut encoded = [0; FrameHeader::BYTES_MAX];
            assert_eq!(header.encode(&mut encoded), *len);
            assert_eq!(encoded[..*len], data[..*len]);
        }
        (Ok(None), Reference::Short) | (Err(_), Reference::Bad) => {}
        (verdict, reference) => panic!("{verdict:?}, but {reference:?} by the book"),
    }
    match Frame::decode(data) {
        Ok(Some((frame, len))) => assert_eq!(frame.encode(), data[..len]),
        Ok(None) => assert!(verdict.is_ok()),
        Err(violation) => assert_eq!(verdict, Err(violation)),
    }
}

#[derive(Debug)]
enum Reference {
    Short,
    Bad,
    Header { len: usize, payload_len: u128 },
}

/// RFC 6455 5.2 as slowly as it can be written.
fn reference(data: &[u8]) -> Reference {
    let Some(first) = data.first() else {
        return Reference::Short;
    };
    let (fin, opcode) = (first >> 7, first & 0x0f);
    let is_control = opcode >= 8;
    if !matches!(opcode, 0..=2 | 8..=10) || (is_control && fin == 0) {
        return Reference::Bad;
    }
    let Some(second) = data.get(1) else {
        return Reference::Short;
    };
    let (marker, width) = match second & 0x7f {
        126 => (126, 2),
        127 => (127, 8),
        short => (short, 0),
    };
    if is_control && marker > 125 {
        return Reference::Bad;
    }
    let Some(extended) = data.get(2..2 + width) else {
        return Reference::Short;
    };
    let written = extended.iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    let payload_len = if width == 0 { u128::from(marker) } else { written };
    let fewest = if payload_len <= 125 {
        0
    } else if payload_len <= 65_535 {
        2
    } else {
        8
    };
    if width != fewest || payload_len >= 1 << 63 {
        return Reference::Bad;
    }
    let len = 2 + width + if second >> 7 == 1 { 4 } else { 0 };
    if data.len() < len { Reference::Short } else { Reference::Header { len, payload_len } }
}
