//! What the page and the server say to each other: text messages with JSON.

use serde::{Deserialize, Serialize};
use sockeye::MessageRef;

use super::panel::Numbers;

/// Longest text of a message, in characters.
const TEXT_CHARS_MAX: usize = 2000;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ServerMessage<'a> {
    /// The first message to a member. `id` is on its own messages too.
    Joined { id: &'a str, room: &'a str, name: &'a str, people: usize, is_private: bool },
    /// How many are in the room.
    People { people: usize },
    /// Somebody said something.
    Message { id: &'a str, name: &'a str, text: &'a str },
    /// Something happened.
    Notice { text: &'a str },
    /// How the server is, once a second, for those who asked.
    Metrics(&'a Numbers),
}

impl ServerMessage<'_> {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ClientMessage {
    /// What a member says; here without the space around it.
    Message { text: String },
    /// Whether it wants the metrics.
    Watch { on: bool },
}

impl ClientMessage {
    /// Errors: a reason to close the connection with.
    pub(crate) fn parse(message: MessageRef<'_>) -> Result<Self, &'static str> {
        let MessageRef::Text(json) = message else {
            return Err("only text messages are understood");
        };
        match serde_json::from_str(json).map_err(|_| "not a message of this chat")? {
            Self::Message { text } => {
                let text = text.trim();
                if !(1..=TEXT_CHARS_MAX).contains(&text.chars().count()) {
                    return Err("a message has 1 to 2000 characters");
                }
                Ok(Self::Message { text: text.to_owned() })
            }
            watch @ Self::Watch { .. } => Ok(watch),
        }
    }
}
