//! Messages as values, messages encoded once for many, and what sending and receiving them keeps
//! (RFC 6455 5.6).

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use sockeye::frame::{CloseFrame, Frame, MaskingKeys, Opcode};
use sockeye::protocol::{
    Compress, ConnectionClosed, Encoder, Endpoint, Message, MessageRef, PreparedMessage, Role,
    State, Utf8Bytes, WriteBuffer,
};

use crate::support::pair::{End, Pair, ROLES, Seen, fragment, frames, quiet, text, to};

/// MS-01, MS-02: types by name and by number.
#[test]
fn s5_6_kinds_and_numbers() {
    assert_eq!((Message::TEXT, Message::BINARY), (1, 2));
    let close = Message::Close(Some(CloseFrame::new(1000, "bye").unwrap()));
    for (message, kind, bytes) in [
        (Message::text("é"), "text", "é".as_bytes()),
        (Message::binary(vec![0xff]), "binary", b"\xff"),
        (Message::Ping("p".into()), "ping", b"p"),
        (Message::Pong("q".into()), "pong", b"q"),
        (close, "close", b""),
        (Message::Close(None), "close", b""),
    ] {
        assert_eq!((message.kind(), message.as_bytes()), (kind, bytes));
        assert_eq!(message.as_text(), (kind == "text").then_some("é"));
        assert_eq!(message.into_bytes(), bytes);
    }
}

/// MS-01, MS-08: whatever holds text or bytes becomes a message, and comes back.
#[test]
fn s5_6_conversions() {
    let text = Message::text("text");
    for same in [
        "text".into(),
        "text".to_owned().into(),
        Utf8Bytes::from("text").into(),
        MessageRef::Text("text").into(),
    ] {
        assert_eq!(text, same);
    }
    let binary = Message::binary("bytes");
    let borrowed = MessageRef::from(&b"bytes"[..]);
    for same in [
        b"bytes".to_vec().into(),
        Bytes::from("bytes").into(),
        borrowed.into(),
        borrowed.to_message(),
    ] {
        assert_eq!(binary, same);
    }
    assert_eq!(MessageRef::from("text").as_text(), Some("text"));
    assert_eq!((borrowed.as_text(), borrowed.as_bytes()), (None, &b"bytes"[..]));
    assert_eq!((MessageRef::from("").opcode(), borrowed.opcode()), (Opcode::Text, Opcode::Binary));
}

/// MS-08: text is checked on its way in, and the payload is not lost when it is none.
#[test]
fn s8_1_message_by_opcode() {
    let bytes = Bytes::from_static(b"\xff");
    assert_eq!(Message::from_opcode(Opcode::Text, bytes.clone()), Err(bytes.clone()));
    assert_eq!(
        Message::from_opcode(Opcode::Binary, bytes.clone()),
        Ok(Message::Binary(bytes.clone()))
    );
    assert_eq!(Message::from_opcode(Opcode::Text, "é".into()), Ok(Message::text("é")));
    for opcode in [Opcode::Continuation, Opcode::Close, Opcode::Ping, Opcode::Pong] {
        assert_eq!(Message::from_opcode(opcode, bytes.clone()), Err(bytes.clone()));
    }
}

/// BY-06: prepared messages are equal when they say the same, and are compressed under the same conditions.
#[test]
fn prepared_messages_compare() {
    let prepared = |text: &'static str| PreparedMessage::new(text);
    assert_eq!(prepared("a"), prepared("a"));
    assert_ne!(prepared("a"), prepared("b"));
    assert_ne!(prepared("a"), PreparedMessage::new(&b"a"[..]));
    assert_ne!(prepared("a"), prepared("a").compress(Compress::Never));
    assert_eq!(prepared("a").compress(Compress::Never).compression(), Compress::Never);
}

/// MS-08: shared text behaves as a string and is not copied.
#[test]
fn s5_6_utf8_bytes_are_a_string() {
    let shared = Utf8Bytes::from("naïve");
    let bytes = shared.clone().into_bytes();
    assert_eq!(bytes.as_ptr(), shared.as_str().as_ptr(), "no copy");
    assert_eq!(Utf8Bytes::try_from(bytes).unwrap(), shared);
    assert!(Utf8Bytes::try_from(Bytes::from_static(b"\xc0\xaf")).is_err());
    assert_eq!(shared, "naïve");
    assert_eq!(&shared, "naïve");
    assert!(shared != "naive" && &shared != "naive" && shared != *"naive");
    assert_eq!(shared.len(), 6);
    assert!(shared.ends_with("ïve") && shared.as_ref() == "naïve");
    assert_eq!(
        (shared.to_string(), format!("{shared:?}")),
        ("naïve".to_owned(), "\"naïve\"".to_owned())
    );
    const FIXED: Utf8Bytes = Utf8Bytes::from_static("fixed");
    assert_eq!((FIXED.as_str(), Utf8Bytes::default().as_str()), ("fixed", ""));
}

/// FR-03: a prepared message is, byte for byte, the frame that a server sends; a client masks it
/// anew each time.
#[test]
fn s5_1_prepared_message_is_the_frame_a_server_sends() {
    for len in [0, 1, 125, 126, 16 * 1024 - 1, 16 * 1024, 65_535, 65_536, 100_000] {
        let payload = "x".repeat(len);
        for message in [MessageRef::Text(&payload), MessageRef::Binary(payload.as_bytes())] {
            let prepared = PreparedMessage::new(message);
            let mut config = quiet();
            config.fragment_bytes_max = None;
            let mut server = End::with(Role::Server, config);
            server.send(message);
            assert!(&server.flush() == prepared.frame(), "{len}");
            assert_eq!(
                (prepared.payload(), prepared.is_text()),
                (message.as_bytes(), message.as_text().is_some())
            );

            let mut out = WriteBuffer::new();
            Encoder::new(Role::Server).prepared(&prepared, &mut out);
            assert!(&out.into_vec() == prepared.frame(), "{len}");

            let mut out = WriteBuffer::new();
            let mut client = Encoder::with_keys(MaskingKeys::from_seed([3; 32]));
            client.prepared(&prepared, &mut out);
            client.prepared(&prepared, &mut out);
            let sent = frames(&out.into_vec(), Role::Client);
            assert!(sent.iter().all(
                |frame| frame.payload == message.as_bytes() && frame.opcode == message.opcode()
            ));
            assert_ne!(sent[0].mask_key, sent[1].mask_key);
        }
    }
}

/// MS-05: borrowed, owned or written in pieces, the same bytes are on the wire.
#[test]
fn s5_6_every_way_of_sending_writes_the_same() {
    for len in [0, 1, 125, 126, 16 * 1024 - 1, 16 * 1024, 65_535, 65_536, 100_000] {
        let payload = vec![b'x'; len];
        for role in ROLES {
            let mut borrowed = End::new(role);
            borrowed.send(MessageRef::Binary(&payload));
            let expected = borrowed.flush();

            let mut owned = End::new(role);
            let message = Message::binary(payload.clone());
            owned.endpoint.send_owned(&message, &mut owned.out).unwrap();
            assert_eq!(owned.out.len(), expected.len());
            let mut written = Vec::new();
            while !owned.out.is_empty() {
                let len = owned.out.first().len().min(7_000);
                written.extend_from_slice(&owned.out.first()[..len]);
                owned.out.advance(len);
            }
            assert_eq!(written, expected);
        }
    }
}

/// FR-04, CN-12: pings and pongs of the application, cut to what a control frame may have.
#[test]
fn s5_5_control_messages_are_cut_to_125_bytes() {
    for (role, len) in
        ROLES.into_iter().flat_map(|role| [0, 125, 126, 70_000].map(|len| (role, len)))
    {
        let mut end = End::new(role);
        let payload = Bytes::from(vec![b'x'; len]);
        for message in [Message::Ping(payload.clone()), Message::Pong(payload)] {
            end.endpoint.send_owned(&message, &mut end.out).unwrap();
        }
        let written = end.flush_frames();
        assert_eq!((written[0].opcode, written[1].opcode), (Opcode::Ping, Opcode::Pong));
        assert!(written.iter().all(|frame| frame.payload.len() == len.min(125)));
    }
}

/// ER-01: an error with a text, and nothing half sent.
#[test]
fn s7_1_sending_after_the_end_is_refused() {
    for role in ROLES {
        let mut end = End::new(role);
        end.endpoint.receive_eof();
        let refused = end.endpoint.send(MessageRef::Text("x"), &mut end.out);
        assert_eq!(refused, Err(ConnectionClosed));
        assert_eq!(ConnectionClosed.to_string(), "connection closed");
        assert!(end.out.is_empty());
    }
}

/// A new endpoint is open, has its role, and nothing to say.
#[test]
fn s4_1_new_endpoint_is_open() {
    for role in ROLES {
        let endpoint = Endpoint::new(role, Arc::new(quiet()), 0);
        assert_eq!((endpoint.state(), endpoint.role()), (State::Open, role));
        assert_eq!(endpoint.outcome(), None);
        assert_eq!(endpoint.config().fragments_max, 131_072);
    }
}

/// Messages with the places at which each is fragmented, and pings between.
fn streams() -> impl Strategy<Value = Vec<(Seen, Vec<prop::sample::Index>, bool)>> {
    let payload = prop_oneof![
        ".{0,40}".prop_map(Seen::Text),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Seen::Binary),
        (0..3_usize).prop_map(|i| Seen::Binary(vec![7; [126, 65_535, 65_536][i]])),
    ];
    prop::collection::vec(
        (payload, prop::collection::vec(any::<prop::sample::Index>(), 0..5), any::<bool>()),
        0..6,
    )
}

/// The frames of a message: fragments that end at `cuts`, a ping before the last one if told so.
fn fragments(message: &Seen, cuts: &[prop::sample::Index], with_ping: bool) -> Vec<Frame> {
    let (first, payload) = match message {
        Seen::Text(text) => (Opcode::Text, text.as_bytes()),
        Seen::Binary(payload) => (Opcode::Binary, &payload[..]),
        other => panic!("no message: {other:?}"),
    };
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    ends.sort_unstable();
    let (mut start, mut opcode, mut all) = (0, first, Vec::new());
    for end in ends {
        all.push(fragment(opcode, &payload[start..end]));
        (start, opcode) = (end, Opcode::Continuation);
    }
    if with_ping {
        all.push(Frame::ping("between"));
    }
    all.push(Frame::new(opcode, payload[start..].to_vec()));
    all
}

proptest! {
    /// Fuzz target 1 in small: however a stream of messages is fragmented and cut, the same
    /// messages come out of it.
    #[test]
    fn s5_4_any_split_of_a_stream_gives_the_same_messages(
        stream in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let expected: Vec<Seen> = stream.iter().map(|(message, ..)| message.clone()).collect();
        for role in ROLES {
            let mut parts = Vec::new();
            for (message, cuts, with_ping) in &stream {
                parts.extend(fragments(message, cuts, *with_ping));
            }
            let bytes = to(role, &parts);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut end = End::new(role);
            let seen = end.receive_cut(&bytes, &cuts);
            prop_assert_eq!(end.state(), State::Open);
            let is_ping = |seen: &Seen| matches!(seen, Seen::Ping(_));
            let (pings, seen): (Vec<_>, Vec<_>) = seen.into_iter().partition(is_ping);
            prop_assert_eq!(&seen, &expected);
            prop_assert_eq!(end.flush_frames().len(), pings.len());
        }
    }

    /// Fuzz target 4 in small: whatever comes, the output is lawful and ends with at most one close
    /// frame.
    #[test]
    fn s7_1_7_output_is_lawful_whatever_comes(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        opcode in 0x80..=0x8a_u8,
    ) {
        for role in ROLES {
            let mut end = End::new(role);
            let mut seen = Vec::new();
            for mut block in blocks.clone() {
                // Random bytes rarely begin a frame that is taken.
                if let [first, second, ..] = &mut block[..] {
                    *first = opcode;
                    *second = *second & 0x1f | if role == Role::Server { 0x80 } else { 0 };
                }
                seen.extend(end.receive(&block));
            }
            let written = end.flush_frames();
            let closes = written.iter().filter(|frame| frame.opcode == Opcode::Close).count();
            prop_assert_eq!(closes, usize::from(end.state() == State::Closed));
            prop_assert_eq!(seen.iter().filter(|seen| **seen == Seen::Closed).count(), closes);
        }
    }

    /// MS-05: what one end sends the other receives, in order, both ways.
    #[test]
    fn s5_6_messages_arrive_in_order(
        ups in prop::collection::vec(".{0,20}", 0..20),
        downs in prop::collection::vec(".{0,20}", 0..20),
    ) {
        let mut pair = Pair::new(&quiet());
        for up in &ups {
            pair.client.send(MessageRef::Text(up));
        }
        for down in &downs {
            pair.server.send(MessageRef::Text(down));
        }
        pair.deliver();
        prop_assert_eq!(pair.server_seen, ups.iter().map(|up| text(up)).collect::<Vec<_>>());
        prop_assert_eq!(pair.client_seen, downs.iter().map(|down| text(down)).collect::<Vec<_>>());
    }
}
