//! Sessions that go from one node to another.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::outbox::{Kept, KeptMessage, KeptState, Onward, Relay, Sender};
use crate::sync::Arc;

use super::error::{ResumeError, SessionError};
use super::id::SessionId;
use super::session::{Mover, Moves, Session};
use super::store::{Sessions, of_hand_over, taken_over};
use super::token::{SECRET_CHARS, TokenHash};

/// How long another node may take to say that it has a session it was told of: longer than any waits for that.
const MOVE_MAX: Duration = Duration::from_secs(60);

/// A client that asks for a session on another node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed<'a> {
    pub(crate) id: &'a str,
    /// The hash of its token.
    pub(crate) token: [u8; 32],
    pub(crate) user: Option<&'a str>,
    pub(crate) received: u64,
}

/// A session as another node has told of it.
pub(crate) struct Arrival<'a> {
    pub(crate) id: &'a str,
    /// The hash of the token that was shown.
    pub(crate) token: [u8; 32],
    pub(crate) user: Option<&'a str>,
    /// Messages of the client.
    pub(crate) received: u64,
    pub(crate) kept: KeptState,
}

/// A session that is on another node from here on.
pub(crate) struct Departed {
    pub(crate) session: Session,
    /// What was sent to it alone since the other node was told of it.
    pub(crate) alone: Vec<KeptMessage>,
}

impl Sessions {
    /// What stands behind the tokens of a node.
    pub(crate) fn place_of(node: [u8; 16]) -> String {
        URL_SAFE_NO_PAD.encode(node)
    }

    /// Where a session is by its token, as far as that says.
    pub(crate) fn place_in(token: &str) -> Option<[u8; 16]> {
        let (_, place) = token.split_at_checked(SECRET_CHARS)?;
        URL_SAFE_NO_PAD.decode(place).ok()?.try_into().ok()
    }

    /// Whether a text may be the name of a session.
    pub(crate) fn may_be_id(id: &str) -> bool {
        SessionId::may_be(id)
    }

    /// The session that another node asks for. Nothing happens yet.
    pub(crate) fn claimed(&self, claim: &Claimed<'_>) -> Result<Session, ResumeError> {
        let tables = self.store.tables.lock();
        tables.find(claim.id, &TokenHash::from_bytes(claim.token), claim.user)
    }

    /// On which node a session is that was here, for whoever shows its token.
    pub(crate) fn moved_to(&self, claim: &Claimed<'_>) -> Option<[u8; 16]> {
        let tables = self.store.tables.lock();
        tables.gone.find(claim.id, &TokenHash::from_bytes(claim.token))?
    }

    /// What another node has to know, and how many messages of the client were had. A connection that still has the
    /// session is closed with 4001. It waits on here until the other node says that it has it; whoever asks last is the
    /// one who may.
    pub(crate) fn freeze(
        &self,
        claim: &Claimed<'_>,
        mover: Mover,
    ) -> Result<(KeptState, u64), ResumeError> {
        let mut tables = self.store.tables.lock();
        let session = tables.find(claim.id, &TokenHash::from_bytes(claim.token), claim.user)?;
        if let Err(error) = session.0.relay.check(claim.received) {
            return Err(tables.refuse(&session, error));
        }
        let mut state = session.0.state.lock();
        let taken_over = taken_over().ok_or(ResumeError::Closed)?;
        let kept = session.0.relay.freeze(claim.received, taken_over).map_err(of_hand_over);
        self.store.begin_waiting(&mut tables, &session, &mut state);
        let kept = kept?;
        let now = Instant::now();
        let until = now.checked_add(MOVE_MAX).unwrap_or(now);
        state.moves = Some(Box::new(Moves { mover, until }));
        Ok((kept, state.received))
    }

    /// The other node does not take it after all.
    pub(crate) fn thaw(&self, id: &str, mover: Mover) {
        let Some(session) = self.get(id) else { return };
        let mut state = session.0.state.lock();
        if state.moves.as_ref().is_some_and(|moves| moves.mover == mover) {
            state.moves = None;
            session.0.relay.thaw();
        }
    }

    /// The other node has it: it is known here no longer, but for where it is.
    pub(crate) fn depart(
        &self,
        id: &str,
        mover: Mover,
        onward: Arc<Onward>,
    ) -> Result<Departed, ResumeError> {
        let mut tables = self.store.tables.lock();
        let session = tables.sessions.get(id).cloned().ok_or(ResumeError::Unknown)?;
        let state = session.0.state.lock();
        let is_mover = |moves: &Moves| moves.mover == mover && moves.until > Instant::now();
        if !state.moves.as_ref().is_some_and(|moves| is_mover(moves)) {
            return Err(ResumeError::TakenOver);
        }
        drop(state);
        let alone = session.0.relay.depart(onward).ok_or(ResumeError::TakenOver)?;
        tables.gone.add(&session, Some(mover.node));
        tables.remove(&session);
        Ok(Departed { session, alone })
    }

    /// A session that comes from another node, as far as it goes without being had: nobody can resume it.
    pub(crate) fn stage(&self, connection: &Sender, arrival: Arrival<'_>) -> Session {
        let Arrival { id, token, user, received, kept } = arrival;
        let number = crate::net::next_id();
        let (bounds, budget) = (self.store.bounds(), self.store.budget.clone());
        let kept = Kept::restore(number, bounds, budget, kept);
        let relay = Relay::arrived(number, connection.config().clone(), kept);
        let user = user.map(Arc::from);
        let token = TokenHash::from_bytes(token);
        Session::new(SessionId::known(id), user, relay, None, token, received)
    }

    /// It is had from here on, and waits for its client.
    ///
    /// # Errors
    /// When there is no room for it, or it is here already.
    pub(crate) fn admit(&self, session: &Session) -> Result<(), SessionError> {
        let mut tables = self.store.tables.lock();
        if tables.sessions.contains_key(session.id()) {
            return Err(SessionError::Closed);
        }
        tables.make_room(self.store.config.sessions_max)?;
        tables.gone.forget(session.id());
        tables.sessions.insert(session.id().clone(), session.clone());
        let mut state = session.0.state.lock();
        self.store.begin_waiting(&mut tables, session, &mut state);
        Ok(())
    }

    /// It comes to nothing.
    pub(crate) fn discard(session: &Session) {
        session.0.relay.end(None);
    }
}

/// A message of another node, as it is sent here.
pub(crate) fn pass_on(session: &Session, message: KeptMessage) {
    // Whoever is gone has lost it with the session.
    let _ = session.0.relay.take_in(message);
}
