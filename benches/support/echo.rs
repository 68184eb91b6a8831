//! Connections over a stream in memory, driven by hand a read at a time: what a message costs without the
//! kernel, with each of the faces.

// Each benchmark and test uses a part of it.
#![allow(dead_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use sockeye::frame::Frame;
use sockeye::protocol::Role;
use sockeye::{Config, Connection, Handler, MessageRef, WebSocket};

/// Gives the same bytes again and again, in one read where it has room for them, and takes whatever is written.
pub(crate) struct Belt {
    read: Vec<u8>,
    /// What of them was read.
    at: usize,
    tally: Arc<Tally>,
}

/// What passed a [`Belt`].
#[derive(Default)]
pub(crate) struct Tally {
    /// Reads that are there: with none the stream waits.
    ready: AtomicUsize,
    writes: AtomicUsize,
    bytes: AtomicUsize,
}

impl Tally {
    /// Calls of write so far, and their bytes.
    pub(crate) fn written(&self) -> (usize, usize) {
        (self.writes.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn take(&self, bytes: usize) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncRead for Belt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.tally.ready.load(Ordering::Relaxed) == 0 {
            return Poll::Pending;
        }
        let end = self.read.len().min(self.at + buf.remaining());
        buf.put_slice(&self.read[self.at..end]);
        self.at = end;
        if end == self.read.len() {
            self.tally.ready.fetch_sub(1, Ordering::Relaxed);
            self.at = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Belt {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.tally.take(bytes.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tally.take(slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// How a server takes and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// `run` with a handler.
    Handler,
    /// `recv_ref`, and a sender to feed.
    Borrowed,
    /// `recv` and `feed`.
    Owned,
}

pub(crate) const FACES: [Face; 3] = [Face::Handler, Face::Borrowed, Face::Owned];

/// A server's connection that is polled by hand. It needs a runtime to be entered, for its deadlines.
pub(crate) struct Driven {
    connection: Pin<Box<dyn Future<Output = ()>>>,
    pub(crate) tally: Arc<Tally>,
}

impl Driven {
    /// An echo of what a client sends at once: these frames.
    pub(crate) fn echo(face: Face, read: Vec<u8>) -> Self {
        Self::new(read, |belt| {
            let socket = WebSocket::from_stream(belt, Role::Server, &Arc::new(Config::default()));
            echo(face, socket)
        })
    }

    /// Anything on such a stream.
    pub(crate) fn new(
        read: Vec<u8>,
        connection: impl FnOnce(Belt) -> Pin<Box<dyn Future<Output = ()>>>,
    ) -> Self {
        let tally = Arc::<Tally>::default();
        let belt = Belt { read, at: 0, tally: tally.clone() };
        Self { connection: connection(belt), tally }
    }

    /// The bytes once, and all that comes of them.
    pub(crate) fn turn(&mut self) {
        self.tally.ready.store(1, Ordering::Relaxed);
        self.poll();
        assert_eq!(self.tally.ready.load(Ordering::Relaxed), 0, "it was read");
    }

    /// What waits to be written leaves.
    pub(crate) fn poll(&mut self) {
        let polled = self.connection.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the connection goes on");
    }
}

/// The server's side of an echo.
pub(crate) fn echo<S>(face: Face, mut socket: WebSocket<S>) -> Pin<Box<dyn Future<Output = ()>>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match face {
        Face::Handler => {
            let driver = socket.run(Echo);
            Box::pin(async move { drop(driver.await) })
        }
        Face::Borrowed => Box::pin(async move {
            let sender = socket.sender();
            while let Ok(Some(message)) = socket.recv_ref().await {
                sender.feed(message).expect("an open connection");
            }
        }),
        Face::Owned => Box::pin(async move {
            while let Ok(Some(message)) = socket.recv().await {
                socket.feed(message).expect("an open connection");
            }
        }),
    }
}

/// Sends every message back.
pub(crate) struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        connection.send(message).expect("an open connection");
    }
}

/// Takes what comes and says nothing.
pub(crate) struct Ignore;

impl Handler for Ignore {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// So many frames as a client sends them.
pub(crate) fn masked(frame: &Frame, count: usize) -> Vec<u8> {
    frame.clone().masked([0xa5, 0x3c, 0x5a, 0x99]).encode().repeat(count)
}
