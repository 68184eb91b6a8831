//! What all handles of a hub share.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::runtime::{Handle, Id, RuntimeFlavor};

use crate::net::runtime::spawn_on;
use crate::outbox::Sender;
use crate::protocol::{PreparedMessage, SharedObserver};
use crate::sync::{Arc, AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering};

use super::builder::Settings;
use super::clock::Clock;
use super::counting::Counting;
use super::doors::Doors;
use super::error::{BroadcastError, JoinError, RegisterError};
use super::history::WeakHistory;
use super::members::Publication;
use super::metrics::{JoinRefusal, Metrics, StoreCounters};
use super::peer::{Peer, Profile};
use super::presence::Presence;
use super::registry::{Place, Registry};
use super::remote::Remote;
use super::report::{Except, Reporting};
use super::under_way::UnderWay;
use super::worker::{Bounds, Jobs, Mark, Worker};

/// The room of all registered connections, which has no name.
pub(super) const EVERYBODY: u64 = 0;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) registry: Registry,
    pub(super) clock: Clock,
    pub(super) presence: Presence,
    pub(super) metrics: Arc<Metrics>,
    pub(super) doors: Doors,
    pub(super) began: Instant,
    pub(super) rooms: Mutex<HashMap<Arc<str>, Weak<State>>>,
    /// Of a node.
    pub(super) histories: Mutex<Vec<WeakHistory>>,
    /// The other nodes, where there are any.
    pub(super) remote: Option<Arc<dyn Remote>>,
    /// Where an application keeps its sessions in a store.
    pub(super) store: OnceLock<Arc<StoreCounters>>,
    #[allow(dead_code, reason = "without feature `pubsub` nothing is asked of all nodes")]
    pub(super) under_way: UnderWay,
    workers: Mutex<Vec<(Id, Arc<Jobs>)>>,
    next_room: AtomicU64,
}

/// A room.
#[derive(Debug)]
pub(super) struct State {
    pub(super) hub: Arc<Shared>,
    pub(super) name: Arc<str>,
    pub(super) key: u64,
    pub(super) members: AtomicUsize,
    /// The application's.
    pub(super) attached: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Shared {
    pub(super) fn new(mut settings: Settings, remote: Option<Arc<dyn Remote>>) -> Self {
        let metrics = Arc::new(Metrics::new());
        let config = Arc::make_mut(&mut settings.config);
        let counting = || SharedObserver::new(Counting(metrics.clone()));
        config.observer.get_or_insert_with(counting);
        Self {
            doors: Doors::new(&settings.limits, metrics.clone()),
            metrics,
            began: Instant::now(),
            settings,
            registry: Registry::default(),
            clock: Clock::default(),
            presence: Presence::default(),
            rooms: Mutex::default(),
            histories: Mutex::default(),
            remote,
            store: OnceLock::new(),
            under_way: UnderWay::default(),
            workers: Mutex::default(),
            next_room: AtomicU64::new(EVERYBODY + 1),
        }
    }

    /// Takes a place for a connection.
    pub(super) fn reserve(&self) -> Result<Place, RegisterError> {
        self.registry.reserve(self.settings.limits.connections_max)
    }

    /// Makes a connection one of all; or counts that it is none.
    pub(super) fn enter(
        self: &Arc<Self>,
        sender: &Sender,
        profile: Profile,
    ) -> Result<Peer, RegisterError> {
        let id = sender.id();
        let worker = self.worker(id);
        let peer = Peer::new(sender.clone(), self, worker.clone(), profile);
        let entered = worker.join(EVERYBODY, sender.clone()).map_err(RegisterError::from);
        let entered = entered.and_then(|()| {
            let added = self.registry.add(&peer);
            added.inspect_err(|_| worker.leave(EVERYBODY, id))
        });
        entered.inspect_err(|error| self.metrics.count_rejected(error.rejection()))?;
        self.note_user(&peer);
        Ok(peer)
    }

    /// A connection has come or gone.
    pub(super) fn note_user(&self, peer: &Peer) {
        if let (Some(remote), Some(user)) = (&self.remote, peer.user()) {
            remote.user_changed(self, user);
        }
    }

    pub(super) fn room(self: &Arc<Self>, name: &str) -> Arc<State> {
        let mut rooms = self.rooms.lock();
        if let Some(state) = rooms.get(name).and_then(Weak::upgrade) {
            return state;
        }
        let key = self.next_room.fetch_add(1, Ordering::Relaxed);
        let name: Arc<str> = name.into();
        let (hub, members, attached) = (self.clone(), AtomicUsize::new(0), OnceLock::new());
        let state = Arc::new(State { hub, name: name.clone(), key, members, attached });
        rooms.insert(name, Arc::downgrade(&state));
        state
    }

    /// What the application says to a connection that is to join a room; of one that is not registered it
    /// is not asked.
    pub(super) fn may_join(&self, id: u64, name: &str) -> bool {
        if self.settings.on_join.is_none() {
            return true;
        }
        self.registry.get(id).is_none_or(|peer| peer.may_join(self, name))
    }

    /// The worker for a connection of this runtime; it is begun when it is not there.
    pub(super) fn worker(&self, id: u64) -> Arc<Jobs> {
        let handle = Handle::current();
        let runtime = handle.id();
        let wanted = match handle.runtime_flavor() {
            RuntimeFlavor::CurrentThread => 1,
            _ => self.settings.workers.unwrap_or_else(|| handle.metrics().num_workers().max(1)),
        };
        let index = usize::try_from(id).unwrap_or(0) % wanted;
        let mut workers = self.workers.lock();
        workers.retain(|(_, jobs)| !jobs.is_over());
        while workers.iter().filter(|(known, _)| *known == runtime).count() <= index {
            let jobs = Arc::new(Jobs::new(self.bounds()));
            workers.push((runtime, jobs.clone()));
            // It ends with the hub, whose last handle stops it.
            spawn_on(&handle, Worker::new(jobs, self.metrics.clone()));
        }
        let mut of_runtime = workers.iter().filter(|(known, _)| *known == runtime);
        let known = of_runtime.nth(index).map(|(_, jobs)| jobs.clone());
        known.unwrap_or_else(|| Arc::new(Jobs::new(self.bounds())))
    }

    const fn bounds(&self) -> Bounds {
        let Settings { job_queue, job_bytes_max, .. } = self.settings;
        Bounds { jobs_max: job_queue, bytes_max: job_bytes_max }
    }

    /// Says something to the members on this node.
    pub(super) fn publish_here(
        &self,
        room: u64,
        message: &PreparedMessage,
        except: &Except,
    ) -> Result<(), BroadcastError> {
        let (message, except) = (message.clone(), except.here(self));
        self.give_out(room, &Publication::new(message, except, None))
    }

    fn give_out(&self, room: u64, publication: &Publication) -> Result<(), BroadcastError> {
        // All publishers pass here, so the place that was found is still there.
        let workers = self.workers.lock();
        for (_, jobs) in workers.iter() {
            let room = jobs.check_room(publication.message.frame().len());
            room.inspect_err(|_| self.metrics.count_job_refused())?;
        }
        self.metrics.count_broadcast();
        for (_, jobs) in workers.iter() {
            jobs.publish(room, publication.clone());
        }
        Ok(())
    }

    /// The same; what came of it is told when every worker has done it.
    pub(super) fn publish_reported_here(
        &self,
        room: u64,
        message: &PreparedMessage,
        except: &Except,
    ) -> Result<Reporting, BroadcastError> {
        let (report, reports) = tokio::sync::mpsc::unbounded_channel();
        let (message, except) = (message.clone(), except.here(self));
        self.give_out(room, &Publication::new(message, except, Some(report)))?;
        Ok(Reporting::new(reports))
    }

    /// The connections in a room, as it is when the jobs before are done.
    pub(super) fn list(&self, room: u64) -> impl Future<Output = Vec<u64>> + Send + use<> {
        let (ids, mut lists) = tokio::sync::mpsc::unbounded_channel();
        for (_, jobs) in self.workers.lock().iter() {
            jobs.list(room, ids.clone());
        }
        drop(ids);
        async move {
            let mut all = Vec::new();
            while let Some(ids) = lists.recv().await {
                all.extend(ids);
            }
            all
        }
    }

    /// Until the workers have done what they were given so far.
    pub(super) fn caught_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let (sender, mut done) = tokio::sync::mpsc::channel::<()>(1);
        for (_, jobs) in self.workers.lock().iter() {
            let sender = sender.clone();
            // One that will not come to it any more lets go of it, too.
            jobs.mark(Mark::new(move || drop(sender)));
        }
        drop(sender);
        async move { while done.recv().await.is_some() {} }
    }

    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        for (_, jobs) in self.workers.lock().iter() {
            ready!(jobs.poll_ready(cx));
        }
        Poll::Ready(())
    }

    /// Jobs that wait, and the bytes of their messages, of all workers together.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let workers = self.workers.lock();
        let waiting = workers.iter().map(|(_, jobs)| jobs.waiting());
        waiting.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.workers.lock().iter().for_each(|(_, jobs)| jobs.stop());
    }
}

impl State {
    /// Takes a place for a member.
    pub(super) fn enter(&self) -> Result<(), JoinError> {
        let members_max = self.hub.settings.limits.room_members_max.unwrap_or(usize::MAX);
        let enter = |members| (members < members_max).then_some(members + 1);
        let entered = self.members.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        if entered == Ok(0) {
            self.note_changed();
        }
        let full = entered.map(drop).map_err(|_| JoinError::RoomFull { members_max });
        if full.is_err() && self.hub.settings.limits.dry_run {
            self.members.fetch_add(1, Ordering::Relaxed);
            self.hub.metrics.count_join_refused(JoinRefusal::RoomFull);
            return Ok(());
        }
        full
    }

    fn note_changed(&self) {
        if let Some(remote) = &self.hub.remote {
            remote.room_changed(&self.hub, self);
        }
    }

    /// Gives the place back.
    pub(super) fn exit(&self) {
        if self.members.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.note_changed();
        }
    }
}

impl Drop for State {
    /// A room that nobody is in and nobody holds is forgotten, unless it has begun anew.
    fn drop(&mut self) {
        let mut rooms = self.hub.rooms.lock();
        if rooms.get(&self.name).is_some_and(|state| state.strong_count() == 0) {
            rooms.remove(&self.name);
            let (len, capacity) = (rooms.len(), rooms.capacity());
            if capacity > 64 && len < capacity / 8 {
                // Memory of a burst is given back.
                rooms.shrink_to(64);
            }
        }
    }
}
