//! What the outbox's lock guards.

use std::io::{self, IoSlice};
use std::task::Waker;

use crate::frame::{CloseFrame, FrameHeader};
use crate::protocol::{Config, Encoder, GapNotice, Overflow, WriteBuffer};
use crate::sync::Arc;

use super::item::{Active, Queued, StreamPlace};
use super::ledger::Ledger;
use super::queue::WriteNow;
use super::rare::Rare;
use super::spare;
use super::waiting::{Bounds, Waiting};
use super::{SendError, Sent};

/// The most that is encoded ahead of the kernel, in bytes: what is encoded cannot be overtaken by a
/// control frame, nor handed to the next connection.
pub(super) const ENCODED_BYTES_MAX: usize = 64 * 1024;

/// Slices of one vectored write.
const SLICES_MAX: usize = 32;

/// Fragments of a long message that are written at once: each is two slices.
const FRAGMENTS_PER_WRITE: usize = SLICES_MAX / 2;

pub(super) struct State {
    /// `None` while nothing and nobody waits: most outboxes never need it.
    pub(super) waiting: Option<Box<Waiting>>,
    pub(super) rare: Rare,
    pub(super) tail: WriteBuffer,
    pub(super) encoder: Encoder,
    pub(super) ledger: Ledger,
    pub(super) line: Option<Arc<dyn WriteNow>>,
    pub(super) drain_waker: Option<Waker>,
    pub(super) close_request: Option<Box<CloseFrame>>,
    pub(super) is_closed: bool,
    pub(super) is_blocked: bool,
    /// A message was begun and will never be whole: no data may follow.
    pub(super) is_broken: bool,
    /// What the connection sent itself waits in the queue: what it sends next may not pass it.
    pub(super) is_own_queued: bool,
    pub(super) next_stream: u32,
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
        self.waiting.as_ref().is_none_or(|waiting| waiting.is_empty())
    }

    /// Whether there is nothing to write, nobody waits for room, and no close has been asked for.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiting.is_none()
            && self.tail.is_empty()
            && self.close_request.is_none()
            && !self.is_own_queued
            && !self.is_broken
    }

    /// Whether a message has begun to leave and its end is not encoded.
    pub(super) fn is_mid_message(&self) -> bool {
        self.is_broken || self.waiting.as_ref().is_some_and(|waiting| waiting.active.is_some())
    }

    pub(super) fn queued(&self) -> (usize, usize) {
        self.waiting.as_ref().map_or((0, 0), |waiting| (waiting.messages(), waiting.bytes()))
    }

    pub(super) fn full(&self) -> SendError {
        let (messages, bytes) = self.queued();
        SendError::Full { messages, bytes }
    }

    /// What became of a message that was written as far as the line took it.
    pub(super) fn sent(&self) -> Sent {
        if self.tail.is_empty() && self.is_queue_empty() { Sent::Written } else { Sent::Queued }
    }

    pub(super) fn push(&mut self, item: Queued) {
        self.waiting.get_or_insert_default().push(item);
    }

    /// So many had been taken, and made room for others.
    pub(super) fn throw_out(&mut self, messages: usize) {
        if messages > 0 {
            self.ledger.thrown_out(messages);
            self.rare.note_dropped(Overflow::DropOldest, messages);
        }
    }

    /// So many were not taken.
    pub(super) fn refuse(&mut self, policy: Overflow, messages: usize) {
        if messages > 0 {
            self.ledger.refused(policy, messages);
            self.rare.note_dropped(policy, messages);
        }
    }

    /// A new message was dropped: whoever reads is told.
    pub(super) fn lose_new(&mut self, notice: Option<&GapNotice>) {
        if let Some(notice) = notice {
            self.waiting.get_or_insert_default().lose_new(notice);
        }
    }

    /// Empties the queue: what was in it is lost, or with the session.
    pub(super) fn drop_queue(&mut self) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        self.ledger.lost(waiting.undelivered(), self.rare.serves_session());
        let (queue, active) = waiting.clear();
        match active {
            Some(Active::Stream(place)) => {
                self.is_broken |= place.has_begun;
                wake(place.waker);
            }
            Some(Active::Message(_)) => self.is_broken = true,
            None => {}
        }
        for item in queue {
            match (item, self.rare.kept()) {
                (Queued::Stream(StreamPlace { waker, .. }), _) => wake(waker),
                (item, Some(kept)) => kept.push_unsent(item.resolve_gap(&self.ledger)),
                _ => {}
            }
        }
    }

    /// Asks the connection to close; the first frame asked for counts. They are to be woken.
    pub(super) fn ask_to_close(&mut self, frame: CloseFrame) -> (Option<Waker>, Vec<Waker>) {
        if self.close_request.is_none() && !self.is_closed {
            self.close_request = Some(Box::new(frame));
        }
        (self.drain_waker.take(), self.take_senders())
    }

    /// Who waits for room.
    pub(super) fn take_senders(&mut self) -> Vec<Waker> {
        self.waiting.as_mut().map(|waiting| waiting.waiters.take_all()).unwrap_or_default()
    }

    /// What is encoded and not written dies with the connection.
    pub(super) fn drop_tail(&mut self) {
        self.ledger.lost(self.tail.messages(), self.rare.serves_session());
        self.tail = WriteBuffer::new();
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
    pub(super) fn wake_if_left(&mut self) {
        if self.is_blocked {
            wake(self.drain_waker.take());
        }
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
            let result = drain(own, write, progress, &self.ledger);
            self.is_blocked = !own.is_empty();
            if self.is_blocked {
                self.tail.append(own);
            }
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
        if !self.is_mid_message() || own.messages() == 0 {
            return self.tail.append(own);
        }
        let mut data = WriteBuffer::new();
        let messages = own.messages();
        let bytes = std::mem::take(own).into_vec();
        sort_frames(&bytes, &mut self.tail, &mut data);
        if self.is_broken {
            return self.ledger.lost(messages, self.rare.serves_session());
        }
        (0..messages).for_each(|_| data.note_last_frame());
        let item = Queued::Own(Box::new(Queued::Encoded(data)));
        self.waiting.get_or_insert_default().push_front(item);
        self.is_own_queued = true;
    }

    /// A message of the connection itself, behind what it has sent before; the outbox's bounds do not
    /// hold for it.
    pub(super) fn send_own(&mut self, item: Queued) {
        if self.is_queue_empty() && self.tail.len() < ENCODED_BYTES_MAX {
            return self.begin(item);
        }
        self.is_own_queued = true;
        self.push(Queued::Own(Box::new(item)));
    }

    /// What the connection's own messages in the queue cost, in bytes.
    pub(super) fn own_cost(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.own_cost())
    }

    /// Encodes a message that nothing is before, or its beginning.
    pub(super) fn begin(&mut self, item: Queued) {
        let item = self.record(item);
        spare::lend(&mut self.tail);
        if let Some(active) = item.encode(&mut self.encoder, &mut self.tail, &self.ledger) {
            self.activate(active);
        }
    }

    /// The encoder, and where it writes to what leaves at once or with the next flush.
    pub(super) fn out(&mut self) -> (&mut Encoder, &mut WriteBuffer) {
        spare::lend(&mut self.tail);
        (&mut self.encoder, &mut self.tail)
    }

    /// A message begins to leave.
    pub(super) fn activate(&mut self, active: Active) {
        self.waiting.get_or_insert_default().activate(active);
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
        let Self { waiting: Some(waiting), encoder, tail, ledger, .. } = self else {
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
        let result = drain(&mut batch, write, progress, ledger);
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
        let advanced = before.left() - fragments.left();
        waiting.advance(advanced);
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
        let result = drain(&mut self.tail, write, progress, &self.ledger);
        self.is_blocked = result.is_err();
        spare::take_back(&mut self.tail);
        result
    }

    /// Encodes queued messages, up to a bound, to be written next.
    pub(super) fn refill(&mut self) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        spare::lend(&mut self.tail);
        while self.tail.len() < ENCODED_BYTES_MAX {
            match &mut waiting.active {
                Some(Active::Message(fragments)) => {
                    let before = fragments.left();
                    let has_more = fragments.encode_next(&mut self.encoder, &mut self.tail);
                    let advanced = before - fragments.left();
                    waiting.advance(advanced);
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
            let Some(mut item) = waiting.pop() else {
                break;
            };
            if let Some(kept) = self.rare.kept() {
                item = item.resolve_gap(&self.ledger);
                kept.record(&item);
            }
            let Some(active) = item.encode(&mut self.encoder, &mut self.tail, &self.ledger) else {
                continue;
            };
            let is_message = !active.is_stream();
            waiting.activate(active);
            if is_message && !self.encoder.is_masking() {
                // Written from where it lies, as much as the line takes.
                break;
            }
        }
        if self.tail.is_empty() {
            // There was nothing to encode.
            spare::take_back(&mut self.tail);
        }
        self.give_back();
    }

    /// Memory of a burst is given back.
    pub(super) fn give_back(&mut self) {
        let Some(waiting) = &mut self.waiting else {
            self.is_own_queued = false;
            return;
        };
        if !waiting.is_empty() {
            return waiting.give_back();
        }
        self.is_own_queued = false;
        if waiting.waiters.is_empty() {
            self.waiting = None;
        }
    }

    /// Grants room to senders that wait for it; they are to be woken.
    pub(super) fn grant(&mut self, config: &Config) -> Vec<Waker> {
        let woken = self.waiting.as_mut().map(|waiting| waiting.grant(Bounds::of(config)));
        woken.unwrap_or_default()
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
                None => !waiting.is_queue_empty(),
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
    ledger: &Ledger,
) -> io::Result<()> {
    let before = buffer.messages();
    let result = write_all(buffer, write, progress);
    ledger.delivered(before - buffer.messages());
    result
}

fn write_all(
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
