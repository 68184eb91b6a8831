//! What the messages say.

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
}

impl Payload {
    /// `--size` bytes: binary, `--text` in ASCII, or `--mixed` text with longer letters.
    pub fn from_options(options: &Options) -> Self {
        let size = options.value("size", 16);
        let line = match () {
            () if options.flag("mixed") => MIXED,
            () if options.flag("text") => PLAIN,
            () => return Self::binary(size),
        };
        let mut text = line.repeat(size / line.len());
        text.push_str(&PLAIN[..size - text.len()]);
        Self { first: frame::TEXT, bytes: text.into_bytes() }
    }

    fn binary(size: usize) -> Self {
        let bytes = (0..size).map(|index| (index * 7 + index / 251) as u8);
        Self { first: frame::BINARY, bytes: bytes.collect() }
    }
}
