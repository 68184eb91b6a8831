//! Connections that are looked after: each is told its id, may ask whether the server is there, speaks to
//! all others, and gets the server's numbers from time to time.
//!
//! ```text
//! cargo run --release --example managed -- --stats-ms 5000
//! cargo run --release --example wscat -- ws://127.0.0.1:8080/ws/managed
//! {"type":"ping"}
//! {"type":"announce","text":"hello, everybody"}
//! ```
//!
//! There is no table of connections to keep: the application has one, and a slow client costs the others
//! nothing. One timer serves all.

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::{App, Codec, Context, Running};
use sockeye::hub::Shutdown;
use tokio::time::{Instant, interval_at};

#[derive(Deserialize)]
struct Announcement {
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port, stats_ms] = numbers::numbers([("--port", 8080_u32), ("--stats-ms", 30_000)]);
    let running = app().port(port.try_into()?).start().await?;
    let stopped = stop::asked();
    println!("listening on ws://{}/ws/managed", running.local_addrs()[0]);
    tokio::select! {
        () = stopped => {}
        () = tell_stats(&running, Duration::from_millis(stats_ms.max(1).into())) => {}
    }
    running.stop(Shutdown::new(Duration::from_secs(5))).await?;
    Ok(())
}

fn app() -> App {
    App::new()
        .path("/ws/managed")
        .codec(Codec::Tagged)
        .on_open(async |context: Context| {
            let hello = json!({"connectionId": context.session_id(), "serverTime": now_ms()});
            // A connection that is over needs no greeting.
            let _ = context.send("connection-established", &hello);
        })
        .on("ping", async |context: Context, _: Value| {
            context.reply("pong", &json!({"timestamp": now_ms()})).map(drop)
        })
        .on("announce", async |context: Context, Announcement { text }: Announcement| {
            let said = json!({"connectionId": context.session_id(), "text": text});
            context.to_all().send("announcement", &said)
        })
        .on_close(|context, outcome| {
            println!("{} closed: {} {}", context.session_id(), outcome.code, outcome.reason);
        })
}

/// As long as it is polled.
async fn tell_stats(running: &Running, every: Duration) {
    let (began, all) = (Instant::now(), running.to_all());
    let mut ticks = interval_at(began + every, every);
    loop {
        ticks.tick().await;
        let sessions = running.sessions();
        let stats = json!({
            // Those that wait for their client to come back are not connected.
            "activeConnections": sessions.len().saturating_sub(sessions.suspended()),
            "serverUptime": began.elapsed().as_secs_f64(),
        });
        if let Err(error) = all.send("server-stats", &stats) {
            eprintln!("no stats this time: {error}");
        }
    }
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}
