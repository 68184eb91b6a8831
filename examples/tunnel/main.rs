//! Carries TCP over WebSocket, for a network that lets nothing else through.
//!
//! ```text
//!   application ─TCP─► tunnel client ─WebSocket─► tunnel server ─TCP─► target
//! ```
//! Each TCP connection has a WebSocket of its own, its half close is carried, and an abnormal end is one
//! on the other side, too.
//!
//! `cargo run --release --example tunnel -- server --port 9001 --to 127.0.0.1:22`
//! `cargo run --release --example tunnel -- client --port 2222 --url ws://127.0.0.1:9001/`

mod carry;
#[path = "../support/help.rs"]
mod help;
mod options;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sockeye::{Acceptor, Config, Connector, NetStream, Server, WebSocket};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use carry::{carry, reset};
use options::{End, Options};

/// How long connecting to the target may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when the system is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    help::if_asked(&[options::USAGE]);
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    let places = Arc::new(Semaphore::new(options.connections_max));
    match options.end.clone() {
        End::Server { target } => serve(&options, target, places).await?,
        End::Client { url } => listen(&options, url, places).await?,
    }
    Ok(())
}

/// WebSockets come, TCP goes to the target.
async fn serve(options: &Options, target: String, places: Arc<Semaphore>) -> io::Result<()> {
    let server = Server::bind(options.addr).await?;
    println!("listening on {}", server.local_addr()?);
    let target: Arc<str> = target.into();
    server
        .acceptor(Acceptor::new(Config::default()))
        .serve(move |socket, _request| {
            let (target, places) = (target.clone(), places.clone());
            async move {
                let Ok(_place) = places.try_acquire() else {
                    return refuse(socket, 1013, "too many connections").await;
                };
                match connect(&target).await {
                    Ok(tcp) => carry(tcp, socket).await,
                    Err(error) => {
                        eprintln!("{target}: {error}");
                        refuse(socket, 1014, "the target cannot be reached").await;
                    }
                }
            }
        })
        .await
}

async fn connect(target: &str) -> io::Result<TcpStream> {
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await;
    let tcp = connecting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn refuse(mut socket: WebSocket<NetStream>, code: u16, reason: &str) {
    if let Err(error) = socket.close(code, reason).await {
        eprintln!("closing: {error}");
    }
}

/// TCP comes, WebSockets go to the server. Whoever comes when all places are taken waits in the kernel.
async fn listen(
    options: &Options,
    url: String,
    places: Arc<Semaphore>,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(options.addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let (connector, url) = (Arc::new(Connector::new(Config::default())), Arc::<str>::from(url));
    loop {
        let place = places.clone().acquire_owned().await?;
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                eprintln!("accepting: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (connector, url) = (connector.clone(), url.clone());
        tokio::spawn(async move {
            match connector.connect(&url).await {
                Ok(socket) => carry(tcp, socket).await,
                Err(error) => {
                    eprintln!("{url}: {error}");
                    reset(tcp);
                }
            }
            drop(place);
        });
    }
}
