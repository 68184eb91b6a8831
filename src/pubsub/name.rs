//! Names of channels as every broker takes them.

use sha2::{Digest as _, Sha256};

/// Longest name on the wire behind the prefix, in bytes: brokers keep it once for each subscriber.
const WIRE_BYTES_MAX: usize = 160;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The name on the wire of any text: ASCII letters, digits, `-` and `_` only, never empty, at most 160 bytes.
///
/// ```text
///   letters, digits, -     as they are
///   any other byte         _ and two hex digits
///   nothing at all         _
///   longer than 160 bytes  _h and the SHA-256 of the text in hex
/// ```
///
/// Two texts have two names: `_` is no letter of its own, `_` alone and `_h` are no escape, and SHA-256 has no known
/// collision. So no name has a dot, a wildcard, a space or a line end, which mean something to a broker.
pub(crate) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            escaped.push(char::from(byte));
        } else {
            escaped.push('_');
            push_hex(&mut escaped, byte);
        }
        if escaped.len() > WIRE_BYTES_MAX {
            return hashed(name);
        }
    }
    if escaped.is_empty() {
        escaped.push('_');
    }
    escaped
}

fn hashed(name: &str) -> String {
    let mut escaped = "_h".to_owned();
    for byte in Sha256::digest(name) {
        push_hex(&mut escaped, byte);
    }
    escaped
}

fn push_hex(text: &mut String, byte: u8) {
    text.push(char::from(HEX[usize::from(byte >> 4)]));
    text.push(char::from(HEX[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(escape("room-42"), "room-42");
        assert_eq!(escape("chat.general"), "chat_2egeneral");
        assert_eq!(escape("a_b"), "a_5fb");
        assert_eq!(escape(""), "_");
    }

    /// What the escape is injective by: the text of a name that was not hashed.
    fn unescape(wire: &str) -> String {
        if wire == "_" {
            return String::new();
        }
        let (mut bytes, mut rest) = (Vec::new(), wire.as_bytes());
        while let [first, after @ ..] = rest {
            if *first == b'_' {
                let hex = std::str::from_utf8(&after[..2]).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &after[2..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        /// A29: whatever the name is, nothing on the wire means something to a broker, and no two names meet.
        #[test]
        fn a29_names_are_safe_and_come_back(name in "\\PC{0,200}|[._*>\r\n a-f0-9]{0,200}") {
            let wire = escape(&name);
            prop_assert!((1..=WIRE_BYTES_MAX).contains(&wire.len()));
            prop_assert!(wire.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            match wire.strip_prefix("_h") {
                Some(hash) => prop_assert_eq!(hash.len(), 64),
                None => prop_assert_eq!(unescape(&wire), name),
            }
        }
    }

    /// A29: the limit is where it is said to be, and longer names that differ at their ends differ.
    #[test]
    fn a29_long_names_are_hashed() {
        let longest = "x".repeat(WIRE_BYTES_MAX);
        assert_eq!(escape(&longest), longest);
        let (one, other) = (escape(&format!("{longest}1")), escape(&format!("{longest}2")));
        assert!(one.starts_with("_h") && other.starts_with("_h") && one != other);
        assert_eq!(one.len(), 66);
        // A name that looks like a hash is none.
        assert_ne!(escape(&one), one);
    }
}
