//! The closing handshake, and how a connection ended.

use std::io;

use crate::frame::{CloseCode, CloseFrame, Violation};

use super::Utf8Bytes;

/// Where a connection is in its life.
///
/// ```text
///                 close()                       peer's Close, or EOF,
///   Connecting ─► Open ────────────────► Closing ──or close timeout──► Closed
///                  │  peer's Close (answered), EOF, violation              ▲
///                  └────────────────────────────────────────────────────────┘
/// ```
///
/// Source: RFC 6455 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The opening handshake is not done. A value of this type has left it behind.
    Connecting,
    /// Messages go both ways.
    Open,
    /// Our close frame is out, the peer's has not come.
    Closing,
    /// Nothing goes any more.
    Closed,
}

/// Which end began to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// This end.
    Local,
    /// The other end.
    Peer,
}

/// Which wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// No pong after a ping.
    Pong,
    /// Nothing at all came.
    Idle,
    /// A write made no progress.
    Write,
    /// The peer did not answer our close frame.
    Close,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// One of the ends asked for it.
    Handshake,
    /// The peer broke the protocol or a limit.
    Violation(Violation),
    /// A wait was too long.
    Timeout(TimeoutKind),
    /// The stream ended without a close frame.
    Eof,
    /// The stream failed.
    Io(io::ErrorKind),
    /// The connection was dropped here without being closed.
    Dropped,
}

/// How a connection ended: the first true reason, never overwritten.
///
/// Source: RFC 6455 7.1.4 to 7.1.6.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseOutcome {
    /// The code: the peer's when it began, ours when we did, 1006 when the stream was lost.
    pub code: CloseCode,
    /// The reason that came with it; may be empty.
    pub reason: Utf8Bytes,
    /// Who began.
    pub initiator: Initiator,
    /// Whether close frames went both ways.
    pub clean: bool,
    /// Why.
    pub cause: CloseCause,
}

impl CloseOutcome {
    pub(super) fn by_peer(frame: Option<&CloseFrame>) -> Self {
        Self {
            code: frame.map_or(CloseCode::NoStatus, CloseFrame::code),
            reason: frame.map_or("", CloseFrame::reason).into(),
            initiator: Initiator::Peer,
            clean: true,
            cause: CloseCause::Handshake,
        }
    }

    pub(super) fn by_us(frame: Option<&CloseFrame>, cause: CloseCause) -> Self {
        Self { initiator: Initiator::Local, clean: false, cause, ..Self::by_peer(frame) }
    }

    pub(crate) fn lost(cause: CloseCause) -> Self {
        let initiator = match cause {
            CloseCause::Timeout(_) | CloseCause::Dropped => Initiator::Local,
            _ => Initiator::Peer,
        };
        let reason = Utf8Bytes::default();
        Self { code: CloseCode::Abnormal, reason, initiator, clean: false, cause }
    }
}
