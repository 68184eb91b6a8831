//! Senders that wait for room, in the order they came.

use std::collections::BTreeMap;
use std::task::Waker;

use crate::protocol::Config;

use super::Outbox;
use super::state::State;
use super::waiting::{Bounds, Waiting};

/// Senders that wait for room. Room is granted to as many as it suffices for, the first come first;
/// until they take it, it is kept for them.
///
/// ```text
///   new ─► waiting ──room, in turn──► granted ─► message in the queue
///             │ ◄──the room is gone──────┤
///             └──────────dropped─────────┴─► gone: what it had goes to the next
/// ```
/// Who has a ticket is in one of the two, until its message is in the queue or it leaves: tickets begin anew when nobody has one.
/// Cost: logarithmic in how many wait, for each.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: BTreeMap<u64, Waiter>,
    granted: BTreeMap<u64, Waiter>,
    /// Of the granted.
    granted_bytes: usize,
    next: u64,
}

struct Waiter {
    bytes: usize,
    waker: Waker,
}

impl Waiters {
    fn wait(&mut self, ticket: Option<u64>, bytes: usize, waker: &Waker) -> u64 {
        let ticket = ticket.unwrap_or(self.next);
        self.next = self.next.max(ticket + 1);
        self.waiting.insert(ticket, Waiter { bytes, waker: waker.clone() });
        ticket
    }

    fn grant_first(&mut self) -> Option<Waker> {
        let (ticket, waiter) = self.waiting.pop_first()?;
        let waker = waiter.waker.clone();
        self.granted_bytes += waiter.bytes;
        self.granted.insert(ticket, waiter);
        Some(waker)
    }

    /// Its owner waits as before.
    fn take_back_grant(&mut self, ticket: u64) {
        if let Some(waiter) = self.granted.remove(&ticket) {
            self.granted_bytes -= waiter.bytes;
            self.waiting.insert(ticket, waiter);
        }
    }

    fn leave(&mut self, ticket: u64) {
        self.take_back_grant(ticket);
        self.waiting.remove(&ticket);
    }

    fn is_granted(&self, ticket: Option<u64>) -> bool {
        ticket.is_some_and(|ticket| self.granted.contains_key(&ticket))
    }

    /// All of them, for there is nothing to wait for any more.
    pub(super) fn take_all(&mut self) -> Vec<Waker> {
        let Self { waiting, .. } = std::mem::take(self);
        waiting.into_values().map(|waiter| waiter.waker).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.granted.is_empty()
    }

    /// Messages and bytes that room is kept for.
    #[inline]
    pub(super) fn granted(&self) -> (usize, usize) {
        (self.granted.len(), self.granted_bytes)
    }

    /// Whether nobody came before and still waits.
    #[inline]
    fn is_first(&self, ticket: Option<u64>) -> bool {
        let is_before = |first: &u64| ticket.is_some_and(|own| own <= *first);
        self.waiting.is_empty() || self.waiting.keys().next().is_none_or(is_before)
    }
}

impl Waiting {
    /// Whether a sender may put a message into the queue now: it fits, and it is the sender's turn.
    #[inline]
    pub(super) fn is_turn(&self, ticket: Option<u64>, bytes: usize, bounds: Bounds) -> bool {
        self.waiters.is_first(ticket) && self.fits(bytes, bounds)
    }

    /// The same, for the owner of a ticket as for somebody new. The room that was kept for it is
    /// taken, or given up: others may have gone beyond their bounds meanwhile, and then it waits on.
    #[inline]
    pub(super) fn take_turn(&mut self, ticket: Option<u64>, bytes: usize, bounds: Bounds) -> bool {
        if let Some(ticket) = ticket {
            self.waiters.take_back_grant(ticket);
        }
        let is_turn = self.is_turn(ticket, bytes, bounds);
        if let Some(ticket) = ticket.filter(|_| is_turn) {
            self.waiters.leave(ticket);
        }
        is_turn
    }

    /// Grants room to those who wait; they are to be woken.
    pub(super) fn grant(&mut self, bounds: Bounds) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(first) = self.waiters.waiting.values().next() {
            if !self.fits(first.bytes, bounds) {
                break;
            }
            woken.extend(self.waiters.grant_first());
        }
        woken
    }
}

/// A sender's place among those who wait for room. Dropping it leaves; room that it was granted goes
/// to the next.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    outbox: &'a Outbox,
    ticket: Option<u64>,
}

impl Outbox {
    /// The turn of somebody who does not wait yet.
    pub(crate) fn turn(&self) -> Turn<'_> {
        Turn { outbox: self, ticket: None }
    }

    /// A sender does not wait any more.
    fn leave(&self, ticket: u64) {
        let mut state = self.lock();
        let woken = state.leave(Some(ticket), self.config());
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Turn<'_> {
    /// What says to the outbox whose turn it is; `None` before the first wait.
    pub(crate) const fn ticket(&self) -> Option<u64> {
        self.ticket
    }

    /// Wakes the waker when there is room for so many bytes, or the connection is over. False: it is so
    /// now.
    pub(crate) fn wait(&mut self, bytes: usize, waker: &Waker) -> bool {
        let mut state = self.outbox.lock();
        if state.check_open().is_err() {
            return false;
        }
        let bounds = Bounds::of(self.outbox.config());
        let waiting = state.waiting.get_or_insert_default();
        if waiting.waiters.is_granted(self.ticket) || waiting.is_turn(self.ticket, bytes, bounds) {
            return false;
        }
        self.ticket = Some(waiting.waiters.wait(self.ticket, bytes, waker));
        true
    }

    /// Its message is in the queue, or nothing will ever be.
    pub(crate) fn end(&mut self) {
        self.ticket = None;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.outbox.leave(ticket);
        }
    }
}

impl State {
    /// The owner of a ticket needs no room in the queue; who has room now is to be woken.
    pub(super) fn leave(&mut self, ticket: Option<u64>, config: &Config) -> Vec<Waker> {
        if let (Some(ticket), Some(waiting)) = (ticket, &mut self.waiting) {
            waiting.waiters.leave(ticket);
            return self.grant(config);
        }
        Vec::new()
    }
}
