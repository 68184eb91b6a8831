//! Who counts what passes on connections.

use std::fmt;

use crate::sync::Arc;

use super::Overflow;

/// Told of what passes on connections, from any thread: it must be quick and must not block.
///
/// A hub's metrics are one.
pub trait Observer: Send + Sync + 'static {
    /// A data message came, or some of a long one: `messages` is 0 then.
    fn received(&self, messages: u64, bytes: u64);

    /// Data messages were taken to be sent: written, or queued. Not told: one that takes the place of a
    /// [waiting one of its key](crate::Sender::try_send_latest). What a connection sends itself is told
    /// when it leaves.
    fn sent(&self, messages: u64, bytes: u64) {
        let _ = (messages, bytes);
    }

    /// Messages of those that were [sent](Self::sent) have been handed to the socket, to their last byte.
    fn delivered(&self, messages: u64) {
        let _ = messages;
    }

    /// Messages that a full outbox threw out ([`DropOldest`](Overflow::DropOldest)), or did not take (the
    /// others; they are not among the sent).
    fn dropped(&self, policy: Overflow, messages: u64) {
        let _ = (policy, messages);
    }

    /// Messages of those that were sent, and were not delivered when their connection ended.
    fn lost(&self, messages: u64) {
        let _ = messages;
    }

    /// A ping of ours was answered after so many microseconds.
    fn round_trip(&self, us: u64) {
        let _ = us;
    }
}

/// An observer that connections share. Cloning counts a reference.
#[derive(Clone)]
pub struct SharedObserver(Arc<dyn Observer>);

impl SharedObserver {
    /// Shares an observer.
    pub fn new(observer: impl Observer) -> Self {
        Self(Arc::new(observer))
    }
}

impl<T: Observer> Observer for Arc<T> {
    fn received(&self, messages: u64, bytes: u64) {
        T::received(self, messages, bytes);
    }

    fn sent(&self, messages: u64, bytes: u64) {
        T::sent(self, messages, bytes);
    }

    fn delivered(&self, messages: u64) {
        T::delivered(self, messages);
    }

    fn dropped(&self, policy: Overflow, messages: u64) {
        T::dropped(self, policy, messages);
    }

    fn lost(&self, messages: u64) {
        T::lost(self, messages);
    }

    fn round_trip(&self, us: u64) {
        T::round_trip(self, us);
    }
}

impl std::ops::Deref for SharedObserver {
    type Target = dyn Observer;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SharedObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedObserver").finish_non_exhaustive()
    }
}
