//! Events whose payloads are checked before their handlers see them.
//!
//! ```text
//! cargo run --release --example validated
//! cargo run --release --example wscat -- ws://127.0.0.1:8080/ws/validated
//! {"type":"join","roomId":"lobby"}
//! {"type":"message","roomId":"lobby","content":"hello"}
//! {"type":"message","roomId":"lobby","content":7}
//! ```
//!
//! The last line is answered by an error with the field and the rule it breaks, and the connection stays. What
//! is always so stands in the types of the payloads, lengths too ([`Text`]); what depends on more than the
//! payload, as who is in which room, is checked by the handler, and answered in the same way.
//!
//! With the feature `schema` all messages are held against a JSON Schema before that, which clients can be given, too:
//!
//! ```text
//! cargo run --release --features schema --example validated
//! ```

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::error::Error;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::json;
use sockeye::app::{App, Codec, Context, EventError, FieldError};
use sockeye::hub::Shutdown;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Room {
    room_id: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    room_id: String,
    content: Text<1000>,
}

/// What every message is like.
#[cfg(feature = "schema")]
fn message_schema() -> serde_json::Value {
    json!({
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["join", "leave", "message"]},
            "content": {"type": "string", "maxLength": 1000},
            "roomId": {"type": "string"},
        },
        "required": ["type"],
    })
}

/// A text of 1 to `MAX` characters.
struct Text<const MAX: usize>(String);

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        let len = text.chars().count();
        if !(1..=MAX).contains(&len) {
            return Err(D::Error::invalid_length(len, &&*format!("1 to {MAX} characters")));
        }
        Ok(Self(text))
    }
}

type Handled = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port] = numbers::numbers([("--port", 8080)]);
    let app = App::new().path("/ws/validated").codec(Codec::Tagged).port(port);
    let app = app.on("join", join).on("leave", leave).on("message", message);
    #[cfg(feature = "schema")]
    let app = app.message_schema(&message_schema());
    let running = app.start().await?;
    let stopped = stop::asked();
    println!("listening on ws://{}/ws/validated", running.local_addrs()[0]);
    stopped.await;
    running.stop(Shutdown::new(Duration::from_secs(5))).await?;
    Ok(())
}

async fn join(context: Context, Room { room_id }: Room) -> Handled {
    // The hub has rules for the names of rooms.
    context.join(&room_id).map_err(|error| wrong_room("join", &error.to_string()))?;
    context.reply("joined", &json!({"roomId": room_id}))?;
    Ok(())
}

async fn leave(context: Context, Room { room_id }: Room) -> Handled {
    if !context.leave(&room_id) {
        return Err(wrong_room("joined", "you are not in this room").into());
    }
    context.reply("left", &json!({"roomId": room_id}))?;
    Ok(())
}

async fn message(context: Context, Message { room_id, content }: Message) -> Handled {
    if !context.peer().in_room(&room_id) {
        return Err(wrong_room("joined", "you are not in this room").into());
    }
    let said = json!({"roomId": room_id, "content": content.0, "sender": context.session_id()});
    context.to_room(&room_id).send("room-message", &said)?;
    Ok(())
}

fn wrong_room(rule: &'static str, why: &str) -> EventError {
    EventError::invalid(FieldError::new("/roomId", rule, why))
}
