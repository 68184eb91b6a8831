//! The bounds of sessions.

use std::time::Duration;

/// How long sessions live without a connection, and how much is kept for them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// How long a session waits for its next connection. Default: two minutes.
    pub suspended_for: Duration,
    /// Sessions at the same time, with and without a connection. Default: 65,536. Where there is no place, the
    /// one that has been without a connection for longest goes.
    pub sessions_max: usize,
    /// Messages that are kept for one session until they are acknowledged. Default: 256.
    pub kept_messages_max: usize,
    /// What they may cost, in bytes: their payloads and 64 bytes each. Default: 256 KiB.
    pub kept_bytes_max: usize,
    /// The same for all sessions together. Default: 64 MiB. A message that two sessions share counts twice.
    pub kept_bytes_total_max: usize,
    /// How long a message is kept at least, where the other bounds allow it; at most twice as long.
    /// Default: five minutes.
    pub kept_for: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            suspended_for: Duration::from_secs(120),
            sessions_max: 65_536,
            kept_messages_max: 256,
            kept_bytes_max: 256 * 1024,
            kept_bytes_total_max: 64 * 1024 * 1024,
            kept_for: Duration::from_secs(300),
        }
    }
}
