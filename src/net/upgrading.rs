//! The server's side of the opening handshake, where another HTTP library reads and writes it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Response, Version, header};

use crate::handshake::{Acceptance, HandshakeError, Negotiated, RequestHead, Upgrade};
use crate::protocol::{Config, Role};
use crate::sync::Arc;

use super::acceptor::{Acceptor, agree, internal_error, within};
use super::line::ByteStream;
use super::request::Request;
use super::websocket::WebSocket;

/// A request that becomes a WebSocket, from its answer on. Made by [`Acceptor::upgrade`].
///
/// What was taken for it (a place in a hub, say) is given back when this is dropped.
#[derive(Debug)]
#[must_use = "a request that nobody opens is refused"]
pub struct Upgrading {
    negotiated: Negotiated,
    request: Request,
    config: Arc<Config>,
}

impl Acceptor {
    /// Judges a request that an HTTP library has read, as [`accept`](Self::accept) does: by the rules of the handshake,
    /// the origin, the admission and the hook, within the handshake's timeout. The error is the answer to send: a
    /// refusal, or a page of the hook's. Send the answer, then [open](Upgrading::open) what comes behind it on the stream.
    ///
    /// A request of HTTP/2 is no upgrade here, but may have a page: WebSockets come there by
    /// [`upgrade_extended`](Self::upgrade_extended).
    ///
    /// Of the request, method, version, URI and headers are looked at, and copied; not its extensions and its body. Bounds on its head
    /// are the library's business, and so is a header of the PROXY protocol: `peer_addr` is believed.
    ///
    /// ```no_run
    /// use http::{Request, Response};
    /// use sockeye::Acceptor;
    ///
    /// /// For a library that gives the stream of a request behind its answer.
    /// async fn handle<B>(
    ///     acceptor: &Acceptor,
    ///     request: Request<B>,
    ///     upgraded: impl Future<Output = std::io::Result<tokio::net::TcpStream>> + Send + 'static,
    /// ) -> Response<bytes::Bytes> {
    ///     let upgrading = match acceptor.upgrade(&request, None).await {
    ///         Ok(upgrading) => upgrading,
    ///         Err(refusal) => return refusal,
    ///     };
    ///     let answer = upgrading.response().map(|()| bytes::Bytes::new());
    ///     tokio::spawn(async move {
    ///         let Ok(stream) = upgraded.await else { return };
    ///         let (mut socket, _request) = upgrading.open(stream);
    ///         while let Ok(Some(message)) = socket.recv().await {
    ///             if socket.send(message).await.is_err() {
    ///                 break;
    ///             }
    ///         }
    ///     });
    ///     answer
    /// }
    /// ```
    ///
    /// # Errors
    /// What the client is answered. The admission is [told](super::Admission::refused) of it.
    ///
    /// Cancel safety: dropping the future forgets the request.
    ///
    /// Source: RFC 6455 4.2.
    pub async fn upgrade<B>(
        &self,
        request: &http::Request<B>,
        peer_addr: Option<SocketAddr>,
    ) -> Result<Upgrading, Response<Bytes>> {
        let upgrade = if request.version() > Version::HTTP_11 {
            Err(Upgrade::missing_in(request))
        } else {
            Upgrade::from_request(request)
        };
        self.judge_head(request, upgrade, peer_addr).await
    }

    /// The same for an extended CONNECT of HTTP/2 or HTTP/3, whose `protocol` is the value of `:protocol`.
    ///
    /// # Errors
    /// As [`upgrade`](Self::upgrade).
    ///
    /// Cancel safety: dropping the future forgets the request.
    ///
    /// Source: RFC 8441 5; RFC 9220 3.
    pub async fn upgrade_extended<B>(
        &self,
        request: &http::Request<B>,
        protocol: &str,
        peer_addr: Option<SocketAddr>,
    ) -> Result<Upgrading, Response<Bytes>> {
        let upgrade = Upgrade::from_extended_connect(request, protocol);
        self.judge_head(request, upgrade, peer_addr).await
    }
}

impl Acceptor {
    async fn judge_head<B>(
        &self,
        request: &http::Request<B>,
        upgrade: Result<Upgrade, HandshakeError>,
        peer_addr: Option<SocketAddr>,
    ) -> Result<Upgrading, Response<Bytes>> {
        let judging = self.judge(head_of(request), upgrade, peer_addr);
        match within(self.deadline(), judging).await {
            Ok((negotiated, request)) => {
                Ok(Upgrading { negotiated, request, config: self.config().clone() })
            }
            Err(refusal) => {
                let (_, response) = self.note_refusal(refusal);
                let mut response = response.unwrap_or_else(internal_error);
                if request.version() > Version::HTTP_11 {
                    // Connections are not the business of a request there. Source: RFC 9113 8.2.2.
                    response.headers_mut().remove(header::CONNECTION);
                    response.headers_mut().remove(header::UPGRADE);
                }
                if request.method() == Method::CONNECT && response.status().is_success() {
                    // A page of the hook's would open the tunnel. Source: RFC 9110 9.3.6.
                    response = internal_error();
                }
                Err(response)
            }
        }
    }
}

impl Upgrading {
    /// A request that was judged elsewhere, origin and all. Compression is answered as the config has it, unless the
    /// acceptance says otherwise. The request has no [peer](Request::peer_addr).
    ///
    /// # Errors
    /// Those of [`Upgrade::accept`].
    pub fn new<B>(
        request: &http::Request<B>,
        upgrade: Upgrade,
        acceptance: Acceptance,
        config: Arc<Config>,
    ) -> Result<Self, HandshakeError> {
        let seen = Request::new(head_of(request), Some(&upgrade), None);
        let negotiated = agree(upgrade, acceptance, &config)?;
        Ok(Self { negotiated, request: seen, config })
    }

    /// The request, with what it was admitted with.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// The answer: a 101, or a 200 where the request was an extended CONNECT.
    #[must_use]
    pub fn response(&self) -> Response<()> {
        self.negotiated.response().clone()
    }

    /// The WebSocket, on the stream that begins behind the answer.
    pub fn open<S: ByteStream>(self, stream: S) -> (WebSocket<S>, Request) {
        self.open_with_input(stream, Vec::new())
    }

    /// The same, with bytes that the library has read behind the request.
    pub fn open_with_input<S: ByteStream>(
        self,
        stream: S,
        input: Vec<u8>,
    ) -> (WebSocket<S>, Request) {
        let mut socket = WebSocket::with_input(stream, Role::Server, &self.config, input);
        if let Some(params) = self.negotiated.deflate() {
            socket = socket.with_deflate(params);
        }
        (socket.with_trace(self.request.trace()), self.request)
    }
}

fn head_of<B>(request: &http::Request<B>) -> RequestHead {
    let mut head = http::Request::new(());
    head.method_mut().clone_from(request.method());
    head.uri_mut().clone_from(request.uri());
    *head.version_mut() = request.version();
    head.headers_mut().clone_from(request.headers());
    head.into()
}
