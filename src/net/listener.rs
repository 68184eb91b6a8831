//! What a server accepts connections on.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll, ready};

use tokio::net::TcpListener;

use super::stream::NetStream;

/// Connections the kernel keeps ready for us.
pub(super) const BACKLOG: i32 = 1024;

/// A connection, and where it comes from; `None` on listeners without addresses.
pub(super) type Accepted = (NetStream, Option<SocketAddr>);

/// What a [`Server`](super::Server) accepts connections on, where it is no TCP and no Unix socket of the system: one that a
/// supervisor hands over, another network stack, memory, a simulated network.
///
/// Asking it costs a call through a pointer.
///
/// ```
/// use std::io;
/// use std::net::SocketAddr;
/// use std::task::{Context, Poll};
///
/// use sockeye::net::Listen;
/// use sockeye::{NetStream, Server};
/// use tokio::io::DuplexStream;
/// use tokio::sync::mpsc;
///
/// /// Whoever has the other end of the channel connects by sending one end of a pipe.
/// #[derive(Debug)]
/// struct Pipes(mpsc::Receiver<DuplexStream>);
///
/// impl Listen for Pipes {
///     fn poll_accept(
///         &mut self,
///         cx: &mut Context<'_>,
///     ) -> Poll<io::Result<(NetStream, Option<SocketAddr>)>> {
///         self.0.poll_recv(cx).map(|pipe| match pipe {
///             Some(pipe) => Ok((NetStream::boxed(pipe), None)),
///             None => Err(io::ErrorKind::BrokenPipe.into()),
///         })
///     }
/// }
///
/// let (connect, pipes) = mpsc::channel(16);
/// let server = Server::on(Pipes(pipes));
/// # drop((connect, server));
/// ```
pub trait Listen: Debug + Send + Sync + 'static {
    /// Accepts the next connection, and tells where it comes from: `None` where there are no addresses, and then limits on
    /// addresses do not hold and no header of a proxy is believed. One task at a time asks.
    ///
    /// # Errors
    /// `ConnectionAborted`, `ConnectionReset` and `Interrupted` are of one connection, and the next one is asked for at once. Where
    /// the system is short of descriptors or memory (`EMFILE` and its like) the server waits a moment. Every other
    /// error ends it.
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(NetStream, Option<SocketAddr>)>>;

    /// The address it listens on.
    ///
    /// # Errors
    /// `AddrNotAvailable` where it has none, which is the default.
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "this listener has no address"))
    }

    /// The path of a Unix socket; `None` for all others, which is the default.
    fn unix_path(&self) -> Option<&Path> {
        None
    }
}

/// TCP.
#[derive(Debug)]
pub(super) struct Tcp {
    listener: TcpListener,
    /// On most systems accepted sockets have the listener's options: asking once saves a call each.
    inherits_nodelay: Option<bool>,
}

impl Tcp {
    pub(super) const fn new(listener: TcpListener) -> Self {
        Self { listener, inherits_nodelay: None }
    }
}

impl Listen for Tcp {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (stream, peer) = ready!(self.listener.poll_accept(cx))?;
        if !*self.inherits_nodelay.get_or_insert_with(|| stream.nodelay().unwrap_or(false)) {
            // Small frames must not wait for each other; a socket that refuses still works.
            let _ = stream.set_nodelay(true);
        }
        Poll::Ready(Ok((stream.into(), Some(peer))))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
