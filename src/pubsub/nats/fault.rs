//! Why a connection to a server ends.

use crate::pubsub::error::{PubSubError, PubSubErrorKind};

/// A kind with words of our own: a server's words may hold what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    kind: PubSubErrorKind,
    text: &'static str,
}

/// What servers say behind `-ERR`, or how it begins.
const ERRORS: [(&str, PubSubErrorKind); 16] = [
    ("authorization violation", PubSubErrorKind::Refused),
    ("authorization timeout", PubSubErrorKind::Refused),
    ("authentication timeout", PubSubErrorKind::Refused),
    ("user authentication expired", PubSubErrorKind::Refused),
    ("user authentication revoked", PubSubErrorKind::Refused),
    ("account authentication expired", PubSubErrorKind::Refused),
    ("permissions violation for publish", PubSubErrorKind::Refused),
    ("permissions violation for subscription", PubSubErrorKind::Refused),
    ("maximum connections exceeded", PubSubErrorKind::Refused),
    ("maximum account active connections exceeded", PubSubErrorKind::Refused),
    ("maximum subscriptions exceeded", PubSubErrorKind::Refused),
    ("maximum payload violation", PubSubErrorKind::Lost),
    ("slow consumer", PubSubErrorKind::Lost),
    ("stale connection", PubSubErrorKind::Lost),
    ("server shutdown", PubSubErrorKind::Lost),
    ("secure connection - tls required", PubSubErrorKind::Setting),
];

impl Fault {
    pub(super) const LOST: Self =
        Self { kind: PubSubErrorKind::Lost, text: "the stream has ended" };
    pub(super) const LEAVING: Self =
        Self { kind: PubSubErrorKind::Lost, text: "the server is leaving" };

    pub(super) const fn answer(text: &'static str) -> Self {
        Self { kind: PubSubErrorKind::Answer, text }
    }

    pub(super) const fn setting(text: &'static str) -> Self {
        Self { kind: PubSubErrorKind::Setting, text }
    }

    /// What stands behind `-ERR`, mostly in quotes.
    pub(super) fn of_server(words: &str) -> Self {
        let words = words.trim_matches([' ', '\'']).to_ascii_lowercase();
        let known = ERRORS.iter().find(|(text, _)| words.starts_with(text));
        let unknown = Self::answer("an error that is not known here");
        known.map_or(unknown, |(text, kind)| Self { kind: *kind, text })
    }

    /// The same where there was no connection yet.
    pub(super) const fn of_connecting(self) -> Self {
        let kind = match self.kind {
            PubSubErrorKind::Lost => PubSubErrorKind::Unreachable,
            kind => kind,
        };
        Self { kind, text: self.text }
    }
}

impl From<Fault> for PubSubError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.kind).with_source(fault.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A59: whatever a server says, its words are not ours.
    #[test]
    fn a59_words_are_known_by_their_beginning() {
        for (words, kind) in [
            ("'Authorization Violation'", PubSubErrorKind::Refused),
            ("'Permissions Violation for Publish to \"s3cret\"'", PubSubErrorKind::Refused),
            ("Slow Consumer", PubSubErrorKind::Lost),
            ("'s3cret'", PubSubErrorKind::Answer),
            ("", PubSubErrorKind::Answer),
        ] {
            let error = PubSubError::from(Fault::of_server(words));
            assert_eq!(error.kind(), kind, "{words}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
