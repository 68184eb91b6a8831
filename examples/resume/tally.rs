//! What has come from each page.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Sessions that are kept in mind.
const SESSIONS_MAX: usize = 1_000;

/// A session that said nothing for so long has ended.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// The numbers of all sessions.
#[derive(Default)]
pub(crate) struct Tallies(Mutex<HashMap<String, Tally>>);

/// The numbers of one session: 1, 2, 3 and so on, or from wherever it begins.
#[derive(Clone, Copy)]
pub(crate) struct Tally {
    last: u64,
    at: Instant,
    pub(crate) missing: u64,
    pub(crate) doubled: u64,
}

impl Tallies {
    /// One more number.
    pub(crate) fn note(&self, session: &str, n: u64) -> Tally {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if tallies.len() >= SESSIONS_MAX {
            tallies.retain(|_, tally| now.duration_since(tally.at) < FORGOTTEN_AFTER);
        }
        let first = Tally { last: n.saturating_sub(1), at: now, missing: 0, doubled: 0 };
        if tallies.len() >= SESSIONS_MAX {
            return first;
        }
        let tally = tallies.entry(session.to_owned()).or_insert(first);
        tally.at = now;
        match n.checked_sub(tally.last) {
            None | Some(0) => tally.doubled += 1,
            Some(step) => {
                tally.missing += step - 1;
                tally.last = n;
            }
        }
        *tally
    }
}
