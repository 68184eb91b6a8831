//! A door in front of other services.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Extensions, Request, Response, Version};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::peer::Peer;
use crate::hyper::{bring, protocol_of};
use crate::net::Door;

/// Takes the requests for WebSockets, on whatever path, to a door, and leaves all others to the service within. Cloning
/// counts references.
///
/// A request is for a WebSocket when its `Upgrade` says `websocket` (HTTP/1.1), or it is an extended CONNECT (HTTP/2);
/// whether it is a good one says the door.
///
/// ```no_run
/// use axum::Router;
/// use axum::routing::get;
/// use sockeye::Acceptor;
/// use sockeye::net::AttachedServer;
/// use sockeye::tower::DoorLayer;
///
/// # async fn example() {
/// let server = AttachedServer::new(Acceptor::default(), |mut socket, _request| async move {
///     while let Ok(Some(message)) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             break;
///         }
///     }
/// });
/// let router: Router =
///     Router::new().route("/", get(async || "a page")).layer(DoorLayer::new(server.door()));
/// # drop(router);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DoorLayer {
    door: Door,
    peer: Peer,
}

/// A service behind a [`DoorLayer`].
#[derive(Clone, Debug)]
pub struct DoorMiddleware<S> {
    inner: S,
    door: Door,
    peer: Peer,
}

impl DoorLayer {
    /// A layer with this door. Who the peer is says a [`SocketAddr`] among the request's extensions, if there is one.
    #[must_use]
    pub fn new(door: Door) -> Self {
        Self { door, peer: Peer::default() }
    }

    /// Finds the peer's address in the request's extensions by this: see
    /// [`DoorService::peer_addr`](super::DoorService::peer_addr).
    #[must_use]
    pub fn peer_addr(
        mut self,
        find: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.peer = Peer::new(find);
        self
    }
}

impl<S> Layer<S> for DoorLayer {
    type Service = DoorMiddleware<S>;

    fn layer(&self, inner: S) -> DoorMiddleware<S> {
        DoorMiddleware { inner, door: self.door.clone(), peer: self.peer.clone() }
    }
}

type Answering = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

pin_project! {
    /// The answer of a [`DoorMiddleware`]: of the door, or of the service within.
    pub struct Answer<F> {
        #[pin]
        inner: Option<F>,
        // Where there is no inner one.
        door: Option<Answering>,
    }
}

impl<F, R, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Bytes>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.door) {
            (Some(inner), _) => inner.poll(cx),
            (None, Some(door)) => Poll::Ready(Ok(ready!(door.as_mut().poll(cx)).map(R::from))),
            (None, None) => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for Answer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("is_of_door", &self.door.is_some()).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for DoorMiddleware<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Send + 'static,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !is_for_a_websocket(&request) {
            return Answer { inner: Some(self.inner.call(request)), door: None };
        }
        let mut request = request.map(drop);
        let (door, peer_addr) = (self.door.clone(), self.peer.of(request.extensions()));
        let answering = async move { bring(&door, &mut request, peer_addr).await };
        Answer { inner: None, door: Some(Box::pin(answering)) }
    }
}

fn is_for_a_websocket<B>(request: &Request<B>) -> bool {
    if request.version() > Version::HTTP_11 {
        return protocol_of(request).is_some();
    }
    let lines = request.headers().get_all(UPGRADE).iter();
    let mut protocols = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    protocols.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}
