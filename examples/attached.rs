//! An application behind an HTTP server of another make: hyper has the port and its own pages, and hands over the
//! requests that become WebSockets.
//!
//! ```text
//! cargo run --release --example attached
//! curl http://127.0.0.1:8080/
//! cargo run --release --example wscat -- ws://127.0.0.1:8080/ws
//! {"v":"1.0","e":"echo","p":{"text":"hello"},"c":"1"}
//! ```
//!
//! The door is all that an HTTP server has to know of the application: [`Door::upgrade`] says what a request is to be
//! answered, [`Door::serve`] takes what comes behind the answer.

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use sockeye::NetStream;
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
    println!("listening on ws://{}/ws", listener.local_addr()?);
    tokio::select! {
        served = serve(listener, running.door()) => served?,
        () = stop::asked() => {}
    }
    running.stop(Shutdown::new(Duration::from_secs(5))).await?;
    Ok(())
}

/// Serves HTTP, as any program with hyper does.
async fn serve(listener: TcpListener, door: Door) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = listener.accept().await?;
        let door = door.clone();
        let service = service_fn(move |request| answer(door.clone(), request, peer));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        connections.spawn(connection);
        // What has ended is let go.
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    door: Door,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/" {
        return Ok(Response::new(Full::from("hyper says hello; the application is at /ws\n")));
    }
    let upgrading = match door.upgrade(&request, Some(peer)).await {
        Ok(upgrading) => upgrading,
        Err(answer) => return Ok(answer.map(Full::new)),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let stream = async { upgraded.await.map(|stream| NetStream::boxed(TokioIo::new(stream))) };
    Ok(door.serve(upgrading, stream).map(|()| Full::default()))
}
