//! The task of a reconnecting client.

use std::future::pending;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::error::Error;
use crate::net::Receiver;
use crate::outbox::{SendError, Sender};
use crate::protocol::{CloseCause, CloseOutcome, Message, Overflow};
use crate::sync::Arc;

use super::backoff::Backoff;
use super::connector::Connector;
use super::reconnecting::{OnOpen, Status};
use super::waiting::Waiting;

/// How long the keeper waits for room in a connection before it tries again.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// Keeps a connection as long as it may.
///
/// ```text
///   Connecting ──► Open ──lost──► Waiting ──► Connecting …
///        └──error───────────────────▲   │ closed here, or trying again cannot help
///                                       └──► Ended
/// ```
pub(super) struct Keeper {
    pub(super) connector: Connector,
    pub(super) url: String,
    pub(super) backoff: Backoff,
    pub(super) failures_max: Option<u32>,
    pub(super) on_open: Option<OnOpen>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) status: watch::Sender<Status>,
    pub(super) messages: mpsc::Sender<Message>,
}

impl Connector {
    /// What waits is kept above the connections, so each of them only holds it back.
    pub(crate) fn for_reconnecting(mut self) -> Self {
        self.config().overflow = Overflow::Block { timeout: ROOM_TIMEOUT };
        self
    }
}

impl Keeper {
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let result = self.keep().await;
        self.waiting.end();
        self.status.send_replace(Status::Ended);
        result
    }

    async fn keep(&mut self) -> Result<(), Error> {
        let mut connections = 0;
        loop {
            self.status.send_replace(Status::Connecting);
            let connected = tokio::select! {
                connected = self.connector.connect(&self.url) => connected,
                () = closed(&self.waiting) => return Ok(()),
            };
            let error = match connected {
                Err(error) => error,
                Ok(socket) => {
                    connections += 1;
                    let lost = self.waiting.dropped_and_lost().1;
                    let (sender, receiver) = socket.split();
                    self.waiting.set_connection(Some(sender.clone()));
                    self.status.send_replace(Status::Open { connections, lost });
                    let since = Instant::now();
                    let outcome = self.hold(&sender, receiver).await;
                    self.waiting.set_connection(None);
                    self.backoff.note_up(since.elapsed());
                    match judge(outcome, self.waiting.closing().is_some()) {
                        None => return Ok(()),
                        Some(error) => error,
                    }
                }
            };
            self.wait(error).await?;
            if self.waiting.closing().is_some() {
                return Ok(());
            }
        }
    }

    /// One connection, up to its end.
    async fn hold(&mut self, sender: &Sender, mut receiver: Receiver) -> CloseOutcome {
        if let Some(on_open) = &mut self.on_open {
            on_open(sender);
        }
        let outcome = tokio::select! {
            outcome = deliver(&mut receiver, &self.messages) => outcome,
            () = pump(&self.waiting, sender) => CloseOutcome::lost(CloseCause::Dropped),
        };
        self.waiting.note_lost(sender.dropped());
        outcome
    }

    /// Waits until it is time to connect again, or to end.
    async fn wait(&mut self, error: Error) -> Result<(), Error> {
        let is_last = self.failures_max.is_some_and(|max| self.backoff.failures() + 1 >= max);
        if !error.retryable() || is_last {
            return Err(error);
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let delay = self.backoff.next(&error, u64::from_ne_bytes(random));
        let failures = self.backoff.failures();
        self.status.send_replace(Status::Waiting { failures, delay, error: Arc::new(error) });
        tokio::select! {
            () = sleep_until(Instant::now() + delay) => {}
            () = closed(&self.waiting) => {}
        }
        Ok(())
    }
}

/// Hands on what comes; how the connection ended.
async fn deliver(receiver: &mut Receiver, messages: &mpsc::Sender<Message>) -> CloseOutcome {
    // An error is in the outcome, too.
    while let Ok(Some(message)) = receiver.recv().await {
        if messages.send(message).await.is_err() {
            // Nobody listens any more, and this task is about to be stopped.
            return pending().await;
        }
    }
    receiver.outcome().unwrap_or_else(|| CloseOutcome::lost(CloseCause::Dropped))
}

/// Sends what waits, for as long as the connection takes it.
async fn pump(waiting: &Waiting, sender: &Sender) {
    loop {
        while let Some(in_hand) = waiting.take() {
            match sender.send(in_hand.message()).await {
                Ok(_) => in_hand.sent(),
                // The receiver is about to say why.
                Err(SendError::Closed) => {
                    drop(in_hand);
                    return pending().await;
                }
                // It comes back and is tried again.
                Err(_) => drop(in_hand),
            }
        }
        if let Some(frame) = waiting.closing() {
            // It was checked when it was made.
            let _ = sender.close(frame.code().as_u16(), frame.reason());
            return pending().await;
        }
        waiting.filled().await;
    }
}

/// Waits until somebody wants to end it all.
async fn closed(waiting: &Waiting) {
    while waiting.closing().is_none() {
        waiting.filled().await;
    }
}

/// What the end of a connection means; `None`: that was all.
fn judge(outcome: CloseOutcome, is_closing: bool) -> Option<Error> {
    if is_closing {
        return None;
    }
    if let Some(error) = Error::of_cause(outcome.cause) {
        return Some(error);
    }
    match outcome.code.as_u16() {
        1000 => None,
        _ => Some(Error::ClosedByPeer(Box::new(outcome))),
    }
}
