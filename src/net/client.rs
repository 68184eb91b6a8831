//! Connecting to a server.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::error::Error;
use crate::handshake::{
    ClientHandshake, HandshakeError, HeadLimits, Offer, ResponseReader, parse_uri,
};
use crate::protocol::{Config, Role};
use crate::sync::Arc;

use super::head::read_head;
use super::line::ByteStream;
use super::websocket::WebSocket;

/// Connects to a `ws://` URL with all defaults.
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
pub async fn connect(url: &str) -> Result<WebSocket<TcpStream>, Error> {
    Connector::new(Config::default()).connect(url).await
}

/// Connects to servers: headers, subprotocols, limits and deadlines.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<Config>,
    offer: Offer,
    head_limits: HeadLimits,
    dial_timeout: Duration,
    handshake_timeout: Duration,
}

impl Connector {
    /// A connector that offers nothing and waits 10 s for TCP and 10 s for the handshake.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            offer: Offer::default(),
            head_limits: HeadLimits::default(),
            dial_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
        }
    }

    /// Sends this header with the handshake. One that the handshake owns is refused by `connect`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.offer = self.offer.header(name, value);
        self
    }

    /// Offers this subprotocol, after those offered before.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.offer = self.offer.subprotocol(subprotocol);
        self
    }

    /// How long name look-up and TCP may take (default 10 s).
    #[must_use]
    pub const fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.dial_timeout = timeout;
        self
    }

    /// How long the opening handshake may take (default 10 s).
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Connects to a `ws://` URL.
    ///
    /// # Errors
    /// [`Error::Url`] for `wss://`, which is not there yet; [`Error::Handshake`] for a URL that is
    /// none and for a server that does not agree; [`Error::Io`] when it cannot be reached in time.
    ///
    /// Cancel safety: dropping the future drops the connection.
    pub async fn connect(&self, url: &str) -> Result<WebSocket<TcpStream>, Error> {
        let handshake = self.begin(url)?;
        if handshake.is_secure() {
            return Err(Error::Url("wss is not supported yet"));
        }
        let host = handshake.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let dialling = TcpStream::connect((host, handshake.port()));
        let stream = tokio::time::timeout(self.dial_timeout, dialling).await;
        let stream = stream.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        // A socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        self.finish(handshake, stream).await
    }

    /// Does the client's handshake on a stream of one's own; the URL says host and path.
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
        self.finish(self.begin(url)?, stream).await
    }

    fn begin(&self, url: &str) -> Result<ClientHandshake, Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        let offer = self.offer.clone().deflate(self.config.deflate);
        Ok(ClientHandshake::new(&parse_uri(url)?, key, offer)?)
    }

    async fn finish<S: ByteStream>(
        &self,
        handshake: ClientHandshake,
        mut stream: S,
    ) -> Result<WebSocket<S>, Error> {
        let negotiating = self.negotiate(&handshake, &mut stream);
        let negotiated = tokio::time::timeout(self.handshake_timeout, negotiating).await;
        let (response, input) = negotiated.unwrap_or(Err(HandshakeError::Timeout.into()))?;
        let negotiated = handshake.finish(&response)?;
        let mut socket = WebSocket::with_input(stream, Role::Client, &self.config, input);
        if let Some(params) = negotiated.deflate() {
            socket = socket.with_deflate(params);
        }
        Ok(socket.with_response(negotiated.response().clone()))
    }

    async fn negotiate<S: ByteStream>(
        &self,
        handshake: &ClientHandshake,
        stream: &mut S,
    ) -> Result<(http::Response<()>, Vec<u8>), Error> {
        stream.write_all(handshake.request_bytes()).await?;
        stream.flush().await?;
        let mut reader = ResponseReader::new(self.head_limits);
        let input = read_head::<S, Error>(stream, |bytes| reader.receive(bytes)).await?;
        Ok((reader.response()?, input))
    }
}
