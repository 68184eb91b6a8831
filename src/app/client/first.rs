//! What a client sends first in each new session.

use std::fmt;

use serde::Serialize;

use crate::sync::Arc;

use super::error::QueueError;
use super::shared::Shared;

/// Called when a session begins: the first one, and each after a [gap](super::Happening::Gap), for the server knows
/// nothing of rooms that were joined in the one before. What it sends goes before all that waits. A session that goes on
/// needs none of it. Its `Debug` shows nothing.
///
/// It is called in the client's task, so it should be short; a panic in it ends the client.
///
/// ```
/// use serde_json::json;
/// use sockeye::app::client::{ClientOptions, FirstEvents};
///
/// let mut options = ClientOptions::default();
/// options.first = Some(FirstEvents::new(|first| first.send("room.join", &json!({"room": "lobby"}))));
/// ```
#[derive(Clone)]
pub struct FirstEvents(Arc<Call>);

type Call = dyn Fn(&mut First<'_>) -> Result<(), QueueError> + Send + Sync;

/// The place before all that waits.
pub struct First<'a> {
    shared: &'a Shared,
    sent: usize,
}

impl FirstEvents {
    /// What this sends. Where it gives an error, what it has sent before goes all the same.
    pub fn new<F>(send: F) -> Self
    where
        F: Fn(&mut First<'_>) -> Result<(), QueueError> + Send + Sync + 'static,
    {
        Self(Arc::new(send))
    }

    /// Nothing of the new session may have been written yet.
    pub(super) fn fill(&self, shared: &Shared) {
        // What does not fit was told to the application, which gave it on.
        let _ = (self.0)(&mut First { shared, sent: 0 });
    }
}

impl First<'_> {
    /// Queues an event behind those that were sent here before.
    ///
    /// # Errors
    /// As [`EventClient::send`](super::EventClient::send): what waits counts.
    pub fn send<P: Serialize + ?Sized>(
        &mut self,
        name: &str,
        payload: &P,
    ) -> Result<(), QueueError> {
        self.shared.send_at(self.sent, name, payload)?;
        self.sent += 1;
        Ok(())
    }
}

impl fmt::Debug for FirstEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstEvents").finish_non_exhaustive()
    }
}

impl fmt::Debug for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("First").field("sent", &self.sent).finish_non_exhaustive()
    }
}
