//! A worker: one task that owns its slice of the members and does its jobs in order.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc::UnboundedSender;

use crate::outbox::Sender;
use crate::sync::{Arc, AtomicBool, IdMap, Mutex, MutexGuard, Ordering};

use super::error::{BroadcastError, JoinError};
use super::members::{Batch, Members, Outcome, Publication};
use super::metrics::Metrics;

/// Members written to in one poll: then other tasks of the thread have their turn.
const DELIVERIES_PER_POLL: usize = 512;

/// Batches begun in one poll.
const BATCHES_PER_POLL: usize = 8;

/// Messages of one batch.
const BATCH_MESSAGES_MAX: usize = 256;

/// Joins that may wait for one worker, beside as many broadcasts as may: more than all connections of a
/// large server that come back at once, and a few megabytes. Whoever leaves has joined, so leaves are
/// bounded by them and the members.
const JOINS_WAITING_MAX: usize = 65_536;

/// Places for jobs that a worker keeps whatever happened.
const JOBS_KEPT: usize = 4096;

/// Places for rooms that a worker keeps whatever happened.
const ROOMS_KEPT: usize = 64;

/// What a worker does, in the order it was asked.
#[derive(Debug)]
pub(super) enum Job {
    Join {
        room: u64,
        sender: Sender,
    },
    Leave {
        room: u64,
        id: u64,
    },
    Publish {
        room: u64,
        publication: Publication,
    },
    /// Tells who is in the room.
    List {
        room: u64,
        ids: UnboundedSender<Vec<u64>>,
    },
    /// Does this when all before it is done.
    Mark(Mark),
}

/// Something to be done at a place among the jobs. It must not wait.
pub(super) struct Mark(Box<dyn FnOnce() + Send>);

impl Mark {
    pub(super) fn new(act: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(act))
    }
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mark").finish_non_exhaustive()
    }
}

/// How much may wait for one worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) jobs_max: usize,
    pub(super) bytes_max: usize,
}

/// The jobs of one worker.
#[derive(Debug)]
pub(super) struct Jobs {
    bounds: Bounds,
    state: Mutex<State>,
    /// More than half full: to be looked at without the lock.
    is_busy: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Job>,
    bytes: usize,
    worker: Option<Waker>,
    publishers: Vec<Waker>,
    is_over: bool,
}

impl Jobs {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), is_busy: AtomicBool::new(false) }
    }

    /// Jobs that wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.jobs.len(), state.bytes)
    }

    /// A connection joins a room, unless too many wait for that.
    pub(super) fn join(&self, room: u64, sender: Sender) -> Result<(), JoinError> {
        let state = self.state.lock();
        let jobs = state.jobs.len();
        if jobs >= self.bounds.jobs_max.saturating_add(JOINS_WAITING_MAX) {
            return Err(JoinError::Busy { jobs });
        }
        self.push(state, Job::Join { room, sender });
        Ok(())
    }

    /// A connection leaves a room that it has joined. Always taken.
    pub(super) fn leave(&self, room: u64, id: u64) {
        self.push(self.state.lock(), Job::Leave { room, id });
    }

    /// Asks who is in a room. Always taken: whoever asks has been [held back](Self::poll_ready).
    pub(super) fn list(&self, room: u64, ids: UnboundedSender<Vec<u64>>) {
        self.push(self.state.lock(), Job::List { room, ids });
    }

    /// Marks a place. Always taken: there are few.
    #[allow(dead_code, reason = "for nodes of a cluster")]
    pub(super) fn mark(&self, mark: Mark) {
        self.push(self.state.lock(), Job::Mark(mark));
    }

    fn push(&self, mut state: MutexGuard<'_, State>, job: Job) {
        if state.is_over {
            // What it holds may ask for the lock when it goes.
            drop(state);
            return drop(job);
        }
        state.jobs.push(job);
        let Bounds { jobs_max, bytes_max } = self.bounds;
        if state.jobs.len() > jobs_max / 2 || state.bytes > bytes_max / 2 {
            self.is_busy.store(true, Ordering::Relaxed);
        }
        let waker = state.worker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether a broadcast of so many bytes fits.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), BroadcastError> {
        let state = self.state.lock();
        let Bounds { jobs_max, bytes_max } = self.bounds;
        let fits = state.jobs.len() < jobs_max && bytes <= bytes_max.saturating_sub(state.bytes);
        if fits || state.bytes == 0 || state.is_over {
            return Ok(());
        }
        Err(BroadcastError { jobs: state.jobs.len(), bytes: state.bytes })
    }

    /// Takes a broadcast for which [`check_room`](Self::check_room) found room.
    pub(super) fn publish(&self, room: u64, publication: Publication) {
        let mut state = self.state.lock();
        if !state.is_over {
            state.bytes += publication.message.frame().len();
        }
        self.push(state, Job::Publish { room, publication });
    }

    /// Pending while the queue is more than half full.
    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_busy.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        let mut state = self.state.lock();
        if !self.is_busy.load(Ordering::Relaxed) || state.is_over {
            return Poll::Ready(());
        }
        if !state.publishers.iter().any(|known| known.will_wake(cx.waker())) {
            state.publishers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        let jobs = std::mem::take(&mut state.jobs);
        let waker = state.worker.take();
        let publishers = std::mem::take(&mut state.publishers);
        drop(state);
        drop(jobs);
        waker.into_iter().chain(publishers).for_each(Waker::wake);
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.lock().is_over
    }

    /// Takes all jobs at once, or registers the worker.
    fn take(&self, into: &mut Vec<Job>, waker: &Waker) -> Taken {
        let mut state = self.state.lock();
        if state.is_over {
            return Taken::Over;
        }
        if state.jobs.is_empty() {
            give_back(&mut state.jobs);
            give_back(into);
            state.worker = Some(waker.clone());
            return Taken::Nothing;
        }
        std::mem::swap(&mut state.jobs, into);
        state.bytes = 0;
        self.is_busy.store(false, Ordering::Relaxed);
        let publishers = std::mem::take(&mut state.publishers);
        drop(state);
        publishers.into_iter().for_each(Waker::wake);
        Taken::Some
    }
}

/// Memory of a burst is given back.
fn give_back(empty: &mut Vec<Job>) {
    if empty.capacity() > JOBS_KEPT {
        *empty = Vec::new();
    }
}

enum Taken {
    Some,
    Nothing,
    Over,
}

/// The task of a worker; ends when its hub does.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Arc<Jobs>,
    metrics: Arc<Metrics>,
    /// Jobs in reverse, so that the next is the last.
    todo: Vec<Job>,
    rooms: IdMap<Members>,
    batch: Batch,
    /// What came of the batch so far.
    outcome: Outcome,
    room: u64,
    /// The member to go on with.
    next: Option<usize>,
}

impl Worker {
    pub(super) fn new(jobs: Arc<Jobs>, metrics: Arc<Metrics>) -> Self {
        Self {
            jobs,
            metrics,
            todo: Vec::new(),
            rooms: IdMap::default(),
            batch: Batch::default(),
            outcome: Outcome::default(),
            room: 0,
            next: None,
        }
    }

    fn do_jobs(&mut self) {
        while let Some(job) = self.todo.pop() {
            match job {
                Job::Join { room, sender } => self.rooms.entry(room).or_default().join(sender),
                Job::Leave { room, id } => self.leave(room, id),
                Job::Mark(Mark(act)) => act(),
                Job::List { room, ids } => {
                    let members = self.rooms.get(&room);
                    // Whoever asked may have gone.
                    let _ = ids.send(members.map(Members::ids).unwrap_or_default());
                }
                Job::Publish { room, publication } => {
                    self.room = room;
                    let is_reported = publication.report.is_some();
                    self.batch.push(publication);
                    if !is_reported {
                        self.gather();
                    }
                    self.next = Some(0);
                    return;
                }
            }
        }
    }

    /// Broadcasts to the same room that follow at once leave together; one that is reported leaves alone.
    fn gather(&mut self) {
        while self.batch.len() < BATCH_MESSAGES_MAX {
            match self.todo.pop() {
                Some(Job::Publish { room, publication })
                    if room == self.room && publication.report.is_none() =>
                {
                    self.batch.push(publication);
                }
                Some(other) => return self.todo.push(other),
                None => return,
            }
        }
    }

    fn leave(&mut self, room: u64, id: u64) {
        let Some(members) = self.rooms.get_mut(&room) else {
            return;
        };
        members.leave(id);
        if members.is_empty() {
            self.rooms.remove(&room);
            if self.rooms.capacity() > ROOMS_KEPT && self.rooms.len() < self.rooms.capacity() / 8 {
                // Memory of a burst is given back.
                self.rooms.shrink_to(ROOMS_KEPT);
            }
        }
    }

    /// True when the batch has reached everybody.
    fn deliver(&mut self, first: usize) -> bool {
        let members = self.rooms.get(&self.room);
        let (batch, outcome) = (&self.batch, &mut self.outcome);
        self.next =
            members.and_then(|members| members.deliver(batch, first, DELIVERIES_PER_POLL, outcome));
        if self.next.is_none() {
            self.batch.end(std::mem::take(&mut self.outcome), &self.metrics);
        }
        self.next.is_none()
    }
}

impl Drop for Worker {
    /// A worker that ends with its runtime takes nothing more; the others go on without it.
    fn drop(&mut self) {
        self.jobs.stop();
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut batches = 0;
        loop {
            if let Some(first) = this.next
                && !this.deliver(first)
            {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            this.do_jobs();
            if this.next.is_some() {
                batches += 1;
                if batches < BATCHES_PER_POLL {
                    continue;
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match this.jobs.take(&mut this.todo, cx.waker()) {
                Taken::Some => this.todo.reverse(),
                Taken::Nothing => return Poll::Pending,
                Taken::Over => return Poll::Ready(()),
            }
        }
    }
}
