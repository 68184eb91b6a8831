//! A frame longer than the block, read straight into memory of its own.

use super::Gone;
use super::connection::is_idle;
use crate::frame::{self, Header, Parsed};
use rustix::net::{RecvFlags, recv};
use std::os::fd::AsFd;

/// The memory of one large frame, lent to whoever sends the next: it is still in the cache.
///
/// `unmasked <= filled <= bytes.len()`. Where a header is known, `filled <= header.frame_len()`.
pub struct Large {
    /// Zeroed by the allocator, which gets pages that are zero: no pass of its own.
    bytes: Vec<u8>,
    filled: usize,
    unmasked: usize,
    header: Option<Header>,
}

/// What a read into a large frame led to.
pub enum Progress {
    /// Nothing there to read.
    Idle,
    /// More is to come.
    Partial,
    /// The reply is complete.
    Reply,
    /// What came is not a frame for this memory: handle it as a block of its own.
    Small(Vec<u8>),
}

impl Large {
    /// Memory for the frame with `header`, of which `start` is there already.
    pub fn new(header: Header, start: &[u8]) -> Self {
        let mut large = Self {
            bytes: vec![0; header.frame_len()],
            filled: start.len(),
            unmasked: header.len,
            header: Some(header),
        };
        large.bytes[..start.len()].copy_from_slice(start);
        large.unmask(header);
        large
    }

    /// Reads once, into the frame or, between two, to see what the next is.
    ///
    /// # Errors
    /// The peer left or broke the protocol.
    pub fn read(&mut self, socket: impl AsFd) -> Result<Progress, Gone> {
        let end = self.header.map_or(self.bytes.len(), |header| header.frame_len());
        let space = &mut self.bytes[self.filled..end];
        let received = match recv(socket, space, RecvFlags::empty()) {
            Ok((0, _)) => return Err(Gone),
            Ok((received, _)) => received,
            Err(error) if is_idle(error) => return Ok(Progress::Idle),
            Err(_) => return Err(Gone),
        };
        self.filled += received;
        let Some(header) = self.header.or_else(|| self.begin()) else {
            self.unmasked = 0;
            let small = self.bytes[..std::mem::take(&mut self.filled)].to_vec();
            return Ok(Progress::Small(small));
        };
        self.unmask(header);
        let is_complete = self.filled == header.frame_len();
        Ok(if is_complete { Progress::Reply } else { Progress::Partial })
    }

    /// The header at the start of the memory, where this memory suits its frame.
    fn begin(&mut self) -> Option<Header> {
        let Parsed::Header(header) = frame::parse(&self.bytes[..self.filled]) else {
            return None;
        };
        let suits = !header.is_control()
            && header.frame_len() > super::LARGE_BYTES
            && (self.filled..=self.bytes.len()).contains(&header.frame_len());
        self.header = suits.then_some(header);
        self.unmasked = header.len;
        self.header
    }

    /// Whether a frame is on its way into this memory.
    pub fn is_taken(&self) -> bool {
        self.header.is_some()
    }

    fn unmask(&mut self, header: Header) {
        let offset = self.unmasked - header.len;
        frame::unmask(&mut self.bytes[self.unmasked..self.filled], header.key, offset);
        self.unmasked = self.filled;
    }

    /// The reply to a complete frame; the memory is free for the next once it is sent.
    pub fn take_reply(&mut self) -> &[u8] {
        let Some(header) = self.header.take() else {
            return &[];
        };
        self.filled = 0;
        let start = header.len - header.reply_len();
        frame::write_header(&mut self.bytes[start..], header.first, header.payload_len);
        &self.bytes[start..header.frame_len()]
    }
}
