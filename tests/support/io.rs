//! Byte streams of one behaviour, and raw peers that write frames by hand.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use sockeye::frame::{Frame, Opcode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Gives the same bytes for ever and takes whatever is written; says whether it was shut down.
#[derive(Debug)]
pub(crate) struct Endless {
    bytes: Vec<u8>,
    at: usize,
    pub(crate) is_shut: Arc<AtomicBool>,
}

impl Endless {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0, is_shut: Arc::default() }
    }
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // As every stream of tokio: a task that never waits is made to.
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        coop.made_progress();
        while buf.remaining() > 0 {
            let rest = &self.bytes[self.at..];
            let len = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..len]);
            self.at = (self.at + len) % self.bytes.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut.store(true, Ordering::Release);
        Poll::Ready(Ok(()))
    }
}

/// One end of a TCP connection, in memory. Closed over unread input, or sent more after it was closed, it
/// resets; a reset destroys what the peer has not read yet.
#[derive(Debug)]
pub(crate) struct Resetting {
    wire: Arc<Mutex<Wire>>,
}

/// The other end. It acts when it is told to and waits for nothing.
#[derive(Debug)]
pub(crate) struct ResettingPeer {
    wire: Arc<Mutex<Wire>>,
}

#[derive(Debug, Default)]
struct Wire {
    from_peer: VecDeque<u8>,
    to_peer: Vec<u8>,
    reader: Option<Waker>,
    is_peer_done: bool,
    is_closed: bool,
    is_reset: bool,
}

impl Wire {
    fn reset(&mut self) {
        self.is_reset = true;
        self.to_peer.clear();
    }
}

impl Resetting {
    /// Few bytes come in one read, so that a reader has to go on to have all.
    const READ_BYTES_MAX: usize = 1000;

    pub(crate) fn pair() -> (Self, ResettingPeer) {
        let wire = Arc::<Mutex<Wire>>::default();
        (Self { wire: wire.clone() }, ResettingPeer { wire })
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap()
    }
}

impl ResettingPeer {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap()
    }

    fn wake(reader: Option<Waker>) {
        reader.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut wire = self.wire();
        if wire.is_closed {
            return wire.reset();
        }
        wire.from_peer.extend(bytes);
        let reader = wire.reader.take();
        drop(wire);
        Self::wake(reader);
    }

    /// Nothing more is sent.
    pub(crate) fn end(&self) {
        let mut wire = self.wire();
        wire.is_peer_done = true;
        let reader = wire.reader.take();
        drop(wire);
        Self::wake(reader);
    }

    /// What has come and was not destroyed.
    pub(crate) fn read(&self) -> Vec<u8> {
        std::mem::take(&mut self.wire().to_peer)
    }

    /// How much of what was sent nobody has read.
    pub(crate) fn unread(&self) -> usize {
        self.wire().from_peer.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.wire().is_closed
    }
}

impl AsyncRead for Resetting {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        if wire.from_peer.is_empty() && !wire.is_peer_done {
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = wire.from_peer.len().min(buf.remaining()).min(Self::READ_BYTES_MAX);
        wire.from_peer.drain(..len).for_each(|byte| buf.put_slice(&[byte]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Resetting {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire().to_peer.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Resetting {
    fn drop(&mut self) {
        let mut wire = self.wire();
        wire.is_closed = true;
        if !wire.from_peer.is_empty() {
            wire.reset();
        }
    }
}

/// A peer by hand: frames out, frames in, nothing answered by itself.
#[derive(Debug)]
pub(crate) struct RawPeer<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
    masks: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawPeer<S> {
    /// A client: its frames are masked.
    pub(crate) fn client(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), masks: true }
    }

    /// A server: its frames are not masked.
    pub(crate) fn server(stream: S) -> Self {
        Self { masks: false, ..Self::client(stream) }
    }

    /// Bytes that were read behind a handshake.
    pub(crate) fn with_input(mut self, input: Vec<u8>) -> Self {
        self.buffer = input;
        self
    }

    pub(crate) fn encode(&self, frame: Frame) -> Vec<u8> {
        if self.masks { frame.masked([0xa5, 0x3c, 0x5a, 0x99]).encode() } else { frame.encode() }
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        let bytes = self.encode(frame);
        self.write(&bytes).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("open");
    }

    /// The next frame; `None` at the end of the stream, however it ended.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = Frame::decode(&self.buffer).expect("a lawful frame") {
                self.buffer.drain(..len);
                assert_eq!(frame.mask_key.is_some(), !self.masks, "only a client masks");
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => {
                    assert!(self.buffer.is_empty(), "the stream ends inside a frame");
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    /// The next frame that is neither ping nor pong.
    pub(crate) async fn data(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if !matches!(frame.opcode, Opcode::Ping | Opcode::Pong) {
                return Some(frame);
            }
        }
    }

    /// Passes over everything to the close frame; its code.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            let frame = self.frame().await?;
            if frame.opcode == Opcode::Close {
                let code = frame.payload.first_chunk::<2>();
                return Some(code.map_or(1005, |code| u16::from_be_bytes(*code)));
            }
        }
    }
}
