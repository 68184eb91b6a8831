//! Every limit of a server and its hub, with its unit and default.

use std::time::Duration;

use crate::handshake::{ROOM_NAME_BYTES, ROOM_NAME_BYTES_MAX};
use crate::protocol::Rate;

/// What a server and its hub allow. `None` is no limit. What one connection may do by itself (lengths,
/// queues, deadlines) is in [`Config`](crate::Config).
///
/// ```
/// use sockeye::hub::limits::{Limits, Rate};
///
/// let mut limits = Limits::default();
/// limits.connections_per_address_max = Some(256);
/// limits.messages_per_connection = Some(Rate::per_second(50).burst(200));
/// assert_eq!(limits.check(), Ok(()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most connections at a time, at least 1 (default 10,000). One more: 503.
    pub connections_max: usize,
    /// Most connections of one address at a time, at least 1 (default: no limit); what is one address
    /// says [`AddressKey`](super::AddressKey). One more: 429.
    pub connections_per_address_max: Option<usize>,
    /// Most connections of one user at a time, at least 1 (default: no limit). One more: 429.
    pub connections_per_user_max: Option<usize>,
    /// Most handshakes of one address (default: no limit). More: 429.
    pub handshakes_per_address: Option<Rate>,
    /// Most members of one room, at least 1 (default: no limit). One more is not let in.
    pub room_members_max: Option<usize>,
    /// Most rooms of one connection at a time, at least 1 (default 64). It does not enter one more.
    pub rooms_per_connection_max: usize,
    /// Longest name of a room, 1 to 1,024 bytes (default 128). What else a name may not have says
    /// [`check_room_name`](super::check_room_name).
    pub room_name_bytes_max: usize,
    /// Most that may be noted about one connection, at least 1 (default 16 KiB): the bytes of its metadata's
    /// keys and values, and 64 for each pair. What is beyond is not noted.
    pub metadata_bytes_max: usize,
    /// Most messages from one connection (default: no limit). More: close 1008.
    pub messages_per_connection: Option<Rate>,
    /// Most payload bytes from one connection (default: no limit); its burst must hold the longest
    /// message. More: close 1008.
    pub bytes_per_connection: Option<Rate>,
    /// Longest life of a connection, more than nothing (default: no limit). Then: close 1001, and the
    /// client comes again.
    pub life_max: Option<Duration>,
    /// Only count what would be refused, and refuse nothing (default false): for finding out what a
    /// limit would do before it is in force. Rates of messages are not looked at then, lives not bounded.
    pub dry_run: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: None,
            connections_per_user_max: None,
            handshakes_per_address: None,
            room_members_max: None,
            rooms_per_connection_max: 64,
            room_name_bytes_max: ROOM_NAME_BYTES,
            metadata_bytes_max: 16 * 1024,
            messages_per_connection: None,
            bytes_per_connection: None,
            life_max: None,
            dry_run: false,
        }
    }
}

/// A limit that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// It lets nothing pass at all.
    #[error("{field} of zero lets nothing pass")]
    Zero {
        /// Which of [`Limits`].
        field: &'static str,
    },
    /// It is over what is possible.
    #[error("{field} may be at most {limit}")]
    OverMaximum {
        /// Which of [`Limits`].
        field: &'static str,
        /// The highest value.
        limit: usize,
    },
}

impl Limits {
    /// Whether the values make sense, each by itself: none that must not is zero, and names are not
    /// longer than names can be.
    ///
    /// # Errors
    /// The first value that does not.
    pub fn check(&self) -> Result<(), LimitsError> {
        let is_zero = |rate: Rate| rate.tokens() == 0 || rate.burst_tokens() == 0;
        let zeros = [
            ("connections_max", self.connections_max == 0),
            ("connections_per_address_max", self.connections_per_address_max == Some(0)),
            ("connections_per_user_max", self.connections_per_user_max == Some(0)),
            ("handshakes_per_address", self.handshakes_per_address.is_some_and(is_zero)),
            ("room_members_max", self.room_members_max == Some(0)),
            ("rooms_per_connection_max", self.rooms_per_connection_max == 0),
            ("room_name_bytes_max", self.room_name_bytes_max == 0),
            ("metadata_bytes_max", self.metadata_bytes_max == 0),
            ("messages_per_connection", self.messages_per_connection.is_some_and(is_zero)),
            ("bytes_per_connection", self.bytes_per_connection.is_some_and(is_zero)),
            ("life_max", self.life_max == Some(Duration::ZERO)),
        ];
        if let Some((field, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(LimitsError::Zero { field });
        }
        if self.room_name_bytes_max > ROOM_NAME_BYTES_MAX {
            let (field, limit) = ("room_name_bytes_max", ROOM_NAME_BYTES_MAX);
            return Err(LimitsError::OverMaximum { field, limit });
        }
        Ok(())
    }
}
