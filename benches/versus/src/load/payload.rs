//! What the messages say.

use flate2::{Compress, Compression, FlushCompress};

use crate::frame;
use crate::options::Options;

/// A line of text with a letter of two bytes and a sign of three in it.
const MIXED: &str = "{\"name\":\"Zo\u{eb}\",\"price\":\"10 \u{20ac}\",\"number\":123},";

/// The same in ASCII.
const PLAIN: &str = "{\"name\":\"Zoe\",\"price\":\"10 EUR\",\"number\":123},";

/// The message of a load: its frame's first byte and its payload.
pub struct Payload {
    pub first: u8,
    pub bytes: Vec<u8>,
    /// Compression was asked for: replies are counted, not compared.
    pub is_deflate: bool,
}

impl Payload {
    /// `--size` bytes: binary, `--text` in ASCII, `--mixed` text with longer letters, or `--deflate`:
    /// JSON, compressed.
    pub fn from_options(options: &Options) -> Self {
        let size = options.value("size", 16);
        if options.flag("deflate") {
            return Self::compressed(size);
        }
        let line = match () {
            () if options.flag("mixed") => MIXED,
            () if options.flag("text") => PLAIN,
            () => return Self::binary(size),
        };
        let mut text = line.repeat(size / line.len());
        text.push_str(&PLAIN[..size - text.len()]);
        Self { first: frame::TEXT, bytes: text.into_bytes(), is_deflate: false }
    }

    fn binary(size: usize) -> Self {
        let bytes = (0..size).map(|index| (index * 7 + index / 251) as u8);
        Self { first: frame::BINARY, bytes: bytes.collect(), is_deflate: false }
    }

    fn compressed(size: usize) -> Self {
        let text = json(size);
        let mut bytes = Vec::with_capacity(text.len() + 64);
        let mut stream = Compress::new(Compression::new(6), false);
        stream
            .compress_vec(text.as_bytes(), &mut bytes, FlushCompress::Sync)
            .expect("a stream that was never finished takes all");
        bytes.truncate(bytes.len() - 4);
        Self { first: frame::TEXT | frame::COMPRESSED, bytes, is_deflate: true }
    }
}

/// Records as a service would send them: the same names again and again, values that differ.
fn json(size: usize) -> String {
    const USERS: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
    const STATES: [&str; 4] = ["open", "filled", "cancelled", "pending"];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
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
