//! Bits into bytes, the first in the lowest place.

/// The bytes that must be free behind what is written: a flush stores a whole word.
pub(super) const SLACK_BYTES: usize = 8;

/// Writes codes and numbers into bytes that were made before.
///
/// `held <= 7` after a flush, so that 56 bits may be pushed before the next one.
///
/// Source: RFC 1951 3.1.1.
pub(super) struct BitWriter<'a> {
    out: &'a mut [u8],
    at: usize,
    bits: u64,
    held: u32,
}

impl<'a> BitWriter<'a> {
    /// Begins at the first byte of `out`, which has [`SLACK_BYTES`] more than will be written.
    pub(super) const fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0, bits: 0, held: 0 }
    }

    /// Puts `len` bits behind the others; above them `value` is zero.
    #[inline]
    pub(super) fn push(&mut self, value: u32, len: u32) {
        debug_assert!(u64::from(value) >> len == 0 && self.held + len < u64::BITS);
        self.bits |= u64::from(value) << self.held;
        self.held += len;
    }

    /// Stores what is whole, without asking how much that is: what is behind it is stored again.
    #[inline]
    pub(super) fn flush(&mut self) {
        let rest = self.out.get_mut(self.at..).unwrap_or_default();
        debug_assert!(rest.len() >= SLACK_BYTES);
        if let Some(word) = rest.first_chunk_mut() {
            *word = self.bits.to_le_bytes();
        }
        self.at += (self.held / 8) as usize;
        self.bits >>= self.held & !7;
        self.held %= 8;
    }

    /// Fills the last byte with zeros and says how many there are.
    pub(super) fn finish(mut self) -> usize {
        self.flush();
        self.at + usize::from(self.held > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn s3_1_1_bits_stand_one_behind_the_other(
            numbers in prop::collection::vec((any::<u32>(), 0_u32..=28), 0..60),
        ) {
            let mut expected = Vec::new();
            let mut out = [0xff; 60 * 4 + SLACK_BYTES];
            let mut writer = BitWriter::new(&mut out);
            for two in numbers.chunks(2) {
                for (number, len) in two {
                    writer.push(number & ((1 << len) - 1), *len);
                    expected.extend((0..*len).map(|bit| number >> bit & 1));
                }
                writer.flush();
            }
            let written = writer.finish();
            prop_assert_eq!(written, expected.len().div_ceil(8));
            expected.resize(written * 8, 0);
            let found: Vec<u32> =
                (0..written * 8).map(|at| u32::from(out[at / 8]) >> (at % 8) & 1).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
