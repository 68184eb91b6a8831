//! Messages that go to every member of a room: one publisher in each, a member itself, with `--outstanding`
//! messages under way until its own copies return. `--members` in all, spread over `--rooms`: without that all
//! are at `/chat`, with it at `/chat/NUMBER`. What is counted is deliveries.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::echo::masking_key;
use super::fleet::Fleet;
use super::payload::Payload;
use super::reply::Reply;
use super::window::{self, Tally};
use super::{PATIENCE, Result};
use crate::options::Options;

/// The publisher pauses while the members are, on average, this many times `--outstanding` behind:
/// its own copy may come back long before theirs, and a queue that overflows is not what is measured.
const LAG_MAX: u64 = 4;

/// One room: its number is that of its first member, who publishes. Who comes behind the first members of all
/// rooms is in the room of the number that is left when it is divided by that of the rooms.
struct Room {
    members: u64,
    published: u64,
    returned_own: u64,
    delivered: u64,
}

pub fn run(options: &Options, address: SocketAddr) -> Result<()> {
    let payload = Payload::from_options(options);
    let outstanding_max = options.value("outstanding", 1);
    let members = options.value("members", 100);
    let rooms = options.value("rooms", 1);
    if rooms == 0 || rooms > members {
        return Err("--rooms takes a number from 1 to that of the members".into());
    }
    let path = |index: usize| match options.flag("rooms") {
        false => "/chat".to_owned(),
        true => format!("/chat/{}", index % rooms),
    };
    let mut fleet = Fleet::open_at(address, path, members, Reply::new(&payload))?;
    for index in 0..rooms {
        fleet.clients[index].prepare(&payload, outstanding_max, masking_key(index));
    }
    window::measure(options, |duration| {
        keep_up(&mut fleet, rooms, outstanding_max as u64, duration)
    })
}

fn keep_up(
    fleet: &mut Fleet,
    room_count: usize,
    outstanding_max: u64,
    duration: Duration,
) -> Result<Tally> {
    let received_before = fleet.received();
    let members = fleet.clients.len();
    let room = |number: usize| Room::new((members - number).div_ceil(room_count) as u64);
    let mut rooms: Vec<_> = (0..room_count).map(room).collect();
    let mut tally = Tally::default();
    let mut now = Instant::now();
    let end = now + duration;
    let mut undelivered = 0;
    // Rooms whose publisher may have credit again.
    let mut touched: Vec<_> = (0..room_count).collect();
    loop {
        let is_open = now < end;
        for number in touched.drain(..).filter(|_| is_open) {
            let credit = rooms[number].take_credit(outstanding_max)?;
            if credit > 0 {
                fleet.clients[number].send(credit, now)?;
                undelivered += credit * rooms[number].members;
            }
        }
        if !is_open && undelivered == 0 {
            tally.received_bytes = fleet.received() - received_before;
            return Ok(tally);
        }
        fleet.turn(|index, client, delivered| {
            let (number, is_publisher) = (index % room_count, index < room_count);
            tally.messages += delivered;
            undelivered = undelivered.checked_sub(delivered).ok_or(TOO_MANY)?;
            rooms[number].delivered += delivered;
            if is_publisher {
                client.note_returned(delivered, Instant::now(), &mut tally.latencies);
                rooms[number].returned_own += delivered;
            }
            touched.push(number);
            Ok(())
        })?;
        now = Instant::now();
        if now > end + PATIENCE {
            return Err(format!("{undelivered} deliveries did not come").into());
        }
    }
}

const TOO_MANY: &str = "more deliveries than there should be";

impl Room {
    const fn new(members: u64) -> Self {
        Self { members, published: 0, returned_own: 0, delivered: 0 }
    }

    /// How many messages may be published now; they count as that.
    fn take_credit(&mut self, outstanding_max: u64) -> Result<u64> {
        let behind = (self.published * self.members).checked_sub(self.delivered);
        if behind.ok_or(TOO_MANY)? > LAG_MAX * outstanding_max * self.members {
            return Ok(0);
        }
        let outstanding = self.published.checked_sub(self.returned_own).ok_or(TOO_MANY)?;
        let credit = outstanding_max.saturating_sub(outstanding);
        self.published += credit;
        Ok(credit)
    }
}
