//! One identity, over all its connections.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::outbox::{Relay, SendError, Sender, Sent};
use crate::protocol::Message;
use crate::sync::{Arc, Mutex, OnceLock};

use super::error::AckError;
use super::id::SessionId;
use super::token::TokenHash;

/// What a client has to know of its session.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Opening<'a> {
    /// The session's public name.
    pub id: &'a SessionId,
    /// The secret with which it is resumed: another each time.
    pub token: &'a str,
    /// Whose session it is.
    pub user: Option<&'a str>,
    /// The number of the last message of the server before this connection: the next counts one more.
    pub sent: u64,
    /// How many messages of the client the server has had.
    pub received: u64,
    /// How long the session waits when this connection has ended.
    pub suspended_for: Duration,
}

/// Without the token.
impl fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("id", &self.id)
            .field("user", &self.user)
            .field("sent", &self.sent)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// One identity, over all its connections. Cloning counts a reference.
#[derive(Clone)]
pub struct Session(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) id: SessionId,
    pub(super) user: Option<Arc<str>>,
    pub(super) relay: Arc<Relay>,
    sender: Sender,
    pub(super) state: Mutex<State>,
    attached: OnceLock<Arc<dyn Any + Send + Sync>>,
}

pub(super) struct State {
    /// `None` while it is suspended, or has ended.
    pub(super) connection: Option<u64>,
    pub(super) token: TokenHash,
    /// The one before is good until the client shows that it has the new one: who loses its connection
    /// while it is told would lose its session.
    pub(super) token_before: Option<TokenHash>,
    pub(super) received: u64,
    /// Until when it waits, and its place among those that wait.
    pub(super) waits: Option<(Instant, u64)>,
    /// Another node has asked for it.
    pub(super) moves: Option<Box<Moves>>,
}

/// A session that another node has asked for and does not have yet.
#[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
pub(super) struct Moves {
    pub(super) mover: Mover,
    /// Until when it may say that it has it.
    pub(super) until: Instant,
}

/// Who moves a session: a node, by its name, and its number for the move. Whoever asked last is the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mover {
    pub(crate) node: [u8; 16],
    pub(crate) number: u64,
}

impl State {
    /// Whether it is its token, or the one before.
    pub(super) fn is_token(&self, shown: &TokenHash) -> bool {
        self.token.is(shown) || self.token_before.as_ref().is_some_and(|before| before.is(shown))
    }
}

impl Session {
    pub(super) fn new(
        id: SessionId,
        user: Option<Arc<str>>,
        relay: Relay,
        connection: Option<u64>,
        token: TokenHash,
        received: u64,
    ) -> Self {
        let relay = Arc::new(relay);
        let sender = Sender::of_session(relay.clone());
        let state =
            State { connection, token, token_before: None, received, waits: None, moves: None };
        let state = Mutex::new(state);
        Self(Arc::new(Inner { id, user, relay, sender, state, attached: OnceLock::new() }))
    }

    /// Its public name.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.0.id
    }

    /// Whose it is, where somebody was asked for that.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.0.user.as_deref()
    }

    /// The same sender for the whole life of the session, whatever connection it has: rooms hold this one.
    /// While there is none, what is sent waits ([`Sent::Kept`]).
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.0.sender
    }

    /// Whether it waits for its next connection.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.0.state.lock().waits.is_some()
    }

    /// The connection it has, by its [number](Sender::id).
    #[must_use]
    pub fn connection(&self) -> Option<u64> {
        self.0.state.lock().connection
    }

    /// Messages since it began that have left for a connection, or wait for the next one while there is none.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.0.relay.sent()
    }

    /// Messages of the client that were counted.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.0.state.lock().received
    }

    /// The client has said over this connection that it has received so many messages: they need not be
    /// kept any more. Fewer than it has said before change nothing, nor does what comes late over a
    /// connection that has lost the session.
    ///
    /// # Errors
    /// When not so many were sent.
    pub fn acknowledge(&self, connection: u64, received: u64) -> Result<(), AckError> {
        let mut state = self.0.state.lock();
        if state.connection != Some(connection) {
            return Ok(());
        }
        state.token_before = None;
        drop(state);
        self.0.relay.acknowledge(received).map_err(|_| AckError)
    }

    /// Counts a message that came over this connection. False: another connection has the session by now,
    /// and the client sends the message again there. Do not handle it.
    #[must_use = "a message of a connection that lost the session must not be handled"]
    pub fn count_received(&self, connection: u64) -> bool {
        let mut state = self.0.state.lock();
        if state.connection != Some(connection) {
            return false;
        }
        state.received += 1;
        state.token_before = None;
        true
    }

    /// Whether a client that shows the token with this hash has the one that was told last.
    #[allow(dead_code, reason = "for the floor above")]
    pub(crate) fn has_latest(&self, shown: &[u8; 32]) -> bool {
        self.0.state.lock().token.is(&TokenHash::from_bytes(*shown))
    }

    /// Sends a message that does not count and is not kept, behind what waits.
    ///
    /// # Errors
    /// [`SendError::Closed`] while there is no connection.
    pub fn send_uncounted(&self, message: impl Into<Message>) -> Result<Sent, SendError> {
        self.0.relay.send_uncounted(message.into())
    }

    /// Gives it something of the application's for its whole life. False: it has something already.
    pub fn attach<T: Any + Send + Sync>(&self, value: Arc<T>) -> bool {
        self.0.attached.set(value).is_ok()
    }

    /// What was attached, if it is of this type.
    #[must_use]
    pub fn attached<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.attached.get()?.clone().downcast().ok()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.id)
            .field("user", &self.0.user)
            .finish_non_exhaustive()
    }
}
