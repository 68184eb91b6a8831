//! The convenient face: a connection that is polled by whoever owns it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use http::Response;

use crate::deflate::DeflateParams;
use crate::error::Error;
use crate::frame::CloseFrame;
use crate::outbox::Sender;
use crate::protocol::{
    CloseOutcome, Config, Message, MessageRef, PreparedMessage, Role, State, Step, Token,
    WriteBuffer,
};
use crate::sync::Arc;
use crate::trace::Trace;

use super::conn::{Conn, Fill};
use super::driver::Driver;
use super::handler::{Connection, HIGH_WATER_BYTES, Handler};
use super::line::ByteStream;
use super::pool;

/// A WebSocket over a byte stream, after the opening handshake. One type for client and server.
///
/// Nothing moves unless it is polled: pings are answered and sent while [`recv`](Self::recv) waits.
/// For reading and writing from different tasks there is [`split`](Self::split), for the fastest
/// server [`run`](Self::run).
///
/// ```
/// # async fn example(mut socket: sockeye::WebSocket<tokio::net::TcpStream>) -> Result<(), sockeye::Error> {
/// while let Some(message) = socket.recv().await? {
///     socket.send(message).await?;
/// }
/// # Ok(()) }
/// ```
///
/// Memory: it is a pointer, so that futures that it is moved through stay small. While it waits it holds neither a read nor a
/// write buffer.
pub struct WebSocket<S: ByteStream>(pub(super) Box<Inner<S>>);

pub(super) struct Inner<S: ByteStream> {
    pub(super) conn: Conn<S>,
    /// The rest of the last read; `at <= end <= block.len()`. Empty while nothing is left.
    pub(super) block: Vec<u8>,
    at: usize,
    pub(super) end: usize,
    pub(super) out: WriteBuffer,
    response: Option<Box<Response<()>>>,
    is_ended: bool,
}

impl<S: ByteStream> WebSocket<S> {
    /// A WebSocket on a stream whose opening handshake was done elsewhere.
    ///
    /// # Panics
    /// For a client, when the operating system has no random numbers for masks.
    pub fn from_stream(stream: S, role: Role, config: &Arc<Config>) -> Self {
        Self::with_input(stream, role, config, Vec::new())
    }

    /// The same, with bytes that were read behind the handshake.
    ///
    /// # Panics
    /// As [`from_stream`](Self::from_stream).
    pub fn with_input(stream: S, role: Role, config: &Arc<Config>, input: Vec<u8>) -> Self {
        let end = input.len();
        Self(Box::new(Inner {
            conn: Conn::new(stream, role, config),
            block: input,
            at: 0,
            end,
            out: WriteBuffer::new(),
            response: None,
            is_ended: false,
        }))
    }

    pub(super) const fn outbox(&self) -> &Arc<crate::outbox::Outbox> {
        &self.0.conn.outbox
    }

    /// Compresses and inflates from now on as was agreed in an opening handshake that was done
    /// elsewhere; how, is in the config's [`deflate`](Config::deflate). Before the first message only.
    #[must_use]
    pub fn with_deflate(mut self, params: &DeflateParams) -> Self {
        self.0.conn.endpoint.set_deflate(params);
        self.0.conn.outbox.set_deflate(params);
        self
    }

    /// What happens is told in this span.
    pub(crate) fn with_trace(self, trace: &Trace) -> Self {
        trace.opened(self.id());
        self.0.conn.outbox.set_trace(trace.clone());
        self
    }

    pub(crate) fn with_response(mut self, response: Response<()>) -> Self {
        self.0.response = Some(Box::new(response));
        self
    }

    /// The next message, owned; `None` when the connection is over. What was fed is written before
    /// it waits.
    ///
    /// # Errors
    /// [`Error::Violation`] when the peer broke the protocol or a limit, [`Error::Io`] and
    /// [`Error::Timeout`] when the connection was lost. They come once, then `None`.
    ///
    /// Cancel safety: dropping the future loses nothing.
    ///
    /// Cost: one allocation and one copy of a message that came in one read; none of a long one.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message, borrowed; `None` when the connection is over. To answer while it is
    /// borrowed, take a [`sender`](Self::sender) before and [`feed`](Sender::feed) it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// Cancel safety: dropping the future loses nothing.
    ///
    /// Cost: no allocation and no copy of a message that came in one read.
    pub async fn recv_ref(&mut self) -> Result<Option<MessageRef<'_>>, Error> {
        let token = poll_fn(|cx| self.poll_data_token(cx)).await?;
        let Some(token) = token else { return Ok(None) };
        // Text in the block was checked by poll_data_token, so neither fails nor is checked twice
        // at a cost that matters.
        let block = &self.0.block[..self.0.end];
        self.0.conn.endpoint.message(block, token).map(Some).map_err(Error::Violation)
    }

    /// Sends a message and writes it out. A close message begins the closing handshake.
    ///
    /// # Errors
    /// [`Error::Closed`] when the closing handshake has begun, [`Error::Io`] or [`Error::Timeout`]
    /// when the connection is lost.
    ///
    /// Cancel safety: a message is sent whole or, if the future was never polled, not at all; one
    /// that was begun goes out with the next send, flush or `recv`.
    ///
    /// Cost: one system call. For several messages, [`feed`](Self::feed) them and flush once.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.feed(message)?;
        self.flush().await
    }

    /// Encodes a message, which is written by the next [`flush`](Self::flush), [`send`](Self::send)
    /// or [`recv`](Self::recv) that waits. Never waits: flush when it says it is much.
    ///
    /// # Errors
    /// [`Error::Closed`] when the closing handshake has begun.
    ///
    /// Cost: one copy of payloads below 16 KiB; no system call.
    pub fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        self.borrow_storage();
        if let Message::Close(frame) = &message
            && self.0.conn.outbox.queued().0 > 0
        {
            // Behind what was fed before and is not encoded.
            self.0.conn.endpoint.check_open().map_err(|_| Error::Closed)?;
            self.0.conn.outbox.append(&mut self.0.out);
            let frame = frame.clone().unwrap_or_else(CloseFrame::normal);
            self.0.conn.outbox.request_close(frame);
            return Ok(());
        }
        if matches!(message, Message::Close(_)) {
            return self
                .0
                .conn
                .endpoint
                .send_owned(&message, &mut self.0.out)
                .map_err(|_| Error::Closed);
        }
        self.connection().send_owned(&message).map_err(|_| Error::Closed)
    }

    /// The same for a message that is borrowed.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_ref<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.borrow_storage();
        self.connection().send(message).map_err(|_| Error::Closed)
    }

    /// The same for a message that was encoded before.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.borrow_storage();
        self.connection().send_prepared(message).map_err(|_| Error::Closed)
    }

    /// What a handler would see: the same rules for what is sent.
    fn connection(&mut self) -> Connection<'_> {
        Connection {
            endpoint: &mut self.0.conn.endpoint,
            out: &mut self.0.out,
            outbox: &self.0.conn.outbox,
        }
    }

    /// Bytes that were fed and are not written yet.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.0.out.len() + self.0.conn.outbox.unwritten() + self.0.conn.outbox.queued().1
    }

    /// Sends a ping of the keepalive now; its pong is waited for as always. For the time there and back:
    /// [`Sender::ping`].
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// Cancel safety: as [`send`](Self::send).
    pub async fn ping(&mut self) -> Result<(), Error> {
        let now_ms = self.0.conn.now_ms();
        self.borrow_storage();
        self.0.conn.endpoint.ping(&mut self.0.out, now_ms);
        self.flush().await
    }

    /// Writes everything out.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Timeout`] when the connection is lost.
    ///
    /// Cancel safety: dropping the future loses nothing; what is left goes out later.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Closes with a code and a reason: sends what waits, does the closing handshake within the close
    /// timeout and ends the stream. Messages that still come are passed over.
    ///
    /// # Errors
    /// [`Error::CloseFrame`] when the code may not be sent or the reason is too long: then nothing
    /// happened. How the closing itself went is in the outcome.
    ///
    /// Cancel safety: once polled the closing has begun; `recv` or `close` carry it on.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<CloseOutcome, Error> {
        let frame = CloseFrame::new(code, reason)?;
        self.0.conn.outbox.request_close(frame);
        poll_fn(|cx| self.poll_closed(cx)).await;
        Ok(self.0.conn.outcome())
    }

    /// Where the connection is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.0.conn.endpoint.state()
    }

    /// How the connection ended, or is about to.
    #[must_use]
    pub fn outcome(&self) -> Option<&CloseOutcome> {
        self.0.conn.endpoint.outcome()
    }

    /// The connection's number, unique in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.conn.outbox.id()
    }

    /// The server's answer to our handshake; `None` on a server.
    #[must_use]
    pub fn response(&self) -> Option<&Response<()>> {
        self.0.response.as_deref()
    }

    /// The subprotocol the server chose; `None` on a server, which chose it itself.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        let header = self.response()?.headers().get(http::header::SEC_WEBSOCKET_PROTOCOL)?;
        header.to_str().ok()
    }

    /// A clonable sender to this connection.
    ///
    /// Over plain TCP and Unix sockets it writes by itself; what it queues else, or
    /// [feeds](Sender::feed), leaves while this connection is polled.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(self.0.conn.outbox.clone())
    }

    /// Runs the connection with a handler: the fastest face. The future is the whole connection;
    /// spawn it.
    pub fn run<H: Handler>(self, handler: H) -> Driver<S, H> {
        let Inner { conn, block, at, end, mut out, .. } = *self.0;
        let input = block.get(at..end).unwrap_or_default().to_vec();
        if !out.is_empty() {
            // What was fed before goes out first.
            conn.outbox.append(&mut out);
        }
        Driver::new(conn, handler, input)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        loop {
            let Some(token) = ready!(self.poll_token(cx))? else {
                return Poll::Ready(Ok(None));
            };
            let block = &self.0.block[..self.0.end];
            let endpoint = &mut self.0.conn.endpoint;
            match token.step {
                Step::TextPiece | Step::BinaryPiece => {}
                Step::Text | Step::Binary if self.0.conn.is_midway => self.0.conn.is_midway = false,
                Step::Text | Step::Binary => match endpoint.take_message(block, token) {
                    Ok(message) => return Poll::Ready(Ok(Some(message))),
                    Err(violation) => {
                        endpoint.fail(violation, &mut self.0.out);
                    }
                },
                step if endpoint.config().control_messages => {
                    let payload = endpoint.payload(block, token);
                    let message = match step {
                        Step::Ping => Message::Ping(bytes::Bytes::copy_from_slice(payload)),
                        Step::Pong => Message::Pong(bytes::Bytes::copy_from_slice(payload)),
                        _ => Message::Close(CloseFrame::parse(payload).ok().flatten()),
                    };
                    return Poll::Ready(Ok(Some(message)));
                }
                _ => {}
            }
        }
    }

    fn poll_data_token(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Token>, Error>> {
        loop {
            let Some(token) = ready!(self.poll_token(cx))? else {
                return Poll::Ready(Ok(None));
            };
            if !matches!(token.step, Step::Text | Step::Binary) {
                continue;
            }
            if std::mem::take(&mut self.0.conn.is_midway) {
                // The end of a message whose reader is gone.
                continue;
            }
            match self.0.conn.endpoint.message(&self.0.block[..self.0.end], token) {
                Ok(_) => return Poll::Ready(Ok(Some(token))),
                Err(violation) => self.0.conn.endpoint.fail(violation, &mut self.0.out),
            };
        }
    }

    /// The next token that is not `More`; `None` when the connection is over.
    pub(super) fn poll_token(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Token>, Error>> {
        loop {
            if !self.0.block.is_empty() {
                ready!(self.poll_relief(cx));
                self.borrow_storage_for_answers();
                let now_ms = self.0.conn.now_ms();
                let input = &mut self.0.block[..self.0.end];
                let token =
                    self.0.conn.endpoint.advance(input, &mut self.0.at, &mut self.0.out, now_ms);
                if token.step == Step::Pong {
                    self.0.conn.handle_pong(&self.0.block[..self.0.end], token);
                }
                if token.step != Step::More {
                    return Poll::Ready(Ok(Some(token)));
                }
                self.give_block_back();
            }
            if self.0.conn.is_over() {
                return self.poll_over(cx);
            }
            if ready!(self.poll_more(cx)) == Fill::End {
                return self.poll_over(cx);
            }
        }
    }

    /// Before another message of a read is handed out, what was fed for those before it is bounded: by
    /// what the peer takes.
    #[inline]
    fn poll_relief(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.out.len() < HIGH_WATER_BYTES && !self.0.conn.is_pressed() {
            return Poll::Ready(());
        }
        loop {
            let _ = self.0.conn.poll_flush(cx, &mut self.0.out);
            if self.0.conn.is_over() || self.0.conn.may_read() {
                return Poll::Ready(());
            }
            self.0.conn.pause();
            if !self.0.conn.handle_timers(cx, &mut self.0.out) {
                return Poll::Pending;
            }
        }
    }

    /// Flushes, then reads.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Fill> {
        loop {
            let _ = self.0.conn.poll_flush(cx, &mut self.0.out);
            pool::put_storage(&mut self.0.out);
            if self.0.conn.is_over() {
                return Poll::Ready(Fill::End);
            }
            if self.0.conn.may_read() {
                self.0.conn.resume();
                let mut block = pool::take_block();
                let fill = self.0.conn.poll_fill(cx, &mut block, &mut self.0.out);
                if let Poll::Ready(Fill::Bytes(len)) = fill {
                    (self.0.block, self.0.at, self.0.end) = (block, 0, len);
                    return fill;
                }
                pool::put_block(block);
                if fill.is_ready() {
                    return fill;
                }
            } else {
                self.0.conn.pause();
            }
            if !self.0.conn.handle_timers(cx, &mut self.0.out) {
                return Poll::Pending;
            }
        }
    }

    /// The end of the stream, then its reason, once.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Token>, Error>> {
        if self.0.is_ended {
            return Poll::Ready(Ok(None));
        }
        let mut block = pool::take_block();
        let ended = self.0.conn.poll_end(cx, &mut self.0.out, &mut block);
        pool::put_block(block);
        ready!(ended);
        pool::put_storage(&mut self.0.out);
        self.0.conn.end_stream();
        self.0.is_ended = true;
        Poll::Ready(match Error::of_cause(self.0.conn.outcome().cause) {
            Some(error) => Err(error),
            None => Ok(None),
        })
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Messages and errors on the way to the end are passed over; the outcome has the reason.
        while !self.0.is_ended {
            let _ = ready!(self.poll_token(cx));
        }
        Poll::Ready(())
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let is_blocked = self.0.conn.poll_flush(cx, &mut self.0.out).is_pending();
            pool::put_storage(&mut self.0.out);
            if self.0.conn.is_over() {
                let cause = self.0.conn.outcome().cause;
                return Poll::Ready(Error::of_cause(cause).map_or(Ok(()), Err));
            }
            if !is_blocked {
                return Poll::Ready(Ok(()));
            }
            // Whoever only writes does not see the pong that lies unread: not the peer's fault.
            self.0.conn.pause();
            if !self.0.conn.handle_timers(cx, &mut self.0.out) {
                return Poll::Pending;
            }
        }
    }

    #[inline]
    fn borrow_storage(&mut self) {
        if self.0.out.capacity() == 0 && self.0.out.is_empty() {
            self.0.out = pool::take_storage();
        }
    }

    /// Answers to pings are written into `out` too, but most reads bring none.
    #[inline]
    fn borrow_storage_for_answers(&mut self) {
        if self.0.at == 0 {
            self.borrow_storage();
        }
    }

    fn give_block_back(&mut self) {
        (self.0.at, self.0.end) = (0, 0);
        pool::put_block(std::mem::take(&mut self.0.block));
    }
}

impl<S: ByteStream> Stream for WebSocket<S> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Result::transpose)
    }
}

impl<S: ByteStream> Sink<Message> for WebSocket<S> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        if this.unflushed() < HIGH_WATER_BYTES {
            Poll::Ready(Ok(()))
        } else {
            Self::poll_flush(this, cx)
        }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.feed(message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.state() == State::Open && !self.0.conn.outbox.is_closed() {
            self.0.conn.outbox.request_close(CloseFrame::normal());
        }
        ready!(self.poll_closed(cx));
        Poll::Ready(Ok(()))
    }
}

/// Nothing of what was sent or received.
impl<S: ByteStream> std::fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocket").field("conn", &self.0.conn).finish_non_exhaustive()
    }
}
