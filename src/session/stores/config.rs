//! The numbers of an application that keeps its sessions in a store.

use std::time::Duration;

/// How often sessions are written to a store, and how long it is waited for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreConfig {
    /// How often sessions that have changed are written (default 1 s; at least 1 ms): what a node sent in this time before it
    /// was killed is lost where the client has not had it. A session that begins, or whose connection has
    /// fallen, is written at once.
    pub interval: Duration,
    /// How long a call may take (default 2 s).
    pub timeout: Duration,
    /// Calls of the writer at a time (default 16; at least 1).
    pub calls_max: usize,
    /// The longest record, in bytes (default 1 MiB, or what the store takes): of what is kept for a client the oldest messages that do not fit are left
    /// out, and a longer record of another node is none.
    pub record_bytes_max: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            calls_max: 16,
            record_bytes_max: 1024 * 1024,
        }
    }
}
