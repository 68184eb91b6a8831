//! What goes wrong between a node and its store.

use std::error::Error as StdError;
use std::fmt;

/// Why a store could not be asked.
///
/// It names no password and no URL: a store gives the kind, and as its source only what has no credentials in it.
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Nobody answers at the address, or the connection was lost.
    Unreachable,
    /// The store refuses this client: a wrong password, or no permission.
    Refused,
    /// No answer within the deadline.
    Timeout,
    /// It has no room for more.
    Full,
    /// It answered what is no answer.
    Answer,
    /// Its settings cannot work.
    Setting,
}

impl StoreError {
    /// An error without a source.
    #[must_use]
    pub const fn new(kind: StoreErrorKind) -> Self {
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
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the store of sessions cannot be reached",
            Self::Refused => "the store of sessions refuses this client",
            Self::Timeout => "the store of sessions does not answer in time",
            Self::Full => "the store of sessions is full",
            Self::Answer => "the store of sessions gave a wrong answer",
            Self::Setting => "the settings of the store of sessions cannot work",
        })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_ref().map(ToString::to_string);
        f.debug_struct("StoreError").field("kind", &self.kind).field("source", &source).finish()
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
