//! How a test says what came.

use crate::error::Error;
use crate::protocol::{CloseOutcome, Message};

/// Most characters of a payload that are shown.
const SHOWN_MAX: usize = 200;

/// What came, in words.
pub(super) fn message(message: &Message) -> String {
    match message {
        Message::Text(text) => format!("the text {}", excerpt(text)),
        Message::Binary(bytes) => {
            let shown = &bytes[..bytes.len().min(SHOWN_MAX / 4)];
            format!("{} bytes binary that begin with {shown:02x?}", bytes.len())
        }
        Message::Ping(_) => "a ping".to_owned(),
        Message::Pong(_) => "a pong".to_owned(),
        Message::Close(_) => "a close frame".to_owned(),
    }
}

/// How the connection ended, in words.
pub(super) fn end(outcome: Option<&CloseOutcome>, error: Option<&Error>) -> String {
    let how = match outcome {
        Some(outcome) => format!(
            "the connection ended with {} {:?} ({:?}, begun by {:?})",
            u16::from(outcome.code),
            outcome.reason.as_str(),
            outcome.cause,
            outcome.initiator
        ),
        None => "the connection ended".to_owned(),
    };
    match error {
        Some(error) => format!("{how}: {error}"),
        None => how,
    }
}

/// A text, quoted, and cut where it is long.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}... of {} bytes", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}
