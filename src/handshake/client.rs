//! The client's half: write the request, check the answer (RFC 6455 4.1).

use std::fmt;

use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, Version};

use crate::deflate::Deflate;

use super::error::HeaderNames;
use super::headers::only;
use super::host::{Host, default_port};
use super::offered::{Offered, check, refused};
use super::response::encode_header;
use super::tokens::{elements, list_names};
use super::{ClientKey, Extension, HandshakeError, HeadLimits, HeadReader, Negotiated};

/// Interim responses waited through: nobody needs more than a 100 and a 103 or two.
const INTERIM_MAX: usize = 8;

/// First room for a request: one without cookies and tokens fits.
const REQUEST_BYTES_MIN: usize = 512;

/// What a client asks for: extra headers, subprotocols and extensions in order of preference.
/// Nothing by default.
///
/// Checked by [`ClientHandshake::new`]. Its `Debug` shows the names of the headers, not their
/// values.
#[derive(Clone, Default)]
pub struct Offer {
    /// Headers to add, such as `Origin`, `Authorization` or `Cookie`.
    pub headers: HeaderMap,
    /// Subprotocols: tokens, all different.
    pub subprotocols: Vec<String>,
    /// Extensions; a name may be offered more than once, with other parameters.
    pub extensions: Vec<Extension>,
    /// Compression (default: none is offered). What came of it is in [`Negotiated::deflate`].
    pub deflate: Deflate,
}

impl Offer {
    /// One more header. The same name may be added again.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// One more subprotocol, liked less than those before it.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.subprotocols.push(subprotocol.into());
        self
    }

    /// One more extension, liked less than those before it.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Offers compression with these settings.
    #[must_use]
    pub fn deflate(mut self, settings: Deflate) -> Self {
        self.deflate = settings;
        self
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Offer")
            .field("header_names", &HeaderNames(&self.headers))
            .field("subprotocols", &self.subprotocols.len())
            .field("extensions", &self.extensions)
            .finish()
    }
}

/// A request that was written and waits for its answer: [`finish`](Self::finish) takes it.
///
/// Make it before connecting: whatever is wrong with the URI or the offer shows before a byte is
/// sent. Its `Debug` shows the host and port only.
///
/// ```
/// use sockeye::handshake::{ClientHandshake, HeadLimits, Offer, ResponseReader};
///
/// let uri = "ws://example.com/chat".parse().unwrap();
/// let offer = Offer::default().subprotocol("chat");
/// let handshake = ClientHandshake::new(&uri, *b"the sample nonce", offer)?;
/// assert!(handshake.request_bytes().starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n"));
///
/// let mut reader = ResponseReader::new(HeadLimits::default());
/// let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
///     Sec-WebSocket-Protocol: chat\r\n\r\nframes";
/// assert_eq!(reader.receive(answer)?, Some(answer.len() - "frames".len()));
/// assert_eq!(handshake.finish(&reader.response()?)?.subprotocol(), Some("chat"));
/// # Ok::<(), sockeye::handshake::HandshakeError>(())
/// ```
pub struct ClientHandshake {
    server: Server,
    request: Vec<u8>,
    key: ClientKey,
    offered: Offered,
}

impl ClientHandshake {
    /// Writes the request for a URI. The key's 16 bytes must be new and random for each connection.
    ///
    /// `ws` and `wss` are taken, and `http` and `https` as other names for them. Fragments never
    /// reach this function: [`Uri`] drops them when it is parsed; [`parse_uri`] refuses them. User
    /// information is refused rather than sent: give an `Authorization` header instead.
    ///
    /// Errors, before anything is sent: [`Uri`](HandshakeError::Uri),
    /// [`HeaderOwned`](HandshakeError::HeaderOwned) for `Host`, `Upgrade`, `Connection`,
    /// `Sec-WebSocket-*`, `Content-Length`, `Transfer-Encoding`;
    /// [`OfferedSubprotocol`](HandshakeError::OfferedSubprotocol);
    /// [`InvalidExtension`](HandshakeError::InvalidExtension).
    ///
    /// Source: RFC 6455 3, 4.1.
    pub fn new(uri: &Uri, key: [u8; 16], offer: Offer) -> Result<Self, HandshakeError> {
        let server = Server::of(uri)?;
        let path = path_of(uri)?;
        let key = ClientKey::new(key);
        let mut offer = offer;
        check(&mut offer)?;
        let request = encode_request(path, &server.host, key, &offer)?;
        Ok(Self { server, request, key, offered: Offered::of(offer) })
    }

    /// Checks the server's final response.
    ///
    /// Errors: [`Redirect`](HandshakeError::Redirect) for a 3xx with a `Location`,
    /// [`UnexpectedStatus`](HandshakeError::UnexpectedStatus) for every other status but 101, then
    /// in this order [`HttpVersion`](HandshakeError::HttpVersion),
    /// [`ResponseUpgrade`](HandshakeError::ResponseUpgrade),
    /// [`ResponseConnection`](HandshakeError::ResponseConnection),
    /// [`Accept`](HandshakeError::Accept), [`Extensions`](HandshakeError::Extensions),
    /// [`ExtensionNotOffered`](HandshakeError::ExtensionNotOffered),
    /// [`SubprotocolNotOffered`](HandshakeError::SubprotocolNotOffered),
    /// [`Deflate`](HandshakeError::Deflate). After any of them the
    /// connection must be closed.
    ///
    /// Source: RFC 6455 4.1.
    pub fn finish(self, response: &Response<()>) -> Result<Negotiated, HandshakeError> {
        let headers = response.headers();
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(response, StatusCode::SWITCHING_PROTOCOLS));
        }
        if response.version() != Version::HTTP_11 {
            return Err(HandshakeError::HttpVersion);
        }
        // Here the whole value is compared, unlike a request's: there was one protocol to choose
        // from.
        let mut protocols = elements(headers, UPGRADE).peekable();
        if protocols.peek().is_none()
            || !protocols.all(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        {
            return Err(HandshakeError::ResponseUpgrade);
        }
        if !list_names(headers, &CONNECTION, "upgrade") {
            return Err(HandshakeError::ResponseConnection);
        }
        if only(headers, SEC_WEBSOCKET_ACCEPT)
            .is_none_or(|accept| accept.as_bytes() != self.key.accept())
        {
            return Err(HandshakeError::Accept);
        }
        self.offered.agree(response)
    }

    /// The request as it goes onto the wire.
    pub fn request_bytes(&self) -> &[u8] {
        &self.request
    }

    /// The host to connect to: a name or an IPv4 address as written, in lower case, or an IPv6
    /// address without its brackets.
    pub fn host(&self) -> &str {
        self.server.host.name.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port to connect to: the URI's, else 443 for `wss` and 80 for `ws`.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Whether the URI asks for TLS.
    pub fn is_secure(&self) -> bool {
        self.server.is_secure
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientHandshake")
            .field("host", &self.host())
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

/// Gathers the head of the final response and skips the interim ones (1xx other than 101) before
/// it, at most 8.
///
/// Interim heads have no body, so the next head follows at once. Each head has the limits of its
/// own. Source: RFC 9110 15.2.
#[derive(Debug)]
pub struct ResponseReader {
    head: HeadReader,
    interim: usize,
}

impl ResponseReader {
    /// A reader that holds nothing yet.
    pub fn new(limits: HeadLimits) -> Self {
        Self { head: HeadReader::new(limits), interim: 0 }
    }

    /// Takes bytes up to and including the empty line of the final response: see
    /// [`HeadReader::receive`].
    ///
    /// Errors: those of [`HeadReader::receive`], those of [`HeadReader::response`] for an interim
    /// response, and [`TooManyInterim`](HandshakeError::TooManyInterim).
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<usize>, HandshakeError> {
        let mut taken = 0;
        while let Some(len) = self.head.receive(&bytes[taken..])? {
            taken += len;
            let status = self.head.response()?.status();
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(taken));
            }
            if self.interim == INTERIM_MAX {
                return Err(HandshakeError::TooManyInterim { limit: INTERIM_MAX });
            }
            self.interim += 1;
            self.head.clear();
        }
        Ok(None)
    }

    /// Whether no byte came yet.
    pub fn is_empty(&self) -> bool {
        self.interim == 0 && self.head.is_empty()
    }

    /// The final response: see [`HeadReader::response`].
    pub fn response(&self) -> Result<Response<()>, HandshakeError> {
        self.head.response()
    }
}

/// Parses a WebSocket URI and refuses what [`Uri`] would drop without a word: a fragment.
///
/// Errors: [`Uri`](HandshakeError::Uri). Source: RFC 6455 3.
pub fn parse_uri(text: &str) -> Result<Uri, HandshakeError> {
    if text.contains('#') {
        return Err(HandshakeError::Uri("a fragment is not allowed"));
    }
    let uri = text.parse().map_err(|_| HandshakeError::Uri("not a URI"))?;
    Server::of(&uri)?;
    Ok(uri)
}

/// What a URI's scheme and authority say.
pub(super) struct Server {
    /// As it stands in `Host`: without the port if that is the scheme's default.
    pub(super) host: Host,
    port: u16,
    pub(super) is_secure: bool,
}

impl Server {
    pub(super) fn of(uri: &Uri) -> Result<Self, HandshakeError> {
        let default = uri.scheme_str().and_then(default_port);
        let default = default.ok_or(HandshakeError::Uri("the scheme must be ws or wss"))?;
        let authority = uri.authority().ok_or(HandshakeError::Uri("there is no host"))?.as_str();
        if authority.contains('@') {
            return Err(HandshakeError::Uri("user information: use an Authorization header"));
        }
        let host = Host::parse(authority.as_bytes());
        let mut host = host.ok_or(HandshakeError::Uri("the host or port is not valid"))?;
        let port = host.port.unwrap_or(default);
        host.port = host.port.filter(|_| port != default);
        Ok(Self { host, port, is_secure: default == 443 })
    }
}

/// Path and query, as they were written.
pub(super) fn path_of(uri: &Uri) -> Result<&str, HandshakeError> {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let is_visible = path.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible
        .then_some(path)
        .ok_or(HandshakeError::Uri("the path and query must be visible ASCII"))
}

fn encode_request(
    path: &str,
    host: &Host,
    key: ClientKey,
    offer: &Offer,
) -> Result<Vec<u8>, HandshakeError> {
    let mut request = Vec::with_capacity(REQUEST_BYTES_MIN);
    // A URI may leave out the slash before its query; a path may not.
    request.extend_from_slice(if path.starts_with('/') { b"GET " } else { b"GET /" });
    request.extend_from_slice(path.as_bytes());
    request.extend_from_slice(b" HTTP/1.1\r\n");
    encode_header(&HOST, host.to_string().as_bytes(), &mut request);
    encode_header(&UPGRADE, b"websocket", &mut request);
    encode_header(&CONNECTION, b"Upgrade", &mut request);
    encode_header(&SEC_WEBSOCKET_KEY, key.as_bytes(), &mut request);
    encode_header(&SEC_WEBSOCKET_VERSION, b"13", &mut request);
    if !offer.subprotocols.is_empty() {
        let list = offer.subprotocols.join(", ");
        encode_header(&SEC_WEBSOCKET_PROTOCOL, list.as_bytes(), &mut request);
    }
    if !offer.extensions.is_empty() {
        let list = Extension::encode_list(&offer.extensions)?;
        encode_header(&SEC_WEBSOCKET_EXTENSIONS, list.as_bytes(), &mut request);
    }
    for (name, value) in &offer.headers {
        encode_header(name, value.as_bytes(), &mut request);
    }
    request.extend_from_slice(b"\r\n");
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interim(count: usize) -> Vec<u8> {
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(count)
    }

    fn reader() -> ResponseReader {
        ResponseReader::new(HeadLimits::default())
    }

    #[test]
    fn interim_responses_are_skipped_up_to_the_bound() {
        let mut bytes = interim(INTERIM_MAX);
        bytes.extend_from_slice(b"HTTP/1.1 204\r\n\r\nrest");
        let mut whole = reader();
        assert!(whole.is_empty());
        assert_eq!(whole.receive(&bytes), Ok(Some(bytes.len() - 4)));
        assert_eq!(whole.response().unwrap().status(), StatusCode::NO_CONTENT);

        let mut many = reader();
        let error = HandshakeError::TooManyInterim { limit: INTERIM_MAX };
        assert_eq!(many.receive(&interim(INTERIM_MAX + 1)), Err(error.clone()));
        assert_eq!(many.receive(b"HTTP/1.1 200 OK\r\n\r\n"), Err(error));
    }

    #[test]
    fn every_cut_of_the_responses_gives_the_same_final_one() {
        let mut bytes = interim(2);
        bytes.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        for cut in 0..bytes.len() {
            let mut reader = reader();
            assert_eq!(reader.receive(&bytes[..cut]), Ok(None), "{cut}");
            assert_eq!(reader.is_empty(), cut == 0);
            assert_eq!(reader.response().unwrap_err(), HandshakeError::Closed);
            assert_eq!(reader.receive(&bytes[cut..]), Ok(Some(bytes.len() - cut)), "{cut}");
            assert_eq!(reader.response().unwrap().headers().len(), 1);
        }
    }

    #[test]
    fn nothing_of_an_offer_or_a_handshake_is_shown() {
        let secret = HeaderValue::from_static("marker");
        let offer =
            Offer::default().header(http::header::AUTHORIZATION, secret).subprotocol("marker");
        assert!(!format!("{offer:?}").contains("marker"));
        let uri = "ws://a/?token=marker".parse().unwrap();
        let handshake = ClientHandshake::new(&uri, [0; 16], offer).unwrap();
        assert!(!format!("{handshake:?}").contains("marker"));
    }

    proptest! {
        #[test]
        fn arbitrary_uris_never_panic(text: String) {
            let _ = parse_uri(&text);
        }

        #[test]
        fn what_can_be_parsed_is_requested_without_line_breaks(
            text in "wss?://[a-z\\[\\]:0-9.@%]{1,12}([/?][ -~]{0,16})?",
        ) {
            if let Ok(uri) = parse_uri(&text)
                && let Ok(handshake) = ClientHandshake::new(&uri, [7; 16], Offer::default())
            {
                let mut head = HeadReader::new(HeadLimits::default());
                let len = handshake.request_bytes().len();
                prop_assert_eq!(head.receive(handshake.request_bytes()), Ok(Some(len)));
                let request = head.request().unwrap();
                prop_assert!(crate::handshake::Upgrade::from_request(&request).is_ok());
            }
        }
    }
}
