//! The other nodes, as far as they are heard of.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::name::NodeId;

/// How long it is remembered how far somebody was who fell silent: who is back by then has not lost anything unseen.
const GONE_KEPT: Duration = Duration::from_secs(10 * 60);

/// Who is there. Only this node's own clock is asked.
///
/// ```text
///   hear ──► known ──silent──► gone ──10 minutes──► forgotten
///               ▲               │ heard              ▲
///               └───────────────┘        goodbye ────┘
/// ```
#[derive(Debug)]
pub(super) struct Nodes {
    /// known.len() <= max
    known: HashMap<NodeId, Known>,
    /// gone.len() <= max
    gone: HashMap<NodeId, Known>,
    max: usize,
}

#[derive(Debug)]
struct Known {
    heard_at: Instant,
    silence_max: Duration,
    /// How long it may say nothing of a room where it has users, and what it has said it lost; `None` before its first heartbeat.
    digest_max: Option<Duration>,
    lost: Option<u64>,
}

/// What is known of who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Before,
    Now,
    /// As many are known as may be.
    Never,
}

impl Nodes {
    pub(super) fn new(max: usize) -> Self {
        Self { known: HashMap::new(), gone: HashMap::new(), max }
    }

    /// It speaks. Before its first heartbeat it may be silent for as long as we ourselves.
    pub(super) fn hear(&mut self, node: NodeId, now: Instant, silence_max: Duration) -> Met {
        if let Some(known) = self.known.get_mut(&node) {
            known.heard_at = now;
            return Met::Before;
        }
        if self.known.len() >= self.max {
            return Met::Never;
        }
        let lost = self.gone.remove(&node).and_then(|gone| gone.lost);
        self.known.insert(node, Known { heard_at: now, silence_max, digest_max: None, lost });
        Met::Now
    }

    /// Its heartbeat, with how long it may be silent as a whole and of a room; whether it has lost something since the last one.
    pub(super) fn beat(&mut self, node: NodeId, patience: [Duration; 2], lost: u64) -> bool {
        let Some(known) = self.known.get_mut(&node) else { return false };
        let digest_max;
        [known.silence_max, digest_max] = patience;
        known.digest_max = Some(digest_max);
        known.lost.replace(lost).is_some_and(|before| lost > before)
    }

    /// It ends.
    pub(super) fn remove(&mut self, node: NodeId) {
        self.known.remove(&node);
        self.gone.remove(&node);
    }

    /// Those that were silent for too long when we had last heard all there was to hear. They are known no longer.
    pub(super) fn expire(&mut self, all_heard_at: Instant) -> Vec<NodeId> {
        let is_silent = |known: &Known| {
            all_heard_at.saturating_duration_since(known.heard_at) >= known.silence_max
        };
        let silent = self.known.iter().filter(|(_, known)| is_silent(known));
        let silent: Vec<NodeId> = silent.map(|(node, _)| *node).collect();
        for node in &silent {
            let known = self.known.remove(node);
            self.gone.extend(known.map(|known| (*node, known)));
        }
        silent
    }

    /// Those that are gone for so long, or are so many, that nothing needs to be kept of them.
    pub(super) fn forget_gone(&mut self, now: Instant) -> Vec<NodeId> {
        let mut gone: Vec<_> = self.gone.iter().map(|(id, gone)| (gone.heard_at, *id)).collect();
        gone.sort_unstable();
        let too_many = gone.len().saturating_sub(self.max);
        let is_old = |at: Instant| now.saturating_duration_since(at) >= GONE_KEPT;
        let old = gone.into_iter().enumerate();
        let old = old.filter(|(place, (at, _))| *place < too_many || is_old(*at));
        let old: Vec<NodeId> = old.map(|(_, (_, node))| node).collect();
        for node in &old {
            self.gone.remove(node);
        }
        old
    }

    /// We could not hear until now: nobody was silent.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.known.values_mut().for_each(|known| known.heard_at = now);
    }

    /// How long a node may say nothing of a room where it has users.
    pub(super) fn digest_max(&self, node: NodeId) -> Option<Duration> {
        self.known.get(&node)?.digest_max
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.known.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_expires_by_its_own_interval() {
        let (mut nodes, start) = (Nodes::new(2), Instant::now());
        assert_eq!(nodes.hear(node(1), start, 6 * SECOND), Met::Now);
        assert_eq!(nodes.hear(node(2), start, 6 * SECOND), Met::Now);
        assert_eq!(nodes.hear(node(3), start, 6 * SECOND), Met::Never);
        let patience = [60 * SECOND, 90 * SECOND];
        assert!(!nodes.beat(node(2), patience, 5) && !nodes.beat(node(2), patience, 5));
        assert!(nodes.beat(node(2), patience, 6));
        let digests = [1, 2].map(|number| nodes.digest_max(node(number)));
        assert_eq!(digests, [None, Some(90 * SECOND)]);
        assert_eq!(nodes.hear(node(1), start + SECOND, 6 * SECOND), Met::Before);
        assert_eq!(nodes.expire(start + 6 * SECOND), []);
        nodes.excuse(start + 5 * SECOND);
        assert_eq!(nodes.expire(start + 10 * SECOND), []);
        assert_eq!(nodes.expire(start + 11 * SECOND), [node(1)]);
        assert_eq!((nodes.len(), nodes.ids()), (1, vec![node(2)]));
        // It is back, and what it lost meanwhile is seen.
        let later = start + 20 * SECOND;
        assert_eq!(nodes.forget_gone(later), []);
        assert_eq!(nodes.hear(node(1), later, 6 * SECOND), Met::Now);
        nodes.remove(node(2));
        assert_eq!(nodes.expire(start + 100 * SECOND), [node(1)]);
        assert_eq!(nodes.forget_gone(later + GONE_KEPT), [node(1)]);
        assert_eq!((nodes.len(), nodes.gone.len()), (0, 0));
    }
}
