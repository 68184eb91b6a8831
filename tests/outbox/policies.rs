//! Floor 5: what a full outbox does, each policy against a model that is as simple as can be.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use sockeye::frame::{Frame, Opcode};
use sockeye::outbox::{Run, Sent};
use sockeye::protocol::{GapNotice, Overflow};
use sockeye::{Config, Message, MessageRef, PreparedMessage, Role, SendError};

use crate::support::gate::Gate;
use crate::support::pair::frames;
use crate::support::streams::quiet_with;

/// What is encoded ahead of the kernel at least, while there is something, in bytes.
const ENCODED_BYTES: usize = 64 * 1024;

/// Messages that a broadcast may let wait under the policy to block.
const BROADCAST_MESSAGES_MAX: usize = 16 * 1024;

const POLICIES: [Overflow; 4] = [
    Overflow::Block { timeout: Duration::from_secs(1) },
    Overflow::DropNewest,
    Overflow::DropOldest,
    Overflow::Close,
];

#[derive(Clone, Debug)]
enum Op {
    Send(usize),
    Prepared(usize),
    Feed(usize),
    Latest(u64, usize),
    Run(Vec<usize>),
    /// The peer takes so many bytes.
    Drain(usize),
}

/// A message as the model sees it.
#[derive(Clone, Debug)]
struct Entry {
    id: u32,
    len: usize,
    key: Option<u64>,
    is_lost: bool,
}

/// What the peer is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Message(u32),
    Gap(u64),
    Close(u16),
}

/// Keeps the entries that were lost where they are: what a notice counts is how many of them are in a
/// row when they come to the front.
struct Model {
    config: Config,
    entries: VecDeque<Entry>,
    encoded: usize,
    is_blocked: bool,
    is_closed: bool,
    seen: Vec<Seen>,
    dropped: u64,
    replaced: u64,
    /// Given back to the caller.
    refused: u64,
}

impl Model {
    fn new(config: Config) -> Self {
        Self {
            config,
            entries: VecDeque::new(),
            encoded: 0,
            is_blocked: false,
            is_closed: false,
            seen: Vec::new(),
            dropped: 0,
            replaced: 0,
            refused: 0,
        }
    }

    fn queued(&self) -> (usize, usize) {
        let waiting = self.entries.iter().filter(|entry| !entry.is_lost);
        waiting.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.len))
    }

    fn fits(&self, len: usize, messages_max: usize) -> bool {
        let (messages, bytes) = self.queued();
        let bytes_max = self.config.outbox_bytes_max;
        messages == 0 || (messages < messages_max && bytes + len <= bytes_max)
    }

    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter_mut().find(|entry| !entry.is_lost).unwrap();
        oldest.is_lost = true;
        self.dropped += 1;
    }

    fn send(&mut self, entry: Entry) -> Result<Sent, ()> {
        if self.is_closed {
            self.refused += 1;
            return Err(());
        }
        let mut displaced = 0;
        let same = |old: &&mut Entry| !old.is_lost && old.key.is_some() && old.key == entry.key;
        if let Some(place) = self.entries.iter_mut().find(same) {
            let old = std::mem::replace(place, entry.clone());
            let (messages, bytes) = self.queued();
            if entry.len <= old.len || messages == 1 || bytes <= self.config.outbox_bytes_max {
                self.replaced += 1;
                return Ok(Sent::Replaced);
            }
            let place = self.entries.iter_mut().find(|place| place.id == entry.id).unwrap();
            *place = old;
            if self.config.overflow == Overflow::DropOldest {
                place.is_lost = true;
                self.dropped += 1;
                displaced = 1;
            }
        }
        while !self.fits(entry.len, self.config.outbox_messages_max) {
            if self.config.overflow != Overflow::DropOldest {
                return self.refuse(entry);
            }
            self.drop_oldest();
            displaced += 1;
        }
        self.entries.push_back(entry);
        Ok(if displaced == 0 { Sent::Queued } else { Sent::Displaced { messages: displaced } })
    }

    fn refuse(&mut self, mut entry: Entry) -> Result<Sent, ()> {
        match self.config.overflow {
            Overflow::DropNewest | Overflow::DropOldest => {
                self.dropped += 1;
                entry.is_lost = true;
                self.entries.push_back(entry);
            }
            Overflow::Close => {
                self.refused += 1;
                self.close();
            }
            _ => self.refused += 1,
        }
        Err(())
    }

    fn close(&mut self) {
        self.dropped += self.queued().0 as u64;
        self.entries.clear();
        self.is_closed = true;
    }

    fn feed(&mut self, entry: Entry) -> Result<Sent, ()> {
        // A gap that nobody is told of takes no place.
        let has_notice = self.config.gap_notice.is_some();
        let has_place = |entry: &Entry| !entry.is_lost || has_notice;
        let is_waiting = self.is_blocked || self.entries.iter().any(has_place);
        if self.is_closed || is_waiting {
            return self.send(entry);
        }
        if self.encoded > 0 && self.encoded + entry.len > self.config.outbox_bytes_max {
            return self.refuse(entry);
        }
        if self.encoded >= ENCODED_BYTES {
            return self.send(entry);
        }
        self.encoded += frame_len(entry.len);
        self.seen.push(Seen::Message(entry.id));
        Ok(Sent::Queued)
    }

    fn run(&mut self, entries: Vec<Entry>) -> Result<Sent, ()> {
        let count = entries.len();
        if self.is_closed {
            self.refused += count as u64;
            return Err(());
        }
        let is_fatal = matches!(self.config.overflow, Overflow::Block { .. } | Overflow::Close);
        let messages_max = match self.config.overflow {
            Overflow::Block { .. } => BROADCAST_MESSAGES_MAX,
            _ => self.config.outbox_messages_max,
        };
        let (mut displaced, mut refused) = (0, 0);
        for (index, entry) in entries.into_iter().enumerate() {
            while self.config.overflow == Overflow::DropOldest
                && !self.fits(entry.len, messages_max)
            {
                self.drop_oldest();
                displaced += 1;
            }
            if self.fits(entry.len, messages_max) {
                self.entries.push_back(entry);
                continue;
            }
            if is_fatal {
                self.dropped += (count - index) as u64;
                self.close();
                return Err(());
            }
            let _ = self.refuse(entry);
            refused += 1;
        }
        match (refused, displaced) {
            (0, 0) if count == 0 => Ok(Sent::Written),
            (0, 0) => Ok(Sent::Queued),
            (0, messages) => Ok(Sent::Displaced { messages }),
            (refused, _) if refused == count => Err(()),
            (refused, displaced) => Ok(Sent::Partly { refused, displaced }),
        }
    }

    /// As much is encoded as the connection encodes ahead; the peer takes so much of it.
    fn drain(&mut self, allowed: &mut usize) {
        loop {
            let taken = self.encoded.min(*allowed);
            self.encoded -= taken;
            *allowed -= taken;
            self.is_blocked = self.encoded > 0;
            if self.is_blocked || self.entries.is_empty() {
                break;
            }
            while self.encoded < ENCODED_BYTES && !self.entries.is_empty() {
                self.encode();
            }
            if self.encoded == 0 {
                break;
            }
        }
        if self.is_closed && !self.is_blocked && !self.seen.contains(&Seen::Close(1013)) {
            self.seen.push(Seen::Close(1013));
        }
    }

    fn encode(&mut self) {
        let mut missed = 0;
        while self.entries.front().is_some_and(|entry| entry.is_lost) {
            self.entries.pop_front();
            missed += 1;
        }
        if missed == 0 {
            let entry = self.entries.pop_front().unwrap();
            self.encoded += frame_len(entry.len);
            self.seen.push(Seen::Message(entry.id));
        } else if let Some(notice) = &self.config.gap_notice {
            self.encoded += frame_len(notice.message(missed).as_bytes().len());
            self.seen.push(Seen::Gap(missed));
        }
    }
}

/// Of a frame of a server.
fn frame_len(payload_len: usize) -> usize {
    payload_len + if payload_len < 126 { 2 } else { 4 }
}

fn payload(entry: &Entry) -> Vec<u8> {
    let mut payload = vec![0; entry.len];
    payload[..4].copy_from_slice(&entry.id.to_be_bytes());
    payload
}

fn seen(frame: &Frame) -> Seen {
    let text = || std::str::from_utf8(&frame.payload).unwrap();
    match frame.opcode {
        Opcode::Text => Seen::Gap(text().strip_prefix("missed ").unwrap().parse().unwrap()),
        Opcode::Close => Seen::Close(u16::from_be_bytes([frame.payload[0], frame.payload[1]])),
        _ => Seen::Message(u32::from_be_bytes(*frame.payload.first_chunk().unwrap())),
    }
}

fn gap_notice() -> GapNotice {
    GapNotice::new(|missed| Message::text(format!("missed {missed}")))
}

/// Both sides of the comparison.
struct Comparison {
    gate: Gate,
    model: Model,
    allowed: usize,
    sent: u32,
}

impl Comparison {
    fn entry(&mut self, len: usize, key: Option<u64>) -> Entry {
        self.sent += 1;
        Entry { id: self.sent, len, key, is_lost: false }
    }

    fn act(&mut self, op: &Op) {
        let sender = self.gate.sender.clone();
        match op {
            Op::Send(len) => {
                let entry = self.entry(*len, None);
                same(sender.try_send(payload(&entry)), self.model.send(entry));
            }
            Op::Prepared(len) => {
                let entry = self.entry(*len, None);
                let message = prepared(&entry);
                same(sender.try_send_prepared(&message), self.model.send(entry));
            }
            Op::Feed(len) => {
                let entry = self.entry(*len, None);
                same(sender.feed(payload(&entry).as_slice()), self.model.feed(entry));
            }
            Op::Latest(key, len) => {
                let entry = self.entry(*len, Some(*key));
                let result = if len % 2 == 0 {
                    sender.try_send_latest(*key, payload(&entry))
                } else {
                    sender.try_send_latest_prepared(*key, &prepared(&entry))
                };
                same(result, self.model.send(entry));
            }
            Op::Run(lens) => {
                let entries: Vec<_> = lens.iter().map(|len| self.entry(*len, None)).collect();
                let mut run = Run::default();
                entries.iter().for_each(|entry| run.push(prepared(entry)));
                same(sender.try_send_run(&run), self.model.run(entries));
            }
            Op::Drain(bytes) => {
                self.gate.allow(*bytes);
                self.allowed += bytes;
                self.model.drain(&mut self.allowed);
            }
        }
        assert_eq!(sender.queued(), self.model.queued());
        assert_eq!(sender.dropped(), self.model.dropped);
    }

    /// All that is left leaves.
    fn finish(mut self) {
        for _ in 0..4 {
            self.act(&Op::Drain(1 << 30));
        }
        let seen: Vec<_> = frames(&self.gate.take(), Role::Server).iter().map(seen).collect();
        assert_eq!(seen, self.model.seen);
        let Model { dropped, replaced, refused, .. } = self.model;
        let delivered = seen.iter().filter(|seen| matches!(seen, Seen::Message(_))).count() as u64;
        assert_eq!(u64::from(self.sent), delivered + dropped + replaced + refused);
        let missed = seen.iter().map(|seen| if let Seen::Gap(missed) = seen { *missed } else { 0 });
        let missed: u64 = missed.sum();
        let is_told = self.model.config.gap_notice.is_some() && !self.model.is_closed;
        assert_eq!(missed, if is_told { dropped } else { 0 });
    }
}

fn prepared(entry: &Entry) -> PreparedMessage {
    PreparedMessage::new(MessageRef::Binary(&payload(entry)))
}

#[track_caller]
fn same(result: Result<Sent, SendError>, expected: Result<Sent, ()>) {
    assert_eq!(result.map_err(drop), expected, "{result:?}");
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let len = || prop_oneof![8 => 4..200_usize, 4 => 200..3000_usize, 1 => 3000..60_000_usize];
    let op = prop_oneof![
        4 => len().prop_map(Op::Send),
        1 => len().prop_map(Op::Prepared),
        2 => len().prop_map(Op::Feed),
        3 => (0..4_u64, len()).prop_map(|(key, len)| Op::Latest(key, len)),
        2 => prop::collection::vec(len(), 0..6).prop_map(Op::Run),
        2 => (0..100_000_usize).prop_map(Op::Drain),
    ];
    prop::collection::vec(op, 0..120)
}

fn configs() -> impl Strategy<Value = Config> {
    let policy = prop::sample::select(POLICIES.to_vec());
    let bytes_max = prop_oneof![100..5000_usize, 5000..200_000_usize];
    (policy, 0..9_usize, bytes_max, any::<bool>()).prop_map(
        |(overflow, messages_max, bytes_max, is_told)| {
            quiet_with(|config| {
                config.overflow = overflow;
                config.outbox_messages_max = messages_max;
                config.outbox_bytes_max = bytes_max;
                config.gap_notice = is_told.then(gap_notice);
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// BY-05, CN-04, CN-06, CN-07: what is delivered, dropped, replaced, told and answered is what the
    /// model says, after each step and in the end, and it adds up to what was sent.
    #[test]
    fn policies_do_as_the_model(config in configs(), ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let gate = Gate::new(config.clone());
        let model = Model::new(config);
        let mut comparison = Comparison { gate, model, allowed: 0, sent: 0 };
        comparison.act(&Op::Drain(0));
        ops.iter().for_each(|op| comparison.act(op));
        comparison.finish();
    }
}

/// CE-05: what was full may be tried again, what is closed may not.
#[test]
fn ce_05_which_errors_of_sending_pass() {
    let full = SendError::Full { messages: 1, bytes: 2 };
    assert!(full.retryable() && SendError::Timeout { timeout_ms: 1 }.retryable());
    assert!(!SendError::Closed.retryable());
}

/// A message of a key.
fn latest(gate: &Gate, key: u64, len: usize) -> Result<Sent, SendError> {
    gate.sender.try_send_latest(key, vec![7; len])
}

/// BC-06: a longer message takes the place of the one of its key where it fits to the byte.
#[tokio::test]
async fn a_longer_latest_fits_to_the_byte() {
    let mut gate = Gate::new(quiet_with(|config| {
        config.overflow = Overflow::DropNewest;
        config.outbox_bytes_max = 1000;
    }));
    // Nothing of it leaves, so it waits.
    gate.poll();
    gate.sender.try_send(vec![7; 5]).unwrap();
    latest(&gate, 1, 100).unwrap();
    assert_eq!(latest(&gate, 1, 996), Err(SendError::Full { messages: 2, bytes: 105 }));
    assert_eq!(latest(&gate, 1, 995), Ok(Sent::Replaced));
    assert_eq!(gate.sender.queued(), (2, 1000));
}

/// BC-06: room that a waiting sender was granted is not taken by a message that grows in its place.
#[tokio::test(start_paused = true)]
async fn what_was_granted_is_not_grown_into() {
    const KIB: usize = 1024;
    let mut gate = Gate::new(quiet_with(|config| {
        config.overflow = Overflow::Block { timeout: Duration::from_secs(1) };
        config.outbox_bytes_max = 300 * KIB;
    }));
    gate.poll();
    gate.sender.try_send(vec![7; 250 * KIB]).unwrap();
    latest(&gate, 1, 10 * KIB).unwrap();
    let sender = gate.sender.clone();
    let waiting = tokio::spawn(async move { sender.send(vec![7; 100 * KIB]).await });
    tokio::task::yield_now().await;
    // Now there is room for it, which it does not know of yet.
    gate.allow(190 * KIB);
    assert!(gate.sender.queued().1 < 100 * KIB);
    assert!(latest(&gate, 1, 250 * KIB).is_err());
    tokio::task::yield_now().await;
    assert_eq!(waiting.await.unwrap(), Ok(Sent::Queued));
    assert_eq!(gate.sender.queued().0, 3);
}

/// BC-06, BC-07: one that does not fit in its place is dropped first, then others, and the notice counts them together.
#[tokio::test]
async fn a_latest_that_grows_out_of_its_place() {
    let mut gate = Gate::new(quiet_with(|config| {
        config.overflow = Overflow::DropOldest;
        config.outbox_bytes_max = 1000;
        config.gap_notice = Some(GapNotice::new(|missed| Message::text(missed.to_string())));
    }));
    gate.poll();
    gate.sender.try_send(vec![1; 400]).unwrap();
    latest(&gate, 1, 100).unwrap();
    gate.sender.try_send(vec![2; 400]).unwrap();
    assert_eq!(latest(&gate, 1, 300), Ok(Sent::Displaced { messages: 2 }));
    assert_eq!(gate.sender.queued(), (2, 700));
    gate.allow(usize::MAX);
    let came = frames(&gate.take(), Role::Server);
    let came: Vec<_> = came.iter().map(|frame| (frame.opcode, frame.payload.to_vec())).collect();
    let expected = [
        (Opcode::Text, b"2".to_vec()),
        (Opcode::Binary, vec![2; 400]),
        (Opcode::Binary, vec![7; 300]),
    ];
    assert_eq!(came, expected);
}
