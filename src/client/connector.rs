//! Connecting to a server.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;

use crate::error::Error;
use crate::handshake::{
    ClientHandshake, HandshakeError, HeadLimits, Offer, TRACEPARENT, TRACESTATE, TraceContext,
};
use crate::net::{ByteStream, NetStream, WebSocket};
use crate::protocol::Config;
use crate::sync::Arc;

use super::default_tls;
use super::dial::{Dial, SystemDial, Tls};
use super::policy::Policy;
use super::proxy::Proxies;
use super::redirect::Redirects;
use super::target::Target;

/// Connects to a URL with all defaults: `ws://`, `wss://` (feature `tls`), or a Unix socket, `ws+unix:///path/of/socket:/path`.
///
/// # Errors
/// As [`Connector::connect`].
///
/// ```no_run
/// # async fn example() -> Result<(), sockeye::Error> {
/// let mut socket = sockeye::connect("ws://127.0.0.1:9001/echo").await?;
/// socket.send("hello").await?;
/// println!("{:?}", socket.recv().await?);
/// socket.close(1000, "bye").await?;
/// # Ok(()) }
/// ```
pub async fn connect(url: &str) -> Result<WebSocket<NetStream>, Error> {
    Connector::new(Config::default()).connect(url).await
}

/// Connects to servers: headers, subprotocols, limits and deadlines, redirects, and which connections
/// are allowed at all.
///
/// A setting that is out of its range is an error where it is made, never clamped. A connector may be
/// used for any number of connections; a clone of it is another one with the same settings.
///
/// ```
/// use std::time::Duration;
/// use http::header::AUTHORIZATION;
/// use sockeye::client::Policy;
/// use sockeye::deflate::DeflateMode;
/// use sockeye::{Config, Connector};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = Connector::new(Config::default())
///     .header(AUTHORIZATION, "Bearer secret".parse()?)
///     .subprotocol("graphql-ws")
///     .dial_timeout("10s")?
///     .read_timeout(Duration::from_secs(30))?
///     .write_timeout(5000)?
///     .compression(DeflateMode::ContextTakeover)
///     .compression_threshold(1024)?
///     .read_limit(1024 * 1024)?
///     .channel_capacity(100)?
///     .follow_redirects(5)?
///     .policy(Policy::public_only());
/// # drop(connector);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Connector {
    pub(super) config: Arc<Config>,
    pub(super) offer: Offer,
    pub(super) head_limits: HeadLimits,
    pub(super) dial_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) redirects_max: u8,
    pub(super) policy: Policy,
    pub(super) proxies: Proxies,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) tls: Option<Arc<dyn Tls>>,
}

impl Connector {
    /// A connector that offers nothing, follows no redirect, and waits 10 s for the connection and 10 s
    /// for the handshake.
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            offer: Offer::default(),
            head_limits: HeadLimits::default(),
            dial_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            redirects_max: 0,
            policy: Policy::default(),
            proxies: Proxies::none(),
            dial: Arc::new(SystemDial),
            tls: default_tls(),
        }
    }

    /// Connects to a URL: `ws://`, `wss://` with the feature `tls` or
    /// [`tls`](Self::tls), `http` and `https` as other names for
    /// them, or a Unix socket, `ws+unix:///path/of/socket:/path?query`.
    ///
    /// Names may be in any script (IDNA), addresses in brackets if they are IPv6. User and password of
    /// the URL become an `Authorization` header (Basic), unless there is one already; they stand neither
    /// in `Host` nor in an error. A fragment is refused.
    ///
    /// A host with several addresses is tried as RFC 8305 has it: the next address after 250 ms or when
    /// one has failed, IPv6 and IPv4 in turn, at most 8.
    ///
    /// # Errors
    /// Nothing was sent: [`Error::Url`], [`Error::Denied`], [`Error::NoRuntime`], [`Error::Handshake`] for
    /// headers and subprotocols that cannot be sent. On the way: [`Error::Connect`], [`Error::Proxy`], [`Error::Tls`]. From
    /// the server: [`Error::Handshake`] when it does not agree, with status, headers and up to 8 KiB of the
    /// body where it answers something else than 101 ([`HandshakeError::UnexpectedStatus`]); [`Error::Io`]
    /// when it is lost; [`Error::Redirect`] for a redirect that may not be followed.
    ///
    /// Cancel safety: dropping the future drops the connection.
    ///
    /// Source: RFC 6455 3, 4.1; RFC 8305.
    pub async fn connect(&self, url: &str) -> Result<WebSocket<NetStream>, Error> {
        if Handle::try_current().is_err() {
            return Err(Error::NoRuntime);
        }
        let mut target = Target::parse(url)?;
        let mut offer = self.offer.clone();
        let mut redirects = Redirects::new(self.redirects_max);
        loop {
            match self.connect_to(&target, &offer).await {
                Err(Error::Handshake(HandshakeError::Redirect(refused)))
                    if self.redirects_max > 0 =>
                {
                    target = redirects.follow(&target, &mut offer, &refused)?;
                }
                result => return result,
            }
        }
    }

    /// Does the client's handshake on a stream of one's own; the URL says host and path. No policy is
    /// asked and no redirect followed.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// Cancel safety: dropping the future drops the stream.
    pub async fn connect_on<S: ByteStream>(
        &self,
        url: &str,
        stream: S,
    ) -> Result<WebSocket<S>, Error> {
        let handshake = self.begin(&Target::parse(url)?, &self.offer)?;
        self.finish(handshake, stream).await
    }

    async fn connect_to(
        &self,
        target: &Target,
        offer: &Offer,
    ) -> Result<WebSocket<NetStream>, Error> {
        self.policy.check_target(target)?;
        let handshake = self.begin(target, offer)?;
        let stream = match tokio::time::timeout(self.dial_timeout, self.open(target)).await {
            Ok(opened) => opened?,
            Err(_) => return Err(Error::Connect(std::io::ErrorKind::TimedOut.into())),
        };
        self.finish(handshake, stream).await
    }

    /// Whatever is wrong with the URL and the offer shows here, before anything is sent.
    fn begin(&self, target: &Target, offer: &Offer) -> Result<ClientHandshake, Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        let mut offer = offer.clone().deflate(self.config.deflate);
        if let Some(value) = &target.authorization
            && !offer.headers.contains_key(http::header::AUTHORIZATION)
        {
            offer = offer.header(http::header::AUTHORIZATION, value.clone());
        }
        if offer.headers.contains_key(http::header::PROXY_AUTHORIZATION) {
            // It would go to the server, which it is not for.
            return Err(HandshakeError::HeaderOwned(http::header::PROXY_AUTHORIZATION).into());
        }
        Ok(ClientHandshake::new(&target.uri, key, offer)?)
    }

    /// Sends this header with the handshake. One that the handshake owns is refused by `connect`.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.offer = self.offer.header(name, value);
        self
    }

    /// Says which trace the connection belongs to (`traceparent`, `tracestate`), in the place of what was said before. Give
    /// a [child](TraceContext::child) of the trace that one is in.
    pub fn trace_context(mut self, context: &TraceContext) -> Self {
        let headers = &mut self.offer.headers;
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
        // Both are visible ASCII, so nothing is left out.
        headers.extend(
            HeaderValue::try_from(context.to_string())
                .map(|value| (HeaderName::from_static(TRACEPARENT), value)),
        );
        let state = context.state().and_then(|state| HeaderValue::from_str(state).ok());
        headers.extend(state.map(|value| (HeaderName::from_static(TRACESTATE), value)));
        self
    }

    /// Offers this subprotocol, after those offered before.
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.offer = self.offer.subprotocol(subprotocol);
        self
    }

    /// Which connections are allowed (default: all).
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The proxies (default: none, also where the environment names some: see [`Proxies::from_env`]).
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// What dials (default: the operating system).
    pub fn dial(mut self, dial: impl Dial) -> Self {
        self.dial = Arc::new(dial);
        self
    }

    /// What does TLS, for `wss` URLs and proxies (default: with the feature `tls` rustls with the roots of the
    /// system or those compiled in; without it nothing does, and they are refused).
    pub fn tls(mut self, tls: impl Tls) -> Self {
        self.tls = Some(Arc::new(tls));
        self
    }
}

/// No values of headers, which may be secrets.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("offer", &self.offer)
            .field("policy", &self.policy)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}
