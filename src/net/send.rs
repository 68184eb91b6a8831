//! Waiting for room in an outbox, with a deadline.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::outbox::{SendError, Sender};
use crate::protocol::{Message, Overflow, millis};

impl Sender {
    /// Sends a message. When the outbox is full and its policy is to wait, waits for room up to the
    /// policy's timeout.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when there was no room in time, [`SendError::Closed`], and
    /// [`SendError::Full`] under the other policies.
    ///
    /// Cancel safety: a future that is dropped while it waits has sent nothing.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        let (first, timeout) =
            match (self.try_send(message.clone()), self.outbox().config().overflow) {
                (Err(first @ SendError::Full { .. }), Overflow::Block { timeout }) => {
                    (first, timeout)
                }
                (result, _) => return result,
            };
        let timeout_ms = millis(timeout);
        let sending = poll_fn(|cx| self.poll_send(cx, &message));
        let result = tokio::time::timeout(timeout, sending).await;
        result.unwrap_or(if timeout_ms == 0 {
            Err(first)
        } else {
            Err(SendError::Timeout { timeout_ms })
        })
    }

    fn poll_send(&self, cx: &mut Context<'_>, message: &Message) -> Poll<Result<(), SendError>> {
        loop {
            match self.try_send(message.clone()) {
                Err(SendError::Full { .. }) => {}
                result => return Poll::Ready(result),
            }
            if self.outbox().wait_for_space(message.as_bytes().len(), cx.waker()) {
                return Poll::Pending;
            }
        }
    }
}
