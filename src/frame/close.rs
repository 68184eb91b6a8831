//! Close codes and the body of a close frame.

use super::Violation;

/// The longest reason a close frame can carry, in bytes: a control frame's 125 less the code.
const REASON_BYTES_MAX: usize = 123;

/// Why a connection was closed.
///
/// Three codes are never on the wire and only tell what was seen here: [`NoStatus`](Self::NoStatus)
/// (1005), [`Abnormal`](Self::Abnormal) (1006) and [`TlsHandshake`](Self::TlsHandshake) (1015).
///
/// Source: RFC 6455 7.4.1 and the registry it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// 1000: what the connection was for has been done.
    Normal,
    /// 1001: a server goes down, or a browser leaves the page.
    GoingAway,
    /// 1002: the peer broke the protocol.
    ProtocolError,
    /// 1003: a kind of data that is not taken here.
    UnsupportedData,
    /// 1005: the close frame had no code. Never sent.
    NoStatus,
    /// 1006: the connection was lost without a close frame. Never sent.
    Abnormal,
    /// 1007: data that does not fit its type, such as text that is not utf-8.
    InvalidPayload,
    /// 1008: against the rules of this endpoint.
    PolicyViolation,
    /// 1009: longer than this endpoint takes.
    MessageTooBig,
    /// 1010: the client needs an extension the server did not choose.
    ExtensionRequired,
    /// 1011: a fault in this endpoint.
    InternalError,
    /// 1012: the server restarts; come again.
    ServiceRestart,
    /// 1013: the server is overloaded; come again later.
    TryAgainLater,
    /// 1014: a gateway got a bad answer from behind.
    BadGateway,
    /// 1015: the TLS handshake failed. Never sent.
    TlsHandshake,
    /// Any other number. 3000 to 3999 are registered with IANA, 4000 to 4999 are free to use.
    Other(u16),
}

impl CloseCode {
    /// The code of a number. Total: every number has one.
    #[must_use]
    pub const fn from_u16(number: u16) -> Self {
        match number {
            1000 => Self::Normal,
            1001 => Self::GoingAway,
            1002 => Self::ProtocolError,
            1003 => Self::UnsupportedData,
            1005 => Self::NoStatus,
            1006 => Self::Abnormal,
            1007 => Self::InvalidPayload,
            1008 => Self::PolicyViolation,
            1009 => Self::MessageTooBig,
            1010 => Self::ExtensionRequired,
            1011 => Self::InternalError,
            1012 => Self::ServiceRestart,
            1013 => Self::TryAgainLater,
            1014 => Self::BadGateway,
            1015 => Self::TlsHandshake,
            other => Self::Other(other),
        }
    }

    /// The number of this code.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::UnsupportedData => 1003,
            Self::NoStatus => 1005,
            Self::Abnormal => 1006,
            Self::InvalidPayload => 1007,
            Self::PolicyViolation => 1008,
            Self::MessageTooBig => 1009,
            Self::ExtensionRequired => 1010,
            Self::InternalError => 1011,
            Self::ServiceRestart => 1012,
            Self::TryAgainLater => 1013,
            Self::BadGateway => 1014,
            Self::TlsHandshake => 1015,
            Self::Other(number) => number,
        }
    }

    /// Whether this code may be on the wire: 1000 to 1003, 1007 to 1014, 3000 to 4999.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.as_u16(), 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Whether a client does well to connect again (after a pause): the loss was not its fault
    /// and not final.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::GoingAway
                | Self::Abnormal
                | Self::InternalError
                | Self::ServiceRestart
                | Self::TryAgainLater
                | Self::BadGateway
        )
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.as_u16()
    }
}

impl From<u16> for CloseCode {
    fn from(number: u16) -> Self {
        Self::from_u16(number)
    }
}

impl std::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.as_u16())
    }
}

/// A close frame that cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseFrameError {
    /// The code may not be on the wire.
    #[error("close code {0} may not be sent (1000-1003, 1007-1014 and 3000-4999 may)")]
    Code(u16),
    /// The reason does not fit a control frame.
    #[error("close reason of {bytes} bytes is over the limit of 123")]
    Reason {
        /// How long it was.
        bytes: usize,
    },
}

/// The body of a close frame: a code and a reason for people.
///
/// Source: RFC 6455 5.5.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    reason: Box<str>,
}

impl CloseFrame {
    /// A close frame to send.
    ///
    /// # Errors
    /// [`CloseFrameError::Code`] when the code may not be on the wire, [`CloseFrameError::Reason`]
    /// when the reason is longer than 123 bytes.
    pub fn new(code: impl Into<CloseCode>, reason: &str) -> Result<Self, CloseFrameError> {
        let code = code.into();
        if !code.is_sendable() {
            return Err(CloseFrameError::Code(code.as_u16()));
        }
        if reason.len() > REASON_BYTES_MAX {
            return Err(CloseFrameError::Reason { bytes: reason.len() });
        }
        Ok(Self { code, reason: reason.into() })
    }

    /// The close frame of a connection that has done its work: 1000, no reason.
    #[must_use]
    pub fn normal() -> Self {
        Self { code: CloseCode::Normal, reason: Box::default() }
    }

    /// What a violation is answered with. The text of the violation fits: it is ours.
    #[must_use]
    pub fn from_violation(violation: &Violation) -> Self {
        let mut reason = violation.to_string();
        reason.truncate(REASON_BYTES_MAX);
        Self { code: violation.close_code(), reason: reason.into() }
    }

    /// Reads the payload of a received close frame; `None` for an empty one.
    ///
    /// # Errors
    /// [`Violation::CloseTooShort`], [`Violation::CloseCode`] or [`Violation::CloseReason`].
    pub fn parse(payload: &[u8]) -> Result<Option<Self>, Violation> {
        let (number, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(Violation::CloseTooShort),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::from_u16(number);
        if !code.is_sendable() {
            return Err(Violation::CloseCode(number));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
        Ok(Some(Self { code, reason: reason.into() }))
    }

    /// The payload of the frame: two bytes of code, then the reason. At most 125 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(2 + self.reason.len());
        payload.extend_from_slice(&self.code.as_u16().to_be_bytes());
        payload.extend_from_slice(self.reason.as_bytes());
        payload
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason; may be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CC-01..CC-14: every number maps to one code and back; names have the RFC's numbers.
    #[test]
    fn s7_4_close_code_table_is_total() {
        for number in 0..=u16::MAX {
            assert_eq!(CloseCode::from_u16(number).as_u16(), number);
        }
        assert_eq!(CloseCode::from(1012), CloseCode::ServiceRestart);
        assert_eq!(CloseCode::from(4001), CloseCode::Other(4001));
    }

    /// CC-05, CC-06, CC-14, CC-15, row 40: what may never be on the wire is refused both ways.
    #[test]
    fn s7_4_2_reserved_codes_are_refused_both_ways() {
        for number in 0..=u16::MAX {
            let sendable = matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(CloseFrame::new(number, "").is_ok(), sendable, "{number}");
            assert_eq!(CloseFrame::parse(&number.to_be_bytes()).is_ok(), sendable, "{number}");
        }
    }

    /// CC-15: a reason of 123 bytes fits, 124 do not; round trip.
    #[test]
    fn s5_5_1_reason_fits_a_control_frame() {
        let frame = CloseFrame::new(1000, &"x".repeat(123)).unwrap();
        assert_eq!(frame.encode().len(), 125);
        assert_eq!(CloseFrame::parse(&frame.encode()), Ok(Some(frame)));
        let error = CloseFrame::new(1000, &"x".repeat(124)).unwrap_err();
        assert_eq!(error, CloseFrameError::Reason { bytes: 124 });
    }

    /// Row 40: one byte is 1002, a reason that is not utf-8 is 1007.
    #[test]
    fn s5_5_1_bad_bodies_have_their_codes() {
        let short = CloseFrame::parse(&[3]).unwrap_err();
        assert_eq!(short.close_code(), CloseCode::ProtocolError);
        let reason = CloseFrame::parse(&[3, 232, 0xff]).unwrap_err();
        assert_eq!(reason.close_code(), CloseCode::InvalidPayload);
        assert_eq!(CloseFrame::parse(&[]), Ok(None));
    }

    /// Our own answers always fit a close frame.
    #[test]
    fn violation_reasons_fit() {
        let violation = Violation::MessageTooBig { bytes: u64::MAX, bytes_max: u64::MAX };
        let frame = CloseFrame::from_violation(&violation);
        assert!(CloseFrame::new(frame.code(), frame.reason()).is_ok());
    }
}
