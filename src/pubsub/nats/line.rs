//! A connection.

use std::collections::HashMap;
use std::io::Write as _;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::BoxFuture;
use crate::net::NetStream;
use crate::pubsub::broker::{BusMessage, Incoming, PubSub};
use crate::pubsub::error::PubSubError;
use crate::sync::{Arc, Mutex};

use super::fault::Fault;
use super::parser::Parser;
use super::task::{self, Shared};

/// Ends its task when it is dropped, and with it the stream.
pub(super) struct Line {
    shared: Arc<Shared>,
    /// Pings that the server has answered.
    answers: watch::Receiver<u64>,
    subscriptions: Mutex<Subscriptions>,
    message_bytes_max: usize,
    task: JoinHandle<()>,
}

/// What a subscription is called when it is given up. No more than the bus subscribes to.
#[derive(Debug, Default)]
struct Subscriptions {
    ids: HashMap<Arc<str>, u64>,
    last: u64,
}

impl Line {
    /// On a stream whose server has said no more than the parser has seen.
    pub(super) fn start(stream: NetStream, parser: Parser, message_bytes_max: usize) -> Self {
        let shared = Arc::new(Shared::new());
        let (counted, answers) = watch::channel(0);
        let task = tokio::spawn(task::run(stream, parser, shared.clone(), counted));
        Self { shared, answers, subscriptions: Mutex::default(), message_bytes_max, task }
    }

    /// Writes, and waits until the server has read all of it: it answers in order.
    pub(super) async fn ask(&self, lines: Vec<u8>) -> Result<(), Fault> {
        let number = self.shared.push(lines);
        let mut answers = self.answers.clone();
        let answered = answers.wait_for(|count| *count >= number).await;
        answered.map(drop).map_err(|_| self.shared.fault())
    }
}

impl PubSub for Line {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move { Ok(self.ask(publications(messages)).await?) })
    }

    fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            let lines = self.subscriptions.lock().add(channels);
            Ok(self.ask(lines).await?)
        })
    }

    fn unsubscribe<'a>(
        &'a self,
        channels: &'a [Arc<str>],
    ) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            let lines = self.subscriptions.lock().remove(channels);
            Ok(self.ask(lines).await?)
        })
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        Box::pin(async { self.shared.inbox.next().await.ok_or_else(|| self.shared.fault().into()) })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(async { Ok(self.ask(Vec::new()).await?) })
    }

    fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
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
