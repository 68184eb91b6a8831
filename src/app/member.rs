//! What an application keeps of a session, whatever connection it is on.

use crate::frame::CloseCode;
use crate::hub::{Peer, Registration};
use crate::sync::{Arc, Mutex};

use super::event::Codec;
use super::requests::Requests;
use super::routes::EventRoute;

/// A session as the hub and the application know it: attached to the session.
pub(super) struct Member {
    pub(super) peer: Peer,
    pub(super) requests: Arc<Requests>,
    /// A session goes on where it began: its messages are written in that codec.
    pub(super) route: Arc<EventRoute>,
    /// `None` when it is over.
    registration: Mutex<Option<Registration>>,
}

/// The session of a registered peer.
pub(super) struct SessionOf {
    pub(super) id: String,
    /// How its events are written.
    pub(super) codec: Codec,
}

impl Member {
    pub(super) fn new(registration: Registration, route: Arc<EventRoute>) -> Self {
        Self::moved(registration, route, 0)
    }

    /// The same of a session that was on another node, where its client was asked so many questions.
    pub(super) fn moved(registration: Registration, route: Arc<EventRoute>, asked: u64) -> Self {
        let peer = registration.peer().clone();
        let registration = Mutex::new(Some(registration));
        Self { peer, requests: Arc::new(Requests::after(asked)), route, registration }
    }

    /// Notes how a connection of it ended.
    pub(super) fn note_closed(&self, code: CloseCode) {
        if let Some(registration) = &*self.registration.lock() {
            registration.ended_with(code);
        }
    }

    /// The session is over: it leaves its rooms and the hub, and nobody waits for its answers.
    pub(super) fn end(&self) {
        let registration = self.registration.lock().take();
        // Not under the lock: leaving the hub wakes others.
        drop(registration);
        self.requests.end();
    }
}
