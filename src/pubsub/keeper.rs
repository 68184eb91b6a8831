//! The task of a bus.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{Backoff, BoxFuture};
use crate::sync::Arc;

use super::broker::{Broker, BusMessage, PubSub};
use super::bus::BusState;
use super::error::{PubSubError, PubSubErrorKind};
use super::shared::{Ending, Shared, Tally};

/// A connection that stood so long was a good one: the next wait is a short one again.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// Most channels that are asked for at once: one batch has one deadline, and what is to be published waits behind it.
const CHANNELS_AT_ONCE: usize = 1024;

/// Keeps a connection as long as the bus lives.
///
/// ```text
///   Connecting ──► subscribing to all that is wanted ──► Up
///        │                        │ lost                  │ lost
///        └──error──► Down ◄───────┴───────────────────────┘
///                     └──► connecting again …             every state ──► Closed
/// ```
pub(super) struct Keeper {
    broker: Box<dyn Broker>,
    shared: Arc<Shared>,
    backoff: Backoff,
    /// Since when there is no connection, and how often it was tried.
    down: Option<(Instant, u32)>,
}

impl Keeper {
    pub(super) fn new(broker: Box<dyn Broker>, shared: Arc<Shared>) -> Self {
        let backoff =
            Backoff::new(shared.config.backoff_first, shared.config.backoff_max, GOOD_AFTER);
        Self { broker, shared, backoff, down: None }
    }

    pub(super) async fn run(mut self) {
        let _ending = Ending(self.shared.clone());
        while !self.shared.is_closing() {
            let connected = tokio::select! {
                connected = within(self.shared.config.connect_timeout, self.broker.connect()) => connected,
                () = closing(&self.shared) => return,
            };
            let error = match connected {
                Ok(connection) => {
                    let since = Instant::now();
                    let Some(error) = self.hold(&*connection).await else { return };
                    self.backoff.note_up(since.elapsed());
                    // Nobody is told that something is subscribed to where there is no connection.
                    self.shared.work.lock().wanted.reset();
                    error
                }
                Err(error) => error,
            };
            self.wait(&error).await;
        }
    }

    /// One connection, up to its end; no error where the bus is closed.
    async fn hold(&mut self, connection: &dyn PubSub) -> Option<PubSubError> {
        Tally::add(&self.shared.tally.connections, 1);
        let wanted = {
            let mut work = self.shared.work.lock();
            work.broker_bytes_max = connection.message_bytes_max();
            work.wanted.reset()
        };
        let shared = self.shared.clone();
        if let Err(error) = resume(&shared, connection, wanted).await {
            return Some(error);
        }
        self.note_up();
        tokio::select! {
            error = receive(&shared, connection) => Some(error),
            ended = serve(&shared, connection) => ended.err(),
        }
    }

    /// All that is wanted is subscribed to, and nothing of this connection was received yet: what was lost is missing
    /// where the gap is, and who asks others for it when the gap comes misses nothing more.
    fn note_up(&mut self) {
        let connections = self.shared.tally.connections.load(crate::sync::Ordering::Relaxed);
        if connections > 1 {
            self.shared.note_gap();
        }
        self.down = None;
        self.shared.state.send_replace(BusState::Up { connections });
    }

    /// Waits until it is time to connect again, or the bus is closed.
    async fn wait(&mut self, error: &PubSubError) {
        let (since, tries) = self.down.unwrap_or((Instant::now(), 0));
        let tries = tries.saturating_add(1);
        self.down = Some((since, tries));
        self.shared.state.send_replace(BusState::Down { kind: error.kind(), since, tries });
        let mut random = [0; 8];
        // Without chance: the longest wait.
        let random = match getrandom::fill(&mut random) {
            Ok(()) => u64::from_ne_bytes(random),
            Err(_) => u64::MAX,
        };
        let until = Instant::now() + self.backoff.jittered(random);
        tokio::select! {
            () = sleep_until(until) => {}
            () = closing(&self.shared) => {}
        }
    }
}

/// Subscribes to what is wanted at the beginning of a connection; publishing goes on meanwhile. What comes is not taken
/// before that is done: the connection holds it.
async fn resume(
    shared: &Shared,
    connection: &dyn PubSub,
    mut left: usize,
) -> Result<(), PubSubError> {
    while left > 0 && !shared.is_closing() {
        let subscribed = subscribe(shared, connection).await?;
        publish(shared, connection).await?;
        left = if subscribed == 0 { 0 } else { left.saturating_sub(subscribed) };
    }
    Ok(())
}

/// Subscribes and publishes, in turns, until the bus is closed.
async fn serve(shared: &Shared, connection: &dyn PubSub) -> Result<(), PubSubError> {
    let mut ping_at = Instant::now() + shared.config.ping_interval;
    loop {
        let is_leaving = unsubscribe(shared, connection).await?;
        let has_subscribed = subscribe(shared, connection).await? > 0;
        let has_published = publish(shared, connection).await?;
        // Also where it answers to something else: of several servers behind a connection that may be another one.
        if Instant::now() >= ping_at {
            within(shared.config.publish_timeout, connection.ping()).await?;
            ping_at = Instant::now() + shared.config.ping_interval;
        }
        if is_leaving || has_subscribed || has_published {
            continue;
        }
        if shared.is_closing() {
            return Ok(());
        }
        let leaving = shared.work.lock().wanted.next_leaving();
        tokio::select! {
            () = shared.changed.notified() => {}
            () = sleep_until(leaving.map_or(ping_at, |leaving| leaving.min(ping_at))) => {}
        }
    }
}

/// Hands on what comes, for as long as something can.
async fn receive(shared: &Shared, connection: &dyn PubSub) -> PubSubError {
    loop {
        match connection.next().await {
            Ok(incoming) => shared.receive(incoming),
            Err(error) => return error,
        }
    }
}

/// Tells the broker of a batch of channels that are wanted; how many they were.
async fn subscribe(shared: &Shared, connection: &dyn PubSub) -> Result<usize, PubSubError> {
    let pending = shared.work.lock().wanted.take_pending(CHANNELS_AT_ONCE);
    if !pending.is_empty() {
        within(shared.config.subscribe_timeout, connection.subscribe(&pending)).await?;
        shared.work.lock().wanted.confirm(&pending);
        shared.confirmed.send_modify(|count| *count += 1);
    }
    Ok(pending.len())
}

/// The same with those that are wanted no longer; whether there were any.
async fn unsubscribe(shared: &Shared, connection: &dyn PubSub) -> Result<bool, PubSubError> {
    let leaving = shared.work.lock().wanted.take_leaving(Instant::now(), CHANNELS_AT_ONCE);
    if !leaving.is_empty() {
        within(shared.config.subscribe_timeout, connection.unsubscribe(&leaving)).await?;
    }
    Ok(!leaving.is_empty())
}

/// Publishes a batch of what waits; whether there was any.
async fn publish(shared: &Shared, connection: &dyn PubSub) -> Result<bool, PubSubError> {
    let mut batch = Batch { messages: Vec::new(), shared };
    let broker_bytes_max = {
        let mut work = shared.work.lock();
        work.outgoing.take(&mut batch.messages);
        work.broker_bytes_max
    };
    let taken = batch.messages.len();
    if taken == 0 {
        return Ok(false);
    }
    // Queued for a broker that took longer ones, or before there was any.
    batch.messages.retain(|message| message.payload.len() <= broker_bytes_max);
    let count = batch.messages.len();
    Tally::add(&shared.tally.dropped_out, (taken - count) as u64);
    if count > 0 {
        within(shared.config.publish_timeout, connection.publish(&batch.messages)).await?;
        batch.messages.clear();
        Tally::add(&shared.tally.published, count as u64);
    }
    Ok(true)
}

/// What is in it when it is dropped is lost: the connection has ended meanwhile.
struct Batch<'a> {
    messages: Vec<BusMessage>,
    shared: &'a Shared,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        Tally::add(&self.shared.tally.lost_out, self.messages.len() as u64);
    }
}

/// Waits until somebody wants to end it all.
async fn closing(shared: &Shared) {
    while !shared.is_closing() {
        shared.changed.notified().await;
    }
}

/// The same with a deadline.
async fn within<T>(
    deadline: Duration,
    future: BoxFuture<'_, Result<T, PubSubError>>,
) -> Result<T, PubSubError> {
    let late = || Err(PubSubError::new(PubSubErrorKind::Timeout));
    timeout(deadline, future).await.unwrap_or_else(|_| late())
}
