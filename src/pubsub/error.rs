//! What goes wrong between a node and its broker, and what a bus refuses.

use std::error::Error as StdError;
use std::fmt;

/// Why a connection to a broker could not be made or has ended.
///
/// It names no password and no URL: an adapter gives the kind, and as its source only what has no credentials in it.
pub struct PubSubError {
    kind: PubSubErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PubSubErrorKind {
    /// Nobody answers at the address.
    Unreachable,
    /// The broker refuses this client: a wrong password, or no permission.
    Refused,
    /// No answer within the deadline.
    Timeout,
    /// The connection was lost.
    Lost,
    /// The broker answered what is no answer, or does not know what was asked.
    Answer,
    /// The settings of the adapter cannot work.
    Setting,
}

impl PubSubError {
    /// An error without a source.
    #[must_use]
    pub const fn new(kind: PubSubErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// With what was behind it, which must not name credentials: it is shown.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it was.
    #[must_use]
    pub const fn kind(&self) -> PubSubErrorKind {
        self.kind
    }
}

impl fmt::Display for PubSubErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the broker cannot be reached",
            Self::Refused => "the broker refuses this client",
            Self::Timeout => "the broker does not answer in time",
            Self::Lost => "the connection to the broker is lost",
            Self::Answer => "the broker gave a wrong answer",
            Self::Setting => "the settings of the broker cannot work",
        })
    }
}

impl fmt::Display for PubSubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Debug for PubSubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_ref().map(ToString::to_string);
        f.debug_struct("PubSubError").field("kind", &self.kind).field("source", &source).finish()
    }
}

impl StdError for PubSubError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// What a [`Bus`](super::Bus) refuses at once. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The message is longer than this bus, or the broker it is connected to, takes.
    #[error("a message of {bytes} bytes, {max} at most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is taken.
        max: usize,
    },
    /// As much waits for the broker as may wait.
    #[error("{messages} messages with {bytes} bytes wait for the broker already")]
    Full {
        /// Messages that wait.
        messages: usize,
        /// Their bytes, names included.
        bytes: usize,
    },
    /// As many channels are subscribed to as may be.
    #[error("{max} channels are subscribed to already")]
    Channels {
        /// [`BusConfig::channels_max`](super::BusConfig::channels_max).
        max: usize,
    },
    /// The bus is closed.
    #[error("the bus is closed")]
    Closed,
}
