//! Times in buckets that are 3 % wide.

/// Buckets per power of two.
const STEPS: u64 = 32;

/// Counts of times in nanoseconds.
#[derive(Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Histogram {
    pub fn add(&mut self, time_ns: u64, count: u64) {
        let bucket = bucket(time_ns);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += count;
        self.total += count;
        self.max_ns = self.max_ns.max(time_ns);
    }

    /// The time, in nanoseconds, under which `share` of all lie.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut sum = 0;
        let found = self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        found.map_or(0, lower_bound)
    }

    /// The longest, in nanoseconds, exactly.
    pub const fn max(&self) -> u64 {
        self.max_ns
    }
}

fn bucket(time_ns: u64) -> usize {
    if time_ns < STEPS {
        return time_ns as usize;
    }
    let shift = time_ns.ilog2() - STEPS.ilog2();
    (u64::from(shift) * STEPS + (time_ns >> shift)) as usize
}

fn lower_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    (bucket - shift * STEPS) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_at_most_three_percent_under_its_times() {
        for time_ns in [0, 1, 31, 32, 33, 63, 64, 65, 1000, 123_456, 9_876_543_210] {
            let bound = lower_bound(bucket(time_ns));
            assert!(bound <= time_ns && time_ns - bound <= time_ns / STEPS, "{time_ns}");
        }
    }

    #[test]
    fn quantiles_are_found() {
        let mut histogram = Histogram::default();
        histogram.add(10, 98);
        histogram.add(20, 2);
        assert_eq!((histogram.quantile(0.5), histogram.quantile(0.99)), (10, 20));
    }
}
