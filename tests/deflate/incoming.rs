//! Compressed messages as other implementations write them (RFC 7692 7.2), through an endpoint without
//! I/O and with every cut.

use flate2::FlushCompress;
use sockeye::deflate::{Deflate, DeflateParams, Deflater, Inflater};
use sockeye::frame::{Frame, Opcode, Violation};
use sockeye::protocol::State;
use sockeye::{Config, Role};

use crate::support::deflate::{
    Deflating, Inflating, compressed, compressed_in, config, deflated, end_with, json, noise,
};
use crate::support::pair::{ROLES, Seen, fragment, last, text, to};

const AGREED: DeflateParams = DeflateParams {
    own_no_context: false,
    peer_no_context: false,
    own_window_bits: 15,
    peer_window_bits: 15,
};

const FORGETFUL: DeflateParams =
    DeflateParams { own_no_context: true, peer_no_context: true, ..AGREED };

fn takeover() -> Config {
    config(Deflate::context_takeover())
}

/// What an end makes of the frames: whole, cut once anywhere, and byte by byte.
fn sees(params: &DeflateParams, frames: &[Frame]) -> Result<Vec<Seen>, Violation> {
    let mut all: Option<Result<Vec<Seen>, Violation>> = None;
    for role in ROLES {
        let bytes = to(role, frames);
        let singles = (1..bytes.len()).map(|cut| vec![cut]);
        for cuts in singles.chain([vec![], (1..bytes.len()).collect()]) {
            let mut end = end_with(role, takeover(), params);
            let seen = end.receive_cut(&bytes, &cuts);
            let verdict = end.violation().map_or(Ok(seen), Err);
            assert_eq!(all.get_or_insert(verdict.clone()), &verdict, "{role:?}, cuts {cuts:?}");
        }
    }
    all.expect("a role")
}

/// Both with and without context.
fn both_see(frames: &[Frame], expected: &[Seen]) {
    for params in [AGREED, FORGETFUL] {
        assert_eq!(sees(&params, frames), Ok(expected.to_vec()));
    }
}

fn hello(payload: &[u8]) -> [Frame; 2] {
    // What follows shows that the inflater is well.
    [compressed(Opcode::Text, payload), compressed(Opcode::Text, deflated(b"and on"))]
}

/// CP-04, BY-01: the examples of RFC 7692 7.2.3.
#[test]
fn s7_2_3_examples() {
    let one = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let expected = [text("Hello"), text("and on")];
    both_see(&hello(&one), &expected);
    // 7.2.3.1: in two fragments.
    let [_, next] = hello(&one);
    let mut frames = compressed_in(Opcode::Text, &one, &[3]);
    frames.push(next);
    both_see(&frames, &expected);
    // 7.2.3.2: a window that is shared.
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let shared = [compressed(Opcode::Text, one), compressed(Opcode::Text, again)];
    assert_eq!(sees(&AGREED, &shared), Ok(vec![text("Hello"), text("Hello")]));
    // 7.2.3.3: a block without compression.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    both_see(&hello(&stored), &expected);
    // 7.2.3.4: a block that says it is the last.
    let bfinal = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    both_see(&hello(&bfinal), &expected);
    // 7.2.3.5: two blocks.
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    both_see(&hello(&two), &expected);
    // 7.2.3.6: nothing.
    both_see(&hello(&[0x00]), &[text(""), text("and on")]);
}

/// CP-04: the empty block at the end, whose tail was taken off, may say that it is the last (RFC 7692
/// 7.2.1: BFINAL of any block may be set).
#[test]
fn s7_2_1_last_block_of_a_message() {
    both_see(&hello(&[0x01]), &[text(""), text("and on")]);
    let mut payload = Deflating::new(6, 15).flushed(b"Hello", FlushCompress::Sync);
    payload.push(0x01);
    both_see(&hello(&payload), &[text("Hello"), text("and on")]);
}

/// Row 37: behind a block that says it is the last the window is empty: a reference to what was before it is damaged,
/// in the same message and in the next; what refers to nothing is read.
#[test]
fn nothing_reaches_behind_a_last_block() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let message = |blocks: &[&[u8]]| compressed(Opcode::Text, blocks.concat());
    for frames in
        [vec![message(&[&last, &[0]]), message(&[&again])], vec![message(&[&last, &again])]]
    {
        let mut end = end_with(Role::Server, takeover(), &AGREED);
        end.receive(&to(Role::Server, &frames));
        assert_eq!(end.violation(), Some(Violation::InvalidDeflate), "{frames:?}");
    }
    let one = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let frames = [message(&[&last, &[0]]), message(&[&one]), message(&[&again])];
    assert_eq!(sees(&AGREED, &frames), Ok(vec![text("Hello"), text("Hello"), text("Hello")]));
}

/// CP-04, E25: blocks of all kinds in one message, and messages behind one that ended its stream.
#[test]
fn blocks_of_all_kinds() {
    let words = json(300, 1);
    let mut many = Vec::new();
    for level in [0, 1, 6, 9] {
        // Another stream each, so each block says it is the last.
        many.extend(Deflating::new(level, 15).flushed(words.as_bytes(), FlushCompress::Finish));
        let mut open = Deflating::new(level, 15);
        many.extend(open.flushed(&words.as_bytes()[..150], FlushCompress::Full));
        many.extend(open.flushed(&words.as_bytes()[150..], FlushCompress::Full));
        many.extend([0, 0, 0, 0xff, 0xff].repeat(3));
    }
    many.push(0);
    let frames = [
        compressed(Opcode::Binary, many),
        Frame::text("plain"),
        compressed(Opcode::Text, deflated(b"and on")),
    ];
    let whole = Seen::Binary(words.repeat(8).into_bytes());
    for params in [AGREED, FORGETFUL] {
        let mut end = end_with(Role::Server, takeover(), &params);
        let seen = end.receive(&to(Role::Server, &frames));
        assert_eq!(seen, [whole.clone(), text("plain"), text("and on")]);
        let bytes = to(Role::Client, &frames);
        let mut end = end_with(Role::Client, takeover(), &params);
        let cuts: Vec<usize> = (1..bytes.len()).collect();
        assert_eq!(end.receive_cut(&bytes, &cuts), seen);
    }
}

/// CP-04, MS-06: a compressed message cut into fragments anywhere, with pings between them.
#[test]
fn fragments_anywhere() {
    let words = json(200, 3);
    let payload = deflated(words.as_bytes());
    for cut in 0..=payload.len() {
        for second in [cut, (cut + payload.len()) / 2, payload.len()] {
            let mut frames = compressed_in(Opcode::Text, &payload, &[cut, second]);
            frames.insert(2, Frame::pong("?"));
            frames.insert(1, Frame::pong("!"));
            frames.push(Frame::text("after"));
            let bytes = to(Role::Server, &frames);
            let mut end = end_with(Role::Server, takeover(), &AGREED);
            let seen = end.receive(&bytes);
            let pong = |byte: u8| Seen::Pong(vec![byte]);
            assert_eq!(seen, [pong(b'!'), pong(b'?'), text(&words), text("after")], "{cut}");
        }
    }
}

/// CP-02, E06: a peer's window lives on across messages, also across those that are not compressed.
#[test]
fn windows_of_the_peer() {
    for (bits, level) in [(9, 1), (9, 9), (12, 6), (15, 1), (15, 6)] {
        let mut deflating = Deflating::new(level, bits);
        let peer = DeflateParams { peer_window_bits: bits, ..AGREED };
        let mut end = end_with(Role::Server, takeover(), &peer);
        for number in 0..60 {
            let payload = match number % 4 {
                3 => noise(700, number as u64 % 8),
                _ => json(50 + 97 * (number % 9), number % 3).into_bytes(),
            };
            let frame = compressed(Opcode::Binary, deflating.message(&payload));
            let plain = Frame::binary(noise(300, 1));
            let seen = end.receive(&to(Role::Server, &[frame, plain]));
            assert_eq!(seen[0], Seen::Binary(payload), "{bits} bits, message {number}");
            assert_eq!(seen.len(), 2);
        }
    }
}

/// Row 37: a message that was cut anywhere but at its end is 1007.
#[test]
fn cut_messages_are_refused() {
    for (number, level) in [(1, 0), (2, 1), (3, 6), (4, 9), (5, 6)] {
        let words = json(2_000, number);
        let payload = Deflating::new(level, 15).message(words.as_bytes());
        let mut taken = Vec::new();
        // One byte of stored blocks is an empty message.
        for cut in (0..payload.len()).filter(|cut| payload[..*cut] != [0]) {
            for params in [FORGETFUL, AGREED] {
                let mut end = end_with(Role::Server, takeover(), &params);
                let bytes = to(Role::Server, &[compressed(Opcode::Binary, &payload[..cut])]);
                let seen = end.receive(&bytes);
                if end.violation() != Some(Violation::InvalidDeflate) {
                    taken.push((params.peer_no_context, cut, seen));
                }
            }
        }
        assert!(taken.is_empty(), "level {level}: {} of {}: {taken:?}", taken.len(), payload.len());
    }
}

/// Row 37: what stands behind the end of a message is part of it, and has to be DEFLATE.
#[test]
fn garbage_is_refused() {
    let good = deflated(b"Hello");
    let mut bad: Vec<Vec<u8>> = vec![vec![], vec![0x06], vec![0xff; 20], noise(100, 3)];
    bad.push([&good[..], &[0xff, 0xff]].concat());
    bad.push([&good[..], &[0x00, 0x00, 0xff, 0xff, 0x07]].concat());
    // A stored block whose lengths do not agree, and one that is longer than the message.
    bad.push(vec![0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]);
    bad.push(vec![0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65]);
    // Refers to what was before the first byte.
    bad.push(vec![0xf2, 0x00, 0x11, 0x00, 0x00]);
    for payload in bad {
        for params in [AGREED, FORGETFUL] {
            let verdict = sees(&params, &[compressed(Opcode::Binary, payload.clone())]);
            assert_eq!(verdict, Err(Violation::InvalidDeflate), "{payload:x?}");
        }
    }
}

/// Row 37, CP-02: the window of another message is not there where none is kept.
#[test]
fn windows_are_forgotten() {
    let again = [compressed(Opcode::Text, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00])];
    let shared = compressed(Opcode::Text, [0xf2, 0x00, 0x11, 0x00, 0x00]);
    let frames = [&again[..], &[shared]].concat();
    assert_eq!(sees(&FORGETFUL, &frames), Err(Violation::InvalidDeflate));
}

/// E07, row 36: RSV1 has its place, and the others have none.
#[test]
fn reserved_bits_have_their_place() {
    let payload = deflated(b"Hello");
    let with = |frame: Frame, bits: (bool, bool, bool)| {
        let mut frame = frame;
        (frame.rsv1, frame.rsv2, frame.rsv3) = bits;
        frame
    };
    let begun = fragment(Opcode::Text, b"a");
    let begun_deflated = with(fragment(Opcode::Text, &payload[..2]), (true, false, false));
    for frames in [
        vec![with(Frame::ping("x"), (true, false, false))],
        vec![with(Frame::pong("x"), (true, false, false))],
        vec![with(Frame::close(1000, "").unwrap(), (true, false, false))],
        vec![begun, with(last(b"b"), (true, false, false))],
        vec![begun_deflated, with(last(&payload[2..]), (true, false, false))],
        vec![with(Frame::text("x"), (false, true, false))],
        vec![with(Frame::text("x"), (false, false, true))],
        vec![with(compressed(Opcode::Text, &payload[..]), (true, true, false))],
        vec![with(compressed(Opcode::Text, &payload[..]), (true, false, true))],
    ] {
        for params in [AGREED, FORGETFUL] {
            assert_eq!(sees(&params, &frames), Err(Violation::ReservedBit), "{frames:?}");
        }
    }
}

/// Row 29, MS-08: text is checked after it was inflated, and fails at its first bad byte.
#[test]
fn text_is_checked() {
    for bad in [&b"ab\xff"[..], b"\xed\xa0\x80", b"\xe2\x82"] {
        let frames = [compressed(Opcode::Text, deflated(bad))];
        assert_eq!(sees(&AGREED, &frames), Err(Violation::InvalidUtf8), "{bad:x?}");
    }
    // The rest of the message never comes.
    let mut deflating = Deflating::new(6, 15);
    let begun = deflating.flushed(b"good \xff bad", FlushCompress::Sync);
    let mut frame = fragment(Opcode::Text, &begun);
    frame.rsv1 = true;
    assert_eq!(sees(&AGREED, &[frame]), Err(Violation::InvalidUtf8));
    // A character may be cut by blocks and fragments.
    let mut deflating = Deflating::new(6, 15);
    let mut payload = deflating.flushed(&"né".as_bytes()[..2], FlushCompress::Full);
    let cut = payload.len();
    payload.extend(deflating.message(&"né".as_bytes()[2..]));
    let frames = compressed_in(Opcode::Text, &payload, &[cut]);
    both_see(&frames, &[text("né")]);
}

/// Row 30: the limit holds for what comes out, to the byte.
#[test]
fn limit_is_exact() {
    for limit in [1_usize, 1_000, 70_000] {
        for (over, payload) in [(0, vec![b'x'; limit]), (1, vec![b'x'; limit + 1])] {
            let payload = deflated(&payload);
            let middle = payload.len() / 2;
            for frames in [
                vec![compressed(Opcode::Text, &payload[..])],
                compressed_in(Opcode::Text, &payload, &[1, middle]),
            ] {
                let mut config = takeover();
                config.message_bytes_max = limit;
                let mut end = end_with(Role::Server, config, &FORGETFUL);
                let seen = end.receive(&to(Role::Server, &frames));
                let expected = (over == 0).then(|| text(&"x".repeat(limit)));
                assert_eq!(seen.first(), expected.as_ref().or(Some(&Seen::Closed)), "{limit}");
                let is_refused = matches!(end.violation(), Some(Violation::MessageTooBig { .. }));
                assert_eq!(is_refused, over == 1, "{limit}: {:?}", end.violation());
            }
        }
    }
}

/// Row 30: what is over the limit although it deflates to more than it was is taken, too.
#[test]
fn noise_of_the_limit_is_taken() {
    let payload = noise(64 * 1024, 9);
    let mut config = takeover();
    config.message_bytes_max = payload.len();
    for level in [0, 1, 6] {
        let deflated = Deflating::new(level, 15).message(&payload);
        assert!(deflated.len() > payload.len());
        let mut end = end_with(Role::Server, config.clone(), &FORGETFUL);
        let bytes = to(Role::Server, &[compressed(Opcode::Binary, deflated)]);
        assert_eq!(end.receive(&bytes), [Seen::Binary(payload.clone())]);
        assert_eq!(end.state(), State::Open);
    }
}

/// CP-04, BY-01: whatever room there is, a message ends where it should.
#[test]
fn messages_end_where_they_should() {
    for level in [1, 5, 9] {
        for bits in [9, 15] {
            for room in 0..80 {
                let mut deflater = Deflater::new(level, bits);
                let mut inflating = Inflating::new(bits);
                let mut inflater = Inflater::new(bits);
                for number in 0..4 {
                    let payload = noise(room * 3 * number, room as u64);
                    let mut out = Vec::with_capacity(room);
                    deflater.push(&payload[..payload.len() / 2], &mut out);
                    if number == 2 {
                        deflater.flush(&mut out);
                    }
                    deflater.finish(&payload[payload.len() / 2..], &mut out);
                    assert_eq!(inflating.message(&out).as_ref(), Some(&payload));
                    let mut back = Vec::new();
                    assert_eq!(inflater.push(&out, &mut back, usize::MAX), Ok(out.len()));
                    assert_eq!((inflater.finish(), back), (Ok(()), payload));
                }
            }
        }
    }
}

/// CP-01: no bytes are no message, not even an empty one, whether somebody looked at them or not (RFC 7692 7.2.3.6).
#[test]
fn no_bytes_are_no_message() {
    let (mut inflater, mut out) = (Inflater::new(15), Vec::new());
    assert!(inflater.finish().is_err());
    assert_eq!(inflater.push(&[], &mut out, 100).unwrap(), 0);
    assert!(inflater.finish().is_err());
    assert_eq!(inflater.push(&[0], &mut out, 100).unwrap(), 1);
    inflater.finish().unwrap();
    assert!(out.is_empty());
}
