//! What the messages say.

use flate2::{Compress, Compression, FlushCompress};

use crate::deflate::Deflate;
use crate::frame;
use crate::options::Options;

/// A line of text with a letter of two bytes and a sign of three in it.
const MIXED: &str = "{\"name\":\"Zo\u{eb}\",\"price\":\"10 \u{20ac}\",\"number\":123},";

/// The same in ASCII.
const PLAIN: &str = "{\"name\":\"Zoe\",\"price\":\"10 EUR\",\"number\":123},";

/// Different messages of a load that is compressed: with context a single one would be learned by heart.
const COMPRESSED_MESSAGES: u64 = 64;

/// The messages of a load: the first byte of their frames, and their payloads.
pub struct Payload {
    pub first: u8,
    /// One, or, where they are compressed, several that are sent in turn.
    pub messages: Vec<Vec<u8>>,
    /// Compression was asked for: replies are counted, not compared.
    pub deflate: Option<Deflate>,
}

impl Payload {
    /// `--size` bytes: binary, `--text` in ASCII, `--mixed` text with longer letters, or `--deflate`:
    /// JSON, compressed.
    pub fn from_options(options: &Options) -> Self {
        let size = options.value("size", 16);
        if let Some(deflate) = Deflate::from_options(options) {
            return Self::compressed(size, deflate);
        }
        let line = match () {
            () if options.flag("mixed") => MIXED,
            () if options.flag("text") => PLAIN,
            () => return Self::binary(size),
        };
        let mut text = line.repeat(size / line.len());
        text.push_str(&PLAIN[..size - text.len()]);
        Self::plain(frame::TEXT, text.into_bytes())
    }

    fn binary(size: usize) -> Self {
        let bytes = (0..size).map(|index| (index * 7 + index / 251) as u8);
        Self::plain(frame::BINARY, bytes.collect())
    }

    /// One message that is sent as it is.
    pub fn plain(first: u8, bytes: Vec<u8>) -> Self {
        Self { first, messages: vec![bytes], deflate: None }
    }

    /// Each message refers to nothing before it, which is allowed with context as well.
    fn compressed(size: usize, deflate: Deflate) -> Self {
        let mut stream = Compress::new(Compression::new(6), false);
        let compress = |seed| {
            let text = json(size, seed);
            let mut bytes = Vec::with_capacity(text.len() + 64);
            stream.reset();
            stream
                .compress_vec(text.as_bytes(), &mut bytes, FlushCompress::Sync)
                .expect("a stream that was never finished takes all");
            bytes.truncate(bytes.len() - 4);
            bytes
        };
        let messages = (0..COMPRESSED_MESSAGES).map(compress).collect();
        Self { first: frame::TEXT | frame::COMPRESSED, messages, deflate: Some(deflate) }
    }
}

/// Records as a service would send them: the same names again and again, values that differ.
fn json(size: usize, seed: u64) -> String {
    const USERS: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
    const STATES: [&str; 4] = ["open", "filled", "cancelled", "pending"];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * seed + 1);
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut text = String::from("{\"type\":\"orders\",\"items\":[");
    while text.len() < size {
        text.push_str(&format!(
            "{{\"id\":\"{:016x}\",\"user\":\"{}\",\"price\":{}.{:02},\"amount\":{},\"state\":\"{}\",\"at\":{}}},",
            next(),
            USERS[(next() % 8) as usize],
            next() % 1000,
            next() % 100,
            next() % 50,
            STATES[(next() % 4) as usize],
            1_790_000_000_000 + next() % 100_000_000,
        ));
    }
    text.truncate(size.saturating_sub(2));
    text + "]}"
}
