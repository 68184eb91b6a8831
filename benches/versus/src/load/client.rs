//! One connection of the load generator.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketType, recv, send};

use super::histogram::Histogram;
use super::payload::Payload;
use super::reply::{Cursor, Reply};
use super::{PATIENCE, Result};
use crate::deflate::Deflate;
use crate::frame;
use crate::upgrade;

/// The nonce of every opening handshake: no server may tell.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub struct Client {
    pub socket: TcpStream,
    cursor: Cursor,
    /// The messages one after the other, again and again: as many more as may be in flight, so that from
    /// any place in the first round all of these can be sent in one call.
    frames: Vec<u8>,
    /// Of the frames of one round.
    lens: Vec<usize>,
    /// The next of them.
    next: usize,
    /// How far the kernel took the last write: `offset < round_len`.
    offset: usize,
    round_len: usize,
    /// Bytes to send, from `offset` on.
    queued: usize,
    /// A pong is cut by the kernel: nothing may stand between.
    is_in_pong: bool,
    received: u64,
    /// When what is in flight was sent, and how many messages that were.
    sent: VecDeque<(Instant, u64)>,
}

impl Client {
    /// Connects, as number `index`, and completes the opening handshake.
    ///
    /// # Errors
    /// The connection, or an answer that does not accept it.
    pub fn open(
        address: SocketAddr,
        path: &str,
        deflate: Option<Deflate>,
        index: usize,
    ) -> Result<Self> {
        let mut socket = connect(address, index)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let extension = deflate.map(Deflate::extension);
        socket.write_all(upgrade::request_with(path, KEY, extension).as_bytes())?;
        let mut head = Vec::new();
        loop {
            let mut space = [0; 2048];
            let received = socket.read(&mut space)?;
            head.extend_from_slice(&space[..received]);
            match upgrade::parse_response(&head, KEY)? {
                Some(len) if len == head.len() => {
                    check_extensions(&String::from_utf8_lossy(&head), deflate)?;
                    break;
                }
                None if received > 0 => {}
                _ => return Err("more or less than an answer to the handshake".into()),
            }
        }
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            cursor: Cursor::default(),
            frames: Vec::new(),
            lens: Vec::new(),
            next: 0,
            offset: 0,
            round_len: 0,
            queued: 0,
            is_in_pong: false,
            received: 0,
            sent: VecDeque::new(),
        })
    }

    /// Prepares to send `payload`, up to `in_flight` times at once, masked with `key`.
    pub fn prepare(&mut self, payload: &Payload, in_flight: usize, key: [u8; 4]) {
        let frames = payload.messages.iter();
        let frames = frames.map(|bytes| frame::client_frame(payload.first, bytes, key));
        let frames: Vec<_> = frames.collect();
        self.lens = frames.iter().map(Vec::len).collect();
        self.round_len = self.lens.iter().sum();
        let rounds = 1 + in_flight.div_ceil(frames.len());
        self.frames = frames.concat().repeat(rounds);
    }

    /// Bytes received so far, headers and all.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Sends the next `count` messages.
    ///
    /// # Errors
    /// The socket failed.
    pub fn send(&mut self, count: u64, now: Instant) -> Result<()> {
        self.sent.push_back((now, count));
        for _ in 0..count {
            self.queued += self.lens[self.next];
            self.next = (self.next + 1) % self.lens.len();
        }
        self.flush()
    }

    /// Sends what the kernel refused before.
    ///
    /// # Errors
    /// The socket failed.
    pub fn flush(&mut self) -> Result<()> {
        if self.is_in_pong && !self.flush_pongs()? {
            return Ok(());
        }
        while self.queued > 0 {
            let end = self.frames.len().min(self.offset + self.queued);
            let bytes = &self.frames[self.offset..end];
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.queued -= sent;
                    self.offset = (self.offset + sent) % self.round_len;
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.flush_pongs().map(|_| ())
    }

    /// Whether none is left.
    fn flush_pongs(&mut self) -> Result<bool> {
        let pongs = &mut self.cursor.pongs;
        while !pongs.is_empty() {
            match send(&self.socket, pongs, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    pongs.drain(..sent);
                    self.is_in_pong = !pongs.is_empty();
                }
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Reads all there is; returns how many replies that completes.
    ///
    /// # Errors
    /// The server left, or replied what it should not.
    pub fn receive(&mut self, block: &mut [u8], reply: &Reply) -> Result<u64> {
        let mut completed = 0;
        loop {
            let received = match recv(&self.socket, &mut *block, RecvFlags::empty()) {
                Ok((0, _)) => return Err("the server closed a connection".into()),
                Ok((received, _)) => received,
                Err(Errno::AGAIN) => return Ok(completed),
                Err(error) => return Err(error.into()),
            };
            self.received += received as u64;
            completed += reply.check(&mut self.cursor, &block[..received])? as u64;
            if !self.cursor.pongs.is_empty() {
                self.flush()?;
            }
            if received < block.len() {
                return Ok(completed);
            }
        }
    }

    /// Notes the round trips of `count` messages that have returned.
    pub fn note_returned(&mut self, mut count: u64, now: Instant, latencies: &mut Histogram) {
        while count > 0 {
            let Some((sent_at, outstanding)) = self.sent.front_mut() else {
                return;
            };
            let returned = count.min(*outstanding);
            latencies.add(now.duration_since(*sent_at).as_nanos() as u64, returned);
            count -= returned;
            *outstanding -= returned;
            if *outstanding == 0 {
                self.sent.pop_front();
            }
        }
    }
}

/// The answer agrees to what is measured, and to nothing else.
fn check_extensions(head: &str, deflate: Option<Deflate>) -> Result<()> {
    let head = head.to_ascii_lowercase();
    let is_deflate = head.contains("permessage-deflate");
    let keeps_nothing = head.contains("server_no_context_takeover");
    match deflate {
        None if is_deflate => Err("the server compresses unasked".into()),
        Some(_) if !is_deflate => Err("the server does not compress".into()),
        Some(Deflate::Takeover) if keeps_nothing => Err("the server keeps no context".into()),
        _ => Ok(()),
    }
}

/// Connects. An address has some 28,000 ports to call from, so that the connections behind the first have other
/// addresses of loopback.
pub fn connect(address: SocketAddr, index: usize) -> Result<TcpStream> {
    const PER_SOURCE: usize = 20_000;
    let source = index / PER_SOURCE;
    if source == 0 {
        return Ok(TcpStream::connect(address)?);
    }
    let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + u32::try_from(source)?);
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    net::bind(&socket, &SocketAddr::from((source, 0)))?;
    net::connect(&socket, &address)?;
    Ok(TcpStream::from(socket))
}
