//! The clonable front of an outbox.

use crate::frame::{CloseFrame, CloseFrameError, Opcode};
use crate::protocol::{Config, Message, MessageRef, PreparedMessage};
use crate::sync::Arc;

use super::relay::Audience;
use super::{Outbox, Queued, Relay, Run, SendError, Sent};

/// Sends to one peer from anywhere: clonable, usable from any task and thread, kept by rooms.
///
/// It outlives its connection harmlessly: then every send says [`SendError::Closed`].
///
/// Cost: over plain TCP or a Unix socket a message that meets an empty outbox is written at once by
/// the caller, in one system call; else it is queued. No task is woken unless it has to do something.
///
/// That of a session outlives its connections usefully: what is sent goes to the connection that the
/// session has, or waits for the next ([`Sent::Kept`]).
#[derive(Clone, Debug)]
pub struct Sender {
    pub(super) front: Front,
}

/// What is sent goes there.
#[derive(Clone, Debug)]
pub(crate) enum Front {
    Connection(Arc<Outbox>),
    Session(Arc<Relay>),
}

impl Sender {
    pub(crate) const fn new(outbox: Arc<Outbox>) -> Self {
        Self { front: Front::Connection(outbox) }
    }

    /// The connection's number, unique in this process; a session's is that of its first connection.
    #[must_use]
    pub fn id(&self) -> u64 {
        match &self.front {
            Front::Connection(outbox) => outbox.id(),
            Front::Session(relay) => relay.id(),
        }
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
        match &self.front {
            Front::Connection(outbox) => note(outbox, outbox.send(message, None), bytes),
            Front::Session(relay) => relay.send(message),
        }
    }

    /// Sends or queues a prepared message, without waiting.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<Sent, SendError> {
        self.send_prepared(Audience::One, message)
    }

    /// The same of one that each node of a cluster says to its own.
    #[allow(dead_code, reason = "for hubs")]
    pub(crate) fn try_broadcast(&self, message: &PreparedMessage) -> Result<Sent, SendError> {
        self.send_prepared(Audience::Many, message)
    }

    fn send_prepared(
        &self,
        audience: Audience,
        message: &PreparedMessage,
    ) -> Result<Sent, SendError> {
        let bytes = message.payload().len();
        match &self.front {
            Front::Connection(outbox) => note(outbox, outbox.send_prepared(message), bytes),
            Front::Session(relay) => relay.send_prepared(audience, message),
        }
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
        self.send_latest(key, || Queued::Message(message.clone()))
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
        self.send_latest(key, || Queued::Prepared(message.clone()))
    }

    fn send_latest(&self, key: u64, make: impl Fn() -> Queued) -> Result<Sent, SendError> {
        match &self.front {
            Front::Connection(outbox) => {
                let item = make();
                let bytes = item.bytes();
                note(outbox, outbox.send_latest(key, item), bytes)
            }
            Front::Session(relay) => relay.send_latest(key, make),
        }
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
        match &self.front {
            Front::Connection(outbox) => {
                note(outbox, outbox.feed(message), message.as_bytes().len())
            }
            Front::Session(relay) => relay.feed(message),
        }
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
        self.send_run(Audience::One, run)
    }

    /// The same of what each node of a cluster says to its own.
    #[allow(dead_code, reason = "for hubs")]
    pub(crate) fn try_broadcast_run(&self, run: &Run) -> Result<Sent, SendError> {
        self.send_run(Audience::Many, run)
    }

    fn send_run(&self, audience: Audience, run: &Run) -> Result<Sent, SendError> {
        match &self.front {
            Front::Connection(outbox) => outbox.send_run(run),
            Front::Session(relay) => relay.send_run(audience, run),
        }
    }

    /// Begins the closing handshake after what is queued; later sends say [`SendError::Closed`]. A message
    /// that is being written piece by piece is not waited for: it and what is behind it are given up.
    ///
    /// What the peer sends from then on reaches a [`Receiver`](crate::Receiver) as far as it is read or fits in what
    /// may be [read ahead](crate::protocol::Config::read_ahead_messages_max): more is dropped, for the closing
    /// handshake waits for nobody.
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), CloseFrameError> {
        self.request_close(CloseFrame::new(code, reason)?);
        Ok(())
    }

    pub(crate) fn request_close(&self, frame: CloseFrame) {
        match &self.front {
            Front::Connection(outbox) => outbox.request_close(frame),
            Front::Session(relay) => relay.request_close(frame),
        }
    }

    /// Whether nothing can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.front {
            Front::Connection(outbox) => outbox.is_closed(),
            Front::Session(relay) => relay.is_ended(),
        }
    }

    /// Messages and payload bytes that wait to be written.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        match &self.front {
            Front::Connection(outbox) => outbox.queued(),
            Front::Session(relay) => relay.queued(),
        }
    }

    /// Messages that a full outbox did not take or threw out, and those that it could not hand to the socket
    /// before the connection's end. Not among them are those
    /// that the caller was given back ([`SendError::Full`] under `Block` and `Close`), and those that
    /// were [replaced](Sent::Replaced).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.current().map_or(0, |outbox| outbox.dropped())
    }

    pub(crate) const fn front(&self) -> &Front {
        &self.front
    }

    /// The outbox of the connection, if there is one now.
    pub(crate) fn current(&self) -> Option<Arc<Outbox>> {
        match &self.front {
            Front::Connection(outbox) => Some(outbox.clone()),
            Front::Session(relay) => relay.outbox(),
        }
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        match &self.front {
            Front::Connection(outbox) => outbox.config(),
            Front::Session(relay) => relay.config(),
        }
    }

    /// A control frame is of a connection: there has to be one.
    fn send_control(&self, message: Message) -> Result<Sent, SendError> {
        if let Message::Close(frame) = message {
            self.request_close(frame.unwrap_or_else(CloseFrame::normal));
            return Ok(Sent::Queued);
        }
        let outbox = self.current().ok_or(SendError::Closed)?;
        let opcode = if matches!(message, Message::Ping(_)) { Opcode::Ping } else { Opcode::Pong };
        outbox.send_control(opcode, message.as_bytes())
    }
}

/// Counts a message that was taken. One that took the place of another was counted with that.
#[inline]
pub(super) fn note(
    outbox: &Outbox,
    sent: Result<Sent, SendError>,
    bytes: usize,
) -> Result<Sent, SendError> {
    if sent.is_ok_and(|sent| sent != Sent::Replaced) {
        outbox.note_sent(1, bytes);
    }
    sent
}
