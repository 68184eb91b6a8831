//! The store of an application's sessions, and what is known of each record in it.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::client::BoxFuture;
use crate::hub::Hub;
use crate::hub::cluster::{NodeId, SessionRecord};
use crate::hub::metrics::StoreCounters;
use crate::session::stores::{
    Put, Record, SessionStore, SharedStore, StoreConfig, StoreError, StoreErrorKind, Wrote,
};
use crate::session::{Session, SessionId, SessionMark, Sessions};
use crate::sync::{Arc, Mutex, MutexGuard, Ordering};

use super::Moving;
use super::last::Last;
use super::member::Member;

/// How much longer a record is there than its session may wait.
const MARGIN: Duration = Duration::from_secs(10);

/// Clients whose sessions are looked for in the store at a time; others wait for their turn.
const CLAIMS_MAX: usize = 256;

/// Sessions that are to be written before the others.
const SOON_MAX: usize = 4096;

/// Sessions that have ended whose records could not be removed yet.
const OVER_MAX: usize = 4096;

/// What an application is given to keep its sessions in.
pub(super) struct Storage {
    pub(super) store: SharedStore,
    pub(super) config: StoreConfig,
}

/// The store, with what is known of the sessions here that are in it.
pub(super) struct Storing {
    store: SharedStore,
    pub(super) config: StoreConfig,
    /// This node, in its records.
    pub(super) owner: NodeId,
    pub(super) counters: Arc<StoreCounters>,
    /// How long sessions wait for their clients.
    suspended_for: Duration,
    pub(super) places: Semaphore,
    book: Mutex<Book>,
    /// Something is to be written soon.
    pub(super) woken: Notify,
    pub(super) phase: watch::Sender<Phase>,
}

/// How far the writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Writing,
    /// What is over is removed, and then it is done.
    Clearing,
    /// All is written for others to have, and then it is done.
    Parking,
    Done,
}

#[derive(Default)]
struct Book {
    held: HashMap<SessionId, Held>,
    soon: Vec<Session>,
    over: Vec<SessionId>,
    next_number: u64,
}

/// What is known of the record of a session.
struct Held {
    /// Another one each time a session comes here.
    number: u64,
    epoch: Epoch,
    /// As it was when it was written.
    mark: Option<Mark>,
    /// When it has to be written again, changed or not.
    refresh_at: Option<Instant>,
}

/// Which epoch the record of a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    Known(u64),
    /// It was tried to write it, and it is not known what came of it: a record that is not ours is somebody else's.
    Unread,
    /// The session came from another node, whose record it may have still.
    Moved,
}

/// It is another one when the record would be another one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    session: SessionMark,
    peer: u64,
    asked: u64,
}

/// What is in the store under a name; `None` is a record of a session that is over, or that makes no sense.
pub(super) type Found = (u64, Option<SessionRecord>);

impl Storing {
    pub(super) fn new(
        storage: Storage,
        hub: &Hub,
        moving: Option<&Moving>,
        suspended_for: Duration,
    ) -> Self {
        let Storage { store, mut config } = storage;
        config.interval = config.interval.max(Duration::from_millis(1));
        config.calls_max = config.calls_max.max(1);
        let nameless = || NodeId::from_bytes(Sessions::new_place());
        let counters = Arc::new(StoreCounters::default());
        hub.count_store(counters.clone());
        Self {
            store,
            config,
            owner: moving.map_or_else(nameless, |moving| moving.moves.node()),
            counters,
            suspended_for,
            places: Semaphore::new(CLAIMS_MAX),
            book: Mutex::default(),
            woken: Notify::new(),
            phase: watch::Sender::new(Phase::Writing),
        }
    }

    // The store.

    /// A call, which is over in time and counted.
    async fn ask<T>(&self, asked: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        let late = |_| Err(StoreError::new(StoreErrorKind::Timeout));
        let answer = timeout(self.config.timeout, asked).await.unwrap_or_else(late);
        let is_up = !matches!(&answer, Err(error) if error.kind() != StoreErrorKind::Full);
        self.counters.is_up.store(is_up, Ordering::Relaxed);
        if answer.is_err() {
            self.count(&self.counters.failed);
        }
        answer
    }

    pub(super) fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) async fn read(&self, id: &str) -> Result<Option<Found>, StoreError> {
        let found = self.ask(self.store.get(id)).await?;
        let Some(Record { epoch, bytes }) = found else { return Ok(None) };
        if bytes.is_empty() {
            return Ok(Some((epoch, None)));
        }
        let is_short = bytes.len() <= self.config.record_bytes_max;
        let record = if is_short { SessionRecord::decode(&bytes).ok() } else { None };
        if record.is_none() {
            self.count(&self.counters.poisoned);
        }
        Ok(Some((epoch, record)))
    }

    pub(super) async fn put(&self, id: &str, put: Put) -> Result<Wrote, StoreError> {
        let wrote = self.ask(self.store.put(id, put)).await?;
        if wrote == Wrote::Done {
            self.count(&self.counters.written);
        }
        Ok(wrote)
    }

    pub(super) async fn remove(&self, id: &str, epoch: u64) -> Result<(), StoreError> {
        self.ask(self.store.remove(id, epoch)).await
    }

    /// The record as it is written: of what is too long the oldest messages are left out.
    pub(super) fn encode(&self, mut record: SessionRecord) -> Bytes {
        let mut bytes = record.encode();
        let bytes_max = self.config.record_bytes_max.min(self.store.record_bytes_max());
        let mut over = bytes.len().saturating_sub(bytes_max);
        if over > 0 {
            let mut count = 0;
            for message in &record.state.messages {
                if over == 0 {
                    break;
                }
                over = over.saturating_sub(message.payload.len());
                count += 1;
            }
            record.state.messages.drain(..count);
            self.counters.left_out.fetch_add(count as u64, Ordering::Relaxed);
            bytes = record.encode();
        }
        bytes.into()
    }

    /// How long a record is kept whose session waits for so long, or has its client.
    pub(super) fn keep_for(&self, waits_for: Option<Duration>) -> Duration {
        let there = self.suspended_for.saturating_add(self.refresh_after());
        waits_for.unwrap_or(there).saturating_add(MARGIN)
    }

    /// After this time the record of a session that has its client is written again.
    fn refresh_after(&self) -> Duration {
        (self.suspended_for / 2).max(self.config.interval)
    }

    // What is known.

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
    }

    /// What of a session is compared; `None`: it is over, or not whole yet.
    pub(super) fn mark(session: &Session) -> Option<Mark> {
        let member = session.attached::<Member>()?;
        let (peer, asked) = (member.peer.change_mark(), member.requests.asked());
        Some(Mark { session: session.change_mark()?, peer, asked })
    }

    /// Whether its record is not what it should be.
    pub(super) fn is_due(&self, session: &Session) -> bool {
        let Some(mark) = Self::mark(session) else { return false };
        let book = self.book();
        let Some(held) = book.held.get(session.id()) else { return true };
        let is_old = held.refresh_at.is_some_and(|at| at <= Instant::now());
        is_old || held.mark != Some(mark)
    }

    /// What is known of its record, with the number to [note](Self::note_written) by; what is new is noted from here on.
    pub(super) fn known(&self, id: &SessionId) -> (u64, Option<Epoch>) {
        let mut book = self.book();
        if let Some(held) = book.held.get(id) {
            return (held.number, Some(held.epoch));
        }
        (book.hold(id, Epoch::Unread), None)
    }

    pub(super) fn epoch(&self, id: &SessionId) -> Option<Epoch> {
        self.book().held.get(id).map(|held| held.epoch)
    }

    /// It is not known what becomes of the record from here on.
    pub(super) fn doubt(&self, id: &SessionId, number: u64) {
        if let Some(held) = self.book().known(id, number)
            && held.epoch != Epoch::Moved
        {
            held.epoch = Epoch::Unread;
        }
    }

    /// It is written.
    pub(super) fn note_written(
        &self,
        id: &SessionId,
        number: u64,
        epoch: u64,
        (mark, is_there): (Mark, bool),
    ) {
        if let Some(held) = self.book().known(id, number) {
            held.epoch = Epoch::Known(epoch);
            held.mark = Some(mark);
            let at = Instant::now().checked_add(self.refresh_after());
            held.refresh_at = at.filter(|_| is_there);
        }
    }

    /// A session comes from another node.
    pub(super) fn note_moved(&self, id: &SessionId) {
        self.book().hold(id, Epoch::Moved);
    }

    /// A session comes from its record, which has this epoch from here on.
    pub(super) fn note_claimed(&self, id: &SessionId, epoch: u64) {
        let mut book = self.book();
        let known = book.held.get(id).map(|held| held.epoch);
        // Another connection may have claimed it here once more.
        if !matches!(known, Some(Epoch::Known(known)) if known > epoch) {
            book.hold(id, Epoch::Known(epoch));
        }
    }

    /// It is on another node.
    pub(super) fn forget(&self, id: &SessionId) {
        self.book().held.remove(id);
    }

    /// The same, but for one of its name that came later.
    pub(super) fn forget_this(&self, id: &SessionId, number: u64) {
        let mut book = self.book();
        if book.known(id, number).is_some() {
            book.held.remove(id);
        }
    }

    /// It is to be written before the others.
    pub(super) fn hurry(&self, session: &Session) {
        let mut book = self.book();
        // What there is no room for has its turn with all others.
        if book.soon.len() < SOON_MAX {
            book.soon.push(session.clone());
            drop(book);
            self.woken.notify_one();
        }
    }

    /// It has ended: so does its record.
    pub(super) fn end(&self, id: &SessionId) {
        let mut book = self.book();
        if book.held.contains_key(id) && book.over.len() < OVER_MAX {
            book.over.push(id.clone());
            drop(book);
            self.woken.notify_one();
        }
    }

    /// Whether a session of this name has ended here, and its record is still there.
    pub(super) fn is_ending(&self, id: &str) -> bool {
        self.book().over.iter().any(|over| over.as_str() == id)
    }

    pub(super) fn take_soon(&self) -> Vec<Session> {
        std::mem::take(&mut self.book().soon)
    }

    pub(super) fn take_over(&self) -> Vec<SessionId> {
        std::mem::take(&mut self.book().over)
    }

    /// Those could not be removed yet.
    pub(super) fn give_back_over(&self, ids: impl Iterator<Item = SessionId>) {
        let mut book = self.book();
        let left = OVER_MAX.saturating_sub(book.over.len());
        book.over.extend(ids.take(left));
    }

    /// Nothing is kept of sessions that are not here.
    pub(super) fn tidy(&self, sessions: &Sessions) {
        let mut book = self.book();
        if book.held.len() > 2 * sessions.len() + 64 {
            let book = &mut *book;
            let over = &book.over;
            book.held.retain(|id, _| sessions.get(id.as_str()).is_some() || over.contains(id));
            book.held.shrink_to_fit();
        }
    }

    // The end.

    /// The writer does this last, if it is there. At most until the deadline.
    pub(super) async fn finish(&self, last: Last, deadline: Option<Instant>) {
        let last = match last {
            Last::Clear => Phase::Clearing,
            Last::Park => Phase::Parking,
        };
        let is_told = self.phase.send_if_modified(|phase| {
            let is_writing = *phase == Phase::Writing;
            if is_writing {
                *phase = last;
            }
            is_writing
        });
        if !is_told {
            return;
        }
        let mut phase = self.phase.subscribe();
        let done = async { phase.wait_for(|phase| *phase == Phase::Done).await.is_ok() };
        match deadline {
            Some(deadline) => drop(tokio::time::timeout_at(deadline, done).await),
            None => drop(done.await),
        }
    }
}

impl Book {
    fn hold(&mut self, id: &SessionId, epoch: Epoch) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.held.insert(id.clone(), Held { number, epoch, mark: None, refresh_at: None });
        number
    }

    /// Not one of its name that came later.
    fn known(&mut self, id: &SessionId, number: u64) -> Option<&mut Held> {
        self.held.get_mut(id).filter(|held| held.number == number)
    }
}

impl Storage {
    pub(super) fn new(store: impl SessionStore, config: StoreConfig) -> Self {
        Self { store: Arc::new(store), config }
    }
}
