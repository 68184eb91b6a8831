//! The numbers of a bus.

use std::time::Duration;

/// What a [`Bus`](super::Bus) may hold and how long it waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BusConfig {
    /// What all channels of this application begin with on the wire, so that several can share a broker (default
    /// `sockeye`); it is escaped like a channel's name, and a dot stands behind it. At a broker with access rules, allow
    /// `sockeye.*` (Redis) or `sockeye.>` (NATS).
    pub prefix: String,
    /// Longest message, in bytes, in and out (default 1 MiB).
    pub message_bytes_max: usize,
    /// Messages that may wait for the broker (default 16,384).
    pub outgoing_messages_max: usize,
    /// Bytes that may wait for the broker, names included (default 16 MiB).
    pub outgoing_bytes_max: usize,
    /// What happens beyond these two (default [`BusOverflow::DropNewest`]).
    pub overflow: BusOverflow,
    /// Messages that may wait for who listens (default 16,384).
    pub incoming_messages_max: usize,
    /// Bytes that may wait for who listens, names included (default 16 MiB).
    pub incoming_bytes_max: usize,
    /// Channels that may be subscribed to, those left lately included (default 1,000,000).
    pub channels_max: usize,
    /// How long a subscription is kept after [`unsubscribe`](super::Bus::unsubscribe), so that a room that empties and
    /// fills again costs the broker nothing (default 5 s).
    pub unsubscribe_delay: Duration,
    /// How long connecting may take (default 5 s).
    pub connect_timeout: Duration,
    /// How long the broker may take for one batch of messages, up to 512 (default 5 s); a broker that stands still is
    /// noticed after this.
    pub publish_timeout: Duration,
    /// How long the broker may take for one batch of subscriptions, up to 1,024 (default 5 s).
    pub subscribe_timeout: Duration,
    /// So often the broker is asked whether it is there, whatever else it is asked (default 10 s); the answer may take
    /// [`publish_timeout`](Self::publish_timeout).
    pub ping_interval: Duration,
    /// The longest wait before the second attempt to connect; it doubles from one to the next (default 100 ms).
    pub backoff_first: Duration,
    /// The longest wait between two attempts to connect (default 1.5 s).
    pub backoff_max: Duration,
}

/// What happens to messages for which there is no room, towards a broker that is slow or away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusOverflow {
    /// The new one is refused: [`BusError::Full`](super::BusError::Full).
    #[default]
    DropNewest,
    /// The oldest ones go.
    DropOldest,
}

impl Default for BusConfig {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            prefix: "sockeye".to_owned(),
            message_bytes_max: MIB,
            outgoing_messages_max: 16_384,
            outgoing_bytes_max: 16 * MIB,
            overflow: BusOverflow::DropNewest,
            incoming_messages_max: 16_384,
            incoming_bytes_max: 16 * MIB,
            channels_max: 1_000_000,
            unsubscribe_delay: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            publish_timeout: Duration::from_secs(5),
            subscribe_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(10),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_millis(1500),
        }
    }
}
