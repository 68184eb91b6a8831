//! A connection to a broker with faults.

use std::future::pending;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::client::BoxFuture;
use crate::pubsub::{BusMessage, Incoming, PubSub, PubSubError, PubSubErrorKind};
use crate::sync::{Arc, Mutex};

use super::chance::Chance;
use super::faulty_broker::{BrokerCalls, BrokerFaults};

pub(super) struct FaultyLine {
    line: Box<dyn PubSub>,
    faults: watch::Receiver<BrokerFaults>,
    generation: u64,
    chance: Arc<Mutex<Chance>>,
    calls: Arc<Mutex<BrokerCalls>>,
}

impl FaultyLine {
    pub(super) fn new(
        line: Box<dyn PubSub>,
        (faults, generation): (watch::Receiver<BrokerFaults>, u64),
        chance: Arc<Mutex<Chance>>,
        calls: Arc<Mutex<BrokerCalls>>,
    ) -> Self {
        calls.lock().connected += 1;
        Self { line, faults, generation, chance, calls }
    }

    /// Waits while it is paused; an error where it is cut.
    async fn open(&self) -> Result<BrokerFaults, PubSubError> {
        let mut faults = self.faults.clone();
        let is_over = |faults: &BrokerFaults| faults.generation != self.generation;
        let waited = faults.wait_for(|faults| !faults.is_paused || is_over(faults)).await;
        // Without the broker there is nobody to heal it.
        match waited.map(|faults| *faults) {
            Ok(faults) if !is_over(&faults) => Ok(faults),
            _ => Err(PubSubError::new(PubSubErrorKind::Lost)),
        }
    }

    async fn lost(&self) {
        let mut faults = self.faults.clone();
        // A broker that nobody has any more is not cut.
        if faults.wait_for(|faults| faults.generation != self.generation).await.is_err() {
            pending::<()>().await;
        }
    }

    async fn listen(&self) -> Result<Incoming, PubSubError> {
        let faults = self.open().await?;
        let _ = timeout(faults.delay, pending::<()>()).await;
        loop {
            let incoming = tokio::select! {
                biased;
                () = self.lost() => return Err(PubSubError::new(PubSubErrorKind::Lost)),
                // What came before the pause was on its way.
                incoming = self.line.next() => incoming?,
            };
            let faults = *self.faults.borrow();
            if self.chance.lock().happens(faults.swallowed_per_mille) {
                continue;
            }
            let is_lost = self.chance.lock().happens(faults.lost_per_mille);
            return Ok(if is_lost { Incoming::Gap } else { incoming });
        }
    }

    fn count(&self, count: impl FnOnce(&mut BrokerCalls)) {
        count(&mut self.calls.lock());
    }
}

impl PubSub for FaultyLine {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            self.open().await?;
            self.count(|calls| {
                calls.publish += 1;
                calls.published += messages.len();
            });
            self.line.publish(messages).await
        })
    }

    fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            self.open().await?;
            self.count(|calls| {
                calls.subscribe += channels.len();
                calls.subscribe_batches += 1;
            });
            self.line.subscribe(channels).await
        })
    }

    fn unsubscribe<'a>(
        &'a self,
        channels: &'a [Arc<str>],
    ) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            self.open().await?;
            self.count(|calls| calls.unsubscribe += channels.len());
            self.line.unsubscribe(channels).await
        })
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        Box::pin(self.listen())
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(async move {
            self.open().await?;
            self.count(|calls| calls.ping += 1);
            self.line.ping().await
        })
    }

    fn message_bytes_max(&self) -> usize {
        self.faults.borrow().message_bytes_max
    }
}

impl Drop for FaultyLine {
    fn drop(&mut self) {
        self.count(|calls| calls.connected -= 1);
    }
}
