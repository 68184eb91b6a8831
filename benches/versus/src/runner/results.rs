//! All figures of a run: for each load and server one per round.

use std::collections::HashMap;

use serde_json::{Value, json};

/// The server the others are set against.
pub const BASE: &str = "raw";

#[derive(Default)]
pub struct Results {
    /// By load and server, then by round.
    values: HashMap<(String, String), HashMap<usize, f64>>,
    reports: Vec<Value>,
}

impl Results {
    pub fn add(&mut self, row: &str, server: &str, round: usize, value: f64, report: &Value) {
        let key = (row.to_owned(), server.to_owned());
        self.values.entry(key).or_default().insert(round, value);
        self.reports.push(json!({
            "load": row, "server": server, "round": round, "value": value, "report": report,
        }));
    }

    /// The median over the rounds.
    pub fn median(&self, row: &str, server: &str) -> Option<f64> {
        median(self.of(row, server)?.values().copied())
    }

    /// The median of the ratios to [`BASE`] in the same round.
    pub fn median_ratio(&self, row: &str, server: &str) -> Option<f64> {
        let base = self.of(row, BASE)?;
        let values = self.of(row, server)?;
        median(values.iter().filter_map(|(round, value)| Some(value / base.get(round)?)))
    }

    /// Every single figure, for a file.
    pub fn reports(&self) -> &[Value] {
        &self.reports
    }

    fn of(&self, row: &str, server: &str) -> Option<&HashMap<usize, f64>> {
        self.values.get(&(row.to_owned(), server.to_owned()))
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let mut results = Results::default();
        for (round, base, other) in [(0, 100.0, 110.0), (1, 200.0, 240.0), (2, 50.0, 65.0)] {
            results.add("echo", BASE, round, base, &Value::Null);
            results.add("echo", "other", round, other, &Value::Null);
        }
        results.add("echo", "other", 3, 1.0, &Value::Null);
        assert_eq!(results.median_ratio("echo", "other"), Some(1.2));
        assert_eq!(results.median("echo", BASE), Some(100.0));
        assert_eq!(results.median("idle", BASE), None);
    }
}
