//! A listener whose connections it owns.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use crate::frame::CloseFrame;
use crate::handshake::{AddressKey, HandshakeError};
use crate::outbox::Outbox;
use crate::sync::{Arc, Mutex};

use super::acceptor::{Acceptor, BUSY_RETRY_AFTER, refuse};
use super::request::Request;
use super::stream::NetStream;
use super::through_tls::AcceptTls;
use super::websocket::WebSocket;

/// Handshakes that may be under way at a time, and those of one address.
const HALF_OPEN_MAX: usize = 1024;
const HALF_OPEN_PER_ADDRESS_MAX: usize = 32;

/// Connections the kernel keeps ready for us.
const BACKLOG: i32 = 1024;

/// How long to wait after an accept that failed for want of descriptors or memory: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How long connections have to end after a shutdown, beyond the close timeout.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// A TCP listener that does the handshakes and runs what you do with each connection.
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
    listener: TcpListener,
    acceptor: Acceptor,
    tls: Option<Arc<dyn AcceptTls>>,
}

impl Server {
    /// Listens on an address; port 0 lets the system choose.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
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
    /// When the system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
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
        let tasks = Owner(Arc::new(Tasks::default()));
        let serving = Arc::new(Serving { acceptor, tls, on_socket, tasks: tasks.0.clone() });
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
        tasks.0.close_all();
        // What has not ended by then is dropped with the owner.
        let _ = tokio::time::timeout(close_timeout.saturating_add(SHUTDOWN_GRACE), tasks.0.ended())
            .await;
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

fn listen(addr: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
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

async fn accept_loop<F, Fut>(listener: TcpListener, serving: Arc<Serving<F>>) -> io::Result<()>
where
    F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
{
    let mut backoff = BACKOFF.0;
    // On most systems accepted sockets have the listener's options: asking once saves a call each.
    let mut inherits_nodelay = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                backoff = BACKOFF.0;
                if !*inherits_nodelay.get_or_insert_with(|| stream.nodelay().unwrap_or(false)) {
                    // Small frames must not wait for each other; a socket that refuses still works.
                    let _ = stream.set_nodelay(true);
                }
                begin(&serving, stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) if is_shortage(&error) => {
                serving.acceptor.tell_refused(&error.into());
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The handshake has a task of its own, so that its memory is given back when the connection begins.
fn begin<F, Fut>(serving: &Arc<Serving<F>>, stream: TcpStream, peer: SocketAddr)
where
    F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
{
    let half_open = HalfOpen::enter(serving, peer.ip());
    let task = handshake(serving.clone(), stream.into(), peer, half_open);
    Tasks::spawn(&serving.tasks, task, None);
}

async fn handshake<F, Fut>(
    serving: Arc<Serving<F>>,
    mut stream: NetStream,
    peer: SocketAddr,
    half_open: Option<HalfOpen>,
) where
    F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
{
    let Some(mut half_open) = half_open else {
        let busy = HandshakeError::Busy { retry_after: BUSY_RETRY_AFTER };
        let response = busy.to_response();
        serving.acceptor.tell_refused(&busy.into());
        if serving.tls.is_none() {
            refuse(&mut stream, &response).await;
        }
        return;
    };
    let has_place = |client| half_open.pass_to(client);
    let tls = serving.tls.as_deref();
    let accepted = serving.acceptor.accept_in(stream, Some(peer), tls, has_place).await;
    drop(half_open);
    // Whoever was refused has been answered.
    let Ok((socket, request)) = accepted else { return };
    let outbox = Arc::downgrade(socket.outbox());
    Tasks::spawn(&serving.tasks, (serving.on_socket)(socket, request), Some(outbox));
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

/// All tasks of a server.
#[derive(Debug, Default)]
struct Tasks {
    members: Mutex<Members>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Members {
    live: HashMap<u64, Live>,
    next_key: u64,
    /// Nobody joins any more.
    is_closing: bool,
    half_open: usize,
    half_open_of: HashMap<AddressKey, usize>,
}

/// One task of a server.
#[derive(Debug)]
struct Live {
    /// `None` for the moment in which it is spawned.
    task: Option<AbortHandle>,
    /// `None` for a handshake.
    outbox: Option<Weak<Outbox>>,
}

impl Tasks {
    /// Runs a task that ends with the server at the latest.
    fn spawn<T>(tasks: &Arc<Self>, future: T, outbox: Option<Weak<Outbox>>)
    where
        T: Future + Send + 'static,
    {
        let mut members = tasks.members.lock();
        if members.is_closing {
            return;
        }
        let key = members.next_key;
        members.next_key += 1;
        members.live.insert(key, Live { task: None, outbox });
        drop(members);
        let member = Member { tasks: tasks.clone(), key };
        let task = tokio::spawn(Owned { future, member }).abort_handle();
        tasks.enlist(key, task);
    }

    fn enlist(&self, key: u64, task: AbortHandle) {
        let mut members = self.members.lock();
        match members.live.get_mut(&key) {
            Some(live) => live.task = Some(task),
            // It has ended already, or the server has.
            None => task.abort(),
        }
    }

    /// Ends handshakes at once and asks connections to close.
    fn close_all(&self) {
        let mut members = self.members.lock();
        members.is_closing = true;
        let (mut handshakes, mut outboxes) = (Vec::new(), Vec::new());
        for live in members.live.values() {
            match &live.outbox {
                Some(outbox) => outboxes.extend(outbox.upgrade()),
                None => handshakes.extend(live.task.clone()),
            }
        }
        drop(members);
        handshakes.iter().for_each(AbortHandle::abort);
        for outbox in outboxes {
            if let Ok(frame) = CloseFrame::new(1001, "server is shutting down") {
                outbox.request_close(frame);
            }
        }
    }

    async fn ended(&self) {
        loop {
            let notified = self.ended.notified();
            if self.members.lock().live.is_empty() {
                return;
            }
            notified.await;
        }
    }
}

/// Ends all tasks when it is dropped.
struct Owner(Arc<Tasks>);

impl Drop for Owner {
    fn drop(&mut self) {
        let mut members = self.0.members.lock();
        members.is_closing = true;
        let live = std::mem::take(&mut members.live);
        drop(members);
        live.into_values().filter_map(|live| live.task).for_each(|task| task.abort());
    }
}

/// Strikes its task off the list when it ends.
#[derive(Debug)]
struct Member {
    tasks: Arc<Tasks>,
    key: u64,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.tasks.members.lock();
        let live = members.live.remove(&self.key);
        if members.live.capacity() > 64 && members.live.len() < members.live.capacity() / 8 {
            // Memory of a burst is given back.
            members.live.shrink_to_fit();
        }
        let is_last = members.live.is_empty();
        drop(members);
        drop(live);
        if is_last {
            self.tasks.ended.notify_waiters();
        }
    }
}

/// A handshake under way.
struct HalfOpen {
    tasks: Arc<Tasks>,
    /// `None`: a proxy that has not said whom it speaks for.
    address: Option<AddressKey>,
}

impl HalfOpen {
    fn enter<F>(serving: &Serving<F>, peer: IpAddr) -> Option<Self> {
        let Serving { acceptor, tasks, .. } = serving;
        let mut members = tasks.members.lock();
        if members.half_open >= HALF_OPEN_MAX {
            return None;
        }
        // A proxy has as many clients as there are.
        let address = match acceptor.is_proxy(peer) {
            true => None,
            false => Some(members.enter(peer)?),
        };
        members.half_open += 1;
        Some(Self { tasks: tasks.clone(), address })
    }

    /// The proxy speaks for this client. False: it has as many under way as it may.
    fn pass_to(&mut self, client: IpAddr) -> bool {
        self.address = self.tasks.members.lock().enter(client);
        self.address.is_some()
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        let mut members = self.tasks.members.lock();
        members.half_open -= 1;
        if let Some(address) = self.address
            && let Some(count) = members.half_open_of.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                members.half_open_of.remove(&address);
            }
        }
    }
}

impl Members {
    /// A place among the handshakes of one address.
    fn enter(&mut self, address: IpAddr) -> Option<AddressKey> {
        let is_exempt = address.to_canonical().is_loopback();
        let key = AddressKey::from(address);
        let under_way = self.half_open_of.get(&key).copied().unwrap_or(0);
        if !is_exempt && under_way >= HALF_OPEN_PER_ADDRESS_MAX {
            return None;
        }
        self.half_open_of.insert(key, under_way + 1);
        Some(key)
    }
}

pin_project! {
    /// A task with its place on the list.
    struct Owned<F> {
        #[pin]
        future: F,
        member: Member,
    }
}

impl<F: Future> Future for Owned<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().future.poll(cx).map(|_| ())
    }
}
