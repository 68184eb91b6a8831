//! Snapshots at regular times.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::sync::Arc;

use super::hub::Hub;
use super::metrics::MetricsSink;

/// The shortest time between two snapshots.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// A task that publishes. It ends when this is dropped, or the hub is no more.
#[derive(Debug)]
#[must_use = "nothing is published any more when this is dropped"]
pub struct Publishing {
    _task: JoinSet<()>,
}

impl Hub {
    /// Gives the sink a snapshot now and then every so often, at most ten a second.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn publish_metrics(&self, sink: impl MetricsSink + 'static, every: Duration) -> Publishing {
        let hub = Arc::downgrade(self.shared());
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Some(shared) = hub.upgrade() {
                sink.publish(&Self::from_shared(shared).metrics());
                tokio::time::sleep(every.max(EVERY_MIN)).await;
            }
        });
        Publishing { _task: task }
    }
}
