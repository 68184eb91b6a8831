//! A chat with rooms, open or with a password: the page, its script and its style, and the WebSocket
//! at `/chat`, on one port. The page shows the server's metrics, too.
//!
//! `cargo run --release --example chat -- --port 0`
//!
//! With TLS: `cargo run --release --features full --example chat -- --port 0 --tls`

#[path = "../support/certificate.rs"]
mod certificate;
mod doors;
mod guest;
mod member;
#[cfg(not(all(feature = "tls", feature = "ring")))]
#[path = "../support/no_tls.rs"]
mod no_tls;
mod options;
mod page;
mod panel;
mod protocol;
mod rooms;
#[path = "../support/stop.rs"]
mod stop;
#[cfg(all(feature = "tls", feature = "ring"))]
#[path = "../support/tls.rs"]
mod tls;

use std::time::Duration;

use http::StatusCode;
use sockeye::auth::Secret;
use sockeye::handshake::Acceptance;
use sockeye::hub::limits::{Limits, Rate};
use sockeye::hub::metrics::CONTENT_TYPE;
use sockeye::hub::{Hub, HubError, Shutdown};
use sockeye::{Answer, Config, Request, Server};

use guest::Guest;
use member::Member;
#[cfg(not(all(feature = "tls", feature = "ring")))]
use no_tls::Tls;
use options::Options;
use page::Page;
use panel::Panel;
use rooms::Rooms;
#[cfg(all(feature = "tls", feature = "ring"))]
use tls::Tls;

/// A message is 2,000 characters; as JSON, with every one of them escaped, it still fits.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What the page offers beside a password, for a browser wants to hear one of its subprotocols.
const SUBPROTOCOL: &str = "chat";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}\n{}", options::USAGE, certificate::USAGE);
            std::process::exit(2);
        }
    };
    let tls = options.tls.as_ref().map(|certificate| Tls::new(certificate, options.addr.ip()));
    let mut server = Server::bind(options.addr).await?;
    let address = server.local_addr()?;
    match tls.transpose()? {
        None => println!("chat is at http://{address}/"),
        Some(tls) => {
            server = tls.protect(server);
            println!("chat is at https://{address}/");
        }
    }
    let hub = hub()?;
    let site = Site { page: Page::new(), metrics: options.has_metrics.then(|| hub.clone()) };
    let acceptor =
        hub.acceptor().on_request(move |request| std::future::ready(site.answer(&request)));
    // Passwords end with their rooms, and rooms with the program: nobody needs the secret again.
    let rooms = Rooms::new(hub.clone(), Secret::from_os()?);
    let panel = Panel::new(hub.clone());
    let watched = panel.clone();
    let serving = hub.serve_sockets_until(
        server.acceptor(acceptor),
        move |socket, registration, request| {
            socket.run(Member::new(rooms.clone(), watched.clone(), registration, request))
        },
        interrupted(),
    );
    tokio::select! {
        report = serving => report.map(drop)?,
        never = panel.run() => match never {},
    }
    Ok(())
}

fn hub() -> Result<Hub, HubError> {
    let mut config = Config::default();
    config.message_bytes_max = MESSAGE_BYTES_MAX;
    // Round trips for the panel, and whoever is gone without a word is seen within 15 s.
    config.ping_interval = Some(Duration::from_secs(5));
    let mut limits = Limits::default();
    limits.connections_max = 2_000;
    // A school or an office may be one address.
    limits.connections_per_address_max = Some(500);
    limits.handshakes_per_address = Some(Rate::per_second(10).burst(500));
    limits.room_members_max = Some(500);
    // People do not write faster.
    limits.messages_per_connection = Some(Rate::per_second(10).burst(200));
    Hub::builder().config(config).limits(limits).build()
}

/// What is on the port beside the chat.
struct Site {
    page: Page,
    /// The hub whose metrics whoever asks may read.
    metrics: Option<Hub>,
}

impl Site {
    fn answer(&self, request: &Request) -> Answer {
        match (request.path(), &self.metrics) {
            ("/chat", _) => accept(request),
            ("/metrics", Some(hub)) => {
                Answer::respond(StatusCode::OK, CONTENT_TYPE, hub.prometheus())
            }
            (path, _) => self.page.answer(path),
        }
    }
}

fn accept(request: &Request) -> Answer {
    if let Err(why) = Guest::from_request(request) {
        return Answer::refuse(StatusCode::BAD_REQUEST, why);
    }
    let is_offered = request.subprotocols().iter().any(|offer| offer == SUBPROTOCOL);
    let acceptance = Acceptance::default();
    Answer::Upgrade(if is_offered { acceptance.subprotocol(SUBPROTOCOL) } else { acceptance })
}

/// Ready on Ctrl-C and SIGTERM: whoever is here is told, and has a second to go.
async fn interrupted() -> Shutdown {
    stop::asked().await;
    Shutdown::new(Duration::from_secs(1))
}
