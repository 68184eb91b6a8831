//! Who is in a room on other nodes.

use crate::hub::room::Room;
use crate::sync::Arc;

use super::{Presence, PresenceKind};

impl Presence {
    /// A user is in a room on one more of the other nodes.
    pub(in crate::hub) fn enter_elsewhere(&self, room: &Room, user: &Arc<str>) {
        let mut table = self.table.lock();
        if table.change(room, user, |places| places.elsewhere += 1).is_nowhere() {
            table.note(room, Some(user), None, PresenceKind::Joined);
        }
    }

    /// It is so on one node less.
    pub(in crate::hub) fn leave_elsewhere(&self, room: &Room, user: &Arc<str>) {
        let mut table = self.table.lock();
        if table.places(room, user).is_none() {
            return;
        }
        table.change(room, user, |places| places.elsewhere = places.elsewhere.saturating_sub(1));
        if table.places(room, user).is_none() {
            table.note(room, Some(user), None, PresenceKind::Left);
        }
    }

    /// Looks at the users that are in a room on this node. Nothing changes meanwhile.
    pub(in crate::hub) fn look_here<T>(
        &self,
        room: u64,
        look: impl FnOnce(&mut dyn Iterator<Item = &Arc<str>>) -> T,
    ) -> T {
        let table = self.table.lock();
        let users = table.users.get(&room).into_iter().flatten();
        look(&mut users.filter(|(_, places)| places.here > 0).map(|(user, _)| user))
    }
}
