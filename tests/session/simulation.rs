//! A simulated network under a session: cuts at any byte, late and doubled reconnects, answers that are lost,
//! a slow reader, acknowledgements at any time. Whatever happens, the client has each message once and in
//! order, or it is told that some are gone.
//!
//! A seed that fails is named and can be run alone: `SESSION_SEED=n cargo test --test session_simulation`.
//! `SESSION_SEEDS=10000` runs so many.

#![cfg(feature = "session")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chacha20::ChaCha8Rng;
use futures_util::FutureExt;
use rand_core::{Rng, SeedableRng};
use sockeye::frame::{Frame, Opcode};
use sockeye::outbox::Run;
use sockeye::session::{Opening, Resume, ResumeError, Session, SessionConfig, Sessions};
use sockeye::{
    CloseOutcome, Config, Connection, Handler, Message, MessageRef, PreparedMessage, Role,
    SendError, WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::support::pair::quiet;

/// What is wrong on purpose, so that the simulation shows that it would find it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Planted {
    Nothing,
    /// The first message behind what was received is not sent again.
    OneTooFew,
    /// The last message that was received is sent again.
    OneTooMany,
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Numbers the messages of the server: each message is the next number.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed) + 1
    }

    fn take(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Answers each message with the next number.
struct Answering {
    counter: Counter,
    sessions: Sessions,
    session: Session,
    connection: u64,
    commands: Arc<Mutex<u64>>,
}

impl Handler for Answering {
    fn on_message(&mut self, connection: &mut Connection<'_>, _: MessageRef<'_>) {
        if !self.session.count_received(self.connection) {
            return;
        }
        *self.commands.lock().unwrap() += 1;
        if connection.send(&*self.counter.peek().to_string()).is_ok() {
            self.counter.take();
        }
    }

    fn on_close(&mut self, _: &CloseOutcome) {
        self.sessions.suspend(&self.session, self.connection);
    }
}

/// The client's end of one connection: it reads what it wants to, byte by byte if need be.
struct Line {
    connection: u64,
    stream: DuplexStream,
    bytes: Vec<u8>,
    is_first: bool,
}

impl Line {
    /// Reads so many bytes of what has come; returns whole messages.
    fn read(&mut self, bytes_max: usize) -> Vec<String> {
        let mut buffer = vec![0; bytes_max];
        if let Some(Ok(len)) = self.stream.read(&mut buffer).now_or_never() {
            self.bytes.extend_from_slice(&buffer[..len]);
        }
        let mut texts = Vec::new();
        while let Ok(Some((frame, len))) = Frame::decode(&self.bytes) {
            self.bytes.drain(..len);
            if frame.opcode == Opcode::Text {
                texts.push(String::from_utf8(frame.payload.to_vec()).unwrap());
            }
        }
        texts
    }

    fn send(&mut self, text: &str) {
        let frame = Frame::text(text).masked([1, 2, 3, 4]).encode();
        // What does not fit at once is cut off with the connection; it fits.
        let _ = self.stream.write_all(&frame).now_or_never();
    }
}

struct World {
    dice: Dice,
    planted: Planted,
    config: Arc<Config>,
    kept_messages_max: usize,
    sessions: Sessions,
    counter: Counter,
    commands: Arc<Mutex<u64>>,
    session: Session,
    token: String,
    /// Messages of the session that the client has counted, and the last number it saw.
    received: u64,
    last: u64,
    said: u64,
    line: Option<Line>,
    gaps: u64,
}

fn opening(opening: &Opening<'_>) -> Message {
    Message::text(format!("{} {} {}", opening.token, opening.sent, opening.received))
}

impl World {
    fn new(seed: u64, planted: Planted) -> Self {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
        let mut config = quiet();
        config.outbox_messages_max = 1 + dice.below(64) as usize;
        let kept_messages_max = if dice.one_in(4) { 5 } else { 10_000 };
        let mut kept = SessionConfig::default();
        kept.kept_messages_max = kept_messages_max;
        kept.kept_bytes_max = 1 << 30;
        let config = Arc::new(config);
        let sessions = Sessions::new(kept);
        let (counter, commands) = (Counter::default(), Arc::default());
        let (socket, line) = connection(&mut dice, &config);
        let session = sessions.create(&socket.sender(), Some("ann"), opening).unwrap();
        let world = Self {
            dice,
            planted,
            config,
            kept_messages_max,
            sessions,
            counter,
            commands,
            session,
            token: String::new(),
            received: 0,
            last: 0,
            said: 0,
            line: Some(line),
            gaps: 0,
        };
        world.run(socket);
        world
    }

    fn run(&self, socket: WebSocket<DuplexStream>) {
        let handler = Answering {
            counter: self.counter.clone(),
            sessions: self.sessions.clone(),
            session: self.session.clone(),
            connection: socket.id(),
            commands: self.commands.clone(),
        };
        tokio::spawn(socket.run(handler));
    }

    /// Other tasks have their turns.
    async fn settle(&mut self) {
        for _ in 0..self.dice.below(6) {
            tokio::task::yield_now().await;
        }
    }

    /// The server says the next number, by some way.
    async fn say(&mut self) {
        let number = self.counter.peek().to_string();
        let sender = self.session.sender();
        let result = match self.dice.below(6) {
            0 => sender.try_send(&*number),
            1 => sender.try_send_prepared(&PreparedMessage::new(&*number)),
            2 => sender.feed(&*number),
            3 => {
                let mut run = Run::default();
                run.push(PreparedMessage::new(&*number));
                sender.try_send_run(&run)
            }
            // It may wait, and the connection may change meanwhile.
            4 => match sender.send(&*number).now_or_never() {
                Some(result) => result,
                None => return,
            },
            _ => sender.try_send_latest(number.parse().unwrap(), &*number),
        };
        match result {
            Ok(_) => self.counter.take(),
            Err(SendError::Full { .. }) => {}
            Err(error) => panic!("a session takes messages: {error}"),
        }
    }

    /// The client reads something.
    fn read(&mut self) {
        let bytes_max = 1 + self.dice.below(200) as usize;
        let Some(line) = &mut self.line else { return };
        let texts = line.read(bytes_max);
        let is_first = !texts.is_empty() && std::mem::take(&mut line.is_first);
        if is_first {
            self.open(&texts[0]);
        }
        for text in &texts[usize::from(is_first)..] {
            self.received += 1;
            let number: u64 = text.parse().unwrap();
            assert_eq!(number, self.last + 1, "each once and in order");
            self.last = number;
        }
    }

    fn open(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        self.token = words[0].to_owned();
        let planted = self.planted != Planted::Nothing;
        assert!(planted || words[1].parse() == Ok(self.received), "{text}");
        let had: u64 = words[2].parse().unwrap();
        assert!(had <= self.said, "the server has had no more than was said");
    }

    fn acknowledge(&mut self) {
        if let Some(line) = self.line.as_ref().filter(|line| !line.is_first) {
            self.session.acknowledge(line.connection, self.received).unwrap();
        }
    }

    fn ask(&mut self) {
        if let Some(line) = self.line.as_mut().filter(|line| !line.is_first) {
            line.send("say");
            self.said += 1;
        }
    }

    fn cut(&mut self) {
        self.line = None;
    }

    /// The client comes back, over a new connection; what is left of the old one it does not look at.
    async fn come_back(&mut self) {
        if self.token.is_empty() {
            // It was never told: there is nothing to come back to.
            return self.begin_anew();
        }
        let (socket, line) = connection(&mut self.dice, &self.config);
        let old = self.line.replace(line);
        let mut received = self.received;
        match self.planted {
            Planted::OneTooFew if self.dice.one_in(4) && self.session.sent() > received => {
                received += 1;
            }
            Planted::OneTooMany if self.dice.one_in(4) => received = received.saturating_sub(1),
            _ => {}
        }
        let resume = Resume {
            id: self.session.id().as_str(),
            token: &self.token,
            user: Some("ann"),
            received,
            acknowledged: 0,
            instead_of: None,
        };
        let resumed = self.sessions.resume(&socket.sender(), &resume, opening);
        if self.dice.one_in(2) {
            // The old connection may live on for a while: who reads there does not count.
            self.settle().await;
        }
        drop(old);
        match resumed {
            Ok(session) => {
                assert_eq!(session.id(), self.session.id());
                self.run(socket);
            }
            Err(ResumeError::HistoryLost) => {
                let missing = self.counter.peek() - 1 - self.last;
                let kept = self.kept_messages_max as u64;
                assert!(missing > kept, "{missing} are not too many for {kept}");
                self.begin_anew();
            }
            // What was planted may be more than there is.
            Err(ResumeError::Ahead) if self.planted != Planted::Nothing => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    /// A new session; what the old one had is lost, and the client knows.
    fn begin_anew(&mut self) {
        self.gaps += 1;
        self.sessions.end(&self.session, 4000, "");
        let (socket, line) = connection(&mut self.dice, &self.config);
        self.session = self.sessions.create(&socket.sender(), Some("ann"), opening).unwrap();
        (self.received, self.said) = (0, 0);
        self.last = self.counter.peek() - 1;
        (self.token, self.line) = (String::new(), Some(line));
        *self.commands.lock().unwrap() = 0;
        self.run(socket);
    }

    async fn step(&mut self) {
        match self.dice.below(24) {
            0 => self.cut(),
            1 | 2 => self.come_back().await,
            3 => self.acknowledge(),
            4 | 5 => self.ask(),
            6..12 => self.say().await,
            12..18 => self.read(),
            _ => self.settle().await,
        }
    }

    /// At last the network is good, and everything comes.
    async fn finish(&mut self) {
        self.come_back().await;
        for _ in 0..100_000 {
            self.read();
            tokio::task::yield_now().await;
            if self.last == self.counter.peek() - 1 {
                break;
            }
        }
        assert_eq!(self.last, self.counter.peek() - 1, "all is there");
        assert!(*self.commands.lock().unwrap() <= self.said);
        self.sessions.end(&self.session, 1000, "");
        assert_eq!((self.sessions.len(), self.sessions.kept_bytes()), (0, 0));
    }
}

fn connection(dice: &mut Dice, config: &Arc<Config>) -> (WebSocket<DuplexStream>, Line) {
    let (ours, stream) = duplex(16 + dice.below(2000) as usize);
    let socket = WebSocket::from_stream(ours, Role::Server, config);
    let connection = socket.id();
    (socket, Line { connection, stream, bytes: Vec::new(), is_first: true })
}

/// Runs a seed; how often the client was told of a gap, and how many messages there were.
fn simulate(seed: u64, planted: Planted) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, planted);
        let steps = 50 + world.dice.below(500);
        for _ in 0..steps {
            world.step().await;
        }
        let finish = tokio::time::timeout(Duration::from_secs(3600), world.finish());
        finish.await.expect("an end");
        (world.gaps, world.counter.peek() - 1)
    })
}

/// What a seed came to, without the noise of its panic.
fn fails(seed: u64, planted: Planted) -> bool {
    let failed = Rc::new(Cell::new(true));
    let is_failed = failed.clone();
    let run = std::panic::AssertUnwindSafe(move || {
        simulate(seed, planted);
        is_failed.set(false);
    });
    let _ = std::panic::catch_unwind(run);
    failed.get()
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    match (number("SESSION_SEED"), number("SESSION_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(400),
    }
}

/// BY-30, BY-31, SE-02 to SE-04, A21, row 68: every message once and in order, or the client is told.
#[test]
fn whatever_happens_each_message_comes_once_and_in_order() {
    let (mut gaps, mut messages) = (0, 0);
    for seed in seeds() {
        let run = std::panic::catch_unwind(|| simulate(seed, Planted::Nothing));
        let Ok((told, sent)) = run else {
            panic!("seed {seed} fails: SESSION_SEED={seed}");
        };
        gaps += told;
        messages += sent;
    }
    println!("{} seeds, {messages} messages, {gaps} gaps told", seeds().count());
    assert!(messages > 0);
}

/// The simulation finds what is wrong by one, in either direction.
#[test]
fn an_error_of_one_is_found() {
    for planted in [Planted::OneTooFew, Planted::OneTooMany] {
        let found = (0..20).filter(|seed| fails(*seed, planted)).count();
        assert!(found > 10, "{planted:?} was found in {found} of 20 seeds");
    }
}
