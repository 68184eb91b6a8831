//! The server's side.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response};
use tokio::time::Instant;

use crate::handshake::{Acceptance, HandshakeError, Origins, Upgrade};
use crate::net::{Acceptor, Door, Upgrading};
use crate::protocol::Config;
use crate::sync::Arc;

use super::opening::Opening;
use super::stream::stream_of;

/// How long hyper may take from the answer to the stream, where no acceptor says otherwise.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a WebSocket of a request, over HTTP/1.1 (`Upgrade`) or HTTP/2 (extended CONNECT), with the default
/// [`Config`] and for browsers from the same host only. Send the response; the other is the WebSocket, once that has
/// gone out.
///
/// Settings, other origins, subprotocols and who may come in: [`upgrade_by`].
///
/// # Errors
/// The rule that is broken: answer [`HandshakeError::to_response`]. [`NotUpgradable`](HandshakeError::NotUpgradable) when
/// the request is good and hyper has no stream for it.
///
/// Source: RFC 6455 4.2; RFC 8441 5.
pub fn upgrade<B>(
    request: &mut Request<B>,
) -> Result<(Response<Full<Bytes>>, Opening), HandshakeError> {
    let upgrade = match protocol_of(request) {
        Some(protocol) => Upgrade::from_extended_connect(request, protocol)?,
        None => Upgrade::from_request(request)?,
    };
    Origins::SameHost.check(request)?;
    let config = Arc::new(Config::default());
    let upgrading = Upgrading::new(request, upgrade, Acceptance::default(), config)?;
    let on_upgrade = take_stream(request).ok_or(HandshakeError::NotUpgradable)?;
    let response = upgrading.response().map(|()| Full::default());
    Ok((response, Opening::new(upgrading, on_upgrade, Instant::now() + OPENING_TIMEOUT)))
}

/// The same by the rules of an acceptor: its config, origins, admission and hook, which may choose a subprotocol, refuse,
/// or answer with a page. `peer_addr` is believed.
///
/// ```no_run
/// use std::net::SocketAddr;
///
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper::body::Incoming;
/// use hyper::{Request, Response};
/// use sockeye::Acceptor;
///
/// async fn handle(
///     acceptor: &Acceptor,
///     mut request: Request<Incoming>,
///     peer: SocketAddr,
/// ) -> Response<Full<Bytes>> {
///     match sockeye::hyper::upgrade_by(acceptor, &mut request, Some(peer)).await {
///         Ok((response, opening)) => {
///             tokio::spawn(async move {
///                 let Ok(mut socket) = opening.await else { return };
///                 let _ = socket.send("hello").await;
///             });
///             response
///         }
///         Err(answer) => answer,
///     }
/// }
/// ```
///
/// # Errors
/// What the client is answered: a refusal, or a page.
///
/// Cancel safety: dropping the future forgets the request.
pub async fn upgrade_by<B>(
    acceptor: &Acceptor,
    request: &mut Request<B>,
    peer_addr: Option<SocketAddr>,
) -> Result<(Response<Full<Bytes>>, Opening), Response<Full<Bytes>>> {
    let deadline = acceptor.deadline();
    let judged = match protocol_of(request) {
        Some(protocol) => acceptor.upgrade_extended(request, protocol, peer_addr).await,
        None => acceptor.upgrade(request, peer_addr).await,
    };
    let upgrading = judged.map_err(full)?;
    let on_upgrade =
        take_stream(request).ok_or_else(|| full(HandshakeError::NotUpgradable.to_response()))?;
    let response = upgrading.response().map(|()| Full::default());
    Ok((response, Opening::new(upgrading, on_upgrade, deadline)))
}

/// Brings a request to a door, over HTTP/1.1 or HTTP/2: gives the answer, and the connection to the door's server.
/// `peer_addr` is believed.
///
/// ```no_run
/// use std::convert::Infallible;
/// use std::net::SocketAddr;
///
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper::body::Incoming;
/// use hyper::{Request, Response};
/// use sockeye::net::Door;
///
/// async fn handle(
///     door: Door,
///     mut request: Request<Incoming>,
///     peer: SocketAddr,
/// ) -> Result<Response<Full<Bytes>>, Infallible> {
///     Ok(match request.uri().path() {
///         "/" => Response::new(Full::from("a page of hyper's")),
///         _ => sockeye::hyper::answer(&door, &mut request, Some(peer)).await,
///     })
/// }
/// ```
///
/// Cancel safety: dropping the future forgets the request.
pub async fn answer<B>(
    door: &Door,
    request: &mut Request<B>,
    peer_addr: Option<SocketAddr>,
) -> Response<Full<Bytes>> {
    full(bring(door, request, peer_addr).await)
}

/// The same, whatever the body is to be.
pub(crate) async fn bring<B>(
    door: &Door,
    request: &mut Request<B>,
    peer_addr: Option<SocketAddr>,
) -> Response<Bytes> {
    let judged = match protocol_of(request) {
        Some(protocol) => door.upgrade_extended(request, protocol, peer_addr).await,
        None => door.upgrade(request, peer_addr).await,
    };
    let upgrading = match judged {
        Ok(upgrading) => upgrading,
        Err(answer) => return answer,
    };
    match take_stream(request) {
        Some(on_upgrade) => {
            let response = door.serve_with_input(upgrading, stream_of(on_upgrade));
            response.map(|()| Bytes::new())
        }
        None => HandshakeError::NotUpgradable.to_response(),
    }
}

/// The `:protocol` of an extended CONNECT.
pub(crate) fn protocol_of<B>(request: &Request<B>) -> Option<&str> {
    let protocol = request.extensions().get::<Protocol>();
    protocol.filter(|_| request.method() == Method::CONNECT).map(Protocol::as_str)
}

/// What will be the stream, unless there will be none.
fn take_stream<B>(request: &mut Request<B>) -> Option<OnUpgrade> {
    request.extensions_mut().remove()
}

fn full(answer: Response<Bytes>) -> Response<Full<Bytes>> {
    answer.map(Full::new)
}
