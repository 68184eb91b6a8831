//! Floor 9: what nodes tell each other, as bytes.

#![cfg(all(feature = "hub", feature = "pubsub"))]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sockeye::CloseFrame;
use sockeye::hub::cluster::{
    Answer, Body, Carried, ChannelState, Claim, Envelope, EnvelopeError, Kept, NodeId, Question,
    Refusal, SessionState, Waiting,
};
use sockeye::protocol::Compress;

fn text() -> impl Strategy<Value = Arc<str>> {
    "\\PC{0,12}".prop_map(Arc::from)
}

fn texts() -> impl Strategy<Value = Vec<Arc<str>>> {
    prop::collection::vec(text(), 0..5)
}

fn carried() -> impl Strategy<Value = Carried> {
    let compress = prop_oneof![Just(Compress::Auto), Just(Compress::Never), Just(Compress::Always)];
    let kept = prop_oneof![Just(Kept::Not), Just(Kept::All), any::<u64>().prop_map(Kept::Latest)];
    let payload = prop_oneof![
        text().prop_map(|text| (true, text.as_bytes().to_vec())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| (false, bytes)),
    ];
    (compress, kept, texts(), payload).prop_map(|(compress, kept, except, (is_text, payload))| {
        let mut carried = Carried::new(is_text, payload);
        (carried.compress, carried.kept, carried.except) = (compress, kept, except);
        carried
    })
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        Just(Question::Connections),
        text().prop_map(Question::Members),
        text().prop_map(Question::Users),
        text().prop_map(Question::Online),
        (text(), 3000..5000_u16, "\\PC{0,20}").prop_map(|(user, code, reason)| {
            Question::Disconnect { user, frame: CloseFrame::new(code, &reason).unwrap() }
        }),
        (text(), text()).prop_map(|(from, to)| Question::Move { from, to }),
    ]
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 16]>().prop_map(NodeId::from_bytes)
}

fn claim() -> impl Strategy<Value = Claim> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>());
    let texts = (text(), text(), prop::option::of(text()));
    (numbers, any::<[u8; 32]>(), texts).prop_map(
        |((id, number, received, is_head_only), token, (session, route, user))| Claim {
            id,
            number,
            is_head_only,
            received,
            token,
            session,
            route,
            user,
        },
    )
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::Unknown),
        Just(Refusal::Expired),
        Just(Refusal::HistoryLost),
        Just(Refusal::Again),
        Just(Refusal::TakenOver),
        node().prop_map(Refusal::Moved),
    ]
}

fn waiting() -> impl Strategy<Value = Waiting> {
    (prop::option::of(any::<u64>()), carried()).prop_map(|(key, carried)| {
        let Carried { is_text, compress, payload, .. } = carried;
        Waiting { key, is_text, compress, payload }
    })
}

fn session() -> impl Strategy<Value = SessionState> {
    let channel = (text(), prop::collection::vec((node(), any::<u64>(), any::<u64>()), 0..4));
    let channel = channel.prop_map(|(channel, nodes)| ChannelState { channel, nodes });
    let lists = (texts(), texts(), prop::collection::vec(channel, 0..4));
    let messages = prop::collection::vec(waiting(), 0..5);
    let numbers = (any::<bool>(), any::<[u64; 4]>());
    (numbers, lists, messages).prop_map(|((has_gap, numbers), (rooms, notes, heard), messages)| {
        let mut state = SessionState::default();
        state.has_gap = has_gap;
        let [one, other, received, questions] = numbers;
        (state.sent, state.unsent) = (one.max(other), one.min(other));
        (state.received, state.questions) = (received, questions);
        (state.rooms, state.heard, state.messages) = (rooms, heard, messages);
        state.metadata = notes.iter().chain(&notes).cloned().collect();
        state
    })
}

fn moves() -> impl Strategy<Value = Body> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let settle = (any::<u64>(), any::<u64>(), any::<bool>(), text());
    prop_oneof![
        claim().prop_map(Body::Claim),
        settle.prop_map(|(id, number, is_taken, session)| {
            Body::Settle { id, number, is_taken, session }
        }),
        (any::<u64>(), any::<bool>(), bytes).prop_map(|(id, is_last, bytes)| Body::Part {
            id,
            is_last,
            bytes
        }),
        (any::<u64>(), refusal()).prop_map(|(id, refusal)| Body::Refused { id, refusal }),
        (text(), waiting()).prop_map(|(session, message)| Body::Onward { session, message }),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![talk(), moves()]
}

fn talk() -> impl Strategy<Value = Body> {
    let answer = (any::<u64>(), any::<u64>(), texts()).prop_map(|(count, refused, users)| {
        let mut answer = Answer::default();
        (answer.count, answer.refused, answer.users) = (count, refused, users);
        answer
    });
    prop_oneof![
        carried().prop_map(Body::Message),
        text().prop_map(Body::Joined),
        text().prop_map(Body::Left),
        Just(Body::Ask),
        (any::<bool>(), any::<bool>(), texts())
            .prop_map(|(is_first, is_last, users)| Body::Users { is_first, is_last, users }),
        (any::<u32>(), any::<u64>()).prop_map(|(users, hash)| Body::Digest { users, hash }),
        (1..=3_600_000_u32, 1..=3_600_000_u32, any::<u64>()).prop_map(
            |(interval_ms, digest_ms, lost)| Body::Heartbeat { interval_ms, digest_ms, lost }
        ),
        Just(Body::Goodbye),
        (any::<u64>(), question()).prop_map(|(id, question)| Body::Question { id, question }),
        (any::<u64>(), any::<bool>(), answer).prop_map(|(id, is_last, answer)| Body::Answer {
            id,
            is_last,
            answer
        }),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (any::<[u8; 16]>(), any::<u64>(), 1..=u64::MAX, body()).prop_map(
        |(node, stream, number, body)| Envelope {
            node: NodeId::from_bytes(node),
            stream,
            number,
            body,
        },
    )
}

proptest! {
    /// BY-41: what is written is read again.
    #[test]
    fn what_is_written_is_read(envelope in envelope()) {
        prop_assert_eq!(Envelope::decode(&envelope.encode().into()), Ok(envelope));
    }

    /// BY-42: what is written of a session is read again, and no part of it is one.
    #[test]
    fn by_42_a_session_is_read_as_it_was_written(state in session(), more in any::<u8>()) {
        let bytes = Bytes::from(state.encode());
        for len in 0..bytes.len() {
            prop_assert!(SessionState::decode(&bytes.slice(..len)).is_err());
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([more]).collect();
        prop_assert!(SessionState::decode(&longer.into()).is_err());
        prop_assert_eq!(SessionState::decode(&bytes), Ok(state));
    }

    /// A29: arbitrary bytes are no session, or one that is written as it was.
    #[test]
    fn a29_anything_is_no_session_or_one(
        state in session(),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut changed = state.encode();
        *at.get_mut(&mut changed) = byte;
        for bytes in [Bytes::from(bytes), changed.into()] {
            if let Ok(decoded) = SessionState::decode(&bytes) {
                prop_assert_eq!(decoded.encode(), bytes);
            }
        }
    }

    /// A29: whatever is cut off or added, it is no envelope; only a message, and a part of a session, may end anywhere
    /// behind its head.
    #[test]
    fn a29_what_is_cut_is_none(envelope in envelope(), more in any::<u8>()) {
        let bytes = Bytes::from(envelope.encode());
        let is_message = matches!(envelope.body, Body::Message(_) | Body::Part { .. });
        for len in 0..bytes.len() {
            let decoded = Envelope::decode(&bytes.slice(..len));
            prop_assert!(decoded.is_err() || is_message, "{} of {}", len, bytes.len());
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([more]).collect();
        prop_assert!(Envelope::decode(&longer.into()).is_err() || is_message);
    }

    /// A29: arbitrary bytes, and envelopes with a byte that is another, are refused or read; what is read is written as it was.
    #[test]
    fn a29_anything_is_refused_or_read(
        envelope in envelope(),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut changed = envelope.encode();
        *at.get_mut(&mut changed) = byte;
        let mut arbitrary = envelope.encode();
        arbitrary.truncate(34);
        arbitrary.extend_from_slice(&bytes);
        for bytes in [Bytes::from(bytes), changed.into(), arbitrary.into()] {
            if let Ok(decoded) = Envelope::decode(&bytes) {
                prop_assert_eq!(decoded.encode(), bytes);
            }
        }
    }
}

fn head(kind: u8) -> Vec<u8> {
    let body = Body::Goodbye;
    let mut bytes =
        Envelope { node: NodeId::from_bytes([1; 16]), stream: 1, number: 1, body }.encode();
    bytes[1] = kind;
    bytes
}

#[track_caller]
fn refused(bytes: Vec<u8>) -> EnvelopeError {
    Envelope::decode(&bytes.into()).unwrap_err()
}

/// A29: what is wrong is named, and no length that is claimed is believed.
#[test]
fn a29_what_is_wrong_is_named() {
    let with = |kind, body: &[u8]| refused([head(kind).as_slice(), body].concat());
    assert_eq!(refused(Vec::new()), EnvelopeError::Length);
    let mut version = head(8);
    version[0] = 2;
    assert_eq!(refused(version), EnvelopeError::Version(2));
    assert_eq!(with(16, &[]), EnvelopeError::Kind(16));
    let mut number = head(8);
    number[26..34].fill(0);
    assert_eq!(refused(number), EnvelopeError::Range);
    let huge = u32::MAX.to_be_bytes();
    // A text, a list, and users left out of a message: four billion of each.
    assert_eq!(with(2, &huge), EnvelopeError::Length);
    assert_eq!(with(5, &[&[3], &huge[..]].concat()), EnvelopeError::Range);
    assert_eq!(with(5, &[&[3], &60_000_u32.to_be_bytes()[..]].concat()), EnvelopeError::Length);
    assert_eq!(with(1, &[&[0], &huge[..]].concat()), EnvelopeError::Range);
    assert_eq!(with(2, &[0, 0, 0, 1, 0xff]), EnvelopeError::Utf8);
    assert_eq!(with(1, &[1, 0, 0, 0, 0, 0xff]), EnvelopeError::Utf8);
    // Flags that are unknown, or mean nothing together.
    for flags in [32, 4, 24] {
        assert_eq!(with(1, &[flags]), EnvelopeError::Kind(flags));
    }
    for interval_ms in [0, 3_600_001_u32] {
        let (wrong, right) = (interval_ms.to_be_bytes(), 1_u32.to_be_bytes());
        for intervals in [[wrong, right], [right, wrong]] {
            let body = [intervals.as_flattened(), &[0; 8]].concat();
            assert_eq!(with(7, &body), EnvelopeError::Range);
        }
    }
    // A close code that may not be sent.
    let body = [&[0; 8][..], &[5], &[0; 4], &1005_u16.to_be_bytes(), &[0; 4]].concat();
    assert_eq!(with(9, &body), EnvelopeError::Range);
    assert_eq!(with(9, &[&[0; 8][..], &[7]].concat()), EnvelopeError::Kind(7));
    // Of sessions that move: flags, reasons and lengths.
    assert_eq!(with(11, &[&[0; 16][..], &[4]].concat()), EnvelopeError::Kind(4));
    assert_eq!(with(11, &[&[0; 57][..], &huge].concat()), EnvelopeError::Length);
    assert_eq!(with(14, &[&[0; 8][..], &[7]].concat()), EnvelopeError::Kind(7));
    assert_eq!(with(15, &[&[0; 4][..], &[0], &huge].concat()), EnvelopeError::Length);
    assert_eq!(with(15, &[&[0; 4][..], &[12]].concat()), EnvelopeError::Kind(12));
    let state = |bytes: &[u8]| SessionState::decode(&Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(state(&[&[0; 33][..], &huge].concat()), EnvelopeError::Range);
    assert_eq!(state(&[&[0; 41][..], &60_000_u32.to_be_bytes()].concat()), EnvelopeError::Length);
    // More that were never on a wire than there are.
    assert_eq!(state(&[&[0; 24][..], &[1], &[0; 24]].concat()), EnvelopeError::Range);
}
