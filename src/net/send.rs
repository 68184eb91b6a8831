//! Waiting for room in an outbox, with a deadline.

use std::future::poll_fn;
use std::task::Poll;

use crate::outbox::{Front, Outbox, Relay, SendError, Sender, Sent};
use crate::protocol::{Message, Overflow, millis};
use crate::sync::Arc;

use super::runtime;

impl Sender {
    /// Sends a message. When the outbox is full and its policy is to wait, waits for room up to the
    /// policy's timeout; who waits longest is next.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when there was no room in time, [`SendError::Closed`], and
    /// [`SendError::Full`] under the other policies. A ping or pong does not wait: see
    /// [`try_send`](Self::try_send).
    ///
    /// Cancel safety: a future that is dropped while it waits has sent nothing.
    pub async fn send(&self, message: impl Into<Message>) -> Result<Sent, SendError> {
        let message = message.into();
        if message.as_data().is_none() {
            return self.try_send(message);
        }
        let bytes = message.as_bytes().len();
        let outbox = match self.front() {
            Front::Connection(outbox) => outbox,
            Front::Session(relay) => return send_to_session(relay, &message).await,
        };
        let sent = when_room(outbox, bytes, |ticket| outbox.send(message.clone(), ticket)).await?;
        outbox.note_sent(1, bytes);
        Ok(sent)
    }
}

/// The same on whatever connection the session has: who waits for one that ends tries the next.
async fn send_to_session(relay: &Arc<Relay>, message: &Message) -> Result<Sent, SendError> {
    let bytes = message.as_bytes().len();
    while let Some(outbox) = relay.outbox() {
        let attempt = |ticket| relay.send_on(&outbox, message, ticket);
        match when_room(&outbox, bytes, attempt).await {
            Err(SendError::Closed) if !relay.is_on(&outbox) => {}
            result => return result,
        }
    }
    relay.send(message.clone())
}

/// Tries, and where the outbox is full and its policy is to wait, again when it is this sender's
/// turn, up to the policy's timeout.
pub(super) async fn when_room<T>(
    outbox: &Outbox,
    bytes: usize,
    mut attempt: impl FnMut(Option<u64>) -> Result<T, SendError>,
) -> Result<T, SendError> {
    let full = match attempt(None) {
        Err(full @ SendError::Full { .. }) => full,
        result => return result,
    };
    let Overflow::Block { timeout } = outbox.config().overflow else {
        return Err(full);
    };
    let mut turn = outbox.turn();
    let trying = poll_fn(|cx| {
        loop {
            match attempt(turn.ticket()) {
                Err(SendError::Full { .. }) => {}
                result => {
                    turn.end();
                    return Poll::Ready(result);
                }
            }
            if turn.wait(bytes, cx.waker()) {
                return Poll::Pending;
            }
        }
    });
    let timeout_ms = millis(timeout);
    match runtime::timeout(timeout, trying).await {
        Ok(result) => result,
        Err(_) if timeout_ms == 0 => Err(full),
        Err(_) => Err(SendError::Timeout { timeout_ms }),
    }
}
