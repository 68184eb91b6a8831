//! The extractor.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum_core::Error;
use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::Response;
use http::request::Parts;
use http::{HeaderValue, Request, Version};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::failed::{DefaultOnFailedUpgrade, OnFailedUpgrade};
use super::rejection::{WebSocketUpgradeRejection, response_of};
use super::socket::WebSocket;
use crate::deflate::Deflate;
use crate::handshake::{Acceptance, HandshakeError, Origins, Upgrade};
use crate::hyper::{Opening, protocol_of};
use crate::net::{self, NetStream, SocketTasks, Upgrading};
use crate::protocol::Config;
use crate::sync::Arc;

/// How long it may take from the handler's answer to the stream behind it.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// A request that may become a WebSocket: an extractor for axum's handlers, by the names of axum's own.
///
/// Use it with `any`, so that it serves HTTP/1.1 (GET) and HTTP/2 (CONNECT) alike. The handler has to return what
/// [`on_upgrade`](Self::on_upgrade) gives.
///
/// ```no_run
/// use axum::response::Response;
/// use sockeye::axum::WebSocketUpgrade;
/// use sockeye::Deflate;
///
/// async fn handler(upgrade: WebSocketUpgrade) -> Response {
///     upgrade
///         .protocols(["graphql-transport-ws"])
///         .max_message_size(64 * 1024)
///         .deflate(Deflate::no_context())
///         .on_upgrade(async |mut socket| {
///             let _ = socket.send("hello".into()).await;
///         })
/// }
/// ```
#[must_use = "the connection is upgraded by `on_upgrade`"]
pub struct WebSocketUpgrade<F = DefaultOnFailedUpgrade> {
    head: Request<()>,
    upgrade: Upgrade,
    on_upgrade: OnUpgrade,
    on_failed: F,
    requested: Vec<HeaderValue>,
    selected: Option<HeaderValue>,
    config: Config,
    origins: Origins,
    tasks: Option<SocketTasks>,
}

/// As axum has them.
impl<F> WebSocketUpgrade<F> {
    /// Has no effect here: a connection that waits has no read buffer, and others read into one of their thread.
    pub fn read_buffer_size(self, _bytes: usize) -> Self {
        self
    }

    /// Has no effect here: what is sent is written at once, what is fed before a connection waits.
    pub fn write_buffer_size(self, _bytes: usize) -> Self {
        self
    }

    /// Most payload bytes that wait for the peer: [`Config::outbox_bytes_max`] (default 1 MiB). Whoever sends more waits.
    pub fn max_write_buffer_size(mut self, bytes: usize) -> Self {
        self.config.outbox_bytes_max = bytes;
        self
    }

    /// Longest message, in bytes: [`Config::message_bytes_max`] (default 16 MiB). A longer one: close 1009.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.config.message_bytes_max = bytes;
        self
    }

    /// Longest frame, in bytes: [`Config::frame_bytes_max`] (default: the longest message). A longer one: close 1009.
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.config.frame_bytes_max = Some(bytes);
        self
    }

    /// Has no effect here: a server must close on a frame that is not masked. Source: RFC 6455 5.1.
    pub fn accept_unmasked_frames(self, _accept: bool) -> Self {
        self
    }

    /// The subprotocols that are spoken here, the best first: the first that the client offers is selected.
    pub fn protocols<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Cow<'static, str>>,
    {
        let offered = self.upgrade.subprotocols();
        let known = protocols.into_iter().map(Into::into);
        let mut both =
            known.filter(|name: &Cow<'_, str>| offered.iter().any(|offer| offer == name));
        self.selected = both.next().and_then(|name| HeaderValue::from_str(&name).ok());
        self
    }

    /// The subprotocols the client offers, in its order.
    pub fn requested_protocols(&self) -> impl Iterator<Item = &HeaderValue> {
        self.requested.iter()
    }

    /// Selects a subprotocol. One that the client did not offer is a mistake of the program: the client gets 500.
    pub fn set_selected_protocol(&mut self, protocol: HeaderValue) {
        self.selected = Some(protocol);
    }

    /// The subprotocol that is selected by now.
    #[must_use]
    pub const fn selected_protocol(&self) -> Option<&HeaderValue> {
        self.selected.as_ref()
    }

    /// Calls this when the upgrade was answered and comes to nothing: the client has gone, or the answer was not sent
    /// within 10 s.
    pub fn on_failed_upgrade<C: OnFailedUpgrade>(self, callback: C) -> WebSocketUpgrade<C> {
        WebSocketUpgrade {
            head: self.head,
            upgrade: self.upgrade,
            on_upgrade: self.on_upgrade,
            on_failed: callback,
            requested: self.requested,
            selected: self.selected,
            config: self.config,
            origins: self.origins,
            tasks: self.tasks,
        }
    }

    /// Answers, and runs this on the socket once the answer has gone out. A browser's request from an origin that is not
    /// allowed is answered with 403, and nothing runs.
    #[must_use = "the handler has to return it"]
    pub fn on_upgrade<C, Fut>(mut self, callback: C) -> Response
    where
        C: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        F: OnFailedUpgrade,
    {
        self.config.control_messages = true;
        let protocol = self.selected.clone();
        self.on_upgrade_native(move |socket| callback(WebSocket::new(socket, protocol)))
    }
}

/// Only here.
impl<F> WebSocketUpgrade<F> {
    /// All limits and deadlines at once. Call it before those that set one.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Compresses, if the client agrees (default: no).
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.config.deflate = deflate;
        self
    }

    /// Which origins a browser may come from (default: the host it asks for). Others get 403.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Runs the connection as a task of this owner, which closes it with 1001 when it stops. Without one, and without
    /// [`SocketTasks`] as an extension of the request, it is a task of nobody's, as axum's own is.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use axum::response::Response;
    /// use axum::routing::any;
    /// use axum::{Extension, Router};
    /// use sockeye::axum::WebSocketUpgrade;
    /// use sockeye::net::SocketOwner;
    ///
    /// async fn handler(upgrade: WebSocketUpgrade) -> Response {
    ///     upgrade.on_upgrade(async |mut socket| while let Some(Ok(_)) = socket.recv().await {})
    /// }
    ///
    /// # async fn example(listener: tokio::net::TcpListener, ctrl_c: tokio::sync::oneshot::Receiver<()>) -> std::io::Result<()> {
    /// let owner = SocketOwner::new(Duration::from_secs(5));
    /// let router = Router::new().route("/ws", any(handler)).layer(Extension(owner.tasks()));
    /// let stopping = async {
    ///     let _ = ctrl_c.await;
    ///     owner.stop().await;
    /// };
    /// axum::serve(listener, router).with_graceful_shutdown(stopping).await?;
    /// # Ok(()) }
    /// ```
    pub fn owned_by(mut self, tasks: SocketTasks) -> Self {
        self.tasks = Some(tasks);
        self
    }

    /// [`on_upgrade`](Self::on_upgrade) with the crate's own [`WebSocket`](crate::WebSocket): `recv_ref`, `run` with a
    /// handler (the fastest) and `split`. Pings, pongs and the close frame are no messages there, unless the config says so.
    #[must_use = "the handler has to return it"]
    pub fn on_upgrade_native<C, Fut>(self, callback: C) -> Response
    where
        C: FnOnce(net::WebSocket<NetStream>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        F: OnFailedUpgrade,
    {
        let Self { head, upgrade, on_upgrade, on_failed, selected, config, origins, tasks, .. } =
            self;
        let checked = origins.check(&head);
        let upgrading = match checked.and_then(|()| agree(&head, upgrade, selected, config)) {
            Ok(upgrading) => upgrading,
            Err(error) => return response_of(&error),
        };
        let response = upgrading.response().map(|()| Body::empty());
        let opening = Opening::new(upgrading, on_upgrade, Instant::now() + OPENING_TIMEOUT);
        let opening = async move {
            let opened = opening.await;
            if let Err(error) = opened {
                on_failed.call(Error::new(error));
                return Err(crate::error::Error::Closed);
            }
            opened
        };
        match tasks {
            Some(tasks) => tasks.run(opening, callback),
            None => drop(tokio::spawn(async move {
                if let Ok(socket) = opening.await {
                    callback(socket).await;
                }
            })),
        }
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade<DefaultOnFailedUpgrade> {
    type Rejection = WebSocketUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let is_extended = parts.version > Version::HTTP_11;
        Self::of(parts, is_extended)
            .map_err(|error| WebSocketUpgradeRejection::of(error, is_extended))
    }
}

impl WebSocketUpgrade<DefaultOnFailedUpgrade> {
    fn of(parts: &mut Parts, is_extended: bool) -> Result<Self, HandshakeError> {
        let head = head_of(parts);
        let upgrade = if is_extended {
            let protocol = protocol_of(&head).unwrap_or_default();
            Upgrade::from_extended_connect(&head, protocol)?
        } else {
            Upgrade::from_request(&head)?
        };
        let tasks: Option<SocketTasks> = parts.extensions.get().cloned();
        if tasks.as_ref().is_some_and(SocketTasks::is_closing) {
            return Err(HandshakeError::Busy { retry_after: Duration::from_secs(1) });
        }
        let on_upgrade = parts.extensions.remove().ok_or(HandshakeError::NotUpgradable)?;
        let names = upgrade.subprotocols().iter();
        // They are tokens.
        let requested = names.filter_map(|name| HeaderValue::from_str(name).ok()).collect();
        Ok(Self {
            head,
            upgrade,
            on_upgrade,
            on_failed: DefaultOnFailedUpgrade,
            requested,
            selected: None,
            config: Config::default(),
            origins: Origins::SameHost,
            tasks,
        })
    }
}

fn agree(
    head: &Request<()>,
    upgrade: Upgrade,
    selected: Option<HeaderValue>,
    config: Config,
) -> Result<Upgrading, HandshakeError> {
    let mut acceptance = Acceptance::default();
    if let Some(selected) = selected {
        let name = selected.to_str().map_err(|_| HandshakeError::ChosenSubprotocol)?;
        acceptance = acceptance.subprotocol(name);
    }
    Upgrading::new(head, upgrade, acceptance, Arc::new(config))
}

/// The head of a request: what a handshake looks at.
fn head_of(parts: &Parts) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(&parts.method);
    head.uri_mut().clone_from(&parts.uri);
    *head.version_mut() = parts.version;
    head.headers_mut().clone_from(&parts.headers);
    if let Some(protocol) = parts.extensions.get::<hyper::ext::Protocol>() {
        head.extensions_mut().insert(protocol.clone());
    }
    head
}

/// No value of the request: it may hold tokens.
impl<F> fmt::Debug for WebSocketUpgrade<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade")
            .field("config", &self.config)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
