//! The error of the faces.

use std::io;

use crate::frame::{CloseCode, CloseFrameError, Violation};
use crate::handshake::HandshakeError;
use crate::outbox::SendError;
use crate::protocol::{CloseCause, CloseOutcome, TimeoutKind};

mod denied;
mod kind;
mod proxy;
mod redirect;
mod setting;

pub use denied::Denied;
pub use kind::ErrorKind;
pub use proxy::ProxyError;
pub use redirect::RedirectError;
pub use setting::SettingError;

/// What can go wrong on a connection, by who is to blame.
///
/// No text and no `Debug` of it holds a header's value, a path, a query, a password or a payload: it may
/// be logged as it is. What is beneath it is its [`source`](std::error::Error::source).
///
/// ```
/// use sockeye::{Error, ErrorKind};
///
/// # async fn example(url: &str) -> Result<(), Error> {
/// match sockeye::connect(url).await {
///     Ok(socket) => drop(socket),
///     Err(error) if error.kind() == ErrorKind::PermissionDenied => eprintln!("{}", error.message()),
///     Err(error) if error.retryable() => eprintln!("for now: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection is closing or closed: nothing can be sent any more.
    #[error("connection closed")]
    Closed,
    /// The peer closed the connection, with the code that the outcome has.
    #[error("closed by the peer with {}", .0.code)]
    ClosedByPeer(Box<CloseOutcome>),
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
    /// The accept hook or the authenticator panicked. The client got 500.
    #[error("the accept hook or the authenticator panicked")]
    Panicked,
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
    /// A setting out of its range. Nothing is clamped.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The client's policy does not allow this connection.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// No connection could be made: the name is not known, nobody answers, or not in time.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// TLS could not be agreed on.
    #[error("tls: {0}")]
    Tls(#[source] io::Error),
    /// The proxy did not let us through.
    #[error("proxy: {0}")]
    Proxy(#[from] ProxyError),
    /// A redirect that was not followed.
    #[error("redirect: {0}")]
    Redirect(#[from] RedirectError),
    /// Called where no tokio runtime is.
    #[error("there is no tokio runtime here")]
    NoRuntime,
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
            Error::Io(error) | Error::Connect(error) => error,
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

    /// What kind of error it is, for programs that tell few apart.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Denied(_) => ErrorKind::PermissionDenied,
            Self::Url(_) | Self::Setting(_) | Self::CloseFrame(_) => ErrorKind::Invalid,
            Self::Handshake(error) => kind::of_handshake(error),
            Self::Violation(_) => ErrorKind::Protocol,
            _ => ErrorKind::Internal,
        }
    }

    /// What went wrong, in words: the same as its `Display`.
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// Whether connecting and trying again may help.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Io(_) | Self::Timeout(_) | Self::Connect(_) => true,
            // What a certificate is or is not stays so.
            Self::Tls(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Proxy(error) => error.retryable(),
            Self::ClosedByPeer(outcome) => outcome.code.is_retryable(),
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
            Self::ClosedByPeer(outcome) => Some(outcome.code),
            Self::Io(_) | Self::Timeout(_) => Some(CloseCode::Abnormal),
            _ => None,
        }
    }
}
