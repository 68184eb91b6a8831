//! What a message repeats.

use super::parse::Parse;
use super::symbols::LENGTH_MAX;
use super::text::{BYTES_MAX, Text};

/// The shortest match that is looked for: three bytes are hardly dearer as literals.
pub(super) const LENGTH_MIN: usize = 4;

/// At a larger distance so short a match costs as much as its literals.
const SHORT_DISTANCE_MAX: usize = 1024;

/// How many places with the same hash are looked at.
const CHAIN: usize = 8;

/// How many when there is a match of [`LENGTH_GOOD`] already.
const CHAIN_SHORT: usize = 2;

/// Better than that is not searched for long.
const LENGTH_GOOD: usize = 8;

/// Behind a match of so many bytes no better one is searched for.
const LENGTH_LAZY: usize = 16;

/// A match of so many bytes is taken at once.
const LENGTH_NICE: usize = 32;

const HASH_BITS: u32 = 12;

/// Finds earlier places of the same bytes.
///
/// A place is known by a number which goes on from message to message, so that what earlier messages
/// left in `heads` is seen to be too low: the table is cleared only when the numbers run out, every
/// 64 KiB.
pub(super) struct Matcher {
    /// The last place of each hash, 0 for none.
    heads: [u16; 1 << HASH_BITS],
    /// For each place of the message the one before it with the same hash.
    previous: [u16; BYTES_MAX],
    /// The number of the message's first byte.
    first: usize,
    /// The first number that no message has; at least 1.
    end: usize,
}

#[derive(Clone, Copy)]
struct Match {
    length: usize,
    place: usize,
}

impl Matcher {
    pub(super) const fn new() -> Self {
        Self { heads: [0; 1 << HASH_BITS], previous: [0; BYTES_MAX], first: 1, end: 1 }
    }

    /// Takes a message apart; no match reaches back further than `window` bytes.
    pub(super) fn parse(&mut self, text: &Text, window: usize, parse: &mut Parse) {
        parse.clear();
        self.link(text);
        self.walk(text, window, parse);
    }

    /// Links all places beforehand, in a loop without a branch: searching in between would break it
    /// into pieces whose lengths cannot be predicted.
    fn link(&mut self, text: &Text) {
        if self.end + text.len() > usize::from(u16::MAX) {
            self.heads = [0; 1 << HASH_BITS];
            self.end = 1;
        }
        self.first = self.end;
        self.end += text.len();
        let first = self.first as u16;
        for (at, previous) in self.previous[..hashed(text)].iter_mut().enumerate() {
            // The golden ratio spreads the bits of four bytes upwards.
            let hash = (text.word(at) as u32).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS);
            let head = &mut self.heads[hash as usize];
            *previous = *head;
            *head = first + at as u16;
        }
    }

    fn walk(&self, text: &Text, window: usize, parse: &mut Parse) {
        let hashed = hashed(text);
        let (mut at, mut start) = (0, 0);
        while at < hashed {
            let none = Match { length: LENGTH_MIN - 1, place: 0 };
            let mut found = self.longest(text, at, window, none, CHAIN);
            let is_dear = found.length == LENGTH_MIN && at - found.place > SHORT_DISTANCE_MAX;
            if found.length < LENGTH_MIN || is_dear {
                parse.push_literal(text.byte(at));
                at += 1;
                continue;
            }
            // One byte later there may be a better one.
            while found.length < LENGTH_LAZY && at + 1 < hashed {
                let chain = if found.length < LENGTH_GOOD { CHAIN } else { CHAIN_SHORT };
                let next = self.longest(text, at + 1, window, found, chain);
                if next.length <= found.length {
                    break;
                }
                parse.push_literal(text.byte(at));
                at += 1;
                found = next;
            }
            parse.push_match(at - start, found.length, at - found.place);
            at += found.length;
            start = at;
        }
        for at in at..text.len() {
            parse.push_literal(text.byte(at));
        }
    }

    /// The longest match at a place that is longer than `best`, otherwise `best`.
    #[inline(always)]
    fn longest(&self, text: &Text, at: usize, window: usize, best: Match, chain: usize) -> Match {
        let lowest = self.first + at.saturating_sub(window);
        let most = (text.len() - at).min(LENGTH_MAX);
        let mut best = best;
        let mut candidate = usize::from(self.previous[at % BYTES_MAX]);
        if candidate < lowest {
            return best;
        }
        let word = text.long_word(at);
        for _ in 0..chain {
            let place = candidate - self.first;
            let mut length = same_bytes(text.long_word(place) ^ word);
            if length == 16 {
                length += continued(text, place + length, at + length, most);
            }
            let length = length.min(most);
            // Whether it is better cannot be predicted: both are chosen without a branch.
            let is_better = length > best.length;
            best.length = if is_better { length } else { best.length };
            best.place = if is_better { place } else { best.place };
            candidate = usize::from(self.previous[place % BYTES_MAX]);
            if candidate < lowest || best.length >= LENGTH_NICE {
                break;
            }
        }
        best
    }
}

/// How many places have four bytes to be hashed.
const fn hashed(text: &Text) -> usize {
    text.len().saturating_sub(LENGTH_MIN - 1)
}

/// How many bytes are the same, by what differs in them.
#[inline(always)]
fn same_bytes(differs: u128) -> usize {
    differs.trailing_zeros() as usize / 8
}

/// How many bytes more are the same, when sixteen are. No more are looked at than `most` asks for.
#[inline]
fn continued(text: &Text, place: usize, at: usize, most: usize) -> usize {
    let mut length = 0;
    while length + 16 < most {
        let differs = text.word(place + length) ^ text.word(at + length);
        length += differs.trailing_zeros() as usize / 8;
        if differs != 0 {
            break;
        }
    }
    length
}
