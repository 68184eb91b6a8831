//! A connection whose peer takes just as many bytes as a test lets it, polled by hand.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use sockeye::{CloseOutcome, Config, Role, Sender, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::streams::Ignore;

/// What a peer has taken, and how much more it takes.
#[derive(Debug, Default)]
struct Peer {
    allowed: usize,
    taken: Vec<u8>,
}

#[derive(Debug)]
struct Stream(Arc<Mutex<Peer>>);

/// A server whose handler is silent, and its peer.
pub(crate) struct Gate {
    pub(crate) sender: Sender,
    peer: Arc<Mutex<Peer>>,
    driver: Pin<Box<dyn Future<Output = CloseOutcome>>>,
}

impl Gate {
    /// Inside of a runtime.
    pub(crate) fn new(config: Config) -> Self {
        let peer = Arc::<Mutex<Peer>>::default();
        let socket = WebSocket::from_stream(Stream(peer.clone()), Role::Server, &Arc::new(config));
        let sender = socket.sender();
        Self { sender, peer, driver: Box::pin(socket.run(Ignore)) }
    }

    /// The peer takes so many bytes more.
    pub(crate) fn allow(&mut self, bytes: usize) {
        let mut peer = self.peer.lock().unwrap();
        peer.allowed = peer.allowed.saturating_add(bytes);
        drop(peer);
        self.poll();
    }

    pub(crate) fn poll(&mut self) {
        let _ = self.driver.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }

    /// What the peer has taken since the last time.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.peer.lock().unwrap().taken)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut peer = self.0.lock().unwrap();
        let len = bytes.len().min(peer.allowed);
        if len == 0 {
            return Poll::Pending;
        }
        peer.allowed -= len;
        peer.taken.extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
