//! An echo server as fast as we know how to write one, and a broadcast at `/chat`.
//!
//! `cargo run --release --example echo -- --port 0 --threads 1`

#[path = "../support/certificate.rs"]
mod certificate;
#[path = "../support/help.rs"]
mod help;
#[cfg(not(all(feature = "tls", feature = "ring")))]
#[path = "../support/no_tls.rs"]
mod no_tls;
mod options;
#[cfg(all(feature = "tls", feature = "ring"))]
#[path = "../support/tls.rs"]
mod tls;

use std::net::SocketAddr;
use std::task::{Context, Poll};

use sockeye::http::StatusCode;
use sockeye::hub::{Hub, Membership};
use sockeye::{Acceptor, Answer, Connection, Handler, MessageRef, Server};

#[cfg(not(all(feature = "tls", feature = "ring")))]
use no_tls::Tls;
use options::Options;
#[cfg(all(feature = "tls", feature = "ring"))]
use tls::Tls;

/// Sends every message back.
struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        // Closed meanwhile: there is nobody to answer.
        let _ = connection.send(message);
    }
}

/// Sends every message to everybody here, its sender included.
enum Chat {
    New(Hub),
    Joined(Membership),
}

impl Handler for Chat {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        // The room has no limit, so nobody is refused.
        if let Self::New(hub) = self
            && let Ok(membership) = hub.room("chat").join(connection.sender())
        {
            *self = Self::Joined(membership);
        }
    }

    fn on_message(&mut self, _: &mut Connection<'_>, message: MessageRef<'_>) {
        if let Self::Joined(everybody) = self {
            // poll_ready holds back whoever would fill the queue.
            let _ = everybody.room().broadcast(message);
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Joined(everybody) => everybody.room().poll_ready(cx),
            Self::New(_) => Poll::Ready(()),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    help::if_asked(&[options::USAGE, certificate::USAGE]);
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}\n{}", options::USAGE, certificate::USAGE);
            std::process::exit(2);
        }
    };
    let tls = options.tls.as_ref().map(|certificate| Tls::new(certificate, options.addr.ip()));
    let tls = tls.transpose()?;
    let hub = Hub::new();
    let mut addr = options.addr;
    let mut threads = Vec::new();
    for index in 0..options.threads {
        // Nothing is shared: a runtime, a listener and a hub worker for each thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = runtime.block_on(async { listen(addr, options.threads > 1).await })?;
        addr = server.local_addr()?;
        if index == 0 {
            println!("listening on {addr}");
        }
        let server = server.acceptor(acceptor(&options));
        let server = match &tls {
            Some(tls) => tls.protect(server),
            None => server,
        };
        let hub = hub.clone();
        threads.push(std::thread::spawn(move || runtime.block_on(serve(server, hub))));
    }
    for thread in threads {
        thread.join().map_err(|_| "a server thread panicked")??;
    }
    Ok(())
}

async fn listen(addr: SocketAddr, is_shared: bool) -> std::io::Result<Server> {
    if is_shared { Server::bind_shared(addr) } else { Server::bind(addr).await }
}

fn acceptor(options: &Options) -> Acceptor {
    let path = options.path.clone();
    Acceptor::new(options.config())
        .origins(options.origins.clone())
        .handshake_timeout(options.handshake_timeout)
        .on_request(move |request| {
            let is_known = request.path() == path || request.path() == "/chat";
            let answer = if is_known {
                Answer::accept()
            } else {
                Answer::refuse(StatusCode::NOT_FOUND, "not found\n")
            };
            std::future::ready(answer)
        })
}

async fn serve(server: Server, hub: Hub) -> std::io::Result<()> {
    let chat_hub = hub;
    server
        .serve(move |socket, request| {
            let chat = (request.path() == "/chat").then(|| chat_hub.clone());
            socket.run(EchoOrChat::new(chat))
        })
        .await
}

/// What runs on a connection, by its path.
enum EchoOrChat {
    Echo(Echo),
    Chat(Chat),
}

impl EchoOrChat {
    fn new(chat: Option<Hub>) -> Self {
        match chat {
            None => Self::Echo(Echo),
            Some(hub) => Self::Chat(Chat::New(hub)),
        }
    }
}

impl Handler for EchoOrChat {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        if let Self::Chat(chat) = self {
            chat.on_open(connection);
        }
    }

    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        match self {
            Self::Echo(echo) => echo.on_message(connection, message),
            Self::Chat(chat) => chat.on_message(connection, message),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Echo(_) => Poll::Ready(()),
            Self::Chat(chat) => chat.poll_ready(cx),
        }
    }
}
