//! A bound on guessing.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::handshake::AddressKey;
use crate::sync::Mutex;

use super::AuthError;

/// Failed attempts of one address within the window.
const FAILURES_MAX: usize = 10;

const WINDOW: Duration = Duration::from_secs(60);

/// The table: an address has its place in one set, chosen by a hash that nobody outside can compute.
const SETS: usize = 512;
const ADDRESSES_PER_SET: usize = 8;

/// Lets an address fail ten times within a minute, then refuses its attempts until the first of these
/// is a minute old. An IPv6 address counts with its /64, which is one customer's.
///
/// It remembers 4,096 addresses and no more, in at most a megabyte. When a set is full, the address
/// with the fewest failures is forgotten: one that is refused is not washed out by newcomers.
///
/// ```
/// use std::time::Instant;
///
/// use sockeye::auth::{AuthError, GuessLimiter};
///
/// let limiter = GuessLimiter::new();
/// let (peer, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
/// for _ in 0..10 {
///     limiter.begin(peer, now)?.end(Some(&AuthError::Invalid));
/// }
/// assert!(limiter.begin(peer, now).is_err());
/// # Ok::<(), AuthError>(())
/// ```
pub struct GuessLimiter {
    sets: Mutex<Vec<Vec<Entry>>>,
    hasher: RandomState,
}

struct Entry {
    address: AddressKey,
    /// In order; 1 <= len <= `FAILURES_MAX`, or it is of no use.
    failures: Vec<Instant>,
}

impl Default for GuessLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl GuessLimiter {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new() -> Self {
        let sets = std::iter::repeat_with(Vec::new).take(SETS).collect();
        Self { sets: Mutex::new(sets), hasher: RandomState::new() }
    }

    /// Begins an attempt. It counts as failed from now on, so that a thousand at once are no way
    /// around; [`Attempt::end`] takes it back where it was none.
    ///
    /// # Errors
    /// [`AuthError::RateLimited`] when this address has failed too often.
    ///
    /// Cost: one short lock, a look at eight entries.
    pub fn begin(&self, address: IpAddr, now: Instant) -> Result<Attempt<'_>, AuthError> {
        let key = AddressKey::from(address);
        let mut sets = self.sets.lock();
        let failures = failures_of(&mut sets[self.set_of(key)], key, now);
        failures.retain(|failure| is_recent(*failure, now));
        if let [first, ..] = failures[..]
            && failures.len() >= FAILURES_MAX
        {
            let passed = now.saturating_duration_since(first);
            return Err(AuthError::RateLimited { retry_after: WINDOW - passed });
        }
        failures.push(now);
        Ok(Attempt { limiter: self, address: key, at: now })
    }

    fn set_of(&self, address: AddressKey) -> usize {
        self.hasher.hash_one(address) as usize % SETS
    }

    fn take_back(&self, address: AddressKey, at: Instant) {
        let mut sets = self.sets.lock();
        let set = &mut sets[self.set_of(address)];
        let Some(index) = set.iter().position(|entry| entry.address == address) else {
            return;
        };
        let failures = &mut set[index].failures;
        if let Some(place) = failures.iter().rposition(|failure| *failure == at) {
            failures.remove(place);
        }
        if failures.is_empty() {
            set.swap_remove(index);
        }
    }
}

fn is_recent(failure: Instant, now: Instant) -> bool {
    now.saturating_duration_since(failure) < WINDOW
}

/// The failures of an address; where it is new, in the place of one that is needed less.
fn failures_of(set: &mut Vec<Entry>, address: AddressKey, now: Instant) -> &mut Vec<Instant> {
    let index = match set.iter().position(|entry| entry.address == address) {
        Some(index) => index,
        None => {
            if set.len() >= ADDRESSES_PER_SET {
                forget_one(set, now);
            }
            set.push(Entry { address, failures: Vec::with_capacity(FAILURES_MAX) });
            set.len() - 1
        }
    };
    &mut set[index].failures
}

/// The one with the fewest failures that still count; of several, whose last is the oldest.
fn forget_one(set: &mut Vec<Entry>, now: Instant) {
    let rank = |entry: &Entry| {
        let recent = entry.failures.iter().filter(|failure| is_recent(**failure, now));
        (recent.count(), entry.failures.last().copied())
    };
    let least = (0..set.len()).min_by_key(|index| rank(&set[*index]));
    if let Some(least) = least {
        set.swap_remove(least);
    }
}

impl fmt::Debug for GuessLimiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: usize = self.sets.lock().iter().map(Vec::len).sum();
        formatter
            .debug_struct("GuessLimiter")
            .field("addresses", &addresses)
            .finish_non_exhaustive()
    }
}

/// An attempt under way. Dropped without [`end`](Self::end), it stays a failed one.
#[must_use = "an attempt that is not ended counts as failed"]
pub struct Attempt<'a> {
    limiter: &'a GuessLimiter,
    address: AddressKey,
    at: Instant,
}

impl Attempt<'_> {
    /// Ends it, with the error it came to, if it did: what was no guess (see [`AuthError::is_guess`]) does
    /// not count.
    pub fn end(self, error: Option<&AuthError>) {
        if !error.is_some_and(AuthError::is_guess) {
            self.take_back();
        }
    }

    /// Takes it back: whoever made it was told nothing.
    pub fn take_back(self) {
        self.limiter.take_back(self.address, self.at);
    }
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attempt").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> AddressKey {
        AddressKey::from(IpAddr::from(std::net::Ipv4Addr::from_bits(number)))
    }

    fn entry(number: u32, failures: usize, last: Instant) -> Entry {
        Entry { address: key(number), failures: vec![last; failures] }
    }

    #[test]
    fn who_is_refused_is_not_forgotten_for_newcomers() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut set = vec![entry(0, FAILURES_MAX, now), entry(1, 2, later), entry(2, 2, now)];
        forget_one(&mut set, later);
        assert!(set.iter().all(|entry| entry.address != key(2)));
        forget_one(&mut set, later);
        assert!(set.len() == 1 && set[0].address == key(0));
    }

    #[test]
    fn what_does_not_count_any_more_is_forgotten_first() {
        let now = Instant::now();
        let later = now + WINDOW;
        let mut set = vec![entry(0, FAILURES_MAX, now), entry(1, 1, later)];
        forget_one(&mut set, later);
        assert!(set.len() == 1 && set[0].address == key(1));
    }

    /// A08: an attacker cannot make the table grow.
    #[test]
    fn the_table_has_an_end() {
        let (limiter, now) = (GuessLimiter::new(), Instant::now());
        for number in 0..100_000u32 {
            let address = std::net::Ipv4Addr::from_bits(number);
            limiter.begin(address.into(), now).unwrap().end(Some(&AuthError::Invalid));
        }
        let sets = limiter.sets.lock();
        assert!(sets.len() == SETS && sets.iter().all(|set| set.len() <= ADDRESSES_PER_SET));
        assert!(sets.iter().flatten().all(|entry| entry.failures.capacity() <= 2 * FAILURES_MAX));
    }
}
