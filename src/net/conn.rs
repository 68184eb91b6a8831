//! A connection: the endpoint, its byte stream, its outbox and its deadlines.
//!
//! The faces above (driver, `recv`, split) differ in who polls and where payloads go; reading,
//! flushing, timers and the end are here, once.

use std::io;
use std::task::{Context, Poll, ready};

use crate::outbox::{Flushed, Outbox};
use crate::protocol::{
    CloseCause, CloseOutcome, Config, Endpoint, Role, State, TimeoutKind, Token, WriteBuffer,
    millis,
};
use crate::sync::{Arc, AtomicU64, Ordering};

use super::clock::now_us;
use super::line::{ByteStream, Line};
use super::wheel::Timer;

const NEVER: u64 = u64::MAX;

/// From here on the rest of a frame is read straight into its message, in bytes.
const DIRECT_BYTES_MIN: usize = 64 * 1024;

/// While more than this is encoded and not written, no pong is added to it, in bytes. An outbox encodes
/// not quite 128 KiB ahead; the rest is for pongs to a peer that pings and does not read.
const LATE_PONG_BYTES_MAX: usize = 160 * 1024;

/// What is read and thrown away after our last word, so that a reset does not overtake it.
const DRAIN_BYTES_MAX: usize = 64 * 1024;

/// How long that may take, in milliseconds.
const DRAIN_TIMEOUT_MS: u64 = 1000;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number that no connection has.
pub(crate) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// So many bytes are in the block; zero when they went straight into a message.
    Bytes(usize),
    /// The stream ended or failed: the endpoint knows.
    End,
}

/// The way to the end of the stream.
///
/// ```text
///   Running ──endpoint closed──► Flushing ──► ShuttingDown ──► Draining ──EOF, bound, deadline──► Done
///      └───────────the stream or the peer is gone──────────────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Running,
    Flushing,
    ShuttingDown,
    Draining {
        drained: u32,
    },
    Done,
    /// Done, and the outbox let go.
    Detached,
}

/// Whether reading goes on while writing is blocked: two ends that write and wait for each other to read
/// would never move again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhileBlocked {
    Stop,
    /// As long as no more waits than an outbox may hold: for a client, and where what is read causes no
    /// output.
    ReadBounded,
    /// Whatever waits: who reads does not decide what is written.
    Read,
}

pub(super) struct Conn<S> {
    line: Line<S>,
    pub(super) endpoint: Endpoint,
    pub(super) outbox: Arc<Outbox>,
    timer: Timer,
    /// Of a blocked write, or of the end.
    deadline_ms: u64,
    armed_ms: u64,
    ending: Ending,
    is_blocked: bool,
    is_stopped: bool,
    /// Another task polls than the one that armed the timer.
    is_new_task: bool,
    is_close_waiting: bool,
    /// Pieces of a message were given out and its last was not.
    pub(super) is_midway: bool,
    while_blocked: WhileBlocked,
}

impl<S: ByteStream> Conn<S> {
    pub(super) fn new(stream: S, role: Role, config: &Arc<Config>) -> Self {
        let line = Line::new(stream);
        let id = next_id();
        let outbox = Outbox::new(role, config.clone(), id);
        if let Some(direct) = line.direct() {
            outbox.attach(direct);
        }
        let mut timer = Timer::new();
        let endpoint = Endpoint::new(role, config.clone(), timer.begin().unwrap_or(0));
        Self {
            line,
            endpoint,
            outbox: Arc::new(outbox),
            timer,
            deadline_ms: NEVER,
            armed_ms: NEVER,
            ending: Ending::Running,
            is_blocked: false,
            is_stopped: false,
            is_new_task: false,
            is_close_waiting: false,
            is_midway: false,
            while_blocked: match role {
                Role::Client => WhileBlocked::ReadBounded,
                Role::Server => WhileBlocked::Stop,
            },
        }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.endpoint.state() == State::Open
    }

    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.endpoint.state() == State::Closed
    }

    /// Milliseconds of the coarse clock; zero until it is asked for in a runtime.
    #[inline]
    pub(super) fn now_ms(&mut self) -> u64 {
        match self.timer.now_ms() {
            Some(now_ms) => now_ms,
            None => self.begin_time(),
        }
    }

    /// The same, set right first.
    fn refresh_ms(&mut self) -> u64 {
        match self.timer.refresh_ms() {
            Some(now_ms) => now_ms,
            None => self.begin_time(),
        }
    }

    /// The first use in a runtime, whose clock may be old: deadlines that were set at zero count from here.
    #[cold]
    fn begin_time(&mut self) -> u64 {
        let Some(now_ms) = self.timer.begin() else {
            return 0;
        };
        self.endpoint.begin_time(now_ms);
        self.deadline_ms = self.deadline_ms.saturating_add(now_ms);
        self.armed_ms = NEVER;
        now_ms
    }

    /// Whether anything may be read now: not while the kernel takes no more, or not beyond a bound; nor
    /// while too many answers wait behind a message that is being written.
    #[inline]
    pub(super) fn may_read(&self) -> bool {
        match self.while_blocked {
            WhileBlocked::Read => true,
            mode => {
                let is_bounded = || {
                    mode == WhileBlocked::ReadBounded
                        && self.outbox.unwritten() < self.endpoint.config().outbox_bytes_max
                };
                !self.outbox.is_own_full() && (!self.is_blocked || is_bounded())
            }
        }
    }

    /// Whether nothing more should be asked for before a flush.
    #[inline]
    pub(super) fn is_pressed(&self) -> bool {
        self.is_blocked || self.outbox.is_pressed() || self.outbox.is_own_full()
    }

    /// Reading goes on while writing is blocked.
    pub(super) fn read_while_blocked(&mut self) {
        self.while_blocked = WhileBlocked::ReadBounded;
    }

    /// Reading goes on whatever waits to be written.
    pub(super) fn always_read(&mut self) {
        self.while_blocked = WhileBlocked::Read;
    }

    /// One read: into the block, or straight into a long message that is in progress.
    #[inline]
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        block: &mut [u8],
        out: &mut WriteBuffer,
    ) -> Poll<Fill> {
        if let Some((buffer, limit)) = self.endpoint.direct_buffer(DIRECT_BYTES_MIN) {
            let result = ready!(self.line.poll_read_buf(cx, buffer, limit));
            let fill = self.judge(result);
            if let Fill::Bytes(len) = fill {
                self.endpoint.received_direct(len, out);
                return Poll::Ready(Fill::Bytes(0));
            }
            return Poll::Ready(fill);
        }
        let result = ready!(self.line.poll_read(cx, block));
        Poll::Ready(self.judge(result))
    }

    #[inline]
    fn judge(&mut self, result: io::Result<usize>) -> Fill {
        match result {
            Ok(0) => self.endpoint.receive_eof(),
            Ok(len) => {
                let now_ms = self.now_ms();
                self.endpoint.handle_received(now_ms);
                return Fill::Bytes(len);
            }
            Err(error) => self.endpoint.lose(CloseCause::Io(error.kind())),
        }
        Fill::End
    }

    /// Writes what there is. `Pending`: the kernel takes no more now, and the task is woken when it
    /// does. `out` is empty afterwards: what could not be written is with the outbox.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, out: &mut WriteBuffer) -> Poll<()> {
        loop {
            if !self.is_stopped && !self.is_open() {
                self.is_stopped = true;
                self.outbox.stop();
            }
            if self.is_blocked {
                self.write_late_pong(out);
            }
            let waker = cx.waker();
            let line = &mut self.line;
            let flushed = self.outbox.flush(out, Some(waker), |slices| {
                line.write(&mut Context::from_waker(waker), slices)
            });
            let flushed = match flushed {
                Ok(flushed) => flushed,
                Err(error) => return self.lose_line(&error, out),
            };
            self.is_new_task |= flushed.is_new_task;
            let is_waiting = flushed.is_blocked || self.is_blocked;
            if is_waiting || !self.is_open() || !self.line.is_direct() {
                self.note_progress(&flushed, out);
            }
            if flushed.is_blocked {
                match ready!(self.line.poll_write_ready(cx)) {
                    Ok(()) => continue,
                    Err(error) => return self.lose_line(&error, out),
                }
            }
            if let Some(frame) = flushed.close_request {
                let now_ms = self.now_ms();
                self.endpoint.close(Some(&frame), out, now_ms);
                continue;
            }
            if !out.is_empty() {
                continue;
            }
            return self.poll_flush_line(cx, out);
        }
    }

    /// Nothing is read for a while: the peer's silence is not its fault.
    pub(super) fn pause(&mut self) {
        let now_ms = self.now_ms();
        self.endpoint.pause(now_ms);
    }

    /// Reading goes on.
    #[inline]
    pub(super) fn resume(&mut self) {
        let now_ms = self.now_ms();
        self.endpoint.resume(now_ms);
    }

    /// A socket whose owner keeps it after the end is closed all the same.
    pub(super) fn end_stream(&mut self) {
        self.line.end();
    }

    /// The deadline of a blocked write begins anew with each byte. Where nothing is read meanwhile,
    /// silence is not the peer's fault.
    fn note_progress(&mut self, flushed: &Flushed, out: &mut WriteBuffer) {
        let is_blocked = flushed.is_blocked;
        // A wait begins: the coarse clock may be behind.
        let now_ms = if is_blocked && !self.is_blocked { self.refresh_ms() } else { self.now_ms() };
        let is_closing = flushed.is_close_waiting;
        if is_closing && !self.is_close_waiting {
            // A close that waits for a slow peer has a deadline of its own, whatever trickles.
            self.is_close_waiting = true;
            let timeout_ms = millis(self.endpoint.config().close_timeout);
            self.deadline_ms = now_ms.saturating_add(timeout_ms);
        }
        let is_renewed = (flushed.progress || !self.is_blocked) && !is_closing;
        if is_renewed && !matches!(self.ending, Ending::Draining { .. }) {
            let timeout_ms = millis(self.endpoint.config().write_timeout);
            self.deadline_ms = now_ms.saturating_add(timeout_ms);
        }
        match (self.is_blocked, is_blocked) {
            (false, true) => {
                self.endpoint.block_output();
                if self.while_blocked == WhileBlocked::Stop {
                    self.endpoint.pause(now_ms);
                }
            }
            (true, false) => {
                self.endpoint.resume(now_ms);
                self.endpoint.unblock_output(out);
            }
            _ => {}
        }
        self.is_blocked = is_blocked;
    }

    /// The newest pong goes before what waits and is not encoded: also where the kernel is about to take
    /// all of it.
    fn write_late_pong(&mut self, out: &mut WriteBuffer) {
        if self.outbox.unwritten() < LATE_PONG_BYTES_MAX {
            self.endpoint.unblock_output(out);
            self.endpoint.block_output();
        }
    }

    fn poll_flush_line(&mut self, cx: &mut Context<'_>, out: &mut WriteBuffer) -> Poll<()> {
        match self.line.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                let now_ms = self.now_ms();
                if self.endpoint.handle_flushed(now_ms) {
                    self.outbox.note_ping(now_us());
                }
            }
            Poll::Ready(Err(error)) => return self.lose_line(&error, out),
            Poll::Pending => {
                self.is_blocked = true;
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn lose_line(&mut self, error: &io::Error, out: &mut WriteBuffer) -> Poll<()> {
        self.lose_peer(CloseCause::Io(error.kind()));
        out.clear();
        Poll::Ready(())
    }

    fn lose_peer(&mut self, cause: CloseCause) {
        if let Some(frame) = self.outbox.take_close_request() {
            self.endpoint.lose_closing(&frame, cause);
        }
        self.endpoint.lose(cause);
        self.ending = Ending::Done;
        self.is_blocked = false;
    }

    /// A pong was read: it may be the one the keepalive waits for, or a sender.
    pub(super) fn handle_pong(&mut self, block: &[u8], token: Token) {
        self.outbox.handle_pong(self.endpoint.payload(block, token), now_us);
        if self.endpoint.take_pong() {
            self.outbox.note_pong(now_us());
        }
    }

    /// Does what is due, or sees to it that the task is woken when something is. True: something
    /// was done, so flush and look again.
    pub(super) fn handle_timers(&mut self, cx: &Context<'_>, out: &mut WriteBuffer) -> bool {
        let now_ms = self.now_ms();
        let mut deadline_ms = self.endpoint.poll_timeout().unwrap_or(NEVER);
        if self.is_blocked || self.is_over() {
            deadline_ms = deadline_ms.min(self.deadline_ms);
        }
        if deadline_ms <= now_ms {
            if self.is_blocked && self.deadline_ms <= now_ms {
                self.lose_peer(CloseCause::Timeout(TimeoutKind::Write));
            } else {
                self.endpoint.handle_timeout(out, now_ms);
            }
            return true;
        }
        let is_armed = self.armed_ms <= deadline_ms && self.armed_ms > now_ms;
        if deadline_ms != NEVER && (!is_armed || self.is_new_task) {
            self.is_new_task = false;
            self.armed_ms = deadline_ms;
            self.timer.arm(deadline_ms, cx.waker());
        }
        false
    }

    /// After the endpoint is closed: our last word goes out, then the stream ends as RFC 6455 7.1.1
    /// has it: the server closes first, the client waits for that.
    pub(super) fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut WriteBuffer,
        block: &mut [u8],
    ) -> Poll<()> {
        loop {
            match self.ending {
                Ending::Running => self.begin_end(),
                Ending::Flushing => {
                    if self.poll_flush(cx, out).is_pending() {
                        if !self.handle_timers(cx, out) {
                            return Poll::Pending;
                        }
                    } else if self.ending == Ending::Flushing {
                        self.begin_last_word();
                    }
                }
                Ending::ShuttingDown => ready!(self.poll_shutdown(cx)),
                Ending::Draining { drained } => ready!(self.poll_drain(cx, block, drained)),
                Ending::Done => {
                    self.detach();
                    self.ending = Ending::Detached;
                    return Poll::Ready(());
                }
                Ending::Detached => return Poll::Ready(()),
            }
        }
    }

    fn begin_end(&mut self) {
        let cause = self.endpoint.outcome().map(|outcome| outcome.cause);
        self.ending = match cause {
            Some(CloseCause::Timeout(TimeoutKind::Idle)) => Ending::Flushing,
            Some(CloseCause::Timeout(_) | CloseCause::Io(_)) => Ending::Done,
            _ => Ending::Flushing,
        };
    }

    /// All is written: close, or end our half and wait for the peer's.
    fn begin_last_word(&mut self) {
        let waits_for_peer = self.is_clean() && self.endpoint.role() == Role::Client;
        let timeout_ms = if waits_for_peer {
            millis(self.endpoint.config().close_timeout)
        } else {
            DRAIN_TIMEOUT_MS
        };
        self.deadline_ms = self.now_ms().saturating_add(timeout_ms);
        self.ending = if waits_for_peer {
            Ending::Draining { drained: 0 }
        } else if self.is_clean() && self.line.is_direct() {
            // Closing the socket says it all.
            Ending::Done
        } else {
            Ending::ShuttingDown
        };
    }

    /// FIN, or close_notify, which may take a while; then the peer has a moment to see our last word.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.line.poll_shutdown(cx) {
            Poll::Ready(_) => {
                let outcome = self.endpoint.outcome();
                let is_eof = outcome.is_some_and(|outcome| outcome.cause == CloseCause::Eof);
                let is_done = is_eof || self.is_clean();
                self.ending = if is_done { Ending::Done } else { Ending::Draining { drained: 0 } };
                Poll::Ready(())
            }
            Poll::Pending => self.poll_deadline(cx),
        }
    }

    /// Ready, and done, when the time of the end is over.
    fn poll_deadline(&mut self, cx: &Context<'_>) -> Poll<()> {
        let now_ms = self.now_ms();
        if self.deadline_ms <= now_ms {
            self.ending = Ending::Done;
            return Poll::Ready(());
        }
        self.armed_ms = self.deadline_ms;
        self.timer.arm(self.deadline_ms, cx.waker());
        Poll::Pending
    }

    fn is_clean(&self) -> bool {
        self.endpoint.outcome().is_some_and(|outcome| outcome.clean)
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, block: &mut [u8], drained: u32) -> Poll<()> {
        if let Poll::Ready(result) = self.line.poll_read(cx, block) {
            let len = result.unwrap_or(0);
            let drained = drained.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
            let is_done = len == 0 || drained as usize > DRAIN_BYTES_MAX;
            self.ending = if is_done { Ending::Done } else { Ending::Draining { drained } };
            return Poll::Ready(());
        }
        self.poll_deadline(cx)
    }
}

impl<S> Conn<S> {
    /// Nothing leaves any more; who traces is told of the end, once.
    fn detach(&self) {
        let (trace, dropped) = self.outbox.detach();
        trace.ended(|| self.outcome(), dropped);
    }

    /// How it ended; only after `poll_end`.
    pub(super) fn outcome(&self) -> CloseOutcome {
        let outcome = self.endpoint.outcome().cloned();
        outcome.unwrap_or_else(|| CloseOutcome::lost(CloseCause::Dropped))
    }
}

impl<S> Drop for Conn<S> {
    /// A connection that is dropped while it is open still says goodbye where that takes no waiting:
    /// 1001, or 1011 when a panic drops it.
    fn drop(&mut self) {
        if self.ending == Ending::Running {
            self.outbox.say_goodbye(std::thread::panicking());
        }
        if self.ending != Ending::Detached {
            self.detach();
        }
    }
}

impl<S> std::fmt::Debug for Conn<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("endpoint", &self.endpoint)
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}
