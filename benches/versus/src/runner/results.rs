//! All figures of a run: for each load and server one per round.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::load::Result;

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

    /// The median over the rounds of a field of the load's own report.
    pub fn median_of_report(&self, row: &str, server: &str, field: &str) -> Option<f64> {
        let own = self.reports.iter();
        let own = own.filter(|report| report["load"] == row && report["server"] == server);
        median(own.filter_map(|report| report["report"][field].as_f64()))
    }

    /// Every single figure, for a file.
    pub fn reports(&self) -> &[Value] {
        &self.reports
    }

    /// The figures of such a file.
    ///
    /// # Errors
    /// What is not one of them.
    pub fn from_reports(reports: &[Value]) -> Result<Self> {
        let mut results = Self::default();
        for report in reports {
            let parts = (
                report["load"].as_str(),
                report["server"].as_str(),
                report["round"].as_u64(),
                report["value"].as_f64(),
            );
            let (Some(row), Some(server), Some(round), Some(value)) = parts else {
                return Err(format!("not a result: {report}").into());
            };
            results.add(row, server, round as usize, value, &report["report"]);
        }
        Ok(results)
    }

    /// The servers that have results, in the order of their first.
    pub fn servers(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in self.reports.iter().filter_map(|report| report["server"].as_str()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
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

    #[test]
    fn a_file_has_all_there_is() {
        let mut results = Results::default();
        results.add("deflate", "b", 0, 2.0, &json!({ "bytes": 10 }));
        results.add("deflate", "a", 0, 1.0, &json!({ "bytes": 12 }));
        results.add("deflate", "b", 1, 4.0, &json!({ "bytes": 20 }));
        let read = Results::from_reports(results.reports()).unwrap();
        assert_eq!(read.servers(), ["b", "a"]);
        assert_eq!(read.median("deflate", "b"), Some(3.0));
        assert_eq!(read.median_of_report("deflate", "b", "bytes"), Some(15.0));
        assert!(Results::from_reports(&[json!({ "load": "x" })]).is_err());
    }
}
