//! One connection of the load generator.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::histogram::Histogram;
use super::payload::Payload;
use super::reply::{Cursor, Reply};
use super::{PATIENCE, Result};
use crate::frame;
use crate::upgrade;

/// The nonce of every opening handshake: no server may tell.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub struct Client {
    pub socket: TcpStream,
    cursor: Cursor,
    /// As many frames as may be in flight, to be sent in one call.
    frames: Vec<u8>,
    frame_len: usize,
    /// How far into a frame the kernel took the last write: `offset < frame_len`.
    offset: usize,
    /// Bytes to send, from `offset` on.
    queued: usize,
    /// When what is in flight was sent, and how many messages that were.
    sent: VecDeque<(Instant, u64)>,
}

impl Client {
    /// Connects and completes the opening handshake.
    ///
    /// # Errors
    /// The connection, or an answer that does not accept it.
    pub fn open(address: SocketAddr, path: &str, is_deflate: bool) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let request = if is_deflate { upgrade::request_deflate } else { upgrade::request };
        socket.write_all(request(path, KEY).as_bytes())?;
        let mut head = Vec::new();
        loop {
            let mut space = [0; 2048];
            let received = socket.read(&mut space)?;
            head.extend_from_slice(&space[..received]);
            match upgrade::parse_response(&head, KEY)? {
                Some(len) if len == head.len() => {
                    let head = String::from_utf8_lossy(&head);
                    if is_deflate && !head.contains("permessage-deflate") {
                        return Err("the server does not compress".into());
                    }
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
            frame_len: 0,
            offset: 0,
            queued: 0,
            sent: VecDeque::new(),
        })
    }

    /// Prepares to send `payload`, up to `in_flight` times at once, masked with `key`.
    pub fn prepare(&mut self, payload: &Payload, in_flight: usize, key: [u8; 4]) {
        let frame = frame::client_frame(payload.first, &payload.bytes, key);
        self.frame_len = frame.len();
        self.frames = frame.repeat(in_flight);
    }

    /// Sends the message `count` times.
    ///
    /// # Errors
    /// The socket failed.
    pub fn send(&mut self, count: u64, now: Instant) -> Result<()> {
        self.sent.push_back((now, count));
        self.queued += count as usize * self.frame_len;
        self.flush()
    }

    /// Sends what the kernel refused before.
    ///
    /// # Errors
    /// The socket failed.
    pub fn flush(&mut self) -> Result<()> {
        while self.queued > 0 {
            let end = self.frames.len().min(self.offset + self.queued);
            let bytes = &self.frames[self.offset..end];
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.queued -= sent;
                    self.offset = (self.offset + sent) % self.frame_len;
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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
            completed += reply.check(&mut self.cursor, &block[..received])? as u64;
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
