//! The secret that resumes a session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::id::random;

/// Characters of 256 bits.
#[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
pub(super) const SECRET_CHARS: usize = 43;

/// A new secret of 256 random bits, as it is on the wire: 43 characters, and behind them where the session is, if there is
/// more than one place. It is told once and not kept.
pub(super) fn new_token(place: &str) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(random::<32>());
    token.push_str(place);
    token
}

/// What is kept of a token. A plain hash will do: 256 random bits are not guessed.
#[derive(Clone, Copy)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    #[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
    pub(super) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
    pub(super) const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// In the same time for every difference.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_its_token_only() {
        let token = new_token("");
        assert_eq!(token.len(), SECRET_CHARS);
        assert!(new_token("xyz").ends_with("xyz"));
        assert!(TokenHash::of(&token).is(&TokenHash::of(&token)));
        assert!(!TokenHash::of(&token).is(&TokenHash::of(&new_token(""))));
        assert!(!TokenHash::of(&token).is(&TokenHash::of(&token[..42])));
    }
}
