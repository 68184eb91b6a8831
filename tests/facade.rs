//! The numbers of a hub through the facade `metrics`.

#![cfg(feature = "metrics")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, with_local_recorder,
};
use sockeye::hub::metrics::{
    ConstantLabels, Gauges, InMemoryMetrics, Metrics, MetricsFacade, MetricsSink, Rejection,
    Snapshot,
};
use sockeye::hub::{Handlers, Hub};
use sockeye::testing::TestServer;

/// A recorder that keeps all, by names and labels as they stand in the Prometheus text. Clones are the same one.
#[derive(Clone, Default)]
struct Kept {
    values: Arc<Mutex<BTreeMap<String, f64>>>,
    samples: Arc<Mutex<BTreeMap<String, Vec<f64>>>>,
    described: Arc<Mutex<Vec<(String, String)>>>,
}

struct Cell {
    kept: Kept,
    key: String,
}

impl Kept {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value())).collect();
        let key = match labels.is_empty() {
            true => key.name().to_owned(),
            false => format!("{}{{{}}}", key.name(), labels.join(",")),
        };
        Arc::new(Cell { kept: self.clone(), key })
    }

    fn describe(&self, name: &KeyName, help: &str) {
        self.described.lock().unwrap().push((name.as_str().to_owned(), help.to_owned()));
    }
}

impl Cell {
    fn set(&self, value: f64) {
        self.kept.values.lock().unwrap().insert(self.key.clone(), value);
    }
}

impl CounterFn for Cell {
    fn increment(&self, _: u64) {
        panic!("counters are absolute");
    }

    fn absolute(&self, value: u64) {
        self.set(value as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {
        panic!("gauges are set");
    }

    fn decrement(&self, _: f64) {
        panic!("gauges are set");
    }

    fn set(&self, value: f64) {
        self.set(value);
    }
}

impl HistogramFn for Cell {
    fn record(&self, value: f64) {
        self.kept.samples.lock().unwrap().entry(self.key.clone()).or_default().push(value);
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

/// The samples of the Prometheus text that are no histogram's, and the help of all families.
fn scraped(snapshot: &Snapshot) -> (BTreeMap<String, f64>, Vec<(String, String)>) {
    let text = snapshot.prometheus(&ConstantLabels::default());
    let (mut values, mut helps) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            helps.push((name.to_owned(), help.to_owned()));
        } else if let Some((key, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))
        {
            let is_of_histogram = key.contains("_seconds_");
            if !is_of_histogram {
                values.insert(key.to_owned(), value.parse().unwrap());
            }
        }
    }
    (values, helps)
}

fn some_numbers() -> Metrics {
    let metrics = Metrics::new();
    (0..3).for_each(|_| metrics.count_accepted());
    (0..5).for_each(|_| metrics.count_rejected(Rejection::Origin));
    metrics
}

/// MT-20: every number of the Prometheus text is published, under the same name and with the same labels and help.
#[test]
fn what_is_scraped_is_published() {
    let (kept, facade, metrics) = (Kept::default(), MetricsFacade::new(), some_numbers());
    let snapshot = metrics.snapshot(Gauges::default());
    with_local_recorder(&kept, || facade.publish(&snapshot));
    let (values, helps) = scraped(&snapshot);
    assert_eq!(*kept.values.lock().unwrap(), values);
    assert_eq!(values["sockeye_handshakes_rejected_total{reason=\"origin\"}"], 5.0);
    assert_eq!(*kept.described.lock().unwrap(), helps);

    // Once more: nothing is described twice, and counters are what they are now.
    metrics.count_accepted();
    with_local_recorder(&kept, || facade.publish(&metrics.snapshot(Gauges::default())));
    assert_eq!(kept.values.lock().unwrap()["sockeye_handshakes_accepted_total"], 4.0);
    assert_eq!(kept.described.lock().unwrap().len(), helps.len());
}

/// MT-21: each duration is a sample, once, at most 1/32 too long.
#[tokio::test(start_paused = true)]
async fn durations_are_samples() {
    let hub = Hub::builder().default_room("lobby").build().unwrap();
    let handlers = Handlers::new().on_message(|connection, message| {
        for room in connection.peer().rooms() {
            let _ = room.broadcast(message);
        }
    });
    let server = TestServer::hub(&hub, &handlers);
    let mut client = server.connect("/").await;
    let (kept, facade) = (Kept::default(), MetricsFacade::new());
    let mut count = 0;
    for turn in 1..=3 {
        for _ in 0..turn {
            client.send_text("hello").await;
            client.expect_text("hello").await;
            count += 1;
        }
        // A broadcast is counted behind its last delivery.
        while hub.metrics().broadcast.count() < count {
            tokio::task::yield_now().await;
        }
        let snapshot = hub.metrics();
        with_local_recorder(&kept, || {
            facade.publish(&snapshot);
            facade.publish(&snapshot);
        });
        let samples = kept.samples.lock().unwrap()["sockeye_broadcast_seconds"].clone();
        assert_eq!(samples.len() as u64, count);
        let (sum, exact) = (samples.iter().sum::<f64>(), snapshot.broadcast.sum_us() as f64 / 1e6);
        // The sum of whole microseconds as fractions of a second is exact to far less than a nanosecond.
        let bounds = exact - 1e-9..=exact * 33.0 / 32.0 + 1e-9;
        assert!(bounds.contains(&sum), "{sum} {exact}");
    }
}

struct Sink(Arc<InMemoryMetrics>);

impl MetricsSink for Sink {
    fn publish(&self, snapshot: &Snapshot) {
        self.0.publish(snapshot);
    }
}

/// MT-22: a sink is given a snapshot at its times, until it is dropped or the hub is no more.
#[tokio::test(start_paused = true)]
async fn snapshots_are_published_at_their_times() {
    let (hub, kept) = (Hub::new(), Arc::new(InMemoryMetrics::new(100)));
    let publishing = hub.publish_metrics(Sink(kept.clone()), Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(kept.snapshots().len(), 4);
    drop(publishing);
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(kept.snapshots().len(), 4, "it was dropped");

    let _publishing = hub.publish_metrics(Sink(kept.clone()), Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(kept.snapshots().len(), 7, "ten a second at most");
    drop(hub);
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(kept.snapshots().len(), 7, "the hub is no more");
}
