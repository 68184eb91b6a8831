//! What one end wants of compression.

use super::deflater::MEMORY_LEVEL;

/// What one end wants of permessage-deflate. Off by default.
///
/// The same settings serve a client and a server: "own" is always what this end compresses, "peer"
/// what the other end does. What both ends agreed on is in
/// [`DeflateParams`](super::DeflateParams).
///
/// Memory of a connection at rest beyond one without compression, as `tests/deflate_memory.rs` measures
/// and guards it:
///
/// | preset | nothing sent yet | the peer has used its context | both have |
/// |---|---|---|---|
/// | [`no_context`](Self::no_context) | 43 bytes | 73 bytes | 73 bytes |
/// | [`context_takeover`](Self::context_takeover), window of 15 bits | 43 bytes | 47 KiB | 334 KiB |
/// | the same, 12 bits | 43 bytes | 47 KiB | 222 KiB |
/// | the same, 9 bits | 43 bytes | 47 KiB | 208 KiB |
/// | window of 15 bits, [memory level](Self::memory_level) 4 | 43 bytes | 47 KiB | 313 KiB |
/// | the same, 12 bits | 43 bytes | 47 KiB | 201 KiB |
///
/// Our own context is earned by four messages, kept by 1,024 connections of a process at most, and
/// given back when nothing was compressed from one ping of the keepalive to the next; a server promises
/// 1,024 peers at most that they may keep theirs. What every thread has once: 47 KiB for an inflater,
/// 32 KiB for the coder of small messages, 290 KiB for a deflater. Source: RFC 7692 7.1.
///
/// ```
/// use sockeye::deflate::Deflate;
///
/// let settings = Deflate::context_takeover().window_bits(12)?.threshold(1024)?;
/// assert!(settings.is_enabled());
/// # Ok::<(), sockeye::deflate::DeflateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    is_enabled: bool,
    own_context: bool,
    peer_context: bool,
    level: u8,
    threshold_bytes: usize,
    memory_level: u8,
    window_bits: u8,
    peer_window_bits: u8,
}

/// How messages are compressed, by its number. Source: RFC 7692 7.1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DeflateMode {
    /// No compression: it is neither offered nor accepted.
    #[default]
    Disabled = 0,
    /// The window is kept from one message to the next, in at least one direction.
    ContextTakeover = 1,
    /// Every message by itself.
    NoContext = 2,
}

/// A setting out of its range. Nothing is clamped silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeflateError {
    /// A level other than 1 to 9.
    #[error("compression level {level} is not within {min} to {max}", min = LEVEL_MIN, max = LEVEL_MAX)]
    Level {
        /// What was given.
        level: u8,
    },
    /// A memory level other than 1 to 9.
    #[error("memory level {level} is not within {min} to {max}", min = LEVEL_MIN, max = LEVEL_MAX)]
    MemoryLevel {
        /// What was given.
        level: u8,
    },
    /// A threshold over 100 MB (104,857,600 bytes).
    #[error("compression threshold {bytes} is not within 0 to {max} bytes", max = THRESHOLD_BYTES_MAX)]
    Threshold {
        /// What was given, in bytes.
        bytes: usize,
    },
    /// Window bits other than 9 to 15. RFC 7692 also knows 8, which compressors cannot keep to.
    #[error("window bits {bits} are not within {min} to {max}", min = WINDOW_BITS_MIN, max = WINDOW_BITS_MAX)]
    WindowBits {
        /// What was given.
        bits: u8,
    },
    /// The number of no mode.
    #[error("compression mode {0} is not within 0 to 2")]
    Mode(u8),
}

const LEVEL_MIN: u8 = 1;
const LEVEL_MAX: u8 = 9;
const THRESHOLD_BYTES_MAX: usize = 100 * 1024 * 1024;
const WINDOW_BITS_MIN: u8 = 9;
const WINDOW_BITS_MAX: u8 = 15;

impl Deflate {
    /// No compression: neither offered nor accepted. This is the default.
    pub const fn disabled() -> Self {
        Self {
            is_enabled: false,
            own_context: false,
            peer_context: false,
            level: 5,
            threshold_bytes: 128,
            memory_level: MEMORY_LEVEL,
            window_bits: WINDOW_BITS_MAX,
            peer_window_bits: WINDOW_BITS_MAX,
        }
    }

    /// Every message by itself, in both directions: a connection at rest needs no memory for
    /// compression. Source: RFC 7692 7.1.1.
    pub const fn no_context() -> Self {
        Self { is_enabled: true, ..Self::disabled() }
    }

    /// Both directions keep their window, so that a message may refer to those before it: small
    /// messages that are alike become much smaller, for memory as long as the connection lives.
    /// Source: RFC 7692 7.1.1.
    pub const fn context_takeover() -> Self {
        Self { own_context: true, peer_context: true, ..Self::no_context() }
    }

    /// The level of our compressor: 1 is the fastest, 9 the smallest (default 5). Messages of up to 4 KiB
    /// that are compressed by themselves go through a coder of our own, whatever the level: it is as
    /// small as level 5 and faster.
    ///
    /// Errors: [`DeflateError::Level`].
    pub fn level(self, level: u8) -> Result<Self, DeflateError> {
        if !(LEVEL_MIN..=LEVEL_MAX).contains(&level) {
            return Err(DeflateError::Level { level });
        }
        Ok(Self { level, ..self })
    }

    /// The memory level of a compressor that keeps its context: 1 to 9 (default 6). It bounds the blocks
    /// that a long message is compressed in. With a window of 15 bits 4 needs 266 KiB, 6 needs 287, 8 (the
    /// default of zlib) 371 and 9 483; of JSON messages of 16 KiB 4 makes 1.2 % more than 9, and 6 makes
    /// 0.2 % more. Messages of 1 KiB come out the same from 4 on. Below 4 it is slow.
    ///
    /// Errors: [`DeflateError::MemoryLevel`].
    pub fn memory_level(self, level: u8) -> Result<Self, DeflateError> {
        if !(LEVEL_MIN..=LEVEL_MAX).contains(&level) {
            return Err(DeflateError::MemoryLevel { level });
        }
        Ok(Self { memory_level: level, ..self })
    }

    /// The smallest message to compress, in bytes: 0 to 104,857,600 (default 128). Smaller ones go
    /// out as they are, which RFC 7692 6 allows for every single message.
    ///
    /// Errors: [`DeflateError::Threshold`].
    pub fn threshold(self, bytes: usize) -> Result<Self, DeflateError> {
        if bytes > THRESHOLD_BYTES_MAX {
            return Err(DeflateError::Threshold { bytes });
        }
        Ok(Self { threshold_bytes: bytes, ..self })
    }

    /// The largest window of our own compressor, as the logarithm of its bytes: 9 to 15 (default
    /// 15, which is 32 KiB). The peer may ask for a smaller one.
    ///
    /// Errors: [`DeflateError::WindowBits`]. Source: RFC 7692 7.1.2.
    pub fn window_bits(self, bits: u8) -> Result<Self, DeflateError> {
        Ok(Self { window_bits: checked_bits(bits)?, ..self })
    }

    /// The window that the peer's compressor is asked to stay within, as the logarithm of its
    /// bytes: 9 to 15 (default 15, which is 32 KiB). As a client we hold the server to it. As a
    /// server we cannot ask a client that did not say it understands; its window is 15 then.
    ///
    /// Errors: [`DeflateError::WindowBits`]. Source: RFC 7692 7.1.2.
    pub fn peer_window_bits(self, bits: u8) -> Result<Self, DeflateError> {
        Ok(Self { peer_window_bits: checked_bits(bits)?, ..self })
    }

    /// Whether our compressor keeps its window between messages, if the peer lets it. Without
    /// effect on [`Deflate::disabled`]. Source: RFC 7692 7.1.1.
    #[must_use]
    pub const fn own_context(self, keeps: bool) -> Self {
        Self { own_context: keeps, ..self }
    }

    /// Whether the peer's compressor may keep its window between messages, for which we keep one
    /// as well. Without effect on [`Deflate::disabled`]. Source: RFC 7692 7.1.1.
    #[must_use]
    pub const fn peer_context(self, keeps: bool) -> Self {
        Self { peer_context: keeps, ..self }
    }

    /// The mode: [`DeflateMode::ContextTakeover`] when either direction keeps its window.
    pub const fn mode(&self) -> DeflateMode {
        match (self.is_enabled, self.own_context || self.peer_context) {
            (false, _) => DeflateMode::Disabled,
            (true, true) => DeflateMode::ContextTakeover,
            (true, false) => DeflateMode::NoContext,
        }
    }

    /// Whether compression is offered and accepted at all.
    pub const fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// The level of our compressor, 1 to 9.
    pub const fn compression_level(&self) -> u8 {
        self.level
    }

    /// The memory level of a compressor that keeps its context, 1 to 9.
    pub const fn compression_memory_level(&self) -> u8 {
        self.memory_level
    }

    /// The smallest message to compress, in bytes.
    pub const fn threshold_bytes(&self) -> usize {
        self.threshold_bytes
    }

    /// The largest window of our own compressor, 9 to 15.
    pub const fn window_bits_max(&self) -> u8 {
        self.window_bits
    }

    /// The window that the peer's compressor is asked to stay within, 9 to 15.
    pub const fn peer_window_bits_max(&self) -> u8 {
        self.peer_window_bits
    }

    /// Whether our compressor may keep its window between messages.
    pub const fn keeps_own_context(&self) -> bool {
        self.is_enabled && self.own_context
    }

    /// Whether the peer's compressor may keep its window between messages.
    pub const fn keeps_peer_context(&self) -> bool {
        self.is_enabled && self.peer_context
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Self::disabled()
    }
}

impl From<DeflateMode> for Deflate {
    fn from(mode: DeflateMode) -> Self {
        match mode {
            DeflateMode::Disabled => Self::disabled(),
            DeflateMode::ContextTakeover => Self::context_takeover(),
            DeflateMode::NoContext => Self::no_context(),
        }
    }
}

impl TryFrom<u8> for DeflateMode {
    type Error = DeflateError;

    /// Errors: [`DeflateError::Mode`] above 2.
    fn try_from(mode: u8) -> Result<Self, DeflateError> {
        match mode {
            0 => Ok(Self::Disabled),
            1 => Ok(Self::ContextTakeover),
            2 => Ok(Self::NoContext),
            _ => Err(DeflateError::Mode(mode)),
        }
    }
}

fn checked_bits(bits: u8) -> Result<u8, DeflateError> {
    if !(WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&bits) {
        return Err(DeflateError::WindowBits { bits });
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP-01: who says nothing does not compress.
    #[test]
    fn compression_is_off_by_default() {
        let settings = Deflate::default();
        assert_eq!(settings, Deflate::disabled());
        assert!(!settings.is_enabled());
        assert_eq!(settings.mode(), DeflateMode::default());
        assert_eq!(settings.compression_level(), 5);
        assert_eq!(settings.compression_memory_level(), 6);
        assert_eq!(settings.threshold_bytes(), 128);
        assert_eq!((settings.window_bits_max(), settings.peer_window_bits_max()), (15, 15));
        let settings = settings.own_context(true).peer_context(true);
        assert_eq!(settings.mode(), DeflateMode::Disabled);
        assert!(!settings.keeps_own_context() && !settings.keeps_peer_context());
    }

    /// CP-02: the modes by their numbers.
    #[test]
    fn modes_have_numbers() {
        for (number, mode, settings) in [
            (0, DeflateMode::Disabled, Deflate::disabled()),
            (1, DeflateMode::ContextTakeover, Deflate::context_takeover()),
            (2, DeflateMode::NoContext, Deflate::no_context()),
        ] {
            assert_eq!(DeflateMode::try_from(number), Ok(mode));
            assert_eq!(mode as u8, number);
            assert_eq!(settings.mode(), mode);
            assert_eq!(Deflate::from(mode), settings);
            assert_eq!(settings.is_enabled(), number != 0);
        }
        for number in 3..=u8::MAX {
            assert_eq!(DeflateMode::try_from(number), Err(DeflateError::Mode(number)));
        }
    }

    /// CP-02: one direction that keeps its window is takeover.
    #[test]
    fn directions_are_set_apart() {
        for (own, peer) in [(true, true), (true, false), (false, true), (false, false)] {
            for settings in [Deflate::context_takeover(), Deflate::no_context()] {
                let settings = settings.own_context(own).peer_context(peer);
                assert_eq!(settings.keeps_own_context(), own);
                assert_eq!(settings.keeps_peer_context(), peer);
                assert_eq!(settings.mode() == DeflateMode::ContextTakeover, own || peer);
            }
        }
    }

    /// CP-03, CP-05: every setting at its bounds and one behind them.
    #[test]
    fn settings_have_ranges() {
        let base = Deflate::context_takeover();
        for level in 0..=u8::MAX {
            let settings = base.level(level).map(|settings| settings.compression_level());
            let is_level = (1..=9).contains(&level);
            assert_eq!(settings, is_level.then_some(level).ok_or(DeflateError::Level { level }));
            let settings = base.memory_level(level).map(|set| set.compression_memory_level());
            let expected = is_level.then_some(level).ok_or(DeflateError::MemoryLevel { level });
            assert_eq!(settings, expected);
        }
        for bits in 0..=u8::MAX {
            let expected =
                (9..=15).contains(&bits).then_some(bits).ok_or(DeflateError::WindowBits { bits });
            let own = base.window_bits(bits).map(|settings| settings.window_bits_max());
            let peer = base.peer_window_bits(bits).map(|settings| settings.peer_window_bits_max());
            assert_eq!((own, peer), (expected, expected));
        }
        for (bytes, is_within) in
            [(0, true), (1, true), (104_857_600, true), (104_857_601, false), (usize::MAX, false)]
        {
            let settings = base.threshold(bytes).map(|settings| settings.threshold_bytes());
            let expected = is_within.then_some(bytes).ok_or(DeflateError::Threshold { bytes });
            assert_eq!(settings, expected);
        }
    }

    /// A setting changes itself and nothing else.
    #[test]
    fn settings_are_independent() -> Result<(), DeflateError> {
        let settings =
            Deflate::no_context().level(9)?.threshold(0)?.window_bits(9)?.peer_window_bits(10)?;
        assert_eq!(settings.compression_level(), 9);
        assert_eq!(settings.threshold_bytes(), 0);
        assert_eq!((settings.window_bits_max(), settings.peer_window_bits_max()), (9, 10));
        assert_eq!(settings.mode(), DeflateMode::NoContext);
        Ok(())
    }

    /// CP-05: an error says what was given and what would have been right.
    #[test]
    fn errors_name_value_and_range() {
        for (error, text) in [
            (DeflateError::Level { level: 10 }, "compression level 10 is not within 1 to 9"),
            (DeflateError::MemoryLevel { level: 0 }, "memory level 0 is not within 1 to 9"),
            (
                DeflateError::Threshold { bytes: 104_857_601 },
                "compression threshold 104857601 is not within 0 to 104857600 bytes",
            ),
            (DeflateError::WindowBits { bits: 8 }, "window bits 8 are not within 9 to 15"),
            (DeflateError::Mode(3), "compression mode 3 is not within 0 to 2"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
