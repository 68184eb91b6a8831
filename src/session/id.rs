//! The public name of a session.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::sync::Arc;

/// Characters of 128 bits.
const ID_CHARS: usize = 22;

/// The public name of a session: 22 characters, of 128 random bits. It may be shown and logged: without
/// the token it resumes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Arc<str>);

impl SessionId {
    pub(super) fn new() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random::<16>()).into())
    }

    /// Whether a text may be one.
    #[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
    pub(super) fn may_be(id: &str) -> bool {
        id.len() == ID_CHARS
    }

    /// One that another node has given.
    #[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
    pub(super) fn known(id: &str) -> Self {
        Self(id.into())
    }

    /// As it is on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for SessionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// From the system's generator.
///
/// # Panics
/// When the system has none: there is no safe way on.
pub(super) fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).expect("a system with a random generator");
    bytes
}
