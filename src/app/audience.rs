//! Many who are spoken to at once.

use serde::Serialize;

use crate::hub::Except;
use crate::protocol::PreparedMessage;
use crate::sync::Arc;

use super::error::EventSendError;
use super::event::{Codec, Outgoing};
use super::member::Member;
use super::shared::Shared;

/// Those an event is for: a room, a user, a session, everybody. It is written once.
#[derive(Clone)]
#[must_use = "nothing is said before `send`"]
pub struct Audience {
    app: Arc<Shared>,
    codec: Codec,
    to: To,
    /// Who speaks, as the hub knows it.
    speaker: Option<u64>,
    except: Except,
    keep: Keep,
}

/// Whether an event is for those, too, who come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Not,
    All,
    /// Only the latest of this key.
    Latest(u64),
}

#[derive(Clone, Debug)]
pub(super) enum To {
    All,
    Room(String),
    User(String),
    Session(String),
}

impl Audience {
    pub(super) const fn new(app: Arc<Shared>, codec: Codec, to: To, speaker: Option<u64>) -> Self {
        Self { app, codec, to, speaker, except: Except::nobody(), keep: Keep::Not }
    }

    /// Writes it in this codec, where those it is for are of routes with another than who speaks.
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
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

    /// All but this user, too, wherever it is.
    pub fn except_user(mut self, user: &str) -> Self {
        self.except = self.except.and_user(user);
        self
    }

    /// Keeps what is said to a room for those who come [later](super::Context::join_with_history), within the bounds of
    /// the application's [history](super::App::history).
    pub const fn keep(mut self) -> Self {
        self.keep = Keep::All;
        self
    }

    /// Keeps it in the place of what was kept in this room under the same key: a price, a position, a state.
    pub const fn keep_latest(mut self, key: u64) -> Self {
        self.keep = Keep::Latest(key);
        self
    }

    /// Waits while the hub has much to do: a handler that waits for this before it speaks holds back its client, and
    /// not everybody else.
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn ready(&self) {
        std::future::poll_fn(|cx| self.app.hub.poll_ready(cx)).await;
    }

    /// Sends an event, and waits for nobody.
    ///
    /// # Errors
    /// When it cannot be written, the hub's job queue is full, or it is to be kept and the audience is no room; to one
    /// session when that is not here, or its outbox does not take it. What one of many misses is its own outbox's
    /// business.
    pub fn send<P: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &P,
    ) -> Result<(), EventSendError> {
        let outgoing = Outgoing { name: event, payload, correlation_id: None, timestamp: None };
        let (hub, except) = (&self.app.hub, &self.except);
        let json = || outgoing.to_json(self.codec);
        let message = || json().map(|json| PreparedMessage::new(&*json));
        match (&self.to, self.keep) {
            (To::Room(room), Keep::Not) => hub.room(room).publish(&message()?, except)?,
            (To::Room(room), keep) => {
                let key = if let Keep::Latest(key) = keep { Some(key) } else { None };
                self.app.history.say(room, key, &message()?, except)?;
            }
            (_, Keep::All | Keep::Latest(_)) => return Err(EventSendError::NoRoom),
            (To::All, Keep::Not) => hub.broadcast_except(&*json()?, except.clone())?,
            (To::User(user), Keep::Not) => {
                // One session that misses it does not keep it from the others.
                let _ = hub.send_prepared_to_user(user, &message()?, except);
            }
            (To::Session(id), Keep::Not) => self.send_to_session(id, &outgoing)?,
        }
        Ok(())
    }

    fn send_to_session<P: Serialize + ?Sized>(
        &self,
        id: &str,
        event: &Outgoing<'_, P>,
    ) -> Result<(), EventSendError> {
        let session = self.app.sessions.get(id).ok_or(EventSendError::NoSession)?;
        let member = session.attached::<Member>().ok_or(EventSendError::NoSession)?;
        if !self.except.leaves_out(&member.peer) {
            session.sender().try_send(event.to_json(member.route.codec)?)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audience")
            .field("codec", &self.codec)
            .field("to", &self.to)
            .field("except", &self.except)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
