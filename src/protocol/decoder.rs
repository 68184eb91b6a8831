//! Bytes in, frames and messages out.

use bytes::{Bytes, BytesMut};

use crate::deflate::DeflateParams;
use crate::frame::{FrameHeader, Opcode, Violation, apply_mask};

use super::assembly::Assembly;
use super::inflation::Inflation;
use super::{Config, Role};

/// What the decoder found. Kept to words, so that it travels in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything given was taken; more is needed.
    More,
    /// A whole text message. Not checked yet where it lies in the block; checked where it was
    /// assembled.
    Text,
    /// A whole binary message.
    Binary,
    /// Some of a text message, or of a binary one, while they are given out piece by piece; the last
    /// piece is a [`Step::Text`] or [`Step::Binary`].
    TextPiece,
    BinaryPiece,
    Ping,
    Pong,
    Close,
}

/// Where a payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the block that was given, at the token's range.
    Block,
    /// In the decoder, until it is asked for the next token.
    Assembled,
    /// The same, and it was compressed.
    Inflated,
    /// In the block; it is some of a message, and its text is checked already.
    Piece,
    /// In the decoder: a control frame that came in pieces.
    Control,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) step: Step,
    pub(crate) place: Place,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(super) const MORE: Self = Self { step: Step::More, place: Place::Block, start: 0, end: 0 };
}

/// Where the decoder is.
///
/// ```text
///            header whole                    last byte of the frame
///   Header ───────────────► Payload ────────────────────────────────► Header, or
///      ▲   ───────────────► Control (a control frame cut by a read)    Delivered when a token
///      └───────── next token asked for ◄── Delivered                   is out
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Header,
    Payload,
    Control,
    Delivered,
}

/// The incremental decoder of one connection: takes any cut of the stream and all it is given,
/// unmasks in place, and copies only what a read has cut.
#[derive(Debug)]
pub(super) struct Decoder {
    /// `None` while nothing is in progress.
    pub(super) assembly: Option<Box<Assembly>>,
    /// Bytes of the frame in progress that have not come.
    pub(super) remaining: u64,
    /// `None`: compression was not agreed on.
    pub(super) inflation: Option<Box<Inflation>>,
    /// Rotated, so that it fits the next byte.
    pub(super) mask_key: [u8; 4],
    /// Bytes of the block that are unmasked and not taken yet.
    pub(super) unmasked: u32,
    pub(super) phase: Phase,
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// At a frame's first byte and in no message: the fast path may try.
    at_rest: bool,
    pub(super) expects_mask: bool,
    /// Messages of which nothing has come are given out piece by piece.
    pub(super) is_streaming: bool,
    /// Longest frame of the fast path: it checks no other limit.
    fast_bytes_max: u16,
}

impl Decoder {
    pub(super) fn new(role: Role, config: &Config) -> Self {
        let bytes_max = config.frame_bytes_max.unwrap_or(usize::MAX).min(config.message_bytes_max);
        Self {
            fast_bytes_max: u16::try_from(bytes_max).unwrap_or(u16::MAX),
            assembly: None,
            remaining: 0,
            inflation: None,
            mask_key: [0; 4],
            unmasked: 0,
            phase: Phase::Header,
            opcode: Opcode::Binary,
            fin: true,
            at_rest: true,
            expects_mask: matches!(role, Role::Server),
            is_streaming: false,
        }
    }

    /// Messages may be compressed from now on.
    pub(super) fn set_deflate(&mut self, params: &DeflateParams) {
        self.inflation = Some(Box::new(Inflation::new(params)));
    }

    /// Whether messages of which nothing has come are given out piece by piece from now on.
    pub(super) fn set_streaming(&mut self, is_streaming: bool) {
        self.is_streaming = is_streaming;
    }

    /// Whether a frame or message has begun and is not whole.
    #[inline]
    pub(super) fn is_in_progress(&self) -> bool {
        !self.at_rest && self.is_unfinished()
    }

    /// Whether all of a frame was taken and not all of it was given out.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.phase == Phase::Payload && self.remaining == 0
    }

    fn is_unfinished(&self) -> bool {
        match self.phase {
            Phase::Payload | Phase::Control => true,
            Phase::Header | Phase::Delivered => {
                self.assembly.as_ref().is_some_and(|a| a.spilled > 0 || a.in_message)
            }
        }
    }

    /// The next token of `block[*at..]`, which is unmasked in place as far as it is taken.
    #[inline(always)]
    pub(super) fn next(
        &mut self,
        config: &Config,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Token, Violation> {
        if self.at_rest
            && let Some(token) = self.small_frame(block, at)
        {
            return Ok(token);
        }
        self.next_slow(config, block, at)
    }

    /// The fast path: a whole message in one frame of up to 65,535 bytes that lies in the block.
    /// Anything else, and anything wrong, is left to the slow path.
    #[inline(always)]
    fn small_frame(&self, block: &mut [u8], at: &mut usize) -> Option<Token> {
        let start = *at;
        let rest = block.get_mut(start..)?;
        let [first, second, high, low, ..] = *rest else { return None };
        let step = match first {
            0x81 => Step::Text,
            0x82 => Step::Binary,
            _ => return None,
        };
        if (second >= 0x80) != self.expects_mask {
            return None;
        }
        let (len, length_end) = match second & 0x7f {
            len @ 0..=125 => (usize::from(len), 2),
            126 => (usize::from(u16::from_be_bytes([high, low])), 4),
            _ => return None,
        };
        if len > usize::from(self.fast_bytes_max) || (length_end == 4 && len < 126) {
            return None;
        }
        let header_len = length_end + if self.expects_mask { 4 } else { 0 };
        let (header, tail) = rest.split_at_mut_checked(header_len)?;
        let payload = tail.get_mut(..len)?;
        if self.expects_mask {
            apply_mask(payload, *header.last_chunk()?);
        }
        let start = start + header_len;
        let end = start + len;
        *at = end;
        Some(Token { step, place: Place::Block, start, end })
    }

    #[inline(never)]
    fn next_slow(
        &mut self,
        config: &Config,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Token, Violation> {
        if self.phase == Phase::Delivered {
            self.forget_delivered();
        }
        let token = self.token(config, block, at);
        self.at_rest = self.phase == Phase::Header && self.assembly.is_none();
        token
    }

    fn token(
        &mut self,
        config: &Config,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Token, Violation> {
        loop {
            match self.phase {
                Phase::Header | Phase::Delivered => {
                    let Some(header) = self.header(block, at)? else {
                        return Ok(Token::MORE);
                    };
                    if let Some(token) = self.begin(header, config, block, at)? {
                        return Ok(token);
                    }
                }
                Phase::Control => return self.control_piece(block, at),
                Phase::Payload => {
                    if let Some(token) = self.payload_piece(config, block, at)? {
                        return Ok(token);
                    }
                }
            }
        }
    }

    /// The header at `block[*at..]`, perhaps begun in the spill.
    fn header(&mut self, block: &[u8], at: &mut usize) -> Result<Option<FrameHeader>, Violation> {
        let rest = &block[*at..];
        if self.assembly.as_ref().is_none_or(|assembly| assembly.spilled == 0)
            && let Some((header, len)) = FrameHeader::parse(rest)?
        {
            *at += len;
            return Ok(Some(header));
        }
        for byte in rest {
            let assembly = self.assembly.get_or_insert_with(|| Box::new(Assembly::new()));
            assembly.spill[usize::from(assembly.spilled)] = *byte;
            assembly.spilled += 1;
            *at += 1;
            // 14 bytes are always a header or a violation, so the spill never overflows.
            let spill = &assembly.spill[..usize::from(assembly.spilled)];
            if let Some((header, _)) = FrameHeader::parse(spill)? {
                assembly.spilled = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// A frame begins: all checks a header allows, then its payload where it lies, if it is whole.
    fn begin(
        &mut self,
        header: FrameHeader,
        config: &Config,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Token>, Violation> {
        self.check(&header, config)?;
        let available = block.len() - *at;
        let whole = header.payload_len <= available as u64;
        let in_message = self.assembly.as_ref().is_some_and(|assembly| assembly.in_message);
        self.opcode = header.opcode;
        self.fin = header.fin;
        self.remaining = header.payload_len;
        self.mask_key = header.mask_key.unwrap_or_default();
        let is_alone = header.fin && !in_message && !header.rsv1;
        if whole && (header.opcode.is_control() || is_alone) {
            let (start, end) = (*at, *at + header.payload_len as usize);
            self.unmask(&mut block[start..end]);
            *at = end;
            self.phase = Phase::Header;
            self.forget_message();
            let step = step_of(header.opcode);
            return Ok(Some(Token { step, place: Place::Block, start, end }));
        }
        let assembly = self.assembly.get_or_insert_with(|| Box::new(Assembly::new()));
        if header.opcode.is_control() {
            self.phase = Phase::Control;
        } else {
            assembly.begin(header.opcode, header.payload_len, config)?;
            if let Some(inflation) = self.inflation.as_mut().filter(|_| header.rsv1) {
                assembly.begin_inflating(inflation.take());
            }
            self.phase = Phase::Payload;
        }
        Ok(None)
    }

    /// RFC 6455 5.1, 5.2, 5.4 and our limits, before a byte of the payload is taken.
    fn check(&self, header: &FrameHeader, config: &Config) -> Result<(), Violation> {
        let may_be_compressed =
            self.inflation.is_some() && matches!(header.opcode, Opcode::Text | Opcode::Binary);
        if (header.rsv1 && !may_be_compressed) || header.rsv2 || header.rsv3 {
            return Err(Violation::ReservedBit);
        }
        match (header.mask_key, self.expects_mask) {
            (None, true) => return Err(Violation::Unmasked),
            (Some(_), false) => return Err(Violation::Masked),
            _ => {}
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        let message = self.assembly.as_ref().filter(|assembly| assembly.in_message);
        match (header.opcode, message.is_some()) {
            (Opcode::Continuation, false) => return Err(Violation::StrayContinuation),
            (Opcode::Text | Opcode::Binary, true) => return Err(Violation::NestedMessage),
            _ => {}
        }
        let bytes_max = config.message_bytes_max as u64;
        let have = message.map_or(0, |assembly| assembly.announced());
        let is_compressed = message.map_or(header.rsv1, |assembly| assembly.inflater.is_some());
        // What does not deflate grows a little: five bytes for each block.
        let slack = if is_compressed { bytes_max / 1024 + 64 } else { 0 };
        if header.payload_len > bytes_max.saturating_add(slack).saturating_sub(have) {
            let bytes = have.saturating_add(header.payload_len);
            return Err(Violation::MessageTooBig { bytes, bytes_max });
        }
        if let Some(frame_max) = config.frame_bytes_max.map(|max| max as u64)
            && header.payload_len > frame_max
        {
            let bytes = header.payload_len;
            return Err(Violation::FrameTooBig { bytes, bytes_max: frame_max });
        }
        Ok(())
    }

    fn forget_delivered(&mut self) {
        self.phase = Phase::Header;
        if let Some(assembly) = &mut self.assembly {
            assembly.control = Vec::new();
        }
        self.forget_message();
    }

    /// Lets the assembly go when it has nothing of a message that is not whole.
    fn forget_message(&mut self) {
        if self.assembly.as_ref().is_some_and(|assembly| !assembly.in_message) {
            self.assembly = None;
        }
    }

    /// The buffer to read the rest of a long frame straight into, and how many bytes of it belong
    /// to the frame. `None` when less than `bytes_min` is missing. What is read is told to
    /// [`received`](Self::received).
    pub(super) fn direct_buffer(&mut self, bytes_min: usize) -> Option<(&mut BytesMut, usize)> {
        if self.phase != Phase::Payload || self.remaining < bytes_min as u64 {
            return None;
        }
        let assembly = self.assembly.as_mut()?;
        if assembly.inflater.is_some() || assembly.is_given(self.is_streaming) {
            return None;
        }
        assembly.reserve(1, self.remaining);
        let limit = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        Some((&mut assembly.buffer, limit))
    }

    /// The last `len` bytes of the buffer were read straight into it.
    pub(super) fn received(&mut self, len: usize) -> Result<(), Violation> {
        let Some(assembly) = &mut self.assembly else {
            return Ok(());
        };
        let start = assembly.buffer.len() - len;
        if self.expects_mask {
            apply_mask(&mut assembly.buffer[start..], self.mask_key);
            self.mask_key.rotate_left(len % 4);
        }
        self.remaining -= len as u64;
        assembly.check_tail(len)
    }

    /// The message of the last [`Place::Assembled`] token.
    pub(super) fn assembled(&self) -> &[u8] {
        self.assembly.as_ref().map_or(&[], |assembly| &assembly.buffer)
    }

    /// The message of the last [`Place::Inflated`] token.
    pub(super) fn inflated(&self) -> &[u8] {
        self.assembly.as_ref().map_or(&[], |assembly| assembly.inflated())
    }

    /// The same, taken.
    pub(super) fn take_inflated(&mut self) -> Vec<u8> {
        self.assembly.as_mut().map(|assembly| assembly.take_inflated()).unwrap_or_default()
    }

    /// The message of the last [`Place::Assembled`] or [`Place::Inflated`] token, taken: without a
    /// copy where that wastes no memory.
    pub(super) fn take_assembled(&mut self) -> Bytes {
        self.assembly.as_mut().map(|assembly| assembly.take()).unwrap_or_default()
    }

    /// The payload of the last [`Place::Control`] token.
    pub(super) fn control(&self) -> &[u8] {
        self.assembly.as_ref().map_or(&[], |assembly| &assembly.control)
    }
}

pub(super) fn step_of(opcode: Opcode) -> Step {
    match opcode {
        Opcode::Text => Step::Text,
        Opcode::Binary | Opcode::Continuation => Step::Binary,
        Opcode::Close => Step::Close,
        Opcode::Ping => Step::Ping,
        Opcode::Pong => Step::Pong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use proptest::prelude::*;

    /// What the decoder makes of the stream when pieces that may be read straight into the message
    /// are, and the others go through the block.
    fn decode(role: Role, bytes: &[u8], cuts: &[usize]) -> Result<Vec<(Step, Vec<u8>)>, Violation> {
        let config = Config::default();
        let mut decoder = Decoder::new(role, &config);
        let mut seen = Vec::new();
        let mut rest = bytes;
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let cut = cuts.next().map_or(1, |cut| 1 + cut % 300).min(rest.len());
            let taken = match decoder.direct_buffer(64) {
                Some((buffer, limit)) => {
                    let taken = cut.min(limit).min(buffer.capacity() - buffer.len());
                    buffer.extend_from_slice(&rest[..taken]);
                    decoder.received(taken)?;
                    drain(&mut decoder, &config, &mut [], &mut seen)?;
                    taken
                }
                None => {
                    drain(&mut decoder, &config, &mut rest[..cut].to_vec(), &mut seen)?;
                    cut
                }
            };
            assert!(taken > 0, "every step takes something");
            rest = &rest[taken..];
        }
        Ok(seen)
    }

    fn drain(
        decoder: &mut Decoder,
        config: &Config,
        block: &mut [u8],
        seen: &mut Vec<(Step, Vec<u8>)>,
    ) -> Result<(), Violation> {
        let mut at = 0;
        loop {
            let token = decoder.next(config, block, &mut at)?;
            let payload = match (token.step, token.place) {
                (Step::More, _) => return Ok(()),
                (_, Place::Block | Place::Piece) => block[token.start..token.end].to_vec(),
                (_, Place::Assembled | Place::Inflated) => decoder.take_assembled().to_vec(),
                (_, Place::Control) => decoder.control().to_vec(),
            };
            seen.push((token.step, payload));
        }
    }

    proptest! {
        /// MS-05: what is read straight into a long message is what would have come through the
        /// block, whatever the cuts, masks and fragments.
        #[test]
        fn s5_2_direct_reads_change_nothing(
            payloads in prop::collection::vec((0..2_000usize, any::<bool>(), any::<[u8; 4]>()), 1..4),
            cuts in prop::collection::vec(any::<usize>(), 1..20),
            is_server: bool,
        ) {
            let role = if is_server { Role::Server } else { Role::Client };
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (len, is_text, key) in payloads {
                let text: String = "né".chars().cycle().take(len).collect();
                let (opcode, step) =
                    if is_text { (Opcode::Text, Step::Text) } else { (Opcode::Binary, Step::Binary) };
                let (head, tail) = text.as_bytes().split_at(text.len() / 2);
                let mut first = Frame::new(opcode, head.to_vec());
                first.fin = false;
                let last = Frame::new(Opcode::Continuation, tail.to_vec());
                for frame in [first, Frame::ping("?"), last] {
                    let frame = if is_server { frame.masked(key) } else { frame };
                    bytes.extend(frame.encode());
                }
                expected.push((Step::Ping, b"?".to_vec()));
                expected.push((step, text.into_bytes()));
            }
            prop_assert_eq!(decode(role, &bytes, &cuts), Ok(expected));
        }
    }

    /// MS-08: text that is read straight into its message fails at its first bad byte, too.
    #[test]
    fn s8_1_direct_reads_are_checked() {
        let mut text = vec![b'a'; 1_000];
        text[700] = 0xff;
        let bytes = Frame::new(Opcode::Text, text).encode();
        let verdict = decode(Role::Client, &bytes[..4 + 701], &[100]);
        assert_eq!(verdict, Err(Violation::InvalidUtf8));
        assert_eq!(decode(Role::Client, &bytes[..4 + 700], &[100]), Ok(Vec::new()));
    }
}
