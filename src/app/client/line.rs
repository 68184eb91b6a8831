//! One connection of a client.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::Error;
use crate::net::Receiver;
use crate::outbox::{SendError, Sender};
use crate::protocol::{CloseCause, CloseOutcome, Message, Utf8Bytes};

use super::happening::Happening;
use super::ledger::Broken;
use super::shared::{Owed, Shared};

/// The longest that something received is not acknowledged.
const ACK_AFTER: Duration = Duration::from_secs(1);

/// The longest that a closing handshake is waited for. A connection's own deadline is shorter, unless it is set otherwise.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection.
pub(super) struct Line {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
}

/// How a connection with a session came to its end.
pub(super) enum End {
    /// The application wants the end of it all.
    Wanted,
    /// The counts do not fit, or the server says what it may not.
    Broken,
    Lost(Error),
}

impl Line {
    /// The next message.
    pub(super) async fn message(&mut self) -> Result<Message, Error> {
        // An error is in the outcome, too.
        match self.receiver.recv().await {
            Ok(Some(message)) => Ok(message),
            _ => Err(self.error()),
        }
    }

    /// Reads and writes up to the end.
    pub(super) async fn hold(
        &mut self,
        shared: &Shared,
        told: &mut VecDeque<Happening>,
        incoming: &mpsc::Sender<Happening>,
    ) -> End {
        let sender = self.sender.clone();
        tokio::select! {
            end = self.read(shared, told, incoming) => end,
            () = write(shared, &sender) => End::Wanted,
            () = too_late(shared) => End::Wanted,
        }
    }

    /// Closes, passing over what still comes.
    pub(super) async fn close(self, code: u16, reason: &str) {
        // The codes here may be sent, and the reasons are short.
        let _ = timeout(CLOSE_TIMEOUT, self.receiver.close(code, reason)).await;
    }

    /// A place for what may be heard is there before it is taken from the connection: so what was counted is never lost.
    async fn read(
        &mut self,
        shared: &Shared,
        told: &mut VecDeque<Happening>,
        incoming: &mpsc::Sender<Happening>,
    ) -> End {
        loop {
            // An error: nobody listens.
            let place = incoming.reserve().await.ok();
            let happening = match told.pop_front() {
                Some(happening) => Some(happening),
                None => match self.message().await.map(|message| shared.hear(&message)) {
                    Ok(Ok(heard)) => heard,
                    Ok(Err(Broken)) => return End::Broken,
                    Err(error) => return End::Lost(error),
                },
            };
            if let (Some(place), Some(happening)) = (place, happening) {
                place.send(happening);
            }
        }
    }

    fn error(&self) -> Error {
        let outcome = self.receiver.outcome();
        let outcome = outcome.unwrap_or_else(|| CloseOutcome::lost(CloseCause::Eof));
        let error = Error::of_cause(outcome.cause);
        error.unwrap_or_else(|| Error::ClosedByPeer(Box::new(outcome)))
    }
}

/// Writes what waits and acknowledges what has come, until the end is wanted and everything is written.
async fn write(shared: &Shared, sender: &Sender) {
    // Of a restored session the first tells the server that its new token has come; of a new one it is nothing new.
    let mut ack_at = Some(Instant::now());
    loop {
        let is_ack_due = match shared.owed() {
            Owed::Due => true,
            Owed::Some => {
                let now = Instant::now();
                *ack_at.get_or_insert(now + ACK_AFTER) <= now
            }
            Owed::Nothing => ack_at.is_some_and(|at| at <= Instant::now()),
        };
        if is_ack_due {
            ack_at = None;
            // What is only numbers can be written.
            if let Ok(ack) = shared.ack() {
                put(shared, sender, &ack).await;
            }
        }
        // One at a time, so that an acknowledgement does not wait for all of them.
        if let Some(text) = shared.take() {
            if !put(shared, sender, &text).await {
                shared.give_back();
                return shared.closing().await;
            }
            continue;
        }
        if shared.is_closing() {
            return;
        }
        let due = async {
            match ack_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = shared.filled() => {}
        }
    }
}

/// Hands a message to the connection, however long that has no room: its own deadlines end it. False: it is over, as
/// whoever reads is about to see.
async fn put(shared: &Shared, sender: &Sender, text: &Utf8Bytes) -> bool {
    loop {
        match sender.send(text.clone()).await {
            Ok(_) => return true,
            Err(SendError::Closed) => return false,
            Err(_) if shared.is_closing() => return false,
            Err(_) => {}
        }
    }
}

/// The end is wanted, and what waits cannot be written in time.
async fn too_late(shared: &Shared) {
    shared.closing().await;
    tokio::time::sleep(CLOSE_TIMEOUT).await;
}
