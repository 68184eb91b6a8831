//! The receiving side of a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::happening::Happening;

/// What a client hears, in order. Where nobody takes from it, nothing is read from the connection when it is full, and
/// the server is held back; dropping it says that nobody will listen, and what comes is passed over.
pub struct Incoming {
    happenings: mpsc::Receiver<Happening>,
}

impl Incoming {
    pub(super) const fn new(happenings: mpsc::Receiver<Happening>) -> Self {
        Self { happenings }
    }

    /// What happens next; `None` when the client is over (its [state](super::EventClient::state) says why).
    ///
    /// Cancel safety: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Happening> {
        self.happenings.recv().await
    }
}

impl futures_core::Stream for Incoming {
    type Item = Happening;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Happening>> {
        self.happenings.poll_recv(cx)
    }
}

/// Not what waits.
impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("len", &self.happenings.len()).finish()
    }
}
