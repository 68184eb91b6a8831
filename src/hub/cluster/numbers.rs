//! The numbers that this node gives to what it says.

use std::collections::HashMap;

/// Which message it is: `number` counts from 1 in a `stream` of one node on one channel. A node that has forgotten how far
/// it was begins a new stream, which is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) stream: u64,
    pub(super) number: u64,
}

/// The last numbers by channel, in two generations: those that were used since the younger one began are never
/// forgotten.
#[derive(Debug)]
pub(super) struct Numbers {
    young: HashMap<String, Stamp>,
    old: HashMap<String, Stamp>,
    generation_max: usize,
    next_stream: u64,
}

impl Numbers {
    pub(super) fn new(generation_max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation_max: generation_max.max(1),
            next_stream: 1,
        }
    }

    /// The last one on a channel; `None`: there was none yet, or it is forgotten.
    pub(super) fn last(&self, channel: &str) -> Option<Stamp> {
        self.young.get(channel).or_else(|| self.old.get(channel)).copied()
    }

    pub(super) fn next(&mut self, channel: &str) -> Stamp {
        if let Some(stamp) = self.young.get_mut(channel) {
            stamp.number += 1;
            return *stamp;
        }
        let stamp = match self.old.remove(channel) {
            Some(Stamp { stream, number }) => Stamp { stream, number: number + 1 },
            None => {
                self.next_stream += 1;
                Stamp { stream: self.next_stream - 1, number: 1 }
            }
        };
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(channel.to_owned(), stamp);
        stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_and_what_is_forgotten_begins_a_greater_stream() {
        let mut numbers = Numbers::new(2);
        let stamp = |stream, number| Stamp { stream, number };
        assert_eq!((numbers.next("a"), numbers.next("a")), (stamp(1, 1), stamp(1, 2)));
        assert_eq!((numbers.next("b"), numbers.next("c")), (stamp(2, 1), stamp(3, 1)));
        // It is in the old generation and comes back from there.
        assert_eq!(numbers.next("a"), stamp(1, 3));
        for other in ["d", "e", "f", "g"] {
            numbers.next(other);
        }
        assert_eq!(numbers.next("a"), stamp(8, 1));
        assert!(numbers.young.len() + numbers.old.len() <= 4);
    }
}
