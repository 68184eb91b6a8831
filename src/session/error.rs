//! What can go wrong with a session.

/// Why there is no new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There are as many as there may be, and all have a connection.
    #[error("no place for another session: {sessions_max} are connected")]
    Full {
        /// How many there may be.
        sessions_max: usize,
    },
    /// The connection is closing, or its sender is that of a session already.
    #[error("the connection is closing")]
    Closed,
}

/// Why a session does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// There is no such session, or the token is not its, or the user: which, is not told.
    #[error("no such session")]
    Unknown,
    /// It waited for as long as it may.
    #[error("the session has expired")]
    Expired,
    /// Some of what the client has not received is not kept any more. The session has ended.
    #[error("what was sent meanwhile is not kept any more")]
    HistoryLost,
    /// The client says that it has received more than was sent, or that more was acknowledged than came.
    #[error("more received than was sent")]
    Ahead,
    /// The new connection is closing: the session waits for another.
    #[error("the connection is closing")]
    Closed,
    /// Another connection has asked for it since, on this or another node of a cluster.
    #[error("another connection has the session")]
    TakenOver,
}

/// The client says that it has received more than was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more acknowledged than was sent")]
pub struct AckError;
