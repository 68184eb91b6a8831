//! A listener whose connections it owns.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::sync::Arc;

use super::acceptor::{Acceptor, BUSY_RETRY_AFTER, Client, refuse};
use super::listener::{BACKLOG, Listen, Tcp};
use super::request::Request;
use super::stream::NetStream;
use super::tasks::{HalfOpen, Handshake, Owner, Served, Tasks};
use super::through_tls::AcceptTls;
use super::unix;
use super::websocket::WebSocket;

/// How long to wait after an accept that failed for want of descriptors or memory: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A listener, on TCP or a Unix socket, that does the handshakes and runs what you do with each connection.
///
/// ```no_run
/// use sockeye::Server;
///
/// # async fn example() -> std::io::Result<()> {
/// let server = Server::bind("127.0.0.1:0").await?;
/// println!("listening on {}", server.local_addr()?);
/// server
///     .serve(|mut socket, _request| async move {
///         while let Ok(Some(message)) = socket.recv().await {
///             if socket.feed(message).is_err() {
///                 break;
///             }
///         }
///     })
///     .await
/// # }
/// ```
pub struct Server {
    listener: Box<dyn Listen>,
    acceptor: Acceptor,
    tls: Option<Arc<dyn AcceptTls>>,
}

impl Server {
    /// Listens on an address; port 0 lets the system choose.
    ///
    /// # Errors
    /// When the address cannot be had; the text says which. [`Error::NoRuntime`] in one of kind `Other` where no tokio runtime is.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        needs_runtime()?;
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address");
        for addr in tokio::net::lookup_host(addr).await? {
            match listen(addr, false) {
                Ok(listener) => return Ok(Self::from_listener(listener)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Listens on an address together with other servers of this process, each on a thread of its
    /// own: the kernel shares the connections out (`SO_REUSEPORT`).
    ///
    /// # Errors
    /// When the address cannot be had, or the system does not know the option.
    pub fn bind_shared(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self::from_listener(listen(addr, true)?))
    }

    /// Serves on a listener of one's own.
    #[must_use]
    pub fn from_listener(listener: TcpListener) -> Self {
        // A listener that refuses the option still works.
        let _ = SockRef::from(&listener).set_tcp_nodelay(true);
        Self::on(Tcp::new(listener))
    }

    /// Listens on a Unix socket, a file at this path with the permissions that the process gives to files. It is removed
    /// when the server ends, unless somebody else has put another there.
    ///
    /// A file that is there already is replaced when it is the socket of a program that is no more. Whoever may write to the file
    /// may connect. Its connections have no address: limits on addresses do not hold for them, and
    /// no header of a proxy is believed.
    ///
    /// # Errors
    /// With the path in the text: `AddrInUse` when another program listens there, `AlreadyExists` when there is a file
    /// that is no socket, `TimedOut` when the folder is locked for a second, `PermissionDenied`, `NotFound` where there is
    /// no such folder, `InvalidInput` for a path of more than some 100 bytes; `Unsupported` where there are no Unix sockets.
    ///
    /// Cancel safety: dropping the future leaves nothing behind.
    pub async fn bind_unix(path: impl AsRef<Path>) -> io::Result<Self> {
        needs_runtime()?;
        Ok(Self::boxed(unix::listen(path.as_ref(), None).await?))
    }

    /// The same, with permissions of its own for the file: `0o660` lets in its user and group. They hold before
    /// anybody can connect.
    ///
    /// # Errors
    /// As [`bind_unix`](Self::bind_unix).
    ///
    /// Cancel safety: dropping the future leaves nothing behind.
    pub async fn bind_unix_with_mode(path: impl AsRef<Path>, mode: u32) -> io::Result<Self> {
        needs_runtime()?;
        Ok(Self::boxed(unix::listen(path.as_ref(), Some(mode)).await?))
    }

    /// Serves on a listener of another kind.
    #[must_use]
    pub fn on(listener: impl Listen) -> Self {
        Self::boxed(Box::new(listener))
    }

    fn boxed(listener: Box<dyn Listen>) -> Self {
        Self { listener, acceptor: Acceptor::default(), tls: None }
    }

    /// How handshakes are done, and the limits of connections.
    #[must_use]
    pub fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// Does TLS on every connection, behind a PROXY header where there is one, and within the acceptor's
    /// deadline for handshakes. Who fails at it gets no answer in HTTP.
    #[must_use]
    pub fn tls(mut self, tls: impl AcceptTls) -> Self {
        self.tls = Some(Arc::new(tls));
        self
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// When the system cannot tell; `AddrNotAvailable` on a Unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The path of the Unix socket it listens on, from the root; `None` for TCP.
    #[must_use]
    pub fn unix_path(&self) -> Option<&Path> {
        self.listener.unix_path()
    }

    /// Accepts connections for ever and runs `on_socket` on each, as a task of its own. Ends only by
    /// being dropped: then its connections end with it.
    ///
    /// # Errors
    /// When the listener is broken for good. Running out of descriptors is not: it waits and goes on.
    pub async fn serve<F, Fut>(self, on_socket: F) -> io::Result<()>
    where
        F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
    {
        self.serve_until(on_socket, std::future::pending()).await
    }

    /// The same until `shutdown` is ready: then no more are accepted, handshakes under way are dropped,
    /// every connection is closed with 1001, and the call returns when all have ended or the close
    /// timeout and a second have passed.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub async fn serve_until<F, Fut>(
        self,
        on_socket: F,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
    {
        self.serve_draining(on_socket, shutdown, async |()| ()).await
    }

    /// The same; between the last accept and the close of what is left, `drain` has its time, and what
    /// it came to is returned.
    pub(crate) async fn serve_draining<F, Fut, T, R>(
        self,
        on_socket: F,
        shutdown: impl Future<Output = T>,
        drain: impl AsyncFnOnce(T) -> R,
    ) -> io::Result<R>
    where
        F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
    {
        let Self { listener, acceptor, tls } = self;
        let close_timeout = acceptor.config().close_timeout;
        let tasks = Owner::default();
        let serving = Arc::new(Serving { acceptor, tls, on_socket, tasks: tasks.tasks().clone() });
        // A task of its own: waking it costs no system call, as waking a runtime's first future does.
        let mut accepting = JoinSet::new();
        accepting.spawn(accept_loop(listener, serving));
        let mut shutdown = pin!(shutdown);
        let asked = tokio::select! {
            biased;
            asked = &mut shutdown => asked,
            // It ends by an error only; a runtime that ends aborts it, and then this does not go on either.
            Some(result) = accepting.join_next() => {
                result.map_err(io::Error::other)??;
                shutdown.await
            }
        };
        accepting.shutdown().await;
        let drained = drain(asked).await;
        tasks.end(close_timeout).await;
        Ok(drained)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("acceptor", &self.acceptor)
            .field("is_tls", &self.tls.is_some())
            .finish()
    }
}

/// An error where tokio would panic.
fn needs_runtime() -> io::Result<()> {
    tokio::runtime::Handle::try_current().map(drop).map_err(|_| io::Error::other(Error::NoRuntime))
}

/// The error says which address cannot be had.
fn listen(addr: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    needs_runtime()?;
    open(addr, is_shared).map_err(|error| io::Error::new(error.kind(), format!("{addr}: {error}")))
}

fn open(addr: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if is_shared {
        #[cfg(all(
            unix,
            not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
        ))]
        socket.set_reuse_port(true)?;
        #[cfg(not(all(
            unix,
            not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
        )))]
        return Err(io::ErrorKind::Unsupported.into());
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

struct Serving<F> {
    acceptor: Acceptor,
    tls: Option<Arc<dyn AcceptTls>>,
    on_socket: F,
    tasks: Arc<Tasks>,
}

async fn accept_loop<F, Fut>(
    mut listener: Box<dyn Listen>,
    serving: Arc<Serving<F>>,
) -> io::Result<()>
where
    F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
{
    let mut backoff = BACKOFF.0;
    loop {
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok((stream, peer)) => {
                backoff = BACKOFF.0;
                begin(&serving, stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {
                // A listener of another make may never wait.
                tokio::task::consume_budget().await;
            }
            Err(error) if is_shortage(&error) => {
                serving.acceptor.tell_refused(&error.into());
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            Err(error) => return Err(error),
        }
    }
}

fn begin<F, Fut>(serving: &Arc<Serving<F>>, stream: NetStream, peer: Option<SocketAddr>)
where
    F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
{
    let is_proxy = serving.acceptor.is_proxy(peer);
    let address = peer.filter(|_| !is_proxy).map(|peer| peer.ip());
    let deadline = serving.acceptor.deadline();
    let (own, is_tls) = (serving.clone(), serving.tls.is_some());
    // Each on the heap as large as it must be: what is rare takes no room where nearly all are.
    let handshake: Handshake<Fut> = match HalfOpen::enter(&serving.tasks, address) {
        None => Box::pin(refuse_busy(own, stream)),
        Some(half_open) if is_proxy || is_tls => {
            Box::pin(handshake_behind(own, stream, peer, half_open, deadline))
        }
        Some(half_open) => {
            Box::pin(handshake(own, stream, (peer, Box::default()), half_open, deadline))
        }
    };
    Tasks::spawn(&serving.tasks, handshake);
}

/// The connection, ready to be served. `None`: whoever was refused has been answered.
async fn handshake<F, Fut>(
    serving: Arc<Serving<F>>,
    mut stream: NetStream,
    client: Client,
    half_open: HalfOpen,
    deadline: Instant,
) -> Option<Served<Fut>>
where
    F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
{
    let agreed = serving.acceptor.settle(&mut stream, client, deadline).await;
    drop(half_open);
    let (socket, request) = serving.acceptor.open(stream, agreed.ok()?);
    let outbox = Arc::downgrade(socket.outbox());
    Some(Served { future: (serving.on_socket)(socket, request), outbox })
}

/// The same where something comes before HTTP.
async fn handshake_behind<F, Fut>(
    serving: Arc<Serving<F>>,
    stream: NetStream,
    peer: Option<SocketAddr>,
    mut half_open: HalfOpen,
    deadline: Instant,
) -> Option<Served<Fut>>
where
    F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
{
    let (tls, has_place) = (serving.tls.as_deref(), |client| half_open.pass_to(client));
    let begun = serving.acceptor.begin(stream, peer, tls, has_place, deadline).await;
    let (stream, client) = begun.ok()?;
    handshake(serving, stream, client, half_open, deadline).await
}

/// Where TLS comes first nothing can be said.
async fn refuse_busy<F, Fut>(
    serving: Arc<Serving<F>>,
    mut stream: NetStream,
) -> Option<Served<Fut>> {
    let busy = HandshakeError::Busy { retry_after: BUSY_RETRY_AFTER };
    let response = busy.to_response();
    serving.acceptor.tell_refused(&busy.into());
    if serving.tls.is_none() {
        refuse(&mut stream, &response).await;
    }
    None
}

/// One connection was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM: it passes.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 55 | 12))
}
