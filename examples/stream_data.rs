//! Data that comes by itself, to those who want it, and what came before, in pages.
//!
//! ```text
//! cargo run --release --example stream_data
//! cargo run --release --example wscat -- ws://127.0.0.1:8080/ws/data
//! {"type":"subscribe","channel":"wind","last":3}
//! {"type":"get-history","channel":"wind","count":10,"requestId":"h1"}
//! {"type":"get-history","channel":"wind","count":10,"requestId":"h2","before":31}
//! {"type":"unsubscribe","channel":"wind"}
//! ```
//!
//! `last` (none by default) has the last updates sent first, without a gap to what comes. A page of the history has
//! a number on each update; `before` the first of these is the page before it. 100 updates of each channel are kept. A
//! subscription ends with its session, so that there is nothing to clean up.

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::convert::Infallible;
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sockeye::app::{App, Codec, Context, EventError, FieldError, Running};
use sockeye::hub::Shutdown;
use tokio::time::interval;

const CHANNELS: [&str; 2] = ["wind", "rain"];

#[derive(Deserialize, Serialize)]
struct Update {
    channel: String,
    timestamp: u64,
    data: u32,
}

#[derive(Deserialize)]
struct Subscription {
    channel: String,
    #[serde(default)]
    last: usize,
}

#[derive(Deserialize)]
struct Request {
    channel: String,
    before: Option<u64>,
    count: usize,
}

type Handled = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port, every_ms] = numbers::numbers([("--port", 8080_u32), ("--every-ms", 1000)]);
    let app = App::new().path("/ws/data").codec(Codec::Tagged);
    let app = app
        .on("subscribe", subscribe)
        .on("unsubscribe", unsubscribe)
        .on("get-history", get_history);
    let running = app.port(port.try_into()?).start().await?;
    let stopped = stop::asked();
    println!("listening on ws://{}/ws/data", running.local_addrs()[0]);
    tokio::select! {
        () = stopped => {}
        never = measure(&running, Duration::from_millis(every_ms.max(1).into())) => match never {},
    }
    running.stop(Shutdown::new(Duration::from_secs(5))).await?;
    Ok(())
}

async fn subscribe(context: Context, Subscription { channel, last }: Subscription) -> Handled {
    check(&channel)?;
    context.reply("subscribed", &json!({"channel": channel}))?;
    context.history().join(context.peer(), &channel, last, |page, sender| {
        // A client whose queue is full has its history later, from `get-history`.
        let _ = page.send_to(sender);
    })?;
    Ok(())
}

async fn unsubscribe(context: Context, Subscription { channel, .. }: Subscription) -> Handled {
    check(&channel)?;
    context.leave(&channel);
    context.reply("unsubscribed", &json!({"channel": channel}))?;
    Ok(())
}

async fn get_history(context: Context, Request { channel, before, count }: Request) -> Handled {
    check(&channel)?;
    let page = context.history().before(&channel, before, count);
    let mut data = Vec::with_capacity(page.messages.len());
    for said in &page.messages {
        let text = std::str::from_utf8(said.message.payload())?;
        let update: Update = Codec::Tagged.parse(text)?.payload()?;
        data.push(
            json!({"number": said.number, "timestamp": update.timestamp, "data": update.data}),
        );
    }
    let answer = json!({"channel": channel, "data": data, "hasMore": page.has_more});
    context.reply("history-data", &answer)?;
    Ok(())
}

/// No weather station: it counts.
async fn measure(running: &Running, every: Duration) -> Infallible {
    let mut ticks = interval(every);
    for data in 0_u32.. {
        ticks.tick().await;
        for channel in CHANNELS {
            let update = Update { channel: channel.to_owned(), timestamp: now_ms(), data };
            let listeners = running.to_room(channel).keep();
            if let Err(error) = listeners.send("data-update", &update) {
                eprintln!("{channel}: {error}");
            }
        }
    }
    std::future::pending().await
}

fn check(channel: &str) -> Result<(), EventError> {
    if CHANNELS.contains(&channel) {
        return Ok(());
    }
    let there_are = format!("there are {}", CHANNELS.join(", "));
    Err(EventError::invalid(FieldError::new("/channel", "enum", there_are)))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
