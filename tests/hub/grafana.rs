//! The dashboard that comes with the crate asks for what there is.

#![cfg(feature = "hub")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sockeye::hub::metrics::{
    ClusterSnapshot, ConstantLabels, Histogram, Metrics, Snapshot, StoreSnapshot,
};

/// The names of all series, and the labels that each has.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let mut snapshot: Snapshot = Metrics::new().snapshot(Default::default());
    snapshot.cluster = Some(ClusterSnapshot::default());
    snapshot.store = Some(StoreSnapshot::default());
    snapshot.broadcast = Histogram::new().snapshot();
    let mut series = BTreeMap::<String, BTreeSet<String>>::new();
    for line in snapshot.prometheus(&ConstantLabels::default()).lines() {
        if line.starts_with('#') {
            continue;
        }
        let (key, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = key.split_once('{').unwrap_or((key, ""));
        let labels =
            labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        series.entry(name.to_owned()).or_default().extend(labels);
    }
    series
}

/// The words of a query.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
}

/// MT-23: each query of the dashboard names series that are told, and labels that they have; each panel has a query, and a
/// place of its own.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let text = include_str!("../../examples/monitor/grafana.json");
    let dashboard: Value = serde_json::from_str(text).unwrap();
    let (series, mut places, mut asked) = (series(), BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(places.insert(panel["gridPos"].to_string()), "{title}: where another one is");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}: no query");
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            let names: Vec<_> = words(query).filter(|word| word.starts_with("sockeye_")).collect();
            assert!(!names.is_empty(), "{title}: {query}");
            let by = query.split_once(" by (").and_then(|(_, rest)| rest.split_once(')'));
            for name in names {
                let labels = series.get(name).unwrap_or_else(|| panic!("{title}: no {name}"));
                for label in by.iter().flat_map(|(label, _)| words(label)) {
                    assert!(labels.contains(label), "{title}: {name} has no label {label}");
                }
                // What only goes up is asked for as a rate, and nothing else is.
                let is_counter = name.ends_with("_total") || name.ends_with("_bucket");
                assert_eq!(
                    query.contains(&format!("rate({name}[")),
                    is_counter,
                    "{title}: {query}"
                );
                asked.insert(name.to_owned());
            }
        }
    }
    assert!(asked.len() > 20, "{asked:?}");
}
