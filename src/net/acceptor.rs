//! The server's side of the opening handshake, on a stream.

use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::deflate::{ContextSlot, DeflateParams};
use crate::error::Error;
use crate::handshake::{
    Acceptance, HandshakeError, HeadLimits, HeadReader, Negotiated, Origins, ProxyHeader,
    ProxyHeaderReader, RequestHead, TrustedProxies, Upgrade, encode_response,
};
use crate::protocol::{Config, Role};
use crate::sync::Arc;
use crate::trace::Trace;

use super::admission::Admission;
use super::caught::caught;
use super::head::read_head;
use super::line::ByteStream;
use super::request::{Answer, Request};
use super::stream::NetStream;
use super::through_tls::{AcceptTls, through_tls};
use super::websocket::WebSocket;

/// What is read and thrown away behind a refusal, so that a reset does not overtake it, in bytes.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How long that may take.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// When a client that met too many handshakes under way may come again.
pub(super) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a trusted proxy may take to say who its client is.
const PROXY_TIMEOUT: Duration = Duration::from_secs(5);

/// The client's address, and what it has written behind a proxy's header.
pub(super) type Client = (Option<SocketAddr>, Box<[u8]>);

/// The request, compression where there is any, and what the client has written behind the request.
pub(super) type Agreed = (Request, Option<DeflateParams>, Vec<u8>);

type Hook = dyn Fn(Request) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// Accepts WebSockets on streams: limits, origins and a hook that decides. Cloning counts a reference.
///
/// ```
/// use http::StatusCode;
/// use sockeye::{Acceptor, Answer, Config};
///
/// let acceptor = Acceptor::new(Config::default()).on_request(|request| async move {
///     match (request.is_upgrade(), request.path()) {
///         (true, "/ws") => Answer::accept(),
///         (false, "/") => Answer::respond(StatusCode::OK, "text/html", "<h1>hello</h1>"),
///         _ => Answer::refuse(StatusCode::NOT_FOUND, "not found"),
///     }
/// });
/// ```
#[derive(Clone)]
pub struct Acceptor {
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    config: Arc<Config>,
    head_limits: HeadLimits,
    handshake_timeout: Duration,
    origins: Origins,
    proxies: TrustedProxies,
    admission: Option<Arc<dyn Admission>>,
    hook: Option<Arc<Hook>>,
}

impl Default for Acceptor {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Acceptor {
    /// An acceptor that upgrades whoever asks properly from the same host, within 10 s.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let settings = Settings {
            config: Arc::new(config),
            head_limits: HeadLimits::default(),
            handshake_timeout: Duration::from_secs(10),
            origins: Origins::SameHost,
            proxies: TrustedProxies::default(),
            admission: None,
            hook: None,
        };
        Self { settings: Arc::new(settings) }
    }

    /// Which origins a browser may come from (default: the host it asks for). Others get 403.
    #[must_use]
    pub fn origins(self, origins: Origins) -> Self {
        self.with(|settings| settings.origins = origins)
    }

    /// Bounds on the request's head (default: 8 KiB a line, 16 KiB, 100 headers).
    #[must_use]
    pub fn head_limits(self, limits: HeadLimits) -> Self {
        self.with(|settings| settings.head_limits = limits)
    }

    /// How long the handshake may take, from the first look at the stream to the answer, the hook
    /// included (default 10 s). Then 408.
    #[must_use]
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.handshake_timeout = timeout)
    }

    /// Requires a header of the PROXY protocol, version 1 or 2, from these peers, before the handshake
    /// and within 5 s of it; the address in it is the request's
    /// [peer](super::Request::peer_addr). Without one the connection is closed, and not answered.
    /// Nobody else is asked for one or believed it (default: nobody is).
    #[must_use]
    pub fn proxy_protocol(self, proxies: TrustedProxies) -> Self {
        self.with(|settings| settings.proxies = proxies)
    }

    /// Whether this peer speaks for others.
    pub(super) fn is_proxy(&self, peer_addr: Option<SocketAddr>) -> bool {
        self.settings.proxies.trusts(peer_addr.map(|peer| peer.ip()))
    }

    /// Asks this hook what to do with each request: accept, choose a subprotocol, refuse with any
    /// status, or answer with a page. Requests that are no valid upgrade but a plain GET reach it too
    /// (see [`Request::is_upgrade`]); accepting one of those answers 426.
    ///
    /// A hook that panics answers 500 ([`Error::Panicked`]). Without a hook every valid upgrade is accepted.
    #[must_use]
    pub fn on_request<F, Fut>(self, hook: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let hook: Arc<Hook> = Arc::new(move |request| Box::pin(hook(request)));
        self.with(|settings| settings.hook = Some(hook))
    }

    /// Asks this for every valid upgrade, before the hook, and tells it of every other end of a
    /// handshake.
    #[must_use]
    pub fn admission(self, admission: impl Admission) -> Self {
        let admission: Arc<dyn Admission> = Arc::new(admission);
        self.with(|settings| settings.admission = Some(admission))
    }

    /// Other limits of its connections, which several acceptors may share.
    #[must_use]
    pub fn with_config(self, config: Arc<Config>) -> Self {
        self.with(|settings| settings.config = config)
    }

    /// The limits of its connections.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.settings.config
    }

    /// Does the opening handshake on a stream. A refusal is answered, then the stream is closed.
    ///
    /// # Errors
    /// [`Error::Handshake`] when the request was refused, [`Error::Answered`] when the hook answered
    /// itself, [`Error::WebSocketNotEnabled`] when it accepted a request that is no upgrade, [`Error::Panicked`] when
    /// it panicked, [`Error::Io`] when the stream failed.
    ///
    /// Cancel safety: dropping the future drops the stream.
    pub async fn accept<S: ByteStream>(
        &self,
        mut stream: S,
        peer_addr: Option<SocketAddr>,
    ) -> Result<(WebSocket<S>, Request), Error> {
        let deadline = self.deadline();
        let client = match self.client(&mut stream, peer_addr, |_| true, deadline).await {
            Ok(client) => client,
            Err(refusal) => return Err(self.answer_refusal(&mut stream, refusal).await),
        };
        let agreed = self.settle(&mut stream, client, deadline).await?;
        Ok(self.open(stream, agreed))
    }

    /// What comes before HTTP in a server: whom a proxy speaks for, who may have too many handshakes under way, and TLS,
    /// which is inside of the same deadline and begins behind what the proxy says.
    pub(super) async fn begin(
        &self,
        mut stream: NetStream,
        peer_addr: Option<SocketAddr>,
        tls: Option<&dyn AcceptTls>,
        has_place: impl FnMut(IpAddr) -> bool + Send,
        deadline: Instant,
    ) -> Result<(NetStream, Client), Error> {
        let client = self.client(&mut stream, peer_addr, has_place, deadline).await;
        let Some(tls) = tls else {
            return match client {
                Ok(client) => Ok((stream, client)),
                Err(refusal) => Err(self.answer_refusal(&mut stream, refusal).await),
            };
        };
        let wrapped = match client {
            Ok((client, input)) => {
                let wrapping =
                    async { through_tls(tls, stream, input.into()).await.map_err(Refusal::Tls) };
                within(deadline, Box::pin(wrapping)).await.map(|stream| (stream, client))
            }
            Err(refusal) => Err(refusal),
        };
        // Without TLS nothing can be said.
        let (stream, address) = wrapped.map_err(|refusal| self.note_refusal(refusal).0)?;
        Ok((stream, (address, Box::default())))
    }

    /// Who the client is. In a place of its own: only what comes from a proxy waits here.
    async fn client<S: ByteStream>(
        &self,
        stream: &mut S,
        peer_addr: Option<SocketAddr>,
        has_place: impl FnMut(IpAddr) -> bool + Send,
        deadline: Instant,
    ) -> Result<Client, Refusal> {
        if !self.is_proxy(peer_addr) {
            return Ok((peer_addr, Box::default()));
        }
        within(deadline, Box::pin(self.read_client(stream, peer_addr, has_place))).await
    }

    /// When a handshake that begins now has to be done.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.settings.handshake_timeout
    }

    /// What follows when it is known who the client is, up to the answer, which has been written in any case.
    pub(super) async fn settle<S: ByteStream>(
        &self,
        stream: &mut S,
        client: Client,
        deadline: Instant,
    ) -> Result<Agreed, Error> {
        let negotiated = timeout_at(deadline, pin!(self.negotiate(stream, client))).await;
        match negotiated.unwrap_or(Err(HandshakeError::Timeout.into())) {
            Ok(agreed) => Ok(agreed),
            Err(refusal) => Err(Box::pin(self.answer_refusal(stream, refusal)).await),
        }
    }

    /// The WebSocket behind the answer.
    pub(super) fn open<S: ByteStream>(
        &self,
        stream: S,
        (request, deflate, input): Agreed,
    ) -> (WebSocket<S>, Request) {
        let config = &self.settings.config;
        let mut socket = WebSocket::with_input(stream, Role::Server, config, input);
        if let Some(params) = &deflate {
            socket = socket.with_deflate(params);
        }
        (socket.with_trace(request.trace()), request)
    }

    /// What the caller is told, when the client has been.
    async fn answer_refusal<S: ByteStream>(&self, stream: &mut S, refusal: Refusal) -> Error {
        let (error, response) = self.note_refusal(refusal);
        if let Some(response) = response {
            refuse(stream, &response).await;
        }
        error
    }

    /// Tells the admission, which counts, of a handshake that came to nothing.
    pub(super) fn tell_refused(&self, error: &Error) {
        if let Some(admission) = &self.settings.admission {
            admission.refused(error);
        }
    }

    /// What is here while it waits is small: the rest happens between the waits.
    async fn negotiate<S: ByteStream>(
        &self,
        stream: &mut S,
        (client, input): Client,
    ) -> Result<Agreed, Refusal> {
        let (asked, input) = {
            let mut reader = HeadReader::new(self.settings.head_limits);
            let input = match reader.receive(&input)? {
                Some(taken) => input[taken..].to_vec(),
                None => read_head::<S, Refusal>(stream, |bytes| reader.receive(bytes)).await?,
            };
            let (head, upgrade) = reader.into_request()?;
            (self.examine(head, upgrade, client)?, input)
        };
        let acceptance = self.ask(&asked).await?;
        let (bytes, deflate, request) = {
            let (negotiated, request) = self.agree(asked, acceptance)?;
            let mut bytes = Vec::with_capacity(256);
            negotiated.encode(&mut bytes);
            (bytes, negotiated.deflate().copied(), request)
        };
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        Ok((request, deflate, input))
    }

    /// Whether a request becomes a WebSocket, and what is agreed on.
    pub(super) async fn judge(
        &self,
        head: RequestHead,
        upgrade: Result<Upgrade, HandshakeError>,
        client: Option<SocketAddr>,
    ) -> Result<(Negotiated, Request), Refusal> {
        let asked = self.examine(head, upgrade, client)?;
        let acceptance = self.ask(&asked).await?;
        self.agree(asked, acceptance)
    }

    /// A request that hook and admission may see: it is an upgrade from a good origin, or none at all.
    fn examine(
        &self,
        head: RequestHead,
        upgrade: Result<Upgrade, HandshakeError>,
        client: Option<SocketAddr>,
    ) -> Result<Asked, Refusal> {
        let upgrade = match upgrade {
            Ok(upgrade) => {
                head.check_origin(&upgrade, &self.settings.origins)?;
                Ok(upgrade)
            }
            Err(error @ HandshakeError::UpgradeMissing) => Err(error),
            Err(error) => return Err(error.into()),
        };
        Ok(Asked { request: Request::new(head, upgrade.as_ref().ok(), client), upgrade })
    }

    /// Asks the admission and the hook.
    async fn ask(&self, asked: &Asked) -> Result<Acceptance, Refusal> {
        let answered = self.ask_both(asked).await;
        answered.inspect_err(|refusal| refusal.tell(asked.request.trace()))
    }

    async fn ask_both(&self, Asked { request, upgrade }: &Asked) -> Result<Acceptance, Refusal> {
        if let (Some(admission), Ok(_)) = (&self.settings.admission, upgrade) {
            let admitted = caught(|| admission.admit(request)).await;
            let admitted = admitted.ok_or(Refusal::Panicked)?;
            request.set_pass(
                admitted.map_err(|answer| Refusal::NotAdmitted(final_only(answer).into()))?,
            );
        }
        let answer = match &self.settings.hook {
            Some(hook) => {
                let answer = caught(|| hook(request.clone())).await;
                answer.ok_or(Refusal::Panicked)?
            }
            None => Answer::accept(),
        };
        match answer {
            Answer::Upgrade(acceptance) => Ok(acceptance),
            Answer::Respond(response) => Err(Refusal::Respond(final_only(response).into())),
        }
    }

    fn agree(
        &self,
        Asked { request, upgrade }: Asked,
        acceptance: Acceptance,
    ) -> Result<(Negotiated, Request), Refusal> {
        let upgrade = upgrade.map_err(Refusal::NotEnabled)?;
        Ok((agree(upgrade, acceptance, &self.settings.config)?, request))
    }

    /// Whoever counts is told of a refusal; gives the answer, where there can be one.
    pub(super) fn note_refusal(&self, refusal: Refusal) -> (Error, Option<Response<Bytes>>) {
        let is_known = matches!(refusal, Refusal::NotAdmitted(_));
        let is_told = refusal.by().is_some();
        let (error, response) = refusal.into_parts();
        if !is_told {
            Trace::unasked(response.as_ref().map(|response| response.status().as_u16()), &error);
        }
        if !is_known {
            self.tell_refused(&error);
        }
        (error, response)
    }

    /// What the proxy says who the client is, where there is a place for that.
    async fn read_client<S: ByteStream>(
        &self,
        stream: &mut S,
        peer_addr: Option<SocketAddr>,
        mut has_place: impl FnMut(IpAddr) -> bool + Send,
    ) -> Result<Client, Refusal> {
        let (mut reader, mut client) = (ProxyHeaderReader::new(), peer_addr);
        let reading = read_head::<S, Refusal>(stream, |bytes| {
            let Some((header, taken)) = reader.receive(bytes)? else { return Ok(None) };
            if let ProxyHeader::Proxied { source, .. } = header {
                client = Some(source);
            }
            Ok(Some(taken))
        });
        let read = tokio::time::timeout(PROXY_TIMEOUT, reading).await;
        let input = read.unwrap_or(Err(HandshakeError::Timeout.into()))?;
        if client != peer_addr && !client.is_none_or(|client| has_place(client.ip())) {
            return Err(HandshakeError::Busy { retry_after: BUSY_RETRY_AFTER }.into());
        }
        Ok((client, input.into()))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor")
            .field("config", &self.settings.config)
            .field("head_limits", &self.settings.head_limits)
            .field("handshake_timeout", &self.settings.handshake_timeout)
            .field("origins", &self.settings.origins)
            .finish_non_exhaustive()
    }
}

/// Chooses of an offer, compression as the config has it where nothing else was said.
pub(super) fn agree(
    upgrade: Upgrade,
    acceptance: Acceptance,
    config: &Config,
) -> Result<Negotiated, HandshakeError> {
    let mut acceptance = acceptance.or_deflate(config.deflate);
    if !ContextSlot::may_promise() {
        acceptance = acceptance.without_peer_context();
    }
    upgrade.accept(acceptance)
}

/// An answer that is no final one (101, say) would leave the client waiting for what never comes: the
/// hook's mistake is a 500.
fn final_only(mut response: Response<Bytes>) -> Response<Bytes> {
    if response.status().is_informational() {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

pub(super) fn internal_error() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"internal error"));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

pub(super) async fn within<T>(
    deadline: Instant,
    step: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let done = timeout_at(deadline, step).await;
    done.unwrap_or(Err(HandshakeError::Timeout.into()))
}

/// A request and whether it is an upgrade.
struct Asked {
    request: Request,
    upgrade: Result<Upgrade, HandshakeError>,
}

/// Why a stream did not become a WebSocket.
pub(super) enum Refusal {
    Handshake(HandshakeError),
    /// The admission's answer: it knows.
    NotAdmitted(Box<Response<Bytes>>),
    /// The hook's.
    Respond(Box<Response<Bytes>>),
    /// The hook accepted what is no upgrade.
    NotEnabled(HandshakeError),
    /// The hook, or the admission.
    Panicked,
    Io(std::io::Error),
    Tls(std::io::Error),
}

impl Refusal {
    /// Who decided, where the request was known.
    const fn by(&self) -> Option<&'static str> {
        match self {
            Self::NotAdmitted(_) => Some("admission"),
            Self::Respond(_) => Some("hook"),
            Self::Panicked => Some("panic"),
            _ => None,
        }
    }

    fn tell(&self, trace: &Trace) {
        let status = match self {
            Self::NotAdmitted(response) | Self::Respond(response) => response.status(),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        self.by().into_iter().for_each(|by| trace.refused(status.as_u16(), by));
    }

    /// What the caller is told, and the client.
    fn into_parts(self) -> (Error, Option<Response<Bytes>>) {
        match self {
            // There is no protocol yet to answer in.
            Self::Handshake(error @ HandshakeError::ProxyProtocol(_)) => (error.into(), None),
            Self::Handshake(error) => {
                let response = error.to_response();
                (error.into(), Some(response))
            }
            Self::NotAdmitted(response) | Self::Respond(response) => {
                (Error::Answered(response.status()), Some(*response))
            }
            Self::NotEnabled(error) => (Error::WebSocketNotEnabled, Some(error.to_response())),
            Self::Panicked => (Error::Panicked, Some(internal_error())),
            Self::Io(error) => (Error::Io(error), None),
            Self::Tls(error) => (Error::Tls(error), None),
        }
    }
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes the answer and waits a little for the client to have read it. Bytes that still come are
/// thrown away unread: nothing behind a refused head is ever parsed.
pub(super) async fn refuse<S: ByteStream>(stream: &mut S, response: &Response<Bytes>) {
    let mut bytes = Vec::with_capacity(256);
    encode_response(response, &mut bytes);
    let lingering = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        let mut block = [0; 512];
        let mut drained = 0;
        while drained < LINGER_BYTES_MAX {
            match stream.read(&mut block).await? {
                0 => break,
                len => drained += len,
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // The client may be gone or slow; either way the stream is closed now.
    let _ = tokio::time::timeout(LINGER_TIMEOUT, Box::pin(lingering)).await;
}
