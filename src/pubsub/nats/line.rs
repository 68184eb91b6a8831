//! A connection of the bus.

use std::collections::HashMap;
use std::io::Write as _;

use crate::client::BoxFuture;
use crate::pubsub::broker::{BusMessage, Incoming, PubSub};
use crate::pubsub::error::PubSubError;
use crate::pubsub::inbox::Inbox;
use crate::sync::{Arc, Mutex};

use super::wire::Wire;

pub(super) struct Line {
    wire: Wire<Inbox>,
    subscriptions: Mutex<Subscriptions>,
    message_bytes_max: usize,
}

/// What a subscription is called when it is given up. No more than the bus subscribes to.
#[derive(Debug, Default)]
struct Subscriptions {
    ids: HashMap<Arc<str>, u64>,
    last: u64,
}

impl Line {
    pub(super) fn new(wire: Wire<Inbox>, message_bytes_max: usize) -> Self {
        Self { wire, subscriptions: Mutex::default(), message_bytes_max }
    }
}

impl PubSub for Line {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move { Ok(self.wire.ask(publications(messages)).await?) })
    }

    fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            let lines = self.subscriptions.lock().add(channels);
            Ok(self.wire.ask(lines).await?)
        })
    }

    fn unsubscribe<'a>(
        &'a self,
        channels: &'a [Arc<str>],
    ) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            let lines = self.subscriptions.lock().remove(channels);
            Ok(self.wire.ask(lines).await?)
        })
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        let shared = &self.wire.shared;
        Box::pin(async { shared.listener.next().await.ok_or_else(|| shared.fault().into()) })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(async { Ok(self.wire.ask(Vec::new()).await?) })
    }

    fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }
}

impl Subscriptions {
    fn add(&mut self, channels: &[Arc<str>]) -> Vec<u8> {
        let mut lines = Vec::new();
        for channel in channels {
            self.last += 1;
            // A Vec takes all that is written.
            let _ = write!(lines, "SUB {channel} {}\r\n", self.last);
            self.ids.insert(channel.clone(), self.last);
        }
        lines
    }

    fn remove(&mut self, channels: &[Arc<str>]) -> Vec<u8> {
        let mut lines = Vec::new();
        for id in channels.iter().filter_map(|channel| self.ids.remove(channel)) {
            let _ = write!(lines, "UNSUB {id}\r\n");
        }
        lines
    }
}

fn publications(messages: &[BusMessage]) -> Vec<u8> {
    let bytes = messages.iter().map(|message| message.payload.len() + message.channel.len() + 32);
    let mut lines = Vec::with_capacity(bytes.sum());
    for BusMessage { channel, payload } in messages {
        // A Vec takes all that is written.
        let _ = write!(lines, "PUB {channel} {}\r\n", payload.len());
        lines.extend_from_slice(payload);
        lines.extend_from_slice(b"\r\n");
    }
    lines
}
