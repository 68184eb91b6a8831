//! What a store is.

use std::time::Duration;

use bytes::Bytes;

use crate::client::BoxFuture;
use crate::sync::Arc;

use super::error::StoreError;

/// Records of sessions by their public names: 22 characters of `A-Z`, `a-z`, `0-9`, `-` and `_`. What a store has to keep:
///
/// - a [`put`](Self::put) compares and writes in one step, whoever else writes at that moment
/// - what was put is there for the time that was asked for; what is older is not there
/// - bytes come back as they were, and mean nothing to it
/// - no error names a password
///
/// **Who can write to it can be anybody**: what is in a record becomes a session. It is to be reached by the nodes only.
///
/// Deadlines are the caller's business: it drops a future that takes too long. A put that was dropped, or has failed, may have
/// been done.
pub trait SessionStore: Send + Sync + 'static {
    /// What is there under this name.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>>;

    /// Writes a record, if the one that is there has the epoch that is expected.
    ///
    /// # Errors
    /// When the store cannot be asked, or has no room. It may have been done all the same.
    fn put<'a>(&'a self, id: &'a str, put: Put) -> BoxFuture<'a, Result<Wrote, StoreError>>;

    /// Removes a record, if it has this epoch.
    ///
    /// # Errors
    /// When the store cannot be asked. It may have been done all the same.
    fn remove<'a>(&'a self, id: &'a str, epoch: u64) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The longest record that it takes, in bytes, as far as it knows: of a session that is longer the oldest messages are
    /// left out. What is longer all the same it refuses with [`StoreErrorKind::Full`](super::StoreErrorKind::Full).
    fn record_bytes_max(&self) -> usize {
        usize::MAX
    }
}

/// What is to be written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The epoch of the record that it takes the place of; 0: there is none.
    pub expected: u64,
    /// Its own epoch, 1 or more.
    pub epoch: u64,
    /// What is written. It holds what clients were sent, and hashes of their tokens.
    pub bytes: Bytes,
    /// How long it is to be kept, from 1 ms.
    pub keep_for: Duration,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its epoch.
    pub epoch: u64,
    /// What was written.
    pub bytes: Bytes,
}

/// What became of a [`Put`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It is written.
    Done,
    /// A record was expected and none is there: its time was over, or the store has lost it.
    Missing,
    /// The record has another epoch: somebody else has the session.
    Taken,
}

/// A store, whichever it is.
pub(crate) type SharedStore = Arc<dyn SessionStore>;
