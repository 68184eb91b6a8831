//! So many at a time, in all and for each key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use crate::sync::{Arc, Mutex};

use super::table::shrink;

/// Places that are taken and given back: so many in all, so many for each key (an address, a user, a
/// room). Cloning counts a reference; usable from any thread.
///
/// A place is free again the moment its [`Place`] is dropped. A key without places has no entry, and
/// the table gives its memory back when it empties.
///
/// Cost: one short lock and one look into a table, for taking and for giving back.
///
/// ```
/// use sockeye::hub::limits::{Places, PlacesFull};
///
/// let places = Places::new(Some(1), None);
/// let place = places.take("ann")?;
/// assert_eq!(places.take("ann").unwrap_err(), PlacesFull::Key { limit: 1 });
/// drop(place);
/// assert!(places.take("ann").is_ok());
/// # Ok::<(), PlacesFull>(())
/// ```
pub struct Places<K: Eq + Hash> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    key_max: usize,
    total_max: usize,
    taken: Mutex<Taken<K>>,
}

/// `total` is the sum of `keys`, in which no number is zero.
struct Taken<K> {
    keys: HashMap<K, usize>,
    total: usize,
}

/// Why no place was to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacesFull {
    /// All places are taken.
    #[error("all {limit} places are taken")]
    Total {
        /// How many there are.
        limit: usize,
    },
    /// All places of this key are taken.
    #[error("all {limit} places of this key are taken")]
    Key {
        /// How many each key has.
        limit: usize,
    },
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// Places without anybody; `None` is no limit.
    #[must_use]
    pub fn new(key_max: Option<usize>, total_max: Option<usize>) -> Self {
        let shared = Shared {
            key_max: key_max.unwrap_or(usize::MAX),
            total_max: total_max.unwrap_or(usize::MAX),
            taken: Mutex::new(Taken { keys: HashMap::new(), total: 0 }),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes a place. It is free again when what is returned is dropped.
    ///
    /// # Errors
    /// When all are taken, in all or for this key; the total is looked at first.
    pub fn take(&self, key: K) -> Result<Place<K>, PlacesFull> {
        let Shared { key_max, total_max, .. } = *self.shared;
        let mut taken = self.shared.taken.lock();
        if taken.total >= total_max {
            return Err(PlacesFull::Total { limit: total_max });
        }
        if taken.keys.get(&key).copied().unwrap_or(0) >= key_max {
            return Err(PlacesFull::Key { limit: key_max });
        }
        taken.total += 1;
        *taken.keys.entry(key.clone()).or_insert(0) += 1;
        drop(taken);
        Ok(Place { shared: self.shared.clone(), key })
    }
}

impl<K: Eq + Hash> Places<K> {
    /// How many are taken.
    #[must_use]
    pub fn total(&self) -> usize {
        self.shared.taken.lock().total
    }

    /// How many this key has taken.
    #[must_use]
    pub fn of(&self, key: &K) -> usize {
        self.shared.taken.lock().keys.get(key).copied().unwrap_or(0)
    }

    /// How many keys have a place.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shared.taken.lock().keys.len()
    }
}

impl<K: Eq + Hash> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K: Eq + Hash> fmt::Debug for Places<K> {
    /// Numbers only: keys may be names of users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, keys) = (self.total(), self.keys());
        f.debug_struct("Places").field("total", &total).field("keys", &keys).finish_non_exhaustive()
    }
}

/// A place that is taken; dropping it frees it.
#[must_use = "dropping the place frees it"]
pub struct Place<K: Eq + Hash> {
    shared: Arc<Shared<K>>,
    key: K,
}

impl<K: Eq + Hash> Place<K> {
    /// Whose place it is.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.shared.taken.lock();
        taken.total -= 1;
        let Some(count) = taken.keys.get_mut(&self.key) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        // The key of the entry is dropped after the lock: it is a type of the caller's.
        let removed = taken.keys.remove_entry(&self.key);
        shrink(&mut taken.keys);
        drop(taken);
        drop(removed);
    }
}

impl<K: Eq + Hash> fmt::Debug for Place<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_table_holds_no_memory_to_speak_of() {
        let places = Places::new(None, None);
        let crowd: Vec<_> = (0..20_000).map(|key| places.take(key).unwrap()).collect();
        assert_eq!((places.total(), places.keys()), (20_000, 20_000));
        drop(crowd);
        assert_eq!((places.total(), places.keys()), (0, 0));
        assert!(places.shared.taken.lock().keys.capacity() <= 64);
    }

    #[test]
    fn a_place_may_outlive_its_places() {
        let places = Places::new(Some(1), Some(1));
        let place = places.take("ann").unwrap();
        drop(places);
        assert_eq!(place.key(), &"ann");
    }

    proptest! {
        /// Against plain counting, whatever is taken and given back.
        #[test]
        fn counts_are_those_of_a_list(
            turns in prop::collection::vec((0u8..6, any::<prop::sample::Index>(), any::<bool>()), 1..200),
            key_max in 0usize..4,
            total_max in 0usize..9,
        ) {
            let places = Places::new(Some(key_max), Some(total_max));
            let mut held: Vec<Place<u8>> = Vec::new();
            for (key, index, is_taking) in turns {
                if is_taking {
                    let of_key = held.iter().filter(|place| *place.key() == key).count();
                    let expected = match (held.len() < total_max, of_key < key_max) {
                        (false, _) => Err(PlacesFull::Total { limit: total_max }),
                        (true, false) => Err(PlacesFull::Key { limit: key_max }),
                        (true, true) => Ok(()),
                    };
                    let place = places.take(key);
                    prop_assert_eq!(place.as_ref().map(drop), expected.as_ref().map(drop));
                    held.extend(place);
                } else if !held.is_empty() {
                    drop(held.swap_remove(index.index(held.len())));
                }
                let mut keys: Vec<u8> = held.iter().map(|place| *place.key()).collect();
                keys.sort_unstable();
                keys.dedup();
                prop_assert_eq!((places.total(), places.keys()), (held.len(), keys.len()));
                for key in 0..6 {
                    let of_key = held.iter().filter(|place| *place.key() == key).count();
                    prop_assert_eq!(places.of(&key), of_key);
                }
            }
        }
    }
}
