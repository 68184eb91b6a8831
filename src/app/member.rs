//! What an application keeps of a session, whatever connection it is on.

use std::sync::atomic::AtomicU8;

use crate::frame::CloseCode;
use crate::hub::{Peer, Registration};
use crate::session::Session;
use crate::sync::{Arc, Mutex, Ordering};

use super::event::Codec;
use super::requests::Requests;
use super::routes::EventRoute;

/// A session as the hub and the application know it: attached to the session.
pub(super) struct Member {
    pub(super) peer: Peer,
    pub(super) requests: Arc<Requests>,
    /// A session goes on where it began: its messages are written in that codec.
    pub(super) route: Arc<EventRoute>,
    pub(super) gap: Told,
    /// `None` when it is over.
    registration: Mutex<Option<Registration>>,
}

/// Whether the client has to be told that something may be missing: until it has shown that it was.
#[derive(Debug, Default)]
pub(super) struct Told(AtomicU8);

const NOT_TOLD: u8 = 1;
const TOLD: u8 = 2;

impl Told {
    /// Something may be missing.
    #[allow(dead_code, reason = "without feature `pubsub` there is no store")]
    pub(super) fn begin(&self) {
        self.0.store(NOT_TOLD, Ordering::Relaxed);
    }

    /// Whether the client of this session, which comes back now with the token that has this hash, is to be told.
    pub(super) fn is_due(&self, session: &Session, shown: &[u8; 32]) -> bool {
        match self.0.load(Ordering::Relaxed) {
            0 => false,
            // The latest token was told with it.
            TOLD => !session.has_latest(shown),
            _ => true,
        }
    }

    /// It has come back, and was told so.
    pub(super) fn note(&self, is_told: bool) {
        self.0.store(if is_told { TOLD } else { 0 }, Ordering::Relaxed);
    }
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
        Self {
            peer,
            requests: Arc::new(Requests::after(asked)),
            route,
            gap: Told::default(),
            registration,
        }
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
