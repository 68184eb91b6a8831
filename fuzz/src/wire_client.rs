//! A client whose peer is written down before: what it says in which pieces, and what it is told.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use sockeye::NetStream;
use sockeye::client::{BoxFuture, Dial, Tls};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use super::source::pieces;

/// No future here takes more.
const POLLS_MAX: usize = 100_000;

/// Gives its pieces, then the end of the stream.
pub(super) struct Peer {
    pieces: VecDeque<Vec<u8>>,
    told: Arc<Mutex<Vec<u8>>>,
}

impl Peer {
    pub(super) fn new(bytes: &[u8], seed: u8) -> Self {
        let pieces = pieces(bytes, seed).into_iter().map(<[u8]>::to_vec).collect();
        Self { pieces, told: Arc::default() }
    }

    /// What it is told, whole only when the client is done.
    pub(super) fn told(&self) -> Arc<Mutex<Vec<u8>>> {
        self.told.clone()
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.told.lock().expect("whole").extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A network with one peer, who is called once.
pub(super) struct OnePeer(Mutex<Option<Peer>>);

impl OnePeer {
    pub(super) fn new(peer: Peer) -> Self {
        Self(Mutex::new(Some(peer)))
    }
}

impl Dial for OnePeer {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![([192, 0, 2, 1], port).into()]) })
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<NetStream>> {
        let peer = self.0.lock().expect("whole").take();
        Box::pin(async move { Ok(NetStream::boxed(peer.expect("called once"))) })
    }
}

/// Whoever wants TLS ends here: the system's certificates would be read by another thread, in real time.
pub(super) struct NoTls;

impl Tls for NoTls {
    fn connect<'a>(&'a self, _: &'a str, _: NetStream) -> BoxFuture<'a, io::Result<NetStream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

/// Polls to the end: nothing here waits.
pub(super) fn finish<F: Future>(future: F) -> F::Output {
    thread_local! {
        /// For timers, none of which runs out.
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| {
        let _inside = runtime.enter();
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        let done = (0..POLLS_MAX).find_map(|_| match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        });
        done.expect("it comes to its end")
    })
}
