//! The symbols of lengths and distances, and the bits that follow them.

/// Literals, the end of a block, lengths, and two that are none: they make the count round.
///
/// Source: RFC 1951 3.2.5.
pub(super) const LITERALS: usize = 288;

/// Distances, and two that are none. Source: RFC 1951 3.2.5.
pub(super) const DISTANCES: usize = 32;

/// The literals and lengths that are some.
pub(super) const LITERALS_MAX: usize = 286;

/// The distances that are some.
pub(super) const DISTANCES_MAX: usize = 30;

/// The symbol that ends a block.
pub(super) const END: usize = 256;

/// The symbol of the shortest length.
pub(super) const FIRST_LENGTH: usize = 257;

/// One of the symbols that are none: it has no bits in any code of ours.
pub(super) const NOTHING: usize = 287;

/// The shortest match that can be written.
pub(super) const LENGTH_LEAST: usize = 3;

/// The longest match that can be written.
pub(super) const LENGTH_MAX: usize = 258;

/// Extra bits behind the length symbols. Source: RFC 1951 3.2.5.
pub(super) const LENGTH_EXTRA: [u8; 32] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0, 0, 0, 0,
];

/// Extra bits behind the distance symbols. Source: RFC 1951 3.2.5.
pub(super) const DISTANCE_EXTRA: [u8; 32] = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13, 0, 0,
];

const LENGTH_SYMBOLS: [u8; 256] = length_symbols();

const fn length_symbols() -> [u8; 256] {
    // The longest of all has a symbol of its own.
    let (mut table, mut symbol, mut at) = ([28; 256], 0, 0);
    while symbol < 28 {
        let end = at + (1 << LENGTH_EXTRA[symbol as usize]);
        while at < end && at < 255 {
            table[at] = symbol;
            at += 1;
        }
        symbol += 1;
    }
    table
}

/// The symbol, less 257, of a length less 3. Source: RFC 1951 3.2.5.
#[inline]
pub(super) const fn length_symbol(length: u8) -> u8 {
    LENGTH_SYMBOLS[length as usize]
}

/// The value of the extra bits of a length less 3.
#[inline]
pub(super) const fn length_rest(length: u8, extra: u32) -> u32 {
    // Every symbol begins at a multiple of what its bits can count; the last has no bits.
    length as u32 & ((1 << extra) - 1)
}

/// The symbol of a distance of at least 1. Source: RFC 1951 3.2.5.
#[inline]
pub(super) const fn distance_symbol(distance: u16) -> u8 {
    let less_1 = (distance as u32).saturating_sub(1);
    if less_1 < 4 {
        return less_1 as u8;
    }
    // The highest bit is worth two symbols, the next decides between them, the others are extra.
    let extra = less_1.ilog2() - 1;
    (2 * extra + (less_1 >> extra)) as u8
}

/// The value of the extra bits of a distance of at least 1.
#[inline]
pub(super) const fn distance_rest(distance: u16, extra: u32) -> u32 {
    (distance as u32).saturating_sub(1) & ((1 << extra) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of RFC 1951 3.2.5: a symbol covers what its extra bits count, from its base on.
    #[test]
    fn s3_2_5_lengths_follow_each_other() {
        let mut expected = Vec::new();
        for (symbol, extra) in LENGTH_EXTRA.into_iter().enumerate().take(28) {
            expected.extend((0..1_u32 << extra).map(|rest| (symbol as u8, rest)));
        }
        // 258 is written with the last symbol, not with the last bits of the one before.
        expected[255] = (28, 0);
        assert_eq!(expected.len(), 256);
        for (length, expected) in (0..=255).zip(expected) {
            let symbol = length_symbol(length);
            let rest = length_rest(length, u32::from(LENGTH_EXTRA[usize::from(symbol)]));
            assert_eq!((symbol, rest), expected, "length {}", usize::from(length) + LENGTH_LEAST);
        }
    }

    #[test]
    fn s3_2_5_distances_follow_each_other() {
        let mut distance = 1;
        for (symbol, extra) in DISTANCE_EXTRA.into_iter().enumerate().take(DISTANCES_MAX) {
            for rest in 0..1_u32 << extra {
                assert_eq!(usize::from(distance_symbol(distance)), symbol, "distance {distance}");
                assert_eq!(distance_rest(distance, u32::from(extra)), rest, "distance {distance}");
                distance += 1;
            }
        }
        assert_eq!(distance, 32_769);
    }
}
