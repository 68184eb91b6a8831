//! What a full outbox does.

use crate::frame::CloseFrame;
use crate::protocol::{Overflow, PreparedMessage};
use crate::sync::MutexGuard;

use super::item::{Latest, Queued};
use super::state::{ENCODED_BYTES_MAX, State, wake};
use super::waiting::Bounds;
use super::{Outbox, Run, SendError, Sent};

/// What became of the messages of a run that had to wait.
#[derive(Default)]
struct Tally {
    taken: usize,
    displaced: usize,
    refused: usize,
}

impl Outbox {
    /// Makes room for a message of so many bytes as the policy has it; returns how many messages were
    /// dropped for it. `None`: there is none for it.
    #[inline]
    pub(super) fn make_room(
        &self,
        state: &mut State,
        bytes: usize,
        ticket: Option<u64>,
    ) -> Option<usize> {
        let config = self.config();
        let bounds = Bounds::of(config);
        let Some(waiting) = &mut state.waiting else {
            return Some(0);
        };
        if waiting.take_turn(ticket, bytes, bounds) {
            return Some(0);
        }
        match config.overflow {
            Overflow::DropOldest => waiting.displace(bytes, bounds, config.gap_notice.as_ref()),
            _ => None,
        }
    }

    /// Lets a message wait for the connection.
    pub(super) fn enqueue(
        &self,
        mut state: MutexGuard<'_, State>,
        item: Queued,
        ticket: Option<u64>,
    ) -> Result<Sent, SendError> {
        let bytes = item.bytes();
        let Some(displaced) = self.make_room(&mut state, bytes, ticket) else {
            return Err(self.refuse(state, 1));
        };
        state.waiting.get_or_insert_default().push_message(item, bytes);
        Ok(self.pushed(state, displaced))
    }

    /// The same for a message of a key. A longer one that does not fit in the place of its forerunner
    /// is a new message, and under `DropOldest` the first that goes for it is that.
    pub(super) fn enqueue_latest(
        &self,
        mut state: MutexGuard<'_, State>,
        key: u64,
        item: Queued,
    ) -> Result<Sent, SendError> {
        let config = self.config();
        let bounds = Bounds::of(config);
        let bytes = item.bytes();
        let mut displaced = 0;
        if let Some(waiting) = &mut state.waiting
            && let Some(index) = waiting.find(key)
        {
            if waiting.fits_in_place(index, bytes, bounds) {
                waiting.replace(index, item);
                return Ok(Sent::Replaced);
            }
            if config.overflow != Overflow::DropOldest || !waiting.can_displace(bytes, bounds) {
                return Err(self.refuse(state, 1));
            }
            waiting.lose(index, config.gap_notice.as_ref());
            displaced = 1;
        }
        let Some(more) = self.make_room(&mut state, bytes, None) else {
            return Err(self.refuse(state, 1));
        };
        displaced += more;
        state.push(Queued::Latest(Box::new(Latest { key, item })));
        Ok(self.pushed(state, displaced))
    }

    /// A message waits, for which so many were dropped: the connection is told where it has to be.
    #[inline]
    fn pushed(&self, mut state: MutexGuard<'_, State>, displaced: usize) -> Sent {
        state.throw_out(displaced);
        // While it is blocked the connection waits for the socket and needs no other wake.
        let waker = if state.is_blocked { None } else { state.drain_waker.take() };
        drop(state);
        wake(waker);
        Sent::queued(displaced)
    }

    /// There is no room: does with new messages, or with the connection, what the policy says.
    pub(super) fn refuse(&self, mut state: MutexGuard<'_, State>, messages: usize) -> SendError {
        let error = state.full();
        let config = self.config();
        match config.overflow {
            Overflow::Block { .. } => {}
            Overflow::Close => self.close_overloaded(state),
            Overflow::DropNewest | Overflow::DropOldest => {
                state.refuse(config.overflow, messages);
                state.lose_new(config.gap_notice.as_ref());
            }
        }
        error
    }

    fn close_overloaded(&self, state: MutexGuard<'_, State>) {
        if let Ok(frame) = CloseFrame::new(1013, "send queue full") {
            self.close_now(state, frame);
        }
    }

    /// Counts what was taken of a run; who is refused some is rare, and its bytes are not told apart.
    fn note_run(&self, run: &Run, refused: usize) {
        self.note_sent(run.messages().len() - refused, run.payload_bytes());
    }

    /// Sends a run of a broadcast: one write, or the queue. What is not taken is counted.
    pub(crate) fn send_run(&self, run: &Run) -> Result<Sent, SendError> {
        let mut state = self.lock();
        state.check_open()?;
        if run.messages().is_empty() {
            return Ok(Sent::Written);
        }
        let was_blocked = state.is_blocked;
        let first = if state.may_write() { state.write_run(run) } else { 0 };
        let rest = run.messages().get(first..).unwrap_or_default();
        if rest.is_empty() {
            state.wake_if_left();
            self.note_run(run, 0);
            return Ok(state.sent());
        }
        let full = state.full();
        let mut tally = self.enqueue_run(&mut state, rest);
        if tally.refused > 0 && tally.is_fatal(self.config().overflow) && state.rare.has_kept() {
            // The connection ends; the session has what did not fit.
            let refused = std::mem::take(&mut tally.refused);
            for message in &rest[rest.len() - refused..] {
                state.push(Queued::Prepared(message.clone()));
            }
            self.note_run(run, 0);
            self.close_overloaded(state);
            return Ok(Sent::Kept);
        }
        self.note_run(run, tally.refused);
        state.throw_out(tally.displaced);
        state.refuse(self.config().overflow, tally.refused);
        if tally.refused > 0 && tally.is_fatal(self.config().overflow) {
            self.close_overloaded(state);
            return Err(full);
        }
        // While it was blocked before, the connection waits for the socket and needs no other wake.
        let waker = if was_blocked { None } else { state.drain_waker.take() };
        drop(state);
        wake(waker);
        match tally {
            Tally { refused: 0, displaced, .. } => Ok(Sent::queued(displaced)),
            Tally { taken: 0, .. } if first == 0 => Err(full),
            Tally { refused, displaced, .. } => Ok(Sent::Partly { refused, displaced }),
        }
    }

    /// Each message meets the policy by itself.
    fn enqueue_run(&self, state: &mut State, messages: &[PreparedMessage]) -> Tally {
        let config = self.config();
        let bounds = Bounds::of_broadcast(config);
        let notice = config.gap_notice.as_ref();
        let mut tally = Tally::default();
        for message in messages {
            let waiting = state.waiting.get_or_insert_default();
            let bytes = message.payload().len();
            if !waiting.fits(bytes, bounds) {
                let displaced = match config.overflow {
                    Overflow::DropOldest => waiting.displace(bytes, bounds, notice),
                    _ => None,
                };
                let Some(displaced) = displaced else {
                    tally.refused += 1;
                    if tally.is_fatal(config.overflow) {
                        tally.refused = messages.len() - tally.taken;
                        break;
                    }
                    state.lose_new(notice);
                    continue;
                };
                tally.displaced += displaced;
            }
            waiting.push_message(Queued::Prepared(message.clone()), bytes);
            tally.taken += 1;
        }
        tally
    }
}

impl Tally {
    /// Whether the connection ends when a message of a broadcast does not fit: the worker cannot wait.
    fn is_fatal(&self, overflow: Overflow) -> bool {
        matches!(overflow, Overflow::Block { .. } | Overflow::Close)
    }
}

impl State {
    /// Writes a run while the line takes it; returns the index of the first message of which nothing
    /// is written or encoded.
    fn write_run(&mut self, run: &Run) -> usize {
        if !self.tail.is_empty() {
            self.write_out();
            if self.is_blocked {
                return 0;
            }
        }
        let is_whole =
            !self.encoder.is_masking() && !run.has_longer_than(self.encoder.fragment_bytes());
        let is_whole = is_whole && !self.rare.has_kept();
        let frames = if is_whole { run.frames(self.encoder.class()) } else { None };
        let Some(frames) = frames else {
            return self.write_messages(run.messages());
        };
        if frames.is_compressed {
            self.encoder.note_foreign_frame();
        }
        let written = self.write_slice(frames.bytes);
        if written == frames.bytes.len() {
            self.ledger.delivered(run.messages().len());
            return run.messages().len();
        }
        let (index, rest) = frames.rest_at(written);
        self.ledger.delivered(index);
        self.tail.extend_from_slice(rest);
        self.tail.note_begun(true);
        index + 1
    }

    /// The same for messages that each peer gets encoded by itself, or that are cut into fragments.
    fn write_messages(&mut self, messages: &[PreparedMessage]) -> usize {
        for (index, message) in messages.iter().enumerate() {
            self.begin(Queued::Prepared(message.clone()));
            let is_last = index + 1 == messages.len();
            if is_last || self.is_mid_message() || self.tail.len() >= ENCODED_BYTES_MAX {
                self.write_out();
                if self.is_blocked {
                    return index + 1;
                }
            }
        }
        messages.len()
    }
}
