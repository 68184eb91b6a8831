//! What an endpoint may write, and what it is seen to do.

use std::sync::Arc;

use sockeye::frame::{CloseFrame, Frame, MaskingKeys, Opcode};
use sockeye::protocol::{Config, Endpoint, Event, MessageRef, Role};

/// An event that outlives the block it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed,
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(MessageRef::Text(text)) => Self::Text(text.to_owned()),
            Event::Message(MessageRef::Binary(payload)) => Self::Binary(payload.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Closed => Self::Closed,
            other => panic!("an event the oracles do not know: {other:?}"),
        }
    }
}

/// An endpoint that does the same in every run.
pub(super) fn endpoint(role: Role, config: &Arc<Config>) -> Endpoint {
    match role {
        Role::Server => Endpoint::new(role, config.clone(), 0),
        Role::Client => {
            Endpoint::client_with_keys(config.clone(), MaskingKeys::from_seed([9; 32]), 0)
        }
    }
}

/// Everything an endpoint wrote: whole lawful frames, masked by a client only, at most one close
/// frame with a body that may be sent, and nothing behind it. Returns the frames.
pub(super) fn assert_lawful(mut written: &[u8], from: Role) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    while !written.is_empty() {
        let (frame, len) = Frame::decode(written).expect("lawful output").expect("whole output");
        assert_eq!(
            frame.mask_key.is_some(),
            from == Role::Client,
            "a client masks, a server does not"
        );
        assert!(
            frame.fin && !frame.rsv1 && !frame.rsv2 && !frame.rsv3,
            "one frame a message, no reserved bit"
        );
        assert_ne!(frame.opcode, Opcode::Continuation, "one frame a message");
        if frame.opcode == Opcode::Close {
            CloseFrame::parse(&frame.payload).expect("a close body that may be sent");
            assert_eq!(len, written.len(), "nothing behind a close frame");
        }
        frames.push(frame);
        written = &written[len..];
    }
    frames
}
