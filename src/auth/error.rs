//! Why somebody does not get in, what is answered, and what the calling code got wrong.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use crate::frame::CloseCode;
use crate::handshake::RoomNameError;

use super::{JwtError, QueryError};

/// Why somebody does not get in.
///
/// Its text is for the client; it never holds anything of what the client sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No credentials: 401.
    #[error("authentication required")]
    Missing,
    /// The token is not good: 401.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// The credentials are not good, and more is nobody's business: 401.
    #[error("invalid credentials")]
    Invalid,
    /// The credentials cannot be read: 400 or 401.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Not here: 403. The same for a room that is not known, a wrong password and a wrong user, so
    /// that nobody finds out names.
    #[error("not allowed")]
    Refused,
    /// Too many failed attempts: 429.
    #[error("too many attempts")]
    RateLimited {
        /// When to come back; sent as whole seconds, rounded up.
        retry_after: Duration,
    },
    /// Who is asked cannot answer now: 503.
    #[error("authentication is not available")]
    Unavailable {
        /// When to come back; sent as whole seconds, rounded up.
        retry_after: Duration,
    },
}

/// Why credentials cannot be read off a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The query: 400.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The room's name: 400.
    #[error(transparent)]
    Room(#[from] RoomNameError),
    /// A token or password is not of its form: 401. Source: RFC 6750 2.1.
    #[error("malformed credentials")]
    Malformed,
    /// Several that are not the same: 400. Source: RFC 6750 2, 3.1.
    #[error("several credentials that disagree")]
    Disagree,
}

/// What the code that sets authentication up got wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A secret of fewer than 32 bytes. Source: RFC 7518 3.2.
    #[error("a secret of {bytes} bytes, at least 32 are needed")]
    SecretTooShort {
        /// Its length.
        bytes: usize,
    },
    /// Two keys of one name.
    #[error("two keys of one name")]
    KeyTwice,
    /// More leeway than clocks can need.
    #[error("a leeway of more than {} s", .limit.as_secs())]
    LeewayTooLong {
        /// The limit that was crossed.
        limit: Duration,
    },
    /// A room's name.
    #[error(transparent)]
    Room(#[from] RoomNameError),
    /// A room's password is empty or too long.
    #[error("a room password has 1 to {limit} bytes")]
    PasswordLength {
        /// The longest, in bytes.
        limit: usize,
    },
    /// As many rooms with passwords as there may be.
    #[error("more than {limit} rooms with passwords")]
    TooManyRooms {
        /// The limit that was crossed.
        limit: usize,
    },
}

impl CredentialsError {
    const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::UNAUTHORIZED,
            Self::Query(_) | Self::Room(_) | Self::Disagree => StatusCode::BAD_REQUEST,
        }
    }
}

impl AuthError {
    /// The HTTP status that answers this error.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Jwt(_) | Self::Invalid => StatusCode::UNAUTHORIZED,
            Self::Credentials(error) => error.status(),
            Self::Refused => StatusCode::FORBIDDEN,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The close code for a connection that is open already: 1008 when credentials are missing, 4401
    /// for bad ones, 4403 for a room, 1013 when nobody can tell now.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::Missing | Self::RateLimited { .. } => CloseCode::PolicyViolation,
            Self::Jwt(_) | Self::Invalid | Self::Credentials(_) => CloseCode::Other(4401),
            Self::Refused => CloseCode::Other(4403),
            Self::Unavailable { .. } => CloseCode::TryAgainLater,
        }
    }

    /// The refusal as a response: status, `Connection: close`, the headers the status asks for, one
    /// line of plain text. Equal errors give equal bytes.
    ///
    /// Source: RFC 9110 11.6.1, RFC 6750 3 (`WWW-Authenticate`); RFC 9110 10.2.3 (`Retry-After`).
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if self.status() == StatusCode::UNAUTHORIZED {
            let challenge = match self {
                Self::Missing => "Bearer",
                _ => "Bearer error=\"invalid_token\"",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(retry_after) = self.retry_after() {
            let up = u64::from(retry_after.subsec_nanos() > 0);
            let seconds = retry_after.as_secs().saturating_add(up);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// When to come back, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }

    /// Whether the same attempt may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        self.retry_after().is_some()
    }

    /// Whether it may have been a guess: somebody who tries tokens and passwords gets these. An expired
    /// token with our signature is none.
    #[must_use]
    pub const fn is_guess(&self) -> bool {
        match self {
            Self::Jwt(error) => !matches!(error, JwtError::Expired),
            Self::Invalid | Self::Credentials(_) | Self::Refused => true,
            Self::Missing | Self::RateLimited { .. } | Self::Unavailable { .. } => false,
        }
    }
}
