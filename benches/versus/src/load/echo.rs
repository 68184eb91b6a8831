//! Messages that come back to their sender: `--connections`, `--in-flight` on each; or `--rate` messages a
//! second in all, sent by the clock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::fleet::{Fleet, TICK};
use super::payload::Payload;
use super::reply::Reply;
use super::schedule::Schedule;
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
    if !options.flag("rate") {
        return window::measure(options, |duration| {
            keep_up(&mut fleet, in_flight as u64, duration)
        });
    }
    let rate: f64 = options.value("rate", 0.0);
    if !(rate >= 1.0 && rate.is_finite()) {
        return Err("--rate takes messages a second".into());
    }
    window::measure(options, |duration| keep_schedule(&mut fleet, rate, duration))
}

/// Sends `rate` messages a second for `duration`, whether or not the server keeps up, then awaits the last. A
/// message's time counts from the moment it was due.
pub fn keep_schedule(fleet: &mut Fleet, rate: f64, duration: Duration) -> Result<Tally> {
    let received_before = fleet.received();
    let mut tally = Tally::default();
    let begin = Instant::now();
    let mut schedule = Schedule::new(begin, rate, duration);
    let (mut outstanding, mut next_client) = (0_u64, 0);
    loop {
        let now = Instant::now();
        while let Some(moment) = schedule.take_due(now) {
            fleet.clients[next_client].send(1, moment)?;
            next_client = (next_client + 1) % fleet.clients.len();
            outstanding += 1;
        }
        let next = schedule.next_due();
        if next.is_none() && outstanding == 0 {
            tally.received_bytes = fleet.received() - received_before;
            return Ok(tally);
        }
        if now > begin + duration + PATIENCE {
            return Err(format!("{outstanding} messages did not return").into());
        }
        let wait = next.map_or(TICK, |moment| moment.saturating_duration_since(now));
        fleet.turn_within(wait, |_, client, returned| {
            tally.messages += returned;
            client.note_returned(returned, Instant::now(), &mut tally.latencies);
            outstanding = outstanding.checked_sub(returned).ok_or("more replies than messages")?;
            Ok(())
        })?;
    }
}

/// Keeps `in_flight` messages under way on every connection for `duration`, then awaits the last.
pub fn keep_up(fleet: &mut Fleet, in_flight: u64, duration: Duration) -> Result<Tally> {
    let received_before = fleet.received();
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
    tally.received_bytes = fleet.received() - received_before;
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::frame;
    use crate::load::client::KEY;
    use crate::upgrade;

    const MESSAGES: usize = 100;

    /// A server that answers nothing before the last message has come, which is sent 99 ms after the first was
    /// due: so the times have lower bounds, however slow the machine.
    #[test]
    fn a_server_that_stalls_is_seen_as_its_users_see_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let payload = Payload::plain(frame::BINARY, vec![7; 16]);
        let reply = frame::server_frame(frame::BINARY, &payload.messages[0]);
        let frame_len = reply.len() + 4;
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = vec![0; upgrade::request("/echo", KEY).len()];
            stream.read_exact(&mut head).unwrap();
            stream.write_all(upgrade::response(KEY).as_bytes()).unwrap();
            stream.read_exact(&mut vec![0; MESSAGES * frame_len]).unwrap();
            stream.write_all(&reply.repeat(MESSAGES)).unwrap();
            // Until the client has gone.
            stream.read(&mut [0]).unwrap()
        });
        let mut fleet = Fleet::open(address, "/echo", 1, Reply::new(&payload)).unwrap();
        fleet.clients[0].prepare(&payload, 1, masking_key(0));
        let tally = keep_schedule(&mut fleet, 1000.0, Duration::from_millis(100)).unwrap();
        drop(fleet);
        assert_eq!(server.join().unwrap(), 0);
        assert_eq!(tally.messages, MESSAGES as u64);
        let millis = |share| tally.latencies.quantile(share) / 1_000_000;
        assert!(tally.latencies.max() >= 99_000_000, "{}", tally.latencies.max());
        assert!(millis(0.5) >= 47, "{}", millis(0.5));
        assert!(millis(0.9) >= 84, "{}", millis(0.9));
    }
}
