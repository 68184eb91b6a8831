//! One file of the repository.

use std::sync::OnceLock;

use super::code::Halves;
use super::items;

pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    halves: OnceLock<Halves>,
}

impl Source {
    pub(crate) fn new(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), text: text.into(), halves: OnceLock::new() }
    }

    /// The text without comments and literals, place for place.
    pub(crate) fn code(&self) -> &str {
        &self.halves().code
    }

    /// The comments alone, place for place.
    pub(crate) fn comments(&self) -> &str {
        &self.halves().comments
    }

    fn halves(&self) -> &Halves {
        self.halves.get_or_init(|| Halves::of(&self.text))
    }

    /// A finding at a place of the text.
    pub(crate) fn finding(&self, at: usize, what: &str) -> String {
        format!("{}: {what} (line {})", self.path, self.line(at))
    }

    pub(crate) fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// The places of a word in the code.
    pub(crate) fn places_of(&self, word: &str) -> impl Iterator<Item = usize> {
        items::words(self.code()).filter_map(move |(at, found)| (found == word).then_some(at))
    }

    /// The code behind a place, without the blanks before it.
    pub(crate) fn code_after(&self, at: usize) -> &str {
        self.code()[at..].trim_start()
    }
}
