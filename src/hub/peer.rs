//! A connection that the hub knows.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;

use crate::frame::CloseFrameError;
use crate::outbox::{SendError, Sender, Sent};
use crate::protocol::Message;
use crate::sync::{Arc, Mutex};

use super::clock::Due;
use super::error::{JoinError, MetadataError};
use super::hub::Hub;
use super::limits::check_room_name;
use super::room::{Membership, Room};
use super::shared::Shared;
use super::worker::Jobs;

/// What is known of a connection when it is registered.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    user: Option<Arc<str>>,
    pub(super) address: Option<IpAddr>,
    expires_at: Option<Instant>,
    rooms: Vec<String>,
    extensions: Extensions,
}

type Extensions = Vec<(TypeId, Arc<dyn Any + Send + Sync>)>;

/// What a pair of metadata counts for: its bytes, and what storing it takes.
const fn pair_bytes(key: &str, value: &str) -> usize {
    key.len() + value.len() + 64
}

/// Whether a connection may join a room.
#[derive(Clone)]
pub(super) struct OnJoin(pub(super) Arc<MayJoin>);

type MayJoin = dyn Fn(&Peer, &str) -> bool + Send + Sync;

impl std::fmt::Debug for OnJoin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnJoin").finish_non_exhaustive()
    }
}

/// What is noted in the place of what is to be noted.
#[derive(Clone)]
pub(super) struct OnMetadata(pub(super) Arc<Clean>);

type Clean = dyn Fn(&Peer, &str, String) -> Option<String> + Send + Sync;

impl std::fmt::Debug for OnMetadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnMetadata").finish_non_exhaustive()
    }
}

impl Profile {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose connection it is; a user may have several.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.into());
        self
    }

    pub(super) const fn user_key(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// The address of the client.
    #[must_use]
    pub fn address(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }

    /// When its identity ends: see [`Peer::expire_at`].
    #[must_use]
    pub fn expire_at(mut self, at: Option<Instant>) -> Self {
        self.expires_at = at;
        self
    }

    /// A room it joins when it is registered. May be called several times.
    #[must_use]
    pub fn room(mut self, name: &str) -> Self {
        self.rooms.push(name.to_owned());
        self
    }

    /// A value of any type, to be found again with [`Peer::extension`]; one of each type.
    #[must_use]
    pub fn extension<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.retain(|(known, _)| *known != TypeId::of::<T>());
        self.extensions.push((TypeId::of::<T>(), Arc::new(value)));
        self
    }
}

/// A registered connection: whose it is, which rooms it is in, what is noted about it. Cloning counts
/// a reference.
///
/// It outlives its connection harmlessly: then it is in no room and joins none.
#[derive(Clone)]
pub struct Peer(Arc<State>);

struct State {
    sender: Sender,
    hub: Weak<Shared>,
    worker: Arc<Jobs>,
    profile: Profile,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By their names.
    rooms: Vec<Membership>,
    metadata: HashMap<String, String>,
    is_gone: bool,
    expires_at: Option<Instant>,
    /// What the hub's clock knows of it.
    due: Vec<(Instant, Due)>,
}

impl Peer {
    pub(super) fn new(
        sender: Sender,
        hub: &Arc<Shared>,
        worker: Arc<Jobs>,
        profile: Profile,
    ) -> Self {
        let (hub, inner) = (Arc::downgrade(hub), Mutex::default());
        Self(Arc::new(State { sender, hub, worker, profile, inner }))
    }

    /// The connection's number, unique in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.sender.id()
    }

    /// Whose connection it is.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.0.profile.user.as_deref()
    }

    pub(super) fn user_key(&self) -> Option<&Arc<str>> {
        self.0.profile.user.as_ref()
    }

    /// The address of the client, where it has one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.0.profile.address
    }

    /// What was noted of this type when it was registered.
    #[must_use]
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        let extensions = &self.0.profile.extensions;
        let found = extensions.iter().find(|(known, _)| *known == TypeId::of::<T>());
        found.and_then(|(_, value)| value.downcast_ref())
    }

    /// Its hub, while there is one.
    #[must_use]
    pub fn hub(&self) -> Option<Hub> {
        self.0.hub.upgrade().map(Hub::from_shared)
    }

    /// Sends to it, from anywhere.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.0.sender
    }

    /// Sends a message, as [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// Cancel safety: as of [`Sender::send`].
    pub async fn send(&self, message: impl Into<Message>) -> Result<Sent, SendError> {
        self.0.sender.send(message).await
    }

    /// Closes it after what is queued, as [`Sender::close`].
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), CloseFrameError> {
        self.0.sender.close(code, reason)
    }

    /// The time from the last ping to its pong.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.0.sender.round_trip()
    }

    // Metadata.

    /// What is noted under a key.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.0.inner.lock().metadata.get(key).cloned()
    }

    /// Notes something under a key; returns what was there before.
    ///
    /// # Errors
    /// When the application [says no](super::HubBuilder::on_metadata), or as much is noted as
    /// [may be](super::limits::Limits::metadata_bytes_max): then nothing has changed.
    pub fn set_metadata(
        &self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Option<String>, MetadataError> {
        let (key, mut value) = (key.into(), value.into());
        // Of a hub that has ended nobody is left to ask.
        let Some(hub) = self.0.hub.upgrade() else { return Ok(None) };
        if let Some(OnMetadata(clean)) = &hub.settings.on_metadata {
            // Before the lock: the application may ask the peer anything.
            value = clean(self, &key, value).ok_or(MetadataError::Refused)?;
        }
        let bytes_max = hub.settings.limits.metadata_bytes_max;
        let mut inner = self.0.inner.lock();
        let others = inner.metadata.iter().filter(|(known, _)| **known != key);
        let others: usize = others.map(|(key, value)| pair_bytes(key, value)).sum();
        if others + pair_bytes(&key, &value) > bytes_max && !hub.settings.limits.dry_run {
            return Err(MetadataError::Full { bytes_max });
        }
        Ok(inner.metadata.insert(key, value))
    }

    /// All that is noted.
    #[allow(dead_code, reason = "for nodes of a cluster")]
    pub(crate) fn all_metadata(&self) -> Vec<(String, String)> {
        let inner = self.0.inner.lock();
        inner.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Another number, as good as always, where it is in other rooms or something else is noted.
    #[allow(dead_code, reason = "for nodes of a cluster")]
    pub(crate) fn change_mark(&self) -> u64 {
        let inner = self.0.inner.lock();
        let mut hasher = DefaultHasher::new();
        inner.rooms.iter().for_each(|place| place.room().name().hash(&mut hasher));
        inner.rooms.len().hash(&mut hasher);
        // As long as nothing changes, they come in one order.
        inner.metadata.iter().for_each(|pair| pair.hash(&mut hasher));
        hasher.finish()
    }

    /// Notes what was noted on another node, where it was looked at.
    #[allow(dead_code, reason = "for nodes of a cluster")]
    pub(crate) fn restore_metadata(&self, metadata: impl Iterator<Item = (String, String)>) {
        self.0.inner.lock().metadata = metadata.collect();
    }

    /// Forgets what is noted under a key.
    pub fn remove_metadata(&self, key: &str) -> Option<String> {
        self.0.inner.lock().metadata.remove(key)
    }

    // Rooms.

    /// Joins a room; being in it already is no error. A broadcast that the caller makes after this
    /// reaches it.
    ///
    /// # Errors
    /// When a limit says no, or the connection is over.
    pub fn join(&self, name: &str) -> Result<Room, JoinError> {
        self.ask(name)?;
        let room = self.enter(name)?;
        room.hub().tell_presence();
        Ok(room)
    }

    /// Asks the application whether it may join. Without a lock: it may ask the peer anything.
    pub(super) fn ask(&self, name: &str) -> Result<(), JoinError> {
        let hub = self.0.hub.upgrade().ok_or(JoinError::Closed)?;
        if self.may_join(&hub, name) {
            return Ok(());
        }
        hub.metrics.count_join_refused(JoinError::Refused.refusal());
        Err(JoinError::Refused)
    }

    /// Joins a room without asking. Who is to be told of it is told later.
    pub(crate) fn enter(&self, name: &str) -> Result<Room, JoinError> {
        let shared = self.0.hub.upgrade().ok_or(JoinError::Closed)?;
        let rooms_max = shared.settings.limits.rooms_per_connection_max;
        let metrics = shared.metrics.clone();
        let is_dry_run = shared.settings.limits.dry_run;
        let hub = Hub::from_shared(shared);
        let mut inner = self.0.inner.lock();
        if inner.is_gone {
            return Err(JoinError::Closed);
        }
        let place = match inner.place(name) {
            Ok(place) => return Ok(inner.rooms[place].room().clone()),
            Err(place) => place,
        };
        if inner.rooms.len() >= rooms_max {
            let error = JoinError::TooManyRooms { rooms_max };
            metrics.count_join_refused(error.refusal());
            if !is_dry_run {
                return Err(error);
            }
        }
        let room = hub.room(name);
        let membership = room.join_with(self.0.sender.clone(), self.0.worker.clone())?;
        inner.rooms.insert(place, membership);
        self.entered(hub.shared(), &room);
        Ok(room)
    }

    /// What the application says to it. A name against the rules is refused for that, later.
    pub(super) fn may_join(&self, hub: &Shared, name: &str) -> bool {
        let Some(OnJoin(may_join)) = &hub.settings.on_join else { return true };
        let is_lawful = check_room_name(name, hub.settings.limits.room_name_bytes_max).is_ok();
        !is_lawful || self.in_room(name) || may_join(self, name)
    }

    /// Leaves a room. False: it was not in it.
    pub fn leave(&self, name: &str) -> bool {
        let mut inner = self.0.inner.lock();
        let Ok(place) = inner.place(name) else { return false };
        let membership = inner.rooms.remove(place);
        let room = membership.room().clone();
        self.left(room.hub(), &room);
        drop(inner);
        drop(membership);
        room.hub().tell_presence();
        true
    }

    /// Whether it is in a room.
    #[must_use]
    pub fn in_room(&self, name: &str) -> bool {
        self.0.inner.lock().place(name).is_ok()
    }

    /// The rooms it is in, by their names.
    #[must_use]
    pub fn rooms(&self) -> Vec<Room> {
        self.0.inner.lock().rooms.iter().map(|place| place.room().clone()).collect()
    }

    // Time.

    /// When its identity ends, if it does.
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        self.0.inner.lock().expires_at
    }

    /// Sets when its identity ends: it is then closed with 4401, at most a second later. `None`: never.
    /// Replaces what was set before, so it renews as well.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn expire_at(&self, at: Option<Instant>) {
        let Some(hub) = self.0.hub.upgrade() else { return };
        let mut inner = self.0.inner.lock();
        inner.expires_at = at;
        inner.forget_due(&hub, self.id(), |due| due != Due::Life);
        if inner.is_gone {
            return;
        }
        let Some(at) = at else { return };
        inner.add_due(&hub, self.id(), at, Due::Expiry);
        if let Some(warning) = &hub.settings.warning {
            let warn_at = at.checked_sub(warning.before).unwrap_or_else(Instant::now);
            inner.add_due(&hub, self.id(), warn_at, Due::Warning);
        }
    }

    /// What ends it by itself.
    pub(super) fn begin_time(&self, hub: &Arc<Shared>) {
        self.begin_life(hub);
        if self.0.profile.expires_at.is_some() {
            self.expire_at(self.0.profile.expires_at);
        }
    }

    /// Joins the rooms it is to be in from the beginning.
    pub(super) fn begin(&self, hub: &Arc<Shared>) -> Result<(), JoinError> {
        self.begin_time(hub);
        hub.settings.default_rooms.iter().try_for_each(|room| self.join(room).map(drop))?;
        self.0.profile.rooms.iter().try_for_each(|room| self.join(room).map(drop))
    }

    /// Its life begins, where the hub bounds it.
    fn begin_life(&self, hub: &Arc<Shared>) {
        let Some(life) = hub.settings.limits.life_max else { return };
        // Multiples of the golden ratio lie evenly.
        let share = self.id().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        let early = life / 10 * (share as u32) / (1 << 16);
        let mut inner = self.0.inner.lock();
        if let Some(at) = Instant::now().checked_add(life - early) {
            inner.add_due(hub, self.id(), at, Due::Life);
        }
    }

    pub(super) fn worker(&self) -> &Arc<Jobs> {
        &self.0.worker
    }

    /// The connection is over: leaves all rooms.
    pub(super) fn end(&self) {
        let mut inner = self.0.inner.lock();
        inner.is_gone = true;
        if let Some(hub) = self.0.hub.upgrade() {
            inner.forget_due(&hub, self.id(), |_| true);
        }
        let rooms = std::mem::take(&mut inner.rooms);
        let hub = rooms.first().map(|membership| membership.room().clone());
        for membership in &rooms {
            self.left(membership.room().hub(), membership.room());
        }
        drop(inner);
        drop(rooms);
        if let Some(room) = hub {
            room.hub().tell_presence();
        }
    }
}

impl Inner {
    fn add_due(&mut self, hub: &Arc<Shared>, id: u64, at: Instant, due: Due) {
        self.due.push((at, due));
        hub.clock.add(hub, at, id, due);
    }

    fn forget_due(&mut self, hub: &Shared, id: u64, which: impl Fn(Due) -> bool) {
        self.due.retain(|(at, due)| {
            let is_it = which(*due);
            if is_it {
                hub.clock.remove(*at, id, *due);
            }
            !is_it
        });
    }

    /// Where a room is among its rooms, or where it would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.rooms.binary_search_by(|membership| membership.room().name().cmp(name))
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("id", &self.id()).finish_non_exhaustive()
    }
}
