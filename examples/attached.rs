//! An application behind an HTTP server of another make: hyper has the port and its own pages, over HTTP/1.1 and HTTP/2,
//! and hands over the requests that become WebSockets.
//!
//! ```text
//! cargo run --release --example attached --features hyper
//! curl http://127.0.0.1:8080/
//! cargo run --release --example wscat -- ws://127.0.0.1:8080/ws
//! {"v":"1.0","e":"echo","p":{"text":"hello"},"c":"1"}
//! ```

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde_json::Value;
use sockeye::app::{App, Context};
use sockeye::hub::Shutdown;
use sockeye::net::Door;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port] = numbers::numbers([("--port", 8080)]);
    let app = App::new().on("echo", async |_: Context, payload: Value| payload);
    let running = app.attach().await?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let stopped = stop::asked();
    println!("listening on ws://{}/ws", listener.local_addr()?);
    let mut serving = pin!(serve(listener, running.door()));
    tokio::select! {
        served = &mut serving => served?,
        () = stopped => {}
    }
    // Over HTTP/2 goodbyes go out by the connections that are served, so they are served to the end.
    tokio::select! {
        served = &mut serving => served?,
        stopped = running.stop(Shutdown::new(Duration::from_secs(5))) => drop(stopped?),
    }
    Ok(())
}

/// Serves HTTP, as any program with hyper does.
async fn serve(listener: TcpListener, door: Door) -> std::io::Result<()> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    builder.http2().timer(TokioTimer::new()).enable_connect_protocol();
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = listener.accept().await?;
        let (builder, door) = (builder.clone(), door.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| answer(door.clone(), request, peer));
            let stream = TokioIo::new(stream);
            // How a connection ends is its client's business.
            let _ = builder.serve_connection_with_upgrades(stream, service).await;
        });
        // What has ended is let go.
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    door: Door,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match request.uri().path() {
        "/" => Response::new(Full::from("hyper says hello; the application is at /ws\n")),
        _ => sockeye::hyper::answer(&door, &mut request, Some(peer)).await,
    })
}
