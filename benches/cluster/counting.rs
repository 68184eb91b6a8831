//! The hearing end: counts messages that are all of one length, and says so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// How a message comes: so many bytes, of which these are before its payload.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) bytes: usize,
    pub(crate) head_bytes: usize,
}

/// Digits of the time at the beginning of a payload; zeros: it has none.
pub(crate) const TIME_DIGITS: usize = 20;

/// After so many messages, or so long without one, the count is told.
const TOLD_EVERY: u64 = 512;
const TOLD_AFTER: Duration = Duration::from_millis(2);

/// Latencies that are kept.
const LATENCIES_MAX: usize = 1 << 20;

/// A payload of so many bytes, with the time of now or without.
pub(crate) fn payload(bytes: usize, is_timed: bool) -> String {
    let time_ns = if is_timed { now_ns() } else { 0 };
    format!("{time_ns:0TIME_DIGITS$}{}", "x".repeat(bytes - TIME_DIGITS))
}

/// The same for all processes of one machine.
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Counts what comes until the parent has no more to ask, then says how long it was on its way.
pub(crate) async fn count(mut from: impl AsyncRead + Unpin, form: Form) -> std::io::Result<()> {
    let (gone, mut parent) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = gone.send(());
    });
    let (mut buf, mut filled) = (vec![0; 256 * 1024], 0);
    let (mut count, mut told, mut latencies) = (0, 0, Vec::new());
    loop {
        let read = tokio::select! {
            read = timeout(TOLD_AFTER, from.read(&mut buf[filled..])) => read,
            _ = &mut parent => break,
        };
        let is_quiet = read.is_err();
        match read.unwrap_or(Ok(0))? {
            0 if !is_quiet => break,
            read => filled += read,
        }
        let whole = filled / form.bytes;
        for message in buf[..filled].chunks_exact(form.bytes) {
            note(&message[form.head_bytes..], &mut latencies);
        }
        buf.copy_within(whole * form.bytes..filled, 0);
        filled -= whole * form.bytes;
        count += whole as u64;
        if count >= told + TOLD_EVERY || (is_quiet && count > told) {
            told = count;
            println!("{count}");
        }
    }
    latencies.sort_unstable();
    let quantile =
        |per_mille: usize| latencies.get(latencies.len() * per_mille / 1000).unwrap_or(&0);
    println!("latency {} {}", quantile(500), quantile(990));
    Ok(())
}

fn note(payload: &[u8], latencies: &mut Vec<u64>) {
    // Most have no time in them; one of these years has 19 digits.
    if payload[1] == b'0' {
        return;
    }
    let time = std::str::from_utf8(&payload[..TIME_DIGITS]).ok().and_then(|time| time.parse().ok());
    if let Some(time_ns) = time.filter(|_| latencies.len() < LATENCIES_MAX) {
        latencies.push(now_ns().saturating_sub(time_ns));
    }
}
