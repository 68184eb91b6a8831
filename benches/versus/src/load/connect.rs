//! Connections that only come and go: handshake, close frame, its answer, the end.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::client::KEY;
use super::fleet::{Poll, TICK};
use super::window::{self, Tally};
use super::{PATIENCE, Result};
use crate::frame;
use crate::options::Options;
use crate::upgrade;

/// What is read at once: an answer to a handshake is far shorter.
const BLOCK_BYTES: usize = 4096;

/// 1000: a normal closure. Source: RFC 6455 7.4.1.
const CLOSE_PAYLOAD: [u8; 2] = 1000u16.to_be_bytes();

/// A connection on its way through.
struct Visit {
    socket: TcpStream,
    begin: Instant,
    received: Vec<u8>,
    is_upgraded: bool,
    is_closed: bool,
}

pub fn run(options: &Options, address: SocketAddr) -> Result<()> {
    let count = options.value("connections", 16);
    window::measure(options, |duration| keep_up(address, count, duration))
}

/// Keeps `count` visits under way for `duration`, then awaits the last.
fn keep_up(address: SocketAddr, count: usize, duration: Duration) -> Result<Tally> {
    let mut poll = Poll::new()?;
    let mut tally = Tally::default();
    let mut block = [0; BLOCK_BYTES];
    let end = Instant::now() + duration;
    let mut visits = Vec::new();
    for index in 0..count {
        visits.push(Some(Visit::begin(address, &poll, index)?));
    }
    while visits.iter().any(Option::is_some) {
        let events: Vec<_> = poll.wait(TICK)?.collect();
        for (index, _) in events {
            let Some(visit) = &mut visits[index] else {
                continue;
            };
            if !visit.proceed(&mut block)? {
                continue;
            }
            let now = Instant::now();
            tally.messages += 1;
            tally.latencies.add(now.duration_since(visit.begin).as_nanos() as u64, 1);
            visits[index] = None;
            if now < end {
                visits[index] = Some(Visit::begin(address, &poll, index)?);
            }
        }
        if Instant::now() > end + PATIENCE {
            return Err("a connection was not closed".into());
        }
    }
    Ok(tally)
}

impl Visit {
    fn begin(address: SocketAddr, poll: &Poll, index: usize) -> Result<Self> {
        let begin = Instant::now();
        let socket = TcpStream::connect(address)?;
        socket.set_nonblocking(true)?;
        send_whole(&socket, upgrade::request("/echo", KEY).as_bytes())?;
        poll.add(&socket, index)?;
        Ok(Self { socket, begin, received: Vec::new(), is_upgraded: false, is_closed: false })
    }

    /// Does what the bytes there ask for; returns whether the server has closed the connection.
    fn proceed(&mut self, block: &mut [u8]) -> Result<bool> {
        loop {
            let received = match recv(&self.socket, &mut *block, RecvFlags::empty()) {
                Ok((received, _)) => received,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::CONNRESET) if self.is_closed => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            if received == 0 {
                let early = "the server left without an answer to the close frame";
                return if self.is_closed { Ok(true) } else { Err(early.into()) };
            }
            self.received.extend_from_slice(&block[..received]);
            self.answer()?;
        }
    }

    fn answer(&mut self) -> Result<()> {
        if !self.is_upgraded {
            let Some(len) = upgrade::parse_response(&self.received, KEY)? else {
                return Ok(());
            };
            self.received.drain(..len);
            self.is_upgraded = true;
            let close = frame::client_frame(frame::CLOSE, &CLOSE_PAYLOAD, [1, 2, 3, 4]);
            send_whole(&self.socket, &close)?;
        }
        let &[first, len, ..] = self.received.as_slice() else {
            return Ok(());
        };
        if first != frame::CLOSE {
            return Err(format!("not a close frame: {:02x?}", self.received).into());
        }
        self.is_closed = self.received.len() >= 2 + usize::from(len);
        Ok(())
    }
}

fn send_whole(socket: &TcpStream, bytes: &[u8]) -> Result<()> {
    match send(socket, bytes, SendFlags::NOSIGNAL)? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err("the kernel took only a part of a few bytes".into()),
    }
}
