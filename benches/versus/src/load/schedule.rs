//! When messages are due that are sent by the clock.
//!
//! A load that waits for a reply before it sends again asks a server that stalls for nothing, and so counts one
//! slow message where users would have had many. Here every message has its moment, and its time counts from
//! there, whatever kept it from being sent.

use std::time::{Duration, Instant};

pub struct Schedule {
    begin: Instant,
    per_second: f64,
    taken: u64,
    total: u64,
}

impl Schedule {
    /// As many messages a second, evenly, for `duration`.
    pub fn new(begin: Instant, per_second: f64, duration: Duration) -> Self {
        let total = (per_second * duration.as_secs_f64()).round() as u64;
        Self { begin, per_second, taken: 0, total }
    }

    /// The moment of the next message, if it has come.
    pub fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let moment = self.next_due().filter(|moment| *moment <= now)?;
        self.taken += 1;
        Some(moment)
    }

    /// When the next message is due; `None` when all were taken.
    pub fn next_due(&self) -> Option<Instant> {
        let after = Duration::from_secs_f64(self.taken as f64 / self.per_second);
        (self.taken < self.total).then(|| self.begin + after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::histogram::Histogram;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_moment_comes_once_and_none_early() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin, 4.0, SECOND);
        assert_eq!(schedule.take_due(begin), Some(begin));
        assert_eq!(schedule.take_due(begin + SECOND / 5), None);
        let late: Vec<_> = std::iter::from_fn(|| schedule.take_due(begin + 9 * SECOND)).collect();
        assert_eq!(late, [1, 2, 3].map(|step| begin + step * SECOND / 4));
        assert_eq!(schedule.next_due(), None);
    }

    /// A server that answers at once, but for one second in ten in which it does nothing: a tenth of its users
    /// wait, half a second on average. One message in flight at a time would have seen a single slow one.
    #[test]
    fn the_waiting_behind_a_stall_is_counted() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(begin, 1000.0, 10 * SECOND);
        let mut latencies = Histogram::default();
        let stall = begin + 4 * SECOND..begin + 5 * SECOND;
        while let Some(moment) = schedule.next_due() {
            let answered = if stall.contains(&moment) { stall.end } else { moment };
            assert_eq!(schedule.take_due(moment.max(answered)), Some(moment));
            latencies.add(answered.duration_since(moment).as_nanos() as u64, 1);
        }
        let millis = |share| latencies.quantile(share) / 1_000_000;
        assert_eq!(millis(0.5), 0);
        assert!((470..=500).contains(&millis(0.95)), "{}", millis(0.95));
        assert!((870..=900).contains(&millis(0.99)), "{}", millis(0.99));
        assert_eq!(latencies.max(), 1_000_000_000);
    }
}
