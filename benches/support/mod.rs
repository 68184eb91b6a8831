//! How all benchmarks here are run: short, for they stand beside a yardstick and are read as ratios.

// Each benchmark uses a part of it.
#![allow(dead_code)]

use std::time::Duration;

use criterion::Criterion;

/// A fifth of a second each, so that all of them together are done in a minute and a half.
pub(crate) fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .without_plots()
}

/// ASCII text as people write it, of so many bytes.
pub(crate) fn ascii(bytes: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(bytes).collect()
}

/// Text of characters that are two to four bytes long, of at most so many bytes.
pub(crate) fn multi_byte(bytes: usize) -> String {
    let mut text = String::new();
    for character in "жåπ漢字かな🦀🐟".chars().cycle() {
        if text.len() + character.len_utf8() > bytes {
            break;
        }
        text.push(character);
    }
    text
}
