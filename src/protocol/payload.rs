//! The payload of a frame: collected, inflated, or given out piece by piece.

use crate::frame::{Opcode, Violation, apply_mask};

use super::decoder::{Decoder, Phase, step_of};
use super::{Config, Place, Step, Token};

impl Decoder {
    pub(super) fn payload_piece(
        &mut self,
        config: &Config,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Token>, Violation> {
        let is_streaming = self.is_streaming;
        if self.assembly.as_mut().is_some_and(|assembly| assembly.is_given(is_streaming)) {
            return self.given_piece(config, block, at);
        }
        let piece = self.take_piece(block, at);
        let remaining = self.remaining + piece.len() as u64;
        if let Some(assembly) = &mut self.assembly {
            if assembly.inflater.is_some() {
                assembly.inflate(piece, config.message_bytes_max)?;
            } else {
                assembly.push(piece, remaining)?;
            }
        }
        if self.remaining > 0 { Ok(Some(Token::MORE)) } else { self.end_of_frame() }
    }

    /// What the block has of the frame in progress is given out as it is, or inflated.
    fn given_piece(
        &mut self,
        config: &Config,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Token>, Violation> {
        let bytes_max = config.message_bytes_max;
        let start = *at;
        let available = block.len() - start;
        let len = usize::try_from(self.remaining).map_or(available, |left| left.min(available));
        let ahead = (self.unmasked as usize).min(len);
        self.unmask(&mut block[start + ahead..start + len]);
        let piece = &block[start..start + len];
        let Some(assembly) = &mut self.assembly else {
            return Ok(None);
        };
        let (taken, place, end) = if assembly.inflater.is_some() {
            let taken = assembly.inflate_piece(piece, bytes_max)?;
            (taken, Place::Inflated, assembly.inflated().len())
        } else {
            assembly.give_piece(piece, bytes_max)?;
            (len, Place::Piece, start + len)
        };
        let is_full = place == Place::Inflated && assembly.is_piece_full();
        let start = if place == Place::Piece { start } else { 0 };
        let is_text = assembly.opcode == Opcode::Text;
        *at += taken;
        self.remaining -= taken as u64;
        self.unmasked = (len - taken) as u32;
        let mut step = if is_text { Step::TextPiece } else { Step::BinaryPiece };
        if self.remaining == 0 && !is_full {
            self.phase = Phase::Header;
            if self.fin {
                self.end_of_message()?;
                step = if is_text { Step::Text } else { Step::Binary };
            }
        }
        let is_piece = end > start || matches!(step, Step::Text | Step::Binary);
        match is_piece {
            true => Ok(Some(Token { step, place, start, end })),
            false if self.phase == Phase::Header => Ok(None),
            false => Ok(Some(Token::MORE)),
        }
    }

    fn end_of_frame(&mut self) -> Result<Option<Token>, Violation> {
        self.phase = Phase::Header;
        if !self.fin {
            return Ok(None);
        }
        self.end_of_message()?;
        let Some(assembly) = &self.assembly else {
            return Ok(None);
        };
        let is_inflated = !assembly.inflated().is_empty();
        let (place, end) = if is_inflated {
            (Place::Inflated, assembly.inflated().len())
        } else {
            (Place::Assembled, assembly.buffer.len())
        };
        Ok(Some(Token { step: step_of(assembly.opcode), place, start: 0, end }))
    }

    /// The last fragment is whole: the inflater goes back to where it came from.
    fn end_of_message(&mut self) -> Result<(), Violation> {
        let Some(assembly) = &mut self.assembly else {
            return Ok(());
        };
        let inflater = assembly.finish()?;
        if let (Some(inflater), Some(inflation)) = (inflater, &mut self.inflation) {
            inflation.put(inflater);
        }
        self.phase = Phase::Delivered;
        Ok(())
    }

    pub(super) fn control_piece(
        &mut self,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Token, Violation> {
        let piece = self.take_piece(block, at);
        if let Some(assembly) = &mut self.assembly {
            assembly.control.extend_from_slice(piece);
        }
        if self.remaining > 0 {
            return Ok(Token::MORE);
        }
        self.phase = Phase::Delivered;
        let end = self.control().len();
        Ok(Token { step: step_of(self.opcode), place: Place::Control, start: 0, end })
    }

    /// Takes what the block has of the frame in progress, and unmasks it.
    fn take_piece<'b>(&mut self, block: &'b mut [u8], at: &mut usize) -> &'b [u8] {
        let available = block.len() - *at;
        let len = usize::try_from(self.remaining).map_or(available, |left| left.min(available));
        let piece = &mut block[*at..*at + len];
        *at += len;
        self.unmask(piece);
        self.remaining -= len as u64;
        piece
    }

    pub(super) fn unmask(&mut self, piece: &mut [u8]) {
        if self.expects_mask {
            apply_mask(piece, self.mask_key);
            self.mask_key.rotate_left(piece.len() % 4);
        }
    }
}
