//! What was heard on one channel.

use std::collections::HashMap;

use super::elsewhere::Elsewhere;
use super::name::NodeId;
use super::numbers::Stamp;

/// A channel that this node listens to: how far each node is on it, and who is there of it.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    last: HashMap<NodeId, Stamp>,
    /// How far nodes were that have said nothing here yet, when a session came for which this channel is heard: of several
    /// sessions the least.
    told: HashMap<NodeId, Stamp>,
    /// It is to be asked who is there.
    pub(super) is_asked: bool,
    pub(super) elsewhere: Elsewhere,
}

/// What a number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It follows, or is the first of its node that is heard here.
    Next,
    /// So many before it did not come.
    Missed(u64),
    /// It was here, or one behind it.
    Again,
}

impl Hearing {
    pub(super) fn hear(&mut self, node: NodeId, stamp: Stamp) -> Heard {
        // What comes all the same of what was told is for those who were not told.
        let told = self.told.remove(&node).filter(|told| *told < stamp);
        let heard = match self.last.get(&node).or(told.as_ref()) {
            None => Heard::Next,
            Some(last) if stamp.stream < last.stream => Heard::Again,
            Some(last) if stamp.stream > last.stream => Heard::of(stamp.number - 1),
            Some(last) if stamp.number <= last.number => Heard::Again,
            Some(last) => Heard::of(stamp.number - last.number - 1),
        };
        if heard != Heard::Again {
            self.last.insert(node, stamp);
        }
        heard
    }

    /// How far each node is, by what has come or was told.
    pub(super) fn positions(&self) -> impl Iterator<Item = (NodeId, Stamp)> {
        self.last.iter().chain(&self.told).map(|(node, stamp)| (*node, *stamp))
    }

    /// So far a node was when a session came that has heard all up to there.
    pub(super) fn note_told(&mut self, node: NodeId, stamp: Stamp) {
        if !self.last.contains_key(&node) {
            let told = self.told.entry(node).or_insert(stamp);
            *told = stamp.min(*told);
        }
    }

    pub(super) fn last(&self, node: NodeId) -> Option<Stamp> {
        self.last.get(&node).copied()
    }

    /// It is gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.last.remove(&node);
        self.told.remove(&node);
    }
}

impl Heard {
    const fn of(missed: u64) -> Self {
        match missed {
            0 => Self::Next,
            missed => Self::Missed(missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A28, row 72: each once, in order, and how many are missing.
    #[test]
    fn numbers_tell_what_is_missing_and_what_comes_again() {
        let (mut hearing, node) = (Hearing::default(), NodeId::from_bytes([1; 16]));
        let mut hear = |stream, number| hearing.hear(node, Stamp { stream, number });
        // What was said before anybody listened is not missing.
        assert_eq!(hear(5, 7), Heard::Next);
        assert_eq!((hear(5, 8), hear(5, 8), hear(5, 3)), (Heard::Next, Heard::Again, Heard::Again));
        assert_eq!((hear(5, 11), hear(5, 12)), (Heard::Missed(2), Heard::Next));
        // A stream that is new has begun with 1.
        assert_eq!((hear(9, 3), hear(5, 13)), (Heard::Missed(2), Heard::Again));
        assert_eq!(hear(10, 1), Heard::Next);
        assert_eq!(hear(10, u64::MAX), Heard::Missed(u64::MAX - 2));
        hearing.forget(node);
        assert_eq!(hearing.hear(node, Stamp { stream: 1, number: 4 }), Heard::Next);
    }

    /// BY-42: what is missing between what a session has and what comes is seen, also where nothing had come before.
    #[test]
    fn by_42_what_was_told_counts_as_heard() {
        let node = NodeId::from_bytes([1; 16]);
        let stamp = |number| Stamp { stream: 5, number };
        let first = |told: &[u64], heard| {
            let mut hearing = Hearing::default();
            told.iter().for_each(|number| hearing.note_told(node, stamp(*number)));
            let positions: Vec<_> = hearing.positions().map(|(_, stamp)| stamp.number).collect();
            assert_eq!(positions, told.iter().min().copied().into_iter().collect::<Vec<_>>());
            (hearing.hear(node, heard), hearing.last(node))
        };
        assert_eq!(first(&[], stamp(9)), (Heard::Next, Some(stamp(9))));
        assert_eq!(first(&[8], stamp(9)), (Heard::Next, Some(stamp(9))));
        assert_eq!(first(&[8, 6, 7], stamp(9)), (Heard::Missed(2), Some(stamp(9))));
        let anew = Stamp { stream: 6, number: 2 };
        assert_eq!(first(&[8], anew), (Heard::Missed(1), Some(anew)));
        // Who was not told has not had it.
        assert_eq!(first(&[9], stamp(9)), (Heard::Next, Some(stamp(9))));
        let mut hearing = Hearing::default();
        hearing.hear(node, stamp(3));
        hearing.note_told(node, stamp(2));
        assert_eq!(hearing.hear(node, stamp(4)), Heard::Next);
    }
}
