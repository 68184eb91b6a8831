//! Plain numbers of one moment.

use std::collections::BTreeMap;

use super::cluster::ClusterSnapshot;
use super::histogram::HistogramSnapshot;
use super::labels::{CloseClass, DropPolicy, JoinRefusal, Rejection};
use super::store::StoreSnapshot;

/// What is so at a moment, and only the one who asks for a snapshot knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gauges {
    /// How long the server has been up, in milliseconds. Of a difference: the time between.
    pub uptime_ms: u64,
    /// Open connections.
    pub connections: u64,
    /// Rooms that have members.
    pub rooms: u64,
    /// Messages that were sent and not delivered yet, as they wait in the outboxes of registered
    /// connections.
    pub queued_messages: u64,
    /// Bytes that wait there: the payload of messages, and what is encoded already.
    pub queued_bytes: u64,
    /// Broadcasts that wait for a worker.
    pub jobs: u64,
}

/// All numbers of one moment: [`Metrics::snapshot`](super::Metrics::snapshot). Counters begin at zero with
/// the server; those of a map have an entry for every label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What is so at the moment.
    pub gauges: Gauges,
    /// Handshakes that ended with 101.
    pub accepted: u64,
    /// Connections that were not taken in, by reason.
    pub rejected: BTreeMap<Rejection, u64>,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that have ended, by code. `opened - closed` are open, at rest.
    pub closed: BTreeMap<CloseClass, u64>,
    /// Messages that came.
    pub messages_received: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// Messages that outboxes took. Each of them ends in one number; at rest it is exact:
    ///
    /// ```text
    /// messages_sent = messages_delivered + dropped[DropOldest] + dropped[Ended] + gauges.queued_messages
    /// ```
    pub messages_sent: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Messages that were handed to a socket, to their last byte.
    pub messages_delivered: u64,
    /// Messages that outboxes threw out (`DropOldest`), that died with their connection (`Ended`), and
    /// that were not taken (the others), which are not among the sent.
    pub dropped: BTreeMap<DropPolicy, u64>,
    /// Connections that did not get into a room, by reason.
    pub joins_refused: BTreeMap<JoinRefusal, u64>,
    /// Broadcasts that were taken.
    pub broadcasts: u64,
    /// Broadcast messages that members' outboxes took, all members together.
    pub deliveries: u64,
    /// Handlers that panicked.
    pub handler_panics: u64,
    /// Broadcasts that were not taken because the job queue was full.
    pub jobs_refused: u64,
    /// How long broadcasts took, from their publisher to the last member's outbox.
    pub broadcast: HistogramSnapshot,
    /// How long pongs took.
    pub round_trip: HistogramSnapshot,
    /// The node, where the hub is one of many.
    pub cluster: Option<ClusterSnapshot>,
    /// The store of sessions, where an application has one.
    pub store: Option<StoreSnapshot>,
}

impl Snapshot {
    /// What happened after an earlier snapshot of the same metrics: every counter and histogram is the
    /// difference, and `uptime_ms` the time between, by which to divide for rates. The other gauges are
    /// those of this moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let uptime_ms = self.gauges.uptime_ms.saturating_sub(earlier.gauges.uptime_ms);
        Self {
            gauges: Gauges { uptime_ms, ..self.gauges.clone() },
            accepted: self.accepted.saturating_sub(earlier.accepted),
            rejected: difference(&self.rejected, &earlier.rejected),
            opened: self.opened.saturating_sub(earlier.opened),
            closed: difference(&self.closed, &earlier.closed),
            messages_received: self.messages_received.saturating_sub(earlier.messages_received),
            bytes_received: self.bytes_received.saturating_sub(earlier.bytes_received),
            messages_sent: self.messages_sent.saturating_sub(earlier.messages_sent),
            bytes_sent: self.bytes_sent.saturating_sub(earlier.bytes_sent),
            messages_delivered: self.messages_delivered.saturating_sub(earlier.messages_delivered),
            dropped: difference(&self.dropped, &earlier.dropped),
            joins_refused: difference(&self.joins_refused, &earlier.joins_refused),
            broadcasts: self.broadcasts.saturating_sub(earlier.broadcasts),
            deliveries: self.deliveries.saturating_sub(earlier.deliveries),
            handler_panics: self.handler_panics.saturating_sub(earlier.handler_panics),
            jobs_refused: self.jobs_refused.saturating_sub(earlier.jobs_refused),
            broadcast: self.broadcast.since(&earlier.broadcast),
            round_trip: self.round_trip.since(&earlier.round_trip),
            cluster: self.cluster.as_ref().map(|now| match &earlier.cluster {
                Some(earlier) => now.since(earlier),
                None => now.clone(),
            }),
            store: self.store.as_ref().map(|now| match &earlier.store {
                Some(earlier) => now.since(earlier),
                None => now.clone(),
            }),
        }
    }

    /// How many a second so many are, over the time of this [difference](Self::since), rounded. Of one
    /// that took no time: as if it had taken a millisecond.
    ///
    /// ```
    /// use sockeye::hub::Hub;
    ///
    /// let hub = Hub::new();
    /// let before = hub.metrics();
    /// // Somewhat later:
    /// let change = hub.metrics().since(&before);
    /// println!("{} messages a second", change.per_second(change.messages_sent));
    /// ```
    #[must_use]
    pub fn per_second(&self, count: u64) -> u64 {
        let ms = u128::from(self.gauges.uptime_ms.max(1));
        let rate = (u128::from(count) * 1000 + ms / 2) / ms;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Connections that were not taken in, for whatever reason.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Connections that have ended, with whatever code.
    #[must_use]
    pub fn closed_total(&self) -> u64 {
        self.closed.values().sum()
    }
}

fn difference<L: Ord + Copy>(
    now: &BTreeMap<L, u64>,
    earlier: &BTreeMap<L, u64>,
) -> BTreeMap<L, u64> {
    let before = |label| earlier.get(label).copied().unwrap_or(0);
    now.iter().map(|(label, count)| (*label, count.saturating_sub(before(label)))).collect()
}
