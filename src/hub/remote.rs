//! The other nodes of a cluster, as the hub sees them: nothing of them where there is none.

#![allow(dead_code, reason = "without feature `pubsub` there is nobody who would be told")]

use std::any::Any;
use std::fmt;
use std::pin::Pin;

use crate::protocol::PreparedMessage;
use crate::sync::Arc;

use super::builder::{HubBuilder, HubError};
use super::error::BroadcastError;
use super::history::{History, WeakHistory};
use super::hub::Hub;
use super::metrics::ClusterSnapshot;
use super::presence::PresenceKind;
use super::report::{Except, Reporting};
use super::room::Room;
use super::shared::{Shared, State};

/// The other nodes. It is told what happens here, without waiting; what it is told of a room or a user is only that
/// something has changed, so that it looks for itself, and whoever looks last has seen the last change.
pub(super) trait Remote: fmt::Debug + Send + Sync {
    /// The hub is there.
    fn begin(&self, hub: &Arc<Shared>);

    /// A room has its first member here, or none any more.
    fn room_changed(&self, hub: &Shared, room: &State);

    /// A user has a connection more or less here.
    fn user_changed(&self, hub: &Shared, user: &str);

    /// A user is in a room here, or is not any more. Called under the lock of presence, in order.
    fn presence_changed(&self, room: &str, user: &Arc<str>, kind: PresenceKind);

    /// Says something here, and where that was taken to others, too.
    fn publish(&self, said: &Said<'_>, here: SayHere<'_>) -> Result<(), BroadcastError>;

    /// How it is.
    fn snapshot(&self) -> ClusterSnapshot;

    /// Says goodbye.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// Says something on this node.
pub(super) type SayHere<'a> = &'a mut dyn FnMut() -> Result<(), BroadcastError>;

/// What is said here and is for others as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) to: To<'a>,
    pub(super) message: &'a PreparedMessage,
    pub(super) except: &'a Except,
    pub(super) keep: Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To<'a> {
    Everybody,
    Room(&'a str),
    User(&'a str),
}

/// Whether a message is for those, too, who come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Not,
    All,
    /// Only the latest of this key.
    Latest(u64),
}

/// How a hub becomes a node.
#[derive(Clone)]
pub(crate) struct Wiring(pub(super) Arc<Make>);

type Make = dyn Fn() -> Result<Arc<dyn Remote>, HubError> + Send + Sync;

impl HubBuilder {
    pub(crate) fn wired(mut self, wiring: Wiring) -> Self {
        self.settings.wiring = Some(wiring);
        self
    }
}

impl fmt::Debug for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiring").finish_non_exhaustive()
    }
}

impl Shared {
    /// Says something here, and what was taken here also to other nodes.
    pub(super) fn publish(&self, room: u64, said: &Said<'_>) -> Result<(), BroadcastError> {
        self.publish_both(said, &mut || self.publish_here(room, said.message, said.except))
    }

    /// The same; what came of it here is told when every worker has done it.
    pub(super) fn publish_reported(
        &self,
        room: u64,
        said: &Said<'_>,
    ) -> Result<Reporting, BroadcastError> {
        let mut reporting = None;
        self.publish_both(said, &mut || {
            reporting = Some(self.publish_reported_here(room, said.message, said.except)?);
            Ok(())
        })?;
        reporting.ok_or(BroadcastError { jobs: 0, bytes: 0 })
    }

    pub(super) fn publish_both(
        &self,
        said: &Said<'_>,
        here: SayHere<'_>,
    ) -> Result<(), BroadcastError> {
        match &self.remote {
            Some(remote) => remote.publish(said, here),
            None => here(),
        }
    }

    /// A history of a node keeps what is said to be kept elsewhere, too.
    pub(super) fn add_history(&self, history: &History) {
        if self.remote.is_some() {
            let mut histories = self.histories.lock();
            histories.retain(WeakHistory::is_there);
            histories.push(history.downgrade());
        }
    }

    /// Says to the members here what was said elsewhere, and keeps it.
    pub(super) fn say_kept_here(
        self: &Arc<Self>,
        room: &Room,
        keep: Keep,
        message: &PreparedMessage,
        except: &Except,
    ) -> Result<(), BroadcastError> {
        let mut say = Some(|| room.publish_here(message, except));
        let key = if let Keep::Latest(key) = keep { Some(key) } else { None };
        if keep != Keep::Not {
            let hub = Hub::from_shared(self.clone());
            let histories: Vec<History> = {
                let known = self.histories.lock();
                known.iter().filter_map(|history| history.upgrade(&hub)).collect()
            };
            for history in histories {
                // Once: the first keeps its order for those who join.
                let say = say.take();
                history.keep(room, key, message, || say.map_or(Ok(()), |say| say()))?;
            }
        }
        say.map_or(Ok(()), |say| say())
    }
}
