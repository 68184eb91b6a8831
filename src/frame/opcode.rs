//! The opcode: what a frame carries.

/// What a frame carries.
///
/// Source: RFC 6455 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of the message in progress (0x0).
    Continuation = 0x0,
    /// A message of utf-8 text, or its first fragment (0x1).
    Text = 0x1,
    /// A message of bytes, or its first fragment (0x2).
    Binary = 0x2,
    /// The closing handshake (0x8).
    Close = 0x8,
    /// A question whether the peer is there (0x9).
    Ping = 0x9,
    /// The answer to a ping (0xA).
    Pong = 0xA,
}

impl Opcode {
    /// The opcode of the low four bits of `nibble`; `None` for the reserved ones (3 to 7, 11 to 15).
    #[must_use]
    pub const fn from_nibble(nibble: u8) -> Option<Self> {
        match nibble & 0x0f {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether this is a control frame (RFC 6455 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FR-02: the numbers of RFC 6455 5.2, and no others.
    #[test]
    fn s5_2_six_opcodes_and_no_other() {
        let known: Vec<u8> = (0..16).filter(|n| Opcode::from_nibble(*n).is_some()).collect();
        assert_eq!(known, [0x0, 0x1, 0x2, 0x8, 0x9, 0xA]);
        for nibble in known {
            let opcode = Opcode::from_nibble(nibble).unwrap();
            assert_eq!(opcode as u8, nibble);
            assert_eq!(opcode.is_control(), nibble >= 8);
        }
    }
}
