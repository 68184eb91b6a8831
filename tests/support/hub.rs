//! A hub that serves: raw sockets against it, and healthy clients that must not notice.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use sockeye::handshake::{ForwardedHeader, TrustedProxies};
use sockeye::hub::limits::Limits;
use sockeye::hub::{Handlers, Hub, HubBuilder, Shutdown, ShutdownReport};
use sockeye::{Acceptor, Connector, Error, HandshakeError, Message, NetStream, Server, WebSocket};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::io::RawPeer;
use super::pair::quiet;
use super::server::{Reply, parse, read_reply, request_for, within};

pub(crate) fn build(change: impl FnOnce(HubBuilder) -> HubBuilder) -> Hub {
    change(Hub::builder()).build().unwrap()
}

/// A hub behind a proxy on this machine, so that a test may come from any address.
pub(crate) fn behind_a_proxy(limits: Limits) -> Hub {
    let proxies = TrustedProxies::parse(["127.0.0.0/8"]).unwrap();
    let header = ForwardedHeader::XForwardedFor;
    build(|hub| hub.behind(proxies, header).limits(limits).config(quiet()))
}

/// The header line of a client, the same length for each.
pub(crate) fn of_client(number: usize) -> String {
    format!("X-Forwarded-For: 10.1.{}.{}", 100 + number / 100, 100 + number % 100)
}

/// Every message comes back.
pub(crate) fn echo() -> Handlers {
    Handlers::new().on_message(|connection, message| {
        // Closed meanwhile: there is nobody to answer.
        let _ = connection.send(message);
    })
}

/// A shutdown that nobody has to hurry for.
pub(crate) fn gracefully() -> Shutdown {
    Shutdown::new(Duration::from_secs(5))
}

type Stopped = Pin<Box<dyn Future<Output = Shutdown> + Send>>;

/// A hub on a port, until it is ended or dropped.
pub(crate) struct HubSite {
    pub(crate) hub: Hub,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<Shutdown>,
    serving: JoinHandle<io::Result<ShutdownReport>>,
}

impl HubSite {
    /// With the hub's own acceptor.
    pub(crate) async fn start(hub: Hub, handlers: Handlers) -> Self {
        let acceptor = hub.acceptor();
        Self::on(hub, acceptor, handlers).await
    }

    pub(crate) async fn on(hub: Hub, acceptor: Acceptor, handlers: Handlers) -> Self {
        Self::begin(hub, move |hub, server, stopped| async move {
            let run = move |socket: WebSocket<NetStream>, registration, _| {
                socket.run(handlers.handler(registration))
            };
            hub.serve_sockets_until(server.acceptor(acceptor), run, stopped).await
        })
        .await
    }

    /// In the one call that asks for credentials.
    #[cfg(feature = "auth")]
    pub(crate) async fn with_auth(
        hub: Hub,
        auth: impl sockeye::auth::Authenticator,
        handlers: Handlers,
    ) -> Self {
        Self::begin(hub, move |hub, server, stopped| async move {
            hub.serve_with_auth(server, auth, handlers, stopped).await
        })
        .await
    }

    async fn begin<F, Fut>(hub: Hub, serve: F) -> Self
    where
        F: FnOnce(Hub, Server, Stopped) -> Fut,
        Fut: Future<Output = io::Result<ShutdownReport>> + Send + 'static,
    {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<Shutdown>();
        let stopped = async { stopped.await.unwrap_or_else(|_| Shutdown::new(Duration::ZERO)) };
        let serving = tokio::spawn(serve(hub.clone(), server, Box::pin(stopped)));
        Self { hub, address, stop, serving }
    }

    // Raw sockets.

    pub(crate) async fn raw(&self) -> TcpStream {
        within(TcpStream::connect(self.address)).await.unwrap()
    }

    /// Writes a request and reads the answer: a 101, or all up to the end.
    pub(crate) async fn request(&self, request: &[u8]) -> Reply {
        let mut stream = self.raw().await;
        // The server may refuse and close before it has all.
        let _ = stream.write_all(request).await;
        let mut reply = parse(&read_reply(&mut stream).await);
        reply.stream = (reply.status == 101).then_some(stream);
        reply
    }

    /// The status for this target and these header lines.
    pub(crate) async fn raw_status(&self, target: &str, lines: &[&str]) -> u16 {
        self.request(&request_for(target, lines)).await.status
    }

    /// A raw client behind its handshake.
    pub(crate) async fn peer(&self, target: &str) -> RawPeer<TcpStream> {
        self.request(&request_for(target, &[])).await.into_peer()
    }

    // Our own clients.

    pub(crate) async fn connect(&self, target: &str) -> Result<WebSocket<NetStream>, Error> {
        let url = format!("ws://{}{target}", self.address);
        within(Connector::new(quiet()).connect(&url)).await
    }

    /// The status of a refusal.
    pub(crate) async fn status(&self, target: &str) -> u16 {
        match self.connect(target).await {
            Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) => {
                refused.status().as_u16()
            }
            other => panic!("{target}: {other:?}"),
        }
    }

    /// A client whose messages come back, where the handlers send them back.
    pub(crate) async fn healthy(&self, target: &str) -> Healthy {
        let mut healthy = Healthy { socket: self.connect(target).await.unwrap(), served: 0 };
        healthy.check().await;
        healthy
    }

    /// Waits until so many connections are registered.
    pub(crate) async fn has(&self, connections: usize) {
        let settled = async {
            while self.hub.len() != connections {
                tokio::task::yield_now().await;
            }
        };
        within(settled).await;
    }

    /// Tells it to end; what is returned ends with it.
    pub(crate) fn stop(self, shutdown: Shutdown) -> JoinHandle<io::Result<ShutdownReport>> {
        self.stop.send(shutdown).unwrap();
        self.serving
    }

    /// Drops what serves, as if its task were gone.
    pub(crate) async fn abort(self) {
        self.serving.abort();
        assert!(self.serving.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn end(self, shutdown: Shutdown) -> ShutdownReport {
        within(self.stop(shutdown)).await.unwrap().unwrap()
    }
}

/// A client that is served whatever happens to others.
pub(crate) struct Healthy {
    pub(crate) socket: WebSocket<NetStream>,
    served: u32,
}

impl Healthy {
    pub(crate) async fn check(&mut self) {
        self.served += 1;
        let text = Message::text(format!("healthy {}", self.served));
        within(self.socket.send(text.clone())).await.unwrap();
        // Others may speak in between.
        while within(self.socket.recv()).await.unwrap().expect("it stays open") != text {}
    }
}
