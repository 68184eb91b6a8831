//! The error of the faces.

use std::io;

use crate::frame::{CloseCode, CloseFrameError, Violation};
use crate::handshake::HandshakeError;
use crate::outbox::SendError;
use crate::protocol::{CloseCause, TimeoutKind};

/// What can go wrong on a connection, by who is to blame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection is closing or closed: nothing can be sent any more.
    #[error("connection closed")]
    Closed,
    /// The peer broke the protocol or a limit. The connection was closed with its code.
    #[error("protocol error: {0} ({section})", section = .0.section())]
    Violation(Violation),
    /// The opening handshake failed or was refused.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// The request was no upgrade and has been answered, with this status.
    #[error("answered with status {0}")]
    Answered(http::StatusCode),
    /// The accept hook accepted a request that is no WebSocket upgrade. The client got 426.
    #[error("the request is no WebSocket upgrade, so it cannot be accepted as one")]
    WebSocketNotEnabled,
    /// A wait was too long; the connection is dropped.
    #[error("{}", timeout_text(*.0))]
    Timeout(TimeoutKind),
    /// A close frame that cannot be sent.
    #[error(transparent)]
    CloseFrame(#[from] CloseFrameError),
    /// A message was not taken.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A URL that cannot be connected to.
    #[error("url: {0}")]
    Url(&'static str),
    /// The stream failed.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
}

const fn timeout_text(kind: TimeoutKind) -> &'static str {
    match kind {
        TimeoutKind::Pong => "no pong in time",
        TimeoutKind::Idle => "nothing came for too long",
        TimeoutKind::Write => "a write made no progress",
        TimeoutKind::Close => "the peer did not answer the close frame",
    }
}

impl From<Error> for io::Error {
    /// For those who read and write: an I/O error stays what it is, any other is inside.
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io(_) => io::ErrorKind::Other,
            Error::Violation(_) => io::ErrorKind::InvalidData,
            Error::Timeout(_) => io::ErrorKind::TimedOut,
            Error::Closed | Error::Send(_) => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::Other,
        };
        match error {
            Error::Io(error) => error,
            error => Self::new(kind, error),
        }
    }
}

impl Error {
    /// The error of a connection that ended for this cause; `None` when an end asked for it.
    pub(crate) fn of_cause(cause: CloseCause) -> Option<Self> {
        match cause {
            CloseCause::Handshake | CloseCause::Timeout(TimeoutKind::Close) => None,
            CloseCause::Violation(violation) => Some(Self::Violation(violation)),
            CloseCause::Timeout(kind) => Some(Self::Timeout(kind)),
            CloseCause::Eof => {
                let text = "the stream ended without a close frame";
                Some(Self::Io(io::Error::new(io::ErrorKind::UnexpectedEof, text)))
            }
            CloseCause::Io(kind) => Some(Self::Io(kind.into())),
            CloseCause::Dropped => Some(Self::Closed),
        }
    }

    /// Whether connecting and trying again may help.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Io(_) | Self::Timeout(_) => true,
            Self::Handshake(error) => error.retryable(),
            Self::Send(error) => error.retryable(),
            _ => false,
        }
    }

    /// The close code that belongs to this error, where there is one.
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Violation(violation) => Some(violation.close_code()),
            Self::Io(_) | Self::Timeout(_) => Some(CloseCode::Abnormal),
            _ => None,
        }
    }
}
