//! What a peer can do wrong, with the close code it earns and the section it broke.

use super::CloseCode;

/// The peer broke the protocol, or a limit we set.
///
/// Each has its [close code](Violation::close_code) and [section](Violation::section). The
/// connection is failed (RFC 6455 7.1.7): the code is sent, nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit is set and no extension gave it a meaning.
    #[error("reserved bit set without an extension")]
    ReservedBit,
    /// An opcode that has no meaning (3 to 7, 11 to 15).
    #[error("reserved opcode {0:#x}")]
    ReservedOpcode(u8),
    /// A client sent a frame without a mask.
    #[error("frame from a client is not masked")]
    Unmasked,
    /// A server sent a frame with a mask.
    #[error("frame from a server is masked")]
    Masked,
    /// A control frame without the FIN bit.
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame with more than 125 bytes.
    #[error("control frame longer than 125 bytes")]
    LongControl,
    /// A length that was not written in the fewest bytes.
    #[error("payload length is not minimally encoded")]
    LengthNotMinimal,
    /// A 64-bit length with its highest bit set.
    #[error("payload length has its most significant bit set")]
    LengthOverflow,
    /// A continuation frame while no message is in progress.
    #[error("continuation frame outside a message")]
    StrayContinuation,
    /// A new data frame while a message is in progress.
    #[error("new message before the last fragment of the previous one")]
    NestedMessage,
    /// Text that is not utf-8, found at its first bad byte.
    #[error("text is not utf-8")]
    InvalidUtf8,
    /// A compressed message that is damaged or cut.
    #[error("compressed message is damaged")]
    InvalidDeflate,
    /// More messages or bytes than a peer may send in a time.
    #[error("too much at once: wait {retry_ms} ms")]
    TooFast {
        /// When so much would be allowed, in milliseconds; the highest number: never.
        retry_ms: u64,
    },
    /// A close frame with a payload of one byte.
    #[error("close frame with one byte")]
    CloseTooShort,
    /// A close code that may not be on the wire.
    #[error("close code {0} may not be sent")]
    CloseCode(u16),
    /// A close reason that is not utf-8.
    #[error("close reason is not utf-8")]
    CloseReason,
    /// A frame longer than our limit.
    #[error("frame of {bytes} bytes is over the limit of {bytes_max}")]
    FrameTooBig {
        /// What the header announced.
        bytes: u64,
        /// Our limit.
        bytes_max: u64,
    },
    /// A message longer than our limit.
    #[error("message of at least {bytes} bytes is over the limit of {bytes_max}")]
    MessageTooBig {
        /// What has come and been announced so far.
        bytes: u64,
        /// Our limit.
        bytes_max: u64,
    },
    /// A message in more fragments than our limit.
    #[error("message of more than {fragments_max} fragments")]
    TooManyFragments {
        /// Our limit.
        fragments_max: u32,
    },
    /// More empty fragments in a row than our limit.
    #[error("more than {empty_fragments_max} empty fragments in a row")]
    EmptyFragments {
        /// Our limit.
        empty_fragments_max: u32,
    },
    /// A message that took longer than our limit from its first byte to its last.
    #[error("message unfinished after {message_timeout_ms} ms")]
    SlowMessage {
        /// Our limit, in milliseconds.
        message_timeout_ms: u64,
    },
    /// More pings than our limit.
    #[error("more than {pings_per_second_max} pings a second")]
    PingFlood {
        /// Our limit.
        pings_per_second_max: u32,
    },
}

impl Violation {
    /// The code the connection is closed with (RFC 6455 7.4.1).
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidDeflate | Self::CloseReason => {
                CloseCode::InvalidPayload
            }
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::MessageTooBig,
            Self::TooManyFragments { .. }
            | Self::TooFast { .. }
            | Self::EmptyFragments { .. }
            | Self::SlowMessage { .. }
            | Self::PingFlood { .. } => CloseCode::PolicyViolation,
            _ => CloseCode::ProtocolError,
        }
    }

    /// The section that was broken. Our own limits stand on RFC 6455 10.4.
    #[must_use]
    pub const fn section(&self) -> &'static str {
        match self {
            Self::ReservedBit
            | Self::ReservedOpcode(_)
            | Self::LengthNotMinimal
            | Self::LengthOverflow => "RFC 6455 5.2",
            Self::Unmasked | Self::Masked => "RFC 6455 5.1",
            Self::FragmentedControl | Self::LongControl => "RFC 6455 5.5",
            Self::StrayContinuation | Self::NestedMessage => "RFC 6455 5.4",
            Self::InvalidUtf8 => "RFC 6455 8.1",
            Self::InvalidDeflate => "RFC 7692 7.2.2",
            Self::CloseTooShort | Self::CloseReason => "RFC 6455 5.5.1",
            Self::CloseCode(_) => "RFC 6455 7.4",
            _ => "RFC 6455 10.4",
        }
    }
}
