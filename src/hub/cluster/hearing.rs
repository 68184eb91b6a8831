//! What was heard on one channel.

use std::collections::HashMap;

use super::elsewhere::Elsewhere;
use super::name::NodeId;
use super::numbers::Stamp;

/// A channel that this node listens to: how far each node is on it, and who is there of it.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    last: HashMap<NodeId, Stamp>,
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
        let heard = match self.last.get(&node) {
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

    /// How far each node is.
    pub(super) fn positions(&self) -> impl Iterator<Item = (NodeId, Stamp)> {
        self.last.iter().map(|(node, stamp)| (*node, *stamp))
    }

    pub(super) fn last(&self, node: NodeId) -> Option<Stamp> {
        self.last.get(&node).copied()
    }

    /// It is gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.last.remove(&node);
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
}
