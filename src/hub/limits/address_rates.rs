//! So many in a time for each address, in a bounded table.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::sync::Mutex;

use super::AddressKey;
use super::table::shrink;
use crate::protocol::{Rate, RetryAfter, TokenBucket};

/// Refilled buckets that one call throws out, at most: more than a call can add, so the table empties
/// as fast as it fills, and no call is long.
const EXPIRED_PER_CALL: usize = 2;

/// A token bucket for each address: for handshakes in a second, or failed logins in a minute.
///
/// The table holds a bounded number of addresses. A bucket that is full again is like none, so it is
/// thrown out first, and nothing is lost by it. When a table is full of others, the newcomer takes the
/// place of the bucket that is nearest to full. So nobody is refused for what other addresses did; who
/// commands more addresses than the table holds makes it forget a little of those that asked least, not
/// of those that asked most. What bounds all addresses together is another limit.
///
/// In any time `t` an address passes at most `burst + rate * t` times: with ten a minute the eleventh at
/// once is refused, and after that one passes every six seconds.
///
/// Time is in milliseconds of any clock. Usable from any thread. Cost: one short lock, two looks into
/// tables; memory about 100 bytes an address that asked lately, which goes back when it has not.
///
/// ```
/// use sockeye::hub::limits::{AddressKey, AddressRates, Rate, RetryAfter};
///
/// let logins = AddressRates::new(Rate::per_minute(10));
/// let ann = AddressKey::from(std::net::IpAddr::from([192, 0, 2, 1]));
/// for _attempt in 0..10 {
///     // Taken before the password is looked at, given back if it was right.
///     logins.try_take(ann, 0)?;
/// }
/// assert_eq!(logins.try_take(ann, 0), Err(RetryAfter { ms: 6000 }));
/// # Ok::<(), RetryAfter>(())
/// ```
pub struct AddressRates {
    rate: Rate,
    /// `entries_max > 0`.
    entries_max: usize,
    table: Mutex<Table>,
}

/// `order` has one pair for each bucket: when it is full again, and whose it is.
#[derive(Default)]
struct Table {
    buckets: HashMap<AddressKey, TokenBucket>,
    order: BTreeSet<(u64, AddressKey)>,
}

impl AddressRates {
    /// How many addresses are kept unless another number is asked for: about 6 MiB.
    pub const ENTRIES_MAX: usize = 65_536;

    /// A table for [`ENTRIES_MAX`](Self::ENTRIES_MAX) addresses.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self::with_entries_max(rate, Self::ENTRIES_MAX)
    }

    /// A table for at most so many addresses (at least one). It begins empty and grows with them.
    #[must_use]
    pub fn with_entries_max(rate: Rate, entries_max: usize) -> Self {
        Self { rate, entries_max: entries_max.max(1), table: Mutex::default() }
    }

    /// Lets one pass.
    ///
    /// # Errors
    /// When this address is over its rate: how long until one passes again.
    pub fn try_take(&self, address: AddressKey, now_ms: u64) -> Result<(), RetryAfter> {
        let mut table = self.table.lock();
        table.expire(now_ms);
        if let Some(bucket) = table.buckets.get_mut(&address) {
            let before_ms = bucket.full_ms(&self.rate);
            bucket.try_take(&self.rate, 1, now_ms)?;
            let after_ms = bucket.full_ms(&self.rate);
            table.reorder(address, before_ms, after_ms);
            return Ok(());
        }
        let mut bucket = TokenBucket::new(&self.rate, now_ms);
        bucket.try_take(&self.rate, 1, now_ms)?;
        if table.buckets.len() >= self.entries_max {
            table.evict();
        }
        table.order.insert((bucket.full_ms(&self.rate), address));
        table.buckets.insert(address, bucket);
        Ok(())
    }

    /// Takes back that one passed: the login was right, so it does not count.
    pub fn give_back(&self, address: AddressKey) {
        let mut table = self.table.lock();
        // None is a full one.
        let Some(bucket) = table.buckets.get_mut(&address) else { return };
        let before_ms = bucket.full_ms(&self.rate);
        bucket.give_back(&self.rate, 1);
        let after_ms = bucket.full_ms(&self.rate);
        table.reorder(address, before_ms, after_ms);
    }

    /// How many addresses are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().buckets.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for AddressRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.len();
        f.debug_struct("AddressRates")
            .field("rate", &self.rate)
            .field("entries", &entries)
            .field("entries_max", &self.entries_max)
            .finish()
    }
}

impl Table {
    fn expire(&mut self, now_ms: u64) {
        for _ in 0..EXPIRED_PER_CALL {
            if self.order.first().is_some_and(|(full_ms, _)| *full_ms <= now_ms) {
                self.evict();
            }
        }
    }

    /// Throws out the bucket that is full first.
    fn evict(&mut self) {
        if let Some((_, address)) = self.order.pop_first() {
            self.buckets.remove(&address);
            shrink(&mut self.buckets);
        }
    }

    fn reorder(&mut self, address: AddressKey, before_ms: u64, after_ms: u64) {
        if before_ms != after_ms {
            self.order.remove(&(before_ms, address));
            self.order.insert((after_ms, address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn address(number: u32) -> AddressKey {
        AddressKey::from(IpAddr::from(Ipv4Addr::from_bits(number)))
    }

    fn assert_consistent(rates: &AddressRates) {
        let table = rates.table.lock();
        let pairs: BTreeSet<_> = table
            .buckets
            .iter()
            .map(|(address, bucket)| (bucket.full_ms(&rates.rate), *address))
            .collect();
        assert_eq!(pairs, table.order);
        assert!(table.buckets.len() <= rates.entries_max);
    }

    #[test]
    fn refilled_buckets_go_first_then_those_nearest_to_full() {
        let rates = AddressRates::with_entries_max(Rate::per_second(1).burst(5), 2);
        let [ann, bob, carl] = [1, 2, 3].map(address);
        for _ in 0..5 {
            rates.try_take(ann, 0).unwrap();
        }
        rates.try_take(bob, 0).unwrap();
        // Full: bob is nearest to full and goes; ann stays refused.
        rates.try_take(carl, 500).unwrap();
        assert_eq!(rates.len(), 2);
        assert_eq!(rates.try_take(ann, 500), Err(RetryAfter { ms: 500 }));
        rates.try_take(bob, 500).unwrap();
        assert_eq!(rates.try_take(ann, 500), Err(RetryAfter { ms: 500 }));
        assert_consistent(&rates);
        // All are refilled, and the next call throws two of them out.
        rates.try_take(carl, 10_000).unwrap();
        assert_eq!(rates.len(), 1);
        assert_consistent(&rates);
    }

    #[test]
    fn a_flood_of_addresses_grows_nothing_and_refuses_nobody() {
        let rates = AddressRates::with_entries_max(Rate::per_minute(10), 100);
        for number in 0..10_000 {
            assert_eq!(rates.try_take(address(number), u64::from(number / 100)), Ok(()));
        }
        assert_eq!(rates.len(), 100);
        assert_consistent(&rates);
        let table = rates.table.lock();
        assert!(table.buckets.capacity() < 1000);
    }

    #[test]
    fn quiet_addresses_are_forgotten_and_their_memory_is_given_back() {
        let rates = AddressRates::new(Rate::per_second(5));
        for number in 0..5_000 {
            rates.try_take(address(number), 0).unwrap();
        }
        assert_eq!(rates.len(), 5_000);
        for _ in 0..5_000 {
            let _ = rates.try_take(address(1), 1_000_000);
        }
        assert_eq!(rates.len(), 1);
        assert!(rates.table.lock().buckets.capacity() <= 64);
    }

    proptest! {
        /// Where the table is large enough, an address gets what a bucket of its own gives.
        #[test]
        fn like_a_bucket_for_each_address(
            turns in prop::collection::vec((0u32..5, 0u64..700, any::<bool>()), 1..200),
        ) {
            let rate = Rate::per_second(3).burst(4);
            let rates = AddressRates::with_entries_max(rate, 5);
            let mut buckets: HashMap<u32, TokenBucket> = HashMap::new();
            let mut now_ms = 0;
            for (number, step, is_kept) in turns {
                now_ms += step;
                let bucket = buckets.entry(number).or_insert(TokenBucket::new(&rate, 0));
                let expected = bucket.try_take(&rate, 1, now_ms);
                prop_assert_eq!(rates.try_take(address(number), now_ms), expected);
                if expected.is_ok() && !is_kept {
                    bucket.give_back(&rate, 1);
                    rates.give_back(address(number));
                }
                assert_consistent(&rates);
            }
        }
    }
}
