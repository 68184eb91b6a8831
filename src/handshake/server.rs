//! The server's half: check an upgrade request, answer it (RFC 6455 4.2).

use std::fmt;

use http::header::{
    CONNECTION, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};

use crate::deflate::{Deflate, DeflateParams};

use super::error::HeaderNames;
use super::extensions::{self, are_offered};
use super::fields::Fields;
use super::headers::{VERSION_13, is_owned, only, refuse_body};
use super::host::Host;
use super::negotiated::Answer;
use super::tokens::{elements_of, is_token, line_names, list_names};
use super::{ClientKey, Extension, HandshakeError, Negotiated};

/// Bound on one offer, so that looking for repetitions stays cheap.
const SUBPROTOCOLS_MAX: usize = 64;

/// A request that may become a WebSocket, checked by every rule of RFC 6455 4.2.1, waiting for
/// [`accept`](Self::accept).
///
/// To refuse it, drop it and send any response, such as [`HandshakeError::to_response`]. The origin
/// is not judged here, see [`Origins`](super::Origins). Its `Debug` shows no value of the request.
///
/// ```
/// use sockeye::handshake::{Acceptance, Upgrade};
///
/// let request = http::Request::get("/chat")
///     .header("Host", "example.com")
///     .header("Upgrade", "websocket")
///     .header("Connection", "keep-alive, Upgrade")
///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
///     .header("Sec-WebSocket-Version", "13")
///     .header("Sec-WebSocket-Protocol", "graphql-ws, chat")
///     .body(())
///     .unwrap();
/// let chosen = Acceptance::default().subprotocol("chat");
/// let negotiated = Upgrade::from_request(&request)?.accept(chosen)?;
/// let accept = &negotiated.response().headers()["sec-websocket-accept"];
/// assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # Ok::<(), sockeye::handshake::HandshakeError>(())
/// ```
pub struct Upgrade {
    /// None over HTTP/2 and above, which has no key to prove that it is no cache.
    key: Option<ClientKey>,
    subprotocols: Vec<String>,
    extensions: Vec<Extension>,
    origin: Option<String>,
}

impl Upgrade {
    /// Checks a request of any HTTP library: method, version, no body, `Host`, `Upgrade` and
    /// `Connection` token lists (any case, several lines, empty elements), exactly one version 13,
    /// exactly one key, the grammar of subprotocols and extensions, one `Origin` at most.
    ///
    /// Errors: the first rule that is broken, in that order; no upgrade at all is
    /// [`UpgradeMissing`](HandshakeError::UpgradeMissing) (426).
    ///
    /// Cost: a string for each subprotocol, extension and parameter. Source: RFC 6455 4.2.1.
    pub fn from_request<B>(request: &Request<B>) -> Result<Self, HandshakeError> {
        let headers = request.headers();
        if request.version() != Version::HTTP_11 {
            return Err(HandshakeError::HttpVersion);
        }
        if request.method() != Method::GET {
            return Err(HandshakeError::Method);
        }
        refuse_body(headers)?;
        Host::check(headers)?;
        Self::from_head(request)
    }

    /// The same for what a [`HeadReader`](super::HeadReader) has read, which has seen to method, version, body and
    /// `Host`.
    pub(crate) fn from_head<B>(request: &Request<B>) -> Result<Self, HandshakeError> {
        let headers = request.headers();
        if !list_names(headers, &UPGRADE, "websocket") {
            return Err(HandshakeError::UpgradeMissing);
        }
        if !list_names(headers, &CONNECTION, "upgrade") {
            return Err(HandshakeError::ConnectionMissing);
        }
        if only(headers, SEC_WEBSOCKET_VERSION) != Some(&VERSION_13) {
            return Err(HandshakeError::WebSocketVersion);
        }
        let key = only(headers, SEC_WEBSOCKET_KEY);
        let key = key.and_then(|value| ClientKey::parse(value.as_bytes()));
        Self::with_key(headers, Some(key.ok_or(HandshakeError::Key)?))
    }

    /// The same for the fields of a request that is an upgrade by all rules; `None`: it is not, or not as plainly.
    pub(super) fn from_fields(fields: &Fields<'_>) -> Option<Self> {
        let is_upgrade = line_names(fields.upgrade?, "websocket")
            && line_names(fields.connection?, "upgrade")
            && fields.version == Some(VERSION_13.as_bytes());
        if !is_upgrade {
            return None;
        }
        let origin = match fields.origin {
            Some(origin) => Some(visible(origin)?.to_owned()),
            None => None,
        };
        Some(Self {
            key: Some(ClientKey::parse(fields.key?)?),
            subprotocols: subprotocols(fields.protocol.into_iter()).ok()?,
            extensions: extensions::from_lines(fields.extensions.into_iter()).ok()?,
            origin,
        })
    }

    /// Checks an extended CONNECT of HTTP/2 or HTTP/3, where an HTTP library took it apart.
    ///
    /// `protocol` is the value of the `:protocol` pseudo-header, which the `http` crate does not
    /// keep (hyper has it as a request extension). There is no `Upgrade`, no `Connection` and no
    /// key, and [`accept`](Self::accept) makes a 200 without them. Of a refusal send the status and
    /// the body: its `Connection` and `Upgrade` have no place in HTTP/2.
    ///
    /// Errors: as [`from_request`](Self::from_request), with [`Method`](HandshakeError::Method) for
    /// another method than CONNECT and [`ExtendedProtocol`](HandshakeError::ExtendedProtocol) for
    /// another protocol. Source: RFC 8441 4, 5; RFC 9220 3.
    pub fn from_extended_connect<B>(
        request: &Request<B>,
        protocol: &str,
    ) -> Result<Self, HandshakeError> {
        let headers = request.headers();
        if !matches!(request.version(), Version::HTTP_2 | Version::HTTP_3) {
            return Err(HandshakeError::HttpVersion);
        }
        if request.method() != Method::CONNECT {
            return Err(HandshakeError::Method);
        }
        refuse_body(headers)?;
        Host::check_authority(request)?;
        if !protocol.eq_ignore_ascii_case("websocket") {
            return Err(HandshakeError::ExtendedProtocol);
        }
        if only(headers, SEC_WEBSOCKET_VERSION) != Some(&VERSION_13) {
            return Err(HandshakeError::WebSocketVersion);
        }
        Self::with_key(headers, None)
    }

    /// What any other request of HTTP/2 or HTTP/3 is: no upgrade, if nothing else is wrong with it.
    pub(crate) fn missing_in<B>(request: &Request<B>) -> HandshakeError {
        if request.method() != Method::GET {
            return HandshakeError::Method;
        }
        let checked = refuse_body(request.headers()).and(Host::of_request(request));
        checked.err().unwrap_or(HandshakeError::UpgradeMissing)
    }

    /// Makes the 101. Whoever sends it has the WebSocket.
    ///
    /// Errors, all of the calling code: [`ChosenSubprotocol`](HandshakeError::ChosenSubprotocol)
    /// and [`ChosenExtension`](HandshakeError::ChosenExtension) for what was not offered or was
    /// chosen twice, [`InvalidExtension`](HandshakeError::InvalidExtension), and
    /// [`HeaderOwned`](HandshakeError::HeaderOwned) for `Upgrade`, `Connection`, `Sec-WebSocket-*`,
    /// `Content-Length`, `Transfer-Encoding`. Source: RFC 6455 4.2.2.
    pub fn accept(self, acceptance: Acceptance) -> Result<Negotiated, HandshakeError> {
        let Acceptance { subprotocol, headers: extra, mut extensions, deflate } = acceptance;
        if let Some(owned) = extra.keys().find(|name| is_owned(name)) {
            return Err(HandshakeError::HeaderOwned(owned.clone()));
        }
        let mut answer = Answer { key: self.key, headers: extra, ..Answer::default() };
        if let Some(chosen) = &subprotocol {
            let is_offered = self.subprotocols.contains(chosen);
            let value = HeaderValue::try_from(chosen).ok().filter(|_| is_offered);
            answer.subprotocol = Some(value.ok_or(HandshakeError::ChosenSubprotocol)?);
        }
        let deflate = deflate.and_then(|settings| self.answer_deflate(&settings, &mut extensions));
        if !extensions.is_empty() {
            if !are_offered(&extensions, &self.extensions) {
                return Err(HandshakeError::ChosenExtension);
            }
            answer.extensions = Some(Extension::encode_list(&extensions)?);
        }
        Ok(Negotiated::with_answer(answer, subprotocol, extensions).with_deflate(deflate))
    }

    /// Takes the first offer of compression that will do, unless it was answered by the caller.
    fn answer_deflate(
        &self,
        settings: &Deflate,
        chosen: &mut Vec<Extension>,
    ) -> Option<DeflateParams> {
        let is_deflate = |extension: &&Extension| extension.name == DeflateParams::NAME;
        if chosen.iter().any(|extension| is_deflate(&extension)) {
            return None;
        }
        let offers = self.extensions.iter().filter(is_deflate).map(|offer| &offer.params[..]);
        let (params, answer) = DeflateParams::answer_first(settings, offers)?;
        chosen.push(Extension { name: DeflateParams::NAME.to_owned(), params: answer });
        Some(params)
    }

    /// The subprotocols the client offers, in its order of preference: different tokens, at most
    /// 64.
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// The extensions the client offers, in its order of preference; a name may stand here more
    /// than once.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The value of `Origin`, if there is one and it is visible ASCII.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The rest of the request, once all that comes before is known to be good.
    fn with_key(headers: &HeaderMap, key: Option<ClientKey>) -> Result<Self, HandshakeError> {
        Ok(Self {
            key,
            subprotocols: subprotocols(
                headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(HeaderValue::as_bytes),
            )?,
            extensions: extensions::from_headers(headers)?,
            origin: origin(headers)?,
        })
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upgrade")
            .field("subprotocols", &self.subprotocols.len())
            .field("extensions", &self.extensions.len())
            .finish_non_exhaustive()
    }
}

/// What the server chooses of an offer, and the headers it adds to the 101. Nothing by default.
///
/// Its `Debug` shows the names of the headers, not their values.
#[derive(Clone, Default)]
pub struct Acceptance {
    subprotocol: Option<String>,
    headers: HeaderMap,
    extensions: Vec<Extension>,
    deflate: Option<Deflate>,
}

impl Acceptance {
    /// The subprotocol, one of [`Upgrade::subprotocols`].
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.subprotocol = Some(subprotocol.into());
        self
    }

    /// One more header, such as `Set-Cookie`. The same name may be added again.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// One more extension, with the parameters that answer the offer.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Takes the first offer of compression that these settings can agree to, if there is one. What
    /// came of it is in [`Negotiated::deflate`]. Level and threshold are those of the connection's
    /// [`Config::deflate`](crate::Config::deflate). Source: RFC 7692 5.1.
    #[must_use]
    pub fn deflate(mut self, settings: Deflate) -> Self {
        self.deflate = Some(settings);
        self
    }

    /// The same, where nothing was said about compression.
    pub(crate) fn or_deflate(mut self, settings: Deflate) -> Self {
        self.deflate.get_or_insert(settings);
        self
    }

    /// The same, and every message of the peer is by itself.
    pub(crate) fn without_peer_context(mut self) -> Self {
        self.deflate = self.deflate.map(|settings| settings.peer_context(false));
        self
    }
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Acceptance")
            .field("subprotocol", &self.subprotocol)
            .field("header_names", &HeaderNames(&self.headers))
            .field("extensions", &self.extensions)
            .finish()
    }
}

/// `1#token`, all different, over all lines; no line is no offer (RFC 6455 4.1 item 10).
fn subprotocols<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Vec<String>, HandshakeError> {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut offers: Vec<String> = Vec::new();
    for element in elements_of(lines) {
        let offer = std::str::from_utf8(element).map_err(|_| HandshakeError::Subprotocols)?;
        if !is_token(element)
            || offers.len() == SUBPROTOCOLS_MAX
            || offers.iter().any(|earlier| earlier == offer)
        {
            return Err(HandshakeError::Subprotocols);
        }
        offers.push(offer.to_owned());
    }
    if offers.is_empty() {
        return Err(HandshakeError::Subprotocols);
    }
    Ok(offers)
}

fn origin(headers: &HeaderMap) -> Result<Option<String>, HandshakeError> {
    let mut values = headers.get_all(ORIGIN).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(HandshakeError::TwoOrigins),
        (first, None) => Ok(first.and_then(|value| value.to_str().ok()).map(str::to_owned)),
    }
}

/// What `HeaderValue::to_str` takes.
fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    std::str::from_utf8(value).ok().filter(|_| value.iter().all(is_visible))
}
