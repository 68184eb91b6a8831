//! The hub and its rooms, as an application holds them.

use std::collections::HashMap;
use std::sync::Weak;
use std::task::{Context, Poll, ready};

use tokio::runtime::{Handle, Id, RuntimeFlavor};

use crate::outbox::Sender;
use crate::protocol::{MessageRef, PreparedMessage};
use crate::sync::{Arc, AtomicU64, AtomicUsize, Mutex, Ordering};

use super::error::BroadcastError;
use super::worker::{Job, Jobs, Worker};

/// All rooms of a server. Cloning counts a reference; with the last one its workers end.
///
/// Each tokio runtime whose connections join a room gets workers of its own: one on a current-thread
/// runtime, one a thread on the multi-thread one. A worker writes to the members that joined on its
/// runtime, so with a runtime per core a broadcast crosses threads once a core, not once a member.
///
/// ```
/// use sockeye::{Connection, Handler, MessageRef};
/// use sockeye::hub::{Hub, Membership};
///
/// struct Chat {
///     hub: Hub,
///     lobby: Option<Membership>,
/// }
///
/// impl Handler for Chat {
///     fn on_open(&mut self, connection: &mut Connection<'_>) {
///         self.lobby = Some(self.hub.room("lobby").join(connection.sender()));
///     }
///
///     fn on_message(&mut self, _: &mut Connection<'_>, message: MessageRef<'_>) {
///         if let Some(lobby) = &self.lobby {
///             // A hub that is overloaded has said so in poll_ready before.
///             let _ = lobby.room().broadcast(message);
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    rooms: Mutex<HashMap<Arc<str>, Weak<State>>>,
    workers: Mutex<Vec<(Id, Arc<Jobs>)>>,
    next_room: AtomicU64,
}

#[derive(Debug)]
struct State {
    hub: Arc<Shared>,
    name: Arc<str>,
    key: u64,
    members: AtomicUsize,
}

impl Hub {
    /// A hub without rooms.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle to a room. The room is there while it has members or handles.
    #[must_use]
    pub fn room(&self, name: &str) -> Room {
        let mut rooms = self.shared.rooms.lock();
        if let Some(state) = rooms.get(name).and_then(Weak::upgrade) {
            return Room { state };
        }
        let key = self.shared.next_room.fetch_add(1, Ordering::Relaxed);
        let name: Arc<str> = name.into();
        let hub = self.shared.clone();
        let state = Arc::new(State { hub, name: name.clone(), key, members: AtomicUsize::new(0) });
        rooms.insert(name, Arc::downgrade(&state));
        Room { state }
    }

    /// The names of the rooms that have members, with how many.
    #[must_use]
    pub fn rooms(&self) -> Vec<(String, usize)> {
        let rooms = self.shared.rooms.lock();
        // Handles are let go after the lock: a room that ends takes it.
        let states: Vec<_> = rooms.values().filter_map(Weak::upgrade).collect();
        drop(rooms);
        let counts = states
            .iter()
            .map(|state| (state.name.to_string(), state.members.load(Ordering::Relaxed)));
        counts.filter(|(_, members)| *members > 0).collect()
    }
}

impl Shared {
    /// The worker for a connection of this runtime; it is begun when it is not there.
    fn worker(&self, id: u64) -> Arc<Jobs> {
        let handle = Handle::current();
        let runtime = handle.id();
        let wanted = match handle.runtime_flavor() {
            RuntimeFlavor::CurrentThread => 1,
            _ => handle.metrics().num_workers().max(1),
        };
        let index = usize::try_from(id).unwrap_or(0) % wanted;
        let mut workers = self.workers.lock();
        workers.retain(|(_, jobs)| !jobs.is_over());
        while workers.iter().filter(|(known, _)| *known == runtime).count() <= index {
            let jobs = Arc::new(Jobs::default());
            workers.push((runtime, jobs.clone()));
            // It ends with the hub, whose last handle stops it.
            handle.spawn(Worker::new(jobs));
        }
        let mut of_runtime = workers.iter().filter(|(known, _)| *known == runtime);
        of_runtime.nth(index).map(|(_, jobs)| jobs.clone()).unwrap_or_default()
    }

    fn publish(
        &self,
        room: u64,
        message: &PreparedMessage,
        except: u64,
    ) -> Result<(), BroadcastError> {
        // All publishers pass here, so the room that was found is still there.
        let workers = self.workers.lock();
        for (_, jobs) in workers.iter() {
            jobs.check_room(message.frame().len())?;
        }
        for (_, jobs) in workers.iter() {
            jobs.publish(room, message, except);
        }
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.workers.lock().iter().for_each(|(_, jobs)| jobs.stop());
    }
}

/// A room: a set of senders under a name. Cloning counts a reference.
#[derive(Clone, Debug)]
pub struct Room {
    state: Arc<State>,
}

impl Room {
    /// Joins a connection. It leaves when the membership is dropped.
    ///
    /// A broadcast that the caller makes after this reaches the new member.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use = "dropping the membership leaves the room"]
    pub fn join(&self, sender: Sender) -> Membership {
        let id = sender.id();
        let worker = self.state.hub.worker(id);
        self.state.members.fetch_add(1, Ordering::Relaxed);
        worker.push(Job::Join { room: self.state.key, sender });
        Membership { room: self.clone(), worker, id }
    }

    /// Sends a message to every member. Encoded once; returns at once.
    ///
    /// Two broadcasts by one caller reach each member in that order.
    ///
    /// # Errors
    /// When the job queue is full: see [`poll_ready`](Self::poll_ready).
    pub fn broadcast<'a>(&self, message: impl Into<MessageRef<'a>>) -> Result<(), BroadcastError> {
        self.broadcast_prepared(&PreparedMessage::new(message))
    }

    /// Sends a prepared message to every member.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_prepared(&self, message: &PreparedMessage) -> Result<(), BroadcastError> {
        self.state.hub.publish(self.state.key, message, 0)
    }

    /// Sends a message to every member but one connection.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_except<'a>(
        &self,
        message: impl Into<MessageRef<'a>>,
        id: u64,
    ) -> Result<(), BroadcastError> {
        self.state.hub.publish(self.state.key, &PreparedMessage::new(message), id)
    }

    /// Pending while the job queue is more than half full: what a handler answers in its own
    /// [`poll_ready`](crate::Handler::poll_ready), so that whoever publishes too fast is held back.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let workers = self.state.hub.workers.lock();
        for (_, jobs) in workers.iter() {
            ready!(jobs.poll_ready(cx));
        }
        Poll::Ready(())
    }

    /// The same as a future, for those who publish from async code.
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn ready(&self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// How many members it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.members.load(Ordering::Relaxed)
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }
}

impl Drop for State {
    /// A room that nobody is in and nobody holds is forgotten, unless it has begun anew.
    fn drop(&mut self) {
        let mut rooms = self.hub.rooms.lock();
        if rooms.get(&self.name).is_some_and(|state| state.strong_count() == 0) {
            rooms.remove(&self.name);
        }
    }
}

/// That a connection is in a room. Dropping it leaves the room.
#[derive(Debug)]
#[must_use = "dropping the membership leaves the room"]
pub struct Membership {
    room: Room,
    worker: Arc<Jobs>,
    id: u64,
}

impl Membership {
    /// The room.
    #[must_use]
    pub const fn room(&self) -> &Room {
        &self.room
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.room.state.members.fetch_sub(1, Ordering::Relaxed);
        self.worker.push(Job::Leave { room: self.room.state.key, id: self.id });
    }
}
