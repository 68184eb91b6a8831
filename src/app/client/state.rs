//! Where a client is.

use std::time::Duration;

use crate::app::disconnect::Disconnect;
use crate::error::Error;
use crate::sync::Arc;

/// Where a client is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientState {
    /// It connects for the first time.
    Connecting,
    /// It has a connection and a session.
    Open,
    /// The connection is lost: it waits, then connects again.
    Reconnecting {
        /// Attempts that have failed in a row, and connections that had their session for less than 5 s.
        failures: u32,
        /// How long it waits.
        delay: Duration,
        /// Why there is no connection.
        error: Arc<Error>,
    },
    /// It is over: closed here, or by a server that says not to come back.
    Closed {
        /// Why.
        why: Disconnect,
        /// What the server said. `None`: closed here.
        error: Option<Arc<Error>>,
    },
}

impl ClientState {
    /// Whether it is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

/// A session as the server tells it. Its token is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientSession {
    /// Its public name, which never changes.
    pub id: String,
    /// Whose it is, where the server knows.
    pub user: Option<String>,
}
