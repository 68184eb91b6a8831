//! All sessions of a server.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::time::Instant;

use crate::frame::CloseFrame;
use crate::outbox::{Budget, Front, Gap, HandOver, Kept, KeptBounds, Outbox, Relay, Sender};
use crate::protocol::Message;
use crate::sync::{Arc, Mutex};

use super::config::SessionConfig;
use super::error::{ResumeError, SessionError};
use super::id::SessionId;
use super::session::{Opening, Session};
use super::token::{TokenHash, new_token};

/// Sessions that have gone and are remembered, so that whoever comes too late is told so, or sent on.
const GONE_MAX: usize = 4096;

/// Places that are kept whatever happened.
const PLACES_KEPT: usize = 64;

/// All sessions of a server. Cloning counts a reference.
///
/// ```
/// use sockeye::session::{SessionConfig, Sessions};
///
/// let sessions = Sessions::new(SessionConfig::default());
/// assert!(sessions.is_empty());
/// ```
#[derive(Clone)]
pub struct Sessions {
    pub(super) store: Arc<Store>,
}

pub(super) struct Store {
    pub(super) config: SessionConfig,
    pub(super) budget: Arc<Budget>,
    /// Where these sessions are, behind each token; empty where there is no other place.
    place: Box<str>,
    pub(super) tables: Mutex<Tables>,
}

/// A session is in `waiting` exactly while it is suspended.
pub(super) struct Tables {
    pub(super) sessions: HashMap<SessionId, Session>,
    waiting: BTreeMap<(Instant, u64), SessionId>,
    next_place: u64,
    /// Put out for others, and to be told of.
    put_out: Vec<Session>,
    pub(super) gone: Gone,
    /// When it was last looked at how old messages are.
    looked_at: Option<Instant>,
}

/// A client that comes to go on with its session.
#[derive(Clone, Copy)]
pub struct Resume<'a> {
    /// The session's public name.
    pub id: &'a str,
    /// Its secret.
    pub token: &'a str,
    /// Who has come: it has to be the session's user.
    pub user: Option<&'a str>,
    /// How many messages of the session the client has received.
    pub received: u64,
    /// How many of its own the client knows that the server has had; 0 where it does not say.
    pub acknowledged: u64,
    /// The session with which this connection began, which is given up for it.
    pub instead_of: Option<&'a Session>,
}

/// Without the token.
impl std::fmt::Debug for Resume<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resume")
            .field("id", &self.id)
            .field("user", &self.user)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// No sessions yet.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self::placed(config, "")
    }

    /// The same; behind each token stands where these are.
    pub(crate) fn placed(config: SessionConfig, place: &str) -> Self {
        let budget = Arc::new(Budget::new(config.kept_bytes_total_max));
        let tables = Tables {
            sessions: HashMap::new(),
            waiting: BTreeMap::new(),
            next_place: 0,
            put_out: Vec::new(),
            gone: Gone::default(),
            looked_at: None,
        };
        let (place, tables) = (place.into(), Mutex::new(tables));
        Self { store: Arc::new(Store { config, budget, place, tables }) }
    }

    /// A new session on this connection. What `first` makes is sent first and does not count; from there
    /// on everything that the connection sends counts, and is kept until it is acknowledged.
    ///
    /// What waits in the connection's outbox leaves before, as much as it encodes at once (64 KiB); more is lost.
    ///
    /// # Errors
    /// When there are as many as there may be and all have a connection, or this one is closing.
    pub fn create(
        &self,
        connection: &Sender,
        user: Option<&str>,
        first: impl FnOnce(&Opening<'_>) -> Message,
    ) -> Result<Session, SessionError> {
        let outbox = outbox(connection).ok_or(SessionError::Closed)?;
        let SessionConfig { sessions_max, suspended_for, .. } = self.store.config;
        let (id, token) = (SessionId::new(), new_token(&self.store.place));
        let opening = Opening { id: &id, token: &token, user, sent: 0, received: 0, suspended_for };
        let first = first(&opening);
        let kept = Kept::new(connection.id(), self.store.bounds(), self.store.budget.clone());
        let mut tables = self.store.tables.lock();
        tables.make_room(sessions_max)?;
        let relay = Relay::begin(outbox, first, kept).ok_or(SessionError::Closed)?;
        let user = user.map(Arc::from);
        let on = Some(connection.id());
        let session = Session::new(id.clone(), user, relay, on, TokenHash::of(&token), 0);
        tables.sessions.insert(id, session.clone());
        Ok(session)
    }

    /// A session goes on on this connection: what `first` makes, which does not count, then what the client
    /// has not received, then what comes. A connection that still has the session is closed with 4001.
    ///
    /// The token is another from here on. The one before resumes once more as long as nothing has come from
    /// the client: who loses its connection before it is told the new one does not lose its session.
    ///
    /// # Errors
    /// See [`ResumeError`]. The session goes on waiting, but for
    /// [`HistoryLost`](ResumeError::HistoryLost), with which it ends.
    pub fn resume(
        &self,
        connection: &Sender,
        resume: &Resume<'_>,
        first: impl FnOnce(&Opening<'_>) -> Message,
    ) -> Result<Session, ResumeError> {
        let outbox = outbox(connection).ok_or(ResumeError::Closed)?;
        let shown = TokenHash::of(resume.token);
        let mut tables = self.store.tables.lock();
        let session = tables.find(resume.id, &shown, resume.user)?;
        let mut state = session.0.state.lock();
        if let Err(error) = session.0.relay.check(resume.received) {
            drop(state);
            return Err(tables.refuse(&session, error));
        }
        if resume.acknowledged > state.received {
            return Err(ResumeError::Ahead);
        }
        let taken_over = taken_over().ok_or(ResumeError::Closed)?;
        let token = new_token(&self.store.place);
        let make = || {
            first(&Opening {
                id: &session.0.id,
                token: &token,
                user: resume.user,
                sent: resume.received,
                received: state.received,
                suspended_for: self.store.config.suspended_for,
            })
        };
        if let Some(given_up) = resume.instead_of.filter(|other| other.id() != session.id()) {
            given_up.0.relay.end(None);
            tables.sessions.remove(given_up.id());
        }
        let handed = session.0.relay.hand_over(outbox, resume.received, taken_over, make);
        if let Err(error) = handed {
            // Whoever had it has lost it.
            self.store.begin_waiting(&mut tables, &session, &mut state);
            return Err(of_hand_over(error));
        }
        // The one that the client has: it may be the one before, again.
        (state.token, state.token_before) = (TokenHash::of(&token), Some(shown));
        state.connection = Some(connection.id());
        // Whoever asked before is too late.
        state.moves = None;
        if let Some(place) = state.waits.take() {
            tables.waiting.remove(&place);
        }
        drop(state);
        Ok(session)
    }

    /// The connection of this [number](Sender::id) has ended: its session waits for another. False: the
    /// session is on another already, or has ended.
    pub fn suspend(&self, session: &Session, connection: u64) -> bool {
        let mut tables = self.store.tables.lock();
        let mut state = session.0.state.lock();
        if state.connection != Some(connection) || !tables.sessions.contains_key(session.id()) {
            return false;
        }
        if !session.0.relay.suspend(connection) {
            return false;
        }
        self.store.begin_waiting(&mut tables, session, &mut state);
        true
    }

    /// Ends a session. Its connection, if it has one, is closed with this code and reason after what waits;
    /// a code that may not be sent leaves it open.
    pub fn end(&self, session: &Session, code: u16, reason: &str) {
        let mut tables = self.store.tables.lock();
        tables.remove(session);
        drop(tables);
        session.0.relay.end(CloseFrame::new(code, reason).ok());
    }

    /// Ends what has waited for too long, and forgets messages that are too old. Returns the sessions that
    /// have ended since it was last called, other than by [`end`](Self::end). To be called about once a second.
    pub fn sweep(&self) -> Vec<Session> {
        let now = Instant::now();
        let mut tables = self.store.tables.lock();
        let tables = &mut *tables;
        while let Some(first) = tables.waiting.first_entry()
            && first.key().0 <= now
        {
            let id = first.remove();
            if let Some(session) = tables.sessions.get(&id).cloned() {
                tables.gone.add(&session, None);
                tables.put_out(&session);
            }
        }
        let looked_at = *tables.looked_at.get_or_insert(now);
        if now.saturating_duration_since(looked_at) >= self.store.config.kept_for {
            tables.looked_at = Some(now);
            tables.sessions.values().for_each(|session| session.0.relay.forget_old());
        }
        std::mem::take(&mut tables.put_out)
    }

    /// What is told of a token.
    #[allow(dead_code, reason = "for the floor above")]
    pub(crate) fn hash_of(token: &str) -> [u8; 32] {
        TokenHash::of(token).to_bytes()
    }

    /// A session by its public name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Session> {
        self.store.tables.lock().sessions.get(id).cloned()
    }

    /// All sessions. Costs a clone of each.
    #[must_use]
    pub fn all(&self) -> Vec<Session> {
        self.store.tables.lock().sessions.values().cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.tables.lock().sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them wait for a connection.
    #[must_use]
    pub fn suspended(&self) -> usize {
        self.store.tables.lock().waiting.len()
    }

    /// What all kept messages cost, in bytes.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.store.budget.used()
    }
}

/// The outbox of a connection; a session's sender is none.
fn outbox(sender: &Sender) -> Option<&Arc<Outbox>> {
    match sender.front() {
        Front::Connection(outbox) => Some(outbox),
        Front::Session(_) => None,
    }
}

/// What a connection is closed with whose session is another's.
pub(super) fn taken_over() -> Option<CloseFrame> {
    CloseFrame::new(4001, "taken over by another connection").ok()
}

pub(super) const fn of_hand_over(error: HandOver) -> ResumeError {
    match error {
        HandOver::Gap(Gap::Ahead) => ResumeError::Ahead,
        HandOver::Gap(Gap::Lost) => ResumeError::HistoryLost,
        HandOver::Ended => ResumeError::Unknown,
        HandOver::Closed => ResumeError::Closed,
    }
}

impl Store {
    pub(super) const fn bounds(&self) -> KeptBounds {
        KeptBounds {
            messages_max: self.config.kept_messages_max,
            bytes_max: self.config.kept_bytes_max,
        }
    }

    pub(super) fn begin_waiting(
        &self,
        tables: &mut Tables,
        session: &Session,
        state: &mut super::session::State,
    ) {
        state.connection = None;
        if state.waits.is_some() {
            return;
        }
        let now = Instant::now();
        let until = now.checked_add(self.config.suspended_for).unwrap_or(now);
        let place = (until, tables.next_place);
        tables.next_place += 1;
        state.waits = Some(place);
        tables.waiting.insert(place, session.id().clone());
    }
}

impl Tables {
    /// Ends the one that has waited for longest. False: none waits.
    fn put_oldest_out(&mut self) -> bool {
        let Some((_, id)) = self.waiting.pop_first() else {
            return false;
        };
        if let Some(session) = self.sessions.get(&id).cloned() {
            self.gone.add(&session, None);
            self.put_out(&session);
        }
        true
    }

    /// A place for one more.
    pub(super) fn make_room(&mut self, sessions_max: usize) -> Result<(), SessionError> {
        if self.sessions.len() >= sessions_max && !self.put_oldest_out() {
            return Err(SessionError::Full { sessions_max });
        }
        Ok(())
    }

    /// The session of who shows this token.
    pub(super) fn find(
        &self,
        id: &str,
        shown: &TokenHash,
        user: Option<&str>,
    ) -> Result<Session, ResumeError> {
        let Some(session) = self.sessions.get(id).cloned() else {
            let is_expired = self.gone.find(id, shown) == Some(None);
            return Err(if is_expired { ResumeError::Expired } else { ResumeError::Unknown });
        };
        let state = session.0.state.lock();
        if !state.is_token(shown) || session.user() != user {
            return Err(ResumeError::Unknown);
        }
        if state.waits.is_some_and(|(until, _)| until <= Instant::now()) {
            return Err(ResumeError::Expired);
        }
        drop(state);
        Ok(session)
    }

    /// What the client has not had is not here: the session ends, unless the client is mistaken.
    pub(super) fn refuse(&mut self, session: &Session, error: HandOver) -> ResumeError {
        if error != HandOver::Gap(Gap::Ahead) {
            // Who has it still has no session from here on.
            session.0.relay.end(taken_over());
            self.put_out(session);
        }
        of_hand_over(error)
    }

    fn put_out(&mut self, session: &Session) {
        session.0.relay.end(None);
        if self.remove(session) {
            self.put_out.push(session.clone());
        }
    }

    pub(super) fn remove(&mut self, session: &Session) -> bool {
        let mut state = session.0.state.lock();
        state.connection = None;
        if let Some(place) = state.waits.take() {
            self.waiting.remove(&place);
        }
        drop(state);
        let is_removed = self.sessions.remove(session.id()).is_some();
        if self.sessions.capacity() > PLACES_KEPT
            && self.sessions.len() < self.sessions.capacity() / 8
        {
            // Memory of a burst is given back.
            self.sessions.shrink_to(PLACES_KEPT);
        }
        is_removed
    }
}

/// The last sessions that have expired or are on another node, with what their tokens were.
#[derive(Default)]
pub(super) struct Gone {
    tokens: HashMap<SessionId, Trace>,
    order: VecDeque<SessionId>,
}

struct Trace {
    token: TokenHash,
    before: Option<TokenHash>,
    /// On which node it is; `None`: it has expired.
    on: Option<[u8; 16]>,
}

impl Gone {
    pub(super) fn add(&mut self, session: &Session, on: Option<[u8; 16]>) {
        if self.order.len() >= GONE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.tokens.remove(&oldest);
        }
        let state = session.0.state.lock();
        let trace = Trace { token: state.token, before: state.token_before, on };
        drop(state);
        self.order.push_back(session.id().clone());
        self.tokens.insert(session.id().clone(), trace);
    }

    /// Where it is gone, for whoever shows its token: to which node; to none when it has expired.
    pub(super) fn find(&self, id: &str, shown: &TokenHash) -> Option<Option<[u8; 16]>> {
        let trace = self.tokens.get(id)?;
        let is_before = trace.before.as_ref().is_some_and(|before| before.is(shown));
        (trace.token.is(shown) || is_before).then_some(trace.on)
    }

    /// It is back.
    #[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
    pub(super) fn forget(&mut self, id: &SessionId) {
        if self.tokens.remove(id).is_some() {
            self.order.retain(|known| known != id);
        }
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.len())
            .field("suspended", &self.suspended())
            .finish_non_exhaustive()
    }
}
