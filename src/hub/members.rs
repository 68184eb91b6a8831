//! The members of one room that one worker serves.

use std::collections::HashMap;

use crate::outbox::{Run, Sender};
use crate::protocol::PreparedMessage;

/// `places[senders[i].id()].index == i`.
#[derive(Debug, Default)]
pub(super) struct Members {
    senders: Vec<Sender>,
    places: HashMap<u64, Place>,
}

/// Where a member is, and how often it has joined: a new membership may begin before the old ends.
#[derive(Debug)]
struct Place {
    index: usize,
    joins: usize,
}

/// Consecutive broadcasts to one room.
#[derive(Debug, Default)]
pub(super) struct Batch {
    run: Run,
    /// For each message the connection that does not get it; zero for none.
    except: Vec<u64>,
    has_exceptions: bool,
}

impl Batch {
    pub(super) fn push(&mut self, message: PreparedMessage, except: u64) {
        self.run.push(message);
        self.except.push(except);
        self.has_exceptions |= except != 0;
    }

    pub(super) fn clear(&mut self) {
        self.run.clear();
        self.except.clear();
        self.has_exceptions = false;
    }

    pub(super) fn len(&self) -> usize {
        self.except.len()
    }
}

impl Members {
    pub(super) fn join(&mut self, sender: Sender) {
        if let Some(place) = self.places.get_mut(&sender.id()) {
            place.joins += 1;
            return;
        }
        self.places.insert(sender.id(), Place { index: self.senders.len(), joins: 1 });
        self.senders.push(sender);
    }

    pub(super) fn leave(&mut self, id: u64) {
        let Some(place) = self.places.get_mut(&id) else { return };
        place.joins -= 1;
        if place.joins > 0 {
            return;
        }
        let index = place.index;
        self.places.remove(&id);
        self.senders.swap_remove(index);
        let moved = self.senders.get(index).map(Sender::id);
        if let Some(place) = moved.and_then(|id| self.places.get_mut(&id)) {
            place.index = index;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// Sends the batch to the members from `first` on, as many as `count` at most; returns where to
    /// go on, or `None` when all have it.
    pub(super) fn deliver(&self, batch: &Batch, first: usize, count: usize) -> Option<usize> {
        let end = self.senders.len().min(first.saturating_add(count));
        for sender in self.senders.get(first..end).unwrap_or_default() {
            // A member that is closed or cannot hold it is its own outbox's business: it is counted
            // there, and closed by its policy; the others are not touched.
            if batch.has_exceptions && batch.except.contains(&sender.id()) {
                deliver_some(batch, sender);
            } else {
                let _ = sender.try_send_run(&batch.run);
            }
        }
        (end < self.senders.len()).then_some(end)
    }
}

/// To a member that is left out of some messages of the batch.
fn deliver_some(batch: &Batch, sender: &Sender) {
    let mut rest = Run::default();
    for (message, except) in batch.run.messages().iter().zip(&batch.except) {
        if *except != sender.id() {
            rest.push(message.clone());
        }
    }
    let _ = sender.try_send_run(&rest);
}
