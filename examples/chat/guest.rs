//! Who wants in, and where: the query of `/chat?room=..&name=..`, and the room's password.

use std::time::SystemTime;

use sockeye::Request;
use sockeye::auth::{CredentialSources, CredentialsError};

/// Longest name and room, in characters: 128 bytes at most, as many as a hub takes for a room.
const LABEL_CHARS_MAX: usize = 32;

/// Longest password of a room, in characters.
const PASSWORD_CHARS_MAX: usize = 64;

const BAD_NAME: &str = "name: 1 to 32 characters, no control characters\n";
const BAD_ROOM: &str = "room: 1 to 32 characters, no control characters\n";
const BAD_PASSWORD: &str = "password: 1 to 64 characters\n";

pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) room: String,
    /// Of the room; an open room has none.
    pub(crate) password: Option<String>,
    /// With `create=1` a room that is not there begins, with this password.
    pub(crate) may_create: bool,
}

impl Guest {
    /// The password comes as an offered subprotocol, never in the query: queries end in logs.
    ///
    /// Errors: a line for the client, which is also short enough for a close frame.
    pub(crate) fn from_request(request: &Request) -> Result<Self, &'static str> {
        let name = label(request.query("name")).ok_or(BAD_NAME)?;
        // The page trims it; a room with space around it would look like another.
        let room = label(request.query("room")).ok_or(BAD_ROOM)?;
        let read = CredentialSources::new().read(request.http(), SystemTime::now());
        let credentials = read.map_err(|error| match error {
            CredentialsError::Query(_) | CredentialsError::Room(_) => BAD_ROOM,
            _ => BAD_PASSWORD,
        })?;
        let password = credentials.room_password().map(str::to_owned);
        let is_password = |text: &str| (1..=PASSWORD_CHARS_MAX).contains(&text.chars().count());
        if !password.as_deref().is_none_or(is_password) {
            return Err(BAD_PASSWORD);
        }
        let may_create = request.query("create").as_deref() == Some("1");
        Ok(Self { name, room, password, may_create })
    }
}

fn label(value: Option<String>) -> Option<String> {
    let value = value?;
    let value = value.trim();
    let is_good = (1..=LABEL_CHARS_MAX).contains(&value.chars().count())
        && !value.chars().any(char::is_control);
    is_good.then(|| value.to_owned())
}
