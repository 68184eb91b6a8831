//! The few kinds of errors.

use crate::handshake::HandshakeError;

/// The kinds of [`Error`](super::Error). Whether trying again may help is no part of the kind: see
/// [`retryable`](super::Error::retryable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client's policy does not allow the connection.
    PermissionDenied,
    /// What the caller gave makes no sense: a URL, a setting, a header, a close code.
    Invalid,
    /// The peer does not speak the protocol.
    Protocol,
    /// Anything else: no connection, a refused or a lost one.
    Internal,
}

impl ErrorKind {
    /// In one word, as programs write it: `permission_denied`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PermissionDenied => "permission_denied",
            Self::Invalid => "invalid",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(super) const fn of_handshake(error: &HandshakeError) -> ErrorKind {
    use HandshakeError as E;
    match error {
        E::Uri(_)
        | E::HeaderOwned(_)
        | E::OfferedSubprotocol
        | E::ChosenSubprotocol
        | E::InvalidExtension
        | E::ChosenExtension
        | E::InvalidOrigin => ErrorKind::Invalid,
        E::UnexpectedStatus(_)
        | E::Redirect(_)
        | E::Timeout
        | E::Closed
        | E::Busy { .. }
        | E::RateLimited { .. }
        | E::NotUpgradable
        | E::OriginRefused => ErrorKind::Internal,
        _ => ErrorKind::Protocol,
    }
}
