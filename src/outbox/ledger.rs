//! What became of the messages that an outbox took.

use crate::protocol::{Config, Overflow};
use crate::sync::Arc;

/// Tells the observer what became of each message, once:
///
/// ```text
///   given ─┬─► refused, by the policy
///          └─► sent = delivered + thrown out + lost + what waits still
/// ```
/// A message is delivered when its last byte is handed to the socket.
pub(super) struct Ledger {
    /// It has the observer, in one word.
    config: Arc<Config>,
    /// Messages that were refused, thrown out or lost.
    dropped: u64,
}

impl Ledger {
    pub(super) const fn new(config: Arc<Config>) -> Self {
        Self { config, dropped: 0 }
    }

    /// A full outbox did not take them: under `DropOldest`, too, that is dropping the newest.
    pub(super) fn refused(&mut self, policy: Overflow, messages: usize) {
        let policy = match policy {
            Overflow::DropOldest => Overflow::DropNewest,
            policy => policy,
        };
        self.drop_by(policy, messages);
    }

    /// They had been taken, and made room for others.
    pub(super) fn thrown_out(&mut self, messages: usize) {
        self.drop_by(Overflow::DropOldest, messages);
    }

    fn drop_by(&mut self, policy: Overflow, messages: usize) {
        self.dropped += messages as u64;
        if messages > 0
            && let Some(observer) = &self.config.observer
        {
            observer.dropped(policy, messages as u64);
        }
    }

    /// They had been taken, and could not leave before the connection's end. A session may have them.
    pub(super) fn lost(&mut self, messages: usize, is_session: bool) {
        if !is_session {
            self.dropped += messages as u64;
        }
        if messages > 0
            && let Some(observer) = &self.config.observer
        {
            observer.lost(messages as u64);
        }
    }

    #[inline]
    pub(super) fn delivered(&self, messages: usize) {
        if messages > 0
            && let Some(observer) = &self.config.observer
        {
            observer.delivered(messages as u64);
        }
    }

    /// A notice of the outbox itself is about to leave.
    pub(super) fn sent(&self, bytes: usize) {
        if let Some(observer) = &self.config.observer {
            observer.sent(1, bytes as u64);
        }
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}
