//! The counters themselves.

use std::collections::BTreeMap;
use std::fmt;

use crate::frame::CloseCode;
use crate::protocol::Overflow;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, thread_local};

use super::histogram::Histogram;
use super::labels::{CloseClass, DropPolicy, JoinRefusal, Rejection};
use super::snapshot::{Gauges, Snapshot};

/// Copies of all counters, over which the threads are spread: two threads that count at once do not
/// wait for each other's cache line. More than the cores of most machines; about 10 KiB in all.
const SHARDS: usize = 16;

/// What a server and its hub have done since they began.
///
/// Share it by reference or `Arc`. Counting never waits and takes a few nanoseconds, whatever other
/// threads count; reading adds up the copies and is for once a second, not for once a message.
///
/// ```
/// use sockeye::hub::metrics::{Gauges, Metrics, Rejection};
///
/// let metrics = Metrics::new();
/// metrics.count_rejected(Rejection::ServerFull);
/// let snapshot = metrics.snapshot(Gauges::default());
/// assert_eq!(snapshot.rejected[&Rejection::ServerFull], 1);
/// println!("{}", snapshot.prometheus(&Default::default()));
/// ```
#[derive(Default)]
pub struct Metrics {
    shards: [Shard; SHARDS],
    broadcast_us: Histogram,
    round_trip_us: Histogram,
}

/// One copy, in cache lines of its own. Two, for some processors fetch lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    messages_received: AtomicU64,
    bytes_received: AtomicU64,
    messages_sent: AtomicU64,
    bytes_sent: AtomicU64,
    messages_delivered: AtomicU64,
    broadcasts: AtomicU64,
    deliveries: AtomicU64,
    accepted: AtomicU64,
    opened: AtomicU64,
    handler_panics: AtomicU64,
    jobs_refused: AtomicU64,
    dropped: [AtomicU64; DropPolicy::COUNT],
    closed: [AtomicU64; CloseClass::COUNT],
    rejected: [AtomicU64; Rejection::COUNT],
    joins_refused: [AtomicU64; JoinRefusal::COUNT],
}

/// Which copy this thread counts in. Threads take turns, so the first sixteen have one each.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handshake ended with 101. Before [`count_opened`](Self::count_opened).
    pub fn count_accepted(&self) {
        add(&self.shard().accepted, 1);
    }

    /// A connection was not taken in. Once for each.
    pub fn count_rejected(&self, reason: Rejection) {
        add(&self.shard().rejected[reason as usize], 1);
    }

    /// A connection is open.
    pub fn count_opened(&self) {
        // With `snapshot`: nobody sees an end without its beginning.
        self.shard().opened.fetch_add(1, Ordering::Release);
    }

    /// A connection that was opened has ended.
    pub fn count_closed(&self, code: CloseCode) {
        let class = CloseClass::from(code);
        self.shard().closed[class as usize].fetch_add(1, Ordering::Release);
    }

    /// So many messages came, of so many payload bytes together.
    #[inline]
    pub fn count_received(&self, messages: u64, bytes: u64) {
        let shard = self.shard();
        add(&shard.messages_received, messages);
        add(&shard.bytes_received, bytes);
    }

    /// So many messages were taken to be sent, of so many payload bytes together.
    #[inline]
    pub fn count_sent(&self, messages: u64, bytes: u64) {
        let shard = self.shard();
        add(&shard.messages_sent, messages);
        add(&shard.bytes_sent, bytes);
    }

    /// So many of the messages that were sent have been handed to a socket.
    #[inline]
    pub fn count_delivered(&self, messages: u64) {
        add(&self.shard().messages_delivered, messages);
    }

    /// So many messages were not taken by an outbox that was full, or were thrown out of it.
    pub fn count_dropped(&self, policy: Overflow, messages: u64) {
        add(&self.shard().dropped[DropPolicy::from(policy) as usize], messages);
    }

    /// So many messages of those that were sent were not delivered when their connection ended.
    pub fn count_lost(&self, messages: u64) {
        add(&self.shard().dropped[DropPolicy::Ended as usize], messages);
    }

    /// A connection did not get into a room.
    pub fn count_join_refused(&self, reason: JoinRefusal) {
        add(&self.shard().joins_refused[reason as usize], 1);
    }

    /// A broadcast was taken.
    #[inline]
    pub fn count_broadcast(&self) {
        add(&self.shard().broadcasts, 1);
    }

    /// So many messages of broadcasts were taken by members' outboxes.
    #[inline]
    pub fn count_deliveries(&self, messages: u64) {
        add(&self.shard().deliveries, messages);
    }

    /// So long a broadcast took from its publisher to the last member's outbox, in microseconds.
    pub fn record_broadcast(&self, us: u64) {
        self.broadcast_us.record(us);
    }

    /// So long a pong took, in microseconds.
    pub fn record_round_trip(&self, us: u64) {
        self.round_trip_us.record(us);
    }

    /// A handler panicked, or an accept hook or authenticator.
    pub fn count_handler_panic(&self) {
        add(&self.shard().handler_panics, 1);
    }

    /// A broadcast was not taken because the job queue was full.
    pub fn count_job_refused(&self) {
        add(&self.shard().jobs_refused, 1);
    }

    /// All numbers of this moment, with those that only the caller knows.
    ///
    /// A counter never goes back from one snapshot to the next, and no more connections are closed
    /// than were opened, nor opened than accepted, however many threads are counting. Apart from that
    /// two numbers may be of slightly different moments; at rest all are exact.
    #[must_use]
    pub fn snapshot(&self, gauges: Gauges) -> Snapshot {
        // The end of a connection is read before its beginning.
        let closed = self.labelled(CloseClass::ALL, |shard, class| &shard.closed[class as usize]);
        let opened = self.sum(|shard| &shard.opened);
        Snapshot {
            gauges,
            accepted: self.sum(|shard| &shard.accepted),
            opened,
            closed,
            rejected: self
                .labelled(Rejection::ALL, |shard, reason| &shard.rejected[reason as usize]),
            messages_received: self.sum(|shard| &shard.messages_received),
            bytes_received: self.sum(|shard| &shard.bytes_received),
            messages_sent: self.sum(|shard| &shard.messages_sent),
            bytes_sent: self.sum(|shard| &shard.bytes_sent),
            messages_delivered: self.sum(|shard| &shard.messages_delivered),
            dropped: self
                .labelled(DropPolicy::ALL, |shard, policy| &shard.dropped[policy as usize]),
            joins_refused: self
                .labelled(JoinRefusal::ALL, |shard, reason| &shard.joins_refused[reason as usize]),
            broadcasts: self.sum(|shard| &shard.broadcasts),
            deliveries: self.sum(|shard| &shard.deliveries),
            handler_panics: self.sum(|shard| &shard.handler_panics),
            jobs_refused: self.sum(|shard| &shard.jobs_refused),
            broadcast: self.broadcast_us.snapshot(),
            round_trip: self.round_trip_us.snapshot(),
            cluster: None,
            store: None,
        }
    }

    #[inline]
    fn shard(&self) -> &Shard {
        &self.shards[shard_of_thread()]
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        let loads = self.shards.iter().map(|shard| counter(shard).load(Ordering::Acquire));
        loads.fold(0, u64::wrapping_add)
    }

    fn labelled<L: Ord + Copy>(
        &self,
        labels: &[L],
        counter: impl Fn(&Shard, L) -> &AtomicU64,
    ) -> BTreeMap<L, u64> {
        labels.iter().map(|label| (*label, self.sum(|shard| counter(shard, *label)))).collect()
    }
}

#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_no_cache_line() {
        assert_eq!(align_of::<Shard>(), 128);
        assert!(size_of::<Metrics>() <= 10 * 1024, "{}", size_of::<Metrics>());
    }

    #[test]
    fn threads_have_shards_of_their_own() {
        let shards: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(shard_of_thread)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(shards.iter().all(|shard| *shard < SHARDS));
        assert!(shards.iter().any(|shard| *shard != shards[0]), "{shards:?}");
    }
}
