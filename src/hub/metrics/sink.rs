//! Where snapshots go.

use std::collections::VecDeque;

use crate::sync::Mutex;

use super::snapshot::Snapshot;

/// Takes snapshots, one after another: a log, a push gateway, an admin's socket.
pub trait MetricsSink: Send + Sync {
    /// A new snapshot. It is called from a task of the server, so it must not wait: hand over what takes
    /// time.
    fn publish(&self, snapshot: &Snapshot);
}

/// Keeps the last few snapshots in memory: for tests, and for a page that shows them.
///
/// ```
/// use sockeye::hub::metrics::{Gauges, InMemoryMetrics, Metrics, MetricsSink};
///
/// let metrics = Metrics::new();
/// let kept = InMemoryMetrics::new(60);
/// metrics.count_accepted();
/// kept.publish(&metrics.snapshot(Gauges::default()));
/// assert_eq!(kept.latest().unwrap().accepted, 1);
/// ```
#[derive(Debug)]
pub struct InMemoryMetrics {
    /// `snapshots.len() <= snapshots_max`, which is not zero.
    snapshots: Mutex<VecDeque<Snapshot>>,
    snapshots_max: usize,
}

impl InMemoryMetrics {
    /// Keeps so many, at least one.
    #[must_use]
    pub fn new(snapshots_max: usize) -> Self {
        Self { snapshots: Mutex::default(), snapshots_max: snapshots_max.max(1) }
    }

    /// The newest.
    #[must_use]
    pub fn latest(&self) -> Option<Snapshot> {
        self.snapshots.lock().back().cloned()
    }

    /// All that are kept, the oldest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.snapshots.lock().iter().cloned().collect()
    }
}

impl MetricsSink for InMemoryMetrics {
    fn publish(&self, snapshot: &Snapshot) {
        let mut snapshots = self.snapshots.lock();
        if snapshots.len() == self.snapshots_max {
            snapshots.pop_front();
        }
        snapshots.push_back(snapshot.clone());
    }
}
