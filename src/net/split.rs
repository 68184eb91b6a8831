//! Reading and writing from different tasks.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::frame::{CloseFrame, CloseFrameError};
use crate::outbox::Sender;
use crate::protocol::{CloseCause, CloseOutcome, Message, MessageRef};
use crate::sync::{Arc, Mutex};

use super::handler::{Connection, Handler};
use super::line::ByteStream;
use super::websocket::WebSocket;

impl<S: ByteStream> WebSocket<S> {
    /// Splits into a clonable [`Sender`] for any task and one [`Receiver`].
    ///
    /// A task of its own, which the receiver owns, drives the connection from now on: pongs,
    /// keepalive and closing go on whether the application reads, writes or does neither. It reads
    /// ahead of the receiver what the config allows (64 messages or 256 KiB unless it says otherwise); then
    /// the peer is held back.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn split(self) -> (Sender, Receiver) {
        let sender = self.sender();
        let config = sender.config();
        let bounds = (config.read_ahead_messages_max.max(1), config.read_ahead_bytes_max.max(1));
        let shared = Arc::new(Mutex::new(Ahead { bounds, ..Ahead::default() }));
        let task = tokio::spawn(self.run(Relay { shared: shared.clone() }).read_while_blocked());
        let receiver = Receiver { shared, task, sender: sender.clone() };
        (sender, receiver)
    }
}

/// What the driver has read and the receiver has not taken.
#[derive(Default)]
struct Ahead {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Most messages and most bytes.
    bounds: (usize, usize),
    receiver: Option<Waker>,
    driver: Option<Waker>,
    outcome: Option<CloseOutcome>,
    is_told: bool,
}

impl Ahead {
    fn is_full(&self) -> bool {
        self.messages.len() >= self.bounds.0 || self.bytes >= self.bounds.1
    }
}

/// The driver's end of the split.
struct Relay {
    shared: Arc<Mutex<Ahead>>,
}

impl Relay {
    fn push(&self, message: Message) {
        let mut ahead = self.shared.lock();
        ahead.bytes += message.as_bytes().len();
        ahead.messages.push_back(message);
    }

    fn wake_receiver(&self) {
        let waker = self.shared.lock().receiver.take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Handler for Relay {
    fn on_message(&mut self, _: &mut Connection<'_>, message: MessageRef<'_>) {
        self.push(message.to_message());
    }

    fn on_assembled(&mut self, _: &mut Connection<'_>, message: Message) {
        self.push(message);
    }

    fn on_turn_end(&mut self, _: &mut Connection<'_>) {
        self.wake_receiver();
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ahead = self.shared.lock();
        if !ahead.is_full() {
            return Poll::Ready(());
        }
        ahead.driver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_close(&mut self, outcome: &CloseOutcome) {
        self.shared.lock().outcome = Some(outcome.clone());
        self.wake_receiver();
    }
}

/// The reading end of a split connection; it owns the task that drives it.
///
/// Dropping it ends the connection (1001): for a closing handshake that is waited for, call
/// [`close`](Self::close).
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Mutex<Ahead>>,
    task: JoinHandle<CloseOutcome>,
    sender: Sender,
}

impl Receiver {
    /// The next message; `None` when the connection is over.
    ///
    /// # Errors
    /// As [`WebSocket::recv`]; once, then `None`.
    ///
    /// Cancel safety: dropping the future loses nothing.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Closes and waits for the end, passing over what still comes.
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long: then nothing happened.
    ///
    /// Cancel safety: dropping the future drops the receiver and so the connection.
    pub async fn close(mut self, code: u16, reason: &str) -> Result<CloseOutcome, CloseFrameError> {
        self.sender.request_close(CloseFrame::new(code, reason)?);
        while !matches!(self.recv().await, Ok(None)) {}
        let outcome = self.shared.lock().outcome.clone();
        Ok(outcome.unwrap_or_else(|| CloseOutcome::lost(CloseCause::Dropped)))
    }

    /// How the connection ended; `None` while it goes on.
    #[must_use]
    pub fn outcome(&self) -> Option<CloseOutcome> {
        self.shared.lock().outcome.clone()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        let mut ahead = self.shared.lock();
        if let Some(message) = ahead.messages.pop_front() {
            ahead.bytes -= message.as_bytes().len();
            let driver = if ahead.is_full() { None } else { ahead.driver.take() };
            drop(ahead);
            driver.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Some(message)));
        }
        if let Some(outcome) = &ahead.outcome {
            let error = Error::of_cause(outcome.cause);
            let is_told = std::mem::replace(&mut ahead.is_told, true);
            return Poll::Ready(match error {
                Some(error) if !is_told => Err(error),
                _ => Ok(None),
            });
        }
        ahead.receiver = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Stream for Receiver {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Result::transpose)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How much it is, not what.
impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ahead").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}
