//! What a client hears.

use crate::app::event::{Event, EventError};

/// What a client hears, in the order in which it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// An event of the server.
    Event(Event),
    /// A question of the server, for [`EventClient::answer`](super::EventClient::answer) or
    /// [`refuse`](super::EventClient::refuse). Whoever does not know it refuses it with 404.
    Request(Question),
    /// Something went wrong with an event that was no request.
    Error(EventError),
    /// There was a connection without the session; it goes on, and nothing was lost.
    Restored,
    /// The session is lost, and with it what the server sent meanwhile. A new one begins: rooms are to be joined
    /// again (best by [`ClientOptions::first`](super::ClientOptions::first)), and what is needed asked for.
    ///
    /// With the reason `stored` the session itself goes on, in its rooms, from what a store had of it when its node died: what is
    /// needed is to be asked for all the same, for what was sent last may be missing. What was sent and not acknowledged goes
    /// again, and may be handled twice.
    Gap {
        /// Why: `unknown`, `expired`, `history_lost`, as the server says, `protocol_error` when its counts did
        /// not fit, or `stored`.
        reason: String,
        /// Events of ours that were sent and not acknowledged: they may have been handled or not. They are not
        /// sent again. What was never sent is, in the new session.
        uncertain: Vec<Event>,
    },
}

impl Happening {
    /// The session goes on from what a store had of it.
    pub(super) fn stored_gap() -> Self {
        Self::Gap { reason: "stored".to_owned(), uncertain: Vec::new() }
    }
}

/// An event that the server wants an answer to. It knows its session: an answer after that is lost goes nowhere.
#[derive(Clone, Debug)]
pub struct Question {
    pub(super) event: Event,
    /// The session's number.
    pub(super) epoch: u64,
}

impl Question {
    /// The event that asks.
    #[must_use]
    pub const fn event(&self) -> &Event {
        &self.event
    }
}
