//! Errors that a client is shown, and errors that are nobody's business.
//!
//! ```text
//! cargo run --release --example errors
//! cargo run --release --example wscat -- ws://127.0.0.1:8080/ws/errors
//! {"type":"divide","dividend":7,"divisor":2}
//! {"type":"divide","dividend":7,"divisor":0}
//! {"type":"report"}
//! ```
//!
//! The second line is answered with what went wrong and `"recoverable":true`. The third one reads a file
//! that is not there: the client sees an internal server error with `"recoverable":false`, and what it really
//! was stands in the server's terminal. The connection stays in both cases.

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::error::Error;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::{App, Codec, Context, EventError};
use sockeye::hub::Shutdown;

/// A number of this application, for programs.
const NOT_DEFINED: i32 = 1001;

#[derive(Deserialize)]
struct Division {
    dividend: i64,
    divisor: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port] = numbers::numbers([("--port", 8080)]);
    let app = App::new()
        .path("/ws/errors")
        .codec(Codec::Tagged)
        .on("divide", async |_: Context, Division { dividend, divisor }: Division| {
            let quotient = dividend.checked_div(divisor);
            let quotient =
                quotient.ok_or(EventError::new(NOT_DEFINED, "there is no such number"))?;
            Ok::<_, EventError>(json!({"quotient": quotient}))
        })
        .on("report", async |_: Context, _: Value| {
            let report = tokio::fs::read_to_string("reports/today.txt").await?;
            Ok::<_, std::io::Error>(json!({"report": report}))
        })
        .on_error(|context, error| {
            eprintln!("{} of {}: {error}", context.event(), context.session_id());
        })
        .on_close(|context, outcome| {
            if !outcome.clean {
                eprintln!("connection of {}: {:?}", context.session_id(), outcome.cause);
            }
        });
    let running = app.port(port).start().await?;
    let stopped = stop::asked();
    println!("listening on ws://{}/ws/errors", running.local_addrs()[0]);
    stopped.await;
    running.stop(Shutdown::new(Duration::from_secs(5))).await?;
    Ok(())
}
