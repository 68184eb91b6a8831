//! What is counted and how it is told, through the public API.

#![cfg(feature = "hub")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use sockeye::CloseCode;
use sockeye::hub::metrics::{
    CloseClass, ConstantLabels, DropPolicy, Gauges, InMemoryMetrics, JoinRefusal, Metrics,
    MetricsSink, Rejection, Snapshot,
};
use sockeye::protocol::Overflow;

/// A different number of everything, so that no two can be mistaken.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    let times = |count: u64, what: &dyn Fn()| (0..count).for_each(|_| what());
    times(3, &|| metrics.count_accepted());
    times(2, &|| metrics.count_opened());
    metrics.count_closed(CloseCode::Normal);
    times(4, &|| metrics.count_rejected(Rejection::Origin));
    metrics.count_received(5, 500);
    metrics.count_sent(6, 600);
    metrics.count_dropped(Overflow::DropNewest, 7);
    times(8, &|| metrics.count_join_refused(JoinRefusal::RoomFull));
    times(9, &|| metrics.count_broadcast());
    metrics.count_deliveries(10);
    times(11, &|| metrics.count_handler_panic());
    times(12, &|| metrics.count_job_refused());
    [50, 64, 65, 2_000_000].iter().for_each(|us| metrics.record_broadcast(*us));
    metrics.record_round_trip(1_500);
    metrics
}

fn gauges() -> Gauges {
    let mut gauges = Gauges::default();
    (gauges.uptime_ms, gauges.connections, gauges.rooms) = (1_500, 20, 21);
    (gauges.queued_messages, gauges.queued_bytes, gauges.jobs) = (22, 23, 24);
    gauges
}

/// MT-01, MT-03, MT-04: a snapshot has what was counted, and what its caller knew.
#[test]
fn a_snapshot_has_every_number() {
    let snapshot = busy().snapshot(gauges());
    assert_eq!((snapshot.accepted, snapshot.opened, snapshot.closed_total()), (3, 2, 1));
    assert_eq!(snapshot.closed[&CloseClass::Normal], 1);
    assert_eq!((snapshot.rejected[&Rejection::Origin], snapshot.rejected_total()), (4, 4));
    assert_eq!((snapshot.messages_received, snapshot.bytes_received), (5, 500));
    assert_eq!((snapshot.messages_sent, snapshot.bytes_sent), (6, 600));
    assert_eq!(snapshot.dropped[&DropPolicy::DropNewest], 7);
    assert_eq!(snapshot.joins_refused[&JoinRefusal::RoomFull], 8);
    assert_eq!((snapshot.broadcasts, snapshot.deliveries), (9, 10));
    assert_eq!((snapshot.handler_panics, snapshot.jobs_refused), (11, 12));
    assert_eq!((snapshot.broadcast.count(), snapshot.round_trip.count()), (4, 1));
    assert_eq!(snapshot.gauges, gauges());
    // Everything that was not counted is there as zero.
    assert_eq!(snapshot.rejected.len(), Rejection::ALL.len());
    assert_eq!(snapshot.closed.len(), CloseClass::ALL.len());
}

/// A42: each reason counts where it belongs, once, and nowhere else.
#[test]
fn every_reason_counts_once() {
    let metrics = Metrics::new();
    for reason in Rejection::ALL {
        let before = metrics.snapshot(Gauges::default());
        metrics.count_rejected(*reason);
        let difference = metrics.snapshot(Gauges::default()).since(&before);
        assert_eq!((difference.rejected_total(), difference.rejected[reason]), (1, 1));
    }
    for reason in JoinRefusal::ALL {
        metrics.count_join_refused(*reason);
    }
    let snapshot = metrics.snapshot(Gauges::default());
    assert!(snapshot.joins_refused.values().all(|count| *count == 1));
    assert_eq!((snapshot.accepted, snapshot.opened), (0, 0));
}

/// MT-01: what lies between two snapshots, for rates.
#[test]
fn differences_are_what_happened_between() {
    let metrics = busy();
    let earlier = metrics.snapshot(gauges());
    metrics.count_received(40, 4000);
    metrics.count_closed(CloseCode::Other(4001));
    metrics.record_round_trip(3);
    let mut later = gauges();
    (later.uptime_ms, later.connections) = (11_500, 5);
    let difference = metrics.snapshot(later).since(&earlier);
    assert_eq!((difference.messages_received, difference.bytes_received), (40, 4000));
    assert_eq!((difference.closed_total(), difference.closed[&CloseClass::Private]), (1, 1));
    assert_eq!(difference.round_trip.quantile(0.5), Some(3));
    assert_eq!(difference.broadcast.count(), 0);
    assert_eq!((difference.gauges.uptime_ms, difference.gauges.connections), (10_000, 5));
    assert_eq!(
        (difference.accepted, difference.rejected_total(), difference.jobs_refused),
        (0, 0, 0)
    );
    let snapshot = metrics.snapshot(gauges());
    assert_eq!(snapshot.since(&Snapshot::default()), snapshot);
}

/// MT-01: rates are rounded, so that one message in a little more than a second is one a second.
#[test]
fn rates_are_over_the_time_of_a_difference() {
    for (uptime_ms, count, rate) in [
        (1000, 0, 0),
        (1001, 1, 1),
        (999, 1, 1),
        (2001, 1, 0),
        (2000, 1, 1),
        (10_000, 12_345, 1235),
        (0, 7, 7000),
        (1, u64::MAX, u64::MAX),
    ] {
        let mut gauges = Gauges::default();
        gauges.uptime_ms = uptime_ms;
        let difference = Metrics::new().snapshot(gauges);
        assert_eq!(difference.per_second(count), rate, "{count} in {uptime_ms} ms");
    }
}

/// A41: under churn on several threads a snapshot never shows an end without its beginning and never
/// goes back; at rest all is exact.
#[test]
fn snapshots_are_sound_under_churn() {
    const THREADS: usize = 3;
    let metrics = Metrics::new();
    let (barrier, is_over) = (Barrier::new(THREADS + 1), AtomicBool::new(false));
    let churn = || {
        barrier.wait();
        let mut turns = 0;
        while !is_over.load(Ordering::Acquire) {
            metrics.count_accepted();
            metrics.count_opened();
            metrics.count_received(1, turns);
            metrics.count_closed(CloseCode::from_u16(1000 + (turns % 15) as u16));
            turns += 1;
        }
        (turns, (0..turns).sum::<u64>())
    };
    let read = || {
        barrier.wait();
        let mut earlier = Snapshot::default();
        for _ in 0..2000 {
            let snapshot = metrics.snapshot(Gauges::default());
            let is_sound = snapshot.closed_total() <= snapshot.opened
                && snapshot.opened <= snapshot.accepted
                && earlier.opened <= snapshot.opened
                && earlier.closed_total() <= snapshot.closed_total();
            if !is_sound {
                return Some((earlier, snapshot));
            }
            earlier = snapshot;
        }
        None
    };
    let (turns, bytes) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(churn)).collect();
        let unsound = read();
        is_over.store(true, Ordering::Release);
        assert_eq!(unsound, None);
        let ends = threads.into_iter().map(|thread| thread.join().unwrap());
        ends.fold((0, 0), |sum, end| (sum.0 + end.0, sum.1 + end.1))
    });
    let snapshot = metrics.snapshot(Gauges::default());
    let counts = (snapshot.accepted, snapshot.opened, snapshot.closed_total());
    assert_eq!(counts, (turns, turns, turns));
    assert_eq!((snapshot.messages_received, snapshot.bytes_received), (turns, bytes));
}

/// MT-02: a sink of one's own takes snapshots, and the one that is provided keeps the last few.
#[test]
fn sinks_get_what_is_published() {
    let metrics = busy();
    let kept = InMemoryMetrics::new(3);
    assert_eq!(kept.latest(), None);
    let sink: &dyn MetricsSink = &kept;
    for _ in 0..5 {
        metrics.count_accepted();
        sink.publish(&metrics.snapshot(gauges()));
    }
    let accepted: Vec<u64> = kept.snapshots().iter().map(|snapshot| snapshot.accepted).collect();
    assert_eq!(accepted, [6, 7, 8]);
    assert_eq!(kept.latest().unwrap().accepted, 8);
    let least = InMemoryMetrics::new(0);
    least.publish(&Snapshot::default());
    assert_eq!(least.snapshots().len(), 1);
}

type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    /// Name, labels, value.
    samples: Vec<(String, Labels, f64)>,
}

/// A reader of the text format 0.0.4 that has nothing to do with the writer. It takes no more than the
/// format allows: one HELP and one TYPE before the samples of a family, all of them together.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line ends, too");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!families.contains_key(name), "{name} is there already");
            current = name.to_owned();
            families.insert(current.clone(), Family { help: help.to_owned(), ..Family::default() });
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let family = families.get_mut(name).expect("HELP comes first");
            assert!(name == current && family.kind.is_empty() && family.samples.is_empty());
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            family.kind = kind.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).expect("a family");
            let suffix = name.strip_prefix(&current).expect("samples stand with their family");
            let is_known = match family.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                _ => suffix.is_empty(),
            };
            assert!(is_known, "{line}");
            family.samples.push((name, labels, value));
        }
    }
    families
}

/// `name{label="value",...} value`
fn sample(line: &str) -> (String, Labels, f64) {
    let name_len = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(name_len);
    assert_name(name);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").expect("a label");
            assert_name(label);
            let mut characters = value.char_indices();
            let mut text = String::new();
            let end = loop {
                match characters.next().expect("a quote at the end") {
                    (at, '"') => break at,
                    (_, '\\') => text.push(match characters.next().expect("an escaped one").1 {
                        'n' => '\n',
                        escaped @ ('\\' | '"') => escaped,
                        other => panic!("\\{other}"),
                    }),
                    (_, other) => text.push(other),
                }
            };
            assert!(labels.insert(label.to_owned(), text).is_none(), "{label} twice");
            rest = &value[end + 1..];
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect("a brace at the end");
    }
    let value = rest.strip_prefix(' ').expect("a blank before the value");
    (name.to_owned(), labels, value.parse().expect("a number"))
}

fn assert_name(name: &str) {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_first = |byte: &u8| !byte.is_ascii_digit();
    assert!(name.bytes().all(is_name) && name.as_bytes().first().is_some_and(is_first), "{name}");
}

/// Buckets that grow, the last of them the count.
fn assert_histogram(name: &str, family: &Family) {
    let mut last = (f64::NEG_INFINITY, 0.0);
    let mut count = None;
    for (sample, labels, value) in &family.samples {
        if sample.ends_with("_bucket") {
            let bound: f64 = labels["le"].parse().expect("a bound");
            assert!(last.0 < bound && last.1 <= *value, "{name}");
            last = (bound, *value);
        } else if sample.ends_with("_count") {
            count = Some(*value);
        }
    }
    assert_eq!((last.0, Some(last.1)), (f64::INFINITY, count), "{name}");
    assert!(family.samples.iter().any(|(sample, ..)| sample.ends_with("_sum")));
}

/// BY-26, row 75: every number is told once, in a form that an independent reader takes.
#[test]
fn the_text_is_well_formed_and_whole() {
    let text = busy().snapshot(gauges()).prometheus(&ConstantLabels::default());
    let families = parse(&text);
    for (name, family) in &families {
        assert!(name.starts_with("sockeye_") && !family.help.is_empty(), "{name}");
        assert!(!family.help.contains('\\'), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name}");
        let series: BTreeSet<_> =
            family.samples.iter().map(|(name, labels, _)| (name, labels)).collect();
        assert_eq!(series.len(), family.samples.len(), "{name}");
        if family.kind == "histogram" {
            assert_histogram(name, family);
        }
    }
    let value = |name: &str, label: Option<(&str, &str)>| {
        let family =
            &families.iter().rfind(|(family, _)| name.starts_with(family.as_str())).unwrap().1;
        let is_it = |labels: &Labels| label.is_none_or(|(key, value)| labels[key] == value);
        let found: Vec<_> =
            family.samples.iter().filter(|(n, labels, _)| n == name && is_it(labels)).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].2
    };
    for (name, expected) in [
        ("sockeye_uptime_seconds", 1.5),
        ("sockeye_connections", 20.0),
        ("sockeye_rooms", 21.0),
        ("sockeye_queued_messages", 22.0),
        ("sockeye_queued_bytes", 23.0),
        ("sockeye_jobs", 24.0),
        ("sockeye_handshakes_accepted_total", 3.0),
        ("sockeye_connections_opened_total", 2.0),
        ("sockeye_messages_received_total", 5.0),
        ("sockeye_received_bytes_total", 500.0),
        ("sockeye_messages_sent_total", 6.0),
        ("sockeye_sent_bytes_total", 600.0),
        ("sockeye_broadcasts_total", 9.0),
        ("sockeye_deliveries_total", 10.0),
        ("sockeye_handler_panics_total", 11.0),
        ("sockeye_jobs_refused_total", 12.0),
        ("sockeye_broadcast_seconds_count", 4.0),
        ("sockeye_broadcast_seconds_sum", 2.000_179),
        ("sockeye_round_trip_seconds_sum", 0.0015),
    ] {
        assert_eq!(value(name, None), expected, "{name}");
    }
    for (name, label, text, expected) in [
        ("sockeye_handshakes_rejected_total", "reason", "origin", 4.0),
        ("sockeye_handshakes_rejected_total", "reason", "server_full", 0.0),
        ("sockeye_connections_closed_total", "code", "1000", 1.0),
        ("sockeye_messages_dropped_total", "policy", "drop_newest", 7.0),
        ("sockeye_joins_refused_total", "reason", "room_full", 8.0),
        ("sockeye_broadcast_seconds_bucket", "le", "0.000064", 2.0),
        ("sockeye_broadcast_seconds_bucket", "le", "0.000128", 3.0),
        ("sockeye_broadcast_seconds_bucket", "le", "1.048576", 3.0),
        ("sockeye_broadcast_seconds_bucket", "le", "+Inf", 4.0),
    ] {
        assert_eq!(value(name, Some((label, text))), expected, "{name} {text}");
    }
}

/// Every series is there from the beginning, so that a rate has something to begin with.
#[test]
fn an_empty_snapshot_tells_the_same_series() {
    let none = Snapshot::default().prometheus(&ConstantLabels::default());
    let series = |text: &str| -> Vec<String> {
        let samples = parse(text).into_values().flat_map(|family| family.samples);
        samples.map(|(name, labels, _)| format!("{name}{labels:?}")).collect()
    };
    let all = busy().snapshot(gauges()).prometheus(&ConstantLabels::default());
    assert_eq!(series(&none), series(&all));
}

proptest! {
    /// Row 75: whatever a label's value is, it comes back as it was and writes no line of its own.
    #[test]
    fn values_of_labels_come_back(node: String, zone in "[\"\\\\\n\r{}= ,a]{0,20}") {
        let labels = ConstantLabels::default().label("node", &node).unwrap();
        let labels = labels.label("zone", &zone).unwrap();
        let plain = Snapshot::default().prometheus(&ConstantLabels::default());
        let text = Snapshot::default().prometheus(&labels);
        prop_assert_eq!(text.split('\n').count(), plain.split('\n').count());
        // The format ends a line with LF alone, and a reader of lines takes CR LF for one.
        prop_assume!(!node.contains('\r') && !zone.contains('\r'));
        for family in parse(&text).values() {
            for (_, labels, _) in &family.samples {
                prop_assert_eq!((&labels["node"], &labels["zone"]), (&node, &zone));
            }
        }
    }
}
