//! The numbers of a node.

use std::fmt;
use std::time::Duration;

use crate::hub::hub::Hub;
use crate::hub::room::Room;
use crate::pubsub::BusConfig;
use crate::sync::Arc;

use super::name::NodeId;

/// What a node of a cluster holds, and how long it waits. Nodes may differ in all but
/// [`BusConfig::prefix`].
#[derive(Clone)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// The bus beneath it: bounds and deadlines, and the prefix of all channels, which is that of one cluster.
    pub bus: BusConfig,
    /// How often this node says that it is there (default 2 s; from 1 ms to 1 h). Others go by it.
    pub heartbeat_interval: Duration,
    /// How many heartbeats of another node may be missed before it is held for gone, and how many digests of a room (default 3;
    /// at least 1).
    pub heartbeats_missed_max: u32,
    /// Other nodes that are known at a time (default 1,024): what comes from others still is passed over.
    pub nodes_max: usize,
    /// How often a node tells for each room how many users it has there, where it looks after presence (default 30 s; from 1 ms
    /// to 1 h). Those of a node that has not told so three times, by default, are gone.
    pub presence_interval: Duration,
    /// Users in rooms of other nodes that are known, once for each room and node (default 1,000,000). Others are not seen.
    pub presence_max: usize,
    /// Questions of this node's that may be open at a time (default 1,024): beyond, no other node is asked.
    pub questions_max: usize,
    /// Questions of others that are answered at a time (default 64): beyond, none comes to them.
    pub answers_max: usize,
    /// What one node's answer to one question may hold, in bytes (default 16 MiB): a longer one is none.
    pub answer_bytes_max: usize,
    /// Channels whose numbers are remembered at the least (default 16,384), where this node speaks on many. A channel that
    /// is forgotten begins anew, and what was lost at the end of its old numbers cannot be seen by them.
    pub numbers_max: usize,
    /// How long a client that comes back waits for its session to come from the node that has it (default 2 s). Then it is
    /// told that there is none.
    pub move_timeout: Duration,
    pub(super) on_gap: Option<OnGap>,
}

type OnGap = Arc<dyn Fn(&ClusterGap) + Send + Sync>;

/// Messages of other nodes may be missing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterGap {
    /// The hub of this node.
    pub hub: Hub,
    /// Where.
    pub at: GapAt,
    /// Of which node; `None`: any.
    pub node: Option<NodeId>,
    /// How many, where it is known.
    pub missed: Option<u64>,
}

/// Where messages may be missing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GapAt {
    /// Anywhere: the broker was away, or this node was too slow, or another one could not say all that it wanted to.
    Anywhere,
    /// Among those to everybody.
    Everybody,
    /// In a room.
    Room(Room),
    /// Among those to a user.
    User(Arc<str>),
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            bus: BusConfig::default(),
            heartbeat_interval: Duration::from_secs(2),
            heartbeats_missed_max: 3,
            nodes_max: 1024,
            presence_interval: Duration::from_secs(30),
            presence_max: 1_000_000,
            questions_max: 1024,
            answers_max: 64,
            answer_bytes_max: 16 * 1024 * 1024,
            numbers_max: 16_384,
            move_timeout: Duration::from_secs(2),
            on_gap: None,
        }
    }
}

impl ClusterConfig {
    /// Calls this where messages of other nodes may be missing: to tell the members of the room that they should ask for
    /// what they do not have, for example. It is called from the node's own task, so it must not wait; where it panics,
    /// nothing else suffers.
    ///
    /// ```
    /// use sockeye::hub::cluster::{ClusterConfig, GapAt};
    ///
    /// let config = ClusterConfig::default().on_gap(|gap| {
    ///     let rooms: Vec<_> = match &gap.at {
    ///         GapAt::Room(room) => vec![room.clone()],
    ///         _ => gap.hub.rooms().iter().map(|(name, _)| gap.hub.room(name)).collect(),
    ///     };
    ///     for room in rooms {
    ///         // Every node tells its own members. A hub that is full has more to tell than this.
    ///         let _ = room.broadcast_here("something may be missing", sockeye::hub::Except::nobody());
    ///     }
    /// });
    /// # drop(config);
    /// ```
    #[must_use]
    pub fn on_gap(mut self, call: impl Fn(&ClusterGap) + Send + Sync + 'static) -> Self {
        self.on_gap = Some(Arc::new(call));
        self
    }

    /// How often it is heard of, in what others are told.
    pub(super) fn heartbeat_ms(&self) -> u32 {
        in_ms(self.heartbeat_interval)
    }

    /// The same of the users in a room.
    pub(super) fn presence_ms(&self) -> u32 {
        in_ms(self.presence_interval)
    }
}

fn in_ms(interval: Duration) -> u32 {
    let ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
    ms.clamp(1, super::envelope::INTERVAL_MS_MAX)
}

impl fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterConfig")
            .field("bus", &self.bus)
            .field("heartbeat_interval", &self.heartbeat_interval)
            .field("heartbeats_missed_max", &self.heartbeats_missed_max)
            .finish_non_exhaustive()
    }
}
