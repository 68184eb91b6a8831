//! What a room may be called that is asked for.

/// The longest name a room may be allowed, in bytes.
pub const ROOM_NAME_BYTES_MAX: usize = 1024;

/// The longest name where nothing else is set, in bytes.
pub const ROOM_NAME_BYTES: usize = 128;

/// Why a room may not be called so. It does not repeat the name, so it may be logged and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomNameError {
    /// No name at all.
    #[error("a room needs a name")]
    Empty,
    /// Too long.
    #[error("room name of {bytes} bytes is over the limit of {limit_bytes}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// The limit that was crossed.
        limit_bytes: usize,
    },
    /// A control character or the end of a line: a name is written into logs.
    #[error("a room name has no control characters")]
    Control,
    /// White space at the beginning or the end: two names would look alike.
    #[error("a room name neither begins nor ends with white space")]
    Padded,
}

/// Checks the name of a room: 1 to `bytes_max` bytes (at most [`ROOM_NAME_BYTES_MAX`]), no control
/// characters (C0, DEL, C1), no line or paragraph separator, no white space at either end.
///
/// Names are compared byte by byte: case, normal forms and letters that look alike are the
/// application's business, and so is what a name grants.
///
/// ```
/// use sockeye::handshake::{ROOM_NAME_BYTES_MAX, check_room_name};
///
/// assert!(check_room_name("chat:general", ROOM_NAME_BYTES_MAX).is_ok());
/// assert!(check_room_name("a\nb", ROOM_NAME_BYTES_MAX).is_err());
/// ```
///
/// # Errors
/// Which rule it breaks; the first in the order of [`RoomNameError`].
pub fn check_room_name(name: &str, bytes_max: usize) -> Result<(), RoomNameError> {
    let limit_bytes = bytes_max.min(ROOM_NAME_BYTES_MAX);
    if name.is_empty() {
        return Err(RoomNameError::Empty);
    }
    if name.len() > limit_bytes {
        return Err(RoomNameError::TooLong { bytes: name.len(), limit_bytes });
    }
    let ends_line = |character| matches!(character, '\u{2028}' | '\u{2029}');
    if name.chars().any(|character| character.is_control() || ends_line(character)) {
        return Err(RoomNameError::Control);
    }
    if name.trim() != name {
        return Err(RoomNameError::Padded);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(name: &str) -> Result<(), RoomNameError> {
        check_room_name(name, ROOM_NAME_BYTES_MAX)
    }

    #[test]
    fn names_of_all_scripts_are_taken() {
        for name in ["a", "chat:general", "a b", "漢字", "🐟", "user/1?x=%00", "é", "..", "\\"]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_name_of_the_limit_is_taken_and_no_longer_one() {
        assert_eq!(check(&"a".repeat(1024)), Ok(()));
        let error = RoomNameError::TooLong { bytes: 1025, limit_bytes: 1024 };
        assert_eq!(check(&"a".repeat(1025)), Err(error));
        assert_eq!(check_room_name(&"a".repeat(1025), usize::MAX), Err(error));
        let error = RoomNameError::TooLong { bytes: 4, limit_bytes: 3 };
        assert_eq!(check_room_name("🐟", 3), Err(error));
        assert_eq!(check_room_name("", 0), Err(RoomNameError::Empty));
    }

    #[test]
    fn controls_and_padding_are_refused() {
        let controls = (0..0x20).chain(0x7f..0xa0).chain([0x2028, 0x2029]);
        for character in controls.map(|number| char::from_u32(number).unwrap()) {
            for name in [format!("a{character}b"), format!("{character}"), format!("a{character}")]
            {
                assert_eq!(check(&name), Err(RoomNameError::Control), "{name:?}");
            }
        }
        for name in [" ", " a", "a ", "\u{a0}a", "a\u{3000}"] {
            assert_eq!(check(name), Err(RoomNameError::Padded), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_names_never_panic(name: String, bytes_max: usize) {
            let is_safe = name.trim() == name && !name.contains(char::is_control);
            if check_room_name(&name, bytes_max).is_ok() {
                prop_assert!(is_safe && (1..=128).contains(&name.len()) && name.len() <= bytes_max);
            }
        }
    }
}
