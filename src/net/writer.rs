//! A message of unknown length on its way out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::AsyncWrite;

use crate::deflate::{Deflater, put_deflater, take_deflater};
use crate::error::Error;
use crate::frame::{Opcode, Utf8Validator};
use crate::outbox::{Outbox, Piece, SendError, Sender};
use crate::protocol::{DeflateClass, MessageKind};
use crate::sync::Arc;

use super::line::ByteStream;
use super::send::when_room;
use super::websocket::WebSocket;

/// The most that is collected for one fragment, in bytes.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Writes one message piece by piece; its length need not be known.
///
/// What is written is collected to fragments of up to 64 KiB (or
/// [`Config::fragment_bytes_max`](crate::Config::fragment_bytes_max)), compressed where that was agreed
/// on; [`flush`](tokio::io::AsyncWriteExt::flush) sends what there is,
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) sends the last fragment. Pings, pongs and a close
/// pass between the fragments; other messages wait until the message ends.
///
/// **Dropped before `shutdown`** when something of it was sent, the connection closes with 1011: the
/// message cannot be taken back, and the peer must not take its beginning for the whole.
///
/// Errors: [`InvalidData`](io::ErrorKind::InvalidData) for bytes that are not utf-8 in a text,
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the connection is closing or closed.
///
/// Cancel safety: as of [`AsyncWrite`]: nothing that was reported as written is lost.
///
/// Memory: a fragment, and 290 KiB for a compressor while the message lasts.
///
/// Source: RFC 6455 5.4, RFC 7692 6.1.
pub struct MessageWriter {
    outbox: Arc<Outbox>,
    id: u32,
    kind: MessageKind,
    /// Of the next fragment.
    opcode: Opcode,
    buffer: Vec<u8>,
    piece_bytes: usize,
    utf8: Utf8Validator,
    /// `None`: the message is not compressed.
    class: Option<DeflateClass>,
    /// `None` before the first byte.
    deflater: Option<Box<Deflater>>,
    /// Written so far.
    bytes: usize,
    stage: Stage,
}

/// How far the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// What the compressor holds back is in the buffer, to be flushed.
    Flushing,
    /// The same for the last fragment.
    Ending,
    Done,
    /// Its text is not utf-8.
    Broken,
}

impl MessageWriter {
    fn new(outbox: Arc<Outbox>, id: u32, kind: MessageKind) -> Self {
        Self {
            class: outbox.class(),
            deflater: None,
            piece_bytes: outbox.fragment_bytes().min(PIECE_BYTES_MAX),
            outbox,
            id,
            kind,
            opcode: kind.opcode(),
            buffer: Vec::new(),
            utf8: Utf8Validator::new(),
            bytes: 0,
            stage: Stage::Open,
        }
    }

    /// Sends this message without compression, whatever was agreed on. Before the first byte only:
    /// later it has no effect.
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.uncompress();
        self
    }

    fn uncompress(&mut self) {
        if self.opcode != Opcode::Continuation && self.buffer.is_empty() && self.deflater.is_none()
        {
            self.class = None;
        }
    }

    fn poll_accept(&mut self, waker: &Waker, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.stage {
            Stage::Open | Stage::Flushing => self.stage = Stage::Open,
            Stage::Broken => return Poll::Ready(Err(not_text())),
            Stage::Ending | Stage::Done => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        while self.buffer.len() >= self.piece_bytes {
            ready!(self.poll_piece(waker, false))?;
        }
        let bytes = &bytes[..bytes.len().min(self.piece_bytes - self.buffer.len())];
        if self.kind == MessageKind::Text && self.utf8.push(bytes).is_err() {
            self.stage = Stage::Broken;
            return Poll::Ready(Err(not_text()));
        }
        match self.class {
            Some(class) => {
                let take = || take_deflater(class.level, class.window_bits);
                self.deflater.get_or_insert_with(take).push(bytes, &mut self.buffer);
            }
            None => self.buffer.extend_from_slice(bytes),
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_sent(&mut self, waker: &Waker) -> Poll<io::Result<()>> {
        if self.stage == Stage::Open {
            if let Some(deflater) = &mut self.deflater {
                deflater.flush(&mut self.buffer);
            }
            self.stage = Stage::Flushing;
        }
        if self.stage == Stage::Flushing {
            while !self.buffer.is_empty() {
                ready!(self.poll_piece(waker, false))?;
            }
        }
        let flushed = ready!(self.outbox.poll_stream_flushed(self.id, waker));
        if self.stage == Stage::Flushing {
            self.stage = Stage::Open;
        }
        Poll::Ready(flushed.map_err(broken))
    }

    fn poll_finish(&mut self, waker: &Waker) -> Poll<io::Result<()>> {
        match self.stage {
            Stage::Broken => return Poll::Ready(Err(not_text())),
            Stage::Done => return Poll::Ready(Ok(())),
            Stage::Ending => {}
            Stage::Open | Stage::Flushing => {
                if self.kind == MessageKind::Text && !self.utf8.is_complete() {
                    self.stage = Stage::Broken;
                    return Poll::Ready(Err(not_text()));
                }
                if let Some(class) = self.class {
                    let take = || take_deflater(class.level, class.window_bits);
                    self.deflater.get_or_insert_with(take).finish(&[], &mut self.buffer);
                }
                self.stage = Stage::Ending;
            }
        }
        while self.buffer.len() > self.piece_bytes {
            ready!(self.poll_piece(waker, false))?;
        }
        ready!(self.poll_piece(waker, true))?;
        self.stage = Stage::Done;
        self.outbox.note_sent(1, self.bytes);
        self.give_back();
        Poll::Ready(Ok(()))
    }

    /// Sends one fragment from the front of the buffer.
    fn poll_piece(&mut self, waker: &Waker, fin: bool) -> Poll<io::Result<()>> {
        ready!(self.outbox.poll_stream(self.id, waker)).map_err(broken)?;
        let len = self.buffer.len().min(self.piece_bytes);
        let is_first = self.opcode != Opcode::Continuation;
        let is_compressed = is_first && self.class.is_some();
        let payload = &self.buffer[..len];
        let piece = Piece { opcode: self.opcode, fin, is_compressed, payload };
        self.outbox.send_piece(self.id, piece).map_err(broken)?;
        self.opcode = Opcode::Continuation;
        self.buffer.drain(..len);
        Poll::Ready(Ok(()))
    }

    fn give_back(&mut self) {
        if let (Some(class), Some(deflater)) = (self.class, self.deflater.take()) {
            put_deflater(class.level, class.window_bits, deflater);
        }
    }
}

fn broken(error: SendError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

fn not_text() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "text is not utf-8")
}

impl AsyncWrite for MessageWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_accept(cx.waker(), bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(cx.waker())
    }

    /// Sends the last fragment: the message is whole.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(cx.waker())
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        if self.stage != Stage::Done {
            self.outbox.drop_stream(self.id);
        }
    }
}

impl std::fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageWriter")
            .field("kind", &self.kind)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl Sender {
    /// Begins a message that is written piece by piece. It takes its place in the outbox, behind what
    /// waits there; what is sent later waits for its end. When the outbox is full and its policy is to
    /// wait, waits for room up to the policy's timeout.
    ///
    /// The connection has to be driven by somebody: a [`Handler`](crate::Handler), the task of
    /// [`split`](WebSocket::split), or a pending `recv`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// Cancel safety: a future that is dropped has sent nothing.
    pub async fn send_stream(&self, kind: MessageKind) -> Result<MessageWriter, SendError> {
        let outbox = self.current().ok_or(SendError::Closed)?;
        let id = when_room(&outbox, 0, |ticket| outbox.open_stream(ticket)).await?;
        Ok(MessageWriter::new(outbox, id, kind))
    }
}

impl<S: ByteStream> WebSocket<S> {
    /// Begins a message that is written piece by piece, after what was fed. The writer drives the
    /// connection while it writes; it does not read.
    ///
    /// ```
    /// # async fn example(mut socket: sockeye::WebSocket<tokio::net::TcpStream>) -> Result<(), Box<dyn std::error::Error>> {
    /// use sockeye::MessageKind;
    /// use tokio::io::AsyncWriteExt;
    ///
    /// let mut file = tokio::fs::File::open("video.mp4").await?;
    /// let mut writer = socket.send_stream(MessageKind::Binary)?;
    /// tokio::io::copy(&mut file, &mut writer).await?;
    /// writer.shutdown().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] when the closing handshake has begun; [`Error::Send`] when the outbox is full
    /// of what senders have queued.
    pub fn send_stream(&mut self, kind: MessageKind) -> Result<SocketWriter<'_, S>, Error> {
        self.0.conn.endpoint.check_open().map_err(|_| Error::Closed)?;
        self.0.conn.outbox.append(&mut self.0.out);
        let id = self.0.conn.outbox.open_stream(None)?;
        let message = MessageWriter::new(self.0.conn.outbox.clone(), id, kind);
        Ok(SocketWriter { message, socket: self })
    }
}

/// A [`MessageWriter`] that drives its connection, too.
#[derive(Debug)]
pub struct SocketWriter<'a, S: ByteStream> {
    message: MessageWriter,
    socket: &'a mut WebSocket<S>,
}

impl<S: ByteStream> SocketWriter<'_, S> {
    /// As [`MessageWriter::uncompressed`].
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.message.uncompress();
        self
    }

    /// Does a step of the message, and where it has to wait, what the connection can do.
    fn poll_step<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut step: impl FnMut(&mut MessageWriter, &Waker) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if let Poll::Ready(result) = step(&mut self.message, cx.waker()) {
            return Poll::Ready(result);
        }
        ready!(self.socket.poll_flush(cx))?;
        step(&mut self.message, cx.waker())
    }
}

impl<S: ByteStream> AsyncWrite for SocketWriter<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_step(cx, |message, waker| message.poll_accept(waker, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_step(cx, MessageWriter::poll_sent))?;
        self.socket.poll_flush(cx).map_err(io::Error::from)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_step(cx, MessageWriter::poll_finish))?;
        self.socket.poll_flush(cx).map_err(io::Error::from)
    }
}
