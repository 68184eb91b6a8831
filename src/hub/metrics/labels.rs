//! What counters are divided by: small fixed sets, so that a number of series is known beforehand.

use crate::frame::CloseCode;
use crate::protocol::Overflow;

/// An enum with the list of its variants and their texts, which cannot forget one.
macro_rules! labels {
    (
        $(#[$about:meta])*
        pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// How many there are.
            pub(super) const COUNT: usize = Self::ALL.len();

            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// How it is written in a label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

labels! {
    /// Why a connection was not taken in. Each refusal has exactly one reason: the first that was found.
    pub enum Rejection {
        /// As many connections as the server takes: 503.
        ServerFull = "server_full",
        /// As many connections as one address may have: 429.
        AddressFull = "address_full",
        /// As many connections as one user may have: 429.
        UserFull = "user_full",
        /// Too many handshakes from one address: 429.
        HandshakeRate = "handshake_rate",
        /// Too many handshakes under way: 503.
        HalfOpen = "half_open",
        /// A page that may not connect: 403.
        Origin = "origin",
        /// No proper handshake: 400 and its kin.
        BadRequest = "bad_request",
        /// No or wrong credentials: 401.
        Unauthorized = "unauthorized",
        /// Not for this user: 403.
        Forbidden = "forbidden",
        /// The application said no.
        Hook = "hook",
        /// The accept hook or the authenticator panicked: 500.
        Panic = "panic",
        /// TLS could not be agreed on; nobody was answered.
        Tls = "tls",
        /// The handshake took too long: 408.
        Timeout = "timeout",
        /// No descriptor or memory to accept with; the next try comes after a pause. Counted for each try.
        Shortage = "shortage",
        /// Anything else, such as a connection that was lost.
        Other = "other",
    }
}

labels! {
    /// Why a connection did not get into a room.
    pub enum JoinRefusal {
        /// The room has as many members as it may.
        RoomFull = "room_full",
        /// The connection is in as many rooms as it may.
        TooManyRooms = "too_many_rooms",
        /// The name is none.
        Name = "name",
        /// The application said no.
        Hook = "hook",
        /// Too many joins wait for the worker.
        Busy = "busy",
        /// Anything else.
        Other = "other",
    }
}

labels! {
    /// How a message was lost on this side.
    pub enum DropPolicy {
        /// [`Overflow::Block`]: a broadcast was not taken, and the connection was closed.
        Block = "block",
        /// [`Overflow::DropNewest`]: it was not taken. Under `DropOldest`, too, where no older ones could
        /// make room for it.
        DropNewest = "drop_newest",
        /// [`Overflow::DropOldest`]: it was taken, and made room for others later.
        DropOldest = "drop_oldest",
        /// [`Overflow::Close`]: a broadcast was not taken, and the connection was closed.
        Close = "close",
        /// Under any: it was taken, and not delivered when its connection ended.
        Ended = "ended",
    }
}

impl From<Overflow> for DropPolicy {
    fn from(policy: Overflow) -> Self {
        match policy {
            Overflow::Block { .. } => Self::Block,
            Overflow::DropNewest => Self::DropNewest,
            Overflow::DropOldest => Self::DropOldest,
            Overflow::Close => Self::Close,
        }
    }
}

labels! {
    /// With which code a connection ended, those of applications and libraries taken together.
    pub enum CloseClass {
        /// 1000.
        Normal = "1000",
        /// 1001.
        GoingAway = "1001",
        /// 1002.
        ProtocolError = "1002",
        /// 1003.
        UnsupportedData = "1003",
        /// 1005: a close frame without a code.
        NoStatus = "1005",
        /// 1006: no close frame.
        Abnormal = "1006",
        /// 1007.
        InvalidPayload = "1007",
        /// 1008.
        PolicyViolation = "1008",
        /// 1009.
        MessageTooBig = "1009",
        /// 1010.
        ExtensionRequired = "1010",
        /// 1011.
        InternalError = "1011",
        /// 1012.
        ServiceRestart = "1012",
        /// 1013.
        TryAgainLater = "1013",
        /// 1014.
        BadGateway = "1014",
        /// 3000 to 3999, registered.
        Registered = "3000s",
        /// 4000 to 4999, the application's own.
        Private = "4000s",
        /// Any other number.
        Other = "other",
    }
}

impl From<CloseCode> for CloseClass {
    fn from(code: CloseCode) -> Self {
        match code {
            CloseCode::Normal => Self::Normal,
            CloseCode::GoingAway => Self::GoingAway,
            CloseCode::ProtocolError => Self::ProtocolError,
            CloseCode::UnsupportedData => Self::UnsupportedData,
            CloseCode::NoStatus => Self::NoStatus,
            CloseCode::Abnormal => Self::Abnormal,
            CloseCode::InvalidPayload => Self::InvalidPayload,
            CloseCode::PolicyViolation => Self::PolicyViolation,
            CloseCode::MessageTooBig => Self::MessageTooBig,
            CloseCode::ExtensionRequired => Self::ExtensionRequired,
            CloseCode::InternalError => Self::InternalError,
            CloseCode::ServiceRestart => Self::ServiceRestart,
            CloseCode::TryAgainLater => Self::TryAgainLater,
            CloseCode::BadGateway => Self::BadGateway,
            CloseCode::Other(3000..=3999) => Self::Registered,
            CloseCode::Other(4000..=4999) => Self::Private,
            CloseCode::TlsHandshake | CloseCode::Other(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_has_its_class() {
        for number in 0..=u16::MAX {
            let expected = match number {
                1000..=1003 | 1005..=1014 => number.to_string(),
                3000..=3999 => "3000s".to_owned(),
                4000..=4999 => "4000s".to_owned(),
                _ => "other".to_owned(),
            };
            assert_eq!(CloseClass::from(CloseCode::from_u16(number)).as_str(), expected);
        }
    }

    #[test]
    fn the_place_of_a_label_is_its_number() {
        assert!((0..Rejection::COUNT).all(|place| Rejection::ALL[place] as usize == place));
        assert!((0..CloseClass::COUNT).all(|place| CloseClass::ALL[place] as usize == place));
        assert!((0..JoinRefusal::COUNT).all(|place| JoinRefusal::ALL[place] as usize == place));
        assert!((0..DropPolicy::COUNT).all(|place| DropPolicy::ALL[place] as usize == place));
    }

    #[test]
    fn texts_are_plain_and_different() {
        let texts = |texts: Vec<&str>| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            assert!(texts.iter().all(|text| !text.is_empty() && text.bytes().all(is_plain)));
            let distinct: std::collections::BTreeSet<_> = texts.iter().collect();
            assert_eq!(distinct.len(), texts.len());
        };
        texts(Rejection::ALL.iter().map(|label| label.as_str()).collect());
        texts(CloseClass::ALL.iter().map(|label| label.as_str()).collect());
        texts(JoinRefusal::ALL.iter().map(|label| label.as_str()).collect());
        texts(DropPolicy::ALL.iter().map(|label| label.as_str()).collect());
    }
}
