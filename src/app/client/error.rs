//! What a client refuses, and what its requests come to.

use std::time::Duration;

use crate::app::event::{EventError, UnwritableEvent};

/// Why an event was not queued. Nothing of it is sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// It cannot be written.
    #[error(transparent)]
    Unwritable(#[from] UnwritableEvent),
    /// Its name belongs to the protocol: it begins with `sys.`, or is `error` where events are tagged.
    #[error("this name belongs to the protocol")]
    ReservedName,
    /// As much as may be is not acknowledged yet. It may be tried again later.
    #[error("{events} events ({bytes} bytes) are not acknowledged yet")]
    Full {
        /// Events that wait.
        events: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The session that asked is over: nobody waits for this answer.
    #[error("the session that asked is over")]
    SessionLost,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not queued.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The server answered with an error.
    #[error("refused: {0}")]
    Refused(EventError),
    /// The answer is not what was asked for; the error says which field.
    #[error("an answer that does not fit: {0}")]
    Unreadable(EventError),
    /// No answer came in time. The server may have handled it, unless it was never sent.
    #[error("no answer within {} ms", .timeout.as_millis())]
    Timeout {
        /// How long it waited.
        timeout: Duration,
    },
    /// It was sent in a session that is lost: whether it was handled nobody knows.
    #[error("the session is lost")]
    SessionLost,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}
