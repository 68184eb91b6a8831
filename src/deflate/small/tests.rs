//! The coder against two readers that know nothing of it, and against a coder for streams.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::{TINFLStatus, core};
use proptest::prelude::*;

use super::SmallDeflater;

#[path = "../../../benches/support/json.rs"]
mod json;

const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Reads with a window of so many bits, little by little: so it needs the window.
fn by_flate2(payload: &[u8], window_bits: u8) -> Option<Vec<u8>> {
    let payload = [payload, &TAIL].concat();
    let mut reader = Decompress::new_with_window_bits(false, window_bits);
    let (mut found, mut piece) = (Vec::new(), [0; 61]);
    loop {
        let (read, written) = (reader.total_in(), reader.total_out());
        let rest = &payload[read as usize..];
        let status = reader.decompress(rest, &mut piece, FlushDecompress::Sync).ok()?;
        let new = (reader.total_out() - written) as usize;
        found.extend_from_slice(&piece[..new]);
        if status == Status::StreamEnd {
            return None;
        }
        if new < piece.len() && reader.total_in() as usize == payload.len() {
            return Some(found);
        }
    }
}

/// Reads into a ring as large as the window: it knows nothing of what was before.
fn by_miniz(payload: &[u8], window: usize) -> Option<Vec<u8>> {
    let payload = [payload, &TAIL].concat();
    let (mut reader, mut ring) = (core::DecompressorOxide::new(), vec![0; window]);
    let (mut found, mut rest, mut at) = (Vec::new(), &payload[..], 0);
    loop {
        let (status, read, written) =
            core::decompress(&mut reader, rest, &mut ring, at, TINFL_FLAG_HAS_MORE_INPUT);
        found.extend_from_slice(&ring[at..at + written]);
        rest = &rest[read..];
        at = (at + written) % window;
        match status {
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput if rest.is_empty() => return Some(found),
            _ => return None,
        }
    }
}

/// Compresses, reads by both readers, and looks at the bound.
fn check(deflater: &mut SmallDeflater, input: &[u8], window_bits: u8) -> Vec<u8> {
    let mut out = b"before".to_vec();
    deflater.deflate(input, 1 << window_bits, &mut out);
    assert_eq!(out[..6], *b"before");
    let payload = out.split_off(6);
    assert_eq!(by_flate2(&payload, window_bits).as_deref(), Some(input), "{input:?}");
    assert_eq!(by_miniz(&payload, 1 << window_bits).as_deref(), Some(input), "{input:?}");
    assert!(payload.len() <= input.len() + 6, "{} of {}", payload.len(), input.len());
    payload
}

fn random(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(byte).collect()
}

fn text(len: usize) -> Vec<u8> {
    let words =
        "It was the best of times, it was the worst of times, it was the age of wisdom. Çà et là. ";
    words.bytes().cycle().take(len).collect()
}

fn kinds(len: usize) -> [Vec<u8>; 6] {
    [
        vec![0; len],
        random(len as u32, len),
        random(len as u32, len).iter().map(|byte| byte % 5).collect(),
        json::message(len as u64, len),
        text(len),
        [0x55, 0xaa].into_iter().cycle().take(len).collect(),
    ]
}

/// RFC 7692 7.2.3.6: an empty message is one byte.
#[test]
fn s7_2_3_6_nothing_is_one_byte() {
    assert_eq!(check(&mut SmallDeflater::new(), b"", 15), [0]);
}

/// RFC 7692 7.2.3.1.
#[test]
fn s7_2_3_1_the_example() {
    let payload = check(&mut SmallDeflater::new(), b"Hello", 15);
    assert_eq!(payload, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
}

#[test]
fn every_byte_alone() {
    let mut deflater = SmallDeflater::new();
    for byte in 0..=255 {
        check(&mut deflater, &[byte], 9);
    }
}

#[test]
fn all_lengths_of_several_kinds() {
    let mut deflater = SmallDeflater::new();
    for len in 0..=600 {
        for input in kinds(len) {
            check(&mut deflater, &input, 15);
        }
    }
}

#[test]
fn all_windows_and_the_longest_messages() {
    let mut deflater = SmallDeflater::new();
    for window_bits in 9..=15 {
        for len in [511, 512, 513, 1024, 2049, 4095, SmallDeflater::INPUT_BYTES_MAX] {
            for input in kinds(len) {
                check(&mut deflater, &input, window_bits);
            }
        }
    }
}

/// A hundred bytes that come again at this distance, and nothing else does.
fn again_at(distance: usize) -> Vec<u8> {
    let noise: Vec<u8> = random(7, distance).iter().map(|byte| byte & 0x7f).collect();
    [&noise[..], &noise[..100]].concat()
}

/// A match at exactly the window's length is found, one byte further none is.
#[test]
fn s3_2_5_distances_end_with_the_window() {
    let mut deflater = SmallDeflater::new();
    let mut bytes =
        |distance, window_bits| check(&mut deflater, &again_at(distance), window_bits).len();
    for (distance, window_bits) in [(512, 9), (1024, 10), (2048, 11)] {
        assert!(bytes(distance, window_bits) + 70 < bytes(distance + 1, window_bits));
        assert!(bytes(distance + 1, window_bits + 1) + 70 < bytes(distance + 1, window_bits));
    }
}

/// The second reader does see what is too far. The first has a window of 32 KiB whatever it is told.
#[test]
fn a_match_that_reaches_too_far_would_be_seen() {
    let input = again_at(513);
    let mut payload = Vec::new();
    SmallDeflater::new().deflate(&input, 1024, &mut payload);
    assert!(by_flate2(&payload, 10).as_ref() == Some(&input));
    assert!(by_miniz(&payload, 1024).as_ref() == Some(&input));
    assert_eq!(by_miniz(&payload, 512), None);
}

/// What was compressed before leaves no trace, not even where the numbers of places begin again.
#[test]
fn the_outcome_depends_on_the_message_alone() {
    let mut used = SmallDeflater::new();
    for seed in 0..400 {
        let input = json::message(seed, 1 + seed as usize * 977 % 4096);
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        used.deflate(&input, 4096, &mut found);
        SmallDeflater::new().deflate(&input, 4096, &mut expected);
        assert!(found == expected, "message {seed}");
    }
}

/// Each kind of block is chosen where it is the smallest. RFC 1951 3.2.3: the kind is in bits 1 and 2.
#[test]
fn s3_2_3_each_kind_of_block_is_taken() {
    let mut deflater = SmallDeflater::new();
    for (input, kind) in [
        (random(3, 500), 0),
        (b"{\"type\":\"ping\"}".to_vec(), 1),
        (json::message(1, 1000), 2),
        (random(4, 300).iter().map(|byte| byte % 7).collect(), 2),
    ] {
        let payload = check(&mut deflater, &input, 15);
        assert_eq!(payload[0] & 7, kind << 1, "{input:?}");
    }
    let noise = check(&mut deflater, &random(3, 500), 15);
    assert_eq!(noise.len(), 506);
}

/// Literals only, in a dynamic block: the code of distances has a symbol all the same.
#[test]
fn s3_2_7_a_block_without_matches() {
    let mut deflater = SmallDeflater::new();
    // Sixteen symbols at random: nothing of four bytes comes again.
    let input: Vec<u8> = random(11, 200).iter().map(|byte| byte % 16).collect();
    assert_eq!(check(&mut deflater, &input, 15)[0] & 7, 4);
}

#[test]
fn longer_messages_go_in_pieces() {
    let mut deflater = SmallDeflater::new();
    for len in [4097, 8192, 8193, 70_001] {
        for input in [text(len), random(5, len), json::message(2, len)] {
            let mut payload = Vec::new();
            deflater.deflate(&input, 512, &mut payload);
            assert_eq!(by_flate2(&payload, 9).as_ref(), Some(&input));
            assert_eq!(by_miniz(&payload, 512).as_ref(), Some(&input));
            assert!(payload.len() <= len + 10 * len.div_ceil(4096));
        }
    }
}

/// On average no larger than the middle level of a coder for streams, at every size.
#[test]
fn as_small_as_a_coder_for_streams() {
    let mut deflater = SmallDeflater::new();
    let mut stream = Compress::new(Compression::new(5), false);
    for bytes in [128, 256, 512, 1024, 2048, 4096] {
        let (mut small, mut middle) = (0, 0);
        for seed in 0..300 {
            let message = json::message(seed, bytes);
            let mut out = Vec::with_capacity(2 * bytes);
            deflater.deflate(&message, 32_768, &mut out);
            small += out.len();
            out.clear();
            stream.reset();
            stream.compress_vec(&message, &mut out, FlushCompress::Sync).unwrap();
            middle += out.len() - TAIL.len();
        }
        assert!(small <= middle, "{bytes} bytes: {small} beside {middle}");
    }
}

/// Pieces that come again, whole or in part, near and far.
fn repeats() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40).prop_map(Piece::New),
        (1_usize..4000, 1_usize..400).prop_map(|(back, len)| Piece::Again(back, len)),
        (any::<u8>(), 1_usize..300).prop_map(|(byte, len)| Piece::Run(byte, len)),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| {
        let mut bytes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::New(new) => bytes.extend(new),
                Piece::Run(byte, len) => bytes.extend(std::iter::repeat_n(byte, len)),
                Piece::Again(back, len) => {
                    let start = bytes.len().saturating_sub(back);
                    for at in start..start + len {
                        bytes.push(bytes.get(at).copied().unwrap_or(b'x'));
                    }
                }
            }
        }
        bytes.truncate(SmallDeflater::INPUT_BYTES_MAX);
        bytes
    })
}

#[derive(Clone, Debug)]
enum Piece {
    New(Vec<u8>),
    Again(usize, usize),
    Run(u8, usize),
}

proptest! {
    #[test]
    fn arbitrary_bytes_come_back(
        input in prop::collection::vec(any::<u8>(), 0..=4096), window_bits in 9_u8..=15,
    ) {
        check(&mut SmallDeflater::new(), &input, window_bits);
    }

    #[test]
    fn arbitrary_repeats_come_back(
        inputs in prop::collection::vec(repeats(), 1..4), window_bits in 9_u8..=15,
    ) {
        let mut deflater = SmallDeflater::new();
        for input in inputs {
            check(&mut deflater, &input, window_bits);
        }
    }

    /// Few symbols of very different frequencies make deep trees.
    #[test]
    fn skewed_bytes_come_back(counts in prop::collection::vec(0_u32..12, 1..60), seed: u32) {
        let mut input = Vec::new();
        for (symbol, count) in counts.iter().enumerate() {
            input.extend(std::iter::repeat_n(symbol as u8, 1 << count));
        }
        let places = random(seed, 2 * input.len());
        for at in (1..input.len()).rev() {
            let place = usize::from(u16::from_le_bytes([places[2 * at], places[2 * at + 1]]));
            input.swap(at, place % (at + 1));
        }
        input.truncate(SmallDeflater::INPUT_BYTES_MAX);
        check(&mut SmallDeflater::new(), &input, 15);
    }
}
