//! What servers push.

use std::collections::HashSet;
use std::sync::OnceLock;

use redis::{PushInfo, PushKind, Value};

use crate::pubsub::broker::{BusMessage, Incoming};
use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::pubsub::inbox::{CONNECTION_LIMITS, Inbox};
use crate::sync::{Arc, Mutex};

/// What has come over the lines of one connection, and why it ended.
pub(super) struct Heard {
    inbox: Inbox,
    /// Why it ended, if it was no plain loss.
    error: OnceLock<PubSubErrorKind>,
    /// Sharded channels that are being left: their nodes have not said yet that they are. At most those of one call.
    leaving: Mutex<HashSet<Arc<str>>>,
}

impl Heard {
    pub(super) fn new() -> Self {
        let inbox = Inbox::new(CONNECTION_LIMITS);
        Self { inbox, error: OnceLock::new(), leaving: Mutex::default() }
    }

    /// These are about to be left.
    pub(super) fn note_leaving(&self, channels: &[Arc<str>]) {
        self.leaving.lock().extend(channels.iter().cloned());
    }

    /// Confirmations are answers as well.
    pub(super) fn receive(&self, info: PushInfo) {
        match info.kind {
            PushKind::Message | PushKind::SMessage => match message(info.data) {
                Some(message) => {
                    self.inbox.push(message);
                }
                None => self.end(PubSubErrorKind::Answer),
            },
            // A node says so unasked when the slot is no longer its own. It would count as the answer to something
            // else: nothing more of this connection is believed.
            PushKind::SUnsubscribe if !self.has_left(&info.data) => self.end(PubSubErrorKind::Lost),
            PushKind::Disconnection => self.inbox.end(),
            _ => {}
        }
    }

    fn has_left(&self, data: &[Value]) -> bool {
        let Some(Value::BulkString(channel)) = data.first() else { return false };
        let channel = std::str::from_utf8(channel);
        channel.is_ok_and(|channel| self.leaving.lock().remove(channel))
    }

    fn end(&self, error: PubSubErrorKind) {
        let _ = self.error.set(error);
        self.inbox.end();
    }

    pub(super) async fn next(&self) -> Result<Incoming, PubSubError> {
        let why = || PubSubError::new(*self.error.get().unwrap_or(&PubSubErrorKind::Lost));
        self.inbox.next().await.ok_or_else(why)
    }
}

fn message(data: Vec<Value>) -> Option<BusMessage> {
    let mut values = data.into_iter();
    let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
        (values.next(), values.next())
    else {
        return None;
    };
    let channel = String::from_utf8(channel).ok()?;
    Some(BusMessage { channel: channel.into(), payload: payload.into() })
}
