//! The clonable front of an outbox.

use crate::frame::{CloseFrame, CloseFrameError};
use crate::protocol::{Message, MessageRef, Overflow, PreparedMessage};
use crate::sync::Arc;

use super::{Outbox, Run, SendError};

/// Sends to one peer from anywhere: clonable, usable from any task and thread, kept by rooms.
///
/// It outlives its connection harmlessly: then every send says [`SendError::Closed`].
///
/// Cost: over plain TCP or a Unix socket a message that meets an empty outbox is written at once by
/// the caller, in one system call; else it is queued. No task is woken unless it has to do something.
#[derive(Clone, Debug)]
pub struct Sender {
    outbox: Arc<Outbox>,
}

impl Sender {
    pub(crate) const fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox }
    }

    /// The connection's number, unique in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.outbox.id()
    }

    /// Sends or queues a message, without waiting.
    ///
    /// # Errors
    /// [`SendError::Full`] when the outbox is full (under [`Overflow::Close`] the connection is closed
    /// with 1013 then), [`SendError::Closed`] when the connection is closing or closed.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        match message.into() {
            Message::Close(frame) => {
                self.outbox.request_close(frame.unwrap_or_else(CloseFrame::normal));
                Ok(())
            }
            message => self.apply_policy(self.outbox.send(message)),
        }
    }

    /// Sends or queues a prepared message, without waiting.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.apply_policy(self.outbox.send_prepared(message))
    }

    /// Takes a message that leaves with the connection's next flush: when its receiver is about to
    /// wait, or with the next send. For answers to messages that came together: they leave together.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    ///
    /// Cost: one copy, no system call, one short lock.
    pub fn feed<'a>(&self, message: impl Into<MessageRef<'a>>) -> Result<(), SendError> {
        self.apply_policy(self.outbox.feed(message.into()))
    }

    /// Begins the closing handshake after what is queued; later sends say [`SendError::Closed`]. A message
    /// that is being written piece by piece is not waited for: it and what is behind it are given up.
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), CloseFrameError> {
        self.outbox.request_close(CloseFrame::new(code, reason)?);
        Ok(())
    }

    /// Whether nothing can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    /// Messages and payload bytes that wait to be written.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.outbox.queued()
    }

    /// Messages that a full or dying outbox did not take or could not deliver.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    pub(crate) const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Sends or queues several prepared messages in a row, without waiting: one write when nothing is
    /// in the way. The outbox's bound in bytes holds, not its bound in messages. A peer that cannot
    /// hold them is closed with 1013, or misses them under [`Overflow::DropNewest`].
    ///
    /// # Errors
    /// [`SendError::Full`] and [`SendError::Closed`].
    pub fn try_send_run(&self, run: &Run) -> Result<(), SendError> {
        let result = self.outbox.send_run(run);
        if let Err(SendError::Full { .. }) = result {
            match self.outbox.config().overflow {
                Overflow::DropNewest => self.outbox.count_dropped(1),
                Overflow::Block { .. } | Overflow::Close => self.close_overloaded(),
            }
        }
        result
    }

    pub(crate) fn apply_policy<T>(&self, result: Result<T, SendError>) -> Result<T, SendError> {
        if let Err(SendError::Full { .. }) = result {
            match self.outbox.config().overflow {
                Overflow::Close => self.close_overloaded(),
                Overflow::DropNewest => self.outbox.count_dropped(1),
                Overflow::Block { .. } => {}
            }
        }
        result
    }

    fn close_overloaded(&self) {
        if let Ok(frame) = CloseFrame::new(1013, "send queue full") {
            self.outbox.request_close_now(frame);
        }
    }
}
