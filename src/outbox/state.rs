//! What the outbox's lock guards.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::Waker;

use bytes::Bytes;

use crate::frame::{CloseFrame, FrameHeader, Opcode};
use crate::protocol::{Config, Encoder, Fragments, Message, PreparedMessage, WriteBuffer};
use crate::sync::Arc;

use super::SendError;
use super::queue::WriteNow;

/// The most that is encoded ahead of the kernel, in bytes: what is encoded cannot be overtaken by a
/// control frame, nor handed to the next connection.
pub(super) const ENCODED_BYTES_MAX: usize = 64 * 1024;

/// Messages of broadcasts that may wait: each costs some 50 bytes, however empty it is.
const BROADCAST_MESSAGES_MAX: usize = 16 * 1024;

/// What a message of the connection itself costs at least while it waits, in bytes.
const OWN_BYTES_MIN: usize = 128;

/// Slices of one vectored write.
const SLICES_MAX: usize = 32;

/// Fragments of a long message that are written at once: each is two slices.
const FRAGMENTS_PER_WRITE: usize = SLICES_MAX / 2;

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
    /// A message was begun and will never be whole: no data may follow.
    pub(super) is_broken: bool,
    /// What the connection sent itself waits in the queue: what it sends next may not pass it.
    pub(super) is_own_queued: bool,
    pub(super) next_stream: u32,
}

/// Whole messages that wait, and senders that wait for room.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) queue: VecDeque<Queued>,
    /// Payload bytes in the queue.
    pub(super) bytes: usize,
    /// What the connection's own messages in the queue cost, in bytes.
    pub(super) own_bytes: usize,
    pub(super) senders: Vec<Waker>,
    /// The message of which some is on its way: nothing of another may pass until its last fragment.
    pub(super) active: Option<Active>,
}

/// A message that has begun to leave.
pub(super) enum Active {
    /// It is all here.
    Message(Fragments),
    /// A writer brings it, piece by piece.
    Stream(StreamPlace),
}

/// The place of a writer that brings a message piece by piece.
pub(crate) struct StreamPlace {
    pub(super) id: u32,
    pub(super) waker: Option<Waker>,
    /// The waker waits until everything is written, not only for room.
    pub(super) is_flushing: bool,
    /// Its first fragment is on its way.
    pub(super) has_begun: bool,
}

pub(crate) enum Queued {
    Message(Message),
    Prepared(PreparedMessage),
    Stream(StreamPlace),
    /// Of the connection itself.
    Own(Box<Queued>),
    /// What the connection has encoded itself while another message was on its way.
    Encoded(WriteBuffer),
}

impl Queued {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.as_bytes().len(),
            Self::Prepared(message) => message.payload().len(),
            Self::Stream(_) => 0,
            Self::Own(item) => item.bytes(),
            Self::Encoded(bytes) => bytes.len(),
        }
    }

    /// What it counts for among the connection's own, however empty it is.
    fn own_bytes(&self) -> usize {
        match self {
            Self::Own(item) => item.bytes() + OWN_BYTES_MIN,
            _ => 0,
        }
    }

    /// Encodes it, or its beginning: what is left is returned.
    pub(super) fn encode(self, encoder: &mut Encoder, out: &mut WriteBuffer) -> Option<Active> {
        match self {
            Self::Message(message) => match long_payload(&message, encoder) {
                Some((opcode, payload)) => {
                    return Some(Active::Message(encoder.fragments(opcode, payload)));
                }
                None => encoder.owned(&message, out),
            },
            // While it waits it need not be one frame.
            Self::Prepared(message) if message.payload().len() > encoder.fragment_bytes() => {
                return Some(Active::Message(encoder.prepared_fragments(&message)));
            }
            Self::Prepared(message) => encoder.prepared(&message, out),
            Self::Stream(place) => return Some(Active::Stream(place)),
            Self::Own(item) => return item.encode(encoder, out),
            Self::Encoded(mut bytes) => out.append(&mut bytes),
        }
        None
    }
}

/// The payload of a message that is longer than a fragment.
fn long_payload<'m>(message: &'m Message, encoder: &Encoder) -> Option<(Opcode, &'m Bytes)> {
    let (opcode, payload) = match message {
        Message::Text(text) => (Opcode::Text, text.as_bytes()),
        Message::Binary(payload) => (Opcode::Binary, payload),
        _ => return None,
    };
    (payload.len() > encoder.fragment_bytes()).then_some((opcode, payload))
}

impl Active {
    /// Payload bytes of it that are left here.
    fn left(&self) -> usize {
        match self {
            Self::Message(fragments) => fragments.left(),
            Self::Stream(_) => 0,
        }
    }

    fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

impl State {
    pub(super) fn check_open(&self) -> Result<(), SendError> {
        if self.is_closed || self.is_broken || self.close_request.is_some() {
            return Err(SendError::Closed);
        }
        Ok(())
    }

    /// Whether a sender may write itself: nothing is before it and the kernel did not refuse.
    pub(super) fn may_write(&self) -> bool {
        !self.is_blocked && self.line.is_some() && self.is_queue_empty()
    }

    /// Whether no message waits and none is on its way.
    #[inline]
    pub(super) fn is_queue_empty(&self) -> bool {
        self.waiting
            .as_ref()
            .is_none_or(|waiting| waiting.queue.is_empty() && waiting.active.is_none())
    }

    /// Whether a message has begun to leave and its end is not encoded.
    pub(super) fn is_mid_message(&self) -> bool {
        self.is_broken || self.waiting.as_ref().is_some_and(|waiting| waiting.active.is_some())
    }

    pub(super) fn queued(&self) -> (usize, usize) {
        self.waiting.as_ref().map_or((0, 0), |waiting| {
            (waiting.queue.len() + usize::from(waiting.active.is_some()), waiting.bytes)
        })
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
        (waiting.bytes, waiting.own_bytes) = (0, 0);
        let (mut has_begun, mut has_begun_message) = (false, false);
        match waiting.active.take() {
            Some(Active::Stream(place)) => {
                has_begun = place.has_begun;
                wake(place.waker);
            }
            Some(Active::Message(_)) => (has_begun, has_begun_message) = (true, true),
            None => {}
        }
        let queue = std::mem::take(&mut waiting.queue);
        let count = queue.len() + usize::from(has_begun_message);
        self.is_broken |= has_begun;
        for item in queue {
            if let Queued::Stream(StreamPlace { waker, .. }) = item {
                wake(waker);
            }
        }
        count
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

    /// Writes to the line what there is, as far as it takes it.
    pub(super) fn write_out(&mut self) {
        let Some(line) = self.line.clone() else {
            return;
        };
        let mut progress = false;
        // An error shows again in the connection's next flush.
        let _ = self.flush_queue(&mut |slices| line.write_now(slices), &mut progress);
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
        if self.tail.is_empty() && self.is_queue_empty() && !self.is_broken {
            if own.is_empty() {
                return Ok(());
            }
            let result = drain(own, write, progress);
            self.tail.append(own);
            self.is_blocked = !self.tail.is_empty();
            return result;
        }
        self.take_own(own);
        self.flush_queue(write, progress)
    }

    /// Writes what is encoded and then what waits, until nothing is left, the line takes no more, or a
    /// writer has to bring the rest of its message.
    pub(super) fn flush_queue(
        &mut self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        progress: &mut bool,
    ) -> io::Result<()> {
        loop {
            self.drain_tail(write, progress)?;
            if self.is_queue_empty() {
                return Ok(());
            }
            if !self.write_active(write, progress)? {
                self.refill();
                if self.tail.is_empty() && !self.has_active_message() {
                    return Ok(());
                }
            }
        }
    }

    /// Takes what the connection has encoded itself. Data may not pass into the middle of a message,
    /// control frames may. After a message that was given up there is no data any more.
    pub(super) fn take_own(&mut self, own: &mut WriteBuffer) {
        if !self.is_mid_message() || !own.has_data() {
            return self.tail.append(own);
        }
        let mut data = WriteBuffer::new();
        let bytes = std::mem::take(own).into_vec();
        sort_frames(&bytes, &mut self.tail, &mut data);
        if self.is_broken {
            return;
        }
        let item = Queued::Own(Box::new(Queued::Encoded(data)));
        let waiting = self.waiting.get_or_insert_default();
        waiting.bytes += item.bytes();
        waiting.own_bytes += item.own_bytes();
        waiting.queue.push_front(item);
        self.is_own_queued = true;
    }

    /// A message of the connection itself, behind what it has sent before; the outbox's bounds do not
    /// hold for it.
    pub(super) fn send_own(&mut self, item: Queued) {
        if self.is_queue_empty() && self.tail.len() < ENCODED_BYTES_MAX {
            return self.begin(item);
        }
        self.is_own_queued = true;
        let (bytes, item) = (item.bytes(), Queued::Own(Box::new(item)));
        let own_bytes = item.own_bytes();
        self.push(item, bytes);
        self.waiting.get_or_insert_default().own_bytes += own_bytes;
    }

    /// Bytes of the connection's own messages in the queue.
    pub(super) fn own_bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.own_bytes)
    }

    /// Encodes a message that nothing is before, or its beginning.
    pub(super) fn begin(&mut self, item: Queued) {
        if let Some(active) = item.encode(&mut self.encoder, &mut self.tail) {
            self.activate(active);
        }
    }

    /// A message begins to leave.
    pub(super) fn activate(&mut self, active: Active) {
        let waiting = self.waiting.get_or_insert_default();
        waiting.bytes += active.left();
        waiting.active = Some(active);
    }

    fn has_active_message(&self) -> bool {
        let active = self.waiting.as_ref().and_then(|waiting| waiting.active.as_ref());
        active.is_some_and(|active| !active.is_stream())
    }

    /// Writes many fragments of a long message at once, from where it lies. What was not begun when the
    /// line takes no more stays a message, so that control frames can pass. False: there is no such
    /// message, or its fragments have to be masked.
    fn write_active(
        &mut self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        progress: &mut bool,
    ) -> io::Result<bool> {
        let Self { waiting: Some(waiting), encoder, tail, .. } = self else {
            return Ok(false);
        };
        let Some(Active::Message(fragments)) = &mut waiting.active else {
            return Ok(false);
        };
        if encoder.is_masking() {
            return Ok(false);
        }
        let before = fragments.clone();
        let mut batch = WriteBuffer::new();
        let mut ends = [0; FRAGMENTS_PER_WRITE];
        let mut count = 0;
        let mut has_more = true;
        while has_more && count < FRAGMENTS_PER_WRITE {
            has_more = fragments.encode_next(encoder, &mut batch);
            ends[count] = batch.len();
            count += 1;
        }
        let total = batch.len();
        let result = drain(&mut batch, write, progress);
        let written = total - batch.len();
        if result.is_err() {
            *fragments = before.clone();
            has_more = true;
            let whole = ends[..count].partition_point(|end| *end <= written);
            fragments.skip(whole, encoder.fragment_bytes());
            let begun = written - whole.checked_sub(1).map_or(0, |last| ends[last]);
            if begun > 0 {
                has_more = fragments.encode_next(encoder, tail);
                tail.advance(begun);
            }
        }
        waiting.bytes -= before.left() - fragments.left();
        if !has_more {
            waiting.active = None;
        }
        self.is_blocked = result.is_err();
        result.map(|()| true)
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
            match &mut waiting.active {
                Some(Active::Message(fragments)) => {
                    let before = fragments.left();
                    let has_more = fragments.encode_next(&mut self.encoder, &mut self.tail);
                    waiting.bytes -= before - fragments.left();
                    if !has_more {
                        waiting.active = None;
                    }
                    continue;
                }
                Some(Active::Stream(place)) => {
                    wake(place.waker.take());
                    break;
                }
                None => {}
            }
            let Some(item) = waiting.queue.pop_front() else {
                break;
            };
            waiting.bytes -= item.bytes();
            waiting.own_bytes -= item.own_bytes();
            waiting.active = item.encode(&mut self.encoder, &mut self.tail);
            waiting.bytes += waiting.active.as_ref().map_or(0, Active::left);
            let is_message = matches!(waiting.active, Some(Active::Message(_)));
            if is_message && !self.encoder.is_masking() {
                // Written from where it lies, as much as the line takes.
                break;
            }
        }
        self.give_back();
    }

    /// Memory of a burst is given back.
    pub(super) fn give_back(&mut self) {
        if self.is_queue_empty() {
            self.is_own_queued = false;
            if self.waiting.as_ref().is_some_and(|waiting| waiting.senders.is_empty()) {
                self.waiting = None;
            }
        }
    }

    pub(super) fn take_senders(&mut self, config: &Config) -> Vec<Waker> {
        if self.waiting.is_none() || !self.has_room(0, config) {
            return Vec::new();
        }
        let senders = self.waiting.as_mut().map(|waiting| std::mem::take(&mut waiting.senders));
        self.give_back();
        senders.unwrap_or_default()
    }

    /// The writer whose turn it is and who has now what it waits for.
    pub(super) fn take_writer(&mut self) -> Option<Waker> {
        match self.waiting.as_mut()?.active.as_mut()? {
            Active::Stream(place) => {
                let bytes_max = if place.is_flushing { 1 } else { ENCODED_BYTES_MAX };
                if self.tail.len() < bytes_max { place.waker.take() } else { None }
            }
            Active::Message(_) => None,
        }
    }

    /// The connection, where it has something to write that nobody has told it of.
    pub(super) fn take_idle_drain(&mut self) -> Option<Waker> {
        let has_message = || {
            self.waiting.as_ref().is_some_and(|waiting| match waiting.active {
                Some(Active::Message(_)) => true,
                Some(Active::Stream(_)) => false,
                None => !waiting.queue.is_empty(),
            })
        };
        let is_idle = !self.is_blocked && (!self.tail.is_empty() || has_message());
        if is_idle { self.drain_waker.take() } else { None }
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

/// Of whole frames, those that may pass into a message, and the others.
fn sort_frames(mut frames: &[u8], control: &mut WriteBuffer, data: &mut WriteBuffer) {
    while let Ok(Some((header, header_len))) = FrameHeader::parse(frames) {
        let len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let (frame, rest) = frames.split_at(header_len.saturating_add(len).min(frames.len()));
        let out = if header.opcode.is_control() { &mut *control } else { &mut *data };
        out.extend_from_slice(frame);
        frames = rest;
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
