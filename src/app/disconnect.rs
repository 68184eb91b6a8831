//! Why a connection ends, by its name, and whether to come back.

use crate::frame::CloseCode;

/// Why a connection ends: what its close code says, and what its client does about it.
///
/// ```
/// use sockeye::app::{Disconnect, Reconnect};
///
/// assert_eq!(Disconnect::TakenOver.code(), 4001);
/// assert_eq!(Disconnect::from_code(1013).advice(), Reconnect::Later);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disconnect {
    /// 1000: done.
    Done,
    /// 1001: the server or the page goes away.
    GoingAway,
    /// 1006: lost without a word.
    Lost,
    /// 1008: against the rules, or too much.
    Policy,
    /// 1011: an error of the server.
    Internal,
    /// 1012: the server restarts.
    Restart,
    /// 1013: the server has no place now.
    Busy,
    /// 4000: ended by the application.
    Ended,
    /// 4001: another connection has the session.
    TakenOver,
    /// 4401: who it was is not known any more.
    IdentityEnded,
    /// 4403: not allowed.
    Forbidden,
    /// 4408: said nothing in time.
    TimedOut,
    /// Any other code.
    Other(u16),
}

/// Whether a client connects again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reconnect {
    /// Yes, with waits that grow.
    WithBackoff,
    /// Once more; when it ends so again, no.
    Once,
    /// Yes, after 5 to 30 s at the least: those who were sent away together do not come back together.
    Later,
    /// With a new token.
    AfterLogin,
    /// No.
    Never,
}

impl Disconnect {
    /// By its code.
    #[must_use]
    pub const fn from_code(code: u16) -> Self {
        match code {
            1000 => Self::Done,
            1001 => Self::GoingAway,
            1006 => Self::Lost,
            1008 => Self::Policy,
            1011 => Self::Internal,
            1012 => Self::Restart,
            1013 => Self::Busy,
            4000 => Self::Ended,
            4001 => Self::TakenOver,
            4401 => Self::IdentityEnded,
            4403 => Self::Forbidden,
            4408 => Self::TimedOut,
            code => Self::Other(code),
        }
    }

    /// Its code.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::GoingAway => 1001,
            Self::Lost => 1006,
            Self::Policy => 1008,
            Self::Internal => 1011,
            Self::Restart => 1012,
            Self::Busy => 1013,
            Self::Ended => 4000,
            Self::TakenOver => 4001,
            Self::IdentityEnded => 4401,
            Self::Forbidden => 4403,
            Self::TimedOut => 4408,
            Self::Other(code) => code,
        }
    }

    /// Whether its client connects again. Codes of the application's own (4000 to 4999) say no; others that are
    /// not known may be tried.
    #[must_use]
    pub const fn advice(self) -> Reconnect {
        match self {
            Self::GoingAway | Self::Lost | Self::TimedOut => Reconnect::WithBackoff,
            Self::Internal => Reconnect::Once,
            Self::Restart | Self::Busy => Reconnect::Later,
            Self::IdentityEnded => Reconnect::AfterLogin,
            Self::Done | Self::Policy | Self::Ended | Self::TakenOver | Self::Forbidden => {
                Reconnect::Never
            }
            // A close without a code is a goodbye as 1000 is.
            Self::Other(1002 | 1003 | 1005 | 1007 | 1009 | 1010 | 4002..=4999) => Reconnect::Never,
            Self::Other(_) => Reconnect::WithBackoff,
        }
    }
}

impl From<CloseCode> for Disconnect {
    fn from(code: CloseCode) -> Self {
        Self::from_code(code.into())
    }
}
