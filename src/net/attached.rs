//! A server without a listener: another HTTP server accepts for it.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http::Response;
use tokio::time::timeout_at;

use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::sync::Arc;

use super::acceptor::{Acceptor, BUSY_RETRY_AFTER};
use super::request::Request;
use super::stream::NetStream;
use super::tasks::{HalfOpen, Owner, Served, Tasks};
use super::upgrading::Upgrading;
use super::websocket::WebSocket;

type OnSocket =
    dyn Fn(WebSocket<NetStream>, Request) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// A server without a listener: hyper, axum or whatever reads requests brings them to its [`Door`], and it owns the
/// connections that come of them, as [`Server`](super::Server) does. Dropping it ends them.
///
/// ```
/// use sockeye::Acceptor;
/// use sockeye::net::AttachedServer;
///
/// let server = AttachedServer::new(Acceptor::default(), |mut socket, _request| async move {
///     while let Ok(Some(message)) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             break;
///         }
///     }
/// });
/// let door = server.door();
/// # drop(door);
/// ```
#[must_use = "its connections end when this is dropped"]
pub struct AttachedServer {
    door: Door,
    tasks: Owner,
}

/// Where another HTTP server brings its upgrade requests. Cloning counts references.
///
/// With hyper, axum and tower that is one call: see the modules of those names. With hyper 1 by hand: its `upgrade::on`
/// gives the stream, and `TokioIo` of `hyper-util` makes it one of tokio's.
///
/// ```no_run
/// use std::convert::Infallible;
/// use std::net::SocketAddr;
///
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper::body::Incoming;
/// use hyper::{Request, Response};
/// use hyper_util::rt::TokioIo;
/// use sockeye::NetStream;
/// use sockeye::net::Door;
///
/// async fn handle(
///     door: Door,
///     mut request: Request<Incoming>,
///     peer: SocketAddr,
/// ) -> Result<Response<Full<Bytes>>, Infallible> {
///     let upgrading = match door.upgrade(&request, Some(peer)).await {
///         Ok(upgrading) => upgrading,
///         Err(answer) => return Ok(answer.map(Full::new)),
///     };
///     let upgraded = hyper::upgrade::on(&mut request);
///     let stream = async { upgraded.await.map(|stream| NetStream::boxed(TokioIo::new(stream))) };
///     Ok(door.serve(upgrading, stream).map(|()| Full::default()))
/// }
/// ```
#[derive(Clone)]
pub struct Door {
    acceptor: Acceptor,
    on_socket: Arc<OnSocket>,
    tasks: Arc<Tasks>,
}

impl AttachedServer {
    /// A server that judges by this acceptor and runs this on each connection, as a task of its own.
    pub fn new<F, Fut>(acceptor: Acceptor, on_socket: F) -> Self
    where
        F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let tasks = Owner::default();
        let on_socket: Arc<OnSocket> =
            Arc::new(move |socket, request| Box::pin(on_socket(socket, request)));
        let door = Door { acceptor, on_socket, tasks: tasks.tasks().clone() };
        Self { door, tasks }
    }

    /// The way in.
    #[must_use]
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Takes nobody in any more (503), closes every connection with 1001, and returns when all have ended or the close timeout
    /// and a second have passed.
    ///
    /// Cancel safety: dropping the future ends what is left at once.
    pub async fn stop(self) {
        let close_timeout = self.door.acceptor.config().close_timeout;
        self.tasks.end(close_timeout).await;
    }
}

impl Door {
    /// Judges a request as [`Acceptor::upgrade`] does. The error is the answer to send. At most 1,024 are
    /// judged at a time, from whatever address; others get 503, and so does everybody when the server has stopped.
    ///
    /// # Errors
    /// What the client is answered.
    ///
    /// Cancel safety: dropping the future forgets the request.
    pub async fn upgrade<B>(
        &self,
        request: &http::Request<B>,
        peer_addr: Option<SocketAddr>,
    ) -> Result<Upgrading, Response<Bytes>> {
        let _half_open = self.enter().ok_or_else(|| self.busy())?;
        self.acceptor.upgrade(request, peer_addr).await
    }

    /// The same for an extended CONNECT: see [`Acceptor::upgrade_extended`].
    ///
    /// # Errors
    /// What the client is answered.
    ///
    /// Cancel safety: dropping the future forgets the request.
    pub async fn upgrade_extended<B>(
        &self,
        request: &http::Request<B>,
        protocol: &str,
        peer_addr: Option<SocketAddr>,
    ) -> Result<Upgrading, Response<Bytes>> {
        let _half_open = self.enter().ok_or_else(|| self.busy())?;
        self.acceptor.upgrade_extended(request, protocol, peer_addr).await
    }

    /// Runs the connection in a task of the server, as soon as `stream` gives what comes behind the answer, within the
    /// acceptor's timeout for handshakes. Gives the answer to send.
    ///
    /// A stream that is TCP, a Unix socket or a [`NetStream`] is taken as it is, any other by [`NetStream::boxed`].
    ///
    /// Cost: an allocation beside those of a [`Server`](super::Server)'s connection, and one more for a boxed stream.
    pub fn serve<S: Into<NetStream>, E>(
        &self,
        upgrading: Upgrading,
        stream: impl Future<Output = Result<S, E>> + Send + 'static,
    ) -> Response<()> {
        let stream = async { stream.await.map(|stream| (stream.into(), Vec::new())) };
        self.serve_with_input(upgrading, stream)
    }

    /// The same, with bytes that were read behind the request.
    pub(crate) fn serve_with_input<E>(
        &self,
        upgrading: Upgrading,
        stream: impl Future<Output = Result<(NetStream, Vec<u8>), E>> + Send + 'static,
    ) -> Response<()> {
        let (response, deadline) = (upgrading.response(), self.acceptor.deadline());
        let on_socket = self.on_socket.clone();
        let opening = async move {
            // A client that has gone, or a library that never sends the answer: nobody misses the connection.
            let (stream, input) = timeout_at(deadline, stream).await.ok()?.ok()?;
            let (socket, request) = upgrading.open_with_input(stream, input);
            let outbox = Arc::downgrade(socket.outbox());
            Some(Served { future: on_socket(socket, request), outbox })
        };
        Tasks::spawn(&self.tasks, Box::pin(opening));
        response
    }

    /// A place among the handshakes.
    fn enter(&self) -> Option<HalfOpen> {
        if self.tasks.is_closing() {
            return None;
        }
        HalfOpen::enter(&self.tasks, None)
    }

    fn busy(&self) -> Response<Bytes> {
        let busy = HandshakeError::Busy { retry_after: BUSY_RETRY_AFTER };
        let response = busy.to_response();
        self.acceptor.tell_refused(&Error::from(busy));
        response
    }
}

impl fmt::Debug for AttachedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachedServer")
            .field("acceptor", &self.door.acceptor)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("acceptor", &self.acceptor).finish_non_exhaustive()
    }
}
