//! Who wants in, and where: the query of `/chat?room=..&name=..`.

use sockeye::Request;

/// Longest name and room, in characters.
const NAME_CHARS_MAX: usize = 32;
const ROOM_CHARS_MAX: usize = 64;

/// A character is four bytes at most.
pub(crate) const ROOM_BYTES_MAX: usize = 4 * ROOM_CHARS_MAX;

pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) room: String,
}

impl Guest {
    /// Errors: a line for the client, which is also short enough for a close frame.
    pub(crate) fn from_request(request: &Request) -> Result<Self, &'static str> {
        let name = label(request.query("name"), NAME_CHARS_MAX);
        let room = label(request.query("room"), ROOM_CHARS_MAX);
        Ok(Self {
            name: name.ok_or("name: 1 to 32 characters, no control characters\n")?,
            room: room.ok_or("room: 1 to 64 characters, no control characters\n")?,
        })
    }
}

fn label(value: Option<String>, chars_max: usize) -> Option<String> {
    let value = value?;
    let value = value.trim();
    let is_good =
        (1..=chars_max).contains(&value.chars().count()) && !value.chars().any(char::is_control);
    is_good.then(|| value.to_owned())
}
