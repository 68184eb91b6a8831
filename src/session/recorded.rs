//! Sessions as a store has them.

use std::time::Duration;

use tokio::time::Instant;

use crate::outbox::{KeptMark, KeptState};
use crate::sync::Arc;

use super::id::random;
use super::session::Session;
use super::store::{Sessions, taken_over};
use super::token::TokenHash;

/// What another node has to know of a session to go on with it, but for what the application keeps.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) token: [u8; 32],
    pub(crate) token_before: Option<[u8; 32]>,
    pub(crate) received: u64,
    pub(crate) kept: KeptState,
    /// How long it waits for its client; `None` while it is there.
    pub(crate) waits_for: Option<Duration>,
}

/// It is another one after each change that a record of the session would miss.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionMark {
    token: [u8; 32],
    has_token_before: bool,
    received: u64,
    waits: bool,
    kept: KeptMark,
}

impl Session {
    /// As it is now. `None`: it is over, or on its way from one connection to another.
    pub(crate) fn image(&self) -> Option<Image> {
        let state = self.0.state.lock();
        let now = Instant::now();
        Some(Image {
            token: state.token.to_bytes(),
            token_before: state.token_before.map(TokenHash::to_bytes),
            received: state.received,
            kept: self.0.relay.image()?,
            waits_for: state.waits.map(|(until, _)| until.saturating_duration_since(now)),
        })
    }

    /// What there is to see of a change, without looking at messages.
    pub(crate) fn change_mark(&self) -> Option<SessionMark> {
        let state = self.0.state.lock();
        Some(SessionMark {
            token: state.token.to_bytes(),
            has_token_before: state.token_before.is_some(),
            received: state.received,
            waits: state.waits.is_some(),
            kept: self.0.relay.change_mark()?,
        })
    }
}

impl Sessions {
    /// A name for a place that has none.
    ///
    /// # Panics
    /// When the system has no random generator.
    pub(crate) fn new_place() -> [u8; 16] {
        random()
    }

    /// Whether this is a hash of a token, in the same time for every difference.
    pub(crate) fn is_hash(known: [u8; 32], shown: [u8; 32]) -> bool {
        TokenHash::from_bytes(known).is(&TokenHash::from_bytes(shown))
    }

    /// Whether this session is here still, and not one of its name that came later.
    pub(crate) fn has(&self, session: &Session) -> bool {
        let tables = self.store.tables.lock();
        tables.sessions.get(session.id()).is_some_and(|here| Arc::ptr_eq(&here.0, &session.0))
    }

    /// Somebody else has it: a connection that still has it is closed with 4001. False: it was not here any more.
    pub(crate) fn fence(&self, session: &Session) -> bool {
        let mut tables = self.store.tables.lock();
        let here = tables.sessions.get(session.id());
        if !here.is_some_and(|here| Arc::ptr_eq(&here.0, &session.0)) {
            return false;
        }
        tables.remove(session);
        drop(tables);
        session.0.relay.end(taken_over());
        true
    }
}
