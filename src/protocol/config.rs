//! Every limit and deadline of one connection, with its unit and default.

use std::time::Duration;

use crate::deflate::Deflate;

use super::observer::SharedObserver;
use super::rate::Rate;
use super::{GapNotice, Overflow};

/// Limits and deadlines of a connection. Everything that can grow has a maximum here.
///
/// ```
/// let mut config = sockeye::Config::default();
/// config.message_bytes_max = 64 * 1024;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Longest message after reassembly, in bytes (default 16 MiB). A longer one: close 1009, on the
    /// header that announces it.
    pub message_bytes_max: usize,
    /// Longest frame, in bytes (default: the message limit). A longer one: close 1009.
    pub frame_bytes_max: Option<usize>,
    /// Most fragments of one message (default 131,072). More: close 1008.
    pub fragments_max: u32,
    /// Most empty fragments in a row (default 64). More: close 1008.
    pub empty_fragments_max: u32,
    /// Longest time from a message's first byte to its last (default 60 s). Longer: close 1008.
    pub message_timeout: Duration,
    /// Most pings a second from a client, as a server; twice that in a burst (default 100). More:
    /// close 1008.
    pub pings_per_second_max: u32,
    /// How often a ping is sent (default 30 s); `None` sends none. The first is jittered.
    pub ping_interval: Option<Duration>,
    /// How long to wait for the pong, counted from the flush of the ping (default 10 s). Then the
    /// connection is dropped, 1006 here.
    pub pong_timeout: Duration,
    /// Longest silence of the peer (default 120 s); `None` for no limit. Then: close 1001.
    pub idle_timeout: Option<Duration>,
    /// How long the closing handshake may take (default 5 s). Then TCP is dropped.
    pub close_timeout: Duration,
    /// How long a write may make no progress (default 10 s). Then TCP is dropped.
    pub write_timeout: Duration,
    /// Most messages that wait in the outbox (default 64).
    pub outbox_messages_max: usize,
    /// Most payload bytes that wait in the outbox (default 1 MiB). One message may be longer when
    /// nothing else waits.
    pub outbox_bytes_max: usize,
    /// Most messages that are read ahead of a [`Receiver`](crate::Receiver), the reading end of a split
    /// connection (default 64). Then the peer is held back; once we have closed, what does not fit is
    /// dropped instead.
    pub read_ahead_messages_max: usize,
    /// Most payload bytes that are read ahead of it (default 256 KiB); the message that crosses it is
    /// taken, too.
    pub read_ahead_bytes_max: usize,
    /// What happens when the outbox is full (default: block for 10 s).
    pub overflow: Overflow,
    /// Tells the peer how many messages it missed when some were dropped (default: nothing does).
    pub gap_notice: Option<GapNotice>,
    /// Longest payload of a data frame that is sent, in bytes (default 64 KiB): longer messages are cut
    /// into fragments, so that a ping, a pong or the answer to a close need not wait for the end of a
    /// long message. (A server's handler reads nothing while its output is blocked, so it answers then.)
    /// `None` never cuts. Cutting costs nothing that can be measured, also of what was prepared.
    pub fragment_bytes_max: Option<usize>,
    /// Compression (default: none), if the peer agrees:
    /// `config.deflate = Deflate::no_context()`.
    pub deflate: Deflate,
    /// Most data messages from the peer (default: no limit). More: close 1008.
    pub message_rate: Option<Rate>,
    /// Most payload bytes of data messages from the peer, after inflating (default: no limit). Its burst
    /// must hold the longest message: longer ones never pass. More: close 1008.
    pub byte_rate: Option<Rate>,
    /// Told of what passes (default: nobody).
    pub observer: Option<SharedObserver>,
    /// Whether `recv` also hands out pings, pongs and the close frame, which are answered here in any
    /// case (default false).
    pub control_messages: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 * 1024 * 1024,
            frame_bytes_max: None,
            fragments_max: 131_072,
            empty_fragments_max: 64,
            message_timeout: Duration::from_secs(60),
            pings_per_second_max: 100,
            ping_interval: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(120)),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            outbox_messages_max: 64,
            outbox_bytes_max: 1024 * 1024,
            read_ahead_messages_max: 64,
            read_ahead_bytes_max: 256 * 1024,
            overflow: Overflow::Block { timeout: Duration::from_secs(10) },
            gap_notice: None,
            fragment_bytes_max: Some(64 * 1024),
            deflate: Deflate::disabled(),
            message_rate: None,
            byte_rate: None,
            observer: None,
            control_messages: false,
        }
    }
}

/// A duration in whole milliseconds; what does not fit is for ever.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
