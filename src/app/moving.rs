//! Sessions that go on on another node than the one they were on.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::hub::cluster::{Claim, Cover, Move, Moves, NodeId, Refusal, SessionState};
use crate::hub::{Hub, Peer, Profile};
use crate::outbox::KeptMessage;
use crate::protocol::PreparedMessage;
use crate::session::{Claimed, ResumeError, Session, Sessions, pass_on};
use crate::sync::{Arc, Mutex};

use super::entry::Entering;
use super::event::system::Reconnect;
use super::giving::Giving;
use super::housing::{Guest, Housed, kept, pairs};
use super::member::Member;
use super::shared::Shared;

/// Sessions that come here at a time; others wait for their turn.
const MOVES_MAX: usize = 256;

/// Nodes that a session is followed to.
const HOPS_MAX: usize = 4;

/// How long it takes until it is worth asking again.
const RETRY: Duration = Duration::from_millis(5);

/// Messages that may come before the session they are for is had.
pub(super) const EARLY_MAX: usize = 256;

/// The other nodes, as far as sessions come from there.
pub(super) struct Moving {
    pub(super) moves: Moves,
    places: Semaphore,
    /// Sessions that are on their way here, by their ids: how often, and what was sent to them where they were since they
    /// left.
    pub(super) arriving: Mutex<HashMap<String, (usize, Vec<KeptMessage>)>>,
}

impl Moving {
    /// `None`: the hub is no node of a cluster.
    pub(super) fn of(hub: &Hub) -> Option<Self> {
        let moves = hub.moves()?;
        Some(Self { moves, places: Semaphore::new(MOVES_MAX), arriving: Mutex::default() })
    }

    /// What stands behind the tokens of its sessions.
    pub(super) fn place(&self) -> String {
        Sessions::place_of(*self.moves.node().as_bytes())
    }

    /// Whether there is another node that a session could go to.
    pub(super) fn has_others(&self) -> bool {
        self.moves.has_others()
    }

    /// From here on others can have its sessions.
    pub(super) fn begin(&self, app: &Arc<Shared>) {
        self.moves.set_keeper(Box::new(Giving { app: Arc::downgrade(app) }));
    }

    /// Brings the session that a client asks for here, if it is on another node. Where there is nothing to be brought it
    /// is as before.
    ///
    /// `gone` says that the client is: then its session stays where it was, for the client asks elsewhere, and whoever asks last
    /// has it.
    ///
    /// Cancel safety: a session that is on its way stays where it was, or comes here and waits.
    pub(super) async fn bring(
        &self,
        entering: &Entering<'_>,
        request: &Reconnect,
        profile: &Profile,
        gone: Pin<&mut (impl Future<Output = ()> + ?Sized)>,
    ) -> Result<(), ResumeError> {
        match self.home(entering, request) {
            Some(home) => self.bring_from(home, entering, request, profile, gone).await,
            None => Ok(()),
        }
    }

    /// The same from this node.
    pub(super) async fn bring_from(
        &self,
        home: NodeId,
        entering: &Entering<'_>,
        request: &Reconnect,
        profile: &Profile,
        mut gone: Pin<&mut (impl Future<Output = ()> + ?Sized)>,
    ) -> Result<(), ResumeError> {
        let trip = Trip::new(self, entering, request, profile);
        let staged = tokio::select! {
            staged = timeout(self.moves.timeout(), trip.stage(home)) => staged,
            () = &mut gone => return Err(ResumeError::Closed),
        };
        let Some(staged) = staged.unwrap_or(Err(ResumeError::Unknown))? else { return Ok(()) };
        let (sender, settled) = oneshot::channel();
        let arriving = trip.arriving;
        // To its end, whatever becomes of this connection: from here on nobody else may have it.
        entering.app.adopt(Box::pin(async move {
            // Whoever waits for it may have gone.
            let _ = sender.send(staged.settle(&arriving).await);
        }));
        tokio::select! {
            settled = settled => settled.unwrap_or(Err(ResumeError::Unknown)),
            () = gone => Err(ResumeError::Closed),
        }
    }

    /// On which other node a session is, as far as its token says, or this node that had it. `None`: it is here, or nobody
    /// knows.
    fn home(&self, entering: &Entering<'_>, request: &Reconnect) -> Option<NodeId> {
        let (id, token) = (&request.session_id, &request.token);
        let sessions = &entering.app.sessions;
        let home = NodeId::from_bytes(Sessions::place_in(token)?);
        if !Sessions::may_be_id(id) || sessions.get(id).is_some() {
            return None;
        }
        if home != self.moves.node() {
            return Some(home);
        }
        let (token, user) = (Sessions::hash_of(token), entering.visitor.user_id());
        let claimed = Claimed { id, token, user, received: request.received };
        sessions.moved_to(&claimed).map(NodeId::from_bytes)
    }

    pub(super) fn is_arriving(&self, id: &str) -> bool {
        self.arriving.lock().contains_key(id)
    }
}

/// One client that waits for its session.
struct Trip<'a> {
    moving: &'a Moving,
    entering: &'a Entering<'a>,
    profile: &'a Profile,
    request: &'a Reconnect,
    token: [u8; 32],
    arriving: Arriving,
}

/// That a session is on its way here.
struct Arriving {
    app: Arc<Shared>,
    id: String,
}

impl Arriving {
    fn begin(app: &Arc<Shared>, moving: &Moving, id: &str) -> Self {
        moving.arriving.lock().entry(id.to_owned()).or_default().0 += 1;
        Self { app: app.clone(), id: id.to_owned() }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let Some(moving) = &self.app.moving else { return };
        let mut arriving = moving.arriving.lock();
        if let Some((count, _)) = arriving.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                arriving.remove(&self.id);
            }
        }
    }
}

impl<'a> Trip<'a> {
    fn new(
        moving: &'a Moving,
        entering: &'a Entering<'a>,
        request: &'a Reconnect,
        profile: &'a Profile,
    ) -> Self {
        let arriving = Arriving::begin(entering.app, moving, &request.session_id);
        let token = Sessions::hash_of(&request.token);
        Self { moving, entering, profile, request, token, arriving }
    }

    /// A claim but for its numbers.
    fn claim(&self, is_head_only: bool) -> Claim {
        Claim {
            id: 0,
            number: 0,
            is_head_only,
            received: self.request.received,
            token: self.token,
            session: self.request.session_id.as_str().into(),
            route: self.entering.route.name.as_str().into(),
            user: self.entering.visitor.user_id().map(Arc::from),
        }
    }

    /// Until there is a whole, or it is known that there will be none; `None`: another connection has brought it here. The
    /// caller limits the time.
    async fn stage(&self, home: NodeId) -> Result<Option<Staged>, ResumeError> {
        self.known(home).await;
        // It is never closed.
        let _place = self.moving.places.acquire().await;
        let mut home = home;
        loop {
            let way = self.moving.moves.begin(home, self.entering.visitor.user_id());
            let id = self.request.session_id.clone();
            let mut staged = Staged { way, session: None, id, is_settled: false };
            match self.fetch(&mut staged).await {
                Ok(()) => return Ok(Some(staged)),
                Err(Failure::Here) if self.is_here() => return Ok(None),
                Err(Failure::Here) => {}
                Err(Failure::Again(node)) => home = node,
                Err(Failure::Over(error)) => return Err(error),
            }
            sleep(RETRY).await;
        }
    }

    fn is_here(&self) -> bool {
        self.entering.app.sessions.get(&self.request.session_id).is_some()
    }

    async fn known(&self, node: NodeId) {
        while !self.moving.moves.knows(node) {
            sleep(4 * RETRY).await;
        }
    }

    async fn fetch(&self, staged: &mut Staged) -> Result<(), Failure> {
        let head = self.ask(&mut staged.way, true).await?;
        let mut rooms = head.rooms;
        loop {
            if !staged.way.listen(&rooms, self.moving.moves.timeout()).await {
                return Err(Failure::Over(ResumeError::Unknown));
            }
            let state = self.ask(&mut staged.way, false).await?;
            if !state.rooms.iter().all(|room| rooms.contains(room)) {
                rooms = state.rooms;
                continue;
            }
            match self.install(staged, state).await {
                Ok(is_whole) if is_whole => return Ok(()),
                // It may not be in one of its rooms here.
                Ok(_) => return Err(Failure::Over(ResumeError::Unknown)),
                Err(Cover::Lost) => return Err(Failure::Again(staged.way.home())),
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// Asks, until there is an answer, and whoever has it.
    async fn ask(&self, way: &mut Move, is_head_only: bool) -> Result<SessionState, Failure> {
        let mut hops = 0;
        loop {
            match way.claim(self.claim(is_head_only)).await {
                Ok(state) => return Ok(state),
                Err(Refusal::Again) => sleep(RETRY).await,
                Err(Refusal::Moved(node)) if node == self.moving.moves.node() => {
                    return Err(Failure::Here);
                }
                Err(Refusal::Moved(node)) if hops < HOPS_MAX => {
                    hops += 1;
                    self.known(node).await;
                    way.turn_to(node);
                }
                Err(Refusal::Expired) => return Err(Failure::Over(ResumeError::Expired)),
                Err(Refusal::HistoryLost) => return Err(Failure::Over(ResumeError::HistoryLost)),
                Err(Refusal::TakenOver) => return Err(Failure::Over(ResumeError::TakenOver)),
                Err(_) => return Err(Failure::Over(ResumeError::Unknown)),
            }
        }
    }

    /// What was told and what was noted here become a session, which is in its rooms and cannot be resumed yet. False:
    /// there is no room for it.
    async fn install(&self, staged: &mut Staged, mut state: SessionState) -> Result<bool, Cover> {
        let (app, route) = (self.entering.app.clone(), self.entering.route.clone());
        let (connection, id) = (self.entering.connection.clone(), self.request.session_id.clone());
        let user = self.entering.visitor.user_id().map(str::to_owned);
        let (token, profile) = (self.token, self.profile.clone());
        let heard = std::mem::take(&mut state.heard);
        let act = move |beyond: Vec<PreparedMessage>| {
            let guest = Guest { app: &app, route: &route, connection: &connection, profile };
            let (session, housed) = guest.house(&id, (token, user.as_deref()), state, &beyond);
            (session, housed == Housed::InAll)
        };
        let (session, is_whole) = staged.way.install(heard, act).await?;
        staged.session = Some(session);
        // Not while nobody may speak.
        self.entering.app.hub.tell_changes();
        Ok(is_whole)
    }
}

/// Why nothing came of it.
enum Failure {
    /// It is to be tried anew.
    Again(NodeId),
    /// It is on its way here already, or has come.
    Here,
    Over(ResumeError),
}

/// A session that is here and is not had yet. Dropping it leaves it where it was.
struct Staged {
    way: Move,
    session: Option<Session>,
    id: String,
    is_settled: bool,
}

impl Staged {
    /// The other node gives it away: here it is had.
    async fn settle(mut self, arriving: &Arriving) -> Result<(), ResumeError> {
        let app = &arriving.app;
        let moving = app.moving.as_ref().ok_or(ResumeError::Unknown)?;
        let settled = timeout(moving.moves.timeout(), self.way.settle(&self.id)).await;
        let rest = match settled {
            Ok(Ok(rest)) => rest,
            Ok(Err(Refusal::TakenOver)) => return Err(ResumeError::TakenOver),
            _ => return Err(ResumeError::Unknown),
        };
        self.is_settled = true;
        let session = self.session.take().ok_or(ResumeError::Unknown)?;
        let member = session.attached::<Member>().ok_or(ResumeError::Unknown)?;
        follow(&member.peer, &rest.rooms);
        member.peer.restore_metadata(pairs(rest.metadata));
        // Under the lock, so that what was sent there later comes later.
        let mut arriving = moving.arriving.lock();
        let early = arriving.get_mut(&self.id).map(|(_, early)| std::mem::take(early));
        let alone = rest.messages.into_iter().map(kept);
        alone.chain(early.into_iter().flatten()).for_each(|message| pass_on(&session, message));
        if let Some(storing) = &app.storing {
            // Before it is there: from then on it is written.
            storing.note_moved(session.id());
        }
        let admitted = app.sessions.admit(&session);
        drop(arriving);
        match &app.storing {
            Some(storing) if admitted.is_ok() => storing.hurry(&session),
            Some(storing) => storing.forget(session.id()),
            None => {}
        }
        if admitted.is_err() {
            end(&session);
        }
        admitted.map_err(|_| ResumeError::Unknown)
    }
}

/// In the rooms that it was in at last, and in no others.
fn follow(peer: &Peer, rooms: &[Arc<str>]) {
    for room in peer.rooms() {
        if !rooms.iter().any(|name| **name == *room.name()) {
            peer.leave(room.name());
        }
    }
    for room in rooms {
        // Where it may not be in it any more, whoever asks is told so.
        let _ = peer.join(room);
    }
}

pub(super) fn end(session: &Session) {
    Sessions::discard(session);
    if let Some(member) = session.attached::<Member>() {
        member.end();
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.session.iter().for_each(end);
        if !self.is_settled {
            self.way.give_up(&self.id);
        }
    }
}
