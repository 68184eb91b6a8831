//! Sessions that go on on another node than the one they were on.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::hub::cluster::{
    Claim, Cover, Keeper, Move, Moves, NodeId, Refusal, SessionState, Waiting,
};
use crate::hub::{Hub, Peer, Profile};
use crate::outbox::{KeptMessage, KeptState};
use crate::protocol::PreparedMessage;
use crate::session::{Arrival, Claimed, Departed, Mover, ResumeError, Session, Sessions, pass_on};
use crate::sync::{Arc, Mutex};

use super::entry::Entering;
use super::event::system::Reconnect;
use super::member::{Member, SessionOf};
use super::shared::Shared;

/// Sessions that come here at a time; others wait for their turn.
const MOVES_MAX: usize = 256;

/// Nodes that a session is followed to.
const HOPS_MAX: usize = 4;

/// How long it takes until it is worth asking again.
const RETRY: Duration = Duration::from_millis(5);

/// Messages that may come before the session they are for is had.
const EARLY_MAX: usize = 256;

/// The other nodes, as far as sessions come from there.
pub(super) struct Moving {
    moves: Moves,
    places: Semaphore,
    /// Sessions that are on their way here, by their ids: how often, and what was sent to them where they were since they
    /// left.
    arriving: Mutex<HashMap<String, (usize, Vec<KeptMessage>)>>,
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
        gone: impl Future<Output = ()>,
    ) -> Result<(), ResumeError> {
        let Some(home) = self.home(entering, request) else { return Ok(()) };
        let (trip, mut gone) = (Trip::new(self, entering, request, profile), pin!(gone));
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

    fn is_arriving(&self, id: &str) -> bool {
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
    async fn install(&self, staged: &mut Staged, state: SessionState) -> Result<bool, Cover> {
        let (app, route) = (self.entering.app.clone(), self.entering.route.clone());
        let (connection, id) = (self.entering.connection.clone(), self.request.session_id.clone());
        let user = self.entering.visitor.user_id().map(str::to_owned);
        let (token, profile) = (self.token, self.profile.clone());
        let SessionState { received, sent, unsent, questions, rooms, metadata, heard, messages } =
            state;
        let act = move |beyond: Vec<PreparedMessage>| {
            let messages = messages.into_iter().map(kept).collect();
            let unsent = usize::try_from(unsent).unwrap_or(usize::MAX);
            let kept = KeptState { sent, unsent, messages };
            let arrival = Arrival { id: &id, token, user: user.as_deref(), received, kept };
            let session = app.sessions.stage(&connection, arrival);
            for message in &beyond {
                // It has no connection, so it is kept.
                let _ = session.sender().try_broadcast(message);
            }
            let profile = profile.extension(SessionOf { id, codec: route.codec });
            let Ok(registration) = app.hub.register_bare(session.sender(), profile) else {
                return (session, false);
            };
            let peer = registration.peer();
            let is_in = rooms.iter().all(|room| peer.enter(room).is_ok());
            peer.restore_metadata(pairs(metadata));
            session.attach(Arc::new(Member::moved(registration, route, questions)));
            (session, is_in)
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
        let admitted = app.sessions.admit(&session);
        drop(arriving);
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

fn end(session: &Session) {
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

/// Sessions of this node, for others to have.
struct Giving {
    app: Weak<Shared>,
}

impl Giving {
    fn app(&self) -> Result<Arc<Shared>, Refusal> {
        self.app.upgrade().filter(|app| !app.is_stopping()).ok_or(Refusal::Unknown)
    }
}

impl Keeper for Giving {
    fn find(&self, claim: &Claim) -> Result<Peer, Refusal> {
        let app = self.app()?;
        let session = app.sessions.claimed(&claimed(claim)).map_err(|error| {
            let is_arriving = app.moving.as_ref().is_some_and(|it| it.is_arriving(&claim.session));
            match (error, app.sessions.moved_to(&claimed(claim))) {
                (ResumeError::Expired, _) => Refusal::Expired,
                (_, Some(node)) if !is_arriving => Refusal::Moved(NodeId::from_bytes(node)),
                _ if is_arriving => Refusal::Again,
                _ => Refusal::Unknown,
            }
        })?;
        let member = session.attached::<Member>().ok_or(Refusal::Unknown)?;
        // What is kept for it is written in the codec of its route.
        let is_there = *member.route.name == *claim.route;
        if is_there { Ok(member.peer.clone()) } else { Err(Refusal::Unknown) }
    }

    fn freeze(&self, by: NodeId, claim: &Claim) -> Result<SessionState, Refusal> {
        let app = self.app()?;
        let mover = Mover { node: *by.as_bytes(), number: claim.number };
        let frozen = app.sessions.freeze(&claimed(claim), mover);
        let (kept, received) = frozen.map_err(|error| match error {
            ResumeError::HistoryLost | ResumeError::Ahead => Refusal::HistoryLost,
            ResumeError::Expired => Refusal::Expired,
            _ => Refusal::Unknown,
        })?;
        let session = app.sessions.get(&claim.session).ok_or(Refusal::Unknown)?;
        let member = session.attached::<Member>().ok_or(Refusal::Unknown)?;
        Ok(SessionState {
            received,
            sent: kept.sent,
            unsent: kept.unsent as u64,
            questions: member.requests.asked(),
            metadata: metadata(&member.peer),
            messages: kept.messages.into_iter().map(waiting).collect(),
            ..SessionState::default()
        })
    }

    fn depart(&self, by: NodeId, number: u64, id: &str) -> Result<SessionState, Refusal> {
        let app = self.app()?;
        let moves = app.moving.as_ref().ok_or(Refusal::Unknown)?.moves.clone();
        let session: Arc<str> = id.into();
        let onward = move |message| moves.say_onward(by, &session, waiting(message));
        let mover = Mover { node: *by.as_bytes(), number };
        let departed = app.sessions.depart(id, mover, Arc::new(onward));
        let Departed { session, alone } = departed.map_err(|error| match error {
            ResumeError::TakenOver => Refusal::TakenOver,
            _ => Refusal::Unknown,
        })?;
        let messages = alone.into_iter().map(waiting).collect();
        let mut rest = SessionState { messages, ..SessionState::default() };
        if let Some(member) = session.attached::<Member>() {
            rest.metadata = metadata(&member.peer);
            let rooms = member.peer.rooms();
            rest.rooms = rooms.iter().map(|room| room.name().into()).collect();
            drop(rooms);
            member.end();
        }
        Ok(rest)
    }

    fn thaw(&self, by: NodeId, number: u64, id: &str) {
        if let Some(app) = self.app.upgrade() {
            app.sessions.thaw(id, Mover { node: *by.as_bytes(), number });
        }
    }

    fn take_in(&self, id: &str, message: Waiting) {
        let Some(app) = self.app.upgrade() else { return };
        let Some(moving) = &app.moving else { return };
        let mut arriving = moving.arriving.lock();
        if let Some(session) = app.sessions.get(id) {
            drop(arriving);
            pass_on(&session, kept(message));
        } else if let Some((_, early)) = arriving.get_mut(id)
            && early.len() < EARLY_MAX
        {
            early.push(kept(message));
        }
    }
}

fn claimed(claim: &Claim) -> Claimed<'_> {
    Claimed {
        id: &claim.session,
        token: claim.token,
        user: claim.user.as_deref(),
        received: claim.received,
    }
}

fn waiting(message: KeptMessage) -> Waiting {
    let KeptMessage { key, is_text, compress, payload } = message;
    Waiting { key, is_text, compress, payload }
}

fn kept(message: Waiting) -> KeptMessage {
    let Waiting { key, is_text, compress, payload } = message;
    KeptMessage { key, is_text, compress, payload }
}

fn metadata(peer: &Peer) -> Vec<Arc<str>> {
    let pairs = peer.all_metadata().into_iter();
    pairs.flat_map(|(key, value)| [key.into(), value.into()]).collect()
}

fn pairs(metadata: Vec<Arc<str>>) -> impl Iterator<Item = (String, String)> {
    let mut texts = metadata.into_iter();
    std::iter::from_fn(move || Some((texts.next()?.to_string(), texts.next()?.to_string())))
}
