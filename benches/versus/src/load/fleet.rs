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
const TICK: Duration = Duration::from_millis(20);

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
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(count);
        for index in 0..count {
            let client = Client::open(address, path, reply.is_any())
                .map_err(|error| format!("connection {index} of {count}: {error}"))?;
            poll.add(&client.socket, index)?;
            clients.push(client);
        }
        Ok(Self { clients, reply, block: vec![0; BLOCK_BYTES], poll })
    }

    /// Waits for events and handles them: `returned` gets each connection that replies were
    /// completed on, and how many.
    ///
    /// # Errors
    /// Of a connection, or of `returned`.
    pub fn turn(
        &mut self,
        mut returned: impl FnMut(usize, &mut Client, u64) -> Result<()>,
    ) -> Result<()> {
        for (index, flags) in self.poll.wait()? {
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

    /// Waits a little; returns whose events came.
    pub fn wait(&mut self) -> Result<impl Iterator<Item = (usize, EventFlags)>> {
        let timeout = Timespec::try_from(TICK)?;
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events = self.events.drain(..);
        Ok(events.map(|event| (event.data.u64() as usize, event.flags)))
    }
}
