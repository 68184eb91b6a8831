//! The broker within this process.

use std::collections::HashMap;
use std::fmt;

use crate::client::BoxFuture;
use crate::sync::{Arc, Mutex};

use super::broker::{Broker, BusMessage, Incoming, PubSub};
use super::error::{PubSubError, PubSubErrorKind};
use super::inbox::{CONNECTION_LIMITS, Inbox};

/// A broker in memory: all buses that are started with clones of it hear each other. For one process, and for tests of
/// several nodes in one. It is never away.
#[derive(Clone, Default)]
pub struct Memory {
    channels: Arc<Mutex<Channels>>,
}

/// Who listens to what.
type Channels = HashMap<Arc<str>, Vec<Arc<Inbox>>>;

impl Memory {
    /// A broker that nobody else is connected to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Broker for Memory {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        let line = Line { memory: self.clone(), inbox: Arc::new(Inbox::new(CONNECTION_LIMITS)) };
        Box::pin(async { Ok(Box::new(line) as Box<dyn PubSub>) })
    }
}

/// A connection.
struct Line {
    memory: Memory,
    inbox: Arc<Inbox>,
}

impl Line {
    fn leave(&self, listeners: &mut Vec<Arc<Inbox>>) {
        listeners.retain(|listener| !Arc::ptr_eq(listener, &self.inbox));
    }
}

impl PubSub for Line {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            let channels = self.memory.channels.lock();
            for message in messages {
                for listener in channels.get(&message.channel).into_iter().flatten() {
                    listener.push(message.clone());
                }
            }
            Ok(())
        })
    }

    fn subscribe<'a>(&'a self, names: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            let mut channels = self.memory.channels.lock();
            for name in names {
                let listeners = channels.entry(name.clone()).or_default();
                self.leave(listeners);
                listeners.push(self.inbox.clone());
            }
            Ok(())
        })
    }

    fn unsubscribe<'a>(&'a self, names: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            let mut channels = self.memory.channels.lock();
            for name in names {
                if let Some(listeners) = channels.get_mut(name) {
                    self.leave(listeners);
                    if listeners.is_empty() {
                        channels.remove(name);
                    }
                }
            }
            Ok(())
        })
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        let lost = || PubSubError::new(PubSubErrorKind::Lost);
        Box::pin(async move { self.inbox.next().await.ok_or_else(lost) })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut channels = self.memory.channels.lock();
        channels.retain(|_, listeners| {
            self.leave(listeners);
            !listeners.is_empty()
        });
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("channels", &self.channels.lock().len()).finish()
    }
}
