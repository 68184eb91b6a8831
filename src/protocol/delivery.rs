//! Messages handed out of an endpoint: borrowed, or owned.

use bytes::Bytes;

use crate::frame::{Opcode, Violation};

use super::{Endpoint, Message, MessageRef, Place, Step, Token};

impl Endpoint {
    /// Where a token's data message lies; text is checked.
    #[inline]
    pub(crate) fn message<'a>(
        &'a self,
        block: &'a [u8],
        token: Token,
    ) -> Result<MessageRef<'a>, Violation> {
        let payload = self.payload(block, token);
        if token.step != Step::Text {
            return Ok(MessageRef::Binary(payload));
        }
        match simdutf8::basic::from_utf8(payload) {
            Ok(text) => Ok(MessageRef::Text(text)),
            Err(_) => Err(Violation::InvalidUtf8),
        }
    }

    /// The same as an owned message; one that was assembled is taken without a copy.
    pub(crate) fn take_message(
        &mut self,
        block: &[u8],
        token: Token,
    ) -> Result<Message, Violation> {
        if !matches!(token.place, Place::Assembled | Place::Inflated) {
            return self.message(block, token).map(|message| message.to_message());
        }
        let opcode = if token.step == Step::Text { Opcode::Text } else { Opcode::Binary };
        let payload: Bytes = self.decoder.take_assembled();
        Message::from_opcode(opcode, payload).map_err(|_| Violation::InvalidUtf8)
    }

    #[inline]
    pub(crate) fn payload<'a>(&'a self, block: &'a [u8], token: Token) -> &'a [u8] {
        match token.place {
            Place::Block | Place::Piece => &block[token.start..token.end],
            Place::Assembled => self.decoder.assembled(),
            Place::Inflated => self.decoder.inflated(),
            Place::Control => self.decoder.control(),
        }
    }
}
