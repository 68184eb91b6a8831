//! A route, as it is set up.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;

use crate::auth::AuthError;
use crate::hub::Peer;
use crate::net::{NetStream, WebSocket};
use crate::protocol::CloseOutcome;
use crate::sync::Arc;

use super::check;
use super::context::Context;
use super::endpoint::{ACK, Access, Endpoint, Named};
use super::error::AppError;
use super::event::{Codec, NAME_BYTES_MAX};
use super::fault::Fault;
use super::guard::Guard;
use super::handle::Typed;
use super::next::{Middleware, Next};
use super::reply::{IntoReply, Reply};
use super::routes::{Entry, EventRoute, Kind, OnClose, OnOpen, OnSocket};
use super::visitor::Visitor;
use super::watched::Watched;

/// What is done on the connections of one path.
///
/// ```
/// use serde_json::{Value, json};
/// use sockeye::app::{App, Codec, Context, Route, authenticated};
///
/// let game = Route::events()
///     .codec(Codec::Tagged)
///     .guard(authenticated())
///     .on("player-move", async |context: Context, step: Value| {
///         let table = context.param("table").unwrap_or_default();
///         // The job queue is full: this step is not seen.
///         let _ = context.to_room(table).except_self().send("player-moved", &step);
///     });
/// let app = App::new().route("/ws/game/{table}", game);
/// # drop(app);
/// ```
#[must_use]
pub struct Route {
    guards: Vec<Box<Guard>>,
    on_socket: Option<Arc<OnSocket>>,
    codec: Codec,
    endpoints: Vec<Endpoint>,
    pub(super) checks: Vec<check::SetUp>,
    middleware: Vec<Arc<Middleware>>,
    on_open: Option<Box<OnOpen>>,
    on_close: Vec<Box<OnClose>>,
}

impl Route {
    /// Connections that speak events.
    pub fn events() -> Self {
        Self {
            guards: Vec::new(),
            on_socket: None,
            codec: Codec::default(),
            endpoints: Vec::new(),
            checks: Vec::new(),
            middleware: Vec::new(),
            on_open: None,
            on_close: Vec::new(),
        }
    }

    /// Connections with a handler of their own: the socket, who opened it, and its connection as the hub knows it,
    /// for the time of the handler. No events, no session. Only guards can be added.
    pub fn raw<F, Fut>(on_socket: F) -> Self
    where
        F: Fn(WebSocket<NetStream>, Visitor, Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let on_socket: Arc<OnSocket> =
            Arc::new(move |socket, visitor, peer| Box::pin(on_socket(socket, visitor, peer)));
        Self { on_socket: Some(on_socket), ..Self::events() }
    }

    /// Asks this before the upgrade; the error is the answer. Several are asked in order.
    pub fn guard<F>(mut self, guard: F) -> Self
    where
        F: Fn(&Visitor) -> Result<(), AuthError> + Send + Sync + 'static,
    {
        self.guards.push(Box::new(guard));
        self
    }

    /// How its events look (default [`Codec::Envelope`]).
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    pub(super) const fn events_codec(&self) -> Codec {
        self.codec
    }

    /// Handles an event. The payload is read into the type of the handler's second argument: one that does not fit
    /// is answered with 422 and the field. What the handler returns is the answer: see [`IntoReply`].
    pub fn on<F, Fut, P, R, M>(self, event: &str, handler: F) -> Self
    where
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        P: DeserializeOwned + 'static,
        R: IntoReply<M> + 'static,
        M: 'static,
    {
        self.handle(event, Access::Everybody, handler)
    }

    /// The same for users only: others are answered with 401.
    pub fn on_authenticated<F, Fut, P, R, M>(self, event: &str, handler: F) -> Self
    where
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        P: DeserializeOwned + 'static,
        R: IntoReply<M> + 'static,
        M: 'static,
    {
        self.handle(event, Access::Users, handler)
    }

    fn handle<F, Fut, P, R, M>(mut self, event: &str, access: Access, handler: F) -> Self
    where
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        P: DeserializeOwned + 'static,
        R: IntoReply<M> + 'static,
        M: 'static,
    {
        let handle = Box::new(Typed::<F, P, M>::new(handler));
        self.endpoints.push(Endpoint { named: Named::new(event), access, check: None, handle });
        self
    }

    /// Puts something around all handlers of this route: see [`Next`]. Several are nested, the first outermost.
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Self
    where
        F: Fn(Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.middleware.push(Arc::new(move |next| Box::pin(middleware(next))));
        self
    }

    /// Calls this on each connection before its first event is handled; [`Context::is_resumed`] tells whether the
    /// session was there before.
    pub fn on_open<F, Fut>(mut self, call: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_open = Some(Box::new(move |context: Context| {
            let timeout = context.handler_timeout();
            match catch_unwind(AssertUnwindSafe(|| call(context.clone()))) {
                Ok(future) => Box::pin(async move {
                    if let Err(fault) = Watched::new(future, timeout).await {
                        context.note(&fault);
                    }
                }),
                Err(panic) => {
                    context.note(&Fault::of_panic(&*panic));
                    Box::pin(std::future::ready(()))
                }
            }
        }));
        self
    }

    /// Calls this when a connection is over. The session may go on with another. May be given several times: each is
    /// called, in that order.
    pub fn on_close<F>(mut self, call: F) -> Self
    where
        F: Fn(&Context, &CloseOutcome) + Send + Sync + 'static,
    {
        self.on_close.push(Box::new(call));
        self
    }

    /// Whether its connections speak events.
    pub(super) const fn has_events(&self) -> bool {
        self.on_socket.is_none()
    }

    /// Whether nothing is set up.
    pub(super) fn is_empty(&self) -> bool {
        let Self { guards, on_socket, codec, endpoints, checks, middleware, on_open, on_close } =
            self;
        guards.is_empty()
            && on_socket.is_none()
            && *codec == Codec::default()
            && endpoints.is_empty()
            && checks.is_empty()
            && middleware.is_empty()
            && on_open.is_none()
            && on_close.is_empty()
    }

    /// The route as it is looked up, behind the middleware of the application.
    pub(super) fn build(self, before: &[Arc<Middleware>], path: &str) -> Result<Entry, AppError> {
        let Some(on_socket) = self.on_socket else {
            let middleware = before.iter().cloned().chain(self.middleware).collect();
            let mut route = EventRoute {
                name: format!("{:?} {path}", self.codec),
                codec: self.codec,
                endpoints: Default::default(),
                check: None,
                middleware,
                on_open: self.on_open,
                on_close: self.on_close,
            };
            for endpoint in self.endpoints {
                add(&mut route, endpoint)?;
            }
            for check in self.checks {
                add_check(&mut route, check, path)?;
            }
            return Ok(Entry { guards: self.guards, kind: Kind::Events(Arc::new(route)) });
        };
        let has_events = !self.endpoints.is_empty() || !self.middleware.is_empty();
        if has_events
            || !self.checks.is_empty()
            || self.on_open.is_some()
            || !self.on_close.is_empty()
        {
            let reason = "a raw route has guards only".to_owned();
            return Err(AppError::Route { path: path.to_owned(), reason });
        }
        Ok(Entry { guards: self.guards, kind: Kind::Raw(on_socket) })
    }
}

fn add(route: &mut EventRoute, endpoint: Endpoint) -> Result<(), AppError> {
    let name = endpoint.named.event.clone();
    let reason = if !(1..=NAME_BYTES_MAX - ACK.len()).contains(&name.len())
        || name.chars().any(char::is_control)
    {
        "a name has 1 to 124 bytes and no control characters"
    } else if name.starts_with("sys.") || name == route.codec.error_name() {
        "these names are the protocol's"
    } else if route.endpoints.insert(name.clone().into(), endpoint).is_some() {
        "it has a handler already"
    } else {
        return Ok(());
    };
    Err(AppError::Event { name, reason })
}

fn add_check(
    route: &mut EventRoute,
    (event, check): check::SetUp,
    path: &str,
) -> Result<(), AppError> {
    let of = event.as_ref().map_or(format!("messages at {path}"), |event| format!("event {event}"));
    let refusal = |reason: String| AppError::Schema { of: of.clone(), reason };
    let place = match &event {
        None => Some(&mut route.check),
        Some(event) => route.endpoints.get_mut(&**event).map(|endpoint| &mut endpoint.check),
    };
    let place = place.ok_or_else(|| refusal("it has no handler".to_owned()))?;
    match place.replace(check.map_err(refusal)?) {
        None => Ok(()),
        Some(_) => Err(AppError::Schema { of, reason: "there is one already".to_owned() }),
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.endpoints.iter().map(|endpoint| &endpoint.named.event);
        f.debug_struct("Route")
            .field("codec", &self.codec)
            .field("events", &names.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
