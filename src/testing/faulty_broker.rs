//! A broker that can be cut, paused and made to lose, around any other.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;

use crate::client::BoxFuture;
use crate::pubsub::{Broker, PubSub, PubSubError, PubSubErrorKind};
use crate::sync::{Arc, Mutex};

use super::chance::Chance;
use super::faulty_line::FaultyLine;

/// What is wrong with a [`FaultyBroker`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BrokerFaults {
    /// Nobody can connect. Connections that stand stay: see [`cut`](FaultyBroker::cut).
    pub is_away: bool,
    /// It answers nothing, and loses nothing.
    pub is_paused: bool,
    /// Of a thousand messages so many become a gap, at each connection by itself.
    pub lost_per_mille: u16,
    /// Of a thousand messages so many are gone and nobody says so, at each connection by itself.
    pub swallowed_per_mille: u16,
    /// Before each message, in tokio's time.
    pub delay: Duration,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// Connections of former generations are lost.
    pub(super) generation: u64,
}

/// What a [`FaultyBroker`] was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerCalls {
    /// Connections that were asked for.
    pub connect: usize,
    /// Connections that stand.
    pub connected: usize,
    /// Channels that were subscribed to.
    pub subscribe: usize,
    /// How often it was asked for some.
    pub subscribe_batches: usize,
    /// Channels that were left.
    pub unsubscribe: usize,
    /// Batches that were published.
    pub publish: usize,
    /// Messages in them.
    pub published: usize,
    /// Pings.
    pub ping: usize,
}

/// A broker around another that does what [`set`](Self::set) says: goes away, stands still, loses, is slow. Clones are the same
/// broker; each node of a test has one of its own around clones of one `Memory`, so that each can be cut off by itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use sockeye::pubsub::{Bus, BusConfig, BusState, Memory};
/// use sockeye::testing::FaultyBroker;
///
/// let broker = FaultyBroker::new(Memory::new(), 7);
/// broker.set(|faults| faults.is_away = true);
/// let (bus, _events) = Bus::start(broker.clone(), BusConfig::default());
/// let mut state = bus.state();
/// broker.set(|faults| faults.is_away = false);
/// state.wait_for(|state| matches!(state, BusState::Up { .. })).await.unwrap();
/// assert_eq!(broker.calls().connected, 1);
/// # }
/// ```
#[derive(Clone)]
pub struct FaultyBroker<B> {
    broker: B,
    faults: watch::Sender<BrokerFaults>,
    chance: Arc<Mutex<Chance>>,
    calls: Arc<Mutex<BrokerCalls>>,
}

impl<B: Broker> FaultyBroker<B> {
    /// Nothing is wrong yet; what is lost later hangs on the seed.
    pub fn new(broker: B, seed: u64) -> Self {
        let faults = BrokerFaults {
            is_away: false,
            is_paused: false,
            lost_per_mille: 0,
            swallowed_per_mille: 0,
            delay: Duration::ZERO,
            message_bytes_max: usize::MAX,
            generation: 0,
        };
        let chance = Arc::new(Mutex::new(Chance::new(seed)));
        Self { broker, faults: watch::Sender::new(faults), chance, calls: Arc::default() }
    }

    /// Changes what is wrong, for connections that stand as well.
    pub fn set(&self, change: impl FnOnce(&mut BrokerFaults)) {
        self.faults.send_modify(change);
    }

    /// All connections are lost.
    pub fn cut(&self) {
        self.set(|faults| faults.generation += 1);
    }

    /// What it was asked.
    #[must_use]
    pub fn calls(&self) -> BrokerCalls {
        *self.calls.lock()
    }
}

impl<B: Broker> Broker for FaultyBroker<B> {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        Box::pin(async move {
            self.calls.lock().connect += 1;
            let mut faults = self.faults.subscribe();
            if faults.borrow().is_away {
                return Err(PubSubError::new(PubSubErrorKind::Unreachable));
            }
            let lost = || PubSubError::new(PubSubErrorKind::Lost);
            faults.wait_for(|faults| !faults.is_paused).await.map_err(|_| lost())?;
            let generation = faults.borrow().generation;
            let line = self.broker.connect().await?;
            let (chance, calls) = (self.chance.clone(), self.calls.clone());
            let line = FaultyLine::new(line, (faults, generation), chance, calls);
            Ok(Box::new(line) as Box<dyn PubSub>)
        })
    }
}

impl<B: fmt::Debug> fmt::Debug for FaultyBroker<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = *self.faults.borrow();
        f.debug_struct("FaultyBroker")
            .field("broker", &self.broker)
            .field("faults", &faults)
            .finish()
    }
}
