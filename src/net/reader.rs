//! One incoming message, read as it comes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::error::Error;
use crate::frame::Opcode;
use crate::protocol::{MessageKind, Step, Token};

use super::line::ByteStream;
use super::websocket::WebSocket;

impl<S: ByteStream> WebSocket<S> {
    /// The next message, to be read as it comes: a message of any length in constant memory. `None`
    /// when the connection is over.
    ///
    /// ```
    /// # async fn example(mut socket: sockeye::WebSocket<tokio::net::TcpStream>) -> Result<(), Box<dyn std::error::Error>> {
    /// while let Some(mut message) = socket.recv_stream().await? {
    ///     let mut file = tokio::fs::File::create("upload").await?;
    ///     tokio::io::copy(&mut message, &mut file).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// Cancel safety: dropping the future loses nothing.
    ///
    /// Source: RFC 6455 5.4.
    pub async fn recv_stream(&mut self) -> Result<Option<MessageReader<'_, S>>, Error> {
        let token = poll_fn(|cx| self.poll_piece(cx, true)).await?;
        let Some(token) = token else { return Ok(None) };
        let kind = match token.step {
            Step::Text | Step::TextPiece => MessageKind::Text,
            _ => MessageKind::Binary,
        };
        Ok(Some(MessageReader { socket: self, kind, token, at: token.start }))
    }

    /// The next piece of a message: of the one that is being read, or of a new one.
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        is_new: bool,
    ) -> Poll<Result<Option<Token>, Error>> {
        loop {
            self.0.conn.endpoint.set_streaming(true);
            let polled = self.poll_token(cx);
            // A `recv` after this one was dropped wants whole messages.
            self.0.conn.endpoint.set_streaming(false);
            let Some(token) = ready!(polled)? else {
                return Poll::Ready(Ok(None));
            };
            let is_last = matches!(token.step, Step::Text | Step::Binary);
            if !is_last && !matches!(token.step, Step::TextPiece | Step::BinaryPiece) {
                continue;
            }
            let was_midway = std::mem::replace(&mut self.0.conn.is_midway, !is_last);
            if is_new && was_midway {
                // Of a message whose reader is gone.
                self.0.conn.is_midway = !is_last;
                continue;
            }
            if is_last
                && !was_midway
                && let Err(violation) =
                    self.0.conn.endpoint.message(&self.0.block[..self.0.end], token)
            {
                self.0.conn.endpoint.fail(violation, &mut self.0.out);
                continue;
            }
            // While the application works on the piece, the peer's silence is not its fault.
            self.0.conn.pause();
            return Poll::Ready(Ok(Some(token)));
        }
    }
}

/// Reads one message as it comes: across fragments, inflated, its text checked up to where it was read.
///
/// Pings are answered, and the limits on a message's length, fragments and time hold, while it is
/// being read; in between the clock stands still for the peer. Dropped half-read, the rest of the
/// message is passed over by the next `recv`.
///
/// Errors: [`InvalidData`](io::ErrorKind::InvalidData) with an [`Error::Violation`] inside when the
/// peer broke the protocol or a limit, [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the
/// connection ended in the middle.
///
/// Cancel safety: as of [`AsyncRead`]: a read that was not ready has taken nothing.
///
/// Memory: nothing beyond one read, or 16 KiB of what came out of the inflater.
#[derive(Debug)]
pub struct MessageReader<'a, S: ByteStream> {
    socket: &'a mut WebSocket<S>,
    kind: MessageKind,
    /// The current piece; `token.start <= at <= token.end`.
    token: Token,
    at: usize,
}

impl<S: ByteStream> MessageReader<'_, S> {
    /// Text or binary.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The same as the opcode of the message's first frame.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        self.kind.opcode()
    }

    /// The next bytes of the message, where they lie; `None` at its end. Of a text, characters may be
    /// cut.
    ///
    /// # Errors
    /// As of reading.
    ///
    /// Cancel safety: dropping the future loses nothing.
    pub async fn chunk(&mut self) -> io::Result<Option<&[u8]>> {
        if !poll_fn(|cx| self.poll_filled(cx)).await? {
            return Ok(None);
        }
        let start = std::mem::replace(&mut self.at, self.token.end);
        let skip = start - self.token.start;
        Ok(Some(&self.piece()[skip..]))
    }

    fn piece(&self) -> &[u8] {
        self.socket.0.conn.endpoint.payload(&self.socket.0.block[..self.socket.0.end], self.token)
    }

    /// Whether there is something to read; false at the end of the message.
    fn poll_filled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.at == self.token.end {
            if matches!(self.token.step, Step::Text | Step::Binary) {
                return Poll::Ready(Ok(false));
            }
            match ready!(self.socket.poll_piece(cx, false)) {
                Ok(Some(token)) => (self.token, self.at) = (token, token.start),
                Ok(None) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl<S: ByteStream> AsyncRead for MessageReader<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 || !ready!(this.poll_filled(cx))? {
            return Poll::Ready(Ok(()));
        }
        let skip = this.at - this.token.start;
        let piece = &this.piece()[skip..];
        let len = piece.len().min(buf.remaining());
        buf.put_slice(&piece[..len]);
        this.at += len;
        Poll::Ready(Ok(()))
    }
}
