//! A chat of events: join a room, speak to it, and be told that it was heard. Sessions survive a lost connection.
//!
//! ```text
//! cargo run --release --example app_server
//! cargo run --release --example wscat -- ws://localhost:8080/ws
//! {"v":"1.0","e":"room.join","p":{"roomId":"lobby"},"c":"1"}
//! {"v":"1.0","e":"chat.message","p":{"roomId":"lobby","text":"hello"},"c":"2"}
//! ```

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::error::Error;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sockeye::app::{App, Context};
use sockeye::hub::Shutdown;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Say {
    room_id: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Join {
    room_id: String,
}

/// What a handler's error is: a client sees those that are meant for it, and "Internal server error" for others.
type Handled<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port] = numbers::numbers([("--port", 8080)]);
    let app = App::new()
        .host("localhost")
        .port(port)
        .path("/ws")
        // A message for the room, but for who sent it. What is returned is the answer: chat.message.ack.
        .on("chat.message", async |context: Context, say: Say| -> Handled<_> {
            let said = json!({"userId": context.user_id(), "text": say.text});
            context.to_room(&say.room_id).except_self().send("chat.message", &said)?;
            Ok(json!({"status": "sent"}))
        })
        // A session is in its rooms until it ends, whatever becomes of its connection.
        .on("room.join", async |context: Context, join: Join| -> Handled<()> {
            context.join(&join.room_id)?;
            context.reply("room.joined", &json!({"roomId": join.room_id}))?;
            Ok(())
        })
        .on_error(|context, error| eprintln!("{}: {error}", context.event()));

    let running = app.start().await?;
    let stopped = stop::asked();
    for address in running.local_addrs() {
        println!("listening on ws://{address}/ws");
    }
    stopped.await;
    running.stop(Shutdown::new(Duration::from_secs(10))).await?;
    Ok(())
}
