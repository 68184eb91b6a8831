//! The queue, its lock, and its one back.

use std::io::{self, IoSlice};
use std::task::Waker;

use crate::deflate::DeflateParams;
use crate::frame::{CloseFrame, Opcode};
use crate::protocol::{Config, Encoder, Message, MessageRef, PreparedMessage, Role, WriteBuffer};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::trace::Trace;

use super::item::Queued;
use super::ledger::Ledger;
use super::pings::Pings;
use super::rare::Rare;
use super::state::{ENCODED_BYTES_MAX, State, wake};
use super::{SendError, Sent};

const NEVER: u64 = u64::MAX;

/// Writes without waiting: what a socket can do from any thread.
pub(crate) trait WriteNow: Send + Sync {
    /// Writes some of the slices. `WouldBlock` when the kernel takes nothing now.
    fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// What a flush came to.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    /// The kernel takes no more now.
    pub(crate) is_blocked: bool,
    /// It took something.
    pub(crate) progress: bool,
    /// The waker is not the one that was there before.
    pub(crate) is_new_task: bool,
    /// A sender asked to close, and what was before it is not written yet.
    pub(crate) is_close_waiting: bool,
    /// A sender asked to close, and all that was before it is written.
    pub(crate) close_request: Option<Box<CloseFrame>>,
}

/// The bounded queue towards one peer.
///
/// ```text
///   senders ─► queue: whole messages ─► tail: encoded bytes ─► kernel
///              bounded by the config     bounded by 64 KiB
/// ```
/// `is_blocked` means that the kernel refused and the connection waits until the socket is writable;
/// nobody else writes meanwhile. While it is not blocked, `queue` is empty or nobody but the
/// connection can write.
pub(crate) struct Outbox {
    state: Mutex<State>,
    config: Arc<Config>,
    id: u64,
    /// Senders have written as much as may be written ahead: to be looked at without the lock.
    is_pressed: AtomicBool,
    /// The connection may encode and write its own messages past the queue: to be looked at without
    /// the lock.
    is_own_direct: AtomicBool,
    /// So much of the connection itself waits that it should not ask for more: the same.
    is_own_full: AtomicBool,
    last_ping_us: AtomicU64,
    last_pong_us: AtomicU64,
}

impl Outbox {
    pub(crate) fn new(role: Role, config: Arc<Config>, id: u64) -> Self {
        let mut encoder = Encoder::new(role);
        encoder.set_fragment_bytes(config.fragment_bytes_max);
        let state = State {
            waiting: None,
            rare: Rare::default(),
            tail: WriteBuffer::new(),
            encoder,
            ledger: Ledger::new(config.clone()),
            line: None,
            drain_waker: None,
            close_request: None,
            is_closed: false,
            is_blocked: false,
            is_broken: false,
            is_own_queued: false,
            next_stream: 0,
        };
        Self {
            state: Mutex::new(state),
            config,
            id,
            is_pressed: AtomicBool::new(false),
            is_own_direct: AtomicBool::new(true),
            is_own_full: AtomicBool::new(false),
            last_ping_us: AtomicU64::new(NEVER),
            last_pong_us: AtomicU64::new(NEVER),
        }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Messages that a full outbox did not take or keep, and those that were lost.
    pub(crate) fn dropped(&self) -> u64 {
        self.state.lock().ledger.dropped()
    }

    /// Data messages that were taken, and their payload bytes.
    #[inline]
    pub(crate) fn note_sent(&self, messages: usize, bytes: usize) {
        if let Some(observer) = &self.config.observer {
            observer.sent(messages as u64, bytes as u64);
        }
    }

    /// The same for those that the connection itself has encoded, once: they leave now or wait here.
    #[inline]
    pub(super) fn note_own_sent(&self, own: &WriteBuffer) {
        if own.messages() > 0 {
            self.note_sent(own.messages(), own.payload_bytes());
        }
    }

    /// A ping has left, or its pong has come: microseconds since the connection's clock began. What was
    /// not used since the ping before is given back.
    pub(crate) fn note_ping(&self, now_us: u64) {
        self.last_ping_us.store(now_us, Ordering::Relaxed);
        self.state.lock().encoder.rest();
    }

    pub(crate) fn note_pong(&self, now_us: u64) {
        self.last_pong_us.store(now_us, Ordering::Relaxed);
        if let Some(observer) = &self.config.observer {
            let ping_us = self.last_ping_us.load(Ordering::Relaxed);
            observer.round_trip(now_us.saturating_sub(ping_us));
        }
    }

    /// The same, `None` for never.
    pub(crate) fn ping_times_us(&self) -> (Option<u64>, Option<u64>) {
        let read = |time: &AtomicU64| Some(time.load(Ordering::Relaxed)).filter(|us| *us != NEVER);
        (read(&self.last_ping_us), read(&self.last_pong_us))
    }

    /// From now on senders write to this line themselves when nothing is in their way.
    pub(crate) fn attach(&self, line: Arc<dyn WriteNow>) {
        self.state.lock().line = Some(line);
    }

    /// What becomes of messages is told in this span.
    pub(crate) fn set_trace(&self, trace: Trace) {
        if trace.is_some() {
            self.state.lock().rare.set_trace(trace);
        }
    }

    /// Messages are compressed from now on as was agreed.
    pub(crate) fn set_deflate(&self, params: &DeflateParams) {
        let mut state = self.state.lock();
        state.encoder.set_deflate(params, &self.config.deflate);
        self.note(&state);
    }

    /// Whether the connection may encode its own messages itself. Else they go through
    /// [`send_own`](Self::send_own): another message is on its way in fragments, or the order of
    /// compressing has to be that of the wire.
    #[inline]
    pub(crate) fn is_own_direct(&self) -> bool {
        self.is_own_direct.load(Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Before the lock is let go by whoever may have begun or ended a message.
    pub(super) fn note(&self, state: &State) {
        let is_held = state.is_mid_message()
            || state.is_own_queued
            || state.encoder.keeps_context()
            || state.rare.has_kept();
        self.is_own_direct.store(!is_held, Ordering::Relaxed);
        let is_full = state.own_cost() > self.config.outbox_bytes_max;
        self.is_own_full.store(is_full, Ordering::Relaxed);
    }

    // The front.

    /// Sends a message, or queues it. A full outbox does as its policy says. With the ticket of a
    /// sender that has waited, it is that sender's turn.
    pub(crate) fn send(&self, message: Message, ticket: Option<u64>) -> Result<Sent, SendError> {
        let state = self.state.lock();
        state.check_open()?;
        let item = Queued::Message(message);
        if state.may_write() {
            return Ok(self.write(state, item, ticket));
        }
        self.enqueue(state, item, ticket)
    }

    /// Sends a prepared message, or queues it. A full outbox does as its policy says.
    pub(crate) fn send_prepared(&self, message: &PreparedMessage) -> Result<Sent, SendError> {
        let mut state = self.state.lock();
        state.check_open()?;
        if state.may_write() {
            if message.payload().len() > state.encoder.fragment_bytes() || state.rare.has_kept() {
                return Ok(self.write(state, Queued::Prepared(message.clone()), None));
            }
            // Straight to the line it is one frame and one write.
            let (encoder, out) = state.out();
            encoder.prepared(message, out);
            state.write_out();
            state.wake_if_left();
            return Ok(state.sent());
        }
        self.enqueue(state, Queued::Prepared(message.clone()), None)
    }

    /// Sends a message, or lets it wait in the place of the one of its key.
    pub(crate) fn send_latest(&self, key: u64, item: Queued) -> Result<Sent, SendError> {
        let state = self.state.lock();
        state.check_open()?;
        if state.may_write() {
            return Ok(self.write(state, item, None));
        }
        self.enqueue_latest(state, key, item)
    }

    /// Sends a control frame past what waits.
    pub(crate) fn send_control(&self, opcode: Opcode, payload: &[u8]) -> Result<Sent, SendError> {
        let mut state = self.state.lock();
        state.check_open()?;
        if state.tail.len() >= ENCODED_BYTES_MAX {
            return Err(SendError::Full { messages: 0, bytes: state.tail.len() });
        }
        let (encoder, out) = state.out();
        encoder.control(opcode, payload, out);
        if state.is_blocked {
            return Ok(Sent::Queued);
        }
        state.write_out();
        self.note(&state);
        let is_written = state.tail.is_empty();
        let waker = if is_written { None } else { state.drain_waker.take() };
        drop(state);
        wake(waker);
        Ok(if is_written { Sent::Written } else { Sent::Queued })
    }

    pub(super) fn write(
        &self,
        mut state: MutexGuard<'_, State>,
        item: Queued,
        ticket: Option<u64>,
    ) -> Sent {
        state.begin(item);
        state.write_out();
        let woken = state.leave(ticket, &self.config);
        self.note(&state);
        state.wake_if_left();
        let sent = state.sent();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        sent
    }

    /// Takes a message that leaves with the next flush of its connection.
    pub(crate) fn feed(&self, message: MessageRef<'_>) -> Result<Sent, SendError> {
        let mut state = self.state.lock();
        state.check_open()?;
        if state.is_blocked || !state.is_queue_empty() {
            return self.enqueue(state, Queued::Message(message.to_message()), None);
        }
        let bytes = message.as_bytes().len();
        let bytes_max = self.config.outbox_bytes_max;
        let is_much = |tail: usize| tail > 0 && bytes > bytes_max.saturating_sub(tail);
        if state.line.is_some()
            && (state.tail.len() >= ENCODED_BYTES_MAX || is_much(state.tail.len()))
        {
            state.write_out();
            state.wake_if_left();
        }
        if is_much(state.tail.len()) {
            let bytes = state.tail.len();
            self.refuse(state, 1);
            return Err(SendError::Full { messages: 0, bytes });
        }
        if state.tail.len() >= ENCODED_BYTES_MAX {
            // What is encoded cannot be passed by a control frame.
            return self.enqueue(state, Queued::Message(message.to_message()), None);
        }
        if bytes > state.encoder.fragment_bytes() || state.rare.has_kept() {
            state.begin(Queued::Message(message.to_message()));
            self.note(&state);
        } else {
            let (encoder, out) = state.out();
            encoder.message(message, out);
        }
        if state.tail.len() >= ENCODED_BYTES_MAX || !state.is_queue_empty() {
            self.is_pressed.store(true, Ordering::Relaxed);
        }
        Ok(Sent::Queued)
    }

    /// A message of the connection itself, behind what it has encoded in `own`. It is taken whatever
    /// waits: who is not written to is not read from.
    pub(crate) fn send_own(&self, own: &mut WriteBuffer, item: Queued) -> Result<(), SendError> {
        let mut state = self.state.lock();
        state.check_open()?;
        self.note_own_sent(own);
        self.note_sent(item.messages(), item.bytes());
        state.take_own(own);
        state.send_own(item);
        if state.tail.len() >= ENCODED_BYTES_MAX || !state.is_queue_empty() {
            self.is_pressed.store(true, Ordering::Relaxed);
            if !state.is_blocked {
                state.write_out();
            }
        }
        self.note(&state);
        Ok(())
    }

    /// Whether senders have fed so much that the connection should flush before it reads on.
    #[inline]
    pub(crate) fn is_pressed(&self) -> bool {
        self.is_pressed.load(Ordering::Relaxed)
    }

    /// Whether so many messages of the connection itself wait behind another one that it should read
    /// nothing that it might answer.
    #[inline]
    pub(crate) fn is_own_full(&self) -> bool {
        self.is_own_full.load(Ordering::Relaxed)
    }

    /// Asks the connection to close after what is queued; the first frame asked for counts.
    pub(crate) fn request_close(&self, frame: CloseFrame) {
        Self::ask_to_close(self.state.lock(), frame);
    }

    fn ask_to_close(mut state: MutexGuard<'_, State>, frame: CloseFrame) {
        let (waker, senders) = state.ask_to_close(frame);
        drop(state);
        wake(waker);
        senders.into_iter().for_each(Waker::wake);
    }

    /// The same, at once: what is queued is lost and counted.
    pub(crate) fn request_close_now(&self, frame: CloseFrame) {
        self.close_now(self.state.lock(), frame);
    }

    pub(super) fn close_now(&self, mut state: MutexGuard<'_, State>, frame: CloseFrame) {
        state.drop_queue();
        self.note(&state);
        Self::ask_to_close(state, frame);
    }

    pub(crate) fn is_closed(&self) -> bool {
        let state = self.state.lock();
        state.check_open().is_err()
    }

    /// Messages and payload bytes that wait.
    pub(crate) fn queued(&self) -> (usize, usize) {
        self.state.lock().queued()
    }

    /// Encoded bytes that the kernel has not taken yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.state.lock().tail.len()
    }

    /// Messages that were taken and not delivered yet, and their bytes: of those that are encoded with
    /// what frames them.
    pub(crate) fn undelivered(&self) -> (usize, usize) {
        let state = self.state.lock();
        let waiting = state.waiting.as_ref().map_or(0, |waiting| waiting.undelivered());
        (waiting + state.tail.messages(), state.queued().1 + state.tail.len())
    }

    /// The close that was asked for and could not begin.
    pub(crate) fn take_close_request(&self) -> Option<Box<CloseFrame>> {
        self.state.lock().close_request.take()
    }

    // The back: one connection.

    /// Writes what the connection has itself, then what is queued, with `write`, until the kernel
    /// takes no more. What it refuses stays here; `own` is empty afterwards.
    ///
    /// With a waker, the connection is woken when a sender needs it.
    pub(crate) fn flush(
        &self,
        own: &mut WriteBuffer,
        waker: Option<&Waker>,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flushed> {
        self.note_own_sent(own);
        let mut state = self.state.lock();
        self.is_pressed.store(false, Ordering::Relaxed);
        let mut flushed = Flushed::default();
        let is_at_rest = state.is_at_rest();
        let result = state.flush(own, &mut write, &mut flushed.progress);
        if is_at_rest && result.is_ok() {
            // And is again: nobody waits for anything.
            flushed.is_new_task = waker.is_some_and(|waker| state.register(waker));
            return Ok(flushed);
        }
        let space = state.grant(&self.config);
        state.give_back();
        let writer = state.take_writer();
        self.note(&state);
        if let Some(waker) = waker {
            flushed.is_new_task = state.register(waker);
        }
        flushed.is_close_waiting = result.is_err() && state.close_request.is_some();
        if result.is_ok() {
            flushed.close_request = state.close_request.take();
            state.is_closed |= flushed.close_request.is_some();
        }
        drop(state);
        space.into_iter().chain(writer).for_each(Waker::wake);
        match result {
            Ok(()) => Ok(flushed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(Flushed { is_blocked: true, ..flushed })
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the connection's own bytes, to be written with the next flush.
    pub(crate) fn append(&self, own: &mut WriteBuffer) {
        self.note_own_sent(own);
        let mut state = self.state.lock();
        state.take_own(own);
        self.note(&state);
    }

    /// The closing handshake has begun: nothing is taken any more, and what waits may not follow the
    /// close frame. It is counted as lost.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.drop_queue();
        let senders = state.waiting.take().map(|mut waiting| waiting.waiters.take_all());
        let pings = state.rare.pings().map(std::mem::take).map(Pings::into_wakers);
        self.note(&state);
        drop(state);
        senders.into_iter().flatten().chain(pings.into_iter().flatten()).for_each(Waker::wake);
    }

    /// The connection is dropped while it is open: one try to write a close frame, without waiting: the
    /// one that was asked for, if any. What others have queued goes before it where the line takes it.
    pub(crate) fn say_goodbye(&self, is_panicking: bool) {
        let mut state = self.state.lock();
        if state.is_closed || state.is_blocked || state.line.is_none() {
            return;
        }
        state.write_out();
        state.is_closed = true;
        state.drop_queue();
        if state.is_blocked {
            return;
        }
        let asked = state.close_request.take().filter(|_| !is_panicking);
        let (code, reason) = if is_panicking { (1011, "internal error") } else { (1001, "") };
        let frame = asked.or_else(|| CloseFrame::new(code, reason).ok().map(Box::new));
        if let Some(frame) = frame {
            let (encoder, out) = state.out();
            encoder.close(Some(&frame), out);
        }
        state.write_out();
    }

    /// The connection is over: its bytes die with it, the line is let go.
    pub(crate) fn detach(&self) -> (Trace, u64) {
        self.stop();
        let mut state = self.state.lock();
        let line = state.line.take();
        let waker = state.drain_waker.take();
        state.drop_tail();
        let (trace, dropped) = (state.rare.take_trace(), state.ledger.dropped());
        drop(state);
        drop((line, waker));
        (trace, dropped)
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (messages, bytes) = self.undelivered();
        f.debug_struct("Outbox")
            .field("id", &self.id)
            .field("messages", &messages)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}
