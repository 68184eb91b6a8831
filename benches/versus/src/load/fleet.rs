//! All connections of a load, and the wait for any of them.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::Result;
use super::client::Client;
use super::reply::Reply;

/// What is read at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// As many events as are asked for at once.
const EVENTS_MAX: usize = 1024;

/// The longest wait before the caller looks at the clock again.
pub const TICK: Duration = Duration::from_millis(20);

/// A wait shorter than this is none: the kernel's own timers are not finer.
const NO_WAIT: Duration = Duration::from_micros(100);

pub struct Fleet {
    pub clients: Vec<Client>,
    reply: Reply,
    block: Vec<u8>,
    poll: Poll,
}

/// The wait for events.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Fleet {
    /// Opens `count` connections at `path`, one after the other.
    ///
    /// # Errors
    /// One of them could not be opened.
    pub fn open(address: SocketAddr, path: &str, count: usize, reply: Reply) -> Result<Self> {
        Self::open_at(address, |_| path.to_owned(), count, reply)
    }

    /// The same with a path for each.
    ///
    /// # Errors
    /// One of them could not be opened.
    pub fn open_at(
        address: SocketAddr,
        path: impl Fn(usize) -> String,
        count: usize,
        reply: Reply,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(count);
        for index in 0..count {
            let client = Client::open(address, &path(index), reply.deflate(), index)
                .map_err(|error| format!("connection {index} of {count}: {error}"))?;
            poll.add(&client.socket, index)?;
            clients.push(client);
        }
        Ok(Self { clients, reply, block: vec![0; BLOCK_BYTES], poll })
    }

    /// Bytes received on all connections so far.
    pub fn received(&self) -> u64 {
        self.clients.iter().map(Client::received).sum()
    }

    /// Waits for events and handles them: `returned` gets each connection that replies were
    /// completed on, and how many.
    ///
    /// # Errors
    /// Of a connection, or of `returned`.
    pub fn turn(
        &mut self,
        returned: impl FnMut(usize, &mut Client, u64) -> Result<()>,
    ) -> Result<()> {
        self.turn_within(TICK, returned)
    }

    /// The same with a wait of so long at most.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn turn_within(
        &mut self,
        wait: Duration,
        mut returned: impl FnMut(usize, &mut Client, u64) -> Result<()>,
    ) -> Result<()> {
        for (index, flags) in self.poll.wait(wait)? {
            let client = &mut self.clients[index];
            if flags.contains(EventFlags::OUT) {
                client.flush()?;
            }
            if flags.intersects(!EventFlags::OUT) {
                let completed = client.receive(&mut self.block, &self.reply)?;
                if completed > 0 {
                    returned(index, client, completed)?;
                }
            }
        }
        Ok(())
    }
}

impl Poll {
    pub fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Waits for `socket` too, under the name `index`.
    pub fn add(&self, socket: impl std::os::fd::AsFd, index: usize) -> Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(index as u64), flags)?;
        Ok(())
    }

    /// Waits so long at most; returns whose events came.
    pub fn wait(&mut self, most: Duration) -> Result<impl Iterator<Item = (usize, EventFlags)>> {
        let most = if most < NO_WAIT { Duration::ZERO } else { most.min(TICK) };
        let timeout = Timespec::try_from(most)?;
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events = self.events.drain(..);
        Ok(events.map(|event| (event.data.u64() as usize, event.flags)))
    }
}
