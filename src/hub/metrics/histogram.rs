//! How long things took, in buckets whose width grows with the value.
//!
//! ```text
//!  us       1 2 3 ... 32 | 33 ... 64 | 65,66 ... 127,128 | 129-132 ... 253-256 | ...
//!  buckets  32 of 1      | 32 of 1   | 32 of 2           | 32 of 4             | ...
//! ```

use crate::sync::{AtomicU64, Ordering};

/// The longest duration that is told apart, in microseconds: 60 s. A longer one counts as this.
pub const DURATION_US_MAX: u64 = 60_000_000;

/// The binary logarithm of the buckets between two powers of two, of which a bucket's width follows.
const SPLIT_BITS: u32 = 5;
const SPLIT: usize = 1 << SPLIT_BITS;

const BUCKETS: usize = bucket_of(DURATION_US_MAX) + 1;

/// As many as the documentation says.
const _: () = assert!(BUCKETS < 720);

/// Counts durations. 1 us to 60 s in about 700 buckets; a quantile is at most 1/32 (3.2 %) too high and
/// never too low.
///
/// Memory: about 5.5 KiB. Cost of recording: two atomic additions, which threads that record at once pay
/// several times over: for what happens once a broadcast or a ping, not once a message.
///
/// ```
/// use sockeye::hub::metrics::Histogram;
///
/// let histogram = Histogram::new();
/// (1..=1000).for_each(|us| histogram.record(us));
/// assert_eq!(histogram.snapshot().quantile(0.5), Some(504));
/// ```
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let buckets = std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect();
        Self { buckets, sum_us: AtomicU64::default() }
    }

    /// Counts one duration, in microseconds. Less than one counts as one, more than 60 s as 60 s.
    #[inline]
    pub fn record(&self, us: u64) {
        let us = us.clamp(1, DURATION_US_MAX);
        self.buckets[bucket_of(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was counted so far. While others record, the sum may be of a slightly other moment than
    /// the buckets.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        HistogramSnapshot::new(counts, self.sum_us.load(Ordering::Relaxed))
    }

    /// The same as [`HistogramSnapshot::quantile`], of this moment.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        self.snapshot().quantile(quantile)
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.snapshot().count()
    }

    /// The sum of all, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }
}

/// What a [`Histogram`] had counted at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// From the first bucket to the last that is not empty.
    counts: Vec<u64>,
    sum_us: u64,
}

impl HistogramSnapshot {
    fn new(mut counts: Vec<u64>, sum_us: u64) -> Self {
        let len = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        counts.truncate(len);
        counts.shrink_to_fit();
        Self { counts, sum_us }
    }

    /// The duration in microseconds that this share (0 to 1) of all do not exceed: the least upper end
    /// of a bucket that holds it, so at most 1/32 too high and never too low. `None` of nothing.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let rank = (quantile.clamp(0.0, 1.0) * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        let holds = |count: &u64| {
            seen += count;
            seen >= rank.max(1)
        };
        self.counts.iter().position(holds).map(upper_us)
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// How many took at most so long. Exact for a power of two from 1 us on; for others, those of the
    /// bucket that reaches over it are left out.
    #[must_use]
    pub fn count_up_to(&self, us: u64) -> u64 {
        let below =
            self.counts.iter().enumerate().take_while(|(bucket, _)| upper_us(*bucket) <= us);
        below.map(|(_, count)| count).sum()
    }

    /// How many took how long, in microseconds: the upper end of each bucket that is not empty.
    #[allow(dead_code, reason = "for the facade of metrics")]
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (upper_us(bucket), *count))
    }

    /// What was counted after the earlier one was taken of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().chain(std::iter::repeat(&0));
        let counts =
            self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(*before));
        Self::new(counts.collect(), self.sum_us.saturating_sub(earlier.sum_us))
    }
}

/// `1 <= us`. Buckets are open below and closed above, so that a power of two ends one.
const fn bucket_of(us: u64) -> usize {
    let below = us - 1;
    if below < SPLIT as u64 {
        return below as usize;
    }
    let exponent = below.ilog2() - SPLIT_BITS;
    (exponent as usize * SPLIT) + (below >> exponent) as usize
}

/// The highest duration of a bucket.
const fn upper_us(bucket: usize) -> u64 {
    if bucket < SPLIT {
        return bucket as u64 + 1;
    }
    let exponent = bucket / SPLIT - 1;
    ((bucket % SPLIT + SPLIT) as u64 + 1) << exponent
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn durations() -> impl Strategy<Value = u64> {
        (0u32..27, any::<u64>()).prop_map(|(bits, low)| (1 << bits) + low % (1 << bits))
    }

    #[test]
    fn buckets_follow_each_other() {
        assert_eq!(bucket_of(1), 0);
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(upper_us(bucket)), bucket);
            assert_eq!(bucket_of(upper_us(bucket) + 1), bucket + 1);
        }
        assert!(upper_us(BUCKETS - 1) >= DURATION_US_MAX);
    }

    #[test]
    fn what_is_out_of_range_counts_at_its_end() {
        let histogram = Histogram::new();
        histogram.record(0);
        histogram.record(u64::MAX);
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count(), snapshot.sum_us()), (2, DURATION_US_MAX + 1));
        assert_eq!(snapshot.quantile(0.0), Some(1));
        assert!(snapshot.quantile(1.0).is_some_and(|us| us <= DURATION_US_MAX * 33 / 32));
    }

    #[test]
    fn nothing_has_no_quantile_and_is_the_default() {
        let snapshot = Histogram::new().snapshot();
        assert_eq!(snapshot, HistogramSnapshot::default());
        assert_eq!(snapshot.quantile(0.5), None);
        assert_eq!(snapshot.count_up_to(u64::MAX), 0);
    }

    #[test]
    fn a_quantile_that_is_none_is_the_nearest_one() {
        let histogram = Histogram::new();
        histogram.record(5);
        histogram.record(9);
        assert_eq!(histogram.quantile(-1.0), Some(5));
        assert_eq!(histogram.quantile(f64::NAN), Some(5));
        assert_eq!(histogram.quantile(2.0), Some(9));
    }

    proptest! {
        /// Against a sorted list: never too low, at most 1/32 too high.
        #[test]
        fn quantiles_are_near(
            mut durations in prop::collection::vec(durations(), 1..300),
            quantiles in prop::collection::vec(0.0f64..=1.0, 8),
        ) {
            let histogram = Histogram::new();
            durations.iter().for_each(|us| histogram.record(*us));
            durations.iter_mut().for_each(|us| *us = (*us).min(DURATION_US_MAX));
            durations.sort_unstable();
            let snapshot = histogram.snapshot();
            prop_assert_eq!(snapshot.count(), durations.len() as u64);
            prop_assert_eq!(snapshot.sum_us(), durations.iter().sum::<u64>());
            for quantile in quantiles.into_iter().chain([0.0, 0.5, 0.99, 1.0]) {
                let rank = (quantile * durations.len() as f64).ceil() as usize;
                let exact = durations[rank.max(1) - 1];
                let near = snapshot.quantile(quantile).unwrap();
                prop_assert!(exact <= near && (near - exact) * 32 < exact.max(32), "{near} for {exact}");
            }
        }

        #[test]
        fn powers_of_two_are_exact_bounds(
            durations in prop::collection::vec(durations(), 0..300),
            bits in 0u32..26,
        ) {
            let histogram = Histogram::new();
            durations.iter().for_each(|us| histogram.record(*us));
            let expected = durations.iter().filter(|us| **us <= 1 << bits).count();
            prop_assert_eq!(histogram.snapshot().count_up_to(1 << bits), expected as u64);
        }

        #[test]
        fn a_difference_is_what_came_between(
            first in prop::collection::vec(durations(), 0..50),
            second in prop::collection::vec(durations(), 0..50),
        ) {
            let (histogram, between) = (Histogram::new(), Histogram::new());
            first.iter().for_each(|us| histogram.record(*us));
            let earlier = histogram.snapshot();
            for us in second {
                histogram.record(us);
                between.record(us);
            }
            prop_assert_eq!(histogram.snapshot().since(&earlier), between.snapshot());
        }
    }
}
