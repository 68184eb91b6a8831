//! What an application's server refuses, and what its sends come to.

use std::io;
use std::time::Duration;

use crate::frame::CloseFrameError;
use crate::hub::{BroadcastError, HubError};
use crate::outbox::SendError;

use super::event::{EventError, UnwritableEvent};

/// Why an application does not start or stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// An address cannot be had, or a listener is broken.
    #[error("listener: {0}")]
    Io(#[from] io::Error),
    /// A setting of the hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A path that cannot be routed: `/ws/{id}` and `/ws/{name}` side by side, say.
    #[error("route {path}: {reason}")]
    Route {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An event that cannot be handled: a name that is empty, longer than 124 bytes or begins with `sys.`, or one
    /// that has two handlers.
    #[error("event {name:?}: {reason}")]
    Event {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A schema that cannot be used: it is none, refers to something outside of itself, or is of an event without a handler
    /// or with another schema.
    #[error("schema of {of}: {reason}")]
    Schema {
        /// What it is of.
        of: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The close frame of a shutdown cannot be sent.
    #[error(transparent)]
    Close(#[from] CloseFrameError),
}

/// Why an event was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventSendError {
    /// It cannot be written.
    #[error(transparent)]
    Unwritable(#[from] UnwritableEvent),
    /// The client's outbox did not take it.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The hub did not take it.
    #[error(transparent)]
    Broadcast(#[from] BroadcastError),
    /// It was to be kept, and only what is said to a room can be.
    #[error("only what is said to a room is kept")]
    NoRoom,
    /// No session of this node has that id.
    #[error("no such session")]
    NoSession,
}

/// Why a question to a client has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] EventSendError),
    /// The client has answered with an error.
    #[error("refused by the client: {0}")]
    Refused(EventError),
    /// No answer came in time.
    #[error("no answer within {} ms", .timeout.as_millis())]
    Timeout {
        /// How long it waited.
        timeout: Duration,
    },
    /// The session is over.
    #[error("the session is over")]
    Closed,
    /// As many questions of this session wait as may.
    #[error("{requests_max} questions wait already")]
    TooMany {
        /// The limit.
        requests_max: usize,
    },
}

impl From<UnwritableEvent> for RequestError {
    fn from(error: UnwritableEvent) -> Self {
        Self::Send(error.into())
    }
}
