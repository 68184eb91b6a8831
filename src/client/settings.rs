//! The numbers of a connector, each with its range.

use std::time::Duration;

use crate::deflate::Deflate;
use crate::error::SettingError;
use crate::protocol::{Config, DurationError, parse_duration};
use crate::sync::Arc;

use super::connector::Connector;

/// Longest message that may be allowed, in bytes.
const READ_LIMIT_MAX: usize = 128 * 1024 * 1024;

/// Most messages that may be read ahead.
const CHANNEL_CAPACITY_MAX: usize = 10_000;

/// Most redirects that may be followed.
const REDIRECTS_MAX: u8 = 10;

/// What a timeout may be given as: a [`Duration`], whole milliseconds, or a text such as `10s` or `1m30s`
/// (see [`parse_duration`]).
pub trait IntoTimeout {
    /// The duration.
    ///
    /// # Errors
    /// For a text that is none.
    fn into_timeout(self) -> Result<Duration, DurationError>;
}

impl IntoTimeout for Duration {
    fn into_timeout(self) -> Result<Duration, DurationError> {
        Ok(self)
    }
}

impl IntoTimeout for u64 {
    fn into_timeout(self) -> Result<Duration, DurationError> {
        Ok(Duration::from_millis(self))
    }
}

impl IntoTimeout for &str {
    fn into_timeout(self) -> Result<Duration, DurationError> {
        parse_duration(self)
    }
}

/// Timeouts are more than zero; settings out of their range are an error and change nothing.
impl Connector {
    /// How long it may take until there is a connection: name look-up, TCP, proxy and TLS (default 10 s).
    ///
    /// # Errors
    /// [`SettingError::Duration`].
    pub fn dial_timeout(mut self, timeout: impl IntoTimeout) -> Result<Self, SettingError> {
        self.dial_timeout = more_than_zero("dial timeout", timeout)?;
        Ok(self)
    }

    /// How long the opening handshake may take (default 10 s).
    ///
    /// # Errors
    /// [`SettingError::Duration`].
    pub fn handshake_timeout(mut self, timeout: impl IntoTimeout) -> Result<Self, SettingError> {
        self.handshake_timeout = more_than_zero("handshake timeout", timeout)?;
        Ok(self)
    }

    /// Longest silence of the server: [`Config::idle_timeout`]. The pong to a ping of the keepalive
    /// ([`Config::ping_interval`], 30 s) breaks it, too.
    ///
    /// # Errors
    /// [`SettingError::Duration`].
    pub fn read_timeout(mut self, timeout: impl IntoTimeout) -> Result<Self, SettingError> {
        let timeout = more_than_zero("read timeout", timeout)?;
        self.config().idle_timeout = Some(timeout);
        Ok(self)
    }

    /// How long a write may make no progress: [`Config::write_timeout`].
    ///
    /// # Errors
    /// [`SettingError::Duration`].
    pub fn write_timeout(mut self, timeout: impl IntoTimeout) -> Result<Self, SettingError> {
        let timeout = more_than_zero("write timeout", timeout)?;
        self.config().write_timeout = timeout;
        Ok(self)
    }

    /// How long the closing handshake may take: [`Config::close_timeout`].
    ///
    /// # Errors
    /// [`SettingError::Duration`].
    pub fn close_timeout(mut self, timeout: impl IntoTimeout) -> Result<Self, SettingError> {
        let timeout = more_than_zero("close timeout", timeout)?;
        self.config().close_timeout = timeout;
        Ok(self)
    }

    /// Compression, as a mode or with all its settings: [`Config::deflate`].
    pub fn compression(mut self, compression: impl Into<Deflate>) -> Self {
        self.config().deflate = compression.into();
        self
    }

    /// Messages of fewer bytes are not compressed, 0 to 100 MiB. To be called after
    /// [`compression`](Self::compression), which has a threshold of its own.
    ///
    /// # Errors
    /// [`SettingError::Deflate`].
    pub fn compression_threshold(mut self, bytes: usize) -> Result<Self, SettingError> {
        let deflate = self.config.deflate.threshold(bytes)?;
        self.config().deflate = deflate;
        Ok(self)
    }

    /// Longest message that is taken, 0 to 128 MiB: [`Config::message_bytes_max`]. With 0 only empty ones.
    ///
    /// # Errors
    /// [`SettingError::Range`].
    pub fn read_limit(mut self, bytes: usize) -> Result<Self, SettingError> {
        let bytes = within("read limit", bytes, 0, READ_LIMIT_MAX)?;
        self.config().message_bytes_max = bytes;
        Ok(self)
    }

    /// Messages that are read ahead of a [`Receiver`](crate::Receiver), 1 to 10,000:
    /// [`Config::read_ahead_messages_max`].
    ///
    /// # Errors
    /// [`SettingError::Range`].
    pub fn channel_capacity(mut self, messages: usize) -> Result<Self, SettingError> {
        let messages = within("channel capacity", messages, 1, CHANNEL_CAPACITY_MAX)?;
        self.config().read_ahead_messages_max = messages;
        Ok(self)
    }

    /// How many redirects are followed, 0 to 10 (default 0). Each is judged by the policy. One from `wss`
    /// to `ws`, one to what is no WebSocket, and one in a circle are errors.
    ///
    /// Where scheme, host or port change, credentials stay behind, and stay so: user and password of the
    /// URL, subprotocols that are [credentials](crate::handshake::is_credential), and all headers but
    /// `Origin`, `User-Agent` and those that begin with `Accept`, for any other may hold a key.
    ///
    /// # Errors
    /// [`SettingError::Range`].
    pub fn follow_redirects(mut self, max: u8) -> Result<Self, SettingError> {
        within("redirects", usize::from(max), 0, usize::from(REDIRECTS_MAX))?;
        self.redirects_max = max;
        Ok(self)
    }

    pub(super) fn config(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

pub(super) fn more_than_zero(
    setting: &'static str,
    timeout: impl IntoTimeout,
) -> Result<Duration, SettingError> {
    let timeout = timeout
        .into_timeout()
        .and_then(|timeout| if timeout.is_zero() { Err(DurationError::Zero) } else { Ok(timeout) });
    timeout.map_err(|error| SettingError::Duration { setting, error })
}

fn within(
    setting: &'static str,
    value: usize,
    min: usize,
    max: usize,
) -> Result<usize, SettingError> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    let (value, min, max) = (value as u64, min as u64, max as u64);
    Err(SettingError::Range { setting, value, min, max })
}
