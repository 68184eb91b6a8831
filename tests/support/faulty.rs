//! A broker that can be cut, paused and made to lose, around any other.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::client::BoxFuture;
use sockeye::pubsub::{Broker, BusMessage, Incoming, PubSub, PubSubError, PubSubErrorKind};
use tokio::sync::watch;

use super::relay::Chance;

/// What is wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Nobody can connect.
    pub(crate) is_away: bool,
    /// It answers nothing, and loses nothing.
    pub(crate) is_paused: bool,
    /// Of a thousand messages so many become a gap, at each connection by itself.
    pub(crate) lost_per_mille: u64,
    /// Of a thousand messages so many are gone and nobody says so, at each connection by itself.
    pub(crate) swallowed_per_mille: u64,
    /// Before each message.
    pub(crate) delay: Duration,
    /// Longest message.
    pub(crate) message_bytes_max: usize,
    /// Connections of former generations are lost.
    generation: u64,
}

/// Clones are the same broker.
#[derive(Clone)]
pub(crate) struct Faulty<B> {
    broker: B,
    faults: watch::Sender<Faults>,
    chance: Arc<Mutex<Chance>>,
    pub(crate) calls: Arc<Calls>,
}

/// What it was asked.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) connect: AtomicUsize,
    /// Connections that stand.
    pub(crate) connected: AtomicUsize,
    /// Channels, and how often it was asked for some.
    pub(crate) subscribe: AtomicUsize,
    pub(crate) subscribe_batches: AtomicUsize,
    pub(crate) unsubscribe: AtomicUsize,
    /// Batches and messages.
    pub(crate) publish: AtomicUsize,
    pub(crate) published: AtomicUsize,
    pub(crate) ping: AtomicUsize,
}

pub(crate) fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

fn add(counter: &AtomicUsize, more: usize) {
    counter.fetch_add(more, Ordering::SeqCst);
}

impl<B: Broker> Faulty<B> {
    /// Nothing is wrong yet; what is lost later hangs on the seed.
    pub(crate) fn new(broker: B, seed: u64) -> Self {
        let faults = Faults {
            is_away: false,
            is_paused: false,
            lost_per_mille: 0,
            swallowed_per_mille: 0,
            delay: Duration::ZERO,
            message_bytes_max: usize::MAX,
            generation: 0,
        };
        let (faults, chance) = (watch::Sender::new(faults), Arc::new(Mutex::new(Chance(seed))));
        Self { broker, faults, chance, calls: Arc::default() }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    /// All connections are lost.
    pub(crate) fn cut(&self) {
        self.set(|faults| faults.generation += 1);
    }
}

impl<B: Broker> Broker for Faulty<B> {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        Box::pin(async move {
            add(&self.calls.connect, 1);
            let mut faults = self.faults.subscribe();
            if faults.borrow().is_away {
                return Err(PubSubError::new(PubSubErrorKind::Unreachable));
            }
            faults.wait_for(|faults| !faults.is_paused).await.unwrap();
            let generation = faults.borrow().generation;
            let line = self.broker.connect().await?;
            add(&self.calls.connected, 1);
            let (chance, calls) = (self.chance.clone(), self.calls.clone());
            Ok(Box::new(Line { line, faults, generation, chance, calls }) as Box<dyn PubSub>)
        })
    }
}

struct Line {
    line: Box<dyn PubSub>,
    faults: watch::Receiver<Faults>,
    generation: u64,
    chance: Arc<Mutex<Chance>>,
    calls: Arc<Calls>,
}

impl Line {
    /// Waits while it is paused; an error where it is cut.
    async fn open(&self) -> Result<Faults, PubSubError> {
        let mut faults = self.faults.clone();
        let is_over = |faults: &Faults| faults.generation != self.generation;
        let faults = *faults.wait_for(|faults| !faults.is_paused || is_over(faults)).await.unwrap();
        match is_over(&faults) {
            true => Err(PubSubError::new(PubSubErrorKind::Lost)),
            false => Ok(faults),
        }
    }

    async fn lost(&self) {
        let mut faults = self.faults.clone();
        faults.wait_for(|faults| faults.generation != self.generation).await.unwrap();
    }

    async fn listen(&self) -> Result<Incoming, PubSubError> {
        let faults = self.open().await?;
        let _ = tokio::time::timeout(faults.delay, pending::<()>()).await;
        loop {
            let incoming = tokio::select! {
                biased;
                () = self.lost() => return Err(PubSubError::new(PubSubErrorKind::Lost)),
                // What came before the pause was on its way.
                incoming = self.line.next() => incoming?,
            };
            let faults = *self.faults.borrow();
            if self.happens(faults.swallowed_per_mille) {
                continue;
            }
            return Ok(if self.happens(faults.lost_per_mille) { Incoming::Gap } else { incoming });
        }
    }

    fn happens(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.chance.lock().unwrap().below(1000) < per_mille
    }
}

impl PubSub for Line {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            self.open().await?;
            add(&self.calls.publish, 1);
            add(&self.calls.published, messages.len());
            self.line.publish(messages).await
        })
    }

    fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            self.open().await?;
            add(&self.calls.subscribe, channels.len());
            add(&self.calls.subscribe_batches, 1);
            self.line.subscribe(channels).await
        })
    }

    fn unsubscribe<'a>(
        &'a self,
        channels: &'a [Arc<str>],
    ) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            self.open().await?;
            add(&self.calls.unsubscribe, channels.len());
            self.line.unsubscribe(channels).await
        })
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        Box::pin(self.listen())
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(async move {
            self.open().await?;
            add(&self.calls.ping, 1);
            self.line.ping().await
        })
    }

    fn message_bytes_max(&self) -> usize {
        self.faults.borrow().message_bytes_max
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.calls.connected.fetch_sub(1, Ordering::SeqCst);
    }
}
