//! What the handles of a bus and its task have in common.

use std::sync::atomic::AtomicU64;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::sync::{Arc, Mutex, Ordering};

use super::broker::{BusMessage, Incoming};
use super::bus::BusState;
use super::config::BusConfig;
use super::error::BusError;
use super::inbox::{Inbox, Limits};
use super::name;
use super::outgoing::Outgoing;
use super::wanted::Wanted;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: BusConfig,
    /// What all names on the wire begin with, dot included.
    prefix: String,
    pub(super) work: Mutex<Work>,
    /// There is something to do for the task.
    pub(super) changed: Notify,
    pub(super) inbox: Inbox,
    pub(super) state: watch::Sender<BusState>,
    /// Goes up whenever the broker has confirmed channels, or all is over.
    pub(super) confirmed: watch::Sender<u64>,
    pub(super) tally: Tally,
}

#[derive(Debug)]
pub(super) struct Work {
    pub(super) outgoing: Outgoing,
    pub(super) wanted: Wanted,
    /// Longest message for the broker there is, or was.
    pub(super) broker_bytes_max: usize,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// What waits is still published, if there is a connection.
    Closing,
    Closed,
}

/// What happened so far; each on its own, they are not of one moment.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) published: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) dropped_out: AtomicU64,
    pub(super) lost_out: AtomicU64,
    pub(super) dropped_in: AtomicU64,
    pub(super) too_long_in: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) connections: AtomicU64,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(config: BusConfig) -> Self {
        let limits = Limits {
            messages_max: config.incoming_messages_max,
            bytes_max: config.incoming_bytes_max,
        };
        let work = Work {
            outgoing: Outgoing::default(),
            wanted: Wanted::default(),
            broker_bytes_max: usize::MAX,
            phase: Phase::Open,
        };
        Self {
            prefix: format!("{}.", name::escape(&config.prefix)),
            work: Mutex::new(work),
            changed: Notify::new(),
            inbox: Inbox::new(limits),
            state: watch::Sender::new(BusState::Connecting),
            confirmed: watch::Sender::new(0),
            tally: Tally::default(),
            config,
        }
    }

    /// The name on the wire.
    pub(super) fn wire(&self, channel: &str) -> String {
        format!("{}{}", self.prefix, name::escape(channel))
    }

    pub(super) fn publish(&self, message: BusMessage) -> Result<(), BusError> {
        let mut work = self.work.lock();
        if work.phase != Phase::Open {
            return Err(BusError::Closed);
        }
        let (bytes, max) = (message.payload.len(), work.broker_bytes_max);
        let max = max.min(self.config.message_bytes_max);
        let pushed = match bytes > max {
            true => Err(BusError::TooLong { bytes, max }),
            false => work.outgoing.push(message, &self.config),
        };
        drop(work);
        let dropped = *pushed.as_ref().unwrap_or(&1);
        Tally::add(&self.tally.dropped_out, dropped);
        pushed?;
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn subscribe(&self, channel: &str) -> Result<(), BusError> {
        let wire = self.wire(channel);
        let mut work = self.work.lock();
        if work.phase != Phase::Open {
            return Err(BusError::Closed);
        }
        work.wanted.subscribe(&wire, channel, self.config.channels_max)?;
        drop(work);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn unsubscribe(&self, channel: &str) {
        let leaves_at = Instant::now() + self.config.unsubscribe_delay;
        self.work.lock().wanted.unsubscribe(&self.wire(channel), leaves_at);
        self.changed.notify_one();
    }

    /// What came from the broker.
    pub(super) fn receive(&self, incoming: Incoming) {
        let Incoming::Message(BusMessage { channel: wire, payload }) = incoming else {
            self.note_gap();
            return;
        };
        let Some(channel) = self.work.lock().wanted.channel(&wire) else {
            return;
        };
        if payload.len() > self.config.message_bytes_max {
            Tally::add(&self.tally.too_long_in, 1);
            return;
        }
        Tally::add(&self.tally.received, 1);
        let dropped = self.inbox.push(BusMessage { channel, payload });
        Tally::add(&self.tally.dropped_in, dropped);
    }

    pub(super) fn note_gap(&self) {
        Tally::add(&self.tally.gaps, 1);
        self.inbox.push_gap();
    }

    pub(super) fn close(&self) {
        let mut work = self.work.lock();
        if work.phase == Phase::Open {
            work.phase = Phase::Closing;
        }
        drop(work);
        self.changed.notify_one();
    }

    /// It is over, whatever was.
    pub(super) fn end(&self) {
        let mut work = self.work.lock();
        work.phase = Phase::Closed;
        let left = std::mem::take(&mut work.outgoing).len();
        drop(work);
        Tally::add(&self.tally.lost_out, left as u64);
        self.inbox.end();
        self.state.send_replace(BusState::Closed);
        self.confirmed.send_modify(|count| *count += 1);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.work.lock().phase != Phase::Open
    }
}

/// The task's own: however it ends, all is over then.
pub(super) struct Ending(pub(super) Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}
