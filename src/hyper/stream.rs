//! The stream behind an answer of hyper's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::net::NetStream;

/// The most that is given to a stream of HTTP/2 at a time, in bytes: a frame of the length that everybody takes. hyper takes
/// each write whole and keeps some four of them while the peer's window is closed, beyond the outbox and its bound, and also
/// when the WebSocket has ended. Source: RFC 9113 6.5.2.
///
/// It is paid for (benches/http2.rs, both ends on one thread, several runs on a busy machine): 64 messages of 1 KiB in flight cost 2.8 to
/// 3.5 times what they do over HTTP/1.1, and 1.9 to 2.4 times with writes of 64 KiB, of which hyper would keep 256 KiB a stream; those of
/// 64 KiB 2.9 to 3.7 times, and 2.4 to 2.6.
const WRITE_BYTES_MAX: usize = 16 * 1024;

/// The stream, and what was read of it already. Plain TCP is taken out of what hyper has around it.
pub(super) async fn stream_of(on_upgrade: OnUpgrade) -> Result<(NetStream, Vec<u8>), hyper::Error> {
    type Tcp = TokioIo<TcpStream>;
    let upgraded = on_upgrade.await?;
    let upgraded = match upgraded.downcast::<Tcp>() {
        Ok(Parts { io, read_buf, .. }) => return Ok((io.into_inner().into(), read_buf.into())),
        Err(upgraded) => upgraded,
    };
    // What serves both versions of HTTP has one more layer.
    Ok(match auto::upgrade::downcast::<Tcp>(upgraded) {
        Ok(parts) => (parts.io.into_inner().into(), parts.read_buf.into()),
        Err(upgraded) => (boxed(upgraded), Vec::new()),
    })
}

/// Any other stream.
pub(super) fn boxed(upgraded: Upgraded) -> NetStream {
    NetStream::boxed(InPieces(TokioIo::new(upgraded)))
}

/// Writes in pieces, but to what takes many slices at once: that is no stream of HTTP/2.
struct InPieces(TokioIo<Upgraded>);

impl AsyncRead for InPieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for InPieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = if self.0.is_write_vectored() { usize::MAX } else { WRITE_BYTES_MAX };
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(most)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.0.is_write_vectored() {
            return Pin::new(&mut self.0).poll_write_vectored(cx, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
