//! Deflate for small messages, each by itself (RFC 1951, RFC 7692 7.2.1).
//!
//! A coder for streams makes ready hundreds of kilobytes for each message that does not go on from the
//! one before, which is more work than a message of a kilobyte is. This one has tables for a few
//! kilobytes, and nothing of them is cleared between two messages.
//!
//! It is not for context takeover, and not for what is large: it forgets what it compressed.
//!
//! ```text
//! message -> Text -> Matcher -> Parse -> Code, Code -> Header -> BitWriter -> payload
//!                                  |                                ^
//!                                  +------ what is smallest --------+
//! ```

mod bits;
mod deflater;
mod header;
mod huffman;
mod matcher;
mod parse;
mod symbols;
mod text;

#[cfg(test)]
mod tests;

pub use deflater::SmallDeflater;
