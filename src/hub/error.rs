//! What a hub refuses, with the number that said no.

use crate::frame::CloseCode;

/// The hub's job queue is full: the broadcast was not taken, by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job queue full: {jobs} jobs, {bytes} bytes")]
pub struct BroadcastError {
    /// Jobs that wait.
    pub jobs: usize,
    /// The bytes of their messages.
    pub bytes: usize,
}

/// Why a connection did not get into a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The room has as many members as it may have.
    #[error("room full: {members_max} members")]
    RoomFull {
        /// The limit.
        members_max: usize,
    },
    /// The connection is in as many rooms as it may be.
    #[error("too many rooms: {rooms_max} a connection")]
    TooManyRooms {
        /// The limit.
        rooms_max: usize,
    },
    /// The name is empty, too long, has control characters, or white space at an end.
    #[error("room name: 1 to {bytes_max} bytes, no control characters, no white space at its ends")]
    Name {
        /// The longest name, in bytes.
        bytes_max: usize,
    },
    /// The application [says no](super::HubBuilder::on_join).
    #[error("not allowed in this room")]
    Refused,
    /// More joins wait for the hub's worker than may.
    #[error("too many joins: {jobs} jobs wait")]
    Busy {
        /// Jobs that wait.
        jobs: usize,
    },
    /// The connection is over.
    #[error("connection closed")]
    Closed,
}

/// Why something was not noted about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The application [says no](super::HubBuilder::on_metadata).
    #[error("not to be noted")]
    Refused,
    /// As much is noted about the connection as may be.
    #[error("too much metadata: {bytes_max} bytes a connection")]
    Full {
        /// The limit, in bytes.
        bytes_max: usize,
    },
}

/// Why a hub did not take a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The hub has as many connections as it may have.
    #[error("server full: {connections_max} connections")]
    Full {
        /// The limit.
        connections_max: usize,
    },
    /// The address has as many connections as it may have.
    #[error("too many connections of one address: {connections_max}")]
    AddressFull {
        /// The limit.
        connections_max: usize,
    },
    /// The user has as many connections as it may have.
    #[error("too many connections of one user: {connections_max}")]
    UserFull {
        /// The limit.
        connections_max: usize,
    },
    /// The address makes more handshakes than it may.
    #[error("too many handshakes: wait {retry_ms} ms")]
    TooFast {
        /// When one is allowed again, in milliseconds.
        retry_ms: u64,
    },
    /// The hub is shutting down.
    #[error("shutting down")]
    Stopped,
    /// The connection is registered already.
    #[error("registered already")]
    Twice,
    /// One of its first rooms did not take it.
    #[error(transparent)]
    Room(#[from] JoinError),
}

impl RegisterError {
    /// What to close a connection with that was let in and is not taken in: 1008 where it asked for a room
    /// that it may not be in, else 1013.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        use JoinError::{Name, Refused, TooManyRooms};
        match self {
            Self::Room(Refused | Name { .. } | TooManyRooms { .. }) => CloseCode::PolicyViolation,
            _ => CloseCode::TryAgainLater,
        }
    }
}
