//! What can go wrong with a proxy.

use http::StatusCode;

use crate::handshake::HandshakeError;

/// Why a proxy did not let us through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// An HTTP proxy answered CONNECT with another status than 2xx. With 407 it wants credentials, or
    /// others. Source: RFC 9110 9.3.6.
    #[error("answered {0}")]
    Status(StatusCode),
    /// The answer to CONNECT is no HTTP response, or too long.
    #[error("{0}")]
    Head(HandshakeError),
    /// Bytes followed the answer to CONNECT before anything was sent through: they are not the server's.
    #[error("bytes came before the server could have sent any")]
    EarlyBytes,
    /// A SOCKS proxy takes none of the ways to log in that we have. Source: RFC 1928 3.
    #[error("accepts no way to log in that we have")]
    Methods,
    /// A SOCKS proxy refused user and password. Source: RFC 1929 2.
    #[error("user and password were refused")]
    Credentials,
    /// A SOCKS proxy could not connect. Source: RFC 1928 6.
    #[error("{}", reply_text(*.0))]
    Reply(u8),
    /// A SOCKS proxy broke its protocol.
    #[error("does not speak SOCKS5: {0}")]
    Socks(&'static str),
    /// The way to the proxy is not there: the text says what it takes.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl ProxyError {
    /// Whether the same may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Status(status) => {
                matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            Self::Head(error) => error.retryable(),
            Self::Reply(reply) => matches!(reply, 1 | 3..=6),
            _ => false,
        }
    }
}

const fn reply_text(reply: u8) -> &'static str {
    match reply {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "the connection took too long",
        7 => "it does not connect",
        8 => "address type not supported",
        _ => "an unknown reply",
    }
}
