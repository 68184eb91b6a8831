//! How much one poll of a connection does while its peer never pauses.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use sockeye::deflate::DeflateParams;
use sockeye::frame::Opcode;
use sockeye::{Connection, Deflate, Handler, MessageRef, Role, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::deflate::{compressed, config};
use crate::support::pair::to;
use crate::support::server::within;

/// More reads than any turn has.
const READS_MAX: usize = 10_000;

/// A peer whose bytes are always there: it sends them again and again, then ends.
struct Endless {
    bytes: Vec<u8>,
    reads: Arc<AtomicUsize>,
}

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads.fetch_add(1, Ordering::Relaxed) < READS_MAX {
            buf.put_slice(&self.bytes);
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
        Poll::Ready(Ok(()))
    }
}

struct Count(Arc<AtomicUsize>);

impl Handler for Count {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Row 31: compressed messages of blocks with nothing in them, as many as can be read, do not hold the thread: after
/// some reads the connection lets others run, and goes on later, until it has all.
#[tokio::test]
async fn row_31_a_turn_has_an_end() {
    let mut blocks = [0, 0, 0, 0xff, 0xff].repeat(1000);
    blocks.push(0);
    let bytes = to(Role::Server, &[compressed(Opcode::Binary, blocks)]);
    let (reads, messages) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let stream = Endless { bytes, reads: reads.clone() };
    let params = DeflateParams {
        own_no_context: true,
        peer_no_context: true,
        own_window_bits: 15,
        peer_window_bits: 15,
    };
    let config = Arc::new(config(Deflate::no_context()));
    let socket = WebSocket::from_stream(stream, Role::Server, &config).with_deflate(&params);
    let mut driver = pin!(socket.run(Count(messages.clone())));
    let mut most = 0;
    let driving = poll_fn(|cx| {
        let before = reads.load(Ordering::Relaxed);
        let polled = driver.as_mut().poll(cx);
        most = most.max(reads.load(Ordering::Relaxed) - before);
        polled
    });
    let outcome = within(driving).await;
    assert_eq!(outcome.code.as_u16(), 1006, "the stream ended");
    assert_eq!(messages.load(Ordering::Relaxed), READS_MAX);
    assert!((1..=32).contains(&most), "{most} reads in one poll");
}
