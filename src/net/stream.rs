//! What is beneath a connection.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::line::ByteStream;

/// The stream a client dialled or a server accepted: TCP, a Unix socket, or anything else, such as TLS on
/// one of them.
///
/// One type, so that neither need know when it is written whether there will be TLS. Plain TCP and Unix
/// sockets cost no more here than by themselves: a [`WebSocket`](super::WebSocket) takes them out.
pub struct NetStream(Kind);

pub(super) enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Boxed(Box<dyn ByteStream>),
}

impl NetStream {
    /// Any byte stream, behind a pointer.
    pub fn boxed(stream: impl ByteStream) -> Self {
        Self(Kind::Boxed(Box::new(stream)))
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// Those of the system; `Unsupported` where there are no Unix sockets.
    ///
    /// Cancel safety: dropping the future drops the connection.
    #[cfg(unix)]
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        Ok(UnixStream::connect(path).await?.into())
    }

    /// Connects to a Unix socket, which this system has not.
    ///
    /// # Errors
    /// Always `Unsupported`.
    #[cfg(not(unix))]
    pub async fn connect_unix(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn into_kind(self) -> Kind {
        self.0
    }

    fn as_io(&mut self) -> Pin<&mut dyn ByteStream> {
        match &mut self.0 {
            Kind::Tcp(tcp) => Pin::new(tcp),
            #[cfg(unix)]
            Kind::Unix(unix) => Pin::new(unix),
            Kind::Boxed(stream) => Pin::new(&mut **stream),
        }
    }
}

impl From<TcpStream> for NetStream {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

#[cfg(unix)]
impl From<UnixStream> for NetStream {
    fn from(stream: UnixStream) -> Self {
        Self(Kind::Unix(stream))
    }
}

impl From<Kind> for NetStream {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl AsyncRead for NetStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().as_io().poll_read(cx, buf)
    }
}

impl AsyncWrite for NetStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().as_io().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().as_io().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Tcp(tcp) => tcp.is_write_vectored(),
            #[cfg(unix)]
            Kind::Unix(unix) => unix.is_write_vectored(),
            Kind::Boxed(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().as_io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().as_io().poll_shutdown(cx)
    }
}

impl fmt::Debug for NetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Tcp(_) => "Tcp",
            #[cfg(unix)]
            Kind::Unix(_) => "Unix",
            Kind::Boxed(_) => "Boxed",
        };
        f.debug_tuple("NetStream").field(&format_args!("{kind}")).finish()
    }
}
