//! Snapshots as Prometheus reads them: the text format, version 0.0.4.

use std::fmt::Write;

use super::families::Families;
use super::histogram::HistogramSnapshot;
use super::snapshot::Snapshot;

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets that are told, as powers of two of a microsecond: 64 us to 33.5 s. The
/// histogram is exact there.
const BOUND_BITS: std::ops::RangeInclusive<u32> = 6..=25;

/// Labels that this text uses itself.
const OWN_LABELS: [&str; 4] = ["code", "le", "policy", "reason"];

/// Labels that stand on every sample, where several servers are read through one page.
///
/// ```
/// use sockeye::hub::metrics::{ConstantLabels, Snapshot};
///
/// let labels = ConstantLabels::default().label("node", "a")?;
/// let text = Snapshot::default().prometheus(&labels);
/// assert!(text.contains("\nsockeye_connections{node=\"a\"} 0\n"));
/// # Ok::<(), sockeye::hub::metrics::LabelError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConstantLabels {
    names: Vec<String>,
    /// As it stands between the braces, without a comma at the end.
    text: String,
}

/// A name that cannot be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Not a letter or underscore, then letters, digits and underscores; or two underscores at the
    /// beginning, which are Prometheus' own.
    #[error("a label's name is made of letters, digits and underscores")]
    Name,
    /// It is there already, or used here.
    #[error("the label is taken")]
    Taken,
}

impl ConstantLabels {
    /// The same with one more. The value may be any text: it is escaped.
    ///
    /// # Errors
    /// When the name is none, or taken.
    pub fn label(mut self, name: &str, value: &str) -> Result<Self, LabelError> {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.starts_with("__");
        if !is_name {
            return Err(LabelError::Name);
        }
        if OWN_LABELS.contains(&name) || self.names.iter().any(|other| other == name) {
            return Err(LabelError::Taken);
        }
        if !self.text.is_empty() {
            self.text.push(',');
        }
        push_label(&mut self.text, name, value);
        self.names.push(name.to_owned());
        Ok(self)
    }
}

impl Snapshot {
    /// The snapshot in Prometheus' text format 0.0.4; [`CONTENT_TYPE`] is its type.
    ///
    /// Names begin with `sockeye_`; counters end in `_total`; durations are in seconds. Every series is
    /// there from the beginning, also at zero; those of a cluster where the hub is a node of one, those of a store where there is one.
    #[must_use]
    pub fn prometheus(&self, labels: &ConstantLabels) -> String {
        // About as long as it gets, so that it is written without moving.
        let mut page = Page { text: String::with_capacity(16 * 1024), constant: &labels.text };
        self.tell(&mut page);
        page.text
    }
}

/// The text that is being written.
struct Page<'a> {
    text: String,
    constant: &'a str,
}

impl Families for Page<'_> {
    fn time(&mut self, name: &'static str, help: &'static str, ms: u64) {
        self.family(name, "gauge", help);
        self.sample(name, None, &decimal(ms, 3));
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, None, &value.to_string());
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, None, &value.to_string());
    }

    fn labelled(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) {
        self.family(name, "counter", help);
        for (text, value) in values {
            self.sample(name, Some((label, text)), &value.to_string());
        }
    }

    fn histogram(&mut self, name: &'static str, help: &'static str, histogram: &HistogramSnapshot) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for us in BOUND_BITS.map(|bits| 1 << bits) {
            let count = histogram.count_up_to(us).to_string();
            self.sample(&bucket, Some(("le", &decimal(us, 6))), &count);
        }
        let count = histogram.count().to_string();
        self.sample(&bucket, Some(("le", "+Inf")), &count);
        self.sample(&format!("{name}_sum"), None, &decimal(histogram.sum_us(), 6));
        self.sample(&format!("{name}_count"), None, &count);
    }
}

impl Page<'_> {
    /// `help` is our own and needs no escaping.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = write!(self.text, "# HELP sockeye_{name} {help}\n# TYPE sockeye_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: &str) {
        self.text.push_str("sockeye_");
        self.text.push_str(name);
        if label.is_some() || !self.constant.is_empty() {
            self.text.push('{');
            self.text.push_str(self.constant);
            if let Some((name, value)) = label {
                if !self.constant.is_empty() {
                    self.text.push(',');
                }
                push_label(&mut self.text, name, value);
            }
            self.text.push('}');
        }
        self.text.push(' ');
        self.text.push_str(value);
        self.text.push('\n');
    }
}

/// `name="value"`, the value escaped.
fn push_label(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            character => text.push(character),
        }
    }
    text.push('"');
}

/// A number with so many decimals, those at its end left out.
fn decimal(value: u64, decimals: u32) -> String {
    let unit = 10u64.pow(decimals);
    let width = decimals as usize;
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_short() {
        for (value, decimals, text) in [
            (0, 6, "0"),
            (1, 6, "0.000001"),
            (64, 6, "0.000064"),
            (1_000_000, 6, "1"),
            (10_500_000, 6, "10.5"),
            (33_554_432, 6, "33.554432"),
            (u64::MAX, 3, "18446744073709551.615"),
            (100_000, 3, "100"),
        ] {
            assert_eq!(decimal(value, decimals), text);
        }
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let labels = ConstantLabels::default().label("a", "x\"y\\z\n\r{}").unwrap();
        assert_eq!(labels.text, "a=\"x\\\"y\\\\z\\n\r{}\"");
        let labels = labels.label("_b1", "").unwrap();
        assert!(labels.text.ends_with(",_b1=\"\""));
        assert_eq!(labels.clone().label("a", ""), Err(LabelError::Taken));
        assert_eq!(labels.clone().label("le", ""), Err(LabelError::Taken));
        for name in ["", "1a", "a-b", "a b", "__a", "é", "a\"", "a\n"] {
            assert_eq!(labels.clone().label(name, ""), Err(LabelError::Name), "{name}");
        }
    }

    #[test]
    fn the_room_that_is_reserved_is_enough() {
        let text = Snapshot::default().prometheus(&ConstantLabels::default());
        assert!((4096..16 * 1024).contains(&text.len()), "{}", text.len());
    }
}
