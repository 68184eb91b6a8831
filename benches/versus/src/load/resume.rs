//! Sessions whose connections are all lost, and that all come back at once: `--connections`, `--missed` events each.
//!
//! For a server of the event protocol at `/ws` that tells everybody what comes with the event `say`.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde_json::{Value, json};

use super::client::{KEY, connect};
use super::fleet::{Poll, TICK};
use super::histogram::Histogram;
use super::{PATIENCE, Result};
use crate::cpu_time;
use crate::frame;
use crate::options::Options;
use crate::upgrade;

/// What is read at once.
const BLOCK_BYTES: usize = 16 * 1024;

/// A server that used less than this in one look has nothing to do.
const ASLEEP_NS: u64 = 500_000;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What a client keeps of its session.
#[derive(Clone, Default)]
struct Kept {
    id: String,
    token: String,
    /// Events that count.
    received: u64,
}

/// A connection until it has its session and all that this has missed.
struct Comer {
    socket: TcpStream,
    begin: Instant,
    bytes: Vec<u8>,
    is_upgraded: bool,
    is_open: bool,
    kept: Kept,
}

pub fn run(options: &Options, address: SocketAddr) -> Result<()> {
    let count = options.value("connections", 10_000);
    let (missed, at_once) = (options.value("missed", 4), options.value("at-once", 1_000));
    let server = options.text("pid").map(str::parse).transpose()?;
    let cpu_ns = || Ok(server.map(cpu_time::of_process).transpose()?);
    let mut kept = vec![Kept::default(); count];
    for round in 0..=options.value("rounds", 3) {
        let before_ns = cpu_ns()?;
        let mut latencies = Histogram::default();
        let began = Instant::now();
        // Who comes for the first time has missed nothing.
        let awaited = if round == 0 { 0 } else { missed };
        let comers = come(address, &mut kept, awaited, at_once, &mut latencies)?;
        let seconds = began.elapsed().as_secs_f64();
        let used_ns = cpu_ns()?.zip(before_ns).map(|(after, before)| after - before);
        let line = json!({
            "round": round,
            "sessions": count,
            "missed": awaited,
            "seconds": seconds,
            "per_second": count as f64 / seconds,
            "p50_us": latencies.quantile(0.5) as f64 / 1e3,
            "p99_us": latencies.quantile(0.99) as f64 / 1e3,
            "max_us": latencies.max() as f64 / 1e3,
            "server_cpu_us_each": used_ns.map(|used| used as f64 / 1e3 / count as f64),
        });
        println!("{line}");
        drop(comers);
        asleep(cpu_ns)?;
        say(address, missed)?;
        asleep(cpu_ns)?;
    }
    Ok(())
}

/// Waits until the server has noticed what there is to notice.
fn asleep(cpu_ns: impl Fn() -> Result<Option<u64>>) -> Result<()> {
    let begin = Instant::now();
    let mut before = cpu_ns()?;
    loop {
        thread::sleep(LOOK);
        let after = cpu_ns()?;
        match after.zip(before) {
            Some((after, before)) if after - before > ASLEEP_NS => {}
            _ => return Ok(()),
        }
        if begin.elapsed() > PATIENCE {
            return Err("the server does not come to rest".into());
        }
        before = after;
    }
}

/// All of them, at most `at_once` of them on their way.
fn come(
    address: SocketAddr,
    kept: &mut [Kept],
    awaited: u64,
    at_once: usize,
    latencies: &mut Histogram,
) -> Result<Vec<Comer>> {
    let mut poll = Poll::new()?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut comers: Vec<Comer> = Vec::with_capacity(kept.len());
    let mut arrived = 0;
    let mut progress = Instant::now();
    while arrived < kept.len() {
        while comers.len() < kept.len() && comers.len() - arrived < at_once {
            let index = comers.len();
            let comer = Comer::begin(address, &poll, index, kept[index].clone())?;
            comers.push(comer);
        }
        let events: Vec<_> = poll.wait(TICK)?.collect();
        for (index, _) in events {
            let comer = &mut comers[index];
            if comer.proceed(&mut block, kept[index].received + awaited)? {
                latencies.add(comer.begin.elapsed().as_nanos() as u64, 1);
                kept[index] = comer.kept.clone();
                arrived += 1;
                progress = Instant::now();
            }
        }
        if progress.elapsed() > PATIENCE {
            return Err(format!("{arrived} of {} have come, and no more", kept.len()).into());
        }
    }
    Ok(comers)
}

/// Says so many things to everybody, over a connection of its own.
fn say(address: SocketAddr, count: u64) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut speaker = Comer::begin(address, &poll, 0, Kept::default())?;
    let begin = Instant::now();
    let mut is_there = false;
    while !is_there || speaker.kept.received < count {
        let events: Vec<_> = poll.wait(TICK)?.collect();
        for _ in events {
            speaker.proceed(&mut block, count)?;
        }
        if speaker.is_open && !is_there {
            is_there = true;
            for n in 0..count {
                let text = json!({"v": "1.0", "e": "say", "p": {"n": n, "text": "x".repeat(40)}});
                speaker.send(frame::TEXT, text.to_string().as_bytes())?;
            }
        }
        if begin.elapsed() > PATIENCE {
            return Err("what was said was not told".into());
        }
    }
    // A session that is over, so that the next round has as many as this one.
    speaker.send(frame::CLOSE, &1000u16.to_be_bytes())
}

impl Comer {
    fn begin(address: SocketAddr, poll: &Poll, index: usize, kept: Kept) -> Result<Self> {
        let begin = Instant::now();
        let socket = connect(address, index)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let path = if kept.id.is_empty() { "/ws" } else { "/ws?resume=1" };
        send_whole(&socket, upgrade::request(path, KEY).as_bytes())?;
        poll.add(&socket, index)?;
        let bytes = Vec::new();
        Ok(Self { socket, begin, bytes, is_upgraded: false, is_open: false, kept })
    }

    fn send(&self, first: u8, payload: &[u8]) -> Result<()> {
        send_whole(&self.socket, &frame::client_frame(first, payload, [1, 2, 3, 4]))
    }

    /// Does what the bytes there ask for; returns whether by that it has come to so many events.
    fn proceed(&mut self, block: &mut [u8], received: u64) -> Result<bool> {
        let was_there = self.is_there(received);
        loop {
            match recv(&self.socket, &mut *block, RecvFlags::empty()) {
                Ok((0, _)) => return Err("the server left".into()),
                Ok((len, _)) => self.bytes.extend_from_slice(&block[..len]),
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if !self.is_upgraded {
            let Some(len) = upgrade::parse_response(&self.bytes, KEY)? else {
                return Ok(false);
            };
            self.bytes.drain(..len);
            self.is_upgraded = true;
            if !self.kept.id.is_empty() {
                let Kept { id, token, received } = &self.kept;
                let payload = json!({"sessionId": id, "token": token, "received": received});
                let text = json!({"v": "1.0", "e": "sys.reconnect.request", "p": payload});
                self.send(frame::TEXT, text.to_string().as_bytes())?;
            }
        }
        let mut taken = 0;
        while let Some((first, payload)) = frame::whole(&self.bytes[taken..])? {
            taken += payload.end;
            let payload = &self.bytes[taken - payload.len()..taken];
            if first == frame::TEXT {
                let event: Value = serde_json::from_slice(payload)?;
                hear(&mut self.kept, &mut self.is_open, &event)?;
            }
        }
        self.bytes.drain(..taken);
        Ok(!was_there && self.is_there(received))
    }

    fn is_there(&self, received: u64) -> bool {
        self.is_open && self.kept.received >= received
    }
}

fn hear(kept: &mut Kept, is_open: &mut bool, event: &Value) -> Result<()> {
    let payload = &event["p"];
    match event["e"].as_str() {
        Some("sys.session.created" | "sys.session.restored") if payload["restored"] != false => {
            let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
            let is_same = kept.id.is_empty() || kept.id == text("sessionId");
            if !is_same || payload["sent"] != kept.received {
                return Err(format!("not the session it was: {event}").into());
            }
            (kept.id, kept.token, *is_open) = (text("sessionId"), text("token"), true);
        }
        Some("said") => kept.received += 1,
        Some("sys.ack") => {}
        _ => return Err(format!("an unexpected event: {event}").into()),
    }
    Ok(())
}

fn send_whole(socket: &TcpStream, bytes: &[u8]) -> Result<()> {
    match send(socket, bytes, SendFlags::NOSIGNAL)? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err("the kernel took only a part of a few bytes".into()),
    }
}
