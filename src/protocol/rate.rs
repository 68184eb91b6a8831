//! So many in a time, exactly.

use std::time::Duration;

/// How many may pass in a time, and how many at once after a pause.
///
/// ```
/// use sockeye::protocol::Rate;
///
/// let rate = Rate::per_second(20).burst(50);
/// assert_eq!((rate.tokens(), rate.burst_tokens()), (20, 50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    tokens: u32,
    /// `period_ms > 0`.
    period_ms: u32,
    burst: u32,
}

impl Rate {
    /// So many a second, and as many at once. Zero lets nothing pass.
    #[must_use]
    pub const fn per_second(tokens: u32) -> Self {
        Self { tokens, period_ms: 1000, burst: tokens }
    }

    /// So many a minute, and as many at once. Zero lets nothing pass.
    #[must_use]
    pub const fn per_minute(tokens: u32) -> Self {
        Self { tokens, period_ms: 60_000, burst: tokens }
    }

    /// The same with another number at once. Where one thing may cost more than one token (the
    /// bytes of a message), the burst must hold the dearest.
    #[must_use]
    pub const fn burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// How many in a period.
    #[must_use]
    pub const fn tokens(&self) -> u32 {
        self.tokens
    }

    /// The period: a second or a minute.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms as u64)
    }

    /// How many at once, after a pause.
    #[must_use]
    pub const fn burst_tokens(&self) -> u32 {
        self.burst
    }

    /// A full bucket's credit.
    const fn credit_max(&self) -> u64 {
        self.burst as u64 * self.period_ms as u64
    }
}

/// When to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("over the rate: again in {ms} ms")]
pub struct RetryAfter {
    /// Milliseconds from now; [`NEVER`](Self::NEVER) has the highest number.
    pub ms: u64,
}

impl RetryAfter {
    /// However long the wait: more is asked for than a full bucket holds, or none come.
    pub const NEVER: Self = Self { ms: u64::MAX };

    /// The wait; `None` if none is long enough.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        (*self != Self::NEVER).then(|| Duration::from_millis(self.ms))
    }
}

/// A token bucket of 16 bytes: full at first, and refilled by the time that passes.
///
/// In any time `t` at most `burst + rate * t` tokens are taken, and whoever stays under that is never
/// refused. The arithmetic is exact: credit is counted in parts of which `period_ms` make a token, and
/// `tokens` of them come in each millisecond, so nothing is ever rounded, however often it is asked.
///
/// Every call is given the same [`Rate`], which many buckets share, and the time in milliseconds of any
/// clock. A time before the last one counts as the last one.
///
/// ```
/// use sockeye::protocol::{Rate, RetryAfter, TokenBucket};
///
/// let rate = Rate::per_second(4).burst(2);
/// let mut bucket = TokenBucket::new(&rate, 0);
/// assert_eq!(bucket.try_take(&rate, 2, 0), Ok(()));
/// assert_eq!(bucket.try_take(&rate, 1, 100), Err(RetryAfter { ms: 150 }));
/// assert_eq!(bucket.try_take(&rate, 1, 250), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// In parts of a token; `credit <= rate.credit_max()`.
    credit: u64,
    refilled_ms: u64,
}

/// One stands beside every connection and every address.
const _: () = assert!(size_of::<TokenBucket>() == 16);

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub const fn new(rate: &Rate, now_ms: u64) -> Self {
        Self { credit: rate.credit_max(), refilled_ms: now_ms }
    }

    /// Takes so many tokens, or none of them.
    ///
    /// # Errors
    /// When so many are not there: the exact wait until they are, if nobody takes any meanwhile.
    #[inline]
    pub fn try_take(&mut self, rate: &Rate, tokens: u64, now_ms: u64) -> Result<(), RetryAfter> {
        if tokens > u64::from(rate.burst) {
            return Err(RetryAfter::NEVER);
        }
        self.refill(rate, now_ms);
        // No overflow: a full bucket holds so many.
        let cost = tokens * u64::from(rate.period_ms);
        match self.credit.checked_sub(cost) {
            Some(rest) => {
                self.credit = rest;
                Ok(())
            }
            None => Err(self.wait(rate, cost, now_ms)),
        }
    }

    /// Puts tokens back that were taken for what did not happen. No more than a full bucket.
    pub fn give_back(&mut self, rate: &Rate, tokens: u64) {
        let credit = tokens.saturating_mul(u64::from(rate.period_ms));
        self.credit = self.credit.saturating_add(credit).min(rate.credit_max());
    }

    /// When it is full again if nothing is taken: from then on it is like a new one. The highest
    /// number for never.
    #[must_use]
    pub fn full_ms(&self, rate: &Rate) -> u64 {
        self.filled_ms(rate, rate.credit_max())
    }

    fn refill(&mut self, rate: &Rate, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms);
        // What saturates is more than a full bucket.
        let refill = elapsed_ms.saturating_mul(u64::from(rate.tokens));
        self.credit = self.credit.saturating_add(refill).min(rate.credit_max());
        self.refilled_ms += elapsed_ms;
    }

    fn wait(&self, rate: &Rate, cost: u64, now_ms: u64) -> RetryAfter {
        match self.filled_ms(rate, cost) {
            u64::MAX => RetryAfter::NEVER,
            filled_ms => RetryAfter { ms: filled_ms.saturating_sub(now_ms) },
        }
    }

    /// When it holds so much.
    fn filled_ms(&self, rate: &Rate, credit: u64) -> u64 {
        match (credit.saturating_sub(self.credit), u64::from(rate.tokens)) {
            (0, _) => self.refilled_ms,
            (_, 0) => u64::MAX,
            (missing, tokens) => self.refilled_ms.saturating_add(missing.div_ceil(tokens)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rates() -> impl Strategy<Value = Rate> {
        (0u32..2000, prop::sample::select(vec![1000, 60_000, 7]), 0u32..3000)
            .prop_map(|(tokens, period_ms, burst)| Rate { tokens, period_ms, burst })
    }

    /// Steps of time and what is asked for.
    fn asked() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let step = prop_oneof![0u64..3, 0u64..2000, Just(1), Just(1 << 40)];
        let tokens = prop_oneof![Just(1u64), 0u64..50, 0u64..4000];
        prop::collection::vec((step, tokens), 1..60)
    }

    #[test]
    fn an_even_stream_at_the_rate_passes_for_ever() {
        // 3 a second come in steps of 333 and 334 ms: a bucket that rounds drifts. One more at once, for
        // a step of 333 ms is a little too short.
        let rate = Rate::per_second(3).burst(2);
        let mut bucket = TokenBucket::new(&rate, 0);
        for turn in 0..100_000u64 {
            let due_ms = (turn * 1000).div_ceil(3);
            assert_eq!(bucket.try_take(&rate, 1, due_ms), Ok(()), "{turn}");
        }
    }

    #[test]
    fn often_asked_is_no_faster_and_no_slower() {
        let rate = Rate::per_minute(7).burst(1);
        let mut bucket = TokenBucket::new(&rate, 0);
        let passed = (0..600_000u64).filter(|ms| bucket.try_take(&rate, 1, *ms).is_ok());
        assert_eq!(passed.count(), 70);
    }

    #[test]
    fn the_ends_of_the_numbers_are_no_trouble() {
        let rate = Rate::per_minute(u32::MAX);
        let mut bucket = TokenBucket::new(&rate, 0);
        assert_eq!(bucket.try_take(&rate, u64::from(u32::MAX), 0), Ok(()));
        assert_eq!(bucket.try_take(&rate, u64::MAX, 0), Err(RetryAfter::NEVER));
        assert_eq!(bucket.try_take(&rate, u64::from(u32::MAX), u64::MAX), Ok(()));
        bucket.give_back(&rate, u64::MAX);
        assert_eq!(bucket.try_take(&rate, 1, 0), Ok(()), "the clock may go back");
        let mut bucket = TokenBucket::new(&rate, u64::MAX);
        bucket.try_take(&rate, u64::from(u32::MAX), 0).unwrap();
        assert_eq!(bucket.try_take(&rate, 1, u64::MAX), Err(RetryAfter::NEVER));
        let none = Rate::per_second(0).burst(1);
        let mut bucket = TokenBucket::new(&none, 5);
        assert_eq!(bucket.full_ms(&none), 5);
        assert_eq!(bucket.try_take(&none, 1, 5), Ok(()));
        assert_eq!(bucket.try_take(&none, 1, u64::MAX), Err(RetryAfter::NEVER));
        assert_eq!(bucket.full_ms(&none), u64::MAX);
        assert_eq!(RetryAfter::NEVER.duration(), None);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let rate = Rate::per_second(1);
        let mut bucket = TokenBucket::new(&rate, 10_000);
        bucket.try_take(&rate, 1, 10_000).unwrap();
        assert_eq!(bucket.try_take(&rate, 1, 0), Err(RetryAfter { ms: 11_000 }));
        assert_eq!(bucket.try_take(&rate, 1, 10_999), Err(RetryAfter { ms: 1 }));
        assert_eq!(bucket.try_take(&rate, 1, 11_000), Ok(()));
    }

    proptest! {
        /// LM-05: what passes is exactly what the rule says, in rational numbers: from each earlier
        /// take (and from the beginning) to now at most the burst and what has come meanwhile.
        #[test]
        fn takes_are_those_of_exact_arithmetic(rate in rates(), asked in asked(), start: u32) {
            let mut now_ms = u64::from(start);
            let mut bucket = TokenBucket::new(&rate, now_ms);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (step, tokens) in asked {
                now_ms += step;
                // Scaled by the period, so that all numbers are whole.
                let is_within = |since_ms: u64, sum: u64| {
                    let refill = u128::from(now_ms - since_ms) * u128::from(rate.tokens);
                    let burst = u128::from(rate.burst) * u128::from(rate.period_ms);
                    u128::from(sum) * u128::from(rate.period_ms) <= burst + refill
                };
                let mut sum = tokens;
                let mut is_allowed = is_within(now_ms, tokens);
                for (at_ms, earlier) in taken.iter().rev() {
                    sum += earlier;
                    is_allowed &= is_within(*at_ms, sum);
                }
                let got = bucket.try_take(&rate, tokens, now_ms);
                prop_assert_eq!(got.is_ok(), is_allowed);
                if is_allowed {
                    taken.push((now_ms, tokens));
                }
            }
        }

        /// The wait is right to the millisecond, and so is the time at which it is full.
        #[test]
        fn waits_are_exact(rate in rates(), asked in asked()) {
            let mut now_ms = 0;
            let mut bucket = TokenBucket::new(&rate, 0);
            for (step, tokens) in asked {
                now_ms += step;
                let Err(wait) = bucket.try_take(&rate, tokens, now_ms) else { continue };
                let Some(_) = wait.duration() else {
                    let mut later = bucket;
                    prop_assert!(later.try_take(&rate, tokens, u64::MAX).is_err());
                    continue;
                };
                prop_assert!(wait.ms > 0);
                let (mut early, mut later) = (bucket, bucket);
                prop_assert!(early.try_take(&rate, tokens, now_ms + wait.ms - 1).is_err());
                prop_assert!(later.try_take(&rate, tokens, now_ms + wait.ms).is_ok());
            }
            let full_ms = bucket.full_ms(&rate);
            bucket.refill(&rate, full_ms);
            if full_ms < u64::MAX {
                prop_assert_eq!(bucket.credit, rate.credit_max());
            }
        }
    }
}
