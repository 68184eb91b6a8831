//! What waits for the broker.

use std::collections::VecDeque;

use super::broker::BusMessage;
use super::config::{BusConfig, BusOverflow};
use super::error::BusError;
use super::inbox::cost;

/// Most messages that are given to a connection at once, and most bytes but for the last message: one batch has one
/// deadline.
const BATCH_MESSAGES_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Bounded in messages and bytes; the policy says what happens beyond.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    queue: VecDeque<BusMessage>,
    bytes: usize,
}

impl Outgoing {
    /// Queues a message; how many older ones it threw out.
    pub(super) fn push(
        &mut self,
        message: BusMessage,
        config: &BusConfig,
    ) -> Result<u64, BusError> {
        let full = BusError::Full { messages: self.queue.len(), bytes: self.bytes };
        let cost = cost(&message);
        let is_full = |outgoing: &Self| {
            outgoing.queue.len() >= config.outgoing_messages_max
                || outgoing.bytes.saturating_add(cost) > config.outgoing_bytes_max
        };
        let mut dropped = 0;
        while is_full(self) {
            match config.overflow {
                BusOverflow::DropOldest if self.pop().is_some() => dropped += 1,
                _ => return Err(full),
            }
        }
        self.bytes += cost;
        self.queue.push_back(message);
        Ok(dropped)
    }

    /// The oldest ones, into an empty batch.
    pub(super) fn take(&mut self, batch: &mut Vec<BusMessage>) {
        let mut bytes = 0;
        while batch.len() < BATCH_MESSAGES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(message) = self.pop() else { return };
            bytes += cost(&message);
            batch.push(message);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    fn pop(&mut self) -> Option<BusMessage> {
        let message = self.queue.pop_front()?;
        self.bytes -= cost(&message);
        Some(message)
    }
}
