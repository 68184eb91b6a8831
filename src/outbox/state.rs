//! What the outbox's lock guards.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::Waker;

use crate::frame::CloseFrame;
use crate::protocol::{Config, Encoder, Message, PreparedMessage, WriteBuffer};
use crate::sync::Arc;

use super::SendError;
use super::queue::WriteNow;

/// The most that is encoded ahead of the kernel, in bytes: what is encoded cannot be overtaken by a
/// control frame, nor handed to the next connection.
pub(super) const ENCODED_BYTES_MAX: usize = 64 * 1024;

/// Messages of broadcasts that may wait: each costs some 50 bytes, however empty it is.
const BROADCAST_MESSAGES_MAX: usize = 16 * 1024;

/// Slices of one vectored write.
const SLICES_MAX: usize = 32;

pub(super) struct State {
    /// `None` while nothing and nobody waits: most outboxes never need it.
    pub(super) waiting: Option<Box<Waiting>>,
    pub(super) tail: WriteBuffer,
    pub(super) encoder: Encoder,
    pub(super) line: Option<Arc<dyn WriteNow>>,
    pub(super) drain_waker: Option<Waker>,
    pub(super) close_request: Option<Box<CloseFrame>>,
    pub(super) is_closed: bool,
    pub(super) is_blocked: bool,
    pub(super) is_server: bool,
}

/// Whole messages that wait, and senders that wait for room.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) queue: VecDeque<Queued>,
    /// Payload bytes in the queue.
    pub(super) bytes: usize,
    pub(super) senders: Vec<Waker>,
}

pub(super) enum Queued {
    Message(Message),
    Prepared(PreparedMessage),
}

impl Queued {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.as_bytes().len(),
            Self::Prepared(message) => message.payload().len(),
        }
    }

    pub(super) fn encode(&self, encoder: &mut Encoder, out: &mut WriteBuffer) {
        match self {
            Self::Message(message) => encoder.owned(message, out),
            Self::Prepared(message) => encoder.prepared(message, out),
        }
    }
}

impl State {
    pub(super) fn check_open(&self) -> Result<(), SendError> {
        if self.is_closed || self.close_request.is_some() {
            return Err(SendError::Closed);
        }
        Ok(())
    }

    /// Whether a sender may write itself: nothing is before it and the kernel did not refuse.
    pub(super) fn may_write(&self) -> bool {
        !self.is_blocked && self.line.is_some() && self.is_queue_empty()
    }

    #[inline]
    pub(super) fn is_queue_empty(&self) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| waiting.queue.is_empty())
    }

    pub(super) fn queued(&self) -> (usize, usize) {
        self.waiting.as_ref().map_or((0, 0), |waiting| (waiting.queue.len(), waiting.bytes))
    }

    pub(super) fn full(&self) -> SendError {
        let (messages, bytes) = self.queued();
        SendError::Full { messages, bytes }
    }

    pub(super) fn has_room(&self, bytes: usize, config: &Config) -> bool {
        let (queued, queued_bytes) = self.queued();
        queued == 0
            || (queued < config.outbox_messages_max
                && bytes <= config.outbox_bytes_max.saturating_sub(queued_bytes))
    }

    pub(super) fn push(&mut self, item: Queued, bytes: usize) {
        let waiting = self.waiting.get_or_insert_default();
        waiting.bytes += bytes;
        waiting.queue.push_back(item);
    }

    /// Empties the queue; returns how many messages it had.
    pub(super) fn drop_queue(&mut self) -> usize {
        let Some(waiting) = &mut self.waiting else {
            return 0;
        };
        waiting.bytes = 0;
        std::mem::take(&mut waiting.queue).len()
    }

    pub(super) fn enqueue_run(
        &mut self,
        messages: &[PreparedMessage],
        bytes_max: usize,
    ) -> Result<(), SendError> {
        for message in messages {
            let bytes = message.payload().len();
            let (queued, queued_bytes) = self.queued();
            let is_full =
                bytes > bytes_max.saturating_sub(queued_bytes) || queued >= BROADCAST_MESSAGES_MAX;
            if queued > 0 && is_full {
                return Err(self.full());
            }
            self.push(Queued::Prepared(message.clone()), bytes);
        }
        Ok(())
    }

    /// Writes a slice to the line; what an error hides shows in the connection's next flush.
    pub(super) fn write_slice(&mut self, bytes: &[u8]) -> usize {
        let Some(line) = &self.line else { return 0 };
        let written = line.write_now(&[IoSlice::new(bytes)]).unwrap_or(0);
        self.is_blocked = written < bytes.len();
        written
    }

    pub(super) fn write_tail(&mut self) {
        let Some(line) = self.line.clone() else {
            return;
        };
        let mut progress = false;
        // An error shows again in the connection's next flush.
        let _ = self.drain_tail(&mut |slices| line.write_now(slices), &mut progress);
    }

    /// The connection has to wait for the socket: it is woken, once.
    pub(super) fn wake_if_left(&mut self) -> Result<(), SendError> {
        if self.is_blocked {
            wake(self.drain_waker.take());
        }
        Ok(())
    }

    pub(super) fn flush(
        &mut self,
        own: &mut WriteBuffer,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        progress: &mut bool,
    ) -> io::Result<()> {
        if self.tail.is_empty() && self.is_queue_empty() {
            if own.is_empty() {
                return Ok(());
            }
            let result = drain(own, write, progress);
            self.tail.append(own);
            self.is_blocked = !self.tail.is_empty();
            return result;
        }
        self.tail.append(own);
        loop {
            self.drain_tail(write, progress)?;
            if self.is_queue_empty() {
                return Ok(());
            }
            self.refill();
        }
    }

    pub(super) fn drain_tail(
        &mut self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        progress: &mut bool,
    ) -> io::Result<()> {
        let result = drain(&mut self.tail, write, progress);
        self.is_blocked = result.is_err();
        self.tail.release();
        result
    }

    /// Encodes queued messages, up to a bound, to be written next.
    pub(super) fn refill(&mut self) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        while self.tail.len() < ENCODED_BYTES_MAX {
            let Some(item) = waiting.queue.pop_front() else {
                break;
            };
            waiting.bytes -= item.bytes();
            item.encode(&mut self.encoder, &mut self.tail);
        }
        if waiting.queue.is_empty() && waiting.senders.is_empty() {
            // Memory of a burst is given back.
            self.waiting = None;
        }
    }

    pub(super) fn take_senders(&mut self, config: &Config) -> Vec<Waker> {
        if self.waiting.is_none() || !self.has_room(0, config) {
            return Vec::new();
        }
        let senders = self.waiting.as_mut().map(|waiting| std::mem::take(&mut waiting.senders));
        if self.is_queue_empty() {
            self.waiting = None;
        }
        senders.unwrap_or_default()
    }

    /// True when it is another waker than before.
    pub(super) fn register(&mut self, waker: &Waker) -> bool {
        match &mut self.drain_waker {
            Some(known) if known.will_wake(waker) => false,
            slot => {
                *slot = Some(waker.clone());
                true
            }
        }
    }
}

/// Writes the buffer until it is empty or nothing more is taken.
fn drain(
    buffer: &mut WriteBuffer,
    write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    progress: &mut bool,
) -> io::Result<()> {
    while !buffer.is_empty() {
        let result = if buffer.is_one_slice() {
            write(&[IoSlice::new(buffer.first())])
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = buffer.fill_slices(&mut slices);
            write(&slices[..filled])
        };
        match result {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                buffer.advance(written);
                *progress = true;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
