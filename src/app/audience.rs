//! Many who are spoken to at once.

use serde::Serialize;

use crate::hub::{Except, Hub};

use super::error::EventSendError;
use super::event::{Codec, Outgoing};

/// Those an event is for: a room, a user, everybody. It is written once.
#[derive(Clone, Debug)]
#[must_use = "nothing is said before `send`"]
pub struct Audience {
    hub: Hub,
    codec: Codec,
    to: To,
    /// Who speaks, as the hub knows it.
    speaker: Option<u64>,
    except: Except,
}

#[derive(Clone, Debug)]
pub(super) enum To {
    All,
    Room(String),
    User(String),
}

impl Audience {
    pub(super) const fn new(hub: Hub, codec: Codec, to: To, speaker: Option<u64>) -> Self {
        Self { hub, codec, to, speaker, except: Except::nobody() }
    }

    /// All but who speaks.
    pub fn except_self(mut self) -> Self {
        self.except = self.speaker.map_or(Except::nobody(), Except::from);
        self
    }

    /// All but these, by the [ids](crate::hub::Peer::id) of their peers.
    pub fn except(mut self, except: impl Into<Except>) -> Self {
        self.except = except.into();
        self
    }

    /// Sends an event, and waits for nobody.
    ///
    /// # Errors
    /// When it cannot be written, or the hub's job queue is full. What one of them misses is its own outbox's
    /// business.
    pub fn send<P: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &P,
    ) -> Result<(), EventSendError> {
        let outgoing = Outgoing { name: event, payload, correlation_id: None, timestamp: None };
        let json = outgoing.to_json(self.codec)?;
        match &self.to {
            To::All => self.hub.broadcast_except(&*json, self.except.clone())?,
            To::Room(room) => {
                self.hub.room(room).broadcast_except(&*json, self.except.clone())?;
            }
            To::User(user) => {
                let message = crate::protocol::PreparedMessage::new(&*json);
                for peer in self.hub.user(user) {
                    if !self.except.has(peer.id()) {
                        // One session that misses it does not keep it from the others.
                        let _ = peer.sender().try_send_prepared(&message);
                    }
                }
            }
        }
        Ok(())
    }
}
