//! What is wrong with a byte stream.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::chance::Chance;

/// In what pieces a stream moves bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pieces {
    /// As they come.
    #[default]
    Whole,
    /// At most so many bytes at a time.
    Of(usize),
    /// By the seed from 1 to so many bytes at a time.
    UpTo(usize),
}

/// What a [`FaultyStream`](super::FaultyStream) does to what passes through it. The same seed does the same to the same reads and
/// writes.
///
/// ```
/// use std::time::Duration;
/// use sockeye::testing::{Faults, Pieces};
///
/// let faults = Faults::new(7)
///     .reads(Pieces::UpTo(3))
///     .writes(Pieces::Of(100))
///     .stalls(250)
///     .latency(Duration::from_millis(20)..=Duration::from_millis(80))
///     .cut_after_read(1000);
/// assert_eq!(faults.seed(), 7);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Faults {
    pub(super) seed: u64,
    pub(super) reads: Pieces,
    pub(super) writes: Pieces,
    pub(super) stalls_per_mille: u16,
    /// From the least, so much more.
    pub(super) latency: (Duration, Duration),
    pub(super) cut_read_at: u64,
    pub(super) cut_written_at: u64,
}

impl Faults {
    /// Nothing is wrong.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            reads: Pieces::Whole,
            writes: Pieces::Whole,
            stalls_per_mille: 0,
            latency: (Duration::ZERO, Duration::ZERO),
            cut_read_at: u64::MAX,
            cut_written_at: u64::MAX,
        }
    }

    /// Reads and writes of 1 to 64 bytes, every fourth of which is pending once: what an honest but poor network does.
    pub const fn rough(seed: u64) -> Self {
        Self::new(seed).reads(Pieces::UpTo(64)).writes(Pieces::UpTo(64)).stalls(250)
    }

    /// In what pieces it reads.
    pub const fn reads(mut self, pieces: Pieces) -> Self {
        self.reads = pieces;
        self
    }

    /// In what pieces it takes what is written.
    pub const fn writes(mut self, pieces: Pieces) -> Self {
        self.writes = pieces;
        self
    }

    /// Of a thousand reads, writes, flushes and shutdowns so many are pending once; the task is woken at once. 1000: each.
    pub const fn stalls(mut self, per_mille: u16) -> Self {
        self.stalls_per_mille = per_mille;
        self
    }

    /// What is read comes so much later, by the seed, in tokio's time. One read waits for the one before it.
    pub fn latency(mut self, latency: RangeInclusive<Duration>) -> Self {
        let (least, most) = latency.into_inner();
        self.latency = (least, most.saturating_sub(least));
        self
    }

    /// The connection is lost when this end has read so many bytes and wants more.
    pub const fn cut_after_read(mut self, bytes: u64) -> Self {
        self.cut_read_at = bytes;
        self
    }

    /// The connection is lost when this end has written so many bytes, which the other end still reads, and has more.
    pub const fn cut_after_written(mut self, bytes: u64) -> Self {
        self.cut_written_at = bytes;
        self
    }

    /// One of the two, by the seed, at 0 to `bytes` bytes.
    pub const fn cut_within(self, bytes: u64) -> Self {
        // Not the numbers that the stream itself draws.
        let mut chance = Chance::new(!self.seed);
        let at = chance.below(bytes.saturating_add(1));
        if chance.happens(500) { self.cut_after_read(at) } else { self.cut_after_written(at) }
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}
