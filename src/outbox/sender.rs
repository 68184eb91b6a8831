//! The clonable front of an outbox.

use crate::frame::{CloseFrame, CloseFrameError, Opcode};
use crate::protocol::{Message, MessageRef, PreparedMessage};
use crate::sync::Arc;

use super::{Outbox, Queued, Run, SendError, Sent};

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

    /// Sends or queues a message, without waiting. A ping or pong passes what waits; a close message
    /// begins the closing handshake behind it.
    ///
    /// # Errors
    /// [`SendError::Full`] when the outbox is full and its [policy](crate::protocol::Overflow) gives no
    /// room: under `DropNewest` the message is counted as [dropped](Self::dropped), under `DropOldest`
    /// this happens only to a message that no other can make room for, under `Close` the connection is
    /// closed with 1013. [`SendError::Closed`] when the connection is closing or closed. A ping or pong
    /// is refused, whatever the policy, while 64 KiB are encoded and not written.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Sent, SendError> {
        let message = message.into();
        if message.as_data().is_none() {
            return self.send_control(message);
        }
        let bytes = message.as_bytes().len();
        self.note(self.outbox.send(message, None), bytes)
    }

    /// Sends or queues a prepared message, without waiting.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<Sent, SendError> {
        self.note(self.outbox.send_prepared(message), message.payload().len())
    }

    /// Sends a message of which only the latest is wanted: a price, a position, who is typing. Where a
    /// message of the same key waits still, this one takes its place in the queue, whatever the policy;
    /// else it is sent as any other.
    ///
    /// Keys are numbers of the application's choice; they are looked up in this outbox only. A longer
    /// message that does not fit in the place of its forerunner meets the policy: `DropOldest` drops that
    /// one first and puts this one behind all others, the other policies leave it there.
    ///
    /// ```
    /// # fn example(sender: &sockeye::Sender) -> Result<(), sockeye::SendError> {
    /// use sockeye::outbox::Sent;
    ///
    /// const TEMPERATURE: u64 = 1;
    /// if sender.try_send_latest(TEMPERATURE, "21.5")? == Sent::Replaced {
    ///     // The peer is slow: it will not see every value.
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    ///
    /// Cost: one hash of the key, and where it waits one small allocation; none where it replaces another.
    pub fn try_send_latest(
        &self,
        key: u64,
        message: impl Into<Message>,
    ) -> Result<Sent, SendError> {
        let message = message.into();
        if message.as_data().is_none() {
            return self.send_control(message);
        }
        let bytes = message.as_bytes().len();
        self.note(self.outbox.send_latest(key, Queued::Message(message)), bytes)
    }

    /// The same for a prepared message.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_latest_prepared(
        &self,
        key: u64,
        message: &PreparedMessage,
    ) -> Result<Sent, SendError> {
        let sent = self.outbox.send_latest(key, Queued::Prepared(message.clone()));
        self.note(sent, message.payload().len())
    }

    /// Takes a message that leaves with the connection's next flush: when its receiver is about to
    /// wait, or with the next send. For answers to messages that came together: they leave together.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    ///
    /// Cost: one copy, no system call, one short lock.
    pub fn feed<'a>(&self, message: impl Into<MessageRef<'a>>) -> Result<Sent, SendError> {
        let message = message.into();
        self.note(self.outbox.feed(message), message.as_bytes().len())
    }

    /// Sends or queues several prepared messages in a row, without waiting: one write when nothing is
    /// in the way. Each message that has to wait meets the policy by itself. Those that are not taken
    /// are counted as [dropped](Self::dropped) under every policy, for a broadcast does not come again.
    ///
    /// Under `Block` they may wait beyond the bound in messages, up to 16,384; a peer for
    /// which this or the bound in bytes does not suffice is closed with 1013.
    ///
    /// # Errors
    /// [`SendError::Full`] when none was taken or the connection is closed for it, and
    /// [`SendError::Closed`]. Where some were not taken it is [`Sent::Partly`].
    pub fn try_send_run(&self, run: &Run) -> Result<Sent, SendError> {
        self.outbox.send_run(run)
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

    /// Messages that a full outbox did not take or threw out, and those that it could not hand to the socket
    /// before the connection's end. Not among them are those
    /// that the caller was given back ([`SendError::Full`] under `Block` and `Close`), and those that
    /// were [replaced](Sent::Replaced).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    pub(crate) const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Counts a message that was taken. One that took the place of another was counted with that.
    #[inline]
    fn note(&self, sent: Result<Sent, SendError>, bytes: usize) -> Result<Sent, SendError> {
        if sent.is_ok_and(|sent| sent != Sent::Replaced) {
            self.outbox.note_sent(1, bytes);
        }
        sent
    }

    fn send_control(&self, message: Message) -> Result<Sent, SendError> {
        match message {
            Message::Ping(payload) => self.outbox.send_control(Opcode::Ping, &payload),
            Message::Pong(payload) => self.outbox.send_control(Opcode::Pong, &payload),
            Message::Close(frame) => {
                self.outbox.request_close(frame.unwrap_or_else(CloseFrame::normal));
                Ok(Sent::Queued)
            }
            message => self.outbox.send(message, None),
        }
    }
}
