//! Masking: what a client does to every payload it sends.

use chacha20::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// XORs `payload` with the masking key, which starts at its first byte.
///
/// Masking and unmasking are the same. To go on in the middle of a payload, rotate the key by the
/// bytes already done: `key.rotate_left(done % 4)`.
///
/// Cost: one pass in place, 64-bit words which the compiler turns into vectors.
///
/// Source: RFC 6455 5.3.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let word = u64::from(u32::from_ne_bytes(key));
    let word = word << 32 | word;
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    if rest.is_empty() {
        return;
    }
    let key = word.to_ne_bytes();
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// A source of masking keys that a peer cannot predict.
///
/// ChaCha with 12 rounds, seeded by the operating system. A new key for each frame.
///
/// Source: RFC 6455 5.3 and 10.3.
pub struct MaskingKeys(ChaCha12Rng);

impl MaskingKeys {
    /// A source seeded by the operating system.
    ///
    /// # Errors
    /// When the operating system has no random numbers to give.
    pub fn from_os() -> std::io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        Ok(Self::from_seed(seed))
    }

    /// A source that repeats itself: for tests and simulations only.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// The key of the next frame.
    #[inline]
    pub fn next_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }
}

impl std::fmt::Debug for MaskingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskingKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// FR-03: masking twice is the identity at every length and cut, and is RFC 6455 5.3's
        /// octet-by-octet rule.
        #[test]
        fn s5_3_masks_octet_by_octet(payload: Vec<u8>, key: [u8; 4], cut: prop::sample::Index) {
            let expected: Vec<u8> =
                payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            let mut whole = payload.clone();
            apply_mask(&mut whole, key);
            prop_assert_eq!(&whole, &expected);

            let cut = cut.index(payload.len() + 1);
            let mut parts = payload.clone();
            apply_mask(&mut parts[..cut], key);
            let mut rotated = key;
            rotated.rotate_left(cut % 4);
            apply_mask(&mut parts[cut..], rotated);
            prop_assert_eq!(&parts, &expected);

            apply_mask(&mut whole, key);
            prop_assert_eq!(whole, payload);
        }
    }

    /// Row 22: 10,000 keys with even bits and no more repeats than chance allows.
    #[test]
    fn s10_3_keys_are_even_and_do_not_repeat() {
        let mut keys = MaskingKeys::from_os().unwrap();
        let drawn: Vec<u32> = (0..10_000).map(|_| u32::from_ne_bytes(keys.next_key())).collect();
        for bit in 0..32 {
            let ones = drawn.iter().filter(|key| *key >> bit & 1 == 1).count();
            assert!((4_700..=5_300).contains(&ones), "bit {bit}: {ones} of 10000");
        }
        let mut distinct = drawn.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() >= 9_997, "{} distinct", distinct.len());
        let other = MaskingKeys::from_os().unwrap().next_key();
        assert_ne!(other, drawn[0].to_ne_bytes(), "two sources gave the same first key");
    }
}
