//! The client's half over HTTP/2 and HTTP/3, where an HTTP library writes and reads (RFC 8441).

use std::fmt;

use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use super::client::{Offer, Server, path_of};
use super::headers::VERSION_13;
use super::offered::{Offered, check, refused};
use super::{Extension, HandshakeError, Negotiated};

/// An extended CONNECT to send, which waits for its answer: [`finish`](Self::finish) takes it.
///
/// The `:protocol` pseudo-header is `websocket`; the `http` crate has no place for it, so the library that sends the
/// request is told of it in its own way (hyper by a request extension). Send it only where the server's settings
/// say that it takes such requests. Its `Debug` shows the host only.
///
/// ```
/// use http::{Method, Response};
/// use sockeye::handshake::{ExtendedHandshake, Offer};
///
/// let uri = "wss://example.com/chat".parse().unwrap();
/// let handshake = ExtendedHandshake::new(&uri, Offer::default().subprotocol("chat"))?;
/// assert_eq!(handshake.request().method(), Method::CONNECT);
/// assert_eq!(handshake.request().uri(), "https://example.com/chat");
///
/// let answer = Response::builder().header("sec-websocket-protocol", "chat").body(()).unwrap();
/// assert_eq!(handshake.finish(&answer)?.subprotocol(), Some("chat"));
/// # Ok::<(), sockeye::handshake::HandshakeError>(())
/// ```
///
/// Source: RFC 8441 4, 5; RFC 9220 3.
pub struct ExtendedHandshake {
    request: Request<()>,
    offered: Offered,
}

impl ExtendedHandshake {
    /// Makes the request for a URI: `ws` and `wss` are taken, and `http` and `https` as other names for them.
    ///
    /// Errors: those of [`ClientHandshake::new`](super::ClientHandshake::new).
    pub fn new(uri: &Uri, offer: Offer) -> Result<Self, HandshakeError> {
        let server = Server::of(uri)?;
        let path = path_of(uri)?;
        let mut offer = offer;
        check(&mut offer)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        let scheme = if server.is_secure { "https" } else { "http" };
        let target = format!("{scheme}://{}{slash}{path}", server.host);
        let target = target.parse::<Uri>();
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = target.map_err(|_| HandshakeError::Uri("not a URI"))?;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION_13);
        if !offer.subprotocols.is_empty() {
            let list = HeaderValue::try_from(offer.subprotocols.join(", "));
            headers.insert(
                SEC_WEBSOCKET_PROTOCOL,
                list.map_err(|_| HandshakeError::OfferedSubprotocol)?,
            );
        }
        if !offer.extensions.is_empty() {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, Extension::encode_list(&offer.extensions)?);
        }
        headers.extend(std::mem::take(&mut offer.headers));
        Ok(Self { request, offered: Offered::of(offer) })
    }

    /// The request, without its `:protocol`.
    pub fn request(&self) -> &Request<()> {
        &self.request
    }

    /// Checks the server's response: any 2xx is a yes.
    ///
    /// Errors: [`Redirect`](HandshakeError::Redirect) for a 3xx with a `Location`,
    /// [`UnexpectedStatus`](HandshakeError::UnexpectedStatus) for every other status, then those of
    /// [`ClientHandshake::finish`](super::ClientHandshake::finish) about what was offered. After any of them the stream must be reset.
    pub fn finish(self, response: &Response<()>) -> Result<Negotiated, HandshakeError> {
        if !response.status().is_success() {
            return Err(refused(response, StatusCode::OK));
        }
        self.offered.agree(response)
    }
}

impl fmt::Debug for ExtendedHandshake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExtendedHandshake")
            .field("host", &self.request.uri().host())
            .finish_non_exhaustive()
    }
}
