//! What happens when an outbox is full, and what its peer hears of it.

use std::time::Duration;

use crate::sync::Arc;

use super::Message;

/// What happens when a message meets a full outbox: one that holds
/// [`outbox_messages_max`](super::Config::outbox_messages_max) messages already, or would pass
/// [`outbox_bytes_max`](super::Config::outbox_bytes_max).
///
/// Control frames have no part in it: they pass what waits and are never dropped. A message that has
/// begun to leave, the place of a message that is written piece by piece, and what a connection sends
/// itself (a handler's answers) are never dropped either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Wait for space up to the timeout; who waits longest is next. What does not wait (`try_send`)
    /// is refused instead.
    ///
    /// A broadcast never waits, and nobody waits for it: the outbox itself is where its messages wait,
    /// in order, up to the bound in bytes and, beyond the bound in messages, to 16,384 of them. A member
    /// for which a broadcast passes one of these is closed with 1013 at once; the timeout is for those
    /// who send to one peer. A member that takes nothing at all is lost after the
    /// [write timeout](super::Config::write_timeout), before or after that.
    Block {
        /// How long to wait.
        timeout: Duration,
    },
    /// Drop the new message and count it.
    DropNewest,
    /// Drop the oldest messages that wait, until the new one fits, and count them.
    ///
    /// A message longer than the whole bound waits alone: all go that may be dropped. Where this is
    /// not enough, nothing is dropped but the new one.
    DropOldest,
    /// Close the connection with 1013. What waits is dropped and counted.
    Close,
}

/// Tells a peer how many messages it has missed.
///
/// Where messages were dropped by [`Overflow::DropNewest`] or [`Overflow::DropOldest`], a message made
/// from their number is sent in their place: behind what came before the gap, and before what comes
/// after it. So the numbers of all notices add up to what was
/// [dropped](crate::outbox::Sender::dropped) while the connection was open. A message that was
/// replaced by a [later one of its key](crate::outbox::Sender::try_send_latest) is not missed.
///
/// ```
/// use sockeye::protocol::{Config, GapNotice, Message, Overflow};
///
/// let mut config = Config::default();
/// config.overflow = Overflow::DropOldest;
/// config.gap_notice = Some(GapNotice::new(|missed| Message::text(format!("missed {missed}"))));
/// ```
///
/// A notice is not counted in the bounds; there is at most one beside each message that waits.
///
/// Cost: nothing while nothing is missed.
#[derive(Clone)]
pub struct GapNotice(Arc<dyn Fn(u64) -> Message + Send + Sync>);

impl GapNotice {
    /// Makes the notice with a function of the number missed. What is no data message is not sent.
    ///
    /// The function is called under the lock of the outbox, when the notice is about to leave: it
    /// must not wait, nor use a sender of the connection.
    pub fn new(make: impl Fn(u64) -> Message + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// The notice for so many messages.
    #[must_use]
    pub fn message(&self, missed: u64) -> Message {
        (self.0)(missed)
    }
}

impl std::fmt::Debug for GapNotice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GapNotice").finish_non_exhaustive()
    }
}
