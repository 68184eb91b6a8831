//! What a room may be called.

/// The longest name, in bytes.
const ROOM_NAME_BYTES_MAX: usize = 128;

/// Why a text is no name of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomNameError {
    /// It is empty.
    #[error("a room has a name")]
    Empty,
    /// It is longer than 128 bytes.
    #[error("room name of {bytes} bytes, {limit} at most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit that was crossed.
        limit: usize,
    },
    /// It has a control character: names are logged and shown.
    #[error("control character in a room name")]
    Control,
    /// Whoever has the rooms takes no such name.
    #[error("no such name for a room here")]
    Unfit,
}

/// Checks the name of a room: 1 to 128 bytes, no control characters. Names that differ in a byte are
/// different rooms.
///
/// # Errors
/// [`RoomNameError`].
pub fn check_room_name(name: &str) -> Result<(), RoomNameError> {
    if name.is_empty() {
        return Err(RoomNameError::Empty);
    }
    if name.len() > ROOM_NAME_BYTES_MAX {
        return Err(RoomNameError::TooLong { bytes: name.len(), limit: ROOM_NAME_BYTES_MAX });
    }
    if name.chars().any(char::is_control) {
        return Err(RoomNameError::Control);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A43, row 64.
    #[test]
    fn names_are_short_and_printable() {
        let longest = ["a".repeat(128), "é".repeat(64)];
        for name in ["a", " ", "chat:general", "räum 🐟", &longest[0], &longest[1]] {
            assert_eq!(check_room_name(name), Ok(()), "{name}");
        }
        let too_long = Err(RoomNameError::TooLong { bytes: 129, limit: 128 });
        assert_eq!(check_room_name(&"a".repeat(129)), too_long);
        assert_eq!(check_room_name(&format!("a{}", "é".repeat(64))), too_long);
        assert_eq!(check_room_name(""), Err(RoomNameError::Empty));
        for control in (0..0x20).chain(0x7f..0xa0) {
            let name = format!("a{}b", char::from(control));
            assert_eq!(check_room_name(&name), Err(RoomNameError::Control), "{control:#x}");
        }
    }
}
