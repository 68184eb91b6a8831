//! Cut the network, and watch nothing get lost: the server counts ten times a second, the page in between has a
//! button that cuts its network, and what was counted meanwhile comes when it is back, in order, each number once.
//!
//! `cargo run --release --example resume -- --port 0`

#[path = "../support/help.rs"]
mod help;
#[path = "../support/stop.rs"]
mod stop;
mod tally;

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sockeye::app::{App, Context, Running};
use sockeye::hub::Shutdown;
use tokio::time::{Instant, MissedTickBehavior, interval};

use tally::Tallies;

const USAGE: &str = "usage: resume [--port PORT]   (default 8080; 0 picks one)";

/// Between two numbers. The server keeps 256 messages for a session: a page that is away for longer than 25 s is
/// told of the gap.
const EVERY: Duration = Duration::from_millis(100);

/// What the page sends: its own numbers, which the server checks.
#[derive(Deserialize)]
struct Note {
    n: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    help::if_asked(&[USAGE]);
    let Some(port) = port(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let running = app().port(port).start().await?;
    let stopped = stop::asked();
    println!("cut the network at http://{}/", running.local_addrs()[0]);
    tokio::select! {
        () = stopped => {}
        never = count(&running) => match never {},
    }
    running.stop(Shutdown::new(Duration::from_secs(1))).await?;
    Ok(())
}

fn app() -> App {
    App::new()
        .host("127.0.0.1")
        .page("/", "text/html; charset=utf-8", include_str!("index.html"))
        .page("/resume.css", "text/css; charset=utf-8", include_str!("resume.css"))
        .page("/base.css", "text/css; charset=utf-8", include_str!("../support/base.css"))
        .page(
            "/network.js",
            "text/javascript; charset=utf-8",
            include_str!("../support/network.js"),
        )
        .page("/resume.js", "text/javascript; charset=utf-8", include_str!("resume.js"))
        .browser_client("/sockeye.js")
        .state(Tallies::default())
        .on("note", async |context: Context, note: Note| {
            let tallies = context.state::<Tallies>();
            let tally = tallies.map(|tallies| tallies.note(context.session_id(), note.n));
            tally.map(|tally| json!({"missing": tally.missing, "doubled": tally.doubled}))
        })
}

/// Tells everybody the next number, those who are away, too: for them it is kept.
async fn count(running: &Running) -> std::convert::Infallible {
    let began = Instant::now();
    let everybody = running.to_all();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 1_u64.. {
        ticks.tick().await;
        let at_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = everybody.send("count", &json!({"n": n, "atMs": at_ms})) {
            eprintln!("{n} was not sent: {error}");
        }
    }
    std::future::pending().await
}

fn port(mut args: impl Iterator<Item = String>) -> Option<u16> {
    match args.next().as_deref() {
        None => Some(8080),
        Some("--port") => args.next()?.parse().ok(),
        Some(_) => None,
    }
}
