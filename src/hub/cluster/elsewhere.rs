//! Who is in a room on other nodes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::hub::PresenceKind;
use crate::sync::Arc;

use super::name::NodeId;

/// The users in one room by node. What changes is told to a closure, in order: whoever joins here leaves again, whatever
/// happens in between.
///
/// ```text
///   users ◄── joined, left                  a list that is broken off, or behind a gap, is thrown away,
///   users ◄── coming, when it is whole      and asked for again
/// ```
///
/// A node that has nobody there any more says nothing more of the room, and its last words may be lost: who is not
/// confirmed by a digest for some time is gone.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    nodes: HashMap<NodeId, There>,
    /// When the others are told next how many are here.
    pub(super) digest_at: Option<Instant>,
}

#[derive(Debug)]
struct There {
    users: HashSet<Arc<str>>,
    /// A list of which not all parts are there.
    coming: Option<HashSet<Arc<str>>>,
    confirmed_at: Instant,
}

impl There {
    fn new(now: Instant) -> Self {
        Self { users: HashSet::new(), coming: None, confirmed_at: now }
    }
}

/// One that is told what changes.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&Arc<str>, PresenceKind);

impl Elsewhere {
    /// `left` is how many more may be known.
    pub(super) fn join(&mut self, node: NodeId, user: &Arc<str>, left: &mut usize, tell: Tell<'_>) {
        let there = self.nodes.entry(node).or_insert_with(|| There::new(Instant::now()));
        if *left > 0 && there.users.insert(user.clone()) {
            *left -= 1;
            tell(user, PresenceKind::Joined);
        }
    }

    pub(super) fn leave(
        &mut self,
        node: NodeId,
        user: &Arc<str>,
        left: &mut usize,
        tell: Tell<'_>,
    ) {
        let Some(there) = self.nodes.get_mut(&node) else { return };
        if there.users.remove(user) {
            *left += 1;
            tell(user, PresenceKind::Left);
        }
        if there.is_empty() {
            self.nodes.remove(&node);
        }
    }

    /// A part of a list; what it says when it is whole takes the place of what was known.
    pub(super) fn list(
        &mut self,
        node: NodeId,
        (is_first, is_last): (bool, bool),
        users: Vec<Arc<str>>,
        left: &mut usize,
        tell: Tell<'_>,
    ) {
        let there = self.nodes.entry(node).or_insert_with(|| There::new(Instant::now()));
        there.confirmed_at = Instant::now();
        if is_first {
            there.coming = Some(HashSet::new());
        }
        // The beginning of another one was not heard.
        let Some(mut coming) = there.coming.take() else { return };
        let max = left.saturating_add(there.users.len());
        coming.extend(users.into_iter().take(max.saturating_sub(coming.len())));
        if !is_last {
            there.coming = Some(coming);
            return;
        }
        // There may be less room than there was for its first parts.
        let coming = coming.into_iter().take(max).collect();
        let before = std::mem::replace(&mut there.users, coming);
        *left = max.saturating_sub(there.users.len());
        for user in before.difference(&there.users) {
            tell(user, PresenceKind::Left);
        }
        for user in there.users.difference(&before) {
            tell(user, PresenceKind::Joined);
        }
        if there.is_empty() {
            self.nodes.remove(&node);
        }
    }

    /// Something of this node is missing.
    pub(super) fn spoil(&mut self, node: NodeId) {
        if let Some(there) = self.nodes.get_mut(&node) {
            there.coming = None;
        }
    }

    /// Whether so many with this sum of hashes are what is known. That is good for some time.
    pub(super) fn agrees(&mut self, node: NodeId, digest: (u32, u64)) -> bool {
        let Some(there) = self.nodes.get_mut(&node) else { return digest == (0, 0) };
        there.confirmed_at = Instant::now();
        self::digest(&mut there.users.iter()) == digest
    }

    /// Those that were not confirmed for too long when we had last heard all there was to hear are gone. How long that is, is
    /// known of nodes that are.
    pub(super) fn expire(
        &mut self,
        all_heard_at: Instant,
        silence_max: impl Fn(NodeId) -> Option<Duration>,
        left: &mut usize,
        tell: Tell<'_>,
    ) {
        let is_silent = |(node, there): &(&NodeId, &There)| {
            let silence = all_heard_at.saturating_duration_since(there.confirmed_at);
            silence_max(**node).is_some_and(|max| silence >= max)
        };
        let silent: Vec<NodeId> =
            self.nodes.iter().filter(is_silent).map(|(node, _)| *node).collect();
        silent.into_iter().for_each(|node| self.forget(node, left, tell));
    }

    /// We could not hear until now.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.nodes.values_mut().for_each(|there| there.confirmed_at = now);
    }

    /// It is gone, and whoever was there with it.
    pub(super) fn forget(&mut self, node: NodeId, left: &mut usize, tell: Tell<'_>) {
        let Some(there) = self.nodes.remove(&node) else { return };
        *left = left.saturating_add(there.users.len());
        there.users.iter().for_each(|user| tell(user, PresenceKind::Left));
    }

    /// All are.
    pub(super) fn forget_all(&mut self, left: &mut usize, tell: Tell<'_>) {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.forget(node, left, tell));
    }
}

impl There {
    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.coming.is_none()
    }
}

/// How many they are and the sum of the hashes of their names, in whatever order.
pub(super) fn digest(users: &mut dyn Iterator<Item = &Arc<str>>) -> (u32, u64) {
    users.fold((0, 0), |(count, sum), user| (count + 1, sum.wrapping_add(hash(user))))
}

/// FNV-1a, mixed at the end, so that sums of names that are alike are not.
fn hash(name: &str) -> u64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODE: NodeId = NodeId::from_bytes([1; 16]);

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    /// What was told, in order of names.
    fn told(act: impl FnOnce(Tell<'_>)) -> String {
        let mut told = Vec::new();
        act(&mut |user, kind| {
            told.push(format!("{}{user}", if kind == PresenceKind::Joined { '+' } else { '-' }));
        });
        told.sort();
        told.join(" ")
    }

    #[test]
    fn a_list_takes_the_place_of_what_was_known_when_it_is_whole() {
        let (mut room, mut left) = (Elsewhere::default(), 4);
        let ann: Arc<str> = "ann".into();
        assert_eq!(told(|tell| room.join(NODE, &ann, &mut left, tell)), "+ann");
        assert_eq!(told(|tell| room.join(NODE, &ann, &mut left, tell)), "");
        // A part without its beginning says nothing.
        let part = (false, true);
        assert_eq!(told(|tell| room.list(NODE, part, names(&["eve"]), &mut left, tell)), "");
        let first = (true, false);
        assert_eq!(told(|tell| room.list(NODE, first, names(&["bob"]), &mut left, tell)), "");
        let list = told(|tell| room.list(NODE, part, names(&["cid"]), &mut left, tell));
        assert_eq!((&*list, left), ("+bob +cid -ann", 2));
        let mut agrees = |here| room.agrees(NODE, digest(&mut names(here).iter()));
        assert!(agrees(&["cid", "bob"]) && !agrees(&["cid", "bod"]));
        // One that something is missing of is no list.
        told(|tell| room.list(NODE, first, names(&["dan"]), &mut left, tell));
        room.spoil(NODE);
        assert_eq!(told(|tell| room.list(NODE, part, names(&["eve"]), &mut left, tell)), "");
        assert_eq!(told(|tell| room.forget_all(&mut left, tell)), "-bob -cid");
        assert_eq!((left, room.nodes.len()), (4, 0));
    }

    /// The last words of a node that has nobody there any more may be lost.
    #[tokio::test(start_paused = true)]
    async fn who_is_not_confirmed_is_gone() {
        let (mut room, mut left, second) = (Elsewhere::default(), 9, Duration::from_secs(1));
        told(|tell| room.list(NODE, (true, true), names(&["ann"]), &mut left, tell));
        tokio::time::advance(20 * second).await;
        assert!(room.agrees(NODE, digest(&mut names(&["ann"]).iter())));
        let confirmed_at = Instant::now();
        let mut expire =
            |at, max| told(|tell| room.expire(confirmed_at + at, |_| max, &mut left, tell));
        assert_eq!(expire(100 * second, None), "");
        let max = Some(30 * second);
        assert_eq!((&*expire(29 * second, max), &*expire(30 * second, max)), ("", "-ann"));
        assert!(room.agrees(NODE, (0, 0)) && !room.agrees(NODE, (1, 7)));
    }

    #[test]
    fn no_more_are_known_than_may_be() {
        let (mut room, mut left) = (Elsewhere::default(), 2);
        let both = (true, true);
        let list = told(|tell| room.list(NODE, both, names(&["a", "b", "c"]), &mut left, tell));
        assert_eq!((&*list, left), ("+a +b", 0));
        assert_eq!(told(|tell| room.join(NODE, &"d".into(), &mut left, tell)), "");
        assert_eq!(told(|tell| room.list(NODE, both, names(&["d"]), &mut left, tell)), "+d -a -b");
        assert_eq!(left, 1);
    }

    /// Others may join between two parts of a list.
    #[test]
    fn a_list_in_parts_holds_no_more_than_there_is_room_for() {
        let (mut room, mut left, other) = (Elsewhere::default(), 2, NodeId::from_bytes([2; 16]));
        told(|tell| room.list(NODE, (true, false), names(&["a", "b"]), &mut left, tell));
        told(|tell| room.join(other, &"c".into(), &mut left, tell));
        told(|tell| room.list(NODE, (false, true), names(&[]), &mut left, tell));
        assert_eq!(left, 0);
        told(|tell| room.forget_all(&mut left, tell));
        assert_eq!(left, 2);
    }

    proptest! {
        /// BY-33: whatever comes, joins and leaves alternate for each user, and the count of what may be known comes out even.
        #[test]
        fn joins_and_leaves_alternate(
            steps in prop::collection::vec((0..5_u8, 0..2_u8, prop::collection::vec(0..5_u8, 0..6)), 0..60),
        ) {
            let (mut room, mut left) = (Elsewhere::default(), 7);
            let mut here: HashMap<Arc<str>, i32> = HashMap::new();
            let mut tell = |user: &Arc<str>, kind| {
                let count = here.entry(user.clone()).or_default();
                *count += if kind == PresenceKind::Joined { 1 } else { -1 };
                assert!((0..=2).contains(count));
            };
            for (act, node, users) in steps {
                let node = NodeId::from_bytes([node; 16]);
                let users: Vec<Arc<str>> = users.iter().map(|user| user.to_string().into()).collect();
                let user = users.first().cloned().unwrap_or_else(|| "x".into());
                match act {
                    0 => room.join(node, &user, &mut left, &mut tell),
                    1 => room.leave(node, &user, &mut left, &mut tell),
                    2 => room.forget(node, &mut left, &mut tell),
                    3 => room.spoil(node),
                    _ => room.list(node, (users.len() != 2, users.len() != 3), users, &mut left, &mut tell),
                }
            }
            room.forget_all(&mut left, &mut tell);
            prop_assert_eq!(left, 7);
            prop_assert!(here.values().all(|count| *count == 0));
        }
    }
}
