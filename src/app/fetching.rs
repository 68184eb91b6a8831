//! Sessions that come from the store, for nobody has them any more.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::hub::Profile;
use crate::hub::cluster::{NodeId, SessionRecord, SessionState};
use crate::outbox::Sender;
use crate::session::stores::{Put, Wrote};
use crate::session::{ResumeError, Session, SessionId, Sessions};
use crate::sync::Arc;

use super::entry::Entering;
use super::event::system::Reconnect;
use super::housing::{Guest, Housed};
use super::member::Member;
use super::moving::end;
use super::routes::EventRoute;
use super::shared::Shared;
use super::storing::Storing;

/// How often it is tried to have a session that others want to have at the same time.
const TRIES_MAX: usize = 4;

/// How long it takes until it is worth trying again.
const RETRY: Duration = Duration::from_millis(5);

/// How far a client may be ahead of a record: more messages are not written in between.
const AHEAD_MAX: u64 = 1 << 32;

impl Storing {
    /// Brings the session that a client asks for here, if there is a record of it. Where another node has it that lives, it
    /// comes from there.
    ///
    /// Cancel safety: a session whose record was taken over comes here and waits.
    pub(super) async fn bring(
        self: &Arc<Self>,
        entering: &Entering<'_>,
        request: &Reconnect,
        profile: &Profile,
        mut gone: Pin<&mut (impl Future<Output = ()> + ?Sized)>,
    ) -> Result<(), ResumeError> {
        let id = &request.session_id;
        if !Sessions::may_be_id(id) || entering.app.is_stopping() {
            return Err(ResumeError::Unknown);
        }
        let mut asked = Sessions::place_in(&request.token).map(NodeId::from_bytes);
        for _ in 0..TRIES_MAX {
            let found = tokio::select! {
                found = self.find(entering, request) => found?,
                () = &mut gone => return Err(ResumeError::Closed),
            };
            let Some((epoch, record)) = found else { return Ok(()) };
            if let Some(moving) = &entering.app.moving
                && record.owner != self.owner
                && asked != Some(record.owner)
                && moving.moves.knows(record.owner)
            {
                asked = Some(record.owner);
                let gone = gone.as_mut();
                let brought =
                    moving.bring_from(record.owner, entering, request, profile, gone).await;
                match brought {
                    Err(ResumeError::Unknown) => continue,
                    brought => return brought,
                }
            }
            let claim = Claiming::new(self, entering, request, profile, (epoch, record))?;
            let (sender, claimed) = oneshot::channel();
            // To its end, whatever becomes of this connection: nobody else would have it.
            entering.app.adopt(Box::pin(async move {
                // Whoever waits for it may have gone.
                let _ = sender.send(claim.run().await);
            }));
            let claimed = tokio::select! {
                claimed = claimed => claimed.unwrap_or(Err(ResumeError::Unknown))?,
                () = &mut gone => return Err(ResumeError::Closed),
            };
            match claimed {
                Claimed::Here => return Ok(()),
                Claimed::Elsewhere => sleep(RETRY).await,
            }
        }
        Err(ResumeError::TakenOver)
    }

    /// The record of the session that a client asks for; `None`: it is here.
    async fn find(
        &self,
        entering: &Entering<'_>,
        request: &Reconnect,
    ) -> Result<Option<(u64, SessionRecord)>, ResumeError> {
        let id = &request.session_id;
        // It is never closed.
        let _place = self.places.acquire().await;
        let found = self.read(id).await.map_err(|_| ResumeError::Unknown)?;
        if entering.app.sessions.get(id).is_some() {
            return Ok(None);
        }
        let Some((epoch, Some(record))) = found else { return Err(ResumeError::Unknown) };
        let shown = Sessions::hash_of(&request.token);
        let is_current = Sessions::is_hash(record.token, shown);
        let is_before = record.token_before.is_some_and(|before| Sessions::is_hash(before, shown));
        let is_theirs = record.user.as_deref() == entering.visitor.user_id()
            && *record.route == *entering.route.name;
        if !(is_current || is_before) || !is_theirs || self.is_ending(id) {
            return Err(ResumeError::Unknown);
        }
        Ok(Some((epoch, record)))
    }
}

/// What came of trying to have a session.
enum Claimed {
    Here,
    /// Somebody else was quicker.
    Elsewhere,
}

/// A session whose record is taken over.
struct Claiming {
    storing: Arc<Storing>,
    app: Arc<Shared>,
    route: Arc<EventRoute>,
    connection: Sender,
    profile: Profile,
    id: String,
    token: [u8; 32],
    epoch: u64,
    record: SessionRecord,
    /// As it goes on here.
    state: SessionState,
}

impl Claiming {
    fn new(
        storing: &Arc<Storing>,
        entering: &Entering<'_>,
        request: &Reconnect,
        profile: &Profile,
        (epoch, record): (u64, SessionRecord),
    ) -> Result<Self, ResumeError> {
        Ok(Self {
            storing: storing.clone(),
            app: entering.app.clone(),
            route: entering.route.clone(),
            connection: entering.connection.clone(),
            profile: profile.clone(),
            id: request.session_id.clone(),
            token: Sessions::hash_of(&request.token),
            epoch,
            state: going_on(&record.state, request)?,
            record,
        })
    }

    async fn run(mut self) -> Result<Claimed, ResumeError> {
        let epoch = self.epoch.checked_add(1).ok_or(ResumeError::Unknown)?;
        self.record.owner = self.storing.owner;
        let put = Put {
            expected: self.epoch,
            epoch,
            bytes: self.storing.encode(self.record.clone()),
            keep_for: self.storing.keep_for(None),
        };
        match self.storing.put(&self.id, put).await {
            Ok(Wrote::Done) => {}
            Ok(_) => return Ok(Claimed::Elsewhere),
            Err(_) => return Err(ResumeError::Unknown),
        }
        let session = self.house(epoch)?;
        self.storing.count(&self.storing.counters.restored);
        self.hear(&session).await;
        Ok(Claimed::Here)
    }

    /// From here on it is here.
    fn house(&mut self, epoch: u64) -> Result<Session, ResumeError> {
        let Self { storing, app, route, connection, profile, record, .. } = self;
        let guest = Guest { app, route, connection, profile: profile.clone() };
        let (token, user) = (self.token, record.user.as_deref());
        let state = std::mem::take(&mut self.state);
        let (session, housed) = guest.house(&self.id, (token, user), state, &[]);
        app.hub.tell_changes();
        if housed == Housed::Nowhere {
            end(&session);
            return Err(ResumeError::Unknown);
        }
        let id: &SessionId = session.id();
        storing.note_claimed(id, epoch);
        if app.sessions.admit(&session).is_err() {
            end(&session);
            // Another connection of the client has brought it here, or there is no room for it.
            return app.sessions.get(id.as_str()).ok_or(ResumeError::Unknown);
        }
        storing.hurry(&session);
        Ok(session)
    }

    /// Waits until what is said to its rooms on other nodes is heard, so that who asks for what is missing asks for all of it.
    async fn hear(&self, session: &Session) {
        let Some(member) = session.attached::<Member>() else { return };
        let until = Instant::now() + self.storing.config.timeout;
        for room in member.peer.rooms() {
            // Where it is not heard in time its own gap says so.
            room.subscribed(until.saturating_duration_since(Instant::now())).await;
        }
    }
}

/// A session as it goes on from its record, for a client that has had so many of its messages and knows how many of its
/// own were had. Numbers go on where the client is, where it is ahead: what was sent in between is not known any more.
fn going_on(state: &SessionState, request: &Reconnect) -> Result<SessionState, ResumeError> {
    let (had, acknowledged) = (request.received, request.acknowledged.unwrap_or(0));
    let is_lost = had < state.sent - state.messages.len() as u64
        || had > state.sent.saturating_add(AHEAD_MAX)
        || acknowledged > state.received.saturating_add(AHEAD_MAX);
    if is_lost {
        return Err(ResumeError::HistoryLost);
    }
    let mut state = state.clone();
    // What was said since it was written.
    state.has_gap = true;
    state.received = state.received.max(acknowledged);
    if had > state.sent {
        state.sent = had;
        state.messages.clear();
    }
    // They may have been on a wire since they were written.
    state.unsent = state.unsent.min(state.sent - had);
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::cluster::Waiting;
    use crate::protocol::Compress;

    /// How a session goes on of which 10 messages were sent, the last 4 of them kept and 3 on no wire yet, and 5 had come:
    /// what was sent, what of it is kept and on no wire, and what has come.
    fn go_on(received: u64, acknowledged: u64) -> Option<(u64, usize, u64, u64)> {
        let payload = bytes::Bytes::new();
        let waiting = Waiting { key: None, is_text: true, compress: Compress::Auto, payload };
        let mut state = SessionState::default();
        (state.sent, state.unsent, state.received) = (10, 3, 5);
        state.messages = vec![waiting; 4];
        let (session_id, token) = (String::new(), String::new());
        let acknowledged = Some(acknowledged);
        let request = Reconnect { session_id, token, received, acknowledged };
        let state = going_on(&state, &request).ok()?;
        Some((state.sent, state.messages.len(), state.unsent, state.received))
    }

    /// BY-42: numbers go on where the client is, and never back.
    #[test]
    fn by_42_numbers_go_on_where_the_client_is() {
        assert_eq!(go_on(5, 0), None);
        assert_eq!(go_on(6, 0), Some((10, 4, 3, 5)));
        assert_eq!(go_on(7, 5), Some((10, 4, 3, 5)));
        // They were on a wire after all.
        assert_eq!(go_on(8, 6), Some((10, 4, 2, 6)));
        assert_eq!(go_on(10, 9), Some((10, 4, 0, 9)));
        assert_eq!(go_on(11, 0), Some((11, 0, 0, 5)));
        assert_eq!(
            go_on(10 + AHEAD_MAX, 5 + AHEAD_MAX),
            Some((10 + AHEAD_MAX, 0, 0, 5 + AHEAD_MAX))
        );
        assert_eq!((go_on(11 + AHEAD_MAX, 0), go_on(10, 6 + AHEAD_MAX)), (None, None));
        assert_eq!((go_on(u64::MAX, 0), go_on(10, u64::MAX)), (None, None));
    }
}
