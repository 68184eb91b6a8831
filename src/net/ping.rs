//! A ping that waits for its pong.

use std::future::poll_fn;
use std::time::Duration;

use crate::error::Error;
use crate::outbox::{Outbox, SendError, Sender};
use crate::protocol::TimeoutKind;

use super::clock::now_us;

/// The place of a ping among those that wait, until it is dropped.
struct Place<'a> {
    outbox: &'a Outbox,
    number: u32,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.outbox.end_ping(self.number);
    }
}

fn lost(error: SendError) -> Error {
    match error {
        SendError::Closed => Error::Closed,
        error => Error::Send(error),
    }
}

impl Sender {
    /// Sends a ping, which passes what waits, and waits for its pong; returns the time there and back.
    ///
    /// Somebody else has to poll the connection meanwhile: the task of a [`Receiver`](crate::Receiver), a
    /// handler's, or another branch that receives. It is none of the keepalive's pings: when its pong does
    /// not come, the connection goes on.
    ///
    /// ```
    /// # async fn example(sender: &sockeye::Sender) -> Result<(), sockeye::Error> {
    /// println!("{:?} there and back", sender.ping().await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Timeout`] when the pong does not come within [`pong_timeout`](crate::Config::pong_timeout),
    /// [`Error::Closed`] when the connection is closing or closed, [`Error::Send`] while 16 pings or 64 KiB
    /// of others are on their way.
    ///
    /// Cancel safety: dropping the future forgets the ping; it was sent if the future was polled.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let outbox = &self.current().ok_or(Error::Closed)?;
        let begun_us = now_us();
        let number = outbox.begin_ping().map_err(lost)?;
        let place = Place { outbox, number };
        let answered = poll_fn(|cx| outbox.poll_pong(place.number, cx.waker()));
        match tokio::time::timeout(outbox.config().pong_timeout, answered).await {
            Ok(Ok(answered_us)) => Ok(Duration::from_micros(answered_us.saturating_sub(begun_us))),
            Ok(Err(error)) => Err(lost(error)),
            Err(_) => Err(Error::Timeout(TimeoutKind::Pong)),
        }
    }
}
