//! Makes connections: which server, TLS, and who the client is.

use std::fmt;

use serde_json::json;

use crate::client::{
    BoxFuture, Dial, SystemDial, Tls, addresses, connect_to_any, default_tls, wrap,
};
use crate::net::NetStream;
use crate::pubsub::broker::{Broker, PubSub};
use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::pubsub::inbox::{CONNECTION_LIMITS, Inbox};
use crate::pubsub::turn;
use crate::sync::{Arc, AtomicUsize, Ordering};

use super::fault::Fault;
use super::line::Line;
use super::parser::{Info, Parser, Said};
use super::server::{Login, Server};
use super::task::{Listener, listen};
use super::wire::Wire;

/// NATS servers, by their URLs.
///
/// ```no_run
/// use sockeye::pubsub::{Bus, BusConfig, nats::Nats};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let nats = Nats::new("tls://one.example:4222,tls://two.example:4222")?
///     .user_and_password("bus", "secret");
/// let (bus, mut events) = Bus::start(nats, BusConfig::default());
/// # Ok(()) }
/// ```
pub struct Nats {
    /// At least one.
    servers: Arc<[Server]>,
    login: Option<Login>,
    dial: Arc<dyn Dial>,
    tls: Option<Arc<dyn Tls>>,
    /// The server that is tried next, modulo their number.
    turn: AtomicUsize,
}

impl Nats {
    /// The servers at these URLs, with commas between them: `nats://host:port` or `tls://host:port`, with
    /// `user:password@` or `token@` before the host of a server that is to be shown these. Nothing is connected yet.
    ///
    /// A comma in a password is written `%2C`. Without a scheme it is `nats`, without a port 4222.
    ///
    /// # Errors
    /// [`PubSubErrorKind::Setting`] for what are no such URLs.
    pub fn new(urls: &str) -> Result<Self, PubSubError> {
        let servers = urls.split(',').map(|url| Server::parse(url.trim()));
        // What is wrong is not told: it may have a password in it.
        let servers = servers.collect::<Option<Arc<[Server]>>>();
        let servers = servers.ok_or(PubSubError::new(PubSubErrorKind::Setting))?;
        Ok(Self {
            servers,
            login: None,
            dial: Arc::new(SystemDial),
            tls: default_tls(),
            turn: turn::any(),
        })
    }

    /// Shows this user and password to servers whose URL has nothing of its own.
    #[must_use]
    pub fn user_and_password(mut self, user: &str, password: &str) -> Self {
        self.login = Some(Login::User { user: user.to_owned(), password: password.to_owned() });
        self
    }

    /// Shows this token to servers whose URL has nothing of its own.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.login = Some(Login::Token(token.to_owned()));
        self
    }

    /// Does TLS with this, such as a `TlsConnector` with roots of one's own. The default is what `wss` takes in a
    /// [`Connector`](crate::Connector): the system's roots with feature `tls-native-roots`, nothing without `tls`.
    #[must_use]
    pub fn tls(mut self, tls: impl Tls) -> Self {
        self.tls = Some(Arc::new(tls));
        self
    }

    /// Looks names up and connects with this instead of the operating system.
    #[must_use]
    pub fn dial(mut self, dial: impl Dial) -> Self {
        self.dial = Arc::new(dial);
        self
    }

    #[allow(dead_code, reason = "without feature `app` nobody asks")]
    pub(super) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// A connection to the next server, and what that says of itself.
    pub(super) async fn open<L: Listener>(
        &self,
        listener: L,
    ) -> Result<(Wire<L>, Info), PubSubError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.servers.len();
        let server = &self.servers[turn];

        let mut stream = self.reach(server).await.map_err(unreachable)?;
        let mut parser = Parser::default();
        let said = listen(&mut stream, &mut parser).await.map_err(Fault::of_connecting)?;
        let Said::Info(info) = said else {
            return Err(Fault::answer("something else than an INFO first").into());
        };
        if info.is_leaving {
            return Err(Fault::LEAVING.of_connecting().into());
        }
        if L::HAS_HEADERS && !info.has_headers {
            return Err(Fault::setting("the server has no headers").into());
        }
        let is_tls = server.is_tls || info.needs_tls;
        if is_tls {
            stream = self.secure(server, info, stream, &parser).await?;
        }
        let wire = Wire::start(stream, parser, listener);
        let login = server.login.as_ref().or(self.login.as_ref());
        let introduction = introduction::<L>(login, is_tls);
        wire.ask(introduction).await.map_err(Fault::of_connecting)?;
        Ok((wire, info))
    }

    async fn reach(&self, server: &Server) -> std::io::Result<NetStream> {
        let addresses = addresses(&*self.dial, &server.host, server.port).await?;
        connect_to_any(&*self.dial, &addresses).await
    }

    async fn secure(
        &self,
        server: &Server,
        info: Info,
        stream: NetStream,
        parser: &Parser,
    ) -> Result<NetStream, PubSubError> {
        if !info.has_tls {
            return Err(Fault::setting("the server has no TLS").into());
        }
        let tls = self.tls.as_ref().ok_or(Fault::setting("TLS, and there is no library for it"))?;
        // Somebody on the way may have put it there, and it would count as said inside of TLS.
        if !parser.is_empty() {
            return Err(Fault::answer("something between INFO and TLS").into());
        }
        wrap(&**tls, &server.host, stream).await.map_err(unreachable)
    }
}

impl Broker for Nats {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        Box::pin(async {
            let (wire, info) = self.open(Inbox::new(CONNECTION_LIMITS)).await?;
            Ok(Box::new(Line::new(wire, info.message_bytes_max)) as Box<dyn PubSub>)
        })
    }
}

/// A clone has turns of its own: two buses that shared them could each meet the same server again and again.
impl Clone for Nats {
    fn clone(&self) -> Self {
        Self {
            servers: self.servers.clone(),
            login: self.login.clone(),
            dial: self.dial.clone(),
            tls: self.tls.clone(),
            turn: turn::any(),
        }
    }
}

/// Neither URLs nor passwords.
impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").finish_non_exhaustive()
    }
}

/// What a client says first. Where headers are not asked for the server leaves them out.
fn introduction<L: Listener>(login: Option<&Login>, is_tls: bool) -> Vec<u8> {
    let mut options = json!({
        "verbose": false,
        "pedantic": false,
        "tls_required": is_tls,
        "headers": L::HAS_HEADERS,
        "no_responders": L::HAS_HEADERS,
        // Tells of a server that will leave.
        "protocol": 1,
        "name": "sockeye",
        "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"),
    });
    match login {
        Some(Login::User { user, password }) => {
            options["user"] = json!(user);
            options["pass"] = json!(password);
        }
        Some(Login::Token(token)) => options["auth_token"] = json!(token),
        None => {}
    }
    format!("CONNECT {options}\r\n").into_bytes()
}

/// The system's or the TLS library's words: neither has seen a password.
fn unreachable(error: std::io::Error) -> PubSubError {
    PubSubError::new(PubSubErrorKind::Unreachable).with_source(error)
}
