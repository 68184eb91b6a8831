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

/// A listener, whatever its kind. Asking through a pointer costs nothing beside the system call.
pub(super) trait Listen: Debug + Send + Sync + 'static {
    /// Accepts the next connection. One task at a time.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>>;

    /// The address it listens on.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The path of a Unix socket.
    fn unix_path(&self) -> Option<&Path>;
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

    fn unix_path(&self) -> Option<&Path> {
        None
    }
}
