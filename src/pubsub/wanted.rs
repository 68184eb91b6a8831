//! Which channels are wanted, and what the broker knows of it.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::sync::Arc;

use super::error::BusError;

/// The channels of a bus by their names on the wire.
///
/// ```text
///                 subscribe            taken            confirmed
///   not there ──────────────► Pending ───────► Asked ─────────────► Confirmed
///       ▲                        ▲  a new connection: all of them       │ unsubscribe
///       └── delay is over ───────┴──────────────────────────── leaving ◄┘ (and back by subscribe)
/// ```
#[derive(Debug, Default)]
pub(super) struct Wanted {
    entries: HashMap<Arc<str>, Entry>,
    /// Names of entries that are pending; names that are so no longer may be among them.
    pending: VecDeque<Arc<str>>,
    /// Names of entries that leave, in the order of their times; names that do so no longer may be among them.
    leaving: VecDeque<(Instant, Arc<str>)>,
}

#[derive(Debug)]
struct Entry {
    /// What the application calls it.
    channel: Arc<str>,
    /// When the broker is told that it is not wanted; none: it is wanted.
    leaves_at: Option<Instant>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pending,
    Asked,
    Confirmed,
}

impl Wanted {
    pub(super) fn subscribe(
        &mut self,
        wire: &str,
        channel: &str,
        max: usize,
    ) -> Result<(), BusError> {
        if let Some(entry) = self.entries.get_mut(wire) {
            entry.leaves_at = None;
            return Ok(());
        }
        if self.entries.len() >= max {
            return Err(BusError::Channels { max });
        }
        let name = Arc::<str>::from(wire);
        let entry = Entry { channel: channel.into(), leaves_at: None, phase: Phase::Pending };
        self.entries.insert(name.clone(), entry);
        self.pending.push_back(name);
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, wire: &str, leaves_at: Instant) {
        let Some((name, _)) = self.entries.get_key_value(wire) else { return };
        let name = name.clone();
        if let Some(entry) = self.entries.get_mut(wire).filter(|entry| entry.leaves_at.is_none()) {
            entry.leaves_at = Some(leaves_at);
            self.leaving.push_back((leaves_at, name));
            self.tidy_leaving();
        }
    }

    /// A room that flaps leaves a name here each time: they are thrown out where most of them are.
    fn tidy_leaving(&mut self) {
        if self.leaving.len() <= 2 * self.entries.len() + 16 {
            return;
        }
        let entries = &self.entries;
        self.leaving.retain(|(at, name)| {
            entries.get(name).is_some_and(|entry| entry.leaves_at == Some(*at))
        });
    }

    /// The broker knows nothing any more: all is pending that is wanted. How many that are.
    pub(super) fn reset(&mut self) -> usize {
        self.entries.retain(|_, entry| entry.leaves_at.is_none());
        self.leaving.clear();
        self.pending = self.entries.keys().cloned().collect();
        for entry in self.entries.values_mut() {
            entry.phase = Phase::Pending;
        }
        self.entries.len()
    }

    /// Names to subscribe to now.
    pub(super) fn take_pending(&mut self, max: usize) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(name) = self.pending.pop_front()
        {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            if entry.phase != Phase::Pending {
                continue;
            }
            entry.phase = Phase::Asked;
            taken.push(name);
        }
        taken
    }

    pub(super) fn confirm(&mut self, names: &[Arc<str>]) {
        for name in names {
            if let Some(entry) = self.entries.get_mut(name) {
                entry.phase = Phase::Confirmed;
            }
        }
    }

    /// Names to unsubscribe from now. They are forgotten: only between two calls to the broker.
    pub(super) fn take_leaving(&mut self, now: Instant, max: usize) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        while taken.len() < max
            && self.next_leaving().is_some_and(|at| at <= now)
            && let Some((_, name)) = self.leaving.pop_front()
        {
            let is_due = |entry: &Entry| entry.leaves_at.is_some_and(|at| at <= now);
            if !self.entries.get(&name).is_some_and(is_due) {
                continue;
            }
            let entry = self.entries.remove(&name);
            if entry.is_some_and(|entry| entry.phase == Phase::Confirmed) {
                taken.push(name);
            }
        }
        taken
    }

    /// When somebody leaves next, or a little before.
    pub(super) fn next_leaving(&self) -> Option<Instant> {
        self.leaving.front().map(|(at, _)| *at)
    }

    /// What the application calls this channel, if it wants it.
    pub(super) fn channel(&self, wire: &str) -> Option<Arc<str>> {
        let entry = self.entries.get(wire)?;
        entry.leaves_at.is_none().then(|| entry.channel.clone())
    }

    pub(super) fn is_confirmed(&self, wire: &str) -> bool {
        let is_confirmed =
            |entry: &Entry| entry.leaves_at.is_none() && entry.phase == Phase::Confirmed;
        self.entries.get(wire).is_some_and(is_confirmed)
    }

    /// Channels that are wanted or left lately.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn names(taken: &[Arc<str>]) -> Vec<&str> {
        taken.iter().map(AsRef::as_ref).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flapping_channel_costs_nothing_and_stays_bounded() {
        let (mut wanted, start) = (Wanted::default(), Instant::now());
        wanted.subscribe("a", "A", 9).unwrap();
        let taken = wanted.take_pending(9);
        wanted.confirm(&taken);
        for second in 0..1000 {
            wanted.unsubscribe("a", start + Duration::from_secs(second));
            wanted.subscribe("a", "A", 9).unwrap();
        }
        assert!(wanted.leaving.len() < 20, "{}", wanted.leaving.len());
        let late = start + Duration::from_secs(5000);
        assert!(wanted.take_leaving(late, 9).is_empty() && wanted.take_pending(9).is_empty());
        assert!(wanted.is_confirmed("a"));
        wanted.unsubscribe("a", late);
        assert_eq!(wanted.channel("a"), None);
        assert_eq!(names(&wanted.take_leaving(late, 9)), ["a"]);
        assert_eq!((wanted.len(), wanted.next_leaving()), (0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_is_asked_for_what_is_wanted_and_no_more() {
        let (mut wanted, now) = (Wanted::default(), Instant::now());
        for name in ["a", "b", "c"] {
            wanted.subscribe(name, name, 3).unwrap();
        }
        assert_eq!(wanted.subscribe("d", "d", 3), Err(BusError::Channels { max: 3 }));
        let taken = wanted.take_pending(2);
        assert_eq!(names(&taken), ["a", "b"]);
        wanted.confirm(&taken);
        wanted.unsubscribe("b", now);
        assert_eq!(wanted.reset(), 2);
        let mut again = wanted.take_pending(9);
        again.sort();
        assert_eq!(names(&again), ["a", "c"]);
        assert!(!wanted.is_confirmed("a"));
    }

    /// One that leaves before the broker was asked is never asked for.
    #[tokio::test(start_paused = true)]
    async fn one_that_leaves_early_is_not_asked_for() {
        let (mut wanted, now) = (Wanted::default(), Instant::now());
        wanted.subscribe("a", "a", 3).unwrap();
        wanted.unsubscribe("a", now);
        assert!(wanted.take_leaving(now, 9).is_empty());
        assert!(wanted.take_pending(9).is_empty());
    }
}
