//! Tables that give their memory back.

use std::collections::HashMap;
use std::hash::Hash;

/// A table of fewer entries is left as it is.
const CAPACITY_MIN: usize = 64;

/// Gives memory back when most of the table is empty, so that a crowd that has left costs nothing.
///
/// Called after each removal it costs little on average: between two times that it moves the
/// entries, at least three quarters of them were removed or as many were added.
pub(super) fn shrink<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    if table.capacity() > CAPACITY_MIN && table.len() < table.capacity() / 8 {
        table.shrink_to((table.len() * 2).max(CAPACITY_MIN / 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_and_entries_stay() {
        let mut table: HashMap<u32, u32> = (0..10_000).map(|key| (key, key)).collect();
        for key in 0..10_000 {
            assert_eq!(table.remove(&key), Some(key));
            shrink(&mut table);
            assert_eq!(table.len() as u32, 9_999 - key);
        }
        assert!(table.capacity() <= CAPACITY_MIN, "{}", table.capacity());
    }
}
