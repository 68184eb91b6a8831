//! A server whose connections a hub knows.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};

use crate::error::Error;
use crate::net::{Acceptor, Admission, NetStream, Pass, Request, Server, WebSocket};
use crate::sync::Arc;

use super::doors::Taken;
use super::error::RegisterError;
use super::handlers::Handlers;
use super::hub::{Hub, Registration};
use super::metrics::Rejection;
use super::peer::Profile;
use super::registry::Place;
use super::shared::Shared;
use super::shutdown::{Shutdown, ShutdownReport};

/// When a client that met a full server may come again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Lets in whom the hub has a place for.
struct Gate {
    hub: Weak<Shared>,
}

/// What a connection was let in with.
pub(crate) struct Ticket {
    pub(super) place: Option<Place>,
    pub(super) taken: Taken,
    pub(super) profile: Profile,
}

impl Ticket {
    /// Takes a place for a request.
    pub(super) fn of(shared: &Shared, request: &Request) -> Result<Self, RegisterError> {
        let place = shared.doors.judge(shared.reserve())?;
        let address = shared.client_address(request);
        let taken = address.map(|address| shared.doors.address(address)).transpose()?;
        let profile = Profile::new().address(address);
        Ok(Self { place, taken: taken.unwrap_or_default(), profile })
    }
}

impl Shared {
    /// Whose request it is, as far as a proxy before us is believed.
    pub(super) fn client_address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.peer_addr().map(|peer| peer.ip());
        match &self.settings.proxies {
            Some((proxies, header)) => {
                proxies.client_address(*header, request.http().headers(), peer)
            }
            None => peer,
        }
    }
}

impl Admission for Gate {
    fn admit<'a>(
        &'a self,
        request: &'a Request,
    ) -> Pin<Box<dyn Future<Output = Result<Pass, Response<Bytes>>> + Send + 'a>> {
        let hub = self.hub.upgrade().ok_or(RegisterError::Stopped);
        let admitted = hub.and_then(|hub| Ticket::of(&hub, request)).map(Pass::new);
        let admitted = admitted.map_err(|error| refusal(&error));
        Box::pin(std::future::ready(admitted))
    }

    fn refused(&self, error: &Error) {
        if let Some(hub) = self.hub.upgrade() {
            hub.count_refused(error);
        }
    }
}

pub(crate) fn refusal(error: &RegisterError) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(error.to_string()));
    *response.status_mut() = match error.rejection() {
        Rejection::AddressFull | Rejection::UserFull | Rejection::HandshakeRate => {
            StatusCode::TOO_MANY_REQUESTS
        }
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let wait = match error {
        RegisterError::TooFast { retry_ms } => retry_ms.div_ceil(1000),
        _ => RETRY_AFTER.as_secs(),
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::RETRY_AFTER, wait.into());
    response
}

impl Hub {
    /// An acceptor with the hub's [config](Self::config) that lets in whom the hub has a place for;
    /// others get 503. Origins, a hook that serves a page and the rest are set on it as on any other.
    #[must_use]
    pub fn acceptor(&self) -> Acceptor {
        self.admit_with(Acceptor::new((**self.config()).clone()))
    }

    /// The same on an acceptor of one's own, which keeps its own config.
    #[must_use]
    pub fn admit_with(&self, acceptor: Acceptor) -> Acceptor {
        acceptor.admission(Gate { hub: Arc::downgrade(self.shared()) })
    }

    /// Takes in a connection that was let in by the hub's [acceptor](Self::acceptor).
    ///
    /// # Errors
    /// As [`register`](Self::register).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn register_admitted(
        &self,
        socket: &WebSocket<NetStream>,
        request: &Request,
    ) -> Result<Registration, RegisterError> {
        match request.take_pass::<Ticket>() {
            Some(Ticket { place, taken, profile }) => {
                request.trace().user(profile.user_key().map(|user| &**user));
                self.register_in(&socket.sender(), profile, place, taken)
            }
            None => {
                let address = self.shared().client_address(request);
                self.register(&socket.sender(), Profile::new().address(address))
            }
        }
    }

    /// Serves until `shutdown` says how to end: each connection is registered, and what happens on it
    /// is told the handlers. With the hub's own acceptor.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use sockeye::Server;
    /// use sockeye::hub::{Handlers, Hub, Shutdown};
    ///
    /// # async fn example() -> std::io::Result<()> {
    /// let hub = Hub::builder().default_room("lobby").build().expect("limits above zero");
    /// let handlers = Handlers::new().on_message(|connection, message| {
    ///     for room in connection.peer().rooms() {
    ///         // A full job queue: this message is not said.
    ///         let _ = room.broadcast(message);
    ///     }
    /// });
    /// let server = Server::bind("127.0.0.1:0").await?;
    /// let stopped = async {
    ///     let _ = tokio::signal::ctrl_c().await;
    ///     Shutdown::new(Duration::from_secs(10))
    /// };
    /// let report = hub.serve_until(server, handlers, stopped).await?;
    /// println!("{report:?}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the listener is broken for good, or the close frame of the shutdown cannot be sent.
    pub async fn serve_until(
        &self,
        server: Server,
        handlers: Handlers,
        shutdown: impl Future<Output = Shutdown>,
    ) -> io::Result<ShutdownReport> {
        let server = server.acceptor(self.acceptor());
        self.serve_sockets_until(server, handlers.on_socket(), shutdown).await
    }

    /// The same with the server's own acceptor (see [`admit_with`](Self::admit_with)), and a task of
    /// one's own for each connection, which the hub knows while the registration is kept.
    ///
    /// # Errors
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve_sockets_until<F, Fut>(
        &self,
        server: Server,
        on_socket: F,
        shutdown: impl Future<Output = Shutdown>,
    ) -> io::Result<ShutdownReport>
    where
        F: Fn(WebSocket<NetStream>, Registration, Request) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
    {
        let hub = self.clone();
        let on_socket = Arc::new(on_socket);
        let run = move |socket: WebSocket<NetStream>, request: Request| {
            let registered = hub.register_admitted(&socket, &request);
            let on_socket = on_socket.clone();
            async move {
                match registered {
                    Ok(registration) => drop(on_socket(socket, registration, request).await),
                    // A room of its first is full, say, or the hub is ending.
                    Err(error) => {
                        let mut socket = socket;
                        // It ends either way.
                        let _ = socket.close(error.close_code().into(), &error.to_string()).await;
                    }
                }
            }
        };
        let drain = async |shutdown| self.shutdown(shutdown).await;
        let report = server.serve_draining(run, shutdown, drain).await?;
        report.map_err(io::Error::other)
    }
}
