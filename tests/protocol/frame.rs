//! The wire as values: headers, frames, masks, utf-8 and close codes through their public names
//! (RFC 6455 5.2, 5.3, 7.4, 8.1).

use proptest::prelude::*;

use sockeye::frame::{
    CloseCode, CloseFrame, CloseFrameError, Frame, FrameHeader, InvalidUtf8, MaskingKeys, Opcode,
    Utf8Validator, Violation, apply_mask,
};

const OPCODES: [Opcode; 6] =
    [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];

/// FR-01: what stands in a frame that was not told otherwise.
#[test]
fn s5_2_fields_have_their_defaults() {
    let frame = Frame::new(Opcode::Binary, "x");
    assert!(frame.fin);
    assert!(!frame.rsv1 && !frame.rsv2 && !frame.rsv3);
    assert_eq!((frame.opcode, frame.mask_key), (Opcode::Binary, None));
    assert_eq!(frame.payload, "x");
    let header = FrameHeader::new(Opcode::Ping, 3);
    assert_eq!(header, Frame::ping("abc").header());
}

/// FR-04: the constructors, and what they refuse.
#[test]
fn s5_5_1_constructors() {
    assert_eq!(Frame::text("é").payload, "é");
    assert_eq!(Frame::binary(vec![1, 2]).opcode, Opcode::Binary);
    assert_eq!((Frame::ping("a").opcode, Frame::pong("a").opcode), (Opcode::Ping, Opcode::Pong));
    let close = Frame::close(1000, "bye").unwrap();
    assert_eq!((close.opcode, &close.payload[..]), (Opcode::Close, &b"\x03\xe8bye"[..]));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        assert_eq!(Frame::close(code, ""), Err(CloseFrameError::Code(code)));
    }
    assert_eq!(Frame::close(1000, &"é".repeat(62)), Err(CloseFrameError::Reason { bytes: 124 }));
}

/// FR-02, FR-07: every opcode, with every bit, round trips.
#[test]
fn s5_2_every_first_byte_round_trips() {
    for (opcode, bits) in OPCODES.iter().flat_map(|opcode| (0..16).map(move |bits| (*opcode, bits)))
    {
        let mut frame = Frame::new(opcode, "payload");
        (frame.fin, frame.rsv1) = (bits & 8 != 0 || opcode.is_control(), bits & 4 != 0);
        (frame.rsv2, frame.rsv3) = (bits & 2 != 0, bits & 1 != 0);
        for frame in [frame.clone(), frame.masked([1, 2, 3, 4])] {
            let bytes = frame.encode();
            assert_eq!(bytes[0] & 0x0f, opcode as u8);
            let len = bytes.len();
            assert_eq!(Frame::decode(&bytes), Ok(Some((frame, len))));
        }
    }
}

/// FR-01: the shortest form of the length, on both sides of each border.
#[test]
fn s5_2_lengths_are_written_in_the_fewest_bytes() {
    for (payload_len, expected) in
        [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (u64::MAX >> 1, 10)]
    {
        let mut header = FrameHeader::new(Opcode::Binary, payload_len);
        let mut bytes = [0; FrameHeader::BYTES_MAX];
        assert_eq!(header.encode(&mut bytes), expected);
        assert_eq!(FrameHeader::parse(&bytes), Ok(Some((header, expected))));
        header.mask_key = Some([0; 4]);
        assert_eq!(header.encode(&mut bytes), expected + 4);
        assert_eq!(FrameHeader::len_of(bytes[1]), expected + 4);
    }
}

/// Rows 17, 23: a verdict needs no more bytes than it takes.
#[test]
fn s5_2_bad_headers_show_at_their_byte() {
    for (bytes, violation) in [
        (&[0x83][..], Violation::ReservedOpcode(3)),
        (&[0xff], Violation::ReservedOpcode(15)),
        (&[0x08], Violation::FragmentedControl),
        (&[0x8a, 0xfe], Violation::LongControl),
        (&[0x82, 126, 0, 125], Violation::LengthNotMinimal),
        (&[0x82, 0xfe, 0, 125], Violation::LengthNotMinimal),
        (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::LengthNotMinimal),
        (&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0], Violation::LengthOverflow),
    ] {
        assert_eq!(FrameHeader::parse(bytes), Err(violation));
        assert_eq!(Frame::decode(bytes), Err(violation));
        assert_eq!(FrameHeader::parse(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:x?}");
    }
}

/// Row 18: what is announced and not there is neither allocated nor an error.
#[test]
fn s5_2_decode_waits_for_the_payload() {
    let bytes = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];
    assert_eq!(Frame::decode(&bytes), Ok(None));
}

/// FR-03: the example of RFC 6455 5.7, and a key of zeros.
#[test]
fn s5_3_masking_is_an_involution() {
    let mut payload = *b"Hello";
    apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
    assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
    apply_mask(&mut payload, [0; 4]);
    assert_eq!(&payload, b"Hello");
    apply_mask(&mut [], [1; 4]);
}

/// Row 22: a source with a seed repeats itself, one of the operating system does not; neither shows
/// its state.
#[test]
fn s10_3_sources_of_masks() {
    let keys = |mut source: MaskingKeys| [(); 8].map(|()| source.next_key());
    assert_eq!(keys(MaskingKeys::from_seed([1; 32])), keys(MaskingKeys::from_seed([1; 32])));
    assert_ne!(keys(MaskingKeys::from_seed([1; 32])), keys(MaskingKeys::from_seed([2; 32])));
    assert_ne!(keys(MaskingKeys::from_os().unwrap()), keys(MaskingKeys::from_os().unwrap()));
    assert_eq!(format!("{:?}", MaskingKeys::from_seed([1; 32])), "MaskingKeys(..)");
}

/// BY-25, CC-01..CC-14: the names have the numbers of the registry, and only some of them may be sent or
/// tried again.
#[test]
fn s7_4_1_names_and_numbers() {
    for (code, number, sendable, retryable) in [
        (CloseCode::Normal, 1000, true, false),
        (CloseCode::GoingAway, 1001, true, true),
        (CloseCode::ProtocolError, 1002, true, false),
        (CloseCode::UnsupportedData, 1003, true, false),
        (CloseCode::NoStatus, 1005, false, false),
        (CloseCode::Abnormal, 1006, false, true),
        (CloseCode::InvalidPayload, 1007, true, false),
        (CloseCode::PolicyViolation, 1008, true, false),
        (CloseCode::MessageTooBig, 1009, true, false),
        (CloseCode::ExtensionRequired, 1010, true, false),
        (CloseCode::InternalError, 1011, true, true),
        (CloseCode::ServiceRestart, 1012, true, true),
        (CloseCode::TryAgainLater, 1013, true, true),
        (CloseCode::BadGateway, 1014, true, true),
        (CloseCode::TlsHandshake, 1015, false, false),
        (CloseCode::Other(4321), 4321, true, false),
    ] {
        assert_eq!((u16::from(code), CloseCode::from(number)), (number, code));
        assert_eq!((code.is_sendable(), code.is_retryable()), (sendable, retryable), "{code}");
        assert_eq!(code.to_string(), number.to_string());
    }
}

/// CC-15: code and reason come back as they went.
#[test]
fn s5_5_1_close_body_is_code_and_reason() {
    let frame = CloseFrame::new(CloseCode::ServiceRestart, "à bientôt").unwrap();
    let read = CloseFrame::parse(&frame.encode()).unwrap().expect("a body");
    assert_eq!((read.code(), read.reason()), (CloseCode::ServiceRestart, "à bientôt"));
    assert_eq!(CloseFrame::parse(b""), Ok(None));
    assert_eq!(CloseFrame::parse(b"\x03"), Err(Violation::CloseTooShort));
    assert_eq!(CloseFrame::parse(b"\x03\xed"), Err(Violation::CloseCode(1005)));
    assert_eq!(CloseFrame::parse(b"\x03\xe8\xff"), Err(Violation::CloseReason));
}

/// Row 29: the first byte that no text has there is the one that fails, alone or among others.
#[test]
fn s8_1_validator_fails_at_the_first_bad_byte() {
    let mut validator = Utf8Validator::new();
    assert!(validator.is_complete());
    for byte in [0xf4, 0x8f, 0xbf] {
        assert_eq!(validator.push(&[byte]), Ok(()));
        assert!(!validator.is_complete());
    }
    assert_eq!(validator.push(b""), Ok(()));
    assert_eq!(validator.push(&[0xbf, b'x', 0xf4]), Ok(()));
    assert!(!validator.is_complete());
    assert_eq!(validator.push(&[0x90]), Err(InvalidUtf8), "above U+10FFFF");
}

/// Row 29: every character there is, and each of its cuts.
#[test]
fn s8_1_every_character_is_taken_in_any_cut() {
    let mut bytes = [0; 4];
    for character in '\0'..=char::MAX {
        let encoded = character.encode_utf8(&mut bytes).as_bytes();
        for cut in 0..encoded.len() {
            let mut validator = Utf8Validator::new();
            assert_eq!(validator.push(&encoded[..cut]), Ok(()));
            assert_eq!(validator.is_complete(), cut == 0);
            assert_eq!(validator.push(&encoded[cut..]), Ok(()));
            assert!(validator.is_complete());
        }
    }
}

proptest! {
    /// Fuzz target 2 in small: a stream of frames is read back as it was written.
    #[test]
    fn s5_2_streams_of_frames_round_trip(
        parts in prop::collection::vec(
            (0..6_usize, any::<Option<[u8; 4]>>(), prop::collection::vec(any::<u8>(), 0..200)),
            0..8,
        ),
    ) {
        let frames: Vec<Frame> = parts
            .into_iter()
            .map(|(opcode, mask_key, mut payload)| {
                payload.truncate(125);
                Frame { mask_key, ..Frame::new(OPCODES[opcode], payload) }
            })
            .collect();
        let stream: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        let (mut rest, mut read) = (&stream[..], Vec::new());
        while let Some((frame, len)) = Frame::decode(rest).unwrap() {
            read.push(frame);
            rest = &rest[len..];
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read, frames);
    }

    /// Arbitrary bytes never panic, and what is read is written back as it was.
    #[test]
    fn s5_2_what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Some((frame, len))) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), &bytes[..len]);
        }
        if let Ok(Some(frame)) = CloseFrame::parse(&bytes) {
            prop_assert_eq!(frame.encode(), bytes);
        }
    }
}
