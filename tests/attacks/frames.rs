//! Attacks with frames and messages, over raw sockets and on each face of a server: the close code,
//! the end of the connection, and a healthy client that notices nothing.

use std::time::Duration;

use sockeye::Acceptor;
use sockeye::frame::{Frame, FrameHeader, Opcode};
use tokio::io::AsyncWriteExt;

use crate::support::pair::{fragment, last, to};
use crate::support::server::{FACES, Site, refused, served, small, within};

/// The limit of `small`.
const LIMIT: u64 = 64 * 1024;

/// The frames of a client.
fn from_client(frames: &[Frame]) -> Vec<u8> {
    to(sockeye::Role::Server, frames)
}

/// A masked header that announces so much, and nothing behind it.
fn announce(opcode: Opcode, fin: bool, payload_len: u64) -> Vec<u8> {
    let mut header = FrameHeader::new(opcode, payload_len);
    header.fin = fin;
    header.mask_key = Some([0; 4]);
    let mut bytes = [0; FrameHeader::BYTES_MAX];
    let len = header.encode(&mut bytes);
    bytes[..len].to_vec()
}

/// A binary frame with a 64-bit length.
fn with_length(length: u64) -> Vec<u8> {
    [&[0x82, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat()
}

/// 2b 17, FR-05: lengths that overflow. The fourteen bytes with all bits set ended whole processes.
#[tokio::test]
async fn row_17_lengths_that_overflow() {
    let attacks = [
        ("all bits", with_length(u64::MAX)),
        ("highest bit", with_length(1 << 63)),
        ("highest bit and a lawful rest", with_length((1 << 63) | 5)),
        ("in a text frame", [&[0x81][..], &with_length(u64::MAX - 13)[1..]].concat()),
        ("behind a fragment", {
            let mut bytes = from_client(&[fragment(Opcode::Binary, b"x")]);
            bytes.extend([&[0x80][..], &with_length(u64::MAX)[1..]].concat());
            bytes
        }),
    ];
    refused(&small(), 1002, &attacks).await;
}

/// 2b 17, FR-06: lawful lengths so long that adding to them overflows.
#[tokio::test]
async fn row_17_sums_that_overflow() {
    let begun = from_client(&[fragment(Opcode::Binary, &[0; 100])]);
    let attacks = [
        ("longest", with_length(i64::MAX as u64)),
        ("wraps with its header", with_length(i64::MAX as u64 - 13)),
        ("32 bits", with_length(u64::from(u32::MAX) + 1)),
        ("in a sum", {
            let next = announce(Opcode::Continuation, true, i64::MAX as u64);
            [&begun[..], &next[..]].concat()
        }),
    ];
    refused(&small(), 1009, &attacks).await;
}

/// 2b 19, FR-06, ER-04: too long is found on the header, before any payload.
#[tokio::test]
async fn row_19_oversize_on_the_header() {
    let half = from_client(&[fragment(Opcode::Text, &[b'a'; 32 * 1024])]);
    let attacks = [
        ("binary", announce(Opcode::Binary, true, LIMIT + 1)),
        ("text", announce(Opcode::Text, true, LIMIT + 1)),
        ("first fragment", announce(Opcode::Text, false, LIMIT + 1)),
        ("sum", [&half[..], &announce(Opcode::Continuation, true, LIMIT / 2 + 1)[..]].concat()),
    ];
    refused(&small(), 1009, &attacks).await;
}

/// 2b 19, MS-04: the limit itself is taken, in one frame and in fragments.
#[tokio::test]
async fn row_19_limit_is_taken() {
    let whole = vec![b'a'; LIMIT as usize];
    let (first, second) = whole.split_at(1000);
    let sent =
        from_client(&[Frame::binary(whole.clone()), fragment(Opcode::Binary, first), last(second)]);
    served(&small(), &sent, &[Frame::binary(whole.clone()), Frame::binary(whole.clone())]).await;
}

/// 2b 20: lengths in more bytes than they need.
#[tokio::test]
async fn row_20_lengths_that_are_not_minimal() {
    let short = |length: u16| [&[0x82, 0xfe][..], &length.to_be_bytes(), &[0; 4]].concat();
    let attacks = [
        ("16 bits for 0", short(0)),
        ("16 bits for 125", short(125)),
        ("64 bits for 0", with_length(0)),
        ("64 bits for 126", with_length(126)),
        ("64 bits for 65535", with_length(65535)),
    ];
    refused(&small(), 1002, &attacks).await;
}

/// 2b 21, FR-03: frames without a mask, of each kind.
#[tokio::test]
async fn row_21_unmasked_frames() {
    let attacks = [
        ("text", Frame::text("hi").encode()),
        ("empty", Frame::text("").encode()),
        ("ping", Frame::ping("hi").encode()),
        ("close", Frame::close(1000, "").unwrap().encode()),
        ("behind a masked one", {
            let mut bytes = from_client(&[fragment(Opcode::Text, b"a")]);
            bytes.extend(last(b"b").encode());
            bytes
        }),
    ];
    refused(&small(), 1002, &attacks).await;
}

/// 2b 23, 2b 36, FR-05: reserved bits, on every frame and alone or together.
#[tokio::test]
async fn row_23_and_36_reserved_bits() {
    let mut attacks = Vec::new();
    for first in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8a] {
        for bits in [0x40, 0x20, 0x10, 0x70] {
            attacks.push(("first", vec![first | bits, 0x80, 0, 0, 0, 0]));
        }
    }
    for first in [0x00, 0x80, 0x89, 0x88] {
        let mut bytes = from_client(&[fragment(Opcode::Text, b"a")]);
        bytes.extend([first | 0x40, 0x80, 0, 0, 0, 0]);
        attacks.push(("in a message", bytes));
    }
    refused(&small(), 1002, &attacks).await;
}

/// 2b 23, FR-02: opcodes that have no meaning.
#[tokio::test]
async fn row_23_reserved_opcodes() {
    let opcodes = (3..8).chain(11..16);
    let attacks: Vec<_> =
        opcodes.map(|opcode| ("opcode", vec![0x80 | opcode, 0x80, 0, 0, 0, 0])).collect();
    refused(&small(), 1002, &attacks).await;
}

/// 2b 23, FR-05: control frames that are long or fragmented, and fragments out of order.
#[tokio::test]
async fn row_23_frames_out_of_order() {
    let mut attacks = Vec::new();
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        attacks.push(("long", announce(opcode, true, 126)));
        attacks.push(("longest", announce(opcode, true, LIMIT)));
        attacks.push(("fragmented", announce(opcode, false, 2)));
    }
    attacks.push(("stray", from_client(&[last(b"x")])));
    attacks.push(("stray fragment", from_client(&[fragment(Opcode::Continuation, b"x")])));
    let begun = fragment(Opcode::Text, b"a");
    attacks.push(("nested text", from_client(&[begun.clone(), Frame::text("x")])));
    attacks.push(("nested binary", from_client(&[begun.clone(), Frame::binary("x")])));
    attacks.push(("nested fragment", from_client(&[begun.clone(), begun.clone()])));
    let again = [begun, last(b"b"), last(b"c")];
    attacks.push(("one last fragment too many", from_client(&again)));
    refused(&small(), 1002, &attacks).await;
}

/// 2b 24: floods of empty and of short fragments that never end.
#[tokio::test]
async fn row_24_floods_of_fragments() {
    let flood = |payload: &[u8], count: usize| {
        let mut frames = vec![fragment(Opcode::Text, b"")];
        frames.resize(count, fragment(Opcode::Continuation, payload));
        from_client(&frames)
    };
    let attacks = [("empty", flood(b"", 20_000)), ("of a byte", flood(b"x", 20_000))];
    refused(&small(), 1008, &attacks).await;
}

/// 2b 25: what a good client may do is not taken for a flood.
#[tokio::test]
async fn row_25_bursts_of_good_clients() {
    let mut frames = vec![fragment(Opcode::Text, b"")];
    frames.resize(64, fragment(Opcode::Continuation, b""));
    frames.push(fragment(Opcode::Continuation, b"x"));
    frames.extend(vec![fragment(Opcode::Continuation, b""); 63]);
    frames.push(last(b"y"));
    // Pongs that nobody asked for are allowed (5.5.3), and so are 200 pings at once.
    frames.extend(vec![Frame::pong("?"); 10_000]);
    frames.extend(vec![Frame::ping("!"); 200]);
    let mut answers = vec![Frame::text("xy")];
    answers.extend(vec![Frame::pong("!"); 200]);
    served(&small(), &from_client(&frames), &answers).await;
}

/// 2b 25: short messages in a burst are not fragments of one.
#[tokio::test]
async fn row_25_bursts_of_messages() {
    let frames = vec![Frame::text(""); 5000];
    served(&small(), &from_client(&frames), &frames).await;
}

/// 2b 26: more pings than a client may send; the pongs to the lawful ones come first.
#[tokio::test]
async fn row_26_ping_flood() {
    let attacks = [
        ("pings", from_client(&vec![Frame::ping("x"); 2000])),
        ("between fragments", {
            let mut frames = vec![fragment(Opcode::Text, b"a")];
            frames.extend(vec![Frame::ping([0; 125].to_vec()); 2000]);
            from_client(&frames)
        }),
    ];
    refused(&small(), 1008, &attacks).await;
}

/// 2b 27: a client that asks and never reads is held back, then dropped; others are served.
#[tokio::test]
async fn row_27_client_that_never_reads() {
    for face in FACES {
        let mut config = small();
        config.write_timeout = Duration::from_millis(200);
        let mut site = Site::with(face, Acceptor::new(config)).await;
        let mut peer = site.peer().await;
        let question = from_client(&[Frame::binary(vec![7; 60 * 1024])]);
        let asking = async { while peer.stream.write_all(&question).await.is_ok() {} };
        let noticing = async {
            site.check().await;
            site.is_alone().await;
        };
        // It is dropped while it still asks.
        within(async { tokio::join!(asking, noticing) }).await;
        let outcome = site.outcomes.recv().await.unwrap();
        assert_eq!(outcome.code.as_u16(), 1006, "{face:?}: {outcome:?}");
        site.end().await;
    }
}

/// 2b 28, BY-07: a message that is begun and never ends.
#[tokio::test]
async fn row_28_unfinished_messages() {
    let mut config = small();
    config.message_timeout = Duration::from_millis(100);
    let mut cut = from_client(&[Frame::text("hello")]);
    cut.truncate(8);
    let attacks = [
        ("frame", cut),
        ("header", vec![0x81, 0xfe, 0x01]),
        ("fragments", from_client(&[fragment(Opcode::Text, b"hello")])),
        ("with pings", from_client(&[fragment(Opcode::Text, b"hello"), Frame::ping("")])),
    ];
    refused(&config, 1008, &attacks).await;
}

/// 2b 29, MS-08: text that is not utf-8, found at its first bad byte though the message goes on.
#[tokio::test]
async fn row_29_text_that_is_not_utf8() {
    let bad: [(&str, &[u8]); 12] = [
        ("stray continuation byte", b"ab\x80"),
        ("overlong slash", b"\xc0\xaf"),
        ("overlong of three", b"\xe0\x80\xaf"),
        ("overlong of four", b"\xf0\x80\x80\xaf"),
        ("surrogate", b"\xed\xa0\x80"),
        ("surrogate pair", b"\xed\xa0\x81\xed\xb0\x80"),
        ("above U+10FFFF", b"\xf4\x90\x80\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("cut by ASCII", b"\xe2\x82a"),
        ("cut by another", b"\xe2\x82\xe2\x82\xac"),
        ("0xff", b"\xff"),
        ("late", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xfe"),
    ];
    let in_one =
        bad.map(|(name, text)| (name, from_client(&[Frame::new(Opcode::Text, text.to_vec())])));
    refused(&small(), 1007, &in_one).await;
    let fragments = bad.map(|(name, text)| {
        let mut frames = vec![fragment(Opcode::Text, b"")];
        frames.extend(text.iter().map(|byte| fragment(Opcode::Continuation, &[*byte])));
        (name, from_client(&frames))
    });
    refused(&small(), 1007, &fragments).await;
    // The rest of the frame never comes.
    let announced =
        bad.map(|(name, text)| (name, [&announce(Opcode::Text, true, 60_000)[..], text].concat()));
    refused(&small(), 1007, &announced).await;
}

/// 2b 29: a character that the end of the message cuts is bad; one that a fragment cuts is not.
#[tokio::test]
async fn row_29_cut_characters() {
    let attacks = [
        ("in a frame", from_client(&[Frame::new(Opcode::Text, b"\xe2\x82".to_vec())])),
        ("in the last", from_client(&[fragment(Opcode::Text, b"\xf0\x9f"), last(b"\x90")])),
        ("by an empty last", from_client(&[fragment(Opcode::Text, b"\xc3"), last(b"")])),
    ];
    refused(&small(), 1007, &attacks).await;
    let whole = [fragment(Opcode::Text, b"\xf0\x9f"), Frame::ping("?"), last(b"\x90\x9f")];
    let answers = [Frame::pong("?"), Frame::text("🐟")];
    served(&small(), &from_client(&whole), &answers).await;
    // Binary is not looked at.
    let binary = [Frame::binary(vec![0xff; 100])];
    served(&small(), &from_client(&binary), &binary).await;
}
