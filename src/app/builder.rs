//! An application, as it is set up.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::auth::{AuthError, Authenticator, CredentialSources, SharedAuthenticator};
use crate::handshake::Origins;
use crate::hub::{HUB_MESSAGE_BYTES_MAX, HistoryConfig, Hub, HubBuilder, PresenceChange, Wiring};
use crate::net::{Acceptor, Request, Server};
use crate::protocol::{CloseOutcome, Config, Rate};
use crate::sync::Arc;

use super::Storage;
use super::context::Context;
use super::entrance::Entrance;
use super::error::AppError;
use super::event::Codec;
use super::next::{Middleware, Next};
use super::presence::Presence;
use super::reply::{IntoReply, Reply};
use super::route::Route;
use super::routes::Routes;
use super::running::Running;
use super::settings::Settings;
use super::shared::Shared;
use super::site::{Page, Site, page_headers};
use super::visitor::Visitor;
use crate::session::SessionConfig;

/// An application: what it listens on, who may come in, and what is done with their events.
///
/// Its own route is at [`path`](Self::path); what is set up with [`on`](Self::on), [`codec`](Self::codec),
/// [`guard`](Self::guard) and the like is set up there. Others are added with [`route`](Self::route).
#[must_use]
pub struct App {
    host: String,
    port: u16,
    listeners: Vec<Listener>,
    path: String,
    own: Route,
    routes: Vec<(String, Route)>,
    middleware: Vec<Arc<Middleware>>,
    hub: HubBuilder,
    pub(super) wiring: Option<Wiring>,
    sessions: SessionConfig,
    pub(super) storage: Option<Storage>,
    authenticator: Option<SharedAuthenticator>,
    sources: CredentialSources,
    requires_auth: bool,
    acceptor: Option<Acceptor>,
    origins: Option<Origins>,
    subprotocol: Option<&'static str>,
    pages: HashMap<String, Page>,
    page_headers: HeaderMap,
    presence: Option<Presence>,
    history: HistoryConfig,
    settings: Settings,
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// An application at `ws://localhost:8080/ws` without handlers.
    pub fn new() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 8080,
            listeners: Vec::new(),
            path: "/ws".to_owned(),
            own: Route::events(),
            routes: Vec::new(),
            middleware: Vec::new(),
            hub: Hub::builder(),
            wiring: None,
            sessions: SessionConfig::default(),
            storage: None,
            authenticator: None,
            sources: CredentialSources::new(),
            requires_auth: false,
            acceptor: None,
            origins: None,
            subprotocol: None,
            pages: HashMap::new(),
            page_headers: page_headers(),
            presence: None,
            history: HistoryConfig::default(),
            settings: Settings::default(),
        }
    }

    // Where.

    /// The host it listens on (default `localhost`).
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The port (default 8080); with 0 the system chooses one, see [`Running::local_addrs`].
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Listens here instead of on host and port: with TLS, say, or on a listener of one's own. May be called
    /// several times. The server's own acceptor is not used.
    ///
    /// ```no_run
    /// use sockeye::Server;
    /// use sockeye::app::App;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let app = App::new()
    ///     .listen(Server::bind("[::1]:8080").await?)
    ///     .listen(Server::bind("127.0.0.1:8080").await?)
    ///     .listen_unix("/run/chat/chat.sock");
    /// # drop(app);
    /// # Ok(()) }
    /// ```
    pub fn listen(mut self, server: Server) -> Self {
        self.listeners.push(Listener::Bound(Box::new(server)));
        self
    }

    /// The same for a Unix socket at this path: see [`Server::bind_unix`]. It is there from [`start`](Self::start) on.
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.listeners.push(Listener::Unix(path.into()));
        self
    }

    /// The path of its own route (default `/ws`).
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// One more route. The path may have parameters, `/ws/game/{table}`, and end in a rest, `/files/{*path}`.
    pub fn route(mut self, path: impl Into<String>, route: Route) -> Self {
        self.routes.push((path.into(), route));
        self
    }

    /// A page at a path: shown to those who come there without a WebSocket. It is sent with headers that let nothing
    /// run, load or connect in it but what is from this host (and `data:` images), nothing inline among it, unless
    /// [`page_header`](Self::page_header) says otherwise.
    pub fn page(
        mut self,
        path: impl Into<String>,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        self.pages.insert(path.into(), Page::Static { content_type, body: body.into() });
        self
    }

    /// A header of all pages, in the place of the one that they have: `Content-Security-Policy`, `Cache-Control`.
    pub fn page_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.page_headers.insert(name, value);
        self
    }

    /// The browser client at a path, `/sockeye.js` say, for pages to import.
    pub fn browser_client(self, path: impl Into<String>) -> Self {
        self.page(path, "text/javascript; charset=utf-8", super::protocol::BROWSER_CLIENT)
    }

    /// Says `ok` at a path, `/healthz` say, while it runs.
    pub fn health(mut self, path: impl Into<String>) -> Self {
        self.pages.insert(path.into(), Page::Health);
        self
    }

    /// Shows the hub's metrics in Prometheus' text format at a path, to whom this lets; others get 403.
    pub fn metrics<F>(mut self, path: impl Into<String>, may_scrape: F) -> Self
    where
        F: Fn(&Request) -> bool + Send + Sync + 'static,
    {
        self.pages.insert(path.into(), Page::Metrics(Arc::new(may_scrape)));
        self
    }

    // Who.

    /// Asks this who somebody is, before the upgrade. Credentials that are wrong are refused; who has none comes in
    /// as nobody, unless [`require_auth`](Self::require_auth) or a guard says no.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(SharedAuthenticator::new(authenticator));
        self
    }

    /// Where credentials are looked for (default: `Authorization` and subprotocols, not the query).
    pub const fn credential_sources(mut self, sources: CredentialSources) -> Self {
        self.sources = sources;
        self
    }

    /// Refuses whoever the authenticator does not know with 401, on all routes.
    pub const fn require_auth(mut self) -> Self {
        self.requires_auth = true;
        self
    }

    /// Which origins a browser may come from (default: the host it asks for).
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = Some(origins);
        self
    }

    /// A subprotocol that is chosen where it is offered: a browser that sends its token as one has to offer another
    /// beside it. Without this there is `sockeye.v1`, which the browser client offers.
    pub const fn subprotocol(mut self, name: &'static str) -> Self {
        self.subprotocol = Some(name);
        self
    }

    /// How handshakes are done: head limits, deadlines, proxies. Config, admission and hook are set by the
    /// application.
    pub fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = Some(acceptor);
        self
    }

    // What.

    /// As [`Route::on`], on its own route.
    pub fn on<F, Fut, P, R, M>(self, event: &str, handler: F) -> Self
    where
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        P: DeserializeOwned + 'static,
        R: IntoReply<M> + 'static,
        M: 'static,
    {
        self.with_own(|route| route.on(event, handler))
    }

    /// As [`Route::on_authenticated`], on its own route.
    pub fn on_authenticated<F, Fut, P, R, M>(self, event: &str, handler: F) -> Self
    where
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        P: DeserializeOwned + 'static,
        R: IntoReply<M> + 'static,
        M: 'static,
    {
        self.with_own(|route| route.on_authenticated(event, handler))
    }

    /// As [`Route::codec`], on its own route.
    pub fn codec(self, codec: Codec) -> Self {
        self.with_own(|route| route.codec(codec))
    }

    /// As [`Route::guard`], on its own route.
    pub fn guard<F>(self, guard: F) -> Self
    where
        F: Fn(&Visitor) -> Result<(), AuthError> + Send + Sync + 'static,
    {
        self.with_own(|route| route.guard(guard))
    }

    /// As [`Route::on_open`], on its own route.
    pub fn on_open<F, Fut>(self, call: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.with_own(|route| route.on_open(call))
    }

    /// As [`Route::on_close`], on its own route.
    pub fn on_close<F>(self, call: F) -> Self
    where
        F: Fn(&Context, &CloseOutcome) + Send + Sync + 'static,
    {
        self.with_own(|route| route.on_close(call))
    }

    /// Puts something around the handlers of all routes: see [`Next`]. Several are nested, the first outermost.
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Self
    where
        F: Fn(Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.middleware.push(Arc::new(move |next| Box::pin(middleware(next))));
        self
    }

    /// Tells the members of a room who joins and who leaves it: an event of this name, with what this makes of the
    /// change as its payload; nothing (`None`) is not told. Whoever it is about is not told; a session that waits for
    /// its client is still there. In the place of the [hub's own](HubBuilder::on_presence).
    ///
    /// ```
    /// use serde_json::json;
    /// use sockeye::app::App;
    /// use sockeye::hub::PresenceKind;
    ///
    /// let app = App::new().presence("room.presence", |change| {
    ///     json!({"user": change.user.as_deref(), "isHere": change.kind == PresenceKind::Joined})
    /// });
    /// # drop(app);
    /// ```
    ///
    /// In a cluster those on other nodes are told of, too: users, not guests, with no peer in the change and in the codec of
    /// the application's own route.
    ///
    /// Who is in a room: [`Room::users`](crate::hub::Room::users), [`Room::peers`](crate::hub::Room::peers). Where the hub
    /// has too much to do for it, it is told later, in order. Whoever joins and then asks who is there is told of all that
    /// changes from the join on, so the answer may have what a change says before or after it: a change is what is true
    /// from then on, and one that says what is known already is nothing new.
    pub fn presence<F, P>(mut self, event: &str, payload: F) -> Self
    where
        F: Fn(&PresenceChange) -> P + Send + Sync + 'static,
        P: Serialize,
    {
        self.presence = Some(Presence::new(event.to_owned(), payload));
        self
    }

    /// Calls this with every error that a client does not see: those that a handler returned and that neither are nor
    /// become an [`EventError`](super::EventError), what is [behind](super::EventError::with_source) one that is shown, panics,
    /// handlers that took too long. Without it, nobody hears of them: an application sets it.
    pub fn on_error<F>(mut self, call: F) -> Self
    where
        F: Fn(&Context, &(dyn Error + Send + Sync + 'static)) + Send + Sync + 'static,
    {
        self.settings.on_error = Some(Arc::new(call));
        self
    }

    /// Keeps a value for the handlers, one of each type: see [`Context::state`].
    pub fn state<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.settings.state.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    // How much.

    /// The hub: limits, default rooms. Messages may have up to 256 KiB, unless it was given a
    /// [`config`](HubBuilder::config): then that one holds, with its limits and deadlines.
    pub fn hub(mut self, hub: HubBuilder) -> Self {
        self.hub = hub;
        self
    }

    /// How long sessions outlive their connections, and what is kept for them.
    pub fn sessions(mut self, config: SessionConfig) -> Self {
        self.sessions = config;
        self
    }

    /// How much is kept of what is [said to rooms to be kept](super::Audience::keep).
    pub const fn history(mut self, config: HistoryConfig) -> Self {
        self.history = config;
        self
    }

    /// How long a handler may take (default 30 s), from when it first waits: then it is dropped, and the client told
    /// 408.
    pub const fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handler_timeout = timeout;
        self
    }

    /// The longest event, in bytes (default 64 KiB): a longer one is refused with 413. What is longer than the
    /// connection's messages may be closes it with 1009.
    pub const fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.event_bytes_max = bytes;
        self
    }

    /// How many events a connection may send (default: any): others are refused with 429, and who goes on is closed
    /// with 1008.
    pub const fn event_rate(mut self, rate: Rate) -> Self {
        self.settings.event_rate = Some(rate);
        self
    }

    // On.

    /// Listens, and serves until it is [stopped](Running::stop) or dropped.
    ///
    /// # Errors
    /// When an address cannot be had, or something that was set up makes no sense: two handlers of one event, two
    /// routes of one path, a limit of zero, a schema that is none.
    ///
    /// Cancel safety: dropping the future ends what has begun.
    pub async fn start(mut self) -> Result<Running, AppError> {
        if self.listeners.is_empty() {
            self.listeners.push(Listener::Tcp);
        }
        self.attach().await
    }

    /// The same without host and port: it listens where it was [told to](Self::listen), nowhere perhaps, and takes
    /// connections of another HTTP server, as hyper or axum, at its [door](Running::door).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// Cancel safety: dropping the future ends what has begun.
    pub async fn attach(self) -> Result<Running, AppError> {
        let codec = self.spoken();
        let presence = self.presence.map(|told| Arc::new(told.with_codec(codec)));
        let hub = match presence.clone() {
            Some(presence) => self.hub.on_presence(move |change| presence.tell(change)),
            None => self.hub,
        };
        let hub = hub.default_config(config);
        let hub = match self.wiring {
            Some(wiring) => hub.wired(wiring),
            None => hub,
        };
        let hub = hub.build()?;
        let routes = Arc::new(build(self.own, self.path, self.routes, &self.middleware)?);
        let mut servers = Vec::with_capacity(self.listeners.len());
        for listener in self.listeners {
            servers.push(listener.bind(&self.host, self.port).await?);
        }
        let asking =
            self.authenticator.map(|asked| crate::hub::Asking::new(&hub, asked, self.sources));
        let (site_routes, requires_auth) = (routes.clone(), self.requires_auth);
        let entrance = Entrance { hub: hub.clone(), routes, asking, requires_auth };
        let site = Arc::new(Site {
            hub: hub.clone(),
            routes: site_routes,
            pages: self.pages,
            headers: self.page_headers,
            subprotocol: self.subprotocol,
        });
        let mut acceptor = self.acceptor.unwrap_or_default().with_config(hub.config().clone());
        if let Some(origins) = self.origins {
            acceptor = acceptor.origins(origins);
        }
        let acceptor = acceptor
            .admission(entrance)
            .on_request(move |request| std::future::ready(site.answer(&request)));
        let shared = Arc::new(Shared::new(
            hub,
            codec,
            self.history,
            self.sessions,
            self.storage,
            self.settings,
        ));
        if let Some(moving) = &shared.moving {
            moving.begin(&shared);
        }
        if let Some(presence) = presence {
            presence.begin(&shared);
        }
        Running::start(shared, servers, acceptor)
    }

    /// The codec of what is said outside of routes: that of its own route, or of the first with events where it has no
    /// own one.
    fn spoken(&self) -> Codec {
        let mut others =
            self.routes.iter().map(|(_, route)| route).filter(|route| route.has_events());
        let own = Some(&self.own).filter(|own| !own.is_empty());
        own.or_else(|| others.next()).unwrap_or(&self.own).events_codec()
    }

    pub(super) fn with_own(mut self, change: impl FnOnce(Route) -> Route) -> Self {
        self.own = change(self.own);
        self
    }
}

/// Of the connections, where the application has chosen none. Between the longest event and the longest message an event is
/// refused and its connection kept.
fn config() -> Config {
    Config { message_bytes_max: 4 * HUB_MESSAGE_BYTES_MAX, ..Config::default() }
}

/// Where it listens.
enum Listener {
    /// On host and port.
    Tcp,
    Unix(PathBuf),
    Bound(Box<Server>),
}

impl Listener {
    async fn bind(self, host: &str, port: u16) -> io::Result<Server> {
        match self {
            Self::Tcp => Server::bind((host, port)).await,
            Self::Unix(path) => Server::bind_unix(path).await,
            Self::Bound(server) => Ok(*server),
        }
    }
}

fn build(
    own: Route,
    path: String,
    mut routes: Vec<(String, Route)>,
    middleware: &[Arc<Middleware>],
) -> Result<Routes, AppError> {
    if !own.is_empty() || routes.is_empty() {
        routes.push((path, own));
    }
    let mut router = matchit::Router::new();
    for (path, route) in routes {
        let entry = Arc::new(route.build(middleware, &path)?);
        let inserted = router.insert(path.clone(), entry);
        inserted.map_err(|error| AppError::Route { path, reason: error.to_string() })?;
    }
    Ok(Routes(router))
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths = self.routes.iter().map(|(path, _)| path);
        f.debug_struct("App")
            .field("path", &self.path)
            .field("own", &self.own)
            .field("routes", &paths.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
