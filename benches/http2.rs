//! What a message costs over HTTP/2 beside HTTP/1.1, there and back.
//!
//! `cargo bench --bench http2 --features hyper`
//!
//! Client and server share a thread, so a time is the work of both ends and of the kernel. Over HTTP/1.1 it is our own server
//! and client, over HTTP/2 hyper reads and writes for both. Runs of the two alternate, and the ratio is the median of theirs:
//! 1.4 to 1.5 with one small message in flight, 1.1 to 1.4 with 64 of them, and 2.8 to 3.7 for what fills more than one frame of
//! HTTP/2 a turn, for hyper is given 16 KiB at a time (src/hyper/stream.rs has why, and what that costs).

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sockeye::hyper::{ExtendedConnect, answer, watch_settings};
use sockeye::net::AttachedServer;
use sockeye::{Acceptor, Config, Message, NetStream, Server, WebSocket, connect};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

type Failure = Box<dyn Error + Send + Sync>;

/// Bytes of a message, how many are under way at a time, and how many there are in a run.
const LOADS: [(usize, usize, usize); 5] =
    [(16, 1, 10_000), (16, 64, 100_000), (1024, 1, 10_000), (1024, 64, 50_000), (65_536, 8, 2_000)];

/// Of each, one after the other.
const ROUNDS: usize = 9;

/// Everything that is waited for comes sooner.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(measure())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), Failure> {
    let (mut http1, attached) =
        (over_http1().await?, AttachedServer::new(Acceptor::default(), echo));
    let mut http2 = over_http2(&attached).await?;
    println!(
        "| bytes | in flight | HTTP/1.1, ns a message | HTTP/2 | ratio | messages/s over HTTP/2 |"
    );
    println!("|---|---|---|---|---|---|");
    for (bytes, in_flight, messages) in LOADS {
        let load = Load { message: Message::binary(vec![7; bytes]), in_flight, messages };
        // What grows with the first messages has grown.
        load.run(&mut http1).await?;
        load.run(&mut http2).await?;
        let mut runs = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            runs.push([load.run(&mut http1).await?, load.run(&mut http2).await?]);
        }
        let of_http1 = median(runs.iter().map(|run| run[0]));
        let of_http2 = median(runs.iter().map(|run| run[1]));
        let ratio = median(runs.iter().map(|run| run[1] / run[0]));
        println!(
            "| {bytes} | {in_flight} | {of_http1:.0} | {of_http2:.0} | {ratio:.2} | {:.0} |",
            1e9 / of_http2
        );
    }
    Ok(())
}

struct Load {
    message: Message,
    in_flight: usize,
    messages: usize,
}

impl Load {
    /// Nanoseconds a message.
    async fn run(&self, socket: &mut WebSocket<NetStream>) -> Result<f64, Failure> {
        let began = Instant::now();
        timeout(PATIENCE, self.exchange(socket)).await??;
        Ok(began.elapsed().as_nanos() as f64 / self.messages as f64)
    }

    async fn exchange(&self, socket: &mut WebSocket<NetStream>) -> Result<(), Failure> {
        let sender = socket.sender();
        let send = async {
            for _ in 0..self.in_flight {
                sender.send(self.message.clone()).await?;
            }
            Ok::<_, Failure>(())
        };
        let receive = async {
            for received in 0..self.messages {
                let message = socket.recv().await?.ok_or("closed")?;
                if message.as_bytes().len() != self.message.as_bytes().len() {
                    return Err("another message".into());
                }
                if received + self.in_flight < self.messages {
                    socket.feed(message)?;
                }
            }
            Ok::<_, Failure>(())
        };
        tokio::try_join!(send, receive).map(drop)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn echo(mut socket: WebSocket<NetStream>, _: sockeye::Request) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.feed(message).is_err() {
            break;
        }
    }
}

async fn over_http1() -> Result<WebSocket<NetStream>, Failure> {
    let server = Server::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", server.local_addr()?);
    tokio::spawn(server.serve(echo));
    Ok(connect(&url).await?)
}

async fn over_http2(attached: &AttachedServer) -> Result<WebSocket<NetStream>, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let door = attached.door();
    tokio::spawn(async move {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |mut request| {
            let door = door.clone();
            async move { Ok::<_, Infallible>(answer(&door, &mut request, Some(peer)).await) }
        });
        let mut builder = server::Builder::new(TokioExecutor::new());
        builder.enable_connect_protocol();
        builder.serve_connection(TokioIo::new(stream), service).await?;
        Ok::<_, Failure>(())
    });
    open(address).await
}

async fn open(address: SocketAddr) -> Result<WebSocket<NetStream>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let executor = TokioExecutor::new();
    let (mut requests, connection) =
        client::handshake::<_, _, Empty<Bytes>>(executor, TokioIo::new(stream)).await?;
    let (connection, settings) = watch_settings(connection);
    tokio::spawn(connection);
    let connect = ExtendedConnect::new(Config::default());
    Ok(connect.open(&mut requests, &settings, &format!("ws://{address}/")).await?)
}
