//! What is known of records that were written or read here: who writes one again need not read it before.

use std::collections::HashMap;

use tokio::time::Instant;

/// Records that are remembered at the most; each costs about 100 bytes.
const SEEN_MAX: usize = 65_536;

/// The last thing that the bucket has had under a name, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    /// Its number in the bucket; 0: there was nothing.
    pub(super) sequence: u64,
    /// Its epoch; 0: there is no record.
    pub(super) epoch: u64,
    /// Then it is over.
    pub(super) until: Instant,
}

impl Trace {
    /// No record, but maybe one that was.
    pub(super) fn nothing(sequence: u64) -> Self {
        Self { sequence, epoch: 0, until: Instant::now() }
    }

    /// 0: there is no record.
    pub(super) fn epoch_now(&self) -> u64 {
        if self.until > Instant::now() { self.epoch } else { 0 }
    }
}

/// Where as many are young as may be, the old ones are forgotten and the young ones are old.
#[derive(Debug, Default)]
pub(super) struct Seen {
    young: HashMap<Box<str>, Trace>,
    old: HashMap<Box<str>, Trace>,
}

impl Seen {
    /// It is not known any longer: whoever takes it is about to change it.
    pub(super) fn take(&mut self, id: &str) -> Option<Trace> {
        let young = self.young.remove(id);
        let old = self.old.remove(id);
        young.or(old)
    }

    pub(super) fn note(&mut self, id: &str, trace: Trace) {
        if self.young.len() >= SEEN_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id.into(), trace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bounded_number_is_remembered() {
        let (mut seen, trace) = (Seen::default(), Trace::nothing(1));
        seen.note("first", trace);
        for number in 0..2 * SEEN_MAX {
            seen.note(&number.to_string(), trace);
            assert!(seen.young.len() + seen.old.len() <= SEEN_MAX);
        }
        assert_eq!(seen.take("first"), None);
        let last = (2 * SEEN_MAX - 1).to_string();
        assert_eq!((seen.take(&last), seen.take(&last)), (Some(trace), None));
        // At least half of them are.
        for number in 2 * SEEN_MAX - SEEN_MAX / 2..2 * SEEN_MAX - 1 {
            assert!(seen.take(&number.to_string()).is_some(), "{number}");
        }
        seen.note("a", trace);
        seen.note("a", Trace::nothing(2));
        assert_eq!(seen.take("a").map(|trace| trace.sequence), Some(2));
    }
}
