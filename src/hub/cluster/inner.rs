//! What the handles of a node and its task have in common.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::Notify;

use crate::hub::hub::Hub;
use crate::hub::metrics::ClusterSnapshot;
use crate::hub::shared::Shared;
use crate::protocol::PreparedMessage;
use crate::pubsub::{Bus, BusError, BusState};
use crate::sync::{Arc, Mutex, OnceLock, Ordering, RwLock};

use super::config::{ClusterConfig, ClusterGap, GapAt};
use super::envelope::{self, Body};
use super::giving::Keeper;
use super::hearing::Hearing;
use super::name::NodeId;
use super::numbers::{Numbers, Stamp};
use super::state::State;
use super::taking::Errand;
use super::windows::Windows;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: NodeId,
    pub(super) config: ClusterConfig,
    pub(super) bus: Bus,
    /// The innermost lock but for that of the windows: what is numbered leaves in that order.
    pub(super) numbers: Mutex<Numbers>,
    pub(super) state: Mutex<State>,
    /// Whoever says something to rooms, or to all, holds it from when it is said here to when it has its number. Outside
    /// of all others; nobody is called under it.
    pub(super) rooms_cut: RwLock<()>,
    /// The same of users. Whoever counts what is sent is called under it, so it is never waited for as a whole.
    pub(super) users_cut: RwLock<()>,
    /// Sessions that are about to come.
    pub(super) windows: Windows,
    /// What is to be done in the task.
    pub(super) errands: Mutex<Errands>,
    keeper: OnceLock<KeptBy>,
    /// There is something to do for the task.
    pub(super) changed: Notify,
    pub(super) tally: Tally,
}

/// What is to be done in the task.
#[derive(Default)]
pub(super) struct Errands(pub(super) Vec<Errand>);

/// The floor above.
struct KeptBy(Box<dyn Keeper>);

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) missed: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) poisoned: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) unheard: AtomicU64,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

impl Inner {
    pub(super) fn new(id: NodeId, config: ClusterConfig, bus: Bus) -> Self {
        Self {
            id,
            numbers: Mutex::new(Numbers::new(config.numbers_max)),
            state: Mutex::new(State::new(&config)),
            rooms_cut: RwLock::default(),
            users_cut: RwLock::default(),
            windows: Windows::default(),
            errands: Mutex::default(),
            keeper: OnceLock::new(),
            config,
            bus,
            changed: Notify::new(),
            tally: Tally::default(),
        }
    }

    /// Says something on a channel. What is not taken has its number all the same, so that it is missed.
    pub(super) fn say(&self, channel: &str, body: &Body) -> Result<(), BusError> {
        self.say_as(channel, body, |stamp| self.windows.note(channel, self.id, stamp))
    }

    /// The same of a message for all but these users.
    pub(super) fn say_message(
        &self,
        channel: &str,
        body: &Body,
        message: &PreparedMessage,
        except: &[Arc<str>],
    ) -> Result<(), BusError> {
        let windows = &self.windows;
        self.say_as(channel, body, |stamp| {
            windows.record(channel, (self.id, stamp), message, except);
        })
    }

    fn say_as(&self, channel: &str, body: &Body, note: impl FnOnce(Stamp)) -> Result<(), BusError> {
        let mut bytes = envelope::encode(self.id, body);
        let mut numbers = self.numbers.lock();
        let stamp = numbers.next(channel);
        envelope::stamp(&mut bytes, stamp.stream, stamp.number);
        note(stamp);
        self.bus.publish(channel, bytes)
    }

    /// The floor above. Once.
    pub(super) fn set_keeper(&self, keeper: Box<dyn Keeper>) {
        // An application starts once.
        let _ = self.keeper.set(KeptBy(keeper));
    }

    pub(super) fn keeper(&self) -> Option<&dyn Keeper> {
        self.keeper.get().map(|KeptBy(keeper)| &**keeper)
    }

    /// Listens to a channel; the state is that of the caller, who holds its lock.
    pub(super) fn hear(&self, state: &mut State, channel: &str) -> bool {
        let subscribed = self.bus.subscribe(channel);
        match subscribed {
            Ok(()) => drop(state.heard.insert(channel.into(), Hearing::default())),
            Err(BusError::Channels { .. }) => Tally::add(&self.tally.unheard, 1),
            // It is closed: nothing is heard any more.
            Err(_) => {}
        }
        subscribed.is_ok()
    }

    /// How long this node may be silent before others take it for gone, and they, before we know better.
    pub(super) fn silence_max(&self, interval_ms: u32) -> Duration {
        let interval = Duration::from_millis(interval_ms.into());
        interval.saturating_mul(self.config.heartbeats_missed_max.max(1))
    }

    /// Messages of this node that others may not have.
    pub(super) fn lost_out(&self) -> u64 {
        let counters = self.bus.counters();
        counters.dropped_out + counters.lost_out
    }

    /// Tells the application that something may be missing. Without a lock.
    pub(super) fn tell_gap(
        &self,
        hub: &Arc<Shared>,
        at: GapAt,
        node: Option<NodeId>,
        missed: Option<u64>,
    ) {
        Tally::add(&self.tally.gaps, 1);
        let Some(on_gap) = &self.config.on_gap else { return };
        let gap = ClusterGap { hub: Hub::from_shared(hub.clone()), at, node, missed };
        if catch_unwind(AssertUnwindSafe(|| on_gap(&gap))).is_err() {
            hub.metrics.count_handler_panic();
        }
    }

    /// Tells who came and went elsewhere. Without a lock.
    pub(super) fn tell_presence(&self, hub: &Shared) {
        // A call that panics has been told its change: the rest goes on.
        while catch_unwind(AssertUnwindSafe(|| hub.tell_presence())).is_err() {
            hub.metrics.count_handler_panic();
        }
    }

    pub(super) fn snapshot(&self) -> ClusterSnapshot {
        let (bus, tally) = (self.bus.counters(), &self.tally);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClusterSnapshot {
            is_up: matches!(*self.bus.state().borrow(), BusState::Up { .. }),
            nodes: self.state.lock().nodes.len() as u64,
            channels: self.bus.channels() as u64,
            queued: self.bus.queued() as u64,
            connections: bus.connections,
            published: bus.published,
            received: bus.received,
            lost_out: bus.dropped_out + bus.lost_out,
            lost_in: bus.dropped_in + bus.too_long_in,
            missed: read(&tally.missed),
            gaps: read(&tally.gaps),
            repeated: read(&tally.repeated),
            poisoned: read(&tally.poisoned),
            expired: read(&tally.expired),
            unheard: read(&tally.unheard),
        }
    }
}

impl std::fmt::Debug for Errands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Errands").field("len", &self.0.len()).finish()
    }
}

impl std::fmt::Debug for KeptBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptBy").finish_non_exhaustive()
    }
}
