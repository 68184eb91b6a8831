//! Envelopes between nodes, and sessions that go from one to another: what is read is written again as the same bytes, stands
//! where the format has it, and holds no more than came.

use bytes::Bytes;
use sockeye::hub::cluster::{Body, Carried, Envelope, EnvelopeError, Question, SessionState};

/// An envelope, a session, or anything.
pub fn run(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(state) = SessionState::decode(&bytes) {
        assert_eq!(state.encode(), data);
        check_session(data, &state);
    }
    match Envelope::decode(&bytes) {
        Ok(envelope) => {
            assert_eq!(envelope.encode(), data);
            check(data, &envelope);
        }
        Err(error) => refused(data, error),
    }
}

fn check(data: &[u8], envelope: &Envelope) {
    assert_eq!(data[0], 1);
    assert_eq!(envelope.node.as_bytes(), &data[2..18]);
    assert_eq!(envelope.stream.to_be_bytes(), data[18..26]);
    assert_eq!(envelope.number.to_be_bytes(), data[26..34]);
    assert!(envelope.number > 0);
    let held = match &envelope.body {
        Body::Message(Carried { is_text, except, payload, .. }) => {
            assert!(data.ends_with(payload));
            assert!(!is_text || std::str::from_utf8(payload).is_ok());
            let plain = Body::Message(Carried::new(*is_text, payload.clone()));
            assert_eq!(envelope.body == plain, data[34..39] == [u8::from(*is_text), 0, 0, 0, 0]);
            payload.len() + sum(except)
        }
        Body::Joined(user) | Body::Left(user) => user.len(),
        Body::Users { users, .. } => sum(users),
        Body::Answer { answer, .. } => sum(&answer.users),
        Body::Question { question: Question::Disconnect { frame, .. }, .. } => {
            assert!(frame.code().is_sendable());
            frame.reason().len()
        }
        Body::Claim(claim) => {
            claim.token.len() + claim.session.len() + claim.route.len() + sum(claim.user.as_slice())
        }
        Body::Settle { session, .. } => session.len(),
        Body::Part { bytes, .. } => {
            assert!(data.ends_with(bytes));
            bytes.len()
        }
        Body::Onward { session, message } => {
            assert!(data.ends_with(&message.payload));
            assert!(!message.is_text || std::str::from_utf8(&message.payload).is_ok());
            session.len() + message.payload.len()
        }
        Body::Heartbeat { interval_ms, digest_ms, .. } => {
            let intervals = [interval_ms, digest_ms];
            assert!(intervals.into_iter().all(|ms| (1..=3_600_000).contains(ms)));
            0
        }
        _ => 0,
    };
    assert!(34 + held <= data.len());
}

fn check_session(data: &[u8], state: &SessionState) {
    assert!(state.unsent <= state.sent && state.metadata.len().is_multiple_of(2));
    let heard = state.heard.iter().map(|told| 8 + told.channel.len() + 32 * told.nodes.len());
    let messages = state.messages.iter().map(|message| 5 + message.payload.len());
    let held = sum(&state.rooms) + sum(&state.metadata) + heard.chain(messages).sum::<usize>();
    assert!(33 + held <= data.len());
}

fn sum<T: AsRef<str>>(texts: &[T]) -> usize {
    texts.iter().map(|text| 4 + text.as_ref().len()).sum()
}

fn refused(data: &[u8], error: EnvelopeError) {
    match error {
        EnvelopeError::Version(version) => assert!(version != 1 && data[0] == version),
        EnvelopeError::Length => {}
        _ => assert!(data.len() >= 34),
    }
}
