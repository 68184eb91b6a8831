//! The members of one room that one worker serves.

use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::outbox::{Run, Sender, Sent};
use crate::protocol::PreparedMessage;
use crate::sync::IdMap;

use super::counting::us_since;
use super::metrics::Metrics;
use super::report::{Except, Report};

/// `places[senders[i].id()].index() == i`.
#[derive(Debug, Default)]
pub(super) struct Members {
    senders: Vec<Sender>,
    places: IdMap<Place>,
}

/// Where a member is, and how often it has joined: a new membership may begin before the old ends. Every
/// member of every room has one, so its numbers are small: four billion members of one room fit no memory.
#[derive(Debug)]
struct Place {
    index: u32,
    joins: u32,
}

impl Place {
    const fn index(&self) -> usize {
        self.index as usize
    }
}

fn to_index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// One broadcast to one room.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) message: PreparedMessage,
    pub(super) except: Except,
    /// Who wants to know what came of it.
    pub(super) report: Option<UnboundedSender<Report>>,
    began: Instant,
}

impl Publication {
    pub(super) fn new(
        message: PreparedMessage,
        except: Except,
        report: Option<UnboundedSender<Report>>,
    ) -> Self {
        Self { message, except, report, began: Instant::now() }
    }
}

/// What came of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// By member, for a batch of one message.
    report: Report,
    /// Messages that members' outboxes took, all together.
    deliveries: u64,
}

impl Outcome {
    /// Sends to one member, and notes what its outbox says.
    fn send(&mut self, sender: &Sender, run: &Run) {
        let result = sender.try_broadcast_run(run);
        let messages = run.messages().len();
        let taken = match result {
            Ok(Sent::Partly { refused, .. }) => messages - refused,
            Ok(_) => messages,
            Err(_) => 0,
        };
        self.deliveries += taken as u64;
        self.report.note(result, sender.config().overflow);
    }
}

/// Consecutive broadcasts to one room.
#[derive(Debug, Default)]
pub(super) struct Batch {
    run: Run,
    /// For each message who does not get it.
    except: Vec<Except>,
    has_exceptions: bool,
    report: Option<UnboundedSender<Report>>,
    /// When its first message was said.
    began: Option<Instant>,
}

impl Batch {
    pub(super) fn push(&mut self, publication: Publication) {
        let Publication { message, except, report, began } = publication;
        self.began.get_or_insert(began);
        self.run.push(message);
        self.has_exceptions |= !except.is_nobody();
        self.except.push(except);
        self.report = report;
    }

    /// Everybody has it.
    pub(super) fn end(&mut self, outcome: Outcome, metrics: &Metrics) {
        let Outcome { report, deliveries } = outcome;
        metrics.count_deliveries(deliveries);
        if let Some(began) = self.began.take() {
            metrics.record_broadcast(us_since(began));
        }
        if let Some(asked) = self.report.take() {
            // Whoever asked may have gone.
            let _ = asked.send(report);
        }
        self.run.clear();
        self.except.clear();
        self.has_exceptions = false;
    }

    pub(super) fn len(&self) -> usize {
        self.except.len()
    }

    /// To one member, unless it is left out of all of it.
    fn send_to(&self, sender: &Sender, outcome: &mut Outcome) {
        if !self.has_exceptions || !self.except.iter().any(|except| except.has(sender.id())) {
            return outcome.send(sender, &self.run);
        }
        let mut rest = Run::default();
        for (message, except) in self.run.messages().iter().zip(&self.except) {
            if !except.has(sender.id()) {
                rest.push(message.clone());
            }
        }
        if !rest.messages().is_empty() {
            outcome.send(sender, &rest);
        }
    }
}

impl Members {
    pub(super) fn join(&mut self, sender: Sender) {
        if let Some(place) = self.places.get_mut(&sender.id()) {
            place.joins += 1;
            return;
        }
        self.places.insert(sender.id(), Place { index: to_index(self.senders.len()), joins: 1 });
        self.senders.push(sender);
    }

    pub(super) fn leave(&mut self, id: u64) {
        let Some(place) = self.places.get_mut(&id) else { return };
        place.joins -= 1;
        if place.joins > 0 {
            return;
        }
        let index = place.index();
        self.places.remove(&id);
        self.senders.swap_remove(index);
        let moved = self.senders.get(index).map(Sender::id);
        if let Some(place) = moved.and_then(|id| self.places.get_mut(&id)) {
            place.index = to_index(index);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// Their connections.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.senders.iter().map(Sender::id).collect()
    }

    /// Sends the batch to the members from `first` on, as many as `count` at most; returns where to
    /// go on, or `None` when all have it.
    pub(super) fn deliver(
        &self,
        batch: &Batch,
        first: usize,
        count: usize,
        outcome: &mut Outcome,
    ) -> Option<usize> {
        let end = self.senders.len().min(first.saturating_add(count));
        for sender in self.senders.get(first..end).unwrap_or_default() {
            // A member that is closed or cannot hold it is its own outbox's business: it is counted
            // there, and closed by its policy; the others are not touched.
            batch.send_to(sender, outcome);
        }
        (end < self.senders.len()).then_some(end)
    }
}
