//! What tokens are signed with and room passwords are keyed with.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::SetupError;

/// As long as the sum it keys: a shorter one is guessed before the sum is. Source: RFC 7518 3.2.
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// Bytes of an HMAC-SHA256.
pub(super) const SUM_BYTES: usize = 32;

/// A secret for HMAC-SHA256, of at least 32 bytes. They must be random: a sentence is no secret.
///
/// Its bytes are not kept, only the states of the hash that they lead to; these are overwritten when
/// they are dropped. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl Secret {
    /// Takes the bytes of a secret.
    ///
    /// # Errors
    /// [`SetupError::SecretTooShort`] for fewer than 32 bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, SetupError> {
        let bytes = bytes.as_ref();
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(SetupError::SecretTooShort { bytes: bytes.len() });
        }
        let keyed = Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length");
        Ok(Self(keyed))
    }

    /// A secret of the operating system's randomness, which nobody else has and nobody can restore: what
    /// was made with it is worth nothing after a restart.
    ///
    /// # Errors
    /// When the operating system has no random numbers to give.
    pub fn from_os() -> std::io::Result<Self> {
        let mut bytes = [0; SECRET_BYTES_MIN];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        Self::new(bytes).map_err(std::io::Error::other)
    }

    /// The sum over parts, one behind the other.
    pub(super) fn sum(&self, parts: &[&[u8]]) -> [u8; SUM_BYTES] {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Whether that is the sum over these parts. The time it takes depends on the lengths alone.
    pub(super) fn is_sum(&self, parts: &[&[u8]], sum: &[u8; SUM_BYTES]) -> bool {
        self.over(parts).verify_slice(sum).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut keyed = self.0.clone();
        for part in parts {
            keyed.update(part);
        }
        keyed
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secret").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_and_every_bit_counts() {
        let secret = Secret::new([7; SECRET_BYTES_MIN]).unwrap();
        let sum = secret.sum(&[b"ab", b"", b"c"]);
        assert_eq!(sum, secret.sum(&[b"abc"]));
        assert!(secret.is_sum(&[b"abc"], &sum));
        for bit in 0..SUM_BYTES * 8 {
            let mut other = sum;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!secret.is_sum(&[b"abc"], &other), "bit {bit}");
        }
    }

    /// Row 59.
    #[test]
    fn short_secrets_are_refused() {
        for bytes in [0, 1, SECRET_BYTES_MIN - 1] {
            let error = Secret::new(vec![7; bytes]).unwrap_err();
            assert_eq!(error, SetupError::SecretTooShort { bytes });
        }
    }
}
