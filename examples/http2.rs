//! WebSockets over HTTP/2 (RFC 8441), with TLS: a page and its sockets share one connection.
//!
//! ```text
//! cargo run --release --example http2 --features hyper,tls,ring
//! ```
//!
//! Open the page in Chromium or Firefox, which have to trust the certificate. A browser opens a WebSocket over the HTTP/2
//! connection it has to the same host, if that says that it takes them; else it makes a new one with HTTP/1.1. The page shows
//! which it was.

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use sockeye::net::{AttachedServer, Door};
use sockeye::tls::rustls::ServerConfig;
use sockeye::tls::rustls::crypto::ring;
use sockeye::tls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sockeye::{Acceptor, NetStream, WebSocket};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// How long a TLS handshake may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

const PAGE: &str = r"<!doctype html><meta charset=utf-8><title>HTTP/2</title><h1>WebSockets over HTTP/2</h1>
<ul id=said></ul><button id=more>one more</button><script>
const say = (text) => said.appendChild(document.createElement('li')).textContent = text;
const open = () => {
  const socket = new WebSocket(`wss://${location.host}/ws`);
  socket.onmessage = ({data}) => say(data);
  socket.onclose = ({code}) => say(`closed with ${code}`);
};
more.onclick = open;
</script>";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port] = numbers::numbers([("--port", 8443)]);
    let tls = TlsAcceptor::from(Arc::new(tls()?));
    let server = AttachedServer::new(Acceptor::default(), |socket, request| async move {
        let (method, version) = (request.http().method(), request.http().version());
        let peer = request.peer_addr().map_or(0, |peer| peer.port());
        echo(socket, format!("{method} over {version:?} from port {peer}")).await;
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let stopped = stop::asked();
    println!("listening on https://localhost:{}", listener.local_addr()?.port());
    let mut serving = pin!(serve(listener, tls, server.door()));
    tokio::select! {
        served = &mut serving => served?,
        () = stopped => {}
    }
    // What is said at the end goes out by the connections that are served, so they are served to the end.
    tokio::select! {
        served = &mut serving => served?,
        () = server.stop() => {}
    }
    Ok(())
}

/// A certificate made on the spot, and both versions of HTTP to choose from.
fn tls() -> Result<ServerConfig, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, door: Door) -> std::io::Result<()> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    builder.http2().timer(TokioTimer::new()).enable_connect_protocol();
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = listener.accept().await?;
        connections.spawn(connection(builder.clone(), tls.clone(), door.clone(), stream, peer));
        // What has ended is let go.
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(
    builder: auto::Builder<TokioExecutor>,
    tls: TlsAcceptor,
    door: Door,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let Ok(Ok(stream)) = timeout(TLS_TIMEOUT, tls.accept(stream)).await else { return };
    let service = service_fn(move |request| answer(door.clone(), request, peer));
    // How a connection ends is its client's business.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn answer(
    door: Door,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/" {
        return Ok(sockeye::hyper::answer(&door, &mut request, Some(peer)).await);
    }
    let page = format!(
        "{PAGE}<p id=page>the page came over {:?} from port {}",
        request.version(),
        peer.port()
    );
    let mut response = Response::new(Full::from(page));
    let html = hyper::header::HeaderValue::from_static("text/html");
    response.headers_mut().insert(CONTENT_TYPE, html);
    Ok(response)
}

/// Says how it came, then sends back what comes.
async fn echo(mut socket: WebSocket<NetStream>, came: String) {
    if socket.send(came).await.is_err() {
        return;
    }
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}
