//! The fast face: a handler that is called with borrowed messages.

use std::task::{Context, Poll};

use crate::frame::{CloseFrame, CloseFrameError};
use crate::outbox::{Outbox, Queued, SendError, Sender};
use crate::protocol::{
    CloseOutcome, Endpoint, Message, MessageRef, PreparedMessage, State, WriteBuffer,
};
use crate::sync::Arc;

/// From here on a borrowed payload is written from where it lies instead of being copied, in bytes.
const BORROW_BYTES_MIN: usize = 64 * 1024;

/// What is written behind during one turn leaves when it is longer than this, in bytes.
pub(super) const HIGH_WATER_BYTES: usize = 128 * 1024;

/// What happens on one connection. All but [`on_message`](Self::on_message) is optional.
///
/// The callbacks are synchronous and must not block: they see payloads where they lie, without a
/// copy, and what they send leaves in one write when the frames of one read are done. For work that
/// waits, hand the message on (to a task, or a channel) and say so with
/// [`poll_ready`](Self::poll_ready).
///
/// A panic in a callback ends this connection (1011) and nothing else.
///
/// ```
/// use sockeye::{Connection, Handler, MessageRef};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
///         // Closed meanwhile: there is nobody to answer.
///         let _ = connection.send(message);
///     }
/// }
/// ```
pub trait Handler: Send + Unpin + 'static {
    /// The connection is open.
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        let _ = connection;
    }

    /// A whole message came.
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>);

    /// A message came in pieces and is owned already; by default it is handed on as any other.
    fn on_assembled(&mut self, connection: &mut Connection<'_>, message: Message) {
        if let Some(message) = message.as_data() {
            self.on_message(connection, message);
        }
    }

    /// A ping came; it is answered already.
    fn on_ping(&mut self, connection: &mut Connection<'_>, payload: &[u8]) {
        let _ = (connection, payload);
    }

    /// A pong came.
    fn on_pong(&mut self, connection: &mut Connection<'_>, payload: &[u8]) {
        let _ = (connection, payload);
    }

    /// The messages of one read are done, and what was sent is about to be written.
    fn on_turn_end(&mut self, connection: &mut Connection<'_>) {
        let _ = connection;
    }

    /// Whether the handler takes another message now. While it is pending nothing is read, so the
    /// peer is held back; writing goes on, and the peer's pong is not waited for.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// The connection is over.
    fn on_close(&mut self, outcome: &CloseOutcome) {
        let _ = outcome;
    }
}

/// A connection as its handler sees it, for the time of one callback.
#[derive(Debug)]
pub struct Connection<'a> {
    pub(super) endpoint: &'a mut Endpoint,
    pub(super) out: &'a mut WriteBuffer,
    pub(super) outbox: &'a Arc<Outbox>,
}

impl Connection<'_> {
    /// Sends a message: it leaves with all that is sent in this turn.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing.
    ///
    /// Cost: one copy into this thread's write buffer; none from 64 KiB on, which are written at once.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        let message = message.into();
        if message.as_bytes().len() >= BORROW_BYTES_MIN || !self.outbox.is_own_direct() {
            return self.send_special(message);
        }
        self.endpoint.send(message, self.out)?;
        Ok(())
    }

    /// Sends an owned message; a close message begins the closing handshake. Payloads of 16 KiB and
    /// more are not copied.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing.
    pub fn send_owned(&mut self, message: &Message) -> Result<(), SendError> {
        self.endpoint.check_open()?;
        let fragment_bytes = self.endpoint.encoder().fragment_bytes();
        match message {
            Message::Close(frame) => {
                self.outbox.request_close(frame.clone().unwrap_or_else(CloseFrame::normal));
            }
            Message::Text(_) | Message::Binary(_)
                if !self.outbox.is_own_direct() || message.as_bytes().len() > fragment_bytes =>
            {
                self.outbox.send_own(self.out, Queued::Message(message.clone()))?;
            }
            message => self.endpoint.encoder().owned(message, self.out),
        }
        Ok(())
    }

    /// Sends a message that was encoded before.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing.
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        self.endpoint.check_open()?;
        let is_short = message.payload().len() <= self.endpoint.encoder().fragment_bytes();
        if is_short && self.outbox.is_own_direct() {
            self.out.note_payload(message.payload().len());
            self.endpoint.encoder().prepared(message, self.out);
        } else {
            self.outbox.send_own(self.out, Queued::Prepared(message.clone()))?;
        }
        Ok(())
    }

    /// Begins the closing handshake after what was sent and queued.
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long.
    pub fn close(&mut self, code: u16, reason: &str) -> Result<(), CloseFrameError> {
        self.outbox.request_close(CloseFrame::new(code, reason)?);
        Ok(())
    }

    /// A clonable sender to this connection, for rooms and other tasks.
    ///
    /// Cost: one reference count.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(self.outbox.clone())
    }

    /// The connection's number, unique in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.outbox.id()
    }

    /// Where the connection is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.endpoint.state()
    }

    /// A long message, or one that may not pass what is on its way.
    #[inline(never)]
    fn send_special(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        self.endpoint.check_open()?;
        let is_direct = self.outbox.is_own_direct();
        if is_direct && self.outbox.write_through(self.out, message) {
            return Ok(());
        }
        let fragment_bytes = self.endpoint.encoder().fragment_bytes();
        if !is_direct || message.as_bytes().len() > fragment_bytes {
            return self.outbox.send_own(self.out, Queued::Message(message.to_message()));
        }
        self.endpoint.send(message, self.out)?;
        Ok(())
    }
}
