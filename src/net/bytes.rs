//! A byte stream over binary messages.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Error;
use crate::frame::{CloseCode, CloseFrame};
use crate::protocol::{CloseCause, CloseOutcome, Initiator, MessageRef, Place, State, Step, Token};
use crate::sync::{Arc, Mutex};

use super::handler::HIGH_WATER_BYTES;
use super::line::ByteStream;
use super::websocket::WebSocket;

/// The most that is collected for one message, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Nothing is left of it.
const NO_PIECE: Token = Token { step: Step::Binary, place: Place::Block, start: 0, end: 0 };

impl<S: ByteStream> WebSocket<S> {
    /// Carries bytes instead of messages: the connection as [`AsyncRead`] and [`AsyncWrite`].
    ///
    /// ```
    /// # async fn example(socket: sockeye::WebSocket<tokio::net::TcpStream>, mut tcp: tokio::net::TcpStream) -> std::io::Result<()> {
    /// let mut stream = socket.into_byte_stream();
    /// tokio::io::copy_bidirectional(&mut stream, &mut tcp).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// What was fed before goes out before the first byte; what is left of a message whose reader is
    /// gone is passed over.
    pub fn into_byte_stream(mut self) -> BinaryStream<S> {
        self.0.conn.always_read();
        let tasks = Arc::<Tasks>::default();
        BinaryStream {
            socket: self,
            waker: Waker::from(tasks.clone()),
            tasks,
            token: NO_PIECE,
            at: 0,
            reading: Reading::Open,
            collected: Vec::new(),
            is_midway: false,
            has_written: false,
            is_shut: false,
            is_close_asked: false,
        }
    }
}

/// A byte stream over the binary messages of a connection. Made by
/// [`WebSocket::into_byte_stream`]; the other end may be any WebSocket.
///
/// **Reading** gives the bytes of binary messages as they come, whatever their length and wherever they
/// are cut. **Writing** collects bytes to messages of up to 64 KiB, which leave with
/// [`flush`](tokio::io::AsyncWriteExt::flush), when they are full, or when a read has to wait. A write of
/// nothing does nothing.
///
/// **Half close.** [`shutdown`](tokio::io::AsyncWriteExt::shutdown) sends what was collected and an empty
/// binary message, which says "no more bytes from me"; the other direction goes on. The peer's empty
/// message is the end of reading, and so is its close frame with 1000, 1001 or no code. When both
/// directions are over, whoever ended last closes with 1000: `shutdown` waits until that is written,
/// reading to the end waits for the rest of the closing handshake.
///
/// **Both at once.** Reading and writing do not wait for each other, in one task
/// ([`copy_bidirectional`](tokio::io::copy_bidirectional)) or in two ([`split`](tokio::io::split)).
/// Nothing moves unless it is polled: pings are answered while a read waits, and after the peer's end by
/// writes and flushes. Who has read to the end and goes on writing, but rarely, flushes every few seconds,
/// or the peer takes it for gone.
///
/// **Dropped** after it wrote something and before its shutdown was through, it says 1011 instead of 1001,
/// where that takes no waiting: the peer must not take what came for the whole.
///
/// # Errors
/// Of reading: [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the connection ended without one of
/// the ends above, or with another code; [`InvalidData`](io::ErrorKind::InvalidData) for text, which
/// closes with 1003 before the error is given, and for a violation;
/// [`TimedOut`](io::ErrorKind::TimedOut) for a deadline; else what the stream below said. An error stays:
/// there is never an end after it. Of writing: [`BrokenPipe`](io::ErrorKind::BrokenPipe) after the
/// shutdown or when the connection is closing or closed, and the same as of reading when it was lost. A
/// peer that takes nothing for longer than [`Config::write_timeout`](crate::Config::write_timeout) is
/// lost.
///
/// Cancel safety: as of [`AsyncRead`] and [`AsyncWrite`]: an operation that was not ready has done nothing.
///
/// Cost: one copy out of the read block; one copy into the message, none of it for writes of 64 KiB and
/// more. While it waits and everything is flushed it holds no buffer.
///
/// Source: RFC 6455 5.6.
#[derive(Debug)]
pub struct BinaryStream<S: ByteStream> {
    socket: WebSocket<S>,
    tasks: Arc<Tasks>,
    /// Of the tasks, for all that the connection waits for.
    waker: Waker,
    /// The current piece; `token.start <= at <= token.end`.
    token: Token,
    at: usize,
    reading: Reading,
    /// Written and not a message yet: at most [`MESSAGE_BYTES_MAX`].
    collected: Vec<u8>,
    /// Of the current message there is more behind the piece.
    is_midway: bool,
    has_written: bool,
    /// The empty message is on its way.
    is_shut: bool,
    is_close_asked: bool,
}

/// How far reading is.
///
/// ```text
///   Open ──empty message, or a close that is an end──► Ended
///     ├───what is no byte of this stream─► Refused ──closed──┐
///     └───the connection is lost─────────────────────────────┴─► Failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Open,
    Ended,
    /// The closing handshake is under way.
    Refused(&'static str),
    Failed(io::ErrorKind),
}

/// The task that reads and the one that writes. The connection knows one waker for both, and neither can
/// tell what the other waits for, so it wakes both.
#[derive(Debug, Default)]
struct Tasks(Mutex<[Option<Waker>; 2]>);

/// Which of them.
#[derive(Clone, Copy, Debug)]
enum Half {
    Reader,
    Writer,
}

impl Tasks {
    fn register(&self, half: Half, waker: &Waker) {
        let mut wakers = self.0.lock();
        let slot = &mut wakers[half as usize];
        let is_known = slot.as_ref().is_some_and(|known| known.will_wake(waker));
        let old = if is_known { None } else { slot.replace(waker.clone()) };
        drop(wakers);
        drop(old);
    }

    fn wake_all(&self) {
        let [first, second] = std::mem::take(&mut *self.0.lock());
        let is_same = matches!((&first, &second), (Some(a), Some(b)) if a.will_wake(b));
        first.into_iter().for_each(Waker::wake);
        second.filter(|_| !is_same).into_iter().for_each(Waker::wake);
    }
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl<S: ByteStream> BinaryStream<S> {
    /// The connection underneath: its number, its subprotocol, its outcome.
    #[must_use]
    pub const fn get_ref(&self) -> &WebSocket<S> {
        &self.socket
    }

    /// Ends both directions: sends what was collected, does the closing handshake within the close timeout
    /// and passes over what still comes. When both directions are over already, it only waits for the
    /// handshake. To the peer any code but 1000 and 1001 is an error.
    ///
    /// # Errors
    /// [`Error::CloseFrame`] when the code may not be sent or the reason is too long: then nothing
    /// happened. How the closing itself went is in the outcome.
    ///
    /// Cancel safety: once polled the closing has begun; `close` carries it on.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<CloseOutcome, Error> {
        let frame = CloseFrame::new(code, reason)?;
        if !self.collected.is_empty() {
            // Closed meanwhile: the outcome says so.
            let _ = self.send_collected();
        }
        self.ask_to_close(frame);
        (self.token, self.at) = (NO_PIECE, 0);
        poll_fn(|cx| self.drive(cx, Half::Writer, Self::poll_rest)).await;
        Ok(self.socket.0.conn.outcome())
    }

    /// Polls for one of the halves. What the connection waits for from now on wakes both.
    fn drive<R>(
        &mut self,
        cx: &mut Context<'_>,
        half: Half,
        step: impl FnOnce(&mut Self, &mut Context<'_>) -> R,
    ) -> R {
        self.tasks.register(half, cx.waker());
        let state = self.socket.state();
        let waker = self.waker.clone();
        let result = step(self, &mut Context::from_waker(&waker));
        if self.socket.state() != state {
            // The other half has to learn it, too.
            self.tasks.wake_all();
        }
        result
    }

    // Reading.

    /// Whether there is something to read; false at the end.
    fn poll_filled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.at == self.token.end {
            match self.reading {
                Reading::Open => ready!(self.poll_next(cx))?,
                Reading::Ended => {
                    if self.is_shut {
                        self.ask_to_close(CloseFrame::normal());
                        ready!(self.poll_rest(cx));
                    }
                    return Poll::Ready(Ok(false));
                }
                Reading::Refused(why) => {
                    ready!(self.poll_rest(cx));
                    self.reading = Reading::Failed(io::ErrorKind::InvalidData);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                Reading::Failed(kind) => return Poll::Ready(Err(kind.into())),
            }
        }
        Poll::Ready(Ok(true))
    }

    /// The next piece, or the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(piece) = self.socket.poll_piece(cx, !self.is_midway) else {
            self.send_before_waiting(cx);
            return Poll::Pending;
        };
        let failed = match piece {
            Ok(Some(token)) => {
                self.take_piece(token);
                return Poll::Ready(Ok(()));
            }
            Ok(None) => match end_of(self.socket.outcome(), self.is_midway) {
                Ok(()) => {
                    self.reading = Reading::Ended;
                    return Poll::Ready(Ok(()));
                }
                Err(error) => error,
            },
            Err(error) => error.into(),
        };
        self.reading = Reading::Failed(failed.kind());
        Poll::Ready(Err(failed))
    }

    fn take_piece(&mut self, token: Token) {
        match token.step {
            Step::Text | Step::TextPiece => self.refuse("text in a byte stream"),
            Step::Binary if token.start == token.end && !self.is_midway => {
                self.reading = Reading::Ended;
            }
            step => {
                self.is_midway = step == Step::BinaryPiece;
                (self.token, self.at) = (token, token.start);
            }
        }
    }

    fn refuse(&mut self, why: &'static str) {
        self.reading = Reading::Refused(why);
        if let Ok(frame) = CloseFrame::new(CloseCode::UnsupportedData, why) {
            self.ask_to_close(frame);
        }
    }

    /// Once: asking wakes the connection.
    fn ask_to_close(&mut self, frame: CloseFrame) {
        if !std::mem::replace(&mut self.is_close_asked, true) {
            self.socket.0.conn.outbox.request_close(frame);
        }
    }

    /// Passes over what comes until the connection is over.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Ok(Some(_)) = ready!(self.socket.poll_piece(cx, true)) {}
        Poll::Ready(())
    }

    /// The peer has ended, so nobody reads: its pings are answered all the same.
    fn answer_pings(&mut self, cx: &mut Context<'_>) {
        if self.reading == Reading::Ended
            && !self.is_shut
            && let Poll::Ready(Ok(Some(_))) = self.socket.poll_piece(cx, true)
        {
            self.refuse("bytes after the end");
        }
    }

    /// Who waits for an answer has asked: what was collected goes out.
    fn send_before_waiting(&mut self, cx: &mut Context<'_>) {
        if self.collected.is_empty() || self.socket.unflushed() >= HIGH_WATER_BYTES {
            return;
        }
        // What goes wrong here, the next poll of either half will see.
        let _ = self.send_collected();
        let _ = self.socket.poll_flush(cx);
    }

    // Writing.

    fn check_writable(&self) -> io::Result<()> {
        if self.is_shut || self.is_close_asked || self.socket.state() != State::Open {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// Takes some of the bytes; never more than a message holds.
    fn collect(&mut self, bytes: &[u8]) -> usize {
        let before = self.collected.len();
        let taken = bytes.len().min(MESSAGE_BYTES_MAX - before);
        if before + taken > self.collected.capacity() {
            self.collected.reserve_exact((before + taken).next_power_of_two() - before);
        }
        self.collected.extend_from_slice(&bytes[..taken]);
        self.has_written = true;
        taken
    }

    /// Sends a whole message and takes some of the bytes, or sends some of them where they lie.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answer_pings(cx);
        ready!(self.poll_room(cx))?;
        if !self.collected.is_empty() {
            self.send_collected()?;
            return Poll::Ready(Ok(self.collect(bytes)));
        }
        let taken = bytes.len().min(MESSAGE_BYTES_MAX);
        self.socket.feed_ref(MessageRef::Binary(&bytes[..taken]))?;
        self.has_written = true;
        Poll::Ready(Ok(taken))
    }

    /// Waits until another message may be encoded.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.socket.unflushed() < HIGH_WATER_BYTES {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_flush(cx).map_err(io::Error::from)
    }

    fn send_collected(&mut self) -> io::Result<()> {
        let sent = self.socket.feed_ref(MessageRef::Binary(&self.collected));
        self.collected.clear();
        sent.map_err(io::Error::from)
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.collected.is_empty() {
            ready!(self.poll_room(cx))?;
            self.send_collected()?;
        }
        let flushed = self.socket.poll_flush(cx);
        self.answer_pings(cx);
        ready!(flushed)?;
        self.collected = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            if !self.collected.is_empty() {
                ready!(self.poll_room(cx))?;
                self.send_collected()?;
            }
            match self.socket.feed_ref(MessageRef::Binary(&[])) {
                // It closed after its end: there is nobody to tell ours.
                Err(Error::Closed) if self.reading == Reading::Ended => {}
                sent => sent?,
            }
            self.is_shut = true;
            if self.reading == Reading::Ended {
                self.ask_to_close(CloseFrame::normal());
            }
        }
        ready!(self.socket.poll_flush(cx))?;
        self.collected = Vec::new();
        Poll::Ready(Ok(()))
    }
}

/// Whether a connection that is over was an end of the peer's bytes.
fn end_of(outcome: Option<&CloseOutcome>, is_midway: bool) -> io::Result<()> {
    let text = match outcome {
        Some(outcome) if outcome.initiator == Initiator::Local => {
            format!("closed here with {}", outcome.code.as_u16())
        }
        Some(outcome) if outcome.cause == CloseCause::Handshake => {
            let code = outcome.code;
            let is_end =
                matches!(code, CloseCode::Normal | CloseCode::GoingAway | CloseCode::NoStatus);
            if is_end && !is_midway {
                return Ok(());
            }
            format!("the peer closed with {} {:?}", code.as_u16(), outcome.reason.as_str())
        }
        _ => "the connection is over".to_owned(),
    };
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
}

impl<S: ByteStream> AsyncRead for BinaryStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.at == this.token.end && !ready!(this.drive(cx, Half::Reader, Self::poll_filled))? {
            return Poll::Ready(Ok(()));
        }
        let block = &this.socket.0.block[..this.socket.0.end];
        let piece = this.socket.0.conn.endpoint.payload(block, this.token);
        let rest = &piece[this.at - this.token.start..];
        let len = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..len]);
        this.at += len;
        Poll::Ready(Ok(()))
    }
}

impl<S: ByteStream> AsyncWrite for BinaryStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        this.check_writable()?;
        let is_long = this.collected.is_empty() && bytes.len() >= MESSAGE_BYTES_MAX;
        if is_long || this.collected.len() == MESSAGE_BYTES_MAX {
            return this.drive(cx, Half::Writer, |this, cx| this.poll_send(cx, bytes));
        }
        Poll::Ready(Ok(this.collect(bytes)))
    }

    /// Sends what was collected and writes it out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().drive(cx, Half::Writer, Self::poll_sent)
    }

    /// No more bytes from here.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().drive(cx, Half::Writer, Self::poll_shut)
    }
}

impl<S: ByteStream> Drop for BinaryStream<S> {
    fn drop(&mut self) {
        let is_through = self.is_shut && self.socket.unflushed() == 0;
        if self.has_written
            && !is_through
            && !self.is_close_asked
            && let Ok(frame) = CloseFrame::new(1011, "bytes abandoned")
        {
            self.socket.0.conn.outbox.request_close(frame);
        }
    }
}
