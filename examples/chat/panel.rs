//! The metrics panel: how the server is, once a second, for those who have it open.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use sockeye::hub::Hub;
use sockeye::hub::metrics::{HistogramSnapshot, Snapshot};
use sockeye::{PreparedMessage, Sender};
use tokio::time::MissedTickBehavior;

use super::protocol::ServerMessage;

const INTERVAL: Duration = Duration::from_secs(1);

/// Durations are those of so many intervals.
const INTERVALS_OF_DURATIONS: usize = 60;

/// Numbers that wait for a slow client are replaced by newer ones: it never has more than one message
/// of them in its queue.
const LATEST: u64 = 0;

/// Whoever looks at the metrics. Cloning counts a reference.
#[derive(Clone)]
pub(crate) struct Panel {
    hub: Hub,
    /// By connection, so as many as the hub lets in.
    watchers: Arc<Mutex<HashMap<u64, Sender>>>,
}

impl Panel {
    pub(crate) fn new(hub: Hub) -> Self {
        Self { hub, watchers: Arc::default() }
    }

    /// The connection is sent the numbers until this is dropped.
    pub(crate) fn watch(&self, sender: Sender) -> Watch {
        let id = sender.id();
        self.lock().insert(id, sender);
        Watch { panel: self.clone(), id }
    }

    /// Measures once and encodes once, however many look at it.
    pub(crate) async fn run(&self) -> Infallible {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut past = VecDeque::from([self.hub.metrics()]);
        loop {
            ticks.tick().await;
            past.push_back(self.hub.metrics());
            if past.len() > INTERVALS_OF_DURATIONS + 1 {
                past.pop_front();
            }
            let Some(numbers) = Numbers::of(&past) else { continue };
            let json = ServerMessage::Metrics(&numbers).to_json();
            let message = PreparedMessage::new(&*json);
            for sender in self.lock().values() {
                // Whoever is closing needs no numbers.
                let _ = sender.try_send_latest_prepared(LATEST, &message);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Sender>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a connection looks at the metrics.
pub(crate) struct Watch {
    panel: Panel,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.panel.lock().remove(&self.id);
    }
}

/// What the panel shows.
#[derive(Serialize)]
pub(crate) struct Numbers {
    uptime_ms: u64,
    connections: u64,
    rooms: u64,
    /// Those that wait in outboxes.
    queued_messages: u64,
    queued_bytes: u64,
    /// The next four are per second.
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// The next three are counted from the server's beginning.
    dropped: u64,
    refused: u64,
    closed: BTreeMap<&'static str, u64>,
    /// Of the last minute.
    round_trip_us: Option<Quantiles>,
    broadcast_us: Option<Quantiles>,
}

#[derive(Serialize)]
struct Quantiles {
    count: u64,
    p50: u64,
    p99: u64,
}

impl Numbers {
    /// Of the newest snapshot, and the changes since the one before it and since the oldest.
    fn of(past: &VecDeque<Snapshot>) -> Option<Self> {
        let (oldest, now) = (past.front()?, past.back()?);
        let change = now.since(past.get(past.len().checked_sub(2)?)?);
        let closed = now.closed.iter().filter(|(_, count)| **count > 0);
        Some(Self {
            uptime_ms: now.gauges.uptime_ms,
            connections: now.gauges.connections,
            rooms: now.gauges.rooms,
            queued_messages: now.gauges.queued_messages,
            queued_bytes: now.gauges.queued_bytes,
            messages_in: change.per_second(change.messages_received),
            messages_out: change.per_second(change.messages_sent),
            bytes_in: change.per_second(change.bytes_received),
            bytes_out: change.per_second(change.bytes_sent),
            dropped: now.dropped.values().sum(),
            refused: now.rejected_total(),
            closed: closed.map(|(code, count)| (code.as_str(), *count)).collect(),
            round_trip_us: Quantiles::of(&now.round_trip.since(&oldest.round_trip)),
            broadcast_us: Quantiles::of(&now.broadcast.since(&oldest.broadcast)),
        })
    }
}

impl Quantiles {
    fn of(durations: &HistogramSnapshot) -> Option<Self> {
        let (p50, p99) = (durations.quantile(0.5)?, durations.quantile(0.99)?);
        Some(Self { count: durations.count(), p50, p99 })
    }
}
