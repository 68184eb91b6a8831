//! `Sec-WebSocket-Key` and `Sec-WebSocket-Accept` (RFC 6455 4.1, 4.2.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The fixed text of RFC 6455 1.3 that a server appends to the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a nonce, and of its base64 text with padding.
const NONCE_BYTES: usize = 16;
const KEY_BYTES: usize = 24;

/// Bytes of a base64 text of a SHA-1 sum.
const ACCEPT_BYTES: usize = 28;

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`: base64(SHA-1(key + GUID)).
///
/// Takes the key's base64 text as it stands in the header, without white space around it, and does
/// not check it.
///
/// Cost: one SHA-1 over the key, no allocation. Source: RFC 6455 4.2.2 item 5.4.
///
/// ```
/// # use sockeye::handshake::accept_key;
/// assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let sum = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_BYTES];
    encode(&sum, &mut accept);
    accept
}

/// A `Sec-WebSocket-Key`: 16 bytes that were random when the client chose them, as base64 text.
///
/// Source: RFC 6455 4.1 item 7.
///
/// The bytes are passed in, since this floor has no source of randomness. Its `Debug` does not show
/// the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientKey([u8; KEY_BYTES]);

impl ClientKey {
    /// The key for a nonce, which must be new and random for each connection.
    pub fn new(nonce: [u8; NONCE_BYTES]) -> Self {
        let mut text = [0; KEY_BYTES];
        encode(&nonce, &mut text);
        Self(text)
    }

    /// Takes the value of a `Sec-WebSocket-Key` header.
    ///
    /// `None` unless it is the one canonical base64 text of 16 bytes: 24 bytes long, padded, no
    /// bits after the last byte.
    ///
    /// Source: RFC 6455 4.2.1 item 5, RFC 4648 3.2, 3.5.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: [u8; KEY_BYTES] = text.try_into().ok()?;
        // A decoder may ask for more room than it fills.
        let mut nonce = [0; NONCE_BYTES + 2];
        let len = STANDARD.decode_slice(text, &mut nonce).ok()?;
        (len == NONCE_BYTES).then_some(Self(text))
    }

    /// The header's value.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The `Sec-WebSocket-Accept` that answers this key: see [`accept_key`].
    pub fn accept(&self) -> [u8; ACCEPT_BYTES] {
        accept_key(&self.0)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientKey").finish_non_exhaustive()
    }
}

fn encode(bytes: &[u8], text: &mut [u8]) {
    let written = STANDARD.encode_slice(bytes, text);
    debug_assert_eq!(
        written,
        Ok(bytes.len().div_ceil(3) * 4),
        "the callers pass arrays of the exact size"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_sample_of_section_1_3() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let key = ClientKey::new(*b"the sample nonce");
        assert_eq!(key.as_bytes(), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(key.accept(), accept_key(key.as_bytes()));
    }

    #[test]
    fn only_canonical_base64_of_16_bytes_is_a_key() {
        for text in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25jZSE=",
            "dGhlIHNhbXBsZSBub25jZSEh",
            "dGhlIHNhbXBsZSBub25j====",
            "dGhlIHNhbXBsZSBub25jZ_==",
            " dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNh\tXBsZSBub25jZQ==",
        ] {
            assert_eq!(ClientKey::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(nonce: [u8; 16]) {
            let key = ClientKey::new(nonce);
            prop_assert_eq!(ClientKey::parse(key.as_bytes()), Some(key));
        }

        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            let _ = ClientKey::parse(&text);
            let _ = accept_key(&text);
        }
    }
}
