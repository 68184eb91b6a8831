//! A hub that asks who somebody is before it lets them in.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Weak;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::time::Instant;

use crate::auth::{
    Attempt, AuthError, Authenticator, CredentialSources, GuessLimiter, Identity,
    SharedAuthenticator,
};
use crate::error::Error;
use crate::net::{Acceptor, Admission, NetStream, Pass, Request, Server, WebSocket};
use crate::sync::Arc;

use super::error::RegisterError;
use super::handlers::Handlers;
use super::hub::{Hub, Registration};
use super::metrics::Rejection;
use super::peer::Peer;
use super::serve::{Ticket, refusal};
use super::shared::Shared;
use super::shutdown::{Shutdown, ShutdownReport};

/// Lets in whom the hub has a place for and the authenticator knows.
struct Guard {
    hub: Weak<Shared>,
    asking: Asking,
}

/// Asks who somebody is, within the bound on guesses.
pub(crate) struct Asking {
    authenticator: SharedAuthenticator,
    sources: CredentialSources,
    guesses: GuessLimiter,
}

impl Asking {
    /// With the hub's rules for names of rooms.
    pub(crate) fn new(
        hub: &Hub,
        authenticator: SharedAuthenticator,
        sources: CredentialSources,
    ) -> Self {
        let bytes_max = hub.shared().settings.limits.room_name_bytes_max;
        let sources = sources.room_name_bytes_max(bytes_max);
        Self { authenticator, sources, guesses: GuessLimiter::new() }
    }

    /// Who it is, and the room that is asked for.
    pub(crate) async fn identity(
        &self,
        request: &Request,
        address: Option<IpAddr>,
    ) -> Result<(Identity, Option<String>), AuthError> {
        let begin = |address| self.guesses.begin(address, Instant::now().into_std());
        let mut asked = Asked(address.map(begin).transpose()?);
        let read = self.sources.read(request.http(), SystemTime::now());
        let (room, identity) = match read {
            Ok(mut credentials) => {
                if let Some(address) = address {
                    credentials = credentials.with_peer_ip(address);
                }
                let room = credentials.room().map(str::to_owned);
                (room, self.authenticator.authenticate(credentials).await)
            }
            Err(error) => (None, Err(error.into())),
        };
        if let Some(attempt) = asked.0.take() {
            attempt.end(identity.as_ref().err());
        }
        Ok((identity?, room))
    }
}

impl Ticket {
    /// Takes a place for the user, too.
    pub(crate) fn of_user(
        self,
        hub: &Hub,
        identity: Identity,
        room: Option<&str>,
    ) -> Result<Self, RegisterError> {
        let mut profile = self.profile.expire_at(ends_at(&identity));
        if let Some(id) = identity.id() {
            profile = profile.user(id);
        }
        if let Some(room) = room {
            profile = profile.room(room);
        }
        let taken = hub.shared().doors.user(self.taken, profile.user_key())?;
        let profile = profile.extension(identity);
        Ok(Self { place: self.place, taken, profile })
    }
}

impl Admission for Guard {
    fn admit<'a>(
        &'a self,
        request: &'a Request,
    ) -> Pin<Box<dyn Future<Output = Result<Pass, Response<Bytes>>> + Send + 'a>> {
        Box::pin(async move {
            let hub = self.hub.upgrade().ok_or_else(|| refusal(&RegisterError::Stopped))?;
            // A full server does no work for whom it cannot take.
            let ticket = Ticket::of(&hub, request).map_err(|error| refusal(&error))?;
            let hub = Hub::from_shared(hub);
            let found = self.asking.identity(request, ticket.profile.address).await;
            let (identity, room) = found.map_err(|error| hub.turn_away(&error))?;
            let admitted = ticket.of_user(&hub, identity, room.as_deref());
            admitted.map(Pass::new).map_err(|error| refusal(&error))
        })
    }

    fn refused(&self, error: &Error) {
        if let Some(hub) = self.hub.upgrade() {
            hub.count_refused(error);
        }
    }
}

/// Dropped before there was an answer, for the handshake's deadline came first, it is taken back.
struct Asked<'a>(Option<Attempt<'a>>);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        // An authenticator that panics over a wrong token must not be a way to try many.
        if let Some(attempt) = self.0.take()
            && !std::thread::panicking()
        {
            attempt.take_back();
        }
    }
}

/// How a refusal is counted: as it is answered.
fn rejection(error: &AuthError) -> Rejection {
    match error.status() {
        StatusCode::UNAUTHORIZED => Rejection::Unauthorized,
        StatusCode::FORBIDDEN => Rejection::Forbidden,
        StatusCode::BAD_REQUEST => Rejection::BadRequest,
        StatusCode::TOO_MANY_REQUESTS => Rejection::HandshakeRate,
        _ => Rejection::Other,
    }
}

/// When an identity ends, on the clock that nobody turns back.
fn ends_at(identity: &Identity) -> Option<Instant> {
    Instant::now().checked_add(identity.expires_in(SystemTime::now())?)
}

impl Peer {
    /// Who it is, where a hub [asked](Hub::guard).
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.extension()
    }

    /// Its identity ends when this one does: for a fresh token of the same user. False, and nothing
    /// changed, when it is another's.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn renew(&self, identity: &Identity) -> bool {
        let is_same = self.user() == identity.id();
        if is_same {
            self.expire_at(ends_at(identity));
        }
        is_same
    }
}

impl Hub {
    /// An acceptor as of [`admit_with`](Self::admit_with) that asks the authenticator, too. Who is
    /// refused is answered by the [error](AuthError::to_response): 401, 403, and 429 for the eleventh
    /// failure of an address within a minute. An authenticator that is slower than the handshake's
    /// deadline has told nothing, so that counts as no failure.
    ///
    /// Who is let in is registered as the user of its [`Identity`], joins the room of the query's
    /// `room`, if there is one, and is closed with 4401 when its identity ends, unless it
    /// [renews](Peer::renew) it.
    #[must_use]
    pub fn guard(
        &self,
        acceptor: Acceptor,
        authenticator: impl Authenticator,
        sources: CredentialSources,
    ) -> Acceptor {
        let asking = Asking::new(self, SharedAuthenticator::new(authenticator), sources);
        acceptor.admission(Guard { hub: Arc::downgrade(self.shared()), asking })
    }

    /// The answer to who may not come in, which is counted.
    pub(crate) fn turn_away(&self, error: &AuthError) -> Response<Bytes> {
        self.shared().metrics.count_rejected(rejection(error));
        error.to_response()
    }

    /// Serves with the token from `Authorization: Bearer`, the subprotocol `bearer.TOKEN` or the query's
    /// `token`, and room and password from the query's `room` and `room_password`: all of it in one
    /// call. See [`guard`](Self::guard) for what becomes of whom.
    ///
    /// Messages go to the handlers; without a callback for them they are read and thrown away.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use sockeye::Server;
    /// use sockeye::auth::{RoomAuth, Secret};
    /// use sockeye::hub::{Handlers, Hub, Shutdown};
    ///
    /// # async fn example(secret: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
    /// let auth = RoomAuth::new(Secret::new(secret)?);
    /// auth.passwords().set("chat", "room-password")?;
    /// let server = Server::bind("127.0.0.1:0").await?;
    /// let stopped = async {
    ///     let _ = tokio::signal::ctrl_c().await;
    ///     Shutdown::new(Duration::from_secs(10))
    /// };
    /// Hub::new().serve_with_auth(server, auth, Handlers::new(), stopped).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Tokens in a query end up in logs: for new clients leave them out of it, with
    /// [`guard`](Self::guard) and [`CredentialSources::new`].
    ///
    /// # Errors
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve_with_auth(
        &self,
        server: Server,
        authenticator: impl Authenticator,
        handlers: Handlers,
        shutdown: impl Future<Output = Shutdown>,
    ) -> io::Result<ShutdownReport> {
        self.serve_sockets_with_auth(server, authenticator, handlers.on_socket(), shutdown).await
    }

    /// The same with a task of one's own for each connection, which the hub knows while the registration
    /// is kept: for one's own read loop.
    ///
    /// # Errors
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve_sockets_with_auth<F, Fut>(
        &self,
        server: Server,
        authenticator: impl Authenticator,
        on_socket: F,
        shutdown: impl Future<Output = Shutdown>,
    ) -> io::Result<ShutdownReport>
    where
        F: Fn(WebSocket<NetStream>, Registration, Request) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
    {
        let sources = CredentialSources::new().allow_query();
        let acceptor = self.guard(self.acceptor(), authenticator, sources);
        self.serve_sockets_until(server.acceptor(acceptor), on_socket, shutdown).await
    }
}
