//! Messages that come back to their sender: `--connections`, `--in-flight` on each.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::fleet::Fleet;
use super::payload::Payload;
use super::reply::Reply;
use super::window::{self, Tally};
use super::{PATIENCE, Result};
use crate::options::Options;

/// A masking key for connection `index`.
pub fn masking_key(index: usize) -> [u8; 4] {
    (index as u32).wrapping_mul(0x9e37_79b9).wrapping_add(0x7f4a_7c15).to_le_bytes()
}

pub fn run(options: &Options, address: SocketAddr) -> Result<()> {
    let payload = Payload::from_options(options);
    let in_flight = options.value("in-flight", 1);
    let count = options.value("connections", 1);
    let mut fleet = Fleet::open(address, "/echo", count, Reply::new(&payload))?;
    for (index, client) in fleet.clients.iter_mut().enumerate() {
        client.prepare(&payload, in_flight, masking_key(index));
    }
    window::measure(options, |duration| keep_up(&mut fleet, in_flight as u64, duration))
}

/// Keeps `in_flight` messages under way on every connection for `duration`, then awaits the last.
pub fn keep_up(fleet: &mut Fleet, in_flight: u64, duration: Duration) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut now = Instant::now();
    let end = now + duration;
    for client in &mut fleet.clients {
        client.send(in_flight, now)?;
    }
    let mut outstanding = in_flight * fleet.clients.len() as u64;
    while outstanding > 0 {
        let is_open = now < end;
        fleet.turn(|_, client, returned| {
            let now = Instant::now();
            tally.messages += returned;
            client.note_returned(returned, now, &mut tally.latencies);
            if is_open {
                return client.send(returned, now);
            }
            outstanding = outstanding.checked_sub(returned).ok_or("more replies than messages")?;
            Ok(())
        })?;
        now = Instant::now();
        if now > end + PATIENCE {
            return Err(format!("{outstanding} messages did not return").into());
        }
    }
    Ok(tally)
}
