//! The coder: the smallest of three blocks.

use super::bits::{BitWriter, SLACK_BYTES};
use super::header::Header;
use super::huffman::{CODE_BITS_MAX, Code};
use super::matcher::Matcher;
use super::parse::{Parse, Sequence};
use super::symbols::{
    DISTANCE_EXTRA, DISTANCES, END, FIRST_LENGTH, LENGTH_EXTRA, LENGTH_LEAST, LITERALS, NOTHING,
    distance_rest, length_rest,
};
use super::text::{BYTES_MAX, Text};

/// How many literals are written at once.
const LITERALS_TOGETHER: usize = 4;

/// The longest code of a literal or length, so that a flush can take [`LITERALS_TOGETHER`]: one bit
/// less than allowed makes no difference to small messages.
const LITERAL_BITS_MAX: usize = 14;

/// What stands at the end of each flush and is left out of the last one. Source: RFC 7692 7.2.1.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Bits before a block: whether it is the last one, and its kind. Source: RFC 1951 3.2.3.
const BLOCK_BITS: u32 = 3;
const BLOCK_STATIC: u32 = 0b010;
const BLOCK_DYNAMIC: u32 = 0b100;

static STATIC_LITERALS: Code<LITERALS> = static_literals();
static STATIC_DISTANCES: Code<DISTANCES> = Code::from_lengths([5; DISTANCES]);

/// Source: RFC 1951 3.2.6.
const fn static_literals() -> Code<LITERALS> {
    let mut lengths = [8; LITERALS];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    Code::from_lengths(lengths).without(NOTHING)
}

/// Compresses small messages, each by itself: nothing of one is needed to read the next.
///
/// It is the counterpart of a peer that was promised `no_context_takeover`, and does for messages of a
/// few kilobytes what a coder for streams does at its middle levels: matches by hash chains, taken a
/// byte later when that is better, then the smallest of a stored, a static and a dynamic block. One
/// of them serves any number of connections, one message after the other.
///
/// `memory <= 32 KiB`, on the heap, whatever is compressed.
///
/// ```
/// use sockeye::deflate::SmallDeflater;
///
/// let mut deflater = SmallDeflater::new();
/// let mut payload = Vec::new();
/// deflater.deflate(b"Hello", 32_768, &mut payload);
/// assert_eq!(payload, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
/// ```
///
/// Source: RFC 1951, RFC 7692 7.2.1.
pub struct SmallDeflater {
    tables: Box<Tables>,
}

struct Tables {
    text: Text,
    matcher: Matcher,
    parse: Parse,
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
    header: Header,
}

const _: () = assert!(size_of::<Tables>() <= 32 * 1024);

impl SmallDeflater {
    /// The longest message, in bytes, that is compressed as a whole.
    pub const INPUT_BYTES_MAX: usize = BYTES_MAX;

    /// A coder that has seen nothing.
    ///
    /// Cost: one allocation of at most 32 KiB, the only one.
    #[must_use]
    pub fn new() -> Self {
        let tables = Tables {
            text: Text::new(),
            matcher: Matcher::new(),
            parse: Parse::new(),
            literals: Code::new(),
            distances: Code::new(),
            header: Header::new(),
        };
        Self { tables: Box::new(tables) }
    }

    /// Appends to `out` what a message with the payload `input` carries when it is compressed: blocks
    /// of which none is the last, a flush, and of that not the bytes `00 00 ff ff`.
    ///
    /// No match reaches back further than `window_bytes`, which is what was negotiated, 512 to 32768.
    /// The outcome depends on nothing else than the two; it has at most 6 bytes more than `input`.
    /// What is longer than [`INPUT_BYTES_MAX`](Self::INPUT_BYTES_MAX) is compressed in pieces that
    /// know nothing of each other, and of each there may be 10 bytes more.
    ///
    /// Cost: linear, with a fixed part for the codes; `out` grows at most once for each piece.
    ///
    /// Source: RFC 7692 7.2.1, 7.1.2; RFC 1951.
    pub fn deflate(&mut self, input: &[u8], window_bytes: usize, out: &mut Vec<u8>) {
        let mut pieces = input.chunks(Self::INPUT_BYTES_MAX).peekable();
        if pieces.peek().is_none() {
            // An empty block alone. Source: RFC 7692 7.2.3.6.
            out.push(0);
        }
        while let Some(piece) = pieces.next() {
            self.tables.deflate(piece, window_bytes, out);
            if pieces.peek().is_some() {
                out.extend_from_slice(&TAIL);
            }
        }
    }
}

impl Default for SmallDeflater {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for SmallDeflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmallDeflater(..)")
    }
}

impl Tables {
    /// Appends one block, the smallest, and the front of a flush.
    fn deflate(&mut self, piece: &[u8], window: usize, out: &mut Vec<u8>) {
        self.text.set(piece);
        self.matcher.parse(&self.text, window, &mut self.parse);
        let static_bits = self.cost(&STATIC_LITERALS, &STATIC_DISTANCES);
        self.build();
        let dynamic_bits =
            self.cost(&self.literals, &self.distances).saturating_add(self.header.cost());
        // An empty block follows, of which three bits count; the rest of its byte is filled.
        let bits = static_bits.min(dynamic_bits) + 2 * BLOCK_BITS as usize;
        let bytes = bits.div_ceil(8);
        if bytes >= stored_bytes(piece) {
            store(piece, out);
            return;
        }
        let start = out.len();
        out.resize(start + bytes + SLACK_BYTES, 0);
        let mut writer = BitWriter::new(&mut out[start..]);
        if static_bits <= dynamic_bits {
            writer.push(BLOCK_STATIC, BLOCK_BITS);
            self.write(&STATIC_LITERALS, &STATIC_DISTANCES, &mut writer);
        } else {
            writer.push(BLOCK_DYNAMIC, BLOCK_BITS);
            self.header.write(&mut writer);
            self.write(&self.literals, &self.distances, &mut writer);
        }
        writer.push(0, BLOCK_BITS);
        let written = writer.finish();
        debug_assert_eq!(written, bytes);
        out.truncate(start + written);
    }

    /// Makes the codes of a dynamic block.
    fn build(&mut self) {
        self.literals.build(self.parse.literals(), LITERAL_BITS_MAX);
        let mut distances = *self.parse.distances();
        if self.parse.sequences().is_empty() {
            // There may be no distance, but not every reader takes a code without a symbol.
            distances[0] = 1;
        }
        self.distances.build(&distances, CODE_BITS_MAX);
        self.header.prepare(self.literals.lengths(), self.distances.lengths());
    }

    /// The bits of the message in these codes.
    fn cost(&self, literals: &Code<LITERALS>, distances: &Code<DISTANCES>) -> usize {
        let codes = literals.cost(self.parse.literals()) + distances.cost(self.parse.distances());
        codes + self.parse.extra_bits()
    }

    /// Writes the message in these codes, and the end of the block.
    fn write(
        &self,
        literals: &Code<LITERALS>,
        distances: &Code<DISTANCES>,
        bits: &mut BitWriter<'_>,
    ) {
        let mut at = 0;
        for sequence in self.parse.sequences() {
            let run = usize::from(sequence.literals);
            write_literals(&self.text, at, run, literals, bits);
            write_match(*sequence, literals, distances, bits);
            at += run + usize::from(sequence.length) + LENGTH_LEAST;
        }
        write_literals(&self.text, at, self.text.len() - at, literals, bits);
        let (end, len) = literals.bits(END);
        bits.push(end, len);
        bits.flush();
    }
}

/// Leaves nothing to flush but bits of the last byte.
#[inline]
fn write_literals(
    text: &Text,
    mut at: usize,
    mut run: usize,
    code: &Code<LITERALS>,
    bits: &mut BitWriter<'_>,
) {
    // Most runs are short, and how short cannot be predicted: always four, some of them nothing.
    loop {
        let [first, second, third, fourth, ..] = text.word(at).to_le_bytes();
        for (place, byte) in [first, second, third, fourth].into_iter().enumerate() {
            let symbol = if place < run { usize::from(byte) } else { NOTHING };
            let (literal, len) = code.bits(symbol);
            bits.push(literal, len);
        }
        bits.flush();
        if run <= LITERALS_TOGETHER {
            return;
        }
        run -= LITERALS_TOGETHER;
        at += LITERALS_TOGETHER;
    }
}

/// At most 14 + 5 + 15 + 13 bits, which one flush takes.
#[inline]
fn write_match(
    sequence: Sequence,
    literals: &Code<LITERALS>,
    distances: &Code<DISTANCES>,
    bits: &mut BitWriter<'_>,
) {
    let symbol = usize::from(sequence.length_symbol) % LENGTH_EXTRA.len();
    let (code, len) = literals.bits(FIRST_LENGTH + symbol);
    bits.push(code, len);
    let extra = u32::from(LENGTH_EXTRA[symbol]);
    bits.push(length_rest(sequence.length, extra), extra);
    let symbol = usize::from(sequence.distance_symbol) % DISTANCE_EXTRA.len();
    let (code, len) = distances.bits(symbol);
    bits.push(code, len);
    let extra = u32::from(DISTANCE_EXTRA[symbol]);
    bits.push(distance_rest(sequence.distance, extra), extra);
    bits.flush();
}

/// What [`store`] appends for a piece: its length twice and a byte for each of two blocks are added.
const fn stored_bytes(piece: &[u8]) -> usize {
    piece.len() + 6
}

/// Appends a stored block and the front of a flush. Source: RFC 1951 3.2.4.
fn store(piece: &[u8], out: &mut Vec<u8>) {
    let [low, high] = (piece.len() as u16).to_le_bytes();
    out.reserve(stored_bytes(piece));
    out.extend_from_slice(&[0, low, high, !low, !high]);
    out.extend_from_slice(piece);
    out.push(0);
}
