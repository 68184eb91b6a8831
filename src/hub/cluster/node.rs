//! A hub's end of the cluster.

use std::any::Any;
use std::fmt;
use std::pin::Pin;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::client::BoxFuture;
use crate::hub::PresenceKind;
use crate::hub::builder::{HubBuilder, HubError};
use crate::hub::error::BroadcastError;
use crate::hub::metrics::ClusterSnapshot;
use crate::hub::remote::{Keep, Remote, Said, SayHere, To, Wiring};
use crate::hub::shared::{Shared, State as RoomState};
use crate::pubsub::{Broker, Bus, BusEvents, PubSub, PubSubError};
use crate::sync::{Arc, Mutex, Ordering};

use super::channel::{self, ALL, NODES};
use super::config::ClusterConfig;
use super::envelope::{Body, Carried, Kept};
use super::inner::Inner;
use super::name::NodeId;
use super::task;

/// Owns the task, which ends with it.
pub(super) struct Node {
    pub(super) inner: Arc<Inner>,
    events: Mutex<Option<BusEvents>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// One broker for as many hubs as are built of it.
struct Shares(Arc<dyn Broker>);

impl Broker for Shares {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        self.0.connect()
    }
}

impl HubBuilder {
    /// Makes the hub a node of the cluster of all hubs that reach this broker: see [`cluster`](super). It has to be
    /// [built](Self::build) inside of a tokio runtime, in which its connection to the broker lives. Each hub that is
    /// built of this is a node of its own.
    pub fn cluster(self, broker: impl Broker, config: ClusterConfig) -> Self {
        self.wired(config.wiring(broker))
    }
}

impl ClusterConfig {
    pub(crate) fn wiring(self, broker: impl Broker) -> Wiring {
        let broker: Arc<dyn Broker> = Arc::new(broker);
        Wiring(Arc::new(move || {
            let node = Node::new(Shares(broker.clone()), self.clone())?;
            Ok(Arc::new(node))
        }))
    }
}

impl Node {
    fn new(broker: Shares, config: ClusterConfig) -> Result<Self, HubError> {
        if Handle::try_current().is_err() {
            return Err(HubError::NoRuntime);
        }
        let id = NodeId::random().ok_or(HubError::NoRandom)?;
        let (bus, events) = Bus::start(broker, config.bus.clone());
        let inner = Arc::new(Inner::new(id, config, bus));
        let mut state = inner.state.lock();
        for channel in [ALL, NODES, &*channel::of_node(id)] {
            inner.hear(&mut state, channel);
        }
        drop(state);
        Ok(Self { inner, events: Mutex::new(Some(events)), task: Mutex::default() })
    }

    /// Listens to a channel, or no longer, as it is wanted now.
    fn look(&self, hub: &Shared, channel: &str, is_wanted: impl FnOnce() -> bool) -> Looked {
        let mut state = self.inner.state.lock();
        // Under the lock: whoever looks last has seen the last change.
        let is_wanted = is_wanted() || self.inner.windows.wants(channel);
        match (is_wanted, state.heard.contains_key(channel)) {
            (true, false) => {
                if self.inner.hear(&mut state, channel) {
                    state.ask_about(channel);
                }
                Looked::Changed
            }
            (false, true) => {
                state.unhear(hub, channel);
                self.inner.bus.unsubscribe(channel);
                Looked::Changed
            }
            _ => Looked::AsBefore,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    Changed,
    AsBefore,
}

pub(super) fn looks_after_presence(hub: &Shared) -> bool {
    hub.settings.on_presence.is_some()
}

impl Remote for Node {
    fn begin(&self, hub: &Arc<Shared>) {
        let Some(events) = self.events.lock().take() else { return };
        self.inner.state.lock().looks_after_presence = looks_after_presence(hub);
        let running = task::run(self.inner.clone(), Arc::downgrade(hub), events);
        *self.task.lock() = Some(tokio::spawn(running));
    }

    fn room_changed(&self, hub: &Shared, room: &RoomState) {
        let is_wanted = || room.members.load(Ordering::Relaxed) > 0;
        let looked = self.look(hub, &channel::of_room(&room.name), is_wanted);
        if looked == Looked::Changed {
            // There is somebody to ask about, or whoever was out of sight is to be told of.
            self.inner.changed.notify_one();
        }
    }

    fn user_changed(&self, hub: &Shared, user: &str) {
        let is_wanted = || !hub.registry.of_user(user).is_empty();
        // The broker hears of it by itself.
        let _ = self.look(hub, &channel::of_user(user), is_wanted);
    }

    fn presence_changed(&self, room: &str, user: &Arc<str>, kind: PresenceKind) {
        let body = match kind {
            PresenceKind::Joined => Body::Joined(user.clone()),
            PresenceKind::Left => Body::Left(user.clone()),
        };
        // What is not taken is counted, and made good by the next digest.
        let _ = self.inner.say(&channel::of_room(room), &body);
    }

    fn publish(&self, said: &Said<'_>, here: SayHere<'_>) -> Result<(), BroadcastError> {
        let cut = match said.to {
            To::User(_) => &self.inner.users_cut,
            To::Everybody | To::Room(_) => &self.inner.rooms_cut,
        };
        let _guard = cut.read();
        here()?;
        let channel = match said.to {
            To::Everybody => ALL.to_owned(),
            To::Room(room) => channel::of_room(room),
            To::User(user) => channel::of_user(user),
        };
        let kept = match said.keep {
            Keep::Not => Kept::Not,
            Keep::All => Kept::All,
            Keep::Latest(key) => Kept::Latest(key),
        };
        let mut carried = Carried::new(said.message.is_text(), said.message.payload_bytes());
        carried.compress = said.message.compression();
        carried.kept = kept;
        carried.except = said.except.users().to_vec();
        let (message, except) = (said.message, said.except.users());
        // What is not taken is counted, and missed by the others.
        let _ = self.inner.say_message(&channel, &Body::Message(carried), message, except);
        Ok(())
    }

    fn snapshot(&self) -> ClusterSnapshot {
        self.inner.snapshot()
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // A bus that is closed already is what is wanted.
            let _ = self.inner.say(NODES, &Body::Goodbye);
            self.inner.bus.close().await;
        })
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(task) = &*self.task.lock() {
            task.abort();
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.inner.id).finish_non_exhaustive()
    }
}
