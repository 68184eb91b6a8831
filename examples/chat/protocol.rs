//! What the page asks for.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// Into a room, under a name: the answer is `room.join.ack`.
#[derive(Deserialize)]
pub(crate) struct Join {
    pub(crate) room: Label,
    pub(crate) name: Label,
    /// Of the room; an open room has none.
    pub(crate) password: Option<Text<64>>,
    /// A room that is not there begins, with this password.
    #[serde(default)]
    pub(crate) create: bool,
}

/// To those in a room.
#[derive(Deserialize)]
pub(crate) struct Say {
    pub(crate) room: String,
    pub(crate) text: Said,
}

/// What was said in a room before that: `number` is the event's in the room's history.
#[derive(Deserialize)]
pub(crate) struct Before {
    pub(crate) room: String,
    pub(crate) number: u64,
}

/// Whether the client wants the metrics.
#[derive(Deserialize)]
pub(crate) struct Watch {
    pub(crate) on: bool,
}

/// The name of a person or a room: 1 to 32 characters, none of them a control character, without the space around.
pub(crate) struct Label(pub(crate) String);

/// What is said: 1 to 2,000 characters, without the space around.
pub(crate) struct Said(pub(crate) String);

/// 1 to `MAX` characters.
pub(crate) struct Text<const MAX: usize>(pub(crate) String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        let Text(text) = Text::<32>::new(text.trim())?;
        if text.chars().any(char::is_control) {
            return Err(D::Error::custom("a name has no control characters"));
        }
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        Text::<2000>::new(text.trim()).map(|Text(text)| Self(text))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(reader)?)
    }
}

impl<const MAX: usize> Text<MAX> {
    fn new<E: serde::de::Error>(text: &str) -> Result<Self, E> {
        let len = text.chars().count();
        if (1..=MAX).contains(&len) {
            return Ok(Self(text.to_owned()));
        }
        Err(E::invalid_length(len, &&*format!("1 to {MAX} characters")))
    }
}
