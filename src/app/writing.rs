//! Writes sessions to the store, behind what happens.

use tokio::task::{JoinSet, yield_now};
use tokio::time::{MissedTickBehavior, interval};

use crate::hub::cluster::{SessionRecord, SessionState};
use crate::session::stores::{Put, StoreError, Wrote};
use crate::session::{Image, Session, SessionId};
use crate::sync::Arc;

use super::housing::{texts, waiting};
use super::member::Member;
use super::shared::Shared;
use super::storing::{Epoch, Phase, Storing};

/// So many sessions are looked at before others have their turn.
const LOOKS_MAX: usize = 256;

/// Writes what has changed, until the application ends. Its store can only hold up itself: what is slow is given up, what is
/// absent is tried again with the next round.
///
/// ```text
///   every interval: all sessions ──changed?──► put ──Done──► known
///   a connection fell: that one  ─────┘         └──Taken──► the session is another node's: ended here with 4001
/// ```
pub(super) async fn write(app: Arc<Shared>) {
    let Some(storing) = &app.storing else { return };
    let mut ticks = interval(storing.config.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut phases = storing.phase.subscribe();
    let last = loop {
        let are_all_due = tokio::select! {
            _ = ticks.tick() => true,
            () = storing.woken.notified() => false,
            phase = phases.wait_for(|phase| *phase != Phase::Writing) => {
                // The sender is in what this task holds.
                break phase.map_or(Phase::Done, |phase| *phase);
            }
        };
        round(&app, storing, if are_all_due { app.sessions.all() } else { storing.take_soon() })
            .await;
    };
    let sessions = if last == Phase::Parking { app.sessions.all() } else { Vec::new() };
    round(&app, storing, sessions).await;
    storing.phase.send_replace(Phase::Done);
}

/// What is over is removed, and of these sessions those are written that have changed: so many at a time. With the first that
/// the store does not answer it is given up.
async fn round(app: &Arc<Shared>, storing: &Arc<Storing>, sessions: Vec<Session>) {
    let mut calls = Calls { calls: JoinSet::new(), calls_max: storing.config.calls_max };
    let mut over = storing.take_over().into_iter();
    while calls.has_room().await
        && let Some(id) = over.next()
    {
        let storing = storing.clone();
        calls.calls.spawn(async move {
            let erased = erase(&storing, &id).await;
            if erased.is_err() {
                storing.give_back_over(std::iter::once(id));
            }
            erased.is_ok()
        });
    }
    storing.give_back_over(over);
    for (looked_at, session) in sessions.into_iter().enumerate() {
        if looked_at % LOOKS_MAX == LOOKS_MAX - 1 {
            yield_now().await;
        }
        if !storing.is_due(&session) {
            continue;
        }
        if !calls.has_room().await {
            break;
        }
        let (app, storing) = (app.clone(), storing.clone());
        calls.calls.spawn(async move { write_one(&app, &storing, &session).await.is_ok() });
    }
    while calls.calls.join_next().await.is_some() {}
    storing.tidy(&app.sessions);
}

/// Calls that are under way.
struct Calls {
    calls: JoinSet<bool>,
    calls_max: usize,
}

impl Calls {
    /// Waits for room for another one. False: one has failed.
    async fn has_room(&mut self) -> bool {
        while self.calls.len() >= self.calls_max {
            // One that panicked has failed.
            if !matches!(self.calls.join_next().await, Some(Ok(true))) {
                return false;
            }
        }
        while let Some(ended) = self.calls.try_join_next() {
            if !matches!(ended, Ok(true)) {
                return false;
            }
        }
        true
    }
}

/// The record of one session, as it is now.
async fn write_one(
    app: &Arc<Shared>,
    storing: &Arc<Storing>,
    session: &Session,
) -> Result<(), StoreError> {
    let id = session.id();
    let Some(member) = session.attached::<Member>() else { return Ok(()) };
    let (number, known) = storing.known(id);
    let (expected, epoch) = match known {
        Some(Epoch::Known(epoch)) => (epoch, epoch),
        None => (0, 1),
        Some(known) => match storing.read(id.as_str()).await? {
            None => (0, 1),
            Some((epoch, Some(record)))
                if known == Epoch::Moved || record.owner == storing.owner =>
            {
                (epoch, epoch + 1)
            }
            Some(_) => {
                fence(app, storing, session, &member);
                return Ok(());
            }
        },
    };
    // The mark first: what changes in between is written again.
    let (Some(mark), Some(image)) = (Storing::mark(session), session.image()) else {
        return Ok(());
    };
    if !app.sessions.has(session) {
        if known.is_none() {
            storing.forget_this(id, number);
        }
        return Ok(());
    }
    if expected != epoch {
        storing.doubt(id, number);
    }
    let (is_there, keep_for) = (image.waits_for.is_none(), storing.keep_for(image.waits_for));
    let bytes = storing.encode(record(storing, session, &member, image));
    let mut put = Put { expected, epoch, bytes, keep_for };
    let mut wrote = storing.put(id.as_str(), put.clone()).await?;
    if wrote == Wrote::Missing {
        // The store has lost it.
        storing.doubt(id, number);
        (put.expected, put.epoch) = (0, epoch.saturating_add(1));
        wrote = storing.put(id.as_str(), put.clone()).await?;
    }
    match wrote {
        Wrote::Done => storing.note_written(id, number, put.epoch, (mark, is_there)),
        Wrote::Taken if matches!(known, Some(Epoch::Known(_))) => {
            fence(app, storing, session, &member);
        }
        // It is read the next time.
        _ => {}
    }
    Ok(())
}

/// Somebody else has it.
fn fence(app: &Arc<Shared>, storing: &Storing, session: &Session, member: &Member) {
    if app.sessions.fence(session) {
        storing.count(&storing.counters.taken_over);
        storing.forget(session.id());
        member.end();
    }
}

fn record(storing: &Storing, session: &Session, member: &Member, image: Image) -> SessionRecord {
    let Image { token, token_before, received, kept, .. } = image;
    let rooms = member.peer.rooms();
    SessionRecord {
        owner: storing.owner,
        token,
        token_before,
        route: member.route.name.as_str().into(),
        user: session.user().map(Arc::from),
        state: SessionState {
            received,
            sent: kept.sent,
            unsent: kept.unsent as u64,
            questions: member.requests.asked(),
            rooms: rooms.iter().map(|room| room.name().into()).collect(),
            metadata: texts(&member.peer),
            messages: kept.messages.into_iter().map(waiting).collect(),
            ..SessionState::default()
        },
    }
}

/// A session has ended. Where somebody may believe that it has it still, what stays of its record says that it has not.
async fn erase(storing: &Storing, id: &SessionId) -> Result<(), StoreError> {
    let epoch = match storing.epoch(id) {
        Some(Epoch::Known(epoch)) => Some(epoch),
        Some(known) => match storing.read(id.as_str()).await? {
            Some((epoch, Some(record))) => {
                let is_ours = known == Epoch::Moved || record.owner == storing.owner;
                is_ours.then_some(epoch)
            }
            _ => None,
        },
        None => None,
    };
    match epoch {
        Some(1) => storing.remove(id.as_str(), 1).await?,
        Some(expected) => {
            let (epoch, keep_for) = (expected.saturating_add(1), storing.keep_for(None));
            let put = Put { expected, epoch, bytes: bytes::Bytes::new(), keep_for };
            storing.put(id.as_str(), put).await?;
        }
        None => {}
    }
    storing.forget(id);
    Ok(())
}
