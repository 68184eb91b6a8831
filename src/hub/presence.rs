//! Who is in which room, as users see it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use crate::sync::{Arc, Mutex};

use super::peer::Peer;
use super::room::Room;
use super::shared::Shared;

#[cfg(feature = "pubsub")]
mod elsewhere;

/// What happened to the presence of somebody in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceKind {
    /// The first connection of this user is in the room.
    Joined,
    /// The last one has left it.
    Left,
}

/// Somebody is in a room, or is not any more.
///
/// A user is there with any number of connections, and only the first that joins and the last that leaves
/// count. What has no user is somebody of its own.
///
/// In a cluster a user is there with any connection on any node, and every node that has members in the room is told:
/// by itself it speaks to its own members alone, with [`Room::broadcast_here`]. What has no user is known on its own node only. A
/// node whose last member leaves a room looks away, and who is there elsewhere leaves as this node sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PresenceChange {
    /// The room.
    pub room: Room,
    /// The user, if it is one.
    pub user: Option<Arc<str>>,
    /// The connection that joined or left; `None`: it is on another node.
    pub peer: Option<Peer>,
    /// What happened.
    pub kind: PresenceKind,
}

type Call = dyn Fn(&PresenceChange) + Send + Sync;

#[derive(Clone)]
pub(super) struct OnPresence(pub(super) Arc<Call>);

impl fmt::Debug for OnPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnPresence").finish_non_exhaustive()
    }
}

/// The users in the rooms, where somebody wants to know of them.
#[derive(Debug, Default)]
pub(super) struct Presence {
    table: Mutex<Table>,
}

/// `users[room][user]` is where the user is, and not nowhere.
#[derive(Debug, Default)]
struct Table {
    users: HashMap<u64, BTreeMap<Arc<str>, Places>>,
    /// What is to be told, in the order in which it happened. Of one who joins and leaves in a row there are
    /// as many as there are joins, which are bounded by the jobs of the workers.
    pending: VecDeque<PresenceChange>,
    is_telling: bool,
}

/// Where a user is in a room.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    /// Connections on this node.
    here: u32,
    /// Other nodes.
    elsewhere: u32,
}

impl Places {
    const fn is_nowhere(self) -> bool {
        self.here == 0 && self.elsewhere == 0
    }
}

impl Presence {
    /// A connection has joined a room. To be told by [`tell`](Self::tell).
    pub(super) fn enter(&self, room: &Room, peer: &Peer) {
        let mut table = self.table.lock();
        if let Some(user) = peer.user_key() {
            let before = table.change(room, user, |places| places.here += 1);
            if before.here == 0 {
                tell_others(room, user, PresenceKind::Joined);
            }
            if !before.is_nowhere() {
                return;
            }
        }
        table.note(room, peer.user_key(), Some(peer), PresenceKind::Joined);
    }

    /// It has left.
    pub(super) fn leave(&self, room: &Room, peer: &Peer) {
        let mut table = self.table.lock();
        if let Some(user) = peer.user_key() {
            if table.places(room, user).is_none_or(|places| places.here == 0) {
                return;
            }
            let before = table.change(room, user, |places| places.here -= 1);
            if before.here == 1 {
                tell_others(room, user, PresenceKind::Left);
            }
            if table.places(room, user).is_some() {
                return;
            }
        }
        table.note(room, peer.user_key(), Some(peer), PresenceKind::Left);
    }

    pub(super) fn users(&self, room: u64) -> Vec<Arc<str>> {
        let table = self.table.lock();
        table.users.get(&room).map(|users| users.keys().cloned().collect()).unwrap_or_default()
    }

    /// Tells what has happened, one after the other, without a lock: whoever is told may join and leave.
    pub(super) fn tell(&self, OnPresence(call): &OnPresence) {
        let mut telling = {
            let mut table = self.table.lock();
            if table.is_telling {
                // Whoever does it tells this, too.
                return;
            }
            table.is_telling = true;
            Telling(self)
        };
        while let Some(change) = telling.next() {
            call(&change);
        }
    }
}

impl Table {
    fn places(&self, room: &Room, user: &str) -> Option<Places> {
        self.users.get(&room.key())?.get(user).copied()
    }

    /// Changes where a user is; where it was before.
    fn change(&mut self, room: &Room, user: &Arc<str>, change: impl FnOnce(&mut Places)) -> Places {
        let users = self.users.entry(room.key()).or_default();
        let places = users.entry(user.clone()).or_default();
        let before = *places;
        change(places);
        if places.is_nowhere() {
            users.remove(user);
            if users.is_empty() {
                self.users.remove(&room.key());
                self.give_back();
            }
        }
        before
    }

    /// Memory of a burst is given back.
    fn give_back(&mut self) {
        if self.users.capacity() > 64 && self.users.len() < self.users.capacity() / 8 {
            self.users.shrink_to(64);
        }
    }

    fn note(
        &mut self,
        room: &Room,
        user: Option<&Arc<str>>,
        peer: Option<&Peer>,
        kind: PresenceKind,
    ) {
        let (room, user, peer) = (room.clone(), user.cloned(), peer.cloned());
        self.pending.push_back(PresenceChange { room, user, peer, kind });
    }
}

/// Tells the other nodes that a user has the first connection here, or none any more. Under the lock, so that they hear it
/// in order.
fn tell_others(room: &Room, user: &Arc<str>, kind: PresenceKind) {
    if let Some(remote) = &room.hub().remote {
        remote.presence_changed(room.name(), user, kind);
    }
}

/// One who tells. Also where a call panics, somebody else may tell the rest.
struct Telling<'a>(&'a Presence);

impl Telling<'_> {
    fn next(&mut self) -> Option<PresenceChange> {
        let mut table = self.0.table.lock();
        let change = table.pending.pop_front();
        if change.is_none() {
            table.is_telling = false;
            table.pending.shrink_to(64);
        }
        change
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.table.lock().is_telling = false;
        }
    }
}

impl Shared {
    /// Tells the changes of presence, where somebody wants to know of them. Not under a peer's lock.
    pub(super) fn tell_presence(&self) {
        if let Some(on_presence) = &self.settings.on_presence {
            self.presence.tell(on_presence);
        }
    }
}

impl Room {
    /// The users in it, in order of their names, where the hub [looks after
    /// presence](super::HubBuilder::on_presence); else nobody. In a cluster those on all nodes, as far as this node has heard,
    /// which is while it has members in the room.
    #[must_use]
    pub fn users(&self) -> Vec<Arc<str>> {
        self.hub().presence.users(self.key())
    }
}

impl Peer {
    pub(super) fn entered(&self, hub: &Shared, room: &Room) {
        if hub.settings.on_presence.is_some() {
            hub.presence.enter(room, self);
        }
    }

    pub(super) fn left(&self, hub: &Shared, room: &Room) {
        if hub.settings.on_presence.is_some() {
            hub.presence.leave(room, self);
        }
    }
}
