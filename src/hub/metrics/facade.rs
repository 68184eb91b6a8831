//! Snapshots through the facade `metrics`, to whichever recorder the program has installed.

use std::fmt;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::sync::Mutex;

use super::families::Families;
use super::histogram::HistogramSnapshot;
use super::sink::MetricsSink;
use super::snapshot::Snapshot;

/// Publishes snapshots through the facade of the crate `metrics`, under the names, with the labels and the values of the
/// [Prometheus text](Snapshot::prometheus): `sockeye_connections`, `sockeye_handshakes_rejected_total{reason="origin"}`.
///
/// Counters are set to their absolute value. A recorder's histograms want every value by itself: they are given the upper
/// end of the bucket that each lies in, at most 1/32 too much, as often as there were new ones since the snapshot before. So one
/// `MetricsFacade` is for one hub, and every snapshot is published once.
///
/// ```
/// use std::time::Duration;
/// use sockeye::hub::Hub;
/// use sockeye::hub::metrics::{MetricsFacade, MetricsSink};
///
/// let hub = Hub::new();
/// let facade = MetricsFacade::new();
/// // Whenever it is scraped, or as a task of the server: `hub.publish_metrics(facade, Duration::from_secs(10))`.
/// facade.publish(&hub.metrics());
/// ```
///
/// Cost of a snapshot: some 100 keys that are looked up in the recorder. A message costs nothing more than without.
#[derive(Default)]
pub struct MetricsFacade(Mutex<Published>);

/// What was published last.
#[derive(Default)]
struct Published {
    is_described: bool,
    histograms: Vec<(&'static str, HistogramSnapshot)>,
}

impl MetricsFacade {
    /// Nothing is published yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl MetricsSink for MetricsFacade {
    fn publish(&self, snapshot: &Snapshot) {
        let mut published = self.0.lock();
        snapshot.tell(&mut *published);
        published.is_described = true;
    }
}

impl Families for Published {
    fn time(&mut self, name: &'static str, help: &'static str, ms: u64) {
        if !self.is_described {
            describe_gauge!(full(name), Unit::Seconds, help);
        }
        gauge!(full(name)).set(ms as f64 / 1e3);
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        if !self.is_described {
            describe_gauge!(full(name), help);
        }
        gauge!(full(name)).set(value as f64);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        if !self.is_described {
            describe_counter!(full(name), help);
        }
        counter!(full(name)).absolute(value);
    }

    fn labelled(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) {
        if !self.is_described {
            describe_counter!(full(name), help);
        }
        for (text, value) in values {
            counter!(full(name), label => text).absolute(value);
        }
    }

    fn histogram(&mut self, name: &'static str, help: &'static str, now: &HistogramSnapshot) {
        if !self.is_described {
            describe_histogram!(full(name), Unit::Seconds, help);
        }
        let told = self.histograms.iter().position(|(told, _)| *told == name);
        let new = match told {
            Some(at) => now.since(&std::mem::replace(&mut self.histograms[at].1, now.clone())),
            None => {
                self.histograms.push((name, now.clone()));
                now.clone()
            }
        };
        let histogram = histogram!(full(name));
        for (us, count) in new.buckets() {
            histogram.record_many(us as f64 / 1e6, usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
}

fn full(name: &str) -> String {
    format!("sockeye_{name}")
}

impl fmt::Debug for MetricsFacade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsFacade").finish_non_exhaustive()
    }
}
