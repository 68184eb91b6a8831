//! A line on the standard output every few seconds: for a terminal, or a log.

use std::convert::Infallible;
use std::io::Write as _;
use std::time::Duration;

use sockeye::hub::Hub;
use sockeye::hub::metrics::Snapshot;
use tokio::time::{Instant, MissedTickBehavior};

pub(crate) async fn print_every(hub: &Hub, period: Duration) -> Infallible {
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = hub.metrics();
    loop {
        ticks.tick().await;
        let now = hub.metrics();
        // Whoever read the lines may have gone; the server goes on.
        let _ = writeln!(std::io::stdout(), "{}", line(&now, &now.since(&before)));
        before = now;
    }
}

/// `change`: what happened since the line before.
fn line(now: &Snapshot, change: &Snapshot) -> String {
    let per_second = |count: u64| count * 1000 / change.gauges.uptime_ms.max(1);
    let ms = |us: Option<u64>| us.map_or("-".to_owned(), |us| format!("{:.1}", us as f64 / 1e3));
    format!(
        "up {} s, connections {}, rooms {}, in {}/s {} B/s, out {}/s {} B/s, queued {}, dropped {}, \
         closed {}, refused {}, round trip ms {} {}",
        now.gauges.uptime_ms / 1000,
        now.gauges.connections,
        now.gauges.rooms,
        per_second(change.messages_received),
        per_second(change.bytes_received),
        per_second(change.messages_sent),
        per_second(change.bytes_sent),
        now.gauges.queued_messages,
        change.dropped.values().sum::<u64>(),
        change.closed_total(),
        change.rejected_total(),
        ms(change.round_trip.quantile(0.5)),
        ms(change.round_trip.quantile(0.99)),
    )
}
