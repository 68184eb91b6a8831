//! Who is in which room, as users see it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use crate::sync::{Arc, Mutex};

use super::peer::Peer;
use super::room::Room;
use super::shared::Shared;

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
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PresenceChange {
    /// The room.
    pub room: Room,
    /// The user, if it is one.
    pub user: Option<Arc<str>>,
    /// The connection that joined or left, by its [number](super::Peer::id).
    pub peer: u64,
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

/// `users[room][user]` is how many connections of the user are in the room, and not zero.
#[derive(Debug, Default)]
struct Table {
    users: HashMap<u64, BTreeMap<Arc<str>, usize>>,
    /// What is to be told, in the order in which it happened. Of one who joins and leaves in a row there are
    /// as many as there are joins, which are bounded by the jobs of the workers.
    pending: VecDeque<PresenceChange>,
    is_telling: bool,
}

impl Presence {
    /// A connection has joined a room. To be told by [`tell`](Self::tell).
    pub(super) fn enter(&self, room: &Room, user: Option<&Arc<str>>, peer: u64) {
        let mut table = self.table.lock();
        if let Some(user) = user {
            let users = table.users.entry(room.key()).or_default();
            let count = users.entry(user.clone()).or_default();
            *count += 1;
            if *count > 1 {
                return;
            }
        }
        table.note(room, user, peer, PresenceKind::Joined);
    }

    /// It has left.
    pub(super) fn leave(&self, room: &Room, user: Option<&Arc<str>>, peer: u64) {
        let mut table = self.table.lock();
        if let Some(user) = user {
            let Some(users) = table.users.get_mut(&room.key()) else { return };
            let Some(count) = users.get_mut(user) else { return };
            *count -= 1;
            if *count > 0 {
                return;
            }
            users.remove(user);
            if users.is_empty() {
                table.users.remove(&room.key());
                if table.users.capacity() > 64 && table.users.len() < table.users.capacity() / 8 {
                    // Memory of a burst is given back.
                    table.users.shrink_to(64);
                }
            }
        }
        table.note(room, user, peer, PresenceKind::Left);
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
    fn note(&mut self, room: &Room, user: Option<&Arc<str>>, peer: u64, kind: PresenceKind) {
        let (room, user) = (room.clone(), user.cloned());
        self.pending.push_back(PresenceChange { room, user, peer, kind });
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
    /// presence](super::HubBuilder::on_presence); else nobody.
    #[must_use]
    pub fn users(&self) -> Vec<Arc<str>> {
        self.hub().presence.users(self.key())
    }
}

impl Peer {
    pub(super) fn entered(&self, hub: &Shared, room: &Room) {
        if hub.settings.on_presence.is_some() {
            hub.presence.enter(room, self.user_key(), self.id());
        }
    }

    pub(super) fn left(&self, hub: &Shared, room: &Room) {
        if hub.settings.on_presence.is_some() {
            hub.presence.leave(room, self.user_key(), self.id());
        }
    }
}
