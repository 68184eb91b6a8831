//! What a node holds.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::sync::{Arc, Mutex, Ordering};

use super::broker::{Broker, BusMessage, Incoming};
use super::config::BusConfig;
use super::error::{BusError, PubSubErrorKind};
use super::keeper::Keeper;
use super::shared::Shared;

/// Where a bus is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusState {
    /// It connects for the first time.
    Connecting,
    /// It is connected, and all that is wanted is subscribed to.
    Up {
        /// Connections so far with this one: from 2 on there was a gap before it.
        connections: u64,
    },
    /// There is no connection, and it tries again until there is one.
    Down {
        /// What went wrong last.
        kind: PubSubErrorKind,
        /// Since when there is none.
        since: Instant,
        /// Attempts that have failed since then.
        tries: u32,
    },
    /// It is over.
    Closed,
}

/// What happened to a bus so far, as counters that only go up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusCounters {
    /// Messages that a broker has taken.
    pub published: u64,
    /// Messages that came, on channels that are wanted.
    pub received: u64,
    /// Messages to publish that were refused or thrown out: no room, or too long.
    pub dropped_out: u64,
    /// Messages whose connection was lost while they were published, and those that waited at the end: some of them may
    /// have arrived.
    pub lost_out: u64,
    /// Messages that came and were thrown out because nobody took them in time.
    pub dropped_in: u64,
    /// Messages that came and were longer than allowed.
    pub too_long_in: u64,
    /// Gaps that were told by brokers, and one for each connection after the first.
    pub gaps: u64,
    /// Connections so far.
    pub connections: u64,
}

/// A node's end of the bus: publishes bytes on named channels to all nodes, and says which channels it listens to.
/// Clonable; when the last clone is dropped, or it is [closed](Self::close), the bus ends.
///
/// **At most once.** A message reaches each node that listens once or not at all: what was under way when a connection
/// was lost is not sent again. Where something may be missing, [`BusEvents`] says so with a [gap](Incoming::Gap).
/// **In order** are the messages of one bus on one channel. **Own messages come back** where one listens to the channel:
/// who wants no echo puts the name of the node into the message.
///
/// A broker that is away is no error: the bus connects again by itself, after a random time up to a ceiling that doubles
/// ([`BusConfig::backoff_first`] to [`backoff_max`](BusConfig::backoff_max)), then subscribes to what is wanted.
/// Meanwhile what is published waits, as far as there is room.
///
/// ```
/// use sockeye::pubsub::{Bus, BusConfig, Incoming, Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Memory::new();
/// let (bus, mut events) = Bus::start(memory.clone(), BusConfig::default());
/// let (other, _) = Bus::start(memory, BusConfig::default());
/// bus.subscribe("lobby")?;
/// assert!(bus.subscribed("lobby", std::time::Duration::from_secs(5)).await);
/// other.publish("lobby", "hello")?;
/// let Some(Incoming::Message(message)) = events.next().await else { panic!("a message") };
/// assert_eq!((&*message.channel, &message.payload[..]), ("lobby", &b"hello"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Bus {
    owner: Arc<Owner>,
}

/// Ends the task with the last handle.
struct Owner {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Bus {
    /// Begins to connect, in a task that the handles own.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(broker: impl Broker, config: BusConfig) -> (Self, BusEvents) {
        let shared = Arc::new(Shared::new(config));
        let task = tokio::spawn(Keeper::new(Box::new(broker), shared.clone()).run());
        let owner = Owner { shared: shared.clone(), task: Mutex::new(Some(task)) };
        (Self { owner: Arc::new(owner) }, BusEvents { shared })
    }

    /// Queues bytes for all buses that listen to this channel; any text is a name. Never waits.
    ///
    /// # Errors
    /// [`BusError::TooLong`], [`BusError::Full`], [`BusError::Closed`]. The first two are counted.
    ///
    /// Cost: two allocations for the name, one lock, one wake.
    pub fn publish(&self, channel: &str, message: impl Into<Bytes>) -> Result<(), BusError> {
        let shared = &self.owner.shared;
        let channel = shared.wire(channel).into();
        shared.publish(BusMessage { channel, payload: message.into() })
    }

    /// Listens to a channel from as soon as the broker has heard of it. It is a set: twice is once.
    ///
    /// # Errors
    /// [`BusError::Channels`], [`BusError::Closed`].
    pub fn subscribe(&self, channel: &str) -> Result<(), BusError> {
        self.owner.shared.subscribe(channel)
    }

    /// Listens no longer: at once for who takes the events, but for what waits there already. The broker is told after
    /// [`BusConfig::unsubscribe_delay`].
    pub fn unsubscribe(&self, channel: &str) {
        self.owner.shared.unsubscribe(channel);
    }

    /// Waits until the broker has confirmed that this bus listens to a channel: what is published from then on arrives.
    /// False if it has not within this time, or the bus ends.
    ///
    /// Cancel safety: it only looks.
    pub async fn subscribed(&self, channel: &str, within: Duration) -> bool {
        let shared = &self.owner.shared;
        let wire = shared.wire(channel);
        let mut confirmed = shared.confirmed.subscribe();
        let waiting = async {
            loop {
                confirmed.mark_unchanged();
                if shared.work.lock().wanted.is_confirmed(&wire) {
                    return true;
                }
                if *shared.state.borrow() == BusState::Closed || confirmed.changed().await.is_err()
                {
                    return false;
                }
            }
        };
        timeout(within, waiting).await.unwrap_or(false)
    }

    /// Whether the broker has confirmed that this bus listens to a channel.
    #[must_use]
    pub fn is_subscribed(&self, channel: &str) -> bool {
        let shared = &self.owner.shared;
        let wire = shared.wire(channel);
        shared.work.lock().wanted.is_confirmed(&wire)
    }

    /// Where it is, to be looked at or waited for.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BusState> {
        self.owner.shared.state.subscribe()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> BusCounters {
        let tally = &self.owner.shared.tally;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BusCounters {
            published: read(&tally.published),
            received: read(&tally.received),
            dropped_out: read(&tally.dropped_out),
            lost_out: read(&tally.lost_out),
            dropped_in: read(&tally.dropped_in),
            too_long_in: read(&tally.too_long_in),
            gaps: read(&tally.gaps),
            connections: read(&tally.connections),
        }
    }

    /// Messages that wait for the broker.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.owner.shared.work.lock().outgoing.len()
    }

    /// Channels listened to, those left lately included.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.owner.shared.work.lock().wanted.len()
    }

    /// Ends the bus for all its handles: what waits is published first if there is a connection, batch by batch within
    /// [`BusConfig::publish_timeout`] each. [`BusEvents`] then comes to its end.
    ///
    /// Cancel safety: once polled it ends anyway.
    pub async fn close(&self) {
        self.owner.shared.close();
        let mut state = self.state();
        // The sender is in what this handle holds.
        let _ = state.wait_for(|state| *state == BusState::Closed).await;
        let task = self.owner.task.lock().take();
        if let Some(task) = task {
            // It has ended; a panic of an adapter was its last word.
            let _ = task.await;
        }
    }
}

/// What comes to a bus: messages and gaps, in order. After a lost connection the gap stands before the first message of
/// the next one, when all that is wanted is subscribed to again: who asks other nodes for what is missing may do so then. Where they are not taken in time the oldest go, and a gap stands in
/// their place. Dropping it throws away what comes.
pub struct BusEvents {
    shared: Arc<Shared>,
}

impl BusEvents {
    /// The next one; `None` when the bus has ended.
    ///
    /// Cancel safety: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.shared.inbox.next().await
    }
}

impl Drop for BusEvents {
    fn drop(&mut self) {
        self.shared.inbox.discard();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(task) = &*self.task.lock() {
            task.abort();
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.owner.shared.state.borrow().clone();
        f.debug_struct("Bus").field("state", &state).finish_non_exhaustive()
    }
}

impl fmt::Debug for BusEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusEvents").finish_non_exhaustive()
    }
}
