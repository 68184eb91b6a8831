//! One connection to a cluster, which is a line to each of its primaries.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline};

use crate::client::BoxFuture;
use crate::pubsub::broker::{BusMessage, Incoming, PubSub};
use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::sync::Arc;

use super::fault::of_cluster;
use super::heard::Heard;
use super::seeds::ask_slots;
use super::slots::{Slots, slot_of};
use super::together::together;

/// What one of them hears all have heard, and with the first that is lost all are.
pub(super) struct Lines {
    slots: Slots,
    /// One for each node, in the order of `slots.nodes()`.
    lines: Vec<MultiplexedConnection>,
    heard: Arc<Heard>,
}

impl Lines {
    pub(super) fn new(slots: Slots, lines: Vec<MultiplexedConnection>, heard: Arc<Heard>) -> Self {
        Self { slots, lines, heard }
    }

    /// Asks all nodes who has which slots.
    ///
    /// # Errors
    /// [`PubSubErrorKind::Lost`] where one says something else than what this connection was made by.
    pub(super) async fn agree(&self) -> Result<(), PubSubError> {
        let nodes = self.lines.iter().zip(self.slots.nodes());
        let asking = nodes.map(async |(line, node)| {
            let slots = ask_slots(&mut line.clone(), &node.info).await?;
            if self.slots.has_owners_of(&slots) {
                return Ok(());
            }
            Err(PubSubError::new(PubSubErrorKind::Lost).with_source("slots have moved"))
        });
        together(asking).await.map(drop)
    }

    /// One pipeline for each node that has any of these channels, in their order.
    async fn ask<'a>(
        &self,
        commands: impl Iterator<Item = (&'a str, Cmd)>,
    ) -> Result<(), PubSubError> {
        let mut pipelines: Vec<_> = self.lines.iter().map(|_| Pipeline::new()).collect();
        for (channel, command) in commands {
            let place = self.slots.owner(slot_of(channel));
            pipelines[place].add_command(command).ignore();
        }
        let asked = self.lines.iter().zip(&pipelines).filter(|(_, pipeline)| !pipeline.is_empty());
        let asking = asked.map(async |(line, pipeline)| {
            pipeline.query_async::<()>(&mut line.clone()).await.map_err(|error| of_cluster(&error))
        });
        together(asking).await.map(drop)
    }

    /// Each channel by a command of its own: one may name those of one slot only, and is answered for each of them.
    async fn ask_of(&self, command: &str, channels: &[Arc<str>]) -> Result<(), PubSubError> {
        self.ask(channels.iter().map(|channel| {
            let command = Cmd::new().arg(command).arg(&**channel).to_owned();
            (&**channel, command)
        }))
        .await
    }
}

impl PubSub for Lines {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(self.ask(messages.iter().map(|message| {
            let mut command = Cmd::new();
            command.arg("SPUBLISH").arg(&*message.channel).arg(&message.payload[..]);
            (&*message.channel, command)
        })))
    }

    fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(self.ask_of("SSUBSCRIBE", channels))
    }

    fn unsubscribe<'a>(
        &'a self,
        channels: &'a [Arc<str>],
    ) -> BoxFuture<'a, Result<(), PubSubError>> {
        self.heard.note_leaving(channels);
        Box::pin(self.ask_of("SUNSUBSCRIBE", channels))
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        Box::pin(self.heard.next())
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(self.agree())
    }
}
