//! One end of a connection after the opening handshake, without I/O.

use bytes::{Bytes, BytesMut};

use crate::deflate::DeflateParams;
use crate::frame::{CloseCode, CloseFrame, MaskingKeys, Opcode, Violation};
use crate::sync::{Arc, AtomicUsize, Ordering};

use super::closing::{CloseCause, CloseOutcome, State, TimeoutKind};
use super::config::millis;
use super::decoder::Decoder;
use super::keepalive::{Keepalive, NEVER};
use super::rates::Rates;
use super::{Config, Encoder, Message, MessageRef, Place, Role, Step, Token, WriteBuffer};

/// What [`Endpoint::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A whole data message.
    Message(MessageRef<'a>),
    /// A ping; its pong is in the output already.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The connection is closing or closed, by the peer's close frame or its violation: see
    /// [`Endpoint::outcome`]. What has to be answered is in the output already.
    Closed,
}

/// All was taken.
const MORE: Token = Token { step: Step::More, place: Place::Block, start: 0, end: 0 };

/// The connection is closing or closed: nothing can be sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection closed")]
pub struct ConnectionClosed;

/// The protocol of one connection, without I/O: bytes in, events and bytes out.
///
/// Time is an argument: milliseconds since an origin of the caller's choosing, which never go back.
///
/// ```
/// use std::sync::Arc;
/// use sockeye::protocol::{Config, Endpoint, Event, MessageRef, Role, WriteBuffer};
///
/// let config = Arc::new(Config::default());
/// let mut client = Endpoint::new(Role::Client, config.clone(), 0);
/// let mut server = Endpoint::new(Role::Server, config, 0);
///
/// let mut wire = WriteBuffer::new();
/// client.send(MessageRef::Text("hello"), &mut wire)?;
///
/// let (mut block, mut at, mut out) = (wire.into_vec(), 0, WriteBuffer::new());
/// let event = server.receive(&mut block, &mut at, &mut out, 0);
/// assert_eq!(event, Some(Event::Message(MessageRef::Text("hello"))));
/// # Ok::<(), sockeye::protocol::ConnectionClosed>(())
/// ```
///
/// A body for it does this, again and again: give what was read to [`receive`](Self::receive) until
/// it returns `None`; write the output; call [`handle_flushed`](Self::handle_flushed) when all of it
/// is written; at [`poll_timeout`](Self::poll_timeout) call [`handle_timeout`](Self::handle_timeout);
/// at the end of the stream call [`receive_eof`](Self::receive_eof). When
/// [`state`](Self::state) is [`Closed`](State::Closed), write what is left and close the stream: the
/// server at once, the client when the server has, or after the close timeout.
///
/// Source: RFC 6455 5 to 7.
pub struct Endpoint {
    pub(super) decoder: Decoder,
    pub(super) config: Arc<Config>,
    encoder: Encoder,
    keepalive: Keepalive,
    outcome: Option<Box<CloseOutcome>>,
    message_started_ms: u64,
    close_deadline_ms: u64,
    state: State,
    role: Role,
    /// [`NEVER`] while it is not paused.
    paused_ms: u64,
    has_pong: bool,
    is_output_blocked: bool,
    /// Messages are counted, or their rate is bounded.
    is_watched: bool,
    pub(super) rates: Option<Box<Rates>>,
    /// The newest pong, while the output is blocked.
    late_pong: Option<Box<Bytes>>,
}

impl Endpoint {
    /// An open endpoint.
    ///
    /// # Panics
    /// For a client, when the operating system has no random numbers for masks.
    #[must_use]
    pub fn new(role: Role, config: Arc<Config>, now_ms: u64) -> Self {
        // Steps of the golden ratio spread the first pings evenly; nothing secret hangs on them.
        static STEPS: AtomicUsize = AtomicUsize::new(0);
        let steps = STEPS.fetch_add(1, Ordering::Relaxed) as u64;
        let jitter = steps.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Self::assemble(role, config, Encoder::new(role), jitter, now_ms)
    }

    /// An open client whose masks and ping jitter repeat themselves: for tests and simulations.
    #[must_use]
    pub fn client_with_keys(config: Arc<Config>, keys: MaskingKeys, now_ms: u64) -> Self {
        Self::assemble(Role::Client, config, Encoder::with_keys(keys), 0, now_ms)
    }

    fn assemble(
        role: Role,
        config: Arc<Config>,
        mut encoder: Encoder,
        jitter: u64,
        now_ms: u64,
    ) -> Self {
        encoder.set_fragment_bytes(config.fragment_bytes_max);
        Self {
            decoder: Decoder::new(role, &config),
            is_watched: config.observer.is_some()
                || config.message_rate.is_some()
                || config.byte_rate.is_some(),
            rates: None,
            keepalive: Keepalive::new(&config, now_ms, jitter),
            config,
            encoder,
            outcome: None,
            message_started_ms: NEVER,
            close_deadline_ms: NEVER,
            state: State::Open,
            role,
            paused_ms: NEVER,
            has_pong: false,
            is_output_blocked: false,
            late_pong: None,
        }
    }

    /// Compresses and inflates from now on as was agreed in the opening handshake; how, is in the
    /// config's [`deflate`](Config::deflate). Before the first byte only.
    #[must_use]
    pub fn with_deflate(mut self, params: &DeflateParams) -> Self {
        self.set_deflate(params);
        self
    }

    pub(crate) fn set_deflate(&mut self, params: &DeflateParams) {
        self.decoder.set_deflate(params);
        self.encoder.set_deflate(params, &self.config.deflate);
    }

    /// The next event of `block[*at..]`; `at` moves past what was taken. The block is unmasked in
    /// place. `None`: all was taken.
    ///
    /// Cost: a message that lies whole in the block is borrowed from it; one cut by reads or
    /// fragments is copied once into memory that grows with what comes.
    pub fn receive<'a>(
        &'a mut self,
        block: &'a mut [u8],
        at: &mut usize,
        out: &mut WriteBuffer,
        now_ms: u64,
    ) -> Option<Event<'a>> {
        self.handle_received(now_ms);
        let was_closed = self.state == State::Closed;
        let token = self.advance(block, at, out, now_ms);
        if let Err(violation) = self.message(block, token) {
            self.fail(violation, out);
        }
        match token.step {
            _ if self.state == State::Closed => {
                *at = block.len();
                (!was_closed).then_some(Event::Closed)
            }
            // Nobody asked for pieces.
            Step::More | Step::Close | Step::TextPiece | Step::BinaryPiece => None,
            Step::Ping => Some(Event::Ping(self.payload(block, token))),
            Step::Pong => Some(Event::Pong(self.payload(block, token))),
            Step::Text | Step::Binary => self.message(block, token).ok().map(Event::Message),
        }
    }

    /// The stream ended.
    pub fn receive_eof(&mut self) {
        self.lose(CloseCause::Eof);
    }

    /// Sends a data message as one frame.
    ///
    /// # Errors
    /// [`ConnectionClosed`] when the closing handshake has begun.
    #[inline]
    pub fn send(
        &mut self,
        message: MessageRef<'_>,
        out: &mut WriteBuffer,
    ) -> Result<(), ConnectionClosed> {
        self.check_open()?;
        self.encoder.message(message, out);
        Ok(())
    }

    /// Sends an owned message; a close message begins the closing handshake.
    ///
    /// # Errors
    /// [`ConnectionClosed`] when the closing handshake has begun.
    pub fn send_owned(
        &mut self,
        message: &Message,
        out: &mut WriteBuffer,
    ) -> Result<(), ConnectionClosed> {
        self.check_open()?;
        if let Message::Close(frame) = message {
            self.begin_close(frame.as_ref(), CloseCause::Handshake, out);
        } else {
            self.encoder.owned(message, out);
        }
        Ok(())
    }

    /// Begins the closing handshake, once; later calls do nothing. `now_ms` starts its deadline.
    pub fn close(&mut self, frame: Option<&CloseFrame>, out: &mut WriteBuffer, now_ms: u64) {
        if self.state == State::Open {
            self.begin_close(frame, CloseCause::Handshake, out);
            self.start_close_deadline(now_ms);
        }
    }

    /// Sends a ping of the keepalive now. Its pong is waited for as always.
    pub fn ping(&mut self, out: &mut WriteBuffer, now_ms: u64) {
        if self.state == State::Open {
            let payload = self.keepalive.begin_ping(&self.config, now_ms);
            self.encoder.control(Opcode::Ping, &payload, out);
        }
    }

    /// All output was written: the deadlines of a ping and of the closing handshake run from here.
    /// True when a ping of the keepalive has just left.
    #[inline]
    pub fn handle_flushed(&mut self, now_ms: u64) -> bool {
        let has_ping_left = self.keepalive.handle_flushed(&self.config, now_ms);
        if self.state == State::Closing && self.close_deadline_ms == NEVER {
            self.start_close_deadline(now_ms);
        }
        has_ping_left
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let deadline = match self.state {
            State::Open => self.open_deadline_ms(),
            State::Closing => self.close_deadline_ms,
            State::Connecting | State::Closed => NEVER,
        };
        (deadline != NEVER).then_some(deadline)
    }

    /// Does what is due: a ping, or giving up on the peer.
    ///
    /// Read what has already come before calling it, so that a late caller does not take a peer for
    /// silent that answered in time.
    pub fn handle_timeout(&mut self, out: &mut WriteBuffer, now_ms: u64) {
        match self.state {
            State::Open => self.handle_open_timeout(out, now_ms),
            State::Closing if now_ms >= self.close_deadline_ms => {
                self.lose(CloseCause::Timeout(TimeoutKind::Close));
            }
            _ => {}
        }
    }

    /// The caller stops reading for a while, so the peer's silence is not its fault: the deadlines
    /// of pong, idle and message stand still until [`resume`](Self::resume).
    pub fn pause(&mut self, now_ms: u64) {
        self.paused_ms = self.paused_ms.min(now_ms);
    }

    /// Reading goes on.
    pub fn resume(&mut self, now_ms: u64) {
        let paused_ms = std::mem::replace(&mut self.paused_ms, NEVER);
        if paused_ms != NEVER {
            self.keepalive.forgive(&self.config, now_ms);
            if self.message_started_ms != NEVER {
                self.message_started_ms += now_ms.saturating_sub(paused_ms);
            }
        }
    }

    /// The caller cannot write now but goes on reading: pings are no longer answered one by one,
    /// only the newest, when [`unblock_output`](Self::unblock_output) says that there is room again.
    pub fn block_output(&mut self) {
        self.is_output_blocked = true;
    }

    /// The caller can write again.
    pub fn unblock_output(&mut self, out: &mut WriteBuffer) {
        self.is_output_blocked = false;
        if let Some(payload) = self.late_pong.take().filter(|_| self.state == State::Open) {
            self.encoder.control(Opcode::Pong, &payload, out);
        }
    }

    /// Where the connection is.
    #[inline]
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// How it ended, or is about to.
    #[must_use]
    pub fn outcome(&self) -> Option<&CloseOutcome> {
        self.outcome.as_deref()
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Its limits.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    // Below: what receive() is made of. net calls the parts, so that it can hand out borrowed
    // payloads after its loop.

    #[inline]
    pub(crate) fn handle_received(&mut self, now_ms: u64) {
        self.keepalive.handle_received(now_ms);
    }

    /// The next token. Pings and closes are answered into `out`.
    #[inline(always)]
    pub(crate) fn advance(
        &mut self,
        block: &mut [u8],
        at: &mut usize,
        out: &mut WriteBuffer,
        now_ms: u64,
    ) -> Token {
        if self.state == State::Closed {
            // Nothing behind the end is looked at (RFC 6455 7.1.7).
            *at = block.len();
            return MORE;
        }
        match self.decoder.next(&self.config, block, at) {
            Ok(token) if matches!(token.step, Step::Text | Step::Binary) => {
                self.message_started_ms = NEVER;
                if self.is_watched {
                    return self.note_message(token, 1, block, out, now_ms);
                }
                token
            }
            other => self.advance_rest(other, block, out, now_ms),
        }
    }

    #[inline(never)]
    fn advance_rest(
        &mut self,
        found: Result<Token, Violation>,
        block: &[u8],
        out: &mut WriteBuffer,
        now_ms: u64,
    ) -> Token {
        let token = match found {
            Ok(token) => token,
            Err(violation) => return self.fail(violation, out),
        };
        if !self.decoder.is_in_progress() {
            self.message_started_ms = NEVER;
        } else if self.message_started_ms == NEVER
            && matches!(token.step, Step::More | Step::TextPiece | Step::BinaryPiece)
        {
            self.message_started_ms = now_ms;
        }
        match token.step {
            Step::Ping => return self.answer_ping(token, block, out, now_ms),
            Step::Close => return self.answer_close(token, block, out),
            Step::Pong => {
                let payload = match token.place {
                    Place::Control => self.decoder.control(),
                    _ => &block[token.start..token.end],
                };
                self.has_pong |= self.keepalive.handle_pong(&self.config, payload, now_ms);
            }
            Step::TextPiece | Step::BinaryPiece if self.is_watched => {
                let is_last = !self.decoder.is_in_progress();
                return self.note_message(token, u64::from(is_last), block, out, now_ms);
            }
            Step::More | Step::Text | Step::Binary | Step::TextPiece | Step::BinaryPiece => {}
        }
        token
    }

    fn answer_ping(
        &mut self,
        token: Token,
        block: &[u8],
        out: &mut WriteBuffer,
        now_ms: u64,
    ) -> Token {
        if self.state != State::Open {
            // Nothing follows our close frame (RFC 6455 5.5.1).
            return token;
        }
        if self.role == Role::Server && !self.keepalive.take_ping_credit(&self.config, now_ms) {
            let pings_per_second_max = self.config.pings_per_second_max;
            return self.fail(Violation::PingFlood { pings_per_second_max }, out);
        }
        let payload = match token.place {
            Place::Control => self.decoder.control(),
            _ => &block[token.start..token.end],
        };
        if self.is_output_blocked {
            // Only the newest has to be answered (RFC 6455 5.5.3).
            self.late_pong = Some(Box::new(Bytes::copy_from_slice(payload)));
        } else {
            self.encoder.control(Opcode::Pong, payload, out);
        }
        token
    }

    fn answer_close(&mut self, token: Token, block: &[u8], out: &mut WriteBuffer) -> Token {
        let frame = match CloseFrame::parse(self.payload(block, token)) {
            Ok(frame) => frame,
            Err(violation) => return self.fail(violation, out),
        };
        if self.state == State::Closing {
            if let Some(outcome) = &mut self.outcome {
                outcome.clean = true;
            }
        } else {
            self.outcome = Some(Box::new(CloseOutcome::by_peer(frame.as_ref())));
            // The answer carries the peer's code back (RFC 6455 5.5.1).
            let echo = frame.and_then(|frame| CloseFrame::new(frame.code(), "").ok());
            self.encoder.close(echo.as_ref(), out);
        }
        self.state = State::Closed;
        token
    }

    /// Fails the connection: the close frame goes out, nothing more is read (RFC 6455 7.1.7).
    #[cold]
    pub(crate) fn fail(&mut self, violation: Violation, out: &mut WriteBuffer) -> Token {
        if self.state == State::Open {
            let frame = CloseFrame::from_violation(&violation);
            self.begin_close(Some(&frame), CloseCause::Violation(violation), out);
        }
        self.state = State::Closed;
        MORE
    }

    /// The stream is gone, or the peer is.
    pub(crate) fn lose(&mut self, cause: CloseCause) {
        self.state = State::Closed;
        let is_close_timeout = cause == CloseCause::Timeout(TimeoutKind::Close);
        match &mut self.outcome {
            Some(outcome) if outcome.cause == CloseCause::Handshake && is_close_timeout => {
                outcome.cause = cause;
            }
            Some(_) => {}
            None => self.outcome = Some(Box::new(CloseOutcome::lost(cause))),
        }
    }

    /// The peer is gone before our close frame could leave: the code we meant stays the reason.
    pub(crate) fn lose_closing(&mut self, frame: &CloseFrame, cause: CloseCause) {
        self.state = State::Closed;
        self.outcome.get_or_insert_with(|| Box::new(CloseOutcome::by_us(Some(frame), cause)));
    }

    /// Messages of which nothing has come are given out piece by piece, or not.
    pub(crate) fn set_streaming(&mut self, is_streaming: bool) {
        self.decoder.set_streaming(is_streaming);
    }

    /// Whether there are tokens to come without another byte of input.
    #[inline]
    pub(crate) fn has_more(&self) -> bool {
        self.decoder.has_more()
    }

    /// The message of the last [`Place::Inflated`] token, taken.
    pub(crate) fn take_inflated(&mut self) -> Vec<u8> {
        self.decoder.take_inflated()
    }

    /// Where the rest of a long frame is best read into, and how much of it belongs there.
    pub(crate) fn direct_buffer(&mut self, bytes_min: usize) -> Option<(&mut BytesMut, usize)> {
        if self.state != State::Open {
            return None;
        }
        self.decoder.direct_buffer(bytes_min)
    }

    /// `len` bytes were read into the direct buffer.
    pub(crate) fn received_direct(&mut self, len: usize, out: &mut WriteBuffer) {
        if let Err(violation) = self.decoder.received(len) {
            self.fail(violation, out);
        }
    }

    /// Whether the pong of the last ping has come since this was asked last.
    pub(crate) fn take_pong(&mut self) -> bool {
        std::mem::take(&mut self.has_pong)
    }

    #[inline]
    pub(crate) fn encoder(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    #[inline]
    pub(crate) fn check_open(&self) -> Result<(), ConnectionClosed> {
        if self.state == State::Open { Ok(()) } else { Err(ConnectionClosed) }
    }

    fn begin_close(
        &mut self,
        frame: Option<&CloseFrame>,
        cause: CloseCause,
        out: &mut WriteBuffer,
    ) {
        self.encoder.close(frame, out);
        self.outcome = Some(Box::new(CloseOutcome::by_us(frame, cause)));
        self.state = State::Closing;
    }

    /// The clock, which stood at zero so far, goes on from `now_ms`: what was set before keeps its distance.
    pub(crate) fn begin_time(&mut self, now_ms: u64) {
        self.keepalive.begin_time(now_ms);
        for set_ms in
            [&mut self.message_started_ms, &mut self.close_deadline_ms, &mut self.paused_ms]
        {
            // Never stays never.
            *set_ms = set_ms.saturating_add(now_ms);
        }
    }

    fn start_close_deadline(&mut self, now_ms: u64) {
        self.close_deadline_ms = now_ms.saturating_add(millis(self.config.close_timeout));
    }

    fn open_deadline_ms(&self) -> u64 {
        let ping = self.keepalive.ping_due_ms();
        if self.paused_ms != NEVER {
            return ping;
        }
        let in_progress = self.message_started_ms != NEVER;
        ping.min(self.keepalive.pong_deadline_ms(&self.config, in_progress))
            .min(self.keepalive.idle_deadline_ms(&self.config))
            .min(self.message_deadline_ms())
    }

    fn message_deadline_ms(&self) -> u64 {
        self.message_started_ms.saturating_add(millis(self.config.message_timeout))
    }

    fn handle_open_timeout(&mut self, out: &mut WriteBuffer, now_ms: u64) {
        let in_progress = self.message_started_ms != NEVER;
        if self.paused_ms == NEVER {
            if now_ms >= self.keepalive.pong_deadline_ms(&self.config, in_progress) {
                return self.lose(CloseCause::Timeout(TimeoutKind::Pong));
            }
            if in_progress && now_ms >= self.message_deadline_ms() {
                let message_timeout_ms = millis(self.config.message_timeout);
                self.fail(Violation::SlowMessage { message_timeout_ms }, out);
                return;
            }
            if now_ms >= self.keepalive.idle_deadline_ms(&self.config) {
                let frame = CloseFrame::new(CloseCode::GoingAway, "idle").ok();
                let cause = CloseCause::Timeout(TimeoutKind::Idle);
                self.begin_close(frame.as_ref(), cause, out);
                return self.start_close_deadline(now_ms);
            }
        }
        if self.keepalive.is_ping_due(now_ms) && !self.keepalive.skip_ping(&self.config, now_ms) {
            self.ping(out, now_ms);
        }
    }
}

/// Nothing of what was sent or received.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("role", &self.role)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
