//! The hub, as an application holds it.

use std::sync::Weak;
use std::task::{Context, Poll};

use crate::frame::CloseCode;
use crate::outbox::{SendError, Sender, Sent};
use crate::protocol::{Config, MessageRef, PreparedMessage};
use crate::sync::{Arc, Mutex, Ordering};

use super::builder::{HubBuilder, Settings};
use super::doors::Taken;
use super::error::{BroadcastError, RegisterError};
use super::peer::{Peer, Profile};
use super::registry::Place;
use super::remote::{Keep, Remote, Said, To};
use super::report::{Except, Reporting};
use super::room::Room;
use super::shared::{EVERYBODY, Shared};

/// All rooms of a server, and who is connected. Cloning counts a reference; with the last one its
/// workers end.
///
/// Each tokio runtime whose connections join a room gets workers of its own: one on a current-thread
/// runtime, one a thread on the multi-thread one. A worker writes to the members that joined on its
/// runtime, so with a runtime per core a broadcast crosses threads once a core, not once a member.
///
/// A connection that only joins rooms needs no more than [`Room::join`]. One that is
/// [registered](Self::register) can be found by its number and its user, carries metadata, and gets
/// what is said to all.
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
///         self.lobby = self.hub.room("lobby").join(connection.sender()).ok();
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
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// A hub with default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Settings::default(), None)
    }

    /// A hub with settings of one's own.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    pub(super) fn with(settings: Settings, remote: Option<Arc<dyn Remote>>) -> Self {
        let shared = Arc::new(Shared::new(settings, remote));
        if let Some(remote) = &shared.remote {
            remote.begin(&shared);
        }
        Self { shared }
    }

    pub(super) const fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Limits and deadlines of its connections.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.shared.settings.config
    }

    // Rooms.

    /// A handle to a room. The room is there while it has members or handles.
    #[must_use]
    pub fn room(&self, name: &str) -> Room {
        Room::new(self.shared.room(name))
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

    // Connections.

    /// Takes a connection in, and into the default rooms. It is out again when the registration is
    /// dropped.
    ///
    /// # Errors
    /// When the hub is full or shutting down, or a default room is full. What to close the connection with
    /// says [`RegisterError::close_code`], and so it is counted.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn register(
        &self,
        sender: &Sender,
        profile: Profile,
    ) -> Result<Registration, RegisterError> {
        let doors = &self.shared.doors;
        let place = doors.judge(self.shared.reserve())?;
        let taken = doors.user(Taken::default(), profile.user_key())?;
        self.register_in(sender, profile, place, taken)
    }

    pub(super) fn register_in(
        &self,
        sender: &Sender,
        profile: Profile,
        place: Option<Place>,
        taken: Taken,
    ) -> Result<Registration, RegisterError> {
        let registration = self.enter(sender, profile, place, taken)?;
        let begun = registration.peer.begin(&self.shared).map_err(RegisterError::from);
        begun.inspect_err(|error| registration.ended_with(error.close_code()))?;
        Ok(registration)
    }

    /// The same in no room, of what was registered on another node.
    #[allow(dead_code, reason = "for nodes of a cluster")]
    pub(crate) fn register_bare(
        &self,
        sender: &Sender,
        profile: Profile,
    ) -> Result<Registration, RegisterError> {
        let registration = self.enter(sender, profile, None, Taken::default())?;
        registration.peer.begin_time(&self.shared);
        Ok(registration)
    }

    fn enter(
        &self,
        sender: &Sender,
        profile: Profile,
        place: Option<Place>,
        taken: Taken,
    ) -> Result<Registration, RegisterError> {
        let peer = self.shared.enter(sender, profile)?;
        // From here on dropping it undoes everything.
        self.shared.metrics.count_accepted();
        self.shared.metrics.count_opened();
        let ended = Mutex::new(CloseCode::Abnormal);
        let hub = self.shared.clone();
        Ok(Registration { hub, peer, ended, _place: place, _taken: taken })
    }

    /// Registered connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.registry.len()
    }

    /// Whether no connection is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A registered connection by its [number](Sender::id).
    #[must_use]
    pub fn peer(&self, id: u64) -> Option<Peer> {
        self.shared.registry.get(id)
    }

    /// All connections of a user.
    #[must_use]
    pub fn user(&self, user: &str) -> Vec<Peer> {
        self.shared.registry.of_user(user)
    }

    /// All registered connections. Costs a clone of each.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.shared.registry.all()
    }

    // To all, to a user.

    /// Sends a message to every registered connection, as [`Room::broadcast`] does to a room; in order
    /// with what the caller says to rooms.
    ///
    /// # Errors
    /// When the job queue is full.
    pub fn broadcast<'a>(&self, message: impl Into<MessageRef<'a>>) -> Result<(), BroadcastError> {
        self.broadcast_except(message, Except::nobody())
    }

    /// Sends a message to every registered connection but one, or some.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_except<'a>(
        &self,
        message: impl Into<MessageRef<'a>>,
        except: impl Into<Except>,
    ) -> Result<(), BroadcastError> {
        let (message, except) = (&PreparedMessage::new(message), &except.into());
        self.shared.publish(EVERYBODY, &to_everybody(message, except))
    }

    /// The same, and what came of it, as [`Room::broadcast_reported`].
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
        self.shared.publish_reported(EVERYBODY, &to_everybody(message, except))
    }

    /// Sends a message to each connection of a user, at once: it may overtake broadcasts that wait for
    /// a worker. What each outbox said, by connection; of those on other nodes of a cluster it is not known.
    ///
    /// Encoded once.
    pub fn send_to_user<'a>(
        &self,
        user: &str,
        message: impl Into<MessageRef<'a>>,
    ) -> Vec<(u64, Result<Sent, SendError>)> {
        self.send_prepared_to_user(user, &PreparedMessage::new(message), &Except::nobody())
    }

    pub(crate) fn send_prepared_to_user(
        &self,
        user: &str,
        message: &PreparedMessage,
        except: &Except,
    ) -> Vec<(u64, Result<Sent, SendError>)> {
        let left_out = except.here(&self.shared);
        let said = Said { to: To::User(user), message, except, keep: Keep::Not };
        let mut sent = Vec::new();
        let mut send = || {
            let peers = self.user(user).into_iter().filter(|peer| !left_out.has(peer.id()));
            sent.extend(peers.map(|peer| (peer.id(), peer.sender().try_broadcast(message))));
            Ok(())
        };
        // No queue is in its way.
        let _ = self.shared.publish_both(&said, &mut send);
        sent
    }

    /// Pending while a job queue is more than half full, as [`Room::poll_ready`].
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.poll_ready(cx)
    }

    /// Jobs that wait for the workers, and the bytes of their messages.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.shared.waiting()
    }
}

const fn to_everybody<'a>(message: &'a PreparedMessage, except: &'a Except) -> Said<'a> {
    Said { to: To::Everybody, message, except, keep: Keep::Not }
}

/// That a connection is registered. Dropping it takes the connection out of the hub and of all its
/// rooms; the connection itself goes on.
#[derive(Debug)]
#[must_use = "dropping the registration takes the connection out of the hub"]
pub struct Registration {
    hub: Arc<Shared>,
    peer: Peer,
    ended: Mutex<CloseCode>,
    _place: Option<Place>,
    _taken: Taken,
}

impl Registration {
    /// Notes with which code the connection has ended, for the metrics: for a read loop of one's own. A
    /// [`HubHandler`](super::HubHandler) does it itself. Else it counts as 1006.
    pub fn ended_with(&self, code: CloseCode) {
        *self.ended.lock() = code;
    }

    /// The connection, as the hub knows it.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl std::ops::Deref for Registration {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let id = self.peer.id();
        let mut code = *self.ended.lock();
        if std::thread::panicking() {
            self.hub.metrics.count_handler_panic();
            code = CloseCode::InternalError;
        }
        self.hub.metrics.count_closed(code);
        self.peer.end();
        self.peer.worker().leave(EVERYBODY, id);
        self.hub.registry.remove(&self.peer);
        self.hub.note_user(&self.peer);
    }
}
