//! A pair of endpoints, driven by a list of operations: sends, closes, cuts, partial writes, a
//! clock that jumps, pauses, lost and damaged bytes.
//!
//! Oracles: what an endpoint writes is lawful and ends with its close frame; states only go
//! forward; the first reason stays; a timeout that was handled does not stay due; what arrives is
//! what was sent, in order, and all of it when nothing was damaged and nobody closed.

use std::sync::Arc;
use std::time::Duration;

use sockeye::frame::{CloseFrame, Opcode};
use sockeye::protocol::{
    CloseCause, CloseOutcome, Config, Endpoint, Message, MessageRef, Role, State, WriteBuffer,
};

use super::source::Source;
use super::wire::{Seen, assert_lawful, endpoint};

/// More would only repeat.
const OPERATIONS_MAX: usize = 200;

/// A byte of configuration, then operations.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let config = Arc::new(config(source.byte()));
    let mut line = Line {
        ends: [End::new(Role::Client, &config), End::new(Role::Server, &config)],
        now_ms: 0,
        is_faulty: false,
    };
    for _ in 0..OPERATIONS_MAX {
        if source.is_empty() {
            break;
        }
        line.operate(&mut source);
        line.ends.iter_mut().for_each(End::check);
    }
    line.settle();
    line.check();
}

fn config(choice: u8) -> Config {
    let mut config = Config::default();
    config.ping_interval = [None, Some(Duration::from_secs(30))][usize::from(choice & 1)];
    config.idle_timeout = [None, Some(Duration::from_secs(45))][usize::from(choice >> 1 & 1)];
    config.message_bytes_max = [16 * 1024 * 1024, 300][usize::from(choice >> 2 & 1)];
    config.pings_per_second_max = [100, 2][usize::from(choice >> 3 & 1)];
    config
}

/// One endpoint, and the bytes on their way to it.
struct End {
    endpoint: Endpoint,
    out: WriteBuffer,
    /// Everything it wrote, and how much of that is on the wire.
    written: Vec<u8>,
    /// What has been written to it and not read yet.
    incoming: Vec<u8>,
    sent: Vec<Seen>,
    seen: Vec<Seen>,
    state: State,
    outcome: Option<CloseOutcome>,
}

impl End {
    fn new(role: Role, config: &Arc<Config>) -> Self {
        Self {
            endpoint: endpoint(role, config),
            out: WriteBuffer::new(),
            written: Vec::new(),
            incoming: Vec::new(),
            sent: Vec::new(),
            seen: Vec::new(),
            state: State::Open,
            outcome: None,
        }
    }

    /// Sends `len` bytes that tell where they belong.
    fn send(&mut self, opcode: Opcode, len: usize, is_owned: bool) {
        let fill = b'a' + (self.sent.len() % 26) as u8;
        let payload = vec![fill; len];
        let text = String::from_utf8(payload.clone()).expect("ASCII");
        let (message, seen) = match opcode {
            Opcode::Text => (MessageRef::Text(&text), Seen::Text(text.clone())),
            _ => (MessageRef::Binary(&payload), Seen::Binary(payload.clone())),
        };
        let sent = if is_owned {
            self.endpoint.send_owned(&message.to_message(), &mut self.out)
        } else {
            self.endpoint.send(message, &mut self.out)
        };
        assert_eq!(sent.is_ok(), self.state == State::Open);
        if sent.is_ok() {
            self.sent.push(seen);
        }
    }

    /// Writes at most `len` bytes and tells the endpoint when nothing is left.
    fn write(&mut self, len: usize, now_ms: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !self.out.is_empty() && bytes.len() < len {
            let first = self.out.first();
            let take = first.len().min(len - bytes.len());
            bytes.extend_from_slice(&first[..take]);
            self.out.advance(take);
        }
        if self.out.is_empty() {
            self.endpoint.handle_flushed(now_ms);
        }
        self.written.extend_from_slice(&bytes);
        bytes
    }

    /// Reads at most `len` bytes.
    fn read(&mut self, len: usize, now_ms: u64) {
        let rest = self.incoming.split_off(len.min(self.incoming.len()));
        let mut block = std::mem::replace(&mut self.incoming, rest);
        let mut at = 0;
        while let Some(event) = self.endpoint.receive(&mut block, &mut at, &mut self.out, now_ms) {
            self.seen.push(event.into());
        }
        assert!(at == block.len() || self.endpoint.state() == State::Closed, "all is taken");
    }

    fn time_out(&mut self, now_ms: u64) {
        self.endpoint.handle_timeout(&mut self.out, now_ms);
        let next_ms = self.endpoint.poll_timeout();
        assert!(next_ms.is_none_or(|next_ms| next_ms > now_ms), "a timeout that stays due spins");
    }

    /// What holds after every operation.
    fn check(&mut self) {
        let order = |state| match state {
            State::Connecting => 0,
            State::Open => 1,
            State::Closing => 2,
            State::Closed => 3,
        };
        let state = self.endpoint.state();
        assert!(order(state) >= order(self.state), "{:?} after {:?}", state, self.state);
        self.state = state;
        assert_eq!(self.endpoint.outcome().is_some(), state != State::Open);
        if state == State::Closed {
            assert_eq!(self.endpoint.poll_timeout(), None, "nothing is due at the end");
        }
        let Some(now) = self.endpoint.outcome() else {
            return;
        };
        if let Some(before) = &self.outcome {
            assert_eq!(
                (before.code, &before.reason, before.initiator),
                (now.code, &now.reason, now.initiator)
            );
            assert!(now.clean || !before.clean);
        }
        self.outcome = Some(now.clone());
    }

    fn messages(&self) -> Vec<&Seen> {
        self.seen.iter().filter(|seen| matches!(seen, Seen::Text(_) | Seen::Binary(_))).collect()
    }
}

struct Line {
    ends: [End; 2],
    now_ms: u64,
    /// Bytes were lost, damaged or put in: what arrives may be anything.
    is_faulty: bool,
}

impl Line {
    fn operate(&mut self, source: &mut Source<'_>) {
        let choice = source.byte();
        let (index, now_ms) = (usize::from(choice >> 7), self.now_ms);
        let end = &mut self.ends[index];
        match choice & 0x0f {
            0 => end.send(Opcode::Text, usize::from(source.byte()), false),
            1 => end.send(Opcode::Binary, usize::from(source.byte()), choice & 0x10 != 0),
            2 => end.send(Opcode::Binary, usize::from(source.word()), choice & 0x10 != 0),
            3 => end.endpoint.ping(&mut end.out, now_ms),
            4 => {
                let ping = Message::Ping(source.take(5).to_vec().into());
                let _ = end.endpoint.send_owned(&ping, &mut end.out);
            }
            5 => self.close(index, source),
            6 | 7 => {
                let len = usize::from(source.byte());
                self.carry(index, len);
            }
            8 | 9 => {
                let len = usize::from(source.byte());
                end.read(len, now_ms);
            }
            10 => {
                self.carry(index, usize::MAX);
                self.ends[1 - index].read(usize::MAX, now_ms);
            }
            11 => {
                self.now_ms += u64::from(source.word());
                end.time_out(self.now_ms);
            }
            12 => {
                self.now_ms =
                    end.endpoint.poll_timeout().filter(|ms| *ms < 1 << 62).unwrap_or(0).max(now_ms);
                end.time_out(self.now_ms);
            }
            13 if choice & 0x10 != 0 => end.endpoint.pause(self.now_ms),
            13 => end.endpoint.resume(now_ms),
            14 => self.damage(index, source),
            _ if choice & 0x70 == 0x70 => {
                end.endpoint.receive_eof();
                self.is_faulty = true;
            }
            _ => end.time_out(now_ms),
        }
    }

    fn close(&mut self, index: usize, source: &mut Source<'_>) {
        let end = &mut self.ends[index];
        let code = source.word() % 5001;
        let reason = String::from_utf8_lossy(source.take(3)).into_owned();
        match CloseFrame::new(code, &reason) {
            Ok(frame) if code & 1 == 0 => {
                end.endpoint.close(Some(&frame), &mut end.out, self.now_ms);
            }
            Ok(frame) => {
                let _ = end.endpoint.send_owned(&Message::Close(Some(frame)), &mut end.out);
            }
            Err(_) => end.endpoint.close(None, &mut end.out, self.now_ms),
        }
    }

    /// Writes some of an end's output onto the wire.
    fn carry(&mut self, index: usize, len: usize) {
        let bytes = self.ends[index].write(len, self.now_ms);
        self.ends[1 - index].incoming.extend(bytes);
    }

    fn damage(&mut self, index: usize, source: &mut Source<'_>) {
        self.is_faulty = true;
        let (how, at) = (source.byte(), usize::from(source.byte()));
        let wire = &mut self.ends[index].incoming;
        match how % 3 {
            0 => wire.extend_from_slice(source.take(at & 0x1f)),
            1 => wire.truncate(wire.len().saturating_sub(at)),
            _ => {
                if let Some(byte) = wire.get_mut(at) {
                    *byte ^= how | 1;
                }
            }
        }
    }

    /// Carries all there is until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..8 {
            for index in [0, 1] {
                self.carry(index, usize::MAX);
                self.ends[1 - index].read(usize::MAX, self.now_ms);
                self.ends[1 - index].check();
            }
        }
        assert!(
            self.ends.iter().all(|end| end.out.is_empty() && end.incoming.is_empty()),
            "it never ends"
        );
    }

    fn check(&self) {
        for (index, end) in self.ends.iter().enumerate() {
            let role = end.endpoint.role();
            let frames = assert_lawful(&end.written, role);
            let closes = frames.iter().filter(|frame| frame.opcode == Opcode::Close).count();
            let is_lost = end.endpoint.outcome().is_some_and(|outcome| match outcome.cause {
                CloseCause::Timeout(_) | CloseCause::Eof => !outcome.clean,
                _ => false,
            });
            assert!(
                closes == usize::from(end.state != State::Open) || is_lost,
                "{:?}",
                end.outcome
            );
            if self.is_faulty {
                continue;
            }
            let sent: Vec<&Seen> = self.ends[1 - index].sent.iter().collect();
            let seen = end.messages();
            assert_eq!(seen, sent[..seen.len().min(sent.len())], "in order and nothing else");
            if self.ends.iter().all(|end| end.state == State::Open) {
                assert_eq!(seen.len(), sent.len(), "everything arrives");
            }
        }
    }
}
