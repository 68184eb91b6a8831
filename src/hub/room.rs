//! A room, as an application holds it.

use std::any::Any;
use std::task::{Context, Poll};

use crate::outbox::Sender;
use crate::protocol::{MessageRef, PreparedMessage};
use crate::sync::{Arc, Ordering};

use super::error::{BroadcastError, JoinError};
use super::limits::check_room_name;
use super::peer::Peer;
use super::remote::{Keep, Said, To};
use super::report::{Except, Reporting};
use super::shared::{Shared, State};
use super::worker::Jobs;

/// A room: a set of senders under a name. Cloning counts a reference.
#[derive(Clone, Debug)]
pub struct Room {
    state: Arc<State>,
}

impl Room {
    pub(super) const fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// Joins a connection. It leaves when the membership is dropped.
    ///
    /// A broadcast that the caller makes after this reaches the new member. Where the connection is
    /// registered, the application is [asked](super::HubBuilder::on_join) as by [`Peer::join`](super::Peer::join).
    ///
    /// # Errors
    /// When the name may not be used, the room is full, the application says no, or too many joins wait.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn join(&self, sender: Sender) -> Result<Membership, JoinError> {
        let hub = &self.state.hub;
        if !hub.may_join(sender.id(), self.name()) {
            hub.metrics.count_join_refused(JoinError::Refused.refusal());
            return Err(JoinError::Refused);
        }
        let worker = hub.worker(sender.id());
        self.join_with(sender, worker)
    }

    pub(super) fn join_with(
        &self,
        sender: Sender,
        worker: Arc<Jobs>,
    ) -> Result<Membership, JoinError> {
        let hub = &self.state.hub;
        let bytes_max = hub.settings.limits.room_name_bytes_max;
        let named = check_room_name(self.name(), bytes_max);
        let entered = named.map_err(|_| JoinError::Name { bytes_max });
        let entered = entered.and_then(|()| self.state.enter());
        entered.inspect_err(|error| hub.metrics.count_join_refused(error.refusal()))?;
        let id = sender.id();
        let joined = worker.join(self.state.key, sender);
        joined.inspect_err(|error| {
            self.state.exit();
            hub.metrics.count_join_refused(error.refusal());
        })?;
        Ok(Membership { room: self.clone(), worker, id })
    }

    /// Sends a message to every member. Encoded once; returns at once.
    ///
    /// No member holds up another, whatever its [policy](crate::protocol::Overflow): where an outbox is
    /// full, the message is dropped, or the member is closed with 1013. Under `Block` that is when the
    /// outbox has reached its bound in bytes.
    ///
    /// Two broadcasts by one caller reach each member in that order, also across rooms.
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
        self.publish(message, &Except::nobody())
    }

    pub(super) fn key(&self) -> u64 {
        self.state.key
    }

    pub(super) fn hub(&self) -> &Arc<Shared> {
        &self.state.hub
    }

    pub(crate) fn publish(
        &self,
        message: &PreparedMessage,
        except: &Except,
    ) -> Result<(), BroadcastError> {
        self.say(message, except, Keep::Not)
    }

    pub(super) fn say(
        &self,
        message: &PreparedMessage,
        except: &Except,
        keep: Keep,
    ) -> Result<(), BroadcastError> {
        let said = Said { to: To::Room(self.name()), message, except, keep };
        self.state.hub.publish(self.state.key, &said)
    }

    /// Sends a message to the members on this node only: what every node of a cluster says for itself, as who comes and
    /// goes. On a single node it is [`broadcast_except`](Self::broadcast_except).
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_here<'a>(
        &self,
        message: impl Into<MessageRef<'a>>,
        except: impl Into<Except>,
    ) -> Result<(), BroadcastError> {
        self.publish_here(&PreparedMessage::new(message), &except.into())
    }

    pub(crate) fn publish_here(
        &self,
        message: &PreparedMessage,
        except: &Except,
    ) -> Result<(), BroadcastError> {
        self.state.hub.publish_here(self.state.key, message, except)
    }

    /// Sends a message to every member but one connection, or some.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_except<'a>(
        &self,
        message: impl Into<MessageRef<'a>>,
        except: impl Into<Except>,
    ) -> Result<(), BroadcastError> {
        self.publish(&PreparedMessage::new(message), &except.into())
    }

    /// The same, and what came of it on this node: how many have it, how many could not take it. It is sent at
    /// once; the future waits until all workers have done it.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    ///
    /// Cancel safety: dropping the future loses the report, not the message.
    pub fn broadcast_reported<'a>(
        &self,
        message: impl Into<MessageRef<'a>>,
        except: impl Into<Except>,
    ) -> Result<Reporting, BroadcastError> {
        let (message, except) = (&PreparedMessage::new(message), &except.into());
        let said = Said { to: To::Room(self.name()), message, except, keep: Keep::Not };
        self.state.hub.publish_reported(self.state.key, &said)
    }

    /// Pending while the job queue is more than half full: what a handler answers in its own
    /// [`poll_ready`](crate::Handler::poll_ready), so that whoever publishes too fast is held back.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.hub.poll_ready(cx)
    }

    /// The same as a future, for those who publish from async code.
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn ready(&self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// Its members' connections, as they are when the jobs asked for before are done. Waits while the job
    /// queue is more than half full.
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn members(&self) -> Vec<u64> {
        self.ready().await;
        self.state.hub.list(self.state.key).await
    }

    /// Those of its members that are [registered](super::Hub::register), as [`members`](Self::members).
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn peers(&self) -> Vec<Peer> {
        let members = self.members().await;
        members.into_iter().filter_map(|id| self.state.hub.registry.get(id)).collect()
    }

    /// Gives it something of the application's for its whole life, which ends when nobody is in it and nobody holds
    /// it: a topic, a password. False: it has something already, and keeps that.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sockeye::hub::Hub;
    ///
    /// let hub = Hub::new();
    /// let room = hub.room("lobby");
    /// assert!(room.attach(Arc::new("salmon")) && !room.attach(Arc::new("trout")));
    /// assert_eq!(room.attached::<&str>().as_deref(), Some(&"salmon"));
    /// drop(room);
    /// assert!(hub.room("lobby").attached::<&str>().is_none());
    /// ```
    pub fn attach<T: Any + Send + Sync>(&self, value: Arc<T>) -> bool {
        self.state.attached.set(value).is_ok()
    }

    /// What was attached, if it is of this type.
    #[must_use]
    pub fn attached<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.state.attached.get()?.clone().downcast().ok()
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
        self.room.state.exit();
        self.worker.leave(self.room.state.key, self.id);
    }
}
