//! The byte stream under a connection.

use std::any::Any;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::outbox::WriteNow;
use crate::sync::Arc;

use super::stream::{Kind, NetStream};

/// Any byte stream a WebSocket can run on: TCP, Unix sockets, TLS, an in-memory pipe.
///
/// Implemented for all that fit; there is nothing to implement by hand.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> ByteStream for S {}

/// A stream that senders can write to themselves, or one that only its connection can use.
#[derive(Debug)]
pub(super) enum Line<S> {
    Tcp(Arc<TcpStream>),
    #[cfg(unix)]
    Unix(Arc<UnixStream>),
    Own(Box<S>),
    /// A socket that was closed.
    Gone,
}

impl<S: ByteStream> Line<S> {
    pub(super) fn new(stream: S) -> Self {
        let mut slot = Some(stream);
        if let Some(tcp) = take_as::<S, TcpStream>(&mut slot) {
            return Self::Tcp(Arc::new(tcp));
        }
        #[cfg(unix)]
        if let Some(unix) = take_as::<S, UnixStream>(&mut slot) {
            return Self::Unix(Arc::new(unix));
        }
        let any: &mut dyn Any = &mut slot;
        if let Some(slot) = any.downcast_mut::<Option<NetStream>>() {
            match slot.take().map(NetStream::into_kind) {
                Some(Kind::Tcp(tcp)) => return Self::Tcp(Arc::new(tcp)),
                #[cfg(unix)]
                Some(Kind::Unix(unix)) => return Self::Unix(Arc::new(unix)),
                Some(kind) => *slot = Some(kind.into()),
                None => {}
            }
        }
        // Nobody took it, so it is still there.
        match slot {
            Some(stream) => Self::Own(Box::new(stream)),
            None => unreachable!("a stream is of one type"),
        }
    }

    /// The line for senders, where they can write themselves.
    pub(super) fn direct(&self) -> Option<Arc<dyn WriteNow>> {
        match self {
            Self::Tcp(tcp) => Some(tcp.clone()),
            #[cfg(unix)]
            Self::Unix(unix) => Some(unix.clone()),
            Self::Own(_) | Self::Gone => None,
        }
    }

    /// Whether senders can write to it themselves.
    pub(super) const fn is_direct(&self) -> bool {
        !matches!(self, Self::Own(_))
    }

    /// Reads what is there into the block; 0 at the end of the stream.
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        block: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => loop {
                ready!(tcp.poll_read_ready(cx))?;
                let read = |into: &mut [u8]| (&*SockRef::from(&**tcp)).read(into);
                if let Some(result) = read_ready(block, read, |f| tcp.try_io(Interest::READABLE, f))
                {
                    return Poll::Ready(result);
                }
            },
            #[cfg(unix)]
            Self::Unix(unix) => loop {
                ready!(unix.poll_read_ready(cx))?;
                let read = |into: &mut [u8]| (&*SockRef::from(&**unix)).read(into);
                if let Some(result) =
                    read_ready(block, read, |f| unix.try_io(Interest::READABLE, f))
                {
                    return Poll::Ready(result);
                }
            },
            Self::Own(stream) => {
                let mut buf = ReadBuf::new(block);
                ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
                Poll::Ready(Ok(buf.filled().len()))
            }
            Self::Gone => Poll::Ready(Ok(0)),
        }
    }

    /// Reads at most `limit` bytes into the spare room of `buffer`; 0 at the end of the stream.
    pub(super) fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        // chunk_mut() of a full buffer grows it by a little only, so the room is taken as it is.
        let spare = (buffer.capacity() - buffer.len()).max(1);
        let mut room = buffer.limit(limit.min(spare));
        match self {
            Self::Tcp(tcp) => loop {
                ready!(tcp.poll_read_ready(cx))?;
                match tcp.try_read_buf(&mut room) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            },
            #[cfg(unix)]
            Self::Unix(unix) => loop {
                ready!(unix.poll_read_ready(cx))?;
                match unix.try_read_buf(&mut room) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            },
            Self::Own(stream) => pin!(stream.read_buf(&mut room)).poll(cx),
            Self::Gone => Poll::Ready(Ok(0)),
        }
    }

    /// One write; `WouldBlock` when it would wait. Only a stream of its own registers the waker.
    pub(super) fn write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write_now(slices),
            #[cfg(unix)]
            Self::Unix(unix) => unix.write_now(slices),
            Self::Own(stream) => match Pin::new(stream).poll_write_vectored(cx, slices) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            },
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits until a socket takes more. A stream of its own registered the waker when it refused.
    pub(super) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_write_ready(cx),
            #[cfg(unix)]
            Self::Unix(unix) => unix.poll_write_ready(cx),
            Self::Own(_) => Poll::Pending,
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Flushes what a stream of its own holds back.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Own(stream) => Pin::new(stream).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Closes a socket at once; a stream of its own was shut down before.
    pub(super) fn end(&mut self) {
        if self.is_direct() {
            *self = Self::Gone;
        }
    }

    /// Nothing more is written: FIN, or close_notify.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Poll::Ready(SockRef::from(&**tcp).shutdown(Shutdown::Write)),
            #[cfg(unix)]
            Self::Unix(unix) => Poll::Ready(SockRef::from(&**unix).shutdown(Shutdown::Write)),
            Self::Own(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// One read of a socket that is said to be readable.
///
/// A short read has emptied the socket: reporting it to tokio as `WouldBlock` clears the readiness
/// and saves the system call that would only say the same. `None`: it was not readable.
#[inline]
fn read_ready(
    block: &mut [u8],
    read: impl Fn(&mut [u8]) -> io::Result<usize>,
    try_io: impl FnOnce(&mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize>,
) -> Option<io::Result<usize>> {
    let mut short = 0;
    let result = try_io(&mut || match read(block) {
        Ok(n) if n > 0 && n < block.len() => {
            short = n;
            Err(io::ErrorKind::WouldBlock.into())
        }
        result => result,
    });
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => (short > 0).then_some(Ok(short)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
        result => Some(result),
    }
}

/// The stream, if it is a `T`. No specialisation, no allocation: the slot is looked at as `Any`.
fn take_as<S: 'static, T: 'static>(slot: &mut Option<S>) -> Option<T> {
    let any: &mut dyn Any = slot;
    any.downcast_mut::<Option<T>>().and_then(Option::take)
}

impl WriteNow for TcpStream {
    #[inline]
    fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.try_write(one),
            many => self.try_write_vectored(many),
        }
    }
}

#[cfg(unix)]
impl WriteNow for UnixStream {
    #[inline]
    fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.try_write(one),
            many => self.try_write_vectored(many),
        }
    }
}
