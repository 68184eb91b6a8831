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
    Gap {
        /// Why: `unknown`, `expired`, `history_lost`, as the server says, or `protocol_error` when its counts did
        /// not fit.
        reason: String,
        /// Events of ours that were sent and not acknowledged: they may have been handled or not. They are not
        /// sent again. What was never sent is, in the new session.
        uncertain: Vec<Event>,
    },
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
