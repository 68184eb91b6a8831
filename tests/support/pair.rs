//! Endpoints without I/O for tests: one alone, or two back to back with a virtual clock.
//!
//! Whatever an [`End`] writes is parsed again by [`frames`], which refuses what no peer may see.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use sockeye::frame::{CloseFrame, Frame, MaskingKeys, Opcode, Violation};
use sockeye::protocol::{
    CloseCause, CloseOutcome, Config, Endpoint, Event, Initiator, MessageRef, Role, State,
    WriteBuffer,
};

/// An event that outlives the block it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed,
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(MessageRef::Text(text)) => Self::Text(text.to_owned()),
            Event::Message(MessageRef::Binary(payload)) => Self::Binary(payload.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Closed => Self::Closed,
            other => panic!("an event these tests do not know: {other:?}"),
        }
    }
}

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// A configuration without keepalive, so that only what a test does happens.
pub(crate) fn quiet() -> Config {
    let mut config = Config::default();
    config.ping_interval = None;
    config.idle_timeout = None;
    config
}

/// One endpoint, what it has to write and what it has seen.
pub(crate) struct End {
    pub(crate) endpoint: Endpoint,
    pub(crate) out: WriteBuffer,
    pub(crate) now_ms: u64,
}

impl End {
    pub(crate) fn new(role: Role) -> Self {
        Self::with(role, quiet())
    }

    /// A client's masks repeat themselves, so that two runs can be compared.
    pub(crate) fn with(role: Role, config: Config) -> Self {
        let config = Arc::new(config);
        let endpoint = match role {
            Role::Server => Endpoint::new(role, config, 0),
            Role::Client => Endpoint::client_with_keys(config, MaskingKeys::from_seed([7; 32]), 0),
        };
        Self { endpoint, out: WriteBuffer::new(), now_ms: 0 }
    }

    /// Takes one block, to the last event.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let (mut block, mut at, mut seen) = (bytes.to_vec(), 0, Vec::new());
        loop {
            let before = at;
            let event = self.endpoint.receive(&mut block, &mut at, &mut self.out, self.now_ms);
            let Some(event) = event.map(Seen::from) else {
                break;
            };
            assert!(at > before || event == Seen::Closed, "an event that took nothing");
            assert_ne!(seen.last(), Some(&Seen::Closed), "nothing follows the end");
            seen.push(event);
        }
        assert!(
            at == block.len() || self.state() == State::Closed,
            "None means that all was taken"
        );
        seen
    }

    /// Takes the bytes in blocks that end at `cuts`.
    pub(crate) fn receive_cut(&mut self, bytes: &[u8], cuts: &[usize]) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut start = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            seen.extend(self.receive(&bytes[start..end]));
            start = end;
        }
        seen
    }

    pub(crate) fn send(&mut self, message: MessageRef<'_>) {
        self.endpoint.send(message, &mut self.out).expect("open");
    }

    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame::new(code, reason).expect("a code that may be sent");
        self.endpoint.close(Some(&frame), &mut self.out, self.now_ms);
    }

    /// Writes all output.
    pub(crate) fn flush(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.out).into_vec();
        self.endpoint.handle_flushed(self.now_ms);
        bytes
    }

    /// Writes all output and reads it as the peer would.
    pub(crate) fn flush_frames(&mut self) -> Vec<Frame> {
        let bytes = self.flush();
        frames(&bytes, self.endpoint.role())
    }

    /// When something is due. A time nobody lives to see is never.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.endpoint.poll_timeout().filter(|due_ms| *due_ms < 1 << 62)
    }

    pub(crate) fn state(&self) -> State {
        self.endpoint.state()
    }

    pub(crate) fn outcome(&self) -> &CloseOutcome {
        self.endpoint.outcome().expect("the connection is closing or closed")
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        match self.endpoint.outcome()?.cause {
            CloseCause::Violation(violation) => Some(violation),
            _ => None,
        }
    }

    /// Moves the clock to `now_ms` and does what became due on the way, each at its time.
    pub(crate) fn run_until(&mut self, now_ms: u64) {
        while let Some(due_ms) = self.due_ms().filter(|due_ms| *due_ms <= now_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            self.endpoint.handle_timeout(&mut self.out, self.now_ms);
            assert_ne!(self.due_ms(), Some(due_ms), "a timeout that stays due spins");
        }
        self.now_ms = now_ms;
    }
}

/// The frames of what `from` wrote. Panics unless a peer may see it: whole frames, masked by a
/// client only, at most one close frame, with a body that may be sent, and nothing behind it.
pub(crate) fn frames(mut bytes: &[u8], from: Role) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    while !bytes.is_empty() {
        let (frame, len) = Frame::decode(bytes).expect("lawful").expect("whole");
        assert_eq!(
            frame.mask_key.is_some(),
            from == Role::Client,
            "a client masks, a server does not"
        );
        assert!(!frame.rsv1 && !frame.rsv2 && !frame.rsv3, "reserved bits");
        let last = frames.last().map(|frame| frame.opcode);
        assert_ne!(last, Some(Opcode::Close), "nothing follows a close frame");
        if frame.opcode == Opcode::Close {
            CloseFrame::parse(&frame.payload).expect("a close body that may be sent");
        }
        frames.push(frame);
        bytes = &bytes[len..];
    }
    frames
}

/// The bytes of frames on their way to `to`: masked for a server, each with a key of its own.
pub(crate) fn to(role: Role, frames: &[Frame]) -> Vec<u8> {
    let key = |number: usize| [0xa5, 0x3c, number as u8, 0x99];
    let encode = |(number, frame): (usize, &Frame)| match role {
        Role::Server => frame.clone().masked(key(number)).encode(),
        Role::Client => frame.encode(),
    };
    frames.iter().enumerate().flat_map(encode).collect()
}

/// A fragment: a frame without FIN.
pub(crate) fn fragment(opcode: Opcode, payload: &[u8]) -> Frame {
    let mut frame = Frame::new(opcode, payload.to_vec());
    frame.fin = false;
    frame
}

/// The last fragment.
pub(crate) fn last(payload: &[u8]) -> Frame {
    Frame::new(Opcode::Continuation, payload.to_vec())
}

/// Feeds `bytes` whole, cut once at every place and byte by byte: each time the same violation,
/// answered by one close frame with its code, and then silence (RFC 6455 7.1.7). Returns what was
/// seen before.
pub(crate) fn fails_bytes(
    role: Role,
    config: &Config,
    bytes: &[u8],
    violation: Violation,
) -> Vec<Seen> {
    let singles = (1..bytes.len()).map(|cut| vec![cut]);
    let mut first: Option<Vec<Seen>> = None;
    for cuts in singles.chain([vec![], (1..bytes.len()).collect()]) {
        let mut end = End::with(role, config.clone());
        let mut seen = end.receive_cut(bytes, &cuts);
        assert_eq!(end.violation(), Some(violation), "{role:?}, cuts {cuts:?}");
        assert_eq!(seen.pop(), Some(Seen::Closed), "{role:?}, cuts {cuts:?}");
        assert_eq!(first.get_or_insert_with(|| seen.clone()), &seen, "{role:?}, cuts {cuts:?}");
        assert_failed(&mut end, violation);
    }
    first.unwrap_or_default()
}

/// The same for frames on their way to both roles.
pub(crate) fn fails(frames: &[Frame], violation: Violation) {
    fails_with(&quiet(), frames, violation);
}

pub(crate) fn fails_with(config: &Config, frames: &[Frame], violation: Violation) {
    for role in ROLES {
        fails_bytes(role, config, &to(role, frames), violation);
    }
}

/// One close frame is out, with the code; nothing gets in or out any more.
pub(crate) fn assert_failed(end: &mut End, violation: Violation) {
    let role = end.endpoint.role();
    assert_eq!(end.state(), State::Closed);
    assert_eq!(end.outcome().code, violation.close_code());
    assert_eq!(end.outcome().initiator, Initiator::Local);
    assert!(!end.outcome().clean);
    let outcome = end.outcome().clone();

    let written = end.flush_frames();
    let close = written.last().expect("a close frame");
    assert_eq!(close.opcode, Opcode::Close);
    assert_eq!(close.payload[..2], violation.close_code().as_u16().to_be_bytes());

    assert!(end.endpoint.send(MessageRef::Text("late"), &mut end.out).is_err());
    end.close(1000, "late");
    let late = to(
        role,
        &[
            Frame::ping("?"),
            Frame::text("x"),
            Frame::close(1000, "").expect("a code that may be sent"),
        ],
    );
    assert_eq!(end.receive(&late), []);
    assert_eq!(end.receive(&[0xff; 64]), []);
    assert_eq!(end.endpoint.poll_timeout(), None);
    end.endpoint.handle_timeout(&mut end.out, u64::MAX - 1);
    end.endpoint.receive_eof();
    assert!(end.out.is_empty(), "nothing after the close frame");
    assert_eq!(end.outcome(), &outcome, "the first reason stays");
}

/// Every cut of the bytes gives the same events, and none of them closes. Returns the events.
pub(crate) fn sees(role: Role, config: &Config, bytes: &[u8]) -> Vec<Seen> {
    let mut whole = End::with(role, config.clone());
    let seen = whole.receive(bytes);
    assert_eq!(whole.state(), State::Open, "{:?}", whole.endpoint.outcome());
    let output = whole.flush();
    let singles = (1..bytes.len()).map(|cut| vec![cut]);
    for cuts in singles.chain([(1..bytes.len()).collect()]) {
        let mut end = End::with(role, config.clone());
        assert_eq!(end.receive_cut(bytes, &cuts), seen, "{role:?}, cuts {cuts:?}");
        assert_eq!(end.flush(), output, "{role:?}, cuts {cuts:?}");
    }
    seen
}

pub(crate) fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A client and a server back to back.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) client_seen: Vec<Seen>,
    pub(crate) server_seen: Vec<Seen>,
    /// What was written to the server, or to the client, is lost on the way.
    pub(crate) lose_to: Option<Role>,
}

impl Pair {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            client: End::with(Role::Client, config.clone()),
            server: End::with(Role::Server, config.clone()),
            client_seen: Vec::new(),
            server_seen: Vec::new(),
            lose_to: None,
        }
    }

    /// Carries bytes both ways until nobody has anything to say.
    pub(crate) fn deliver(&mut self) {
        loop {
            let (up, down) = (self.client.flush(), self.server.flush());
            frames(&up, Role::Client);
            frames(&down, Role::Server);
            if up.is_empty() && down.is_empty() {
                return;
            }
            if self.lose_to != Some(Role::Server) && !up.is_empty() {
                self.server_seen.extend(self.server.receive(&up));
            }
            if self.lose_to != Some(Role::Client) && !down.is_empty() {
                self.client_seen.extend(self.client.receive(&down));
            }
        }
    }

    /// Moves both clocks to `until_ms`, delivering as time goes by.
    pub(crate) fn run_until(&mut self, until_ms: u64) {
        self.deliver();
        loop {
            let due = |end: &End| end.due_ms().unwrap_or(u64::MAX);
            let next_ms = due(&self.client).min(due(&self.server)).min(until_ms);
            self.client.run_until(next_ms);
            self.server.run_until(next_ms);
            self.deliver();
            if next_ms == until_ms {
                return;
            }
        }
    }
}
