//! The event loop: one thread, edge-triggered, no system call that is not needed.

use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{RecvFlags, SocketFlags, accept_with, recv, sockopt};

use super::batch::{Batch, Rest};
use super::connection::{Connection, Phase, is_idle};
use super::large::{Large, Progress};
use super::{BLOCK_BYTES, Gone, LARGE_BYTES};
use crate::upgrade::{self, Parsed};

/// As many events as are asked for at once.
const EVENTS_MAX: usize = 1024;

/// The mark of the listener among the connections' indices.
const LISTENER: u64 = u64::MAX;

/// What a read found out about the socket.
#[derive(PartialEq, Eq)]
enum Read {
    /// It brought less than there was room for: nothing is left.
    All,
    /// There may be more.
    Some,
}

pub struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// The indices of all connections at `/chat`.
    room: Vec<usize>,
    block: Vec<u8>,
    batch: Batch,
    /// Memory for large frames that no connection uses, the last used last.
    #[expect(clippy::vec_box, reason = "the boxes move to the connections and back")]
    spare: Vec<Box<Large>>,
}

impl Server {
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        // Accepted sockets inherit it: a call less for each.
        sockopt::set_tcp_nodelay(&listener, true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            room: Vec::new(),
            block: vec![0; BLOCK_BYTES],
            batch: Batch::default(),
            spare: Vec::new(),
        })
    }

    /// Serves until the process is ended.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(error) if is_idle(error) => continue,
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                let (data, flags) = (event.data.u64(), event.flags);
                if data == LISTENER {
                    self.accept();
                } else if self.handle(data as usize, flags).is_err() {
                    self.remove(data as usize);
                }
            }
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let Ok(socket) = accept_with(&self.listener, flags) else {
            return;
        };
        let index = self.free.pop().unwrap_or(self.connections.len());
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(index as u64);
        if epoll::add(&self.epoll, &socket, data, interest).is_err() {
            return;
        }
        if index == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[index] = Some(Connection::new(socket));
    }

    fn remove(&mut self, index: usize) {
        let Some(connection) = self.connections[index].take() else {
            return;
        };
        self.free.push(index);
        if connection.phase == Phase::Chat {
            self.room.retain(|&member| member != index);
        }
    }

    fn handle(&mut self, index: usize, flags: EventFlags) -> Result<(), Gone> {
        let Some(connection) = &mut self.connections[index] else {
            return Ok(());
        };
        let was_full = connection.has_output();
        if was_full && flags.contains(EventFlags::OUT) {
            connection.flush()?;
        }
        // A short read does not tell that the peer has left as well: only a read until the end does.
        let may_end = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if !was_full && !may_end && !flags.contains(EventFlags::IN) {
            return Ok(());
        }
        loop {
            let Some(connection) = &mut self.connections[index] else {
                return Ok(());
            };
            match (connection.phase, connection.has_output()) {
                (Phase::Closing, false) => return Err(Gone),
                // Back pressure: read on when it is written. A member's room must not wait for it.
                (Phase::Closing | Phase::Echo, true) => return Ok(()),
                _ => {}
            }
            match self.read(index)? {
                Some(Read::Some) => {}
                Some(Read::All) if may_end => {}
                Some(Read::All) if !self.is_closing(index) => return Ok(()),
                Some(Read::All) => {}
                None => return Ok(()),
            }
        }
    }

    fn is_closing(&self, index: usize) -> bool {
        let connection = self.connections[index].as_ref();
        connection.is_some_and(|connection| connection.phase == Phase::Closing)
    }

    /// Reads once and does what that asks for; `None` where there was nothing.
    fn read(&mut self, index: usize) -> Result<Option<Read>, Gone> {
        let connection = self.connections[index].as_mut().ok_or(Gone)?;
        if connection.large.is_none() && connection.sends_large {
            connection.large = self.spare.pop();
        }
        if connection.large.is_some() {
            return self.read_large(index);
        }
        let carried = connection.input.len();
        self.block[..carried].copy_from_slice(&connection.input);
        let space = &mut self.block[carried..];
        let space_len = space.len();
        let received = match recv(&connection.socket, space, RecvFlags::empty()) {
            Ok((0, _)) => return Err(Gone),
            Ok((received, _)) => received,
            Err(error) if is_idle(error) => return Ok(None),
            Err(_) => return Err(Gone),
        };
        if carried > 0 {
            connection.input = Vec::new();
        }
        self.handle_block(index, carried + received)?;
        let is_all = received < space_len;
        Ok(Some(if is_all { Read::All } else { Read::Some }))
    }

    fn read_large(&mut self, index: usize) -> Result<Option<Read>, Gone> {
        let connection = self.connections[index].as_mut().ok_or(Gone)?;
        let Some(mut large) = connection.large.take() else {
            return Ok(None);
        };
        let read = match large.read(&connection.socket)? {
            Progress::Idle => None,
            Progress::Partial => Some(Read::All),
            Progress::Reply => {
                connection.sends_large = true;
                self.deliver(index, &[IoSlice::new(large.take_reply())])?;
                Some(Read::Some)
            }
            Progress::Small(bytes) => {
                connection.sends_large = false;
                let filled = bytes.len();
                let block = std::mem::replace(&mut self.block, bytes);
                let result = self.handle_block(index, filled);
                self.block = block;
                result?;
                Some(Read::Some)
            }
        };
        match &mut self.connections[index] {
            Some(connection) if large.is_taken() => connection.large = Some(large),
            _ => self.spare.push(large),
        }
        Ok(read)
    }

    fn handle_block(&mut self, index: usize, filled: usize) -> Result<(), Gone> {
        let mut start = 0;
        let connection = self.connections[index].as_mut().ok_or(Gone)?;
        if connection.phase == Phase::Upgrading {
            match upgrade::parse_request(&self.block[..filled]) {
                Parsed::Invalid => return Err(Gone),
                Parsed::Incomplete => {
                    connection.input = self.block[..filled].to_vec();
                    return Ok(());
                }
                Parsed::Request(request) => {
                    start = request.len;
                    connection.phase = phase(request.path)?;
                    connection.send(upgrade::response(request.key).as_bytes())?;
                }
            }
            if connection.phase == Phase::Chat {
                self.room.push(index);
            }
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let rest = batch.take(&mut self.block[start..filled]);
        let result = rest.and_then(|rest| self.finish(index, start..filled, &batch, rest));
        self.batch = batch;
        result
    }

    fn finish(
        &mut self,
        index: usize,
        range: std::ops::Range<usize>,
        batch: &Batch,
        rest: Rest,
    ) -> Result<(), Gone> {
        let block = std::mem::take(&mut self.block);
        let bytes = &block[range];
        let result = match batch.segment_count() {
            0 => Ok(()),
            1 => {
                let only = batch.segments(bytes).next().unwrap_or_default();
                self.deliver_checked(index, batch, &[IoSlice::new(only)])
            }
            _ => {
                let slices: Vec<_> = batch.segments(bytes).map(IoSlice::new).collect();
                self.deliver_checked(index, batch, &slices)
            }
        };
        if let Some(connection) = &mut self.connections[index] {
            keep(connection, &bytes[rest.start..], rest);
        }
        self.block = block;
        result?;
        self.control(index, batch)
    }

    fn control(&mut self, index: usize, batch: &Batch) -> Result<(), Gone> {
        let connection = self.connections[index].as_mut().ok_or(Gone)?;
        if !batch.control.is_empty() {
            connection.send(&batch.control)?;
        }
        if batch.is_closed {
            if connection.phase == Phase::Chat {
                self.room.retain(|&member| member != index);
            }
            connection.phase = Phase::Closing;
        }
        Ok(())
    }

    fn deliver_checked(
        &mut self,
        index: usize,
        batch: &Batch,
        slices: &[IoSlice<'_>],
    ) -> Result<(), Gone> {
        let is_chat = self.connections[index].as_ref().ok_or(Gone)?.phase == Phase::Chat;
        if is_chat && batch.has_fragment {
            return Err(Gone);
        }
        self.deliver(index, slices)
    }

    /// Sends `slices` back, or to every member of the sender's room.
    fn deliver(&mut self, index: usize, slices: &[IoSlice<'_>]) -> Result<(), Gone> {
        let connection = self.connections[index].as_mut().ok_or(Gone)?;
        if connection.phase != Phase::Chat {
            return connection.send_all(slices);
        }
        for &member in &self.room {
            if let Some(connection) = &mut self.connections[member] {
                // A member that fails is removed at its own event, which says so too.
                let _ = connection.send_all(slices);
            }
        }
        Ok(())
    }
}

fn keep(connection: &mut Connection, bytes: &[u8], rest: Rest) {
    match rest.header {
        _ if bytes.is_empty() => {}
        Some(header) if header.frame_len() > LARGE_BYTES => {
            connection.large = Some(Box::new(Large::new(header, bytes)));
        }
        _ => connection.input = bytes.to_vec(),
    }
}

fn phase(path: &str) -> Result<Phase, Gone> {
    match path {
        "/" | "/echo" => Ok(Phase::Echo),
        "/chat" => Ok(Phase::Chat),
        _ => Err(Gone),
    }
}
