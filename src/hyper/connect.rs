//! The client's side over HTTP/2.

use std::io;
use std::time::Duration;

use bytes::Buf as _;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper::{Request, Response};
use tokio::time::{Instant, timeout, timeout_at};

use crate::deflate::Deflate;
use crate::error::Error;
use crate::handshake::{ExtendedHandshake, HandshakeError, Offer, parse_uri};
use crate::net::{NetStream, WebSocket};
use crate::protocol::{Config, Role};
use crate::sync::Arc;

use super::settings::{SETTINGS_TIMEOUT, ServerSettings};
use super::stream::boxed;

/// What of a refusal's body is kept, in bytes, and how long it is waited for.
const BODY_BYTES_MAX: usize = 8 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens WebSockets over an HTTP/2 connection of hyper's client: any number of them, beside other requests.
///
/// The connection has to be driven, as always with hyper; its flow control holds both ends back. How many WebSockets it may
/// have at a time says the server (`SETTINGS_MAX_CONCURRENT_STREAMS`; hyper's says 200 unless it is told otherwise): one
/// more waits for a place, as long as a handshake may take.
///
/// ```no_run
/// use bytes::Bytes;
/// use http_body_util::Empty;
/// use hyper_util::rt::{TokioExecutor, TokioIo};
/// use sockeye::Config;
/// use sockeye::hyper::{ExtendedConnect, watch_settings};
/// use tokio::net::TcpStream;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = TokioIo::new(TcpStream::connect("127.0.0.1:8080").await?);
/// let (mut requests, connection) =
///     hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
/// let (connection, settings) = watch_settings(connection);
/// tokio::spawn(connection);
/// # let _: &mut hyper::client::conn::http2::SendRequest<Empty<Bytes>> = &mut requests;
///
/// let connect = ExtendedConnect::new(Config::default());
/// let mut socket = connect.open(&mut requests, &settings, "ws://127.0.0.1:8080/ws").await?;
/// socket.send("hello").await?;
/// # Ok(()) }
/// ```
///
/// Source: RFC 8441.
#[derive(Clone, Debug)]
pub struct ExtendedConnect {
    config: Arc<Config>,
    offer: Offer,
    handshake_timeout: Duration,
}

impl ExtendedConnect {
    /// Offers nothing but the config's compression, and waits 10 s for the answer.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let offer = Offer::default().deflate(config.deflate);
        Self { config: Arc::new(config), offer, handshake_timeout: Duration::from_secs(10) }
    }

    /// Offers this: headers, subprotocols, extensions. Compression as the config has it, unless the offer has some.
    #[must_use]
    pub fn offer(mut self, offer: Offer) -> Self {
        let has_own = offer.deflate != Deflate::disabled();
        self.offer = if has_own { offer } else { offer.deflate(self.config.deflate) };
        self
    }

    /// How long the handshake may take, from the first look at the server's settings to its answer (default 10 s).
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Opens a WebSocket on a stream of this connection. The URL has to be one of the server that the connection leads to;
    /// its scheme says whether that is TLS (`wss`, `https`) or not.
    ///
    /// # Errors
    /// [`Error::Handshake`]: [`ExtendedConnectDisabled`](HandshakeError::ExtendedConnectDisabled) when the server's settings do
    /// not say within 2 s that it takes such requests, [`UnexpectedStatus`](HandshakeError::UnexpectedStatus) with the
    /// answer when it refused, [`Timeout`](HandshakeError::Timeout), and what is wrong with URL, offer or answer.
    /// [`Error::Io`] when the connection or the stream is lost.
    ///
    /// Cancel safety: dropping the future resets the stream.
    pub async fn open<B>(
        &self,
        requests: &mut SendRequest<B>,
        settings: &ServerSettings,
        url: &str,
    ) -> Result<WebSocket<NetStream>, Error>
    where
        B: Body + Default + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let handshake = ExtendedHandshake::new(&parse_uri(url)?, self.offer.clone())?;
        let deadline = Instant::now() + self.handshake_timeout;
        let opening = Box::pin(self.negotiate(requests, settings, handshake));
        timeout_at(deadline, opening).await.map_err(|_| HandshakeError::Timeout)?
    }

    async fn negotiate<B>(
        &self,
        requests: &mut SendRequest<B>,
        settings: &ServerSettings,
        handshake: ExtendedHandshake,
    ) -> Result<WebSocket<NetStream>, Error>
    where
        B: Body + Default + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let enabled = timeout(SETTINGS_TIMEOUT, settings.enabled()).await;
        enabled.map_err(|_| HandshakeError::ExtendedConnectDisabled)??;
        requests.ready().await.map_err(io::Error::other)?;
        let mut request: Request<B> = handshake.request().clone().map(|()| B::default());
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let mut response = requests.send_request(request).await.map_err(io::Error::other)?;
        let mut head = Response::new(());
        *head.status_mut() = response.status();
        *head.version_mut() = response.version();
        head.headers_mut().clone_from(response.headers());
        let negotiated = match handshake.finish(&head) {
            Ok(negotiated) => negotiated,
            Err(refused) => {
                let mut body = Vec::new();
                let reading = read_beginning(response.body_mut(), &mut body);
                // What does not come in time stays away.
                let _ = timeout(BODY_TIMEOUT, reading).await;
                return Err(refused.with_body(body).into());
            }
        };
        let upgraded = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
        let mut socket = WebSocket::from_stream(boxed(upgraded), Role::Client, &self.config);
        if let Some(params) = negotiated.deflate() {
            socket = socket.with_deflate(params);
        }
        Ok(socket.with_response(head))
    }
}

/// Reads what is kept of a refusal's body.
async fn read_beginning<B: Body + Unpin>(body: &mut B, bytes: &mut Vec<u8>) {
    while bytes.len() < BODY_BYTES_MAX {
        let Some(Ok(frame)) = body.frame().await else { return };
        let Ok(mut data) = frame.into_data() else { continue };
        while data.has_remaining() && bytes.len() < BODY_BYTES_MAX {
            let chunk = data.chunk();
            let len = chunk.len().min(BODY_BYTES_MAX - bytes.len());
            bytes.extend_from_slice(&chunk[..len]);
            data.advance(len);
        }
    }
}
