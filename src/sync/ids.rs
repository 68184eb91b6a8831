//! Maps by numbers of our own.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by numbers that are given out here, one after another. No peer can choose them, so the hash need not
/// be one that nobody can foresee: it is one multiplication.
pub(crate) type IdMap<V> = HashMap<u64, V, BuildHasherDefault<IdHasher>>;

/// The golden ratio of 2^64, odd: numbers in a row differ in their high bits and in their low ones.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(FACTOR);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    /// Both ends of the hash are looked at by the map: neither may be the same for many.
    #[test]
    fn numbers_in_a_row_are_spread() {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        let hashes: Vec<u64> = (1000..2024_u64).map(|id| hasher.hash_one(id)).collect();
        let low: HashSet<u64> = hashes.iter().map(|hash| hash & 1023).collect();
        assert_eq!(low.len(), 1024);
        let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert_eq!(high.len(), 128);
    }
}
