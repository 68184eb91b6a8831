//! One handshake with a server in memory.

use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use tokio::time::timeout;

use crate::client::Connector;
use crate::error::Error;
use crate::handshake::{HandshakeError, RefusedResponse};
use crate::net::{Door, WebSocket};
use crate::protocol::Config;

use super::client::TestClient;
use super::faults::Faults;
use super::pair::{Pair, TestStream};
use super::server::serve;
use super::speech;

/// How long a handshake may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A handshake with a [`TestServer`](super::TestServer): who the client is, and how it asks.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before it connects"]
pub struct Opening {
    door: Door,
    target: String,
    connector: Connector,
    peer: Option<SocketAddr>,
    pair: Pair,
}

impl Opening {
    pub(super) fn new(door: Door, target: &str) -> Self {
        let connector = Connector::new(Config::default());
        Self { door, target: target.to_owned(), connector, peer: None, pair: Pair::new() }
    }

    /// What the client offers and how long it waits: its limits, headers, subprotocols. It takes the place of what was
    /// set before.
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = connector;
        self
    }

    /// Sends this header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.connector = self.connector.header(name, value);
        self
    }

    /// Sends `Authorization: Bearer TOKEN`.
    ///
    /// # Panics
    /// For a token that no header can hold.
    pub fn token(self, token: &str) -> Self {
        let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}")) else {
            panic!("no header can hold this token")
        };
        value.set_sensitive(true);
        self.header(header::AUTHORIZATION, value)
    }

    /// Comes from this origin, as a browser does.
    ///
    /// # Panics
    /// For a text that no header can hold.
    pub fn origin(self, origin: &str) -> Self {
        let Ok(value) = HeaderValue::try_from(origin) else { panic!("{origin:?} is no header") };
        self.header(header::ORIGIN, value)
    }

    /// Comes from this address (default: a stream without one).
    pub const fn from(mut self, address: SocketAddr) -> Self {
        self.peer = Some(address);
        self
    }

    /// What is wrong with the client's stream.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.pair = self.pair.client_faults(faults);
        self
    }

    /// How many bytes may be under way each way (default 64 KiB).
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.pair = self.pair.capacity(bytes);
        self
    }

    /// The client, or why there is none.
    ///
    /// # Errors
    /// As [`Connector::connect_on`], and `TimedOut` after 30 s.
    ///
    /// Cancel safety: dropping the future drops the connection.
    pub async fn try_connect(self) -> Result<WebSocket<TestStream>, Error> {
        let (client, server) = self.pair.streams();
        let url = format!("ws://localhost{}", self.target);
        let connecting = self.connector.connect_on(&url, client);
        let serving = serve(self.door, server, self.peer);
        let both = async { tokio::join!(connecting, serving).0 };
        let connected = timeout(DEADLINE, both).await;
        connected.unwrap_or(Err(Error::Connect(std::io::ErrorKind::TimedOut.into())))
    }

    /// The client, which was let in.
    ///
    /// # Panics
    /// When it is refused, with what it was answered.
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = TestClient<TestStream>> {
        let place = Location::caller();
        async move { self.connect_at(place).await }
    }

    pub(super) async fn connect_at(self, place: &Location<'_>) -> TestClient<TestStream> {
        let name = self.name();
        match self.try_connect().await {
            Ok(socket) => TestClient::new(socket).named(name),
            Err(error) => panic!("{place}: {name}: not let in: {}", why(&error)),
        }
    }

    /// What the client is answered, which is a refusal with this status.
    ///
    /// # Panics
    /// When it is let in, or refused otherwise.
    #[track_caller]
    pub fn expect_refusal(self, status: u16) -> impl Future<Output = RefusedResponse> {
        let place = Location::caller();
        async move {
            let name = self.name();
            match self.try_connect().await {
                Ok(_) => panic!("{place}: {name}: expected {status}, but it was let in"),
                Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused)))
                    if refused.status().as_u16() == status =>
                {
                    *refused
                }
                Err(error) => {
                    panic!("{place}: {name}: expected {status}, but not so: {}", why(&error))
                }
            }
        }
    }

    /// The target without its query, which may hold a token, and the seed of what is wrong.
    fn name(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        match self.pair.seed() {
            0 => path.to_owned(),
            seed => format!("{path} (faults of seed {seed})"),
        }
    }
}

fn why(error: &Error) -> String {
    match error {
        Error::Handshake(HandshakeError::UnexpectedStatus(refused)) => {
            let body = String::from_utf8_lossy(refused.body());
            format!("{} {}", refused.status(), speech::excerpt(&body))
        }
        other => other.to_string(),
    }
}
