//! What a node of a cluster counts.

/// A node of a cluster at a moment. Counters begin at zero with the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterSnapshot {
    /// Whether there is a connection to the broker, and all that is wanted is subscribed to.
    pub is_up: bool,
    /// Other nodes that are known.
    pub nodes: u64,
    /// Channels that are listened to.
    pub channels: u64,
    /// Messages that wait for the broker.
    pub queued: u64,
    /// Connections to the broker so far.
    pub connections: u64,
    /// Messages that the broker has taken, those between the nodes themselves included.
    pub published: u64,
    /// Messages that came, own ones and those between the nodes included.
    pub received: u64,
    /// Messages for other nodes that were not taken (no room, or too long), or were lost with their connection: some of
    /// these may have arrived.
    pub lost_out: u64,
    /// Messages that came and were thrown out because this node was too slow, or because they were too long.
    pub lost_in: u64,
    /// Messages of other nodes that are missing by their numbers.
    pub missed: u64,
    /// Places where something may be missing: told by the broker, by other nodes, and by numbers that are missing.
    pub gaps: u64,
    /// Messages that came once more or out of their order, and were thrown out.
    pub repeated: u64,
    /// Messages that are none of this version, or make no sense where they came, and were thrown out.
    pub poisoned: u64,
    /// Nodes that were not heard of any more, without a goodbye.
    pub expired: u64,
    /// Channels that could not be subscribed to, for there are as many as there may be.
    pub unheard: u64,
}

impl ClusterSnapshot {
    /// The counters as differences, the rest as it is now.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            is_up: self.is_up,
            nodes: self.nodes,
            channels: self.channels,
            queued: self.queued,
            connections: self.connections.saturating_sub(earlier.connections),
            published: self.published.saturating_sub(earlier.published),
            received: self.received.saturating_sub(earlier.received),
            lost_out: self.lost_out.saturating_sub(earlier.lost_out),
            lost_in: self.lost_in.saturating_sub(earlier.lost_in),
            missed: self.missed.saturating_sub(earlier.missed),
            gaps: self.gaps.saturating_sub(earlier.gaps),
            repeated: self.repeated.saturating_sub(earlier.repeated),
            poisoned: self.poisoned.saturating_sub(earlier.poisoned),
            expired: self.expired.saturating_sub(earlier.expired),
            unheard: self.unheard.saturating_sub(earlier.unheard),
        }
    }

    /// Names, what they are, and values.
    pub(super) fn gauges(&self) -> [(&'static str, &'static str, u64); 4] {
        [
            ("cluster_up", "Whether the broker is reached.", u64::from(self.is_up)),
            ("cluster_nodes", "Other nodes that are known.", self.nodes),
            ("cluster_channels", "Channels that are listened to.", self.channels),
            ("cluster_queued_messages", "Messages that wait for the broker.", self.queued),
        ]
    }

    /// The same of those that only go up.
    pub(super) fn counters(&self) -> [(&'static str, &'static str, u64); 11] {
        [
            ("cluster_connections_total", "Connections to the broker.", self.connections),
            ("cluster_published_total", "Messages that the broker took.", self.published),
            ("cluster_received_total", "Messages that came from the broker.", self.received),
            ("cluster_lost_out_total", "Messages for others that may be lost.", self.lost_out),
            (
                "cluster_lost_in_total",
                "Messages of others that there was no room for.",
                self.lost_in,
            ),
            ("cluster_missed_total", "Messages of others missing by number.", self.missed),
            ("cluster_gaps_total", "Places where something may be missing.", self.gaps),
            ("cluster_repeated_total", "Messages that came once more.", self.repeated),
            ("cluster_poisoned_total", "Messages that make no sense.", self.poisoned),
            ("cluster_expired_total", "Nodes that fell silent.", self.expired),
            ("cluster_unheard_total", "Channels there was no room for.", self.unheard),
        ]
    }
}
