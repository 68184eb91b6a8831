//! What stands in a queue, and what has begun to leave.

use std::task::Waker;

use bytes::Bytes;

use crate::frame::Opcode;
use crate::protocol::{Encoder, Fragments, GapNotice, Message, PreparedMessage, WriteBuffer};

use super::ledger::Ledger;

/// What waits for its turn.
pub(crate) enum Queued {
    /// Text or binary: a control frame never waits here.
    Message(Message),
    Prepared(PreparedMessage),
    /// A message that a later one of its key replaces.
    Latest(Box<Latest>),
    Stream(StreamPlace),
    /// Of the connection itself.
    Own(Box<Queued>),
    /// What the connection has encoded itself while another message was on its way.
    Encoded(WriteBuffer),
    /// Messages that were dropped.
    Gap(Gap),
    /// Of a session itself: it does not count among the session's messages.
    Uncounted(Box<Queued>),
}

pub(crate) struct Latest {
    pub(super) key: u64,
    pub(super) item: Queued,
}

pub(crate) struct Gap {
    pub(super) missed: u64,
    notice: GapNotice,
}

/// The place of a writer that brings a message piece by piece.
pub(crate) struct StreamPlace {
    pub(super) id: u32,
    pub(super) waker: Option<Waker>,
    /// The waker waits until everything is written, not only for room.
    pub(super) is_flushing: bool,
    /// Its first fragment is on its way.
    pub(super) has_begun: bool,
}

/// A message that has begun to leave.
pub(super) enum Active {
    /// It is all here.
    Message(Fragments),
    /// A writer brings it, piece by piece.
    Stream(StreamPlace),
}

impl Queued {
    /// The place of one message that was dropped.
    pub(super) fn gap(notice: &GapNotice) -> Self {
        Self::Gap(Gap { missed: 1, notice: notice.clone() })
    }

    /// Payload bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.as_bytes().len(),
            Self::Prepared(message) => message.payload().len(),
            Self::Latest(latest) => latest.item.bytes(),
            Self::Stream(_) | Self::Gap(_) => 0,
            Self::Own(item) | Self::Uncounted(item) => item.bytes(),
            Self::Encoded(bytes) => bytes.len(),
        }
    }

    /// Messages that somebody has sent with it. One that comes piece by piece is sent with its end.
    pub(super) fn messages(&self) -> usize {
        match self {
            Self::Message(_) | Self::Prepared(_) | Self::Latest(_) => 1,
            Self::Stream(_) | Self::Gap(_) => 0,
            Self::Own(item) | Self::Uncounted(item) => item.messages(),
            Self::Encoded(bytes) => bytes.messages(),
        }
    }

    /// A notice as the message that it is on the wire. A control frame has its own way out.
    pub(super) fn resolve_gap(self, ledger: &Ledger) -> Self {
        let Self::Gap(gap) = self else {
            return self;
        };
        let message = gap.notice.message(gap.missed);
        if message.as_data().is_none() {
            return Self::Encoded(WriteBuffer::new());
        }
        ledger.sent(message.as_bytes().len());
        Self::Message(message)
    }

    /// Whether a full outbox may drop it.
    pub(super) fn is_droppable(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Prepared(_) | Self::Latest(_))
    }

    /// Encodes it, or its beginning: what is left is returned.
    pub(super) fn encode(
        self,
        encoder: &mut Encoder,
        out: &mut WriteBuffer,
        ledger: &Ledger,
    ) -> Option<Active> {
        match self {
            Self::Message(message) => match long_payload(&message, encoder) {
                Some((opcode, payload)) => {
                    return Some(Active::Message(encoder.fragments(opcode, payload)));
                }
                None => encoder.owned(&message, out),
            },
            Self::Prepared(message) if message.payload().len() > encoder.fragment_bytes() => {
                return Some(Active::Message(encoder.prepared_fragments(&message)));
            }
            Self::Prepared(message) => encoder.prepared(&message, out),
            Self::Latest(latest) => return latest.item.encode(encoder, out, ledger),
            Self::Stream(place) => return Some(Active::Stream(place)),
            Self::Own(item) | Self::Uncounted(item) => return item.encode(encoder, out, ledger),
            Self::Encoded(mut bytes) => out.append(&mut bytes),
            Self::Gap(_) => return self.resolve_gap(ledger).encode(encoder, out, ledger),
        }
        None
    }
}

/// The payload of a message that is longer than a fragment.
fn long_payload<'m>(message: &'m Message, encoder: &Encoder) -> Option<(Opcode, &'m Bytes)> {
    let (opcode, payload) = match message {
        Message::Text(text) => (Opcode::Text, text.as_bytes()),
        Message::Binary(payload) => (Opcode::Binary, payload),
        _ => return None,
    };
    (payload.len() > encoder.fragment_bytes()).then_some((opcode, payload))
}

impl Active {
    /// As [`Queued::messages`].
    pub(super) const fn messages(&self) -> usize {
        match self {
            Self::Message(_) => 1,
            Self::Stream(_) => 0,
        }
    }

    /// Payload bytes of it that are left here.
    pub(super) fn left(&self) -> usize {
        match self {
            Self::Message(fragments) => fragments.left(),
            Self::Stream(_) => 0,
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}
