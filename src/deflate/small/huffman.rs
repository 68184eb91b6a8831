//! Prefix codes of the least length for given frequencies.

/// The longest code of literals and of distances. Source: RFC 1951 3.2.7.
pub(super) const CODE_BITS_MAX: usize = 15;

/// Where the length stands in a word of a code.
const LENGTH_SHIFT: u32 = 16;

/// Codes for the symbols 0 to N - 1, of which some are not used.
///
/// What [`Code::build`] makes is complete: whatever bits come, they mean something. Only a single symbol
/// leaves half of them unused: its code has one bit, as RFC 1951 3.2.7 wants it for distances.
pub(super) struct Code<const N: usize> {
    lengths: [u8; N],
    /// The bits, the first in the lowest place, and above them their number.
    words: [u32; N],
}

impl<const N: usize> Code<N> {
    pub(super) const fn new() -> Self {
        Self { lengths: [0; N], words: [0; N] }
    }

    /// The code of these lengths, which must be complete. Source: RFC 1951 3.2.2.
    pub(super) const fn from_lengths(lengths: [u8; N]) -> Self {
        let mut code = Self { lengths, words: [0; N] };
        let mut counts = [0; CODE_BITS_MAX + 1];
        let mut symbol = 0;
        while symbol < N {
            counts[lengths[symbol] as usize] += 1;
            symbol += 1;
        }
        let mut next = first_codes(&counts);
        symbol = 0;
        while symbol < N {
            if lengths[symbol] > 0 {
                code.words[symbol] = take_code(&mut next, lengths[symbol]);
            }
            symbol += 1;
        }
        code
    }

    /// Takes the bits of a symbol away that is never needed.
    pub(super) const fn without(mut self, symbol: usize) -> Self {
        self.words[symbol] = 0;
        self
    }

    /// The length of every symbol, zero where it is not used.
    #[inline]
    pub(super) const fn lengths(&self) -> &[u8; N] {
        &self.lengths
    }

    /// The bits of a symbol, the first in the lowest place, and how many they are. A symbol that never
    /// was needed has none.
    #[inline]
    pub(super) fn bits(&self, symbol: usize) -> (u32, u32) {
        let word = self.words.get(symbol).copied().unwrap_or_default();
        (word & ((1 << LENGTH_SHIFT) - 1), word >> LENGTH_SHIFT)
    }

    /// The bits that so many of each symbol take.
    pub(super) fn cost(&self, frequencies: &[u16; N]) -> usize {
        let each = frequencies.iter().zip(&self.lengths);
        each.map(|(count, length)| u32::from(*count) * u32::from(*length)).sum::<u32>() as usize
    }

    /// Makes the code for these frequencies, none longer than `longest` bits.
    ///
    /// Cost: sorting of the used symbols, otherwise linear. When the tree is deeper than `longest`,
    /// the code is complete but need not be the least.
    pub(super) fn build(&mut self, frequencies: &[u16; N], longest: usize) {
        self.lengths = [0; N];
        let mut keys = [0; N];
        let used = collect(frequencies, &mut keys);
        let mut sorted = keys;
        let (keys, sorted) = (&keys[..used], &mut sorted[..used]);
        sorted.sort_unstable();
        let counts = lengths_by_frequency::<N>(sorted, longest);

        let mut rarest = sorted.iter();
        for (length, count) in counts.iter().enumerate().rev() {
            for key in rarest.by_ref().take(usize::from(*count)) {
                if let Some(slot) = self.lengths.get_mut(symbol_of(*key)) {
                    *slot = length as u8;
                }
            }
        }
        let mut next = first_codes(&counts);
        for key in keys {
            let symbol = symbol_of(*key);
            if let (Some(length), Some(word)) =
                (self.lengths.get(symbol), self.words.get_mut(symbol))
            {
                *word = take_code(&mut next, *length);
            }
        }
    }
}

/// How many codes there are of each length.
type Counts = [u16; CODE_BITS_MAX + 1];

/// Lists the used symbols by number, their frequencies above them, and says how many they are.
fn collect<const N: usize>(frequencies: &[u16; N], keys: &mut [u32; N]) -> usize {
    const TOGETHER: usize = 16;
    let mut used = 0;
    for (at, group) in frequencies.chunks(TOGETHER).enumerate() {
        // Text leaves whole groups unused.
        if group.iter().fold(0, |all, count| all | count) == 0 {
            continue;
        }
        for (place, count) in group.iter().enumerate() {
            if let Some(slot) = keys.get_mut(used) {
                *slot = u32::from(*count) << 16 | (at * TOGETHER + place) as u32;
            }
            used += usize::from(*count > 0);
        }
    }
    used
}

fn symbol_of(key: u32) -> usize {
    usize::from(key as u16)
}

/// How many codes of each length the keys, the rarest first, are best given.
fn lengths_by_frequency<const N: usize>(sorted: &[u32], longest: usize) -> Counts {
    let mut counts = [0; CODE_BITS_MAX + 1];
    if sorted.len() < 2 {
        counts[1] = sorted.len() as u16;
        return counts;
    }
    let mut tree = Tree::<N>::new();
    let nodes = tree.join(sorted);
    tree.count(nodes, longest, &mut counts);
    complete(&mut counts, longest);
    counts
}

/// The inner nodes of a tree, in the order in which they are made: by weight.
struct Tree<const N: usize> {
    weights: [u32; N],
    /// First the parent's number, then the node's depth.
    parents: [u16; N],
    leaves: [u8; N],
}

impl<const N: usize> Tree<N> {
    fn new() -> Self {
        Self { weights: [0; N], parents: [0; N], leaves: [0; N] }
    }

    /// Joins the two lightest until one is left. Says how many nodes that makes.
    fn join(&mut self, sorted: &[u32]) -> usize {
        let (mut leaf, mut node) = (0, 0);
        let nodes = sorted.len() - 1;
        for made in 0..nodes.min(N) {
            let (mut weight, mut leaves) = (0, 0);
            for _ in 0..2 {
                let lightest = sorted.get(leaf).map_or(u32::MAX, |key| key >> 16);
                let inner = if node < made { self.weights[node] } else { u32::MAX };
                // Which of them it is cannot be predicted, so that there is no branch: a parent that
                // is noted too early is noted again.
                let is_leaf = lightest <= inner;
                weight += lightest.min(inner);
                self.parents[node.min(N - 1)] = made as u16;
                leaf += usize::from(is_leaf);
                leaves += u8::from(is_leaf);
                node += usize::from(!is_leaf);
            }
            self.weights[made] = weight;
            self.leaves[made] = leaves;
        }
        nodes
    }

    /// Counts the leaves at each depth; those that are too deep count as deep as may be.
    fn count(&mut self, nodes: usize, longest: usize, counts: &mut Counts) {
        let longest = longest.min(CODE_BITS_MAX);
        for node in (0..nodes.min(N)).rev() {
            let parent = usize::from(self.parents[node]);
            let is_root = node + 1 == nodes;
            let above = if is_root { 0 } else { usize::from(self.parents[parent.min(N - 1)]) };
            let depth = (above + 1).min(longest);
            // What a child of this node needs: its own depth is one more.
            self.parents[node] = depth as u16;
            counts[depth] += u16::from(self.leaves[node]);
        }
    }
}

/// Makes a code complete that has too many of the longest. Source: RFC 1951 3.2.2.
fn complete(counts: &mut Counts, longest: usize) {
    let longest = longest.min(CODE_BITS_MAX);
    let space = |(length, count): (usize, &u16)| usize::from(*count) << (longest - length);
    let taken: usize = counts[..=longest].iter().enumerate().map(space).sum();
    for _ in (1 << longest)..taken {
        // A shorter code becomes two that are longer by one: one of them for itself, the other for one
        // of the longest, which gives its place back.
        if let Some(length) = (1..longest).rev().find(|length| counts[*length] > 0) {
            counts[length] -= 1;
            counts[length + 1] += 2;
            counts[longest] -= 1;
        }
    }
}

/// The first code of each length. Source: RFC 1951 3.2.2.
const fn first_codes(counts: &Counts) -> Counts {
    let (mut next, mut code, mut length) = ([0; CODE_BITS_MAX + 1], 0, 1);
    while length <= CODE_BITS_MAX {
        next[length] = code;
        // What is behind the last code of the longest does not fit, and is nobody's.
        code = (code + counts[length]) << 1;
        length += 1;
    }
    next
}

/// The next code of a length of at least 1, turned round: codes begin with their highest bit.
const fn take_code(next: &mut Counts, length: u8) -> u32 {
    let length = length as usize % next.len();
    let code = next[length];
    next[length] += 1;
    (code.reverse_bits() >> (CODE_BITS_MAX + 1 - length)) as u32 | (length as u32) << LENGTH_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const N: usize = 32;

    fn built(frequencies: &[u16; N], longest: usize) -> Code<N> {
        let mut code = Code::new();
        code.build(frequencies, longest);
        code
    }

    /// The part of all bits that means something, in parts of the longest code.
    fn taken(code: &Code<N>) -> u32 {
        let used = code.lengths().iter().filter(|length| **length > 0);
        used.map(|length| 1 << (CODE_BITS_MAX - usize::from(*length))).sum()
    }

    /// The least cost, by joining the two lightest of a list again and again.
    fn least_cost(frequencies: &[u16; N]) -> usize {
        let used = frequencies.iter().filter(|count| **count > 0);
        let mut weights: Vec<usize> = used.map(|count| usize::from(*count)).collect();
        let mut cost = 0;
        while weights.len() > 1 {
            weights.sort_unstable_by(|a, b| b.cmp(a));
            let both = weights.pop().unwrap() + weights.pop().unwrap();
            cost += both;
            weights.push(both);
        }
        cost
    }

    /// No code is the beginning of another.
    fn assert_prefix_free(code: &Code<N>, frequencies: &[u16; N]) {
        let used: Vec<_> = (0..N).filter(|symbol| frequencies[*symbol] > 0).collect();
        for first in &used {
            for second in used.iter().filter(|second| *second != first) {
                let ((bits, len), (other, other_len)) = (code.bits(*first), code.bits(*second));
                let mask = (1 << len) - 1;
                assert!(other_len < len || other & mask != bits, "{first} begins {second}");
            }
        }
    }

    proptest! {
        #[test]
        fn s3_2_2_codes_are_complete_and_the_least(
            counts in prop::collection::vec(prop_oneof![Just(0), 1_u16..4, 1_u16..2000], N),
        ) {
            let mut frequencies = [0; N];
            frequencies.copy_from_slice(&counts);
            let used = frequencies.iter().filter(|count| **count > 0).count();
            let code = built(&frequencies, CODE_BITS_MAX);
            for (count, length) in frequencies.iter().zip(code.lengths()) {
                prop_assert_eq!(*count > 0, *length > 0);
            }
            if used >= 2 {
                prop_assert_eq!(taken(&code), 1 << CODE_BITS_MAX);
                prop_assert_eq!(code.cost(&frequencies), least_cost(&frequencies));
            }
            assert_prefix_free(&code, &frequencies);
            let short = built(&frequencies, 7);
            prop_assert!(short.lengths().iter().all(|length| *length <= 7));
            if used >= 2 {
                prop_assert_eq!(taken(&short), 1 << CODE_BITS_MAX);
            }
            assert_prefix_free(&short, &frequencies);
        }
    }

    /// The deepest trees there are: each weight is the sum of the two before it.
    #[test]
    fn s3_2_7_no_code_is_longer_than_allowed() {
        let mut frequencies = [0; N];
        let (mut this, mut next) = (1, 1);
        for count in frequencies.iter_mut().take(22) {
            *count = this;
            (this, next) = (next, this + next);
        }
        for longest in 5..=CODE_BITS_MAX {
            let code = built(&frequencies, longest);
            assert_eq!(taken(&code), 1 << CODE_BITS_MAX, "{longest}");
            assert!(code.lengths().iter().all(|length| usize::from(*length) <= longest));
            assert_prefix_free(&code, &frequencies);
        }
    }

    #[test]
    fn s3_2_7_a_single_symbol_has_one_bit() {
        let mut frequencies = [0; N];
        assert_eq!(built(&frequencies, 15).lengths(), &[0; N]);
        frequencies[5] = 9;
        let code = built(&frequencies, 15);
        assert_eq!(code.lengths()[5], 1);
        assert_eq!(code.bits(5), (0, 1));
        assert_eq!(code.cost(&frequencies), 9);
    }

    /// The example of RFC 1951 3.2.2: lengths 3, 3, 3, 3, 3, 2, 4, 4.
    #[test]
    fn s3_2_2_the_example() {
        let code = Code::from_lengths([3, 3, 3, 3, 3, 2, 4, 4]);
        let expected = [
            (0b010, 3),
            (0b011, 3),
            (0b100, 3),
            (0b101, 3),
            (0b110, 3),
            (0b00, 2),
            (0b1110, 4),
            (0b1111, 4),
        ];
        for (symbol, (bits, len)) in expected.into_iter().enumerate() {
            let (found, found_len) = code.bits(symbol);
            assert_eq!(found_len, len);
            assert_eq!(found.reverse_bits() >> (32 - len), bits, "symbol {symbol}");
        }
    }
}
