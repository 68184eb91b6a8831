//! The metrics panel: how the server is, once a second, for those who have it open.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use serde::Serialize;
use sockeye::PreparedMessage;
use sockeye::app::{Context, Event, EventError};
use sockeye::hub::Hub;
use sockeye::hub::metrics::{HistogramSnapshot, Snapshot};
use tokio::time::MissedTickBehavior;

use super::protocol::Watch;

/// Those who look at it. Longer than the name of a chat's room may be.
pub(crate) const ROOM: &str = "the room of those who look at the metrics";

const INTERVAL: Duration = Duration::from_secs(1);

/// Durations are those of so many intervals.
const INTERVALS_OF_DURATIONS: usize = 60;

/// Numbers that wait for a slow client are replaced by newer ones: it never has more than one message
/// of them in its queue, and one that is away has one when it comes back.
const LATEST: u64 = 0;

/// Whether the client is sent the numbers from now on.
pub(crate) async fn watch(context: Context, watch: Watch) -> Result<(), EventError> {
    if watch.on {
        context.join(ROOM)?;
    } else {
        context.leave(ROOM);
    }
    Ok(())
}

/// Measures once and encodes once, however many look at it.
pub(crate) async fn run(hub: &Hub) -> Infallible {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut past = VecDeque::from([hub.metrics()]);
    loop {
        ticks.tick().await;
        past.push_back(hub.metrics());
        if past.len() > INTERVALS_OF_DURATIONS + 1 {
            past.pop_front();
        }
        let Some(Ok(event)) = Numbers::of(&past).map(|now| Event::new("metrics", &now)) else {
            continue;
        };
        let message = PreparedMessage::new(&*event.to_json());
        for watcher in hub.room(ROOM).peers().await {
            // Whoever is closing needs no numbers.
            let _ = watcher.sender().try_send_latest_prepared(LATEST, &message);
        }
    }
}

/// What the panel shows.
#[derive(Serialize)]
struct Numbers {
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
            // Whoever is shown this is in a room that is none of the chat's.
            rooms: now.gauges.rooms.saturating_sub(1),
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
