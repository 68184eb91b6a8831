//! A message taken apart into literals and matches, and how often each symbol is needed.

use super::matcher::LENGTH_MIN;
use super::symbols::{
    DISTANCE_EXTRA, DISTANCES, END, FIRST_LENGTH, LENGTH_EXTRA, LENGTH_LEAST, LITERALS,
    distance_symbol, length_symbol,
};
use super::text::BYTES_MAX;

/// The most matches that a message can have.
const SEQUENCES_MAX: usize = BYTES_MAX / LENGTH_MIN;

/// Literals, and the match behind them.
#[derive(Clone, Copy)]
pub(super) struct Sequence {
    /// How many bytes of the message stand for themselves.
    pub(super) literals: u16,
    pub(super) distance: u16,
    /// Less 3.
    pub(super) length: u8,
    /// Less 257.
    pub(super) length_symbol: u8,
    pub(super) distance_symbol: u8,
}

const NO_SEQUENCE: Sequence =
    Sequence { literals: 0, distance: 0, length: 0, length_symbol: 0, distance_symbol: 0 };

/// The matches of a message; the bytes behind the last one are literals.
pub(super) struct Parse {
    sequences: [Sequence; SEQUENCES_MAX],
    used: usize,
    literals: [u16; LITERALS],
    distances: [u16; DISTANCES],
}

impl Parse {
    pub(super) const fn new() -> Self {
        Self {
            sequences: [NO_SEQUENCE; SEQUENCES_MAX],
            used: 0,
            literals: [0; LITERALS],
            distances: [0; DISTANCES],
        }
    }

    /// Begins a message. It needs the end of its block, once.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.literals = [0; LITERALS];
        self.distances = [0; DISTANCES];
        self.literals[END] = 1;
    }

    /// Counts a byte that stands for itself.
    #[inline]
    pub(super) fn push_literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
    }

    /// Takes a match, and how many literals stand between the last one and it. They are counted
    /// already.
    #[inline]
    pub(super) fn push_match(&mut self, literals: usize, length: usize, distance: usize) {
        let length = (length - LENGTH_LEAST) as u8;
        let sequence = Sequence {
            literals: literals as u16,
            distance: distance as u16,
            length,
            length_symbol: length_symbol(length),
            distance_symbol: distance_symbol(distance as u16),
        };
        self.literals[FIRST_LENGTH + usize::from(sequence.length_symbol % 31)] += 1;
        self.distances[usize::from(sequence.distance_symbol) % DISTANCES] += 1;
        debug_assert!(self.used < SEQUENCES_MAX);
        if let Some(slot) = self.sequences.get_mut(self.used) {
            *slot = sequence;
            self.used += 1;
        }
    }

    pub(super) fn sequences(&self) -> &[Sequence] {
        &self.sequences[..self.used]
    }

    /// How often each literal and length is needed.
    pub(super) const fn literals(&self) -> &[u16; LITERALS] {
        &self.literals
    }

    /// How often each distance is needed.
    pub(super) const fn distances(&self) -> &[u16; DISTANCES] {
        &self.distances
    }

    /// The bits behind symbols, whatever the codes are.
    pub(super) fn extra_bits(&self) -> usize {
        let lengths = self.literals[FIRST_LENGTH..].iter().zip(LENGTH_EXTRA);
        let distances = self.distances.iter().zip(DISTANCE_EXTRA);
        lengths.chain(distances).map(|(count, bits)| usize::from(*count) * usize::from(bits)).sum()
    }
}
