//! The measured window: it begins and ends with nothing in flight and the server asleep, so that
//! the messages counted and the CPU time counted are of exactly the same work.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Result;
use super::histogram::Histogram;
use crate::cpu_time;
use crate::options::Options;

/// How long a server has to go to sleep after the last reply.
const SETTLE: Duration = Duration::from_millis(20);

/// What was counted in a window.
#[derive(Default)]
pub struct Tally {
    /// Messages returned, deliveries or handshakes.
    pub messages: u64,
    pub latencies: Histogram,
    /// Of all replies, headers and all.
    pub received_bytes: u64,
}

/// Warms up with `run`, measures it for `--seconds`, and prints the outcome as a line of JSON.
///
/// `run` keeps the load up for the time given, then waits until nothing is in flight.
pub fn measure(options: &Options, mut run: impl FnMut(Duration) -> Result<Tally>) -> Result<()> {
    run(Duration::from_secs_f64(options.value("warm-up", 0.3)))?;
    let server = options.text("pid").map(str::parse).transpose()?;
    let cpu_ns = || server.map(cpu_time::of_process).transpose();

    thread::sleep(SETTLE);
    let (cpu_before_ns, begin) = (cpu_ns()?, Instant::now());
    let tally = run(Duration::from_secs_f64(options.value("seconds", 2.0)))?;
    let seconds = begin.elapsed().as_secs_f64();
    thread::sleep(SETTLE);
    let used_ns = cpu_ns()?.zip(cpu_before_ns).map(|(after, before)| after - before);

    let messages = tally.messages;
    if messages == 0 {
        return Err("no message returned".into());
    }
    println!(
        "{}",
        json!({
            "messages": messages,
            "seconds": seconds,
            "messages_per_second": messages as f64 / seconds,
            "p50_us": tally.latencies.quantile(0.5) as f64 / 1e3,
            "p90_us": tally.latencies.quantile(0.9) as f64 / 1e3,
            "p99_us": tally.latencies.quantile(0.99) as f64 / 1e3,
            "p99_9_us": tally.latencies.quantile(0.999) as f64 / 1e3,
            "max_us": tally.latencies.max() as f64 / 1e3,
            "received_bytes_per_message": tally.received_bytes as f64 / messages as f64,
            "server_cpu_ns": used_ns,
            "server_cpu_ns_per_message": used_ns.map(|used| used as f64 / messages as f64),
        })
    );
    Ok(())
}
