//! Acknowledgements: how many messages of the client have come.

use crate::protocol::Message;
use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering};

use super::event::system::{self, Ack};
use super::event::{Outgoing, UnwritableEvent};
use super::link::Link;

/// After so many messages one is due, and about a second after the last.
pub(super) const ACK_EVERY: usize = 16;

/// What a connection has not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Owed {
    messages: AtomicUsize,
    is_listed: AtomicBool,
}

impl Link {
    /// Counts a message of the client. False: another connection has the session, and handles it.
    pub(super) fn count(self: &Arc<Self>) -> bool {
        if !self.session.count_received(self.connection.id()) {
            return false;
        }
        let owed = self.owed.messages.fetch_add(1, Ordering::Relaxed) + 1;
        if owed >= ACK_EVERY {
            self.acknowledge_now();
        } else if !self.owed.is_listed.swap(true, Ordering::Relaxed) {
            self.app.owe(self);
        }
        true
    }

    /// Its turn in the sweep.
    pub(super) fn acknowledge(&self) {
        self.owed.is_listed.store(false, Ordering::Relaxed);
        self.acknowledge_now();
    }

    fn acknowledge_now(&self) {
        if self.owed.messages.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        if let Ok(message) = self.ack() {
            // Of a connection that is gone, what came is said when it comes back.
            let _ = self.session.send_uncounted(message);
        }
    }

    fn ack(&self) -> Result<Message, UnwritableEvent> {
        let payload = &Ack::new(self.session.received());
        let ack = Outgoing { name: system::ACK, payload, correlation_id: None, timestamp: None };
        ack.to_json(self.route.codec).map(Message::text)
    }
}
