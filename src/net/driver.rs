//! The one future of a connection that has a handler.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::deflate::put_scratch;
use crate::frame::Violation;
use crate::protocol::{CloseOutcome, MessageRef, Place, Step, Token};

use super::conn::{Conn, Fill};
use super::handler::{Connection, HIGH_WATER_BYTES, Handler};
use super::line::ByteStream;
use super::pool::{Turn, with_turn};

/// Reads of one poll: a bound on its work. A busy connection then lets others go first.
const READS_PER_POLL: u32 = 8;

/// Bytes that messages of one read may inflate to before others go first.
const INFLATED_BYTES_PER_INPUT: usize = 1024 * 1024;

/// Inflated messages from here on are handed over instead of lent, in bytes.
const HANDED_OVER_BYTES_MIN: usize = 64 * 1024;

/// Runs a connection with its handler until it is over. Made by
/// [`WebSocket::run`](super::WebSocket::run).
///
/// A hand-written future that is small (its size is what an idle connection costs) and borrows the
/// thread's read block for the time of a poll only.
///
/// Dropping it drops the connection, with a close frame (1001) where that takes no waiting.
#[must_use = "a driver does nothing unless it is awaited or spawned"]
pub struct Driver<S: ByteStream, H: Handler> {
    conn: Conn<S>,
    handler: H,
    /// Input that could not be handled yet: the output is blocked or the handler is not ready.
    leftover: Option<Box<Leftover>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Running,
    Paused,
    Over,
}

/// `at <= bytes.len()`: what is handled is not copied again. Nothing may be left of the bytes while
/// the endpoint has more to give for them.
#[derive(Debug)]
struct Leftover {
    bytes: Vec<u8>,
    at: usize,
}

impl Leftover {
    fn new(bytes: Vec<u8>, has_more: bool) -> Option<Box<Self>> {
        (!bytes.is_empty() || has_more).then(|| Box::new(Self { bytes, at: 0 }))
    }
}

impl<S: ByteStream, H: Handler> Driver<S, H> {
    /// Goes on reading while writing is blocked: for a handler that sends nothing by itself.
    pub(super) fn read_while_blocked(mut self) -> Self {
        self.conn.read_while_blocked();
        self
    }

    pub(super) fn new(conn: Conn<S>, handler: H, input: Vec<u8>) -> Self {
        let leftover = Leftover::new(input, conn.endpoint.has_more());
        Self { conn, handler, leftover, stage: Stage::New }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<CloseOutcome> {
        if self.stage == Stage::New {
            self.stage = Stage::Running;
            let Self { conn, handler, .. } = self;
            // The face before may have left it paused.
            conn.resume();
            handler.on_open(&mut connection(conn, turn));
        }
        let mut reads = 0;
        loop {
            if self.conn.is_over() {
                return self.poll_end(cx, turn);
            }
            // What was blocked is tried first: only then is anything read.
            let may_read = self.conn.may_read();
            let has_read = may_read && self.poll_input(cx, turn);
            let is_blocked = self.conn.poll_flush(cx, &mut turn.out).is_pending();
            if self.conn.is_over() {
                continue;
            }
            if (has_read || !may_read) && self.conn.may_read() {
                reads += 1;
                if reads < READS_PER_POLL {
                    continue;
                }
                // A peer that never pauses has its deadlines, too.
                self.conn.handle_timers(cx, &mut turn.out);
                cx.waker().wake_by_ref();
                return self.poll_rest(cx, turn);
            }
            if !is_blocked && !self.conn.may_read() {
                self.pause();
            }
            if !self.conn.handle_timers(cx, &mut turn.out) {
                return Poll::Pending;
            }
        }
    }

    /// Handles what there is to read. False: nothing, or nothing may be read now.
    #[inline]
    fn poll_input(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> bool {
        if self.conn.is_over() {
            return false;
        }
        if self.conn.is_open() && self.handler.poll_ready(cx).is_pending() {
            self.pause();
            return false;
        }
        if self.stage == Stage::Paused {
            self.stage = Stage::Running;
            let now_ms = self.conn.now_ms();
            self.conn.endpoint.resume(now_ms);
        }
        if let Some(mut leftover) = self.leftover.take() {
            leftover.at += self.handle_input(cx, &mut leftover.bytes[leftover.at..], turn);
            let has_more = self.conn.endpoint.has_more();
            self.leftover = Some(leftover).filter(|left| left.at < left.bytes.len() || has_more);
            return true;
        }
        let mut block = std::mem::take(&mut turn.block);
        let fill = self.conn.poll_fill(cx, &mut block, &mut turn.out);
        if let Poll::Ready(Fill::Bytes(len)) = fill {
            let taken = self.handle_input(cx, &mut block[..len], turn);
            let has_more = self.conn.endpoint.has_more();
            if taken < len || has_more {
                self.leftover = Leftover::new(block[taken..len].to_vec(), has_more);
            }
        }
        turn.block = block;
        fill.is_ready()
    }

    /// Decodes and handles messages until the input ends, the output is blocked or the handler is
    /// not ready; returns how much was taken.
    #[inline]
    fn handle_input(&mut self, cx: &mut Context<'_>, input: &mut [u8], turn: &mut Turn) -> usize {
        let now_ms = self.conn.now_ms();
        let mut at = 0;
        let mut inflated = 0;
        loop {
            let token = self.conn.endpoint.advance(input, &mut at, &mut turn.out, now_ms);
            match token.step {
                Step::More => break,
                Step::Text | Step::Binary if self.conn.is_open() || self.takes_message(cx) => {
                    self.handle_message(input, token, turn);
                }
                // The closing handshake is not held up by messages that nobody takes.
                Step::Text | Step::Binary => self.conn.is_midway = false,
                Step::TextPiece | Step::BinaryPiece => {}
                Step::Ping | Step::Pong => self.handle_control(input, token, turn),
                Step::Close => {}
            }
            let is_rare = token.place != Place::Block;
            if turn.out.len() >= HIGH_WATER_BYTES || (is_rare && self.conn.is_pressed()) {
                let _ = self.conn.poll_flush(cx, &mut turn.out);
            }
            if token.place == Place::Inflated {
                inflated += token.end;
                if inflated >= INFLATED_BYTES_PER_INPUT {
                    break;
                }
            }
            if !self.conn.may_read() || (self.conn.is_open() && !self.takes_message(cx)) {
                break;
            }
        }
        let Self { conn, handler, .. } = self;
        handler.on_turn_end(&mut connection(conn, turn));
        at
    }

    #[inline(always)]
    fn takes_message(&mut self, cx: &mut Context<'_>) -> bool {
        self.handler.poll_ready(cx).is_ready()
    }

    #[inline(always)]
    fn handle_message(&mut self, input: &[u8], token: Token, turn: &mut Turn) {
        let Self { conn, handler, .. } = self;
        if token.place != Place::Block {
            return self.handle_assembled(input, token, turn);
        }
        let payload = &input[token.start..token.end];
        let message = match token.step {
            Step::Text => match simdutf8::basic::from_utf8(payload) {
                Ok(text) => MessageRef::Text(text),
                Err(_) => {
                    conn.endpoint.fail(Violation::InvalidUtf8, &mut turn.out);
                    return;
                }
            },
            _ => MessageRef::Binary(payload),
        };
        handler.on_message(&mut connection(conn, turn), message);
    }

    #[inline(never)]
    fn handle_assembled(&mut self, input: &[u8], token: Token, turn: &mut Turn) {
        let Self { conn, handler, .. } = self;
        if std::mem::take(&mut conn.is_midway) {
            // The end of a message whose reader is gone.
            return;
        }
        if token.place == Place::Inflated && token.end < HANDED_OVER_BYTES_MIN {
            let inflated = conn.endpoint.take_inflated();
            let message = match token.step {
                Step::Text => simdutf8::basic::from_utf8(&inflated).map(MessageRef::Text),
                _ => Ok(MessageRef::Binary(&inflated)),
            };
            match message {
                Ok(message) => handler.on_message(&mut connection(conn, turn), message),
                Err(_) => {
                    conn.endpoint.fail(Violation::InvalidUtf8, &mut turn.out);
                }
            }
            return put_scratch(inflated);
        }
        match conn.endpoint.take_message(input, token) {
            Ok(message) => handler.on_assembled(&mut connection(conn, turn), message),
            Err(violation) => {
                conn.endpoint.fail(violation, &mut turn.out);
            }
        }
    }

    #[inline(never)]
    fn handle_control(&mut self, input: &[u8], token: Token, turn: &mut Turn) {
        let Self { conn, handler, .. } = self;
        if token.step == Step::Pong {
            conn.handle_pong(input, token);
        }
        // At most 125 bytes, rarely: a copy sets the endpoint free for the handler.
        let payload = conn.endpoint.payload(input, token).to_vec();
        let mut connection = connection(conn, turn);
        match token.step {
            Step::Ping => handler.on_ping(&mut connection, &payload),
            _ => handler.on_pong(&mut connection, &payload),
        }
    }

    fn pause(&mut self) {
        self.stage = Stage::Paused;
        let now_ms = self.conn.now_ms();
        self.conn.endpoint.pause(now_ms);
    }

    /// Before other tasks have their turn: what the timers wrote leaves, so that this thread's buffer
    /// is empty.
    fn poll_rest(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<CloseOutcome> {
        let _ = self.conn.poll_flush(cx, &mut turn.out);
        Poll::Pending
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<CloseOutcome> {
        std::task::ready!(self.conn.poll_end(cx, &mut turn.out, &mut turn.block));
        self.stage = Stage::Over;
        let outcome = self.conn.outcome();
        self.handler.on_close(&outcome);
        Poll::Ready(outcome)
    }
}

#[inline(always)]
fn connection<'a, S: ByteStream>(conn: &'a mut Conn<S>, turn: &'a mut Turn) -> Connection<'a> {
    Connection { endpoint: &mut conn.endpoint, out: &mut turn.out, outbox: &conn.outbox }
}

impl<S: ByteStream, H: Handler> Future for Driver<S, H> {
    type Output = CloseOutcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseOutcome> {
        let this = self.get_mut();
        with_turn(|turn| this.poll_turn(cx, turn))
    }
}

impl<S: ByteStream, H: Handler> Drop for Driver<S, H> {
    /// A handler always learns that its connection is over.
    fn drop(&mut self) {
        if self.stage != Stage::Over && !std::thread::panicking() {
            self.handler.on_close(&self.conn.outcome());
        }
    }
}

/// Nothing of what was sent or received.
impl<S: ByteStream, H: Handler> std::fmt::Debug for Driver<S, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("conn", &self.conn).finish_non_exhaustive()
    }
}
