//! HTTP servers of other makes on ports of their own, and clients of them.

#![cfg(feature = "hyper")]

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sockeye::handshake::RefusedResponse;
use sockeye::hyper::{ExtendedConnect, ServerSettings, watch_settings};
use sockeye::{CloseOutcome, Config, Connector, Error, HandshakeError, NetStream, WebSocket};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::pair::quiet;
use crate::support::server::within;

/// hyper, both versions of HTTP on one port, until it is dropped.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Serving {
    pub(crate) async fn start<F, Fut>(handle: F) -> Self
    where
        F: Fn(Request<Incoming>, SocketAddr) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http2().enable_connect_protocol();
        Self::with(builder, handle).await
    }

    pub(crate) async fn with<F, Fut>(builder: auto::Builder<TokioExecutor>, handle: F) -> Self
    where
        F: Fn(Request<Incoming>, SocketAddr) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let (builder, handle) = (builder.clone(), handle.clone());
                connections.spawn(async move {
                    let service = service_fn(|request| {
                        let answer = handle(request, peer);
                        async { Ok::<_, Infallible>(answer.await) }
                    });
                    let stream = TokioIo::new(stream);
                    let _ = builder.serve_connection_with_upgrades(stream, service).await;
                });
            }
        });
        Self { address, _tasks: tasks }
    }

    /// Over HTTP/1.1.
    pub(crate) async fn connect(
        &self,
        connector: &Connector,
        path: &str,
    ) -> Result<WebSocket<NetStream>, Error> {
        within(connector.connect(&format!("ws://{}{path}", self.address))).await
    }
}

/// A connection over HTTP/2, until it is dropped.
pub(crate) struct Http2 {
    pub(crate) address: SocketAddr,
    pub(crate) requests: SendRequest<Empty<Bytes>>,
    pub(crate) settings: ServerSettings,
    _tasks: JoinSet<()>,
}

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TokioIo::new(within(TcpStream::connect(address)).await.unwrap());
        let connecting = http2::handshake(TokioExecutor::new(), stream);
        let (requests, connection) = within(connecting).await.unwrap();
        let (connection, settings) = watch_settings(connection);
        let mut tasks = JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        Self { address, requests, settings, _tasks: tasks }
    }

    pub(crate) async fn open(
        &mut self,
        connect: &ExtendedConnect,
        path: &str,
    ) -> Result<WebSocket<NetStream>, Error> {
        let url = format!("ws://{}{path}", self.address);
        within(connect.open(&mut self.requests, &self.settings, &url)).await
    }

    pub(crate) async fn open_quiet(&mut self, path: &str) -> WebSocket<NetStream> {
        self.open(&ExtendedConnect::new(quiet()), path).await.unwrap()
    }
}

/// The answer of a server that said no.
pub(crate) fn refusal<S: std::fmt::Debug>(opened: Result<S, Error>) -> RefusedResponse {
    match opened {
        Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) => *refused,
        other => panic!("{other:?}"),
    }
}

pub(crate) type Outcomes = mpsc::UnboundedReceiver<CloseOutcome>;

/// Sends back what comes, and tells how it ended.
pub(crate) async fn echo(
    mut socket: WebSocket<NetStream>,
    told: mpsc::UnboundedSender<CloseOutcome>,
) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
    let _ = told.send(socket.outcome().unwrap().clone());
}

/// What was sent comes back.
pub(crate) async fn exchange(socket: &mut WebSocket<NetStream>, text: &str) {
    let (mut sent, mut received) = (Ok(()), None);
    // Long messages need both at once.
    let sender = socket.sender();
    let send = async { sent = sender.send(text).await.map(drop) };
    let receive = async { received = socket.recv().await.unwrap() };
    within(async { tokio::join!(send, receive) }).await;
    sent.unwrap();
    assert_eq!(received.unwrap().as_text(), Some(text));
}

/// Quiet, with compression.
pub(crate) fn deflating() -> Config {
    let mut config = quiet();
    config.deflate = sockeye::Deflate::no_context();
    config
}
