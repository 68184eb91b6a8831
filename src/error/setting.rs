//! Settings that make no sense.

use crate::deflate::DeflateError;
use crate::handshake::NetworkError;
use crate::protocol::DurationError;

/// A setting of the client that is out of its range. No text of it repeats a text it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// A number out of its range.
    #[error("{setting} of {value} is not within {min} to {max}")]
    Range {
        /// Which.
        setting: &'static str,
        /// What was given.
        value: u64,
        /// The least that is taken.
        min: u64,
        /// The most that is taken.
        max: u64,
    },
    /// A timeout that is no duration, or none at all.
    #[error("{setting}: {error}")]
    Duration {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        error: DurationError,
    },
    /// A setting of the compression.
    #[error(transparent)]
    Deflate(#[from] DeflateError),
    /// What should be the URL of a proxy; the text says why it is none.
    #[error("proxy: {0}")]
    Proxy(&'static str),
    /// What should be a pattern of URLs; the text says why it is none.
    #[error("pattern of URLs: {0}")]
    Pattern(&'static str),
    /// What should be a network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}
