//! How the server was, second by second, and how it is now: what the page draws.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sockeye::PreparedMessage;
use sockeye::hub::Hub;
use sockeye::hub::metrics::{HistogramSnapshot, InMemoryMetrics, MetricsSink, Snapshot};
use tokio::time::MissedTickBehavior;

use super::load::{CLIENTS_MAX, Load};

const INTERVAL: Duration = Duration::from_secs(1);

/// Snapshots that are kept: two minutes.
const KEPT: usize = 121;

/// Rooms that are told by name, the largest.
const ROOMS_MAX: usize = 12;

/// A state that waits for a slow page is replaced by a newer one.
const LATEST: u64 = 0;

pub(crate) struct Samples {
    hub: Hub,
    load: Arc<Load>,
    history: InMemoryMetrics,
}

impl Samples {
    pub(crate) fn new(hub: Hub, load: Arc<Load>) -> Self {
        Self { hub, load, history: InMemoryMetrics::new(KEPT) }
    }

    /// Measures once and encodes once a second, however many admins look at it.
    pub(crate) async fn run(&self, admins: &Hub) -> Infallible {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.hub.metrics();
        // The first point is one of those that a page is shown which begins later.
        self.history.publish(&before);
        loop {
            ticks.tick().await;
            let now = self.hub.metrics();
            let point = Point::new(&before, &now);
            self.history.publish(&now);
            let message = PreparedMessage::new(&*self.state(&now, vec![point]));
            before = now;
            for admin in admins.peers() {
                // Whoever is closing needs no numbers.
                let _ = admin.sender().try_send_latest_prepared(LATEST, &message);
            }
        }
    }

    /// Everything, for a page that begins.
    pub(crate) fn so_far(&self) -> String {
        let history = self.history.snapshots();
        let points = history.windows(2).map(|pair| Point::new(&pair[0], &pair[1]));
        self.state(&self.hub.metrics(), points.collect())
    }

    /// For Prometheus.
    pub(crate) fn prometheus(&self) -> String {
        self.hub.prometheus()
    }

    fn state(&self, now: &Snapshot, points: Vec<Point>) -> String {
        let mut rooms = self.hub.rooms();
        rooms.sort_by(|(name, members), (other, others)| (others, name).cmp(&(members, other)));
        rooms.truncate(ROOMS_MAX);
        let state = State {
            points,
            rooms,
            rooms_total: now.gauges.rooms,
            closed: some(now.closed.iter().map(|(code, count)| (code.as_str(), *count))),
            rejected: some(now.rejected.iter().map(|(why, count)| (why.as_str(), *count))),
            load: self.load.clients(),
            load_max: CLIENTS_MAX,
        };
        serde_json::to_string(&state).expect("strings and numbers are always JSON")
    }
}

fn some(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    counts.filter(|(_, count)| *count > 0).collect()
}

#[derive(Serialize)]
struct State {
    points: Vec<Point>,
    rooms: Vec<(String, usize)>,
    rooms_total: u64,
    closed: BTreeMap<&'static str, u64>,
    rejected: BTreeMap<&'static str, u64>,
    load: usize,
    load_max: usize,
}

/// One second. Rates are per second, durations of what happened in it.
#[derive(Serialize)]
struct Point {
    at_ms: u64,
    connections: u64,
    rooms: u64,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    queued_messages: u64,
    queued_bytes: u64,
    dropped: u64,
    refused: u64,
    round_trip_us: Option<[u64; 2]>,
    broadcast_us: Option<[u64; 2]>,
}

impl Point {
    fn new(before: &Snapshot, now: &Snapshot) -> Self {
        let change = now.since(before);
        Self {
            at_ms: now.gauges.uptime_ms,
            connections: now.gauges.connections,
            rooms: now.gauges.rooms,
            messages_in: change.per_second(change.messages_received),
            messages_out: change.per_second(change.messages_sent),
            bytes_in: change.per_second(change.bytes_received),
            bytes_out: change.per_second(change.bytes_sent),
            queued_messages: now.gauges.queued_messages,
            queued_bytes: now.gauges.queued_bytes,
            dropped: change.per_second(change.dropped.values().sum()),
            refused: change.per_second(change.rejected_total()),
            round_trip_us: quantiles(&change.round_trip),
            broadcast_us: quantiles(&change.broadcast),
        }
    }
}

/// The middle, and what one in a hundred is over.
fn quantiles(durations: &HistogramSnapshot) -> Option<[u64; 2]> {
    Some([durations.quantile(0.5)?, durations.quantile(0.99)?])
}
