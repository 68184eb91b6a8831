//! Why a message was not taken.

/// Why a message was not taken. It is not queued and not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    #[error("connection closed")]
    Closed,
    /// The outbox is full and its policy is not to wait, or what was called never waits. Under
    /// `DropNewest` and `DropOldest` the message is counted as dropped.
    #[error("send queue full: {messages} messages, {bytes} bytes")]
    Full {
        /// Messages that wait.
        messages: usize,
        /// Payload bytes that wait.
        bytes: usize,
    },
    /// The outbox stayed full as long as its policy waits.
    #[error("send timeout after {timeout_ms} ms")]
    Timeout {
        /// How long it waited, in milliseconds.
        timeout_ms: u64,
    },
}

impl SendError {
    /// Whether the same send may succeed later on the same connection.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        !matches!(self, Self::Closed)
    }
}

impl From<crate::protocol::ConnectionClosed> for SendError {
    fn from(_: crate::protocol::ConnectionClosed) -> Self {
        Self::Closed
    }
}
