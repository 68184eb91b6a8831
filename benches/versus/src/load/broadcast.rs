//! Messages that go to every member: one publisher, a member itself, with `--outstanding` messages
//! under way until its own copies return, and `--members` in all. What is counted is deliveries.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::echo::masking_key;
use super::fleet::Fleet;
use super::payload::Payload;
use super::reply::Reply;
use super::window::{self, Tally};
use super::{PATIENCE, Result};
use crate::options::Options;

/// The publisher is the first member.
const PUBLISHER: usize = 0;

/// The publisher pauses while the members are, on average, this many times `--outstanding` behind:
/// its own copy may come back long before theirs, and a queue that overflows is not what is measured.
const LAG_MAX: u64 = 4;

pub fn run(options: &Options, address: SocketAddr) -> Result<()> {
    let payload = Payload::from_options(options);
    let outstanding_max = options.value("outstanding", 1);
    let members = options.value("members", 100);
    let mut fleet = Fleet::open(address, "/chat", members, Reply::new(&payload))?;
    fleet.clients[PUBLISHER].prepare(&payload, outstanding_max, masking_key(PUBLISHER));
    window::measure(options, |duration| keep_up(&mut fleet, outstanding_max as u64, duration))
}

fn keep_up(fleet: &mut Fleet, outstanding_max: u64, duration: Duration) -> Result<Tally> {
    let members = fleet.clients.len() as u64;
    let mut tally = Tally::default();
    let mut now = Instant::now();
    let end = now + duration;
    let (mut published, mut returned_own) = (0, 0);
    loop {
        let undelivered = (published * members)
            .checked_sub(tally.messages)
            .ok_or("more deliveries than there should be")?;
        let is_open = now < end;
        if !is_open && undelivered == 0 {
            return Ok(tally);
        }
        let credit = outstanding_max - (published - returned_own);
        if is_open && credit > 0 && undelivered <= LAG_MAX * outstanding_max * members {
            fleet.clients[PUBLISHER].send(credit, now)?;
            published += credit;
        }
        fleet.turn(|index, client, delivered| {
            tally.messages += delivered;
            if index == PUBLISHER {
                client.note_returned(delivered, Instant::now(), &mut tally.latencies);
                returned_own += delivered;
            }
            Ok(())
        })?;
        now = Instant::now();
        if now > end + PATIENCE {
            return Err(format!("{undelivered} deliveries did not come").into());
        }
    }
}
