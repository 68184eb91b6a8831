//! What an adapter is: how connections to a broker are made, and what one can do.

use bytes::Bytes;

use crate::client::BoxFuture;
use crate::sync::Arc;

use super::error::PubSubError;

/// Bytes on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusMessage {
    /// The channel: for an adapter its name on the wire, for who listens to a [`Bus`](super::Bus) the one subscribed to.
    pub channel: Arc<str>,
    /// What was published.
    pub payload: Bytes,
}

/// What comes from a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming {
    /// Somebody published this.
    Message(BusMessage),
    /// Something may have been lost here, on any channel.
    Gap,
}

/// One connection to a broker, from its beginning to its end. A [`Bus`](super::Bus) holds it and makes the next.
///
/// What an adapter has to keep:
/// - messages that one connection publishes to one channel arrive in that order, each at most once
/// - once [`subscribe`](Self::subscribe) has returned, all that is published from then on arrives, or a
///   [gap](Incoming::Gap) in its place; own messages come back like those of others
/// - where the connection is lost, [`next`](Self::next) says so; it does not connect again by itself
/// - what comes before [`next`](Self::next) is called waits, and nothing else depends on its being called
/// - names on the wire have letters, digits, `-`, `_` and `.` only, and are no longer than 400 bytes
/// - buffers of its own are bounded; what they cannot hold becomes a gap
/// - no error names a password
///
/// Deadlines are the bus's business: it drops a future that takes too long, and then the connection. All is called
/// from one task, but for `next`, which is called beside it.
pub trait PubSub: Send + Sync + 'static {
    /// Publishes in this order, in as few writes as it can; returns when the broker has all of them, or the system
    /// where the broker does not confirm.
    ///
    /// # Errors
    /// When the connection is lost. How many arrived nobody knows: they are not published again.
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>>;

    /// Subscribes; returns when the broker has confirmed.
    ///
    /// # Errors
    /// When the connection is lost, or the broker refuses.
    fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>>;

    /// The opposite. What still comes on these channels is ignored.
    ///
    /// # Errors
    /// When the connection is lost.
    fn unsubscribe<'a>(
        &'a self,
        channels: &'a [Arc<str>],
    ) -> BoxFuture<'a, Result<(), PubSubError>>;

    /// Waits for what comes. One task calls it.
    ///
    /// # Errors
    /// When the connection is lost; for good.
    ///
    /// Cancel safety: dropping the future loses nothing.
    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>>;

    /// Whether the broker answers, all of its servers that this connection needs; asked every so often. Without it a
    /// broker that stands still is noticed by the next thing published.
    ///
    /// # Errors
    /// When the connection is lost.
    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(async { Ok(()) })
    }

    /// Longest message this broker takes, in bytes.
    fn message_bytes_max(&self) -> usize {
        usize::MAX
    }
}

/// Makes connections to a broker. An async closure is one, too.
pub trait Broker: Send + Sync + 'static {
    /// A new connection, without subscriptions.
    ///
    /// # Errors
    /// When there is none.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>>;
}

impl<F, Connecting> Broker for F
where
    F: Fn() -> Connecting + Send + Sync + 'static,
    Connecting: Future<Output = Result<Box<dyn PubSub>, PubSubError>> + Send + 'static,
{
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        Box::pin(self())
    }
}
