//! What is to be sent while there may be no connection.

use std::collections::VecDeque;

use tokio::sync::Notify;

use crate::frame::CloseFrame;
use crate::outbox::{SendError, Sender, Sent};
use crate::protocol::{Config, Message, Overflow, millis};
use crate::sync::{Arc, Mutex};

/// A bounded queue that outlives connections. Its policy is the outbox's.
pub(super) struct Waiting {
    state: Mutex<State>,
    config: Arc<Config>,
    /// Something is there to be sent, or to be done.
    filled: Notify,
    room: Notify,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Thrown out by the policy.
    dropped: u64,
    /// Taken by a connection that ended before it could write them.
    lost: u64,
    /// Somebody wants to end it all.
    closing: Option<CloseFrame>,
    /// The connection there is.
    connection: Option<Sender>,
    is_over: bool,
}

impl Waiting {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            state: Mutex::new(State::default()),
            config,
            filled: Notify::new(),
            room: Notify::new(),
        }
    }

    pub(super) fn try_push(&self, message: Message) -> Result<Sent, SendError> {
        let mut state = self.state.lock();
        if state.is_over || state.closing.is_some() {
            return Err(SendError::Closed);
        }
        let len = message.as_bytes().len();
        let mut displaced = 0;
        while !self.fits(&state, len) {
            let full = SendError::Full { messages: state.messages.len(), bytes: state.bytes };
            match self.config.overflow {
                Overflow::DropOldest => {
                    state.pop();
                    state.dropped += 1;
                    displaced += 1;
                }
                Overflow::DropNewest => {
                    state.dropped += 1;
                    return Err(full);
                }
                Overflow::Close => {
                    state.closing = CloseFrame::new(1013, "send queue full").ok();
                    self.filled.notify_one();
                    return Err(full);
                }
                Overflow::Block { .. } => return Err(full),
            }
        }
        state.bytes += len;
        state.messages.push_back(message);
        drop(state);
        self.filled.notify_one();
        Ok(match displaced {
            0 => Sent::Queued,
            messages => Sent::Displaced { messages },
        })
    }

    pub(super) async fn push(&self, message: Message) -> Result<Sent, SendError> {
        let full = match self.try_push(message.clone()) {
            Err(full @ SendError::Full { .. }) => full,
            result => return result,
        };
        let Overflow::Block { timeout } = self.config.overflow else {
            return Err(full);
        };
        let trying = async {
            loop {
                // A permit that came since the last look is kept.
                self.room.notified().await;
                match self.try_push(message.clone()) {
                    Err(SendError::Full { .. }) => {}
                    result => return result,
                }
            }
        };
        let result = tokio::time::timeout(timeout, trying).await;
        if let Ok(Ok(_)) = result {
            // There may be room for one more who waits.
            self.room.notify_one();
        }
        result.unwrap_or(Err(SendError::Timeout { timeout_ms: millis(timeout) }))
    }

    /// The next message, which comes back unless it is [sent](InHand::sent).
    pub(super) fn take(&self) -> Option<InHand<'_>> {
        let message = self.state.lock().pop()?;
        Some(InHand { waiting: self, message, is_sent: false })
    }

    /// Waits until something is to be sent or done.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(super) fn close(&self, frame: CloseFrame) {
        let mut state = self.state.lock();
        if state.closing.is_none() {
            state.closing = Some(frame);
        }
        drop(state);
        self.filled.notify_one();
        self.room.notify_waiters();
    }

    pub(super) fn closing(&self) -> Option<CloseFrame> {
        self.state.lock().closing.clone()
    }

    pub(super) fn set_connection(&self, connection: Option<Sender>) {
        self.state.lock().connection = connection;
    }

    /// The connection there is now, if there is one.
    ///
    /// # Errors
    /// `Closed` when there will be no other.
    pub(super) fn connection(&self) -> Result<Option<Sender>, SendError> {
        let state = self.state.lock();
        if state.is_over { Err(SendError::Closed) } else { Ok(state.connection.clone()) }
    }

    /// Messages died with a connection.
    pub(super) fn note_lost(&self, messages: u64) {
        self.state.lock().lost += messages;
    }

    /// It is over: what waits is lost, and so is who waits.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        state.lost += state.messages.len() as u64;
        state.messages = VecDeque::new();
        state.bytes = 0;
        state.connection = None;
        drop(state);
        self.room.notify_waiters();
        self.room.notify_one();
    }

    pub(super) fn queued(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.messages.len(), state.bytes)
    }

    /// What the policy has thrown out, and what died with connections or at the end.
    pub(super) fn dropped_and_lost(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.dropped, state.lost)
    }

    /// One message may be longer than the bound when nothing else waits.
    fn fits(&self, state: &State, len: usize) -> bool {
        state.messages.is_empty()
            || (state.messages.len() < self.config.outbox_messages_max
                && len <= self.config.outbox_bytes_max.saturating_sub(state.bytes))
    }
}

impl State {
    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.as_bytes().len();
        Some(message)
    }
}

/// A message on its way from the queue to a connection.
pub(super) struct InHand<'a> {
    waiting: &'a Waiting,
    message: Message,
    is_sent: bool,
}

impl InHand<'_> {
    pub(super) fn message(&self) -> Message {
        self.message.clone()
    }

    /// The connection has it.
    pub(super) fn sent(mut self) {
        self.is_sent = true;
        self.waiting.room.notify_one();
    }
}

impl Drop for InHand<'_> {
    /// Nobody took it: it is the next again.
    fn drop(&mut self) {
        if !self.is_sent {
            let mut state = self.waiting.state.lock();
            state.bytes += self.message.as_bytes().len();
            state.messages.push_front(self.message.clone());
        }
    }
}
