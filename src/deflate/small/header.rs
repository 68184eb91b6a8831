//! The head of a dynamic block: its code lengths, themselves coded.

use super::bits::BitWriter;
use super::huffman::Code;
use super::symbols::{DISTANCES, DISTANCES_MAX, FIRST_LENGTH, LITERALS, LITERALS_MAX};

/// Codes for the lengths of codes, and runs of them.
const LENGTH_CODES: usize = 19;

/// The longest code of a code length. Source: RFC 1951 3.2.7.
const LENGTH_CODE_BITS_MAX: usize = 7;

/// The order in which the lengths of the codes of code lengths are written: RFC 1951 3.2.7.
const ORDER: [usize; LENGTH_CODES] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The lengths of all codes, one behind the other.
const ITEMS_MAX: usize = LITERALS_MAX + DISTANCES_MAX;

/// Symbols of code lengths, and some that are none: they make the count round.
const SYMBOLS: usize = 32;

/// What goes before the data of a dynamic block. Source: RFC 1951 3.2.7.
pub(super) struct Header {
    /// Symbols, above them the values of their extra bits.
    items: [u16; ITEMS_MAX],
    used: usize,
    /// How many lengths are written of each code.
    literals: usize,
    distances: usize,
    orders: usize,
    frequencies: [u16; SYMBOLS],
    code: Code<SYMBOLS>,
}

impl Header {
    pub(super) const fn new() -> Self {
        Self {
            items: [0; ITEMS_MAX],
            used: 0,
            literals: 0,
            distances: 0,
            orders: 0,
            frequencies: [0; SYMBOLS],
            code: Code::new(),
        }
    }

    /// Prepares the head for two codes.
    pub(super) fn prepare(&mut self, literals: &[u8; LITERALS], distances: &[u8; DISTANCES]) {
        self.literals = written(&literals[..LITERALS_MAX], FIRST_LENGTH);
        self.distances = written(&distances[..DISTANCES_MAX], 1);
        let mut lengths = [0; ITEMS_MAX];
        let (front, rest) = lengths.split_at_mut(self.literals);
        front.copy_from_slice(&literals[..self.literals]);
        rest[..self.distances].copy_from_slice(&distances[..self.distances]);
        self.used = 0;
        self.frequencies = [0; SYMBOLS];
        let mut rest = &lengths[..self.literals + self.distances];
        while let Some(&length) = rest.first() {
            let run = rest.iter().take_while(|other| **other == length).count();
            self.push_run(length, run);
            rest = &rest[run..];
        }
        self.code.build(&self.frequencies, LENGTH_CODE_BITS_MAX);
        let lengths = self.code.lengths();
        let last = ORDER.iter().rposition(|symbol| lengths[*symbol] > 0);
        self.orders = last.map_or(4, |last| (last + 1).max(4));
    }

    /// Takes so many lengths that are the same. Source: RFC 1951 3.2.7.
    fn push_run(&mut self, length: u8, mut run: usize) {
        if length > 0 {
            self.push(u16::from(length), 0);
            run -= 1;
        }
        while run >= 3 {
            let (symbol, least, most) = match (length, run) {
                (0, 11..) => (18, 11, 138),
                (0, _) => (17, 3, 10),
                _ => (16, 3, 6),
            };
            let taken = run.min(most);
            self.push(symbol, (taken - least) as u16);
            run -= taken;
        }
        for _ in 0..run {
            self.push(u16::from(length), 0);
        }
    }

    #[inline]
    fn push(&mut self, symbol: u16, rest: u16) {
        // There are no more items than lengths.
        if let Some(slot) = self.items.get_mut(self.used) {
            *slot = symbol | rest << 8;
            self.used += 1;
        }
        self.frequencies[usize::from(symbol) % SYMBOLS] += 1;
    }

    /// The bits that it takes.
    pub(super) fn cost(&self) -> usize {
        let runs = [16, 17, 18].map(|symbol| {
            usize::from(self.frequencies[symbol]) * extra_bits(symbol as u16) as usize
        });
        let codes = self.code.cost(&self.frequencies);
        14 + 3 * self.orders + codes + runs.iter().sum::<usize>()
    }

    pub(super) fn write(&self, bits: &mut BitWriter<'_>) {
        bits.push((self.literals - FIRST_LENGTH) as u32, 5);
        bits.push((self.distances - 1) as u32, 5);
        bits.push((self.orders - 4) as u32, 4);
        bits.flush();
        let lengths = self.code.lengths();
        // As many as a flush can take: 16 of 3 bits here, 4 of at most 7 + 7 below.
        for orders in ORDER[..self.orders].chunks(16) {
            for symbol in orders {
                bits.push(u32::from(lengths[*symbol]), 3);
            }
            bits.flush();
        }
        for items in self.items[..self.used].chunks(4) {
            for item in items {
                let (code, len) = self.code.bits(usize::from(item & 0xff));
                bits.push(code, len);
                bits.push(u32::from(item >> 8), extra_bits(item & 0xff));
            }
            bits.flush();
        }
    }
}

/// The bits behind the symbol of a run. Source: RFC 1951 3.2.7.
const fn extra_bits(symbol: u16) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// How many of the lengths are written: all but the zeros at the end, but never fewer than `least`.
fn written(lengths: &[u8], least: usize) -> usize {
    lengths.iter().rposition(|length| *length > 0).map_or(least, |last| (last + 1).max(least))
}
