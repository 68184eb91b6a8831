//! Sessions of this node that go to another.

use std::sync::Weak;

use crate::hub::Peer;
use crate::hub::cluster::{Claim, Keeper, NodeId, Refusal, SessionState, Waiting};
use crate::session::{Claimed, Departed, Mover, ResumeError, pass_on};
use crate::sync::Arc;

use super::housing::{kept, texts, waiting};
use super::member::Member;
use super::moving::EARLY_MAX;
use super::shared::Shared;

/// Sessions of this node, for others to have.
pub(super) struct Giving {
    pub(super) app: Weak<Shared>,
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
            has_gap: member.gap.is_due(&session, &claim.token),
            received,
            sent: kept.sent,
            unsent: kept.unsent as u64,
            questions: member.requests.asked(),
            metadata: texts(&member.peer),
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
        if let Some(storing) = &app.storing {
            storing.forget(session.id());
        }
        let messages = alone.into_iter().map(waiting).collect();
        let mut rest = SessionState { messages, ..SessionState::default() };
        if let Some(member) = session.attached::<Member>() {
            rest.metadata = texts(&member.peer);
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
