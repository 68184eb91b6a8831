//! A door as a service.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body_util::Full;
use tower_service::Service;

use super::peer::Peer;
use crate::hyper::answer;
use crate::net::Door;

/// What is about to be answered.
type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// A door that answers every request: WebSockets over HTTP/1.1 and HTTP/2, the pages of an application, and refusals. For
/// `Router::route_service` of axum, say. Cloning counts references.
///
/// The application judges the path as it comes: mount it where its route is (`/ws`), or on `nest_service` where the router
/// takes a prefix off.
///
/// Cost: an allocation a request.
#[derive(Clone, Debug)]
pub struct DoorService {
    door: Door,
    peer: Peer,
}

impl DoorService {
    /// A service in front of this door. Who the peer is says a [`SocketAddr`] among the request's extensions, if there is
    /// one.
    #[must_use]
    pub fn new(door: Door) -> Self {
        Self { door, peer: Peer::default() }
    }

    /// Finds the peer's address in the request's extensions by this: axum has it in `ConnectInfo<SocketAddr>`. Without an
    /// address nobody is told apart by it, and no proxy is trusted.
    #[must_use]
    pub fn peer_addr(
        mut self,
        find: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.peer = Peer::new(find);
        self
    }
}

impl<B: Send + 'static> Service<Request<B>> for DoorService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        // The body is of no use, and need not be shared between threads.
        let mut request = request.map(drop);
        let (door, peer_addr) = (self.door.clone(), self.peer.of(request.extensions()));
        Box::pin(async move { Ok(answer(&door, &mut request, peer_addr).await) })
    }
}
