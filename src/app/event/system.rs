//! The events of the protocol itself, as types. Members are written as they are on the wire: `sessionId`.

use serde::{Deserialize, Serialize};

use super::error::{EventError, FieldError};

/// `sys.session.created`, to the client: the first message.
pub const CREATED: &str = "sys.session.created";
/// `sys.session.restored`, to the client: the answer to [`RECONNECT`].
pub const RESTORED: &str = "sys.session.restored";
/// `sys.reconnect.request`, to the server: the first message of who comes back.
pub const RECONNECT: &str = "sys.reconnect.request";
/// `sys.ack`, both ways: how many messages have come.
pub const ACK: &str = "sys.ack";
/// `sys.ping`, both ways; answered by [`PONG`] with its payload.
pub const PING: &str = "sys.ping";
/// `sys.pong`, both ways.
pub const PONG: &str = "sys.pong";
/// `sys.error`, to the client. A [tagged](super::Codec::Tagged) one is called `error`.
pub const ERROR: &str = "sys.error";

/// The payload of [`CREATED`], and of [`RESTORED`] where it could be. Its `Debug` does not show the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Created {
    /// The session's public name.
    pub session_id: String,
    /// Whose it is.
    pub user_id: Option<String>,
    /// What resumes it, once: a secret.
    pub token: String,
    /// How long it outlives its connection, in milliseconds.
    pub expires_ms: u64,
    /// Messages of the server so far, of those that count: the next is one more.
    pub sent: u64,
    /// Messages of the client that the server has had.
    pub received: u64,
    /// After how many an acknowledgement is due.
    pub ack_every: u32,
}

/// The payload of [`RESTORED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Restored {
    /// Whether the session goes on.
    pub restored: bool,
    /// Why not: `unknown`, `expired`, `history_lost`. A new session follows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Whether it goes on from what a store had of it: what was sent last before its node died may be missing.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub gap: bool,
    /// The session that goes on, with its new token.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub session: Option<Created>,
}

/// The payload of [`RECONNECT`]. Its `Debug` does not show the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Reconnect {
    /// The session to go on with.
    pub session_id: String,
    /// Its secret.
    pub token: String,
    /// How many messages of the server the client has had, of those that count.
    pub received: u64,
    /// How many of its own the server has acknowledged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acknowledged: Option<u64>,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Created")
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Reconnect {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Reconnect")
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

/// The payload of [`ACK`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ack {
    /// How many messages have come, of those that count.
    pub received: u64,
}

impl Ack {
    /// So many have come.
    #[must_use]
    pub const fn new(received: u64) -> Self {
        Self { received }
    }
}

/// The payload of [`ERROR`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// As [`EventError::code`].
    pub code: i32,
    /// As [`EventError::message`].
    pub message: String,
    /// As [`EventError::recoverable`].
    pub recoverable: bool,
    /// As [`EventError::reason`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// As [`EventError::errors`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldError>,
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        let EventError { code, message, recoverable, reason, errors, .. } = error;
        Self { code, message, recoverable, reason, errors }
    }
}

impl From<Failure> for EventError {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, recoverable, reason, errors } = failure;
        let mut error = Self::new(code, message);
        (error.recoverable, error.reason, error.errors) = (recoverable, reason, errors);
        error
    }
}
