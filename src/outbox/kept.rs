//! What a session has sent and its client has not acknowledged.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::protocol::{Compress, Message, MessageRef, PreparedMessage, Utf8Bytes};
use crate::sync::{Arc, AtomicUsize, Ordering};

use super::item::Queued;

/// What a message costs beside its payload, in bytes.
const ENTRY_BYTES: usize = 64;

/// How much all sessions of a server may keep together, in bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { used: AtomicUsize::new(0), bytes_max }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.used() > self.bytes_max
    }
}

/// The bounds of one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptBounds {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

/// The messages of a session are numbered from 1, by counting: no number is in a frame, so that one
/// prepared message serves all. The newest are kept until they are acknowledged.
///
/// ```text
///   1 … acknowledged … base ┊ base+1 … on a wire once … │ … on none yet │ sent
///                            └──────────────── ring ──────────────────┘
/// ```
/// `base + ring.len() == sent`; `unsent <= ring.len()`, and not zero only while there is no connection. What
/// the bounds do not hold goes at the old end, and who asks for it later is told that it is gone.
pub(crate) struct Kept {
    owner: u64,
    ring: VecDeque<Entry>,
    sent: u64,
    /// As many as fit: a ring of 2^32 does not fit into memory.
    unsent: u32,
    /// How often one took the place of another; it may begin anew.
    replaced: u32,
    /// What the ring costs.
    bytes: usize,
    bounds: KeptBounds,
    budget: Arc<Budget>,
    /// What had been sent when it was last looked at how old it is.
    mark: u64,
}

pub(super) struct Entry {
    item: Queued,
    /// Of the messages with one key only the latest is wanted.
    key: Option<u64>,
}

impl Entry {
    fn cost(&self) -> usize {
        self.item.bytes() + ENTRY_BYTES
    }
}

/// A message as it goes to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptMessage {
    /// Of those with one key only the latest is wanted.
    pub(crate) key: Option<u64>,
    pub(crate) is_text: bool,
    pub(crate) compress: Compress,
    pub(crate) payload: Bytes,
}

/// What a session keeps, as it goes to another node.
#[derive(Clone, Debug, Default)]
#[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
pub(crate) struct KeptState {
    /// The number of the last message.
    pub(crate) sent: u64,
    /// How many of the last have never been on a wire.
    pub(crate) unsent: usize,
    pub(crate) messages: Vec<KeptMessage>,
}

/// It is another one after each change that a record of it would miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "without feature `pubsub` there is no record")]
pub(crate) struct KeptMark {
    sent: u64,
    unsent: u32,
    replaced: u32,
}

impl KeptMessage {
    /// `None`: it is no message of the application's.
    pub(super) fn of(item: &Queued, key: Option<u64>) -> Option<Self> {
        let auto = Compress::Auto;
        Some(match item {
            Queued::Message(Message::Text(text)) => {
                Self { key, is_text: true, compress: auto, payload: text.as_bytes().clone() }
            }
            Queued::Message(Message::Binary(payload)) => {
                Self { key, is_text: false, compress: auto, payload: payload.clone() }
            }
            Queued::Prepared(message) => Self {
                key,
                is_text: message.is_text(),
                compress: message.compression(),
                payload: message.payload_bytes(),
            },
            Queued::Latest(latest) => return Self::of(&latest.item, Some(latest.key)),
            _ => return None,
        })
    }

    /// As it is sent. Text that is none is binary.
    pub(crate) fn into_queued(self) -> Queued {
        let Self { is_text, compress, payload, .. } = self;
        let text = if is_text { Utf8Bytes::try_from(payload.clone()).ok() } else { None };
        match (text, compress) {
            (Some(text), Compress::Auto) => Queued::Message(Message::Text(text)),
            (None, Compress::Auto) => Queued::Message(Message::Binary(payload)),
            (text, compress) => {
                let message = match &text {
                    Some(text) => MessageRef::Text(text),
                    None => MessageRef::Binary(&payload),
                };
                Queued::Prepared(PreparedMessage::new(message).compress(compress))
            }
        }
    }
}

/// Why the messages from some number on cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Some of them are not kept any more.
    Lost,
    /// Not so many were sent.
    Ahead,
}

impl Kept {
    pub(crate) const fn new(owner: u64, bounds: KeptBounds, budget: Arc<Budget>) -> Self {
        let ring = VecDeque::new();
        Self { owner, ring, sent: 0, unsent: 0, bytes: 0, bounds, budget, mark: 0, replaced: 0 }
    }

    /// What another node has kept.
    #[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
    pub(crate) fn restore(
        owner: u64,
        bounds: KeptBounds,
        budget: Arc<Budget>,
        state: KeptState,
    ) -> Self {
        let KeptState { sent, unsent, messages } = state;
        let mut kept = Self::new(owner, bounds, budget);
        kept.sent = sent.saturating_sub(messages.len() as u64);
        for message in messages {
            let key = message.key;
            kept.push(message.into_queued(), key);
        }
        kept.unsent = fitting(unsent.min(kept.ring.len()));
        kept
    }

    /// What comes after so many, for another node.
    #[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
    pub(super) fn state_after(&self, received: u64) -> KeptState {
        let had = usize::try_from(received.saturating_sub(self.base())).unwrap_or(usize::MAX);
        let left = self.ring.iter().skip(had);
        let messages = left.filter_map(|entry| KeptMessage::of(&entry.item, entry.key)).collect();
        KeptState { sent: self.sent, unsent: self.unsent as usize, messages }
    }

    /// What is told of it is as it was where this is. What is acknowledged meanwhile changes nothing: it is told, and had.
    #[allow(dead_code, reason = "without feature `pubsub` there is no record")]
    pub(super) const fn change_mark(&self) -> KeptMark {
        KeptMark { sent: self.sent, unsent: self.unsent, replaced: self.replaced }
    }

    /// The number of the relay it belongs to.
    pub(super) const fn owner(&self) -> u64 {
        self.owner
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn len(&self) -> (usize, usize) {
        (self.ring.len(), self.bytes - self.ring.len() * ENTRY_BYTES)
    }

    fn base(&self) -> u64 {
        self.sent - self.ring.len() as u64
    }

    /// A message leaves for the wire.
    pub(super) fn record(&mut self, item: &Queued) {
        debug_assert_eq!(self.unsent, 0);
        match item {
            Queued::Message(message) => self.push(Queued::Message(message.clone()), None),
            Queued::Prepared(message) => self.push(Queued::Prepared(message.clone()), None),
            Queued::Latest(latest) => self.record(&latest.item),
            Queued::Own(item) => self.record(item),
            _ => {}
        }
    }

    /// A message that was written piece by piece has left whole: it cannot be had again, nor, in order,
    /// what was before it.
    pub(super) fn record_stream(&mut self) {
        self.sent += 1;
        self.forget(usize::MAX);
    }

    /// A message for which there is no connection.
    pub(super) fn push_unsent(&mut self, item: Queued) {
        match item {
            Queued::Latest(latest) => self.push_latest(latest.key, latest.item),
            Queued::Own(item) => self.push_unsent(*item),
            Queued::Message(_) | Queued::Prepared(_) => {
                self.unsent += 1;
                self.push(item, None);
            }
            _ => {}
        }
    }

    /// Takes the place of the one with the same key, where that has never been on a wire.
    fn push_latest(&mut self, key: u64, item: Queued) {
        let known = self.ring.iter_mut().rev().take(self.unsent as usize);
        if let Some(entry) = { known }.find(|entry| entry.key == Some(key)) {
            let (before, after) = (entry.item.bytes(), item.bytes());
            entry.item = item;
            self.bytes = self.bytes - before + after;
            self.replaced = self.replaced.wrapping_add(1);
            self.budget.used.fetch_add(after, Ordering::Relaxed);
            self.budget.used.fetch_sub(before, Ordering::Relaxed);
            return self.trim();
        }
        self.unsent += 1;
        self.push(item, Some(key));
    }

    fn push(&mut self, item: Queued, key: Option<u64>) {
        let entry = Entry { item, key };
        let cost = entry.cost();
        self.sent += 1;
        self.bytes += cost;
        self.budget.used.fetch_add(cost, Ordering::Relaxed);
        self.ring.push_back(entry);
        self.trim();
    }

    fn trim(&mut self) {
        let KeptBounds { messages_max, bytes_max } = self.bounds;
        while (self.ring.len() > messages_max || self.bytes > bytes_max || self.budget.is_over())
            && self.forget(1) > 0
        {}
    }

    /// Forgets the oldest; returns how many there were.
    fn forget(&mut self, count: usize) -> usize {
        let count = count.min(self.ring.len());
        let cost: usize = self.ring.drain(..count).map(|entry| entry.cost()).sum();
        self.bytes -= cost;
        self.budget.used.fetch_sub(cost, Ordering::Relaxed);
        self.unsent = self.unsent.min(fitting(self.ring.len()));
        if self.ring.is_empty() {
            self.ring = VecDeque::new();
        }
        count
    }

    /// The client has had so many.
    pub(super) fn acknowledge(&mut self, received: u64) -> Result<(), Gap> {
        if received > self.sent - u64::from(self.unsent) {
            return Err(Gap::Ahead);
        }
        let count = received.saturating_sub(self.base());
        self.forget(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Whether what comes after so many is here.
    pub(super) fn check(&self, received: u64) -> Result<(), Gap> {
        if received > self.sent - u64::from(self.unsent) {
            return Err(Gap::Ahead);
        }
        if received < self.base() { Err(Gap::Lost) } else { Ok(()) }
    }

    /// Hands out what comes after so many, to be sent and kept again.
    pub(super) fn take_after(&mut self, received: u64) -> Vec<Queued> {
        // Checked before.
        let _ = self.acknowledge(received);
        let entries = std::mem::take(&mut self.ring);
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.sent -= entries.len() as u64;
        (self.bytes, self.unsent) = (0, 0);
        self.mark = self.mark.min(self.sent);
        entries.into_iter().map(|entry| entry.item).collect()
    }

    /// Forgets what was here already when this was called last.
    pub(super) fn forget_old(&mut self) {
        let count = self.mark.saturating_sub(self.base());
        self.forget(usize::try_from(count).unwrap_or(usize::MAX));
        self.mark = self.sent;
    }
}

fn fitting(messages: usize) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
