//! A chat with rooms, open or with a password: the page, its script and its style, and the WebSocket
//! at `/chat`, on one port. Whoever loses the network has what was missed when it is back, and newcomers see what was
//! said last. The page shows the server's metrics, too.
//!
//! `cargo run --release --example chat -- --port 0`
//!
//! With TLS: `cargo run --release --features full --example chat -- --port 0 --tls`

mod app;
#[path = "../support/certificate.rs"]
mod certificate;
mod doors;
#[path = "../support/help.rs"]
mod help;
#[cfg(not(all(feature = "tls", feature = "ring")))]
#[path = "../support/no_tls.rs"]
mod no_tls;
mod options;
mod panel;
mod people;
mod protocol;
mod rooms;
#[path = "../support/stop.rs"]
mod stop;
#[cfg(all(feature = "tls", feature = "ring"))]
#[path = "../support/tls.rs"]
mod tls;

use std::time::Duration;

use sockeye::Server;
use sockeye::auth::Secret;
use sockeye::hub::Shutdown;

use doors::Doors;
#[cfg(not(all(feature = "tls", feature = "ring")))]
use no_tls::Tls;
use options::Options;
#[cfg(all(feature = "tls", feature = "ring"))]
use tls::Tls;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    help::if_asked(&[options::USAGE, certificate::USAGE]);
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}\n{}", options::USAGE, certificate::USAGE);
            std::process::exit(2);
        }
    };
    let tls = options.tls.as_ref().map(|certificate| Tls::new(certificate, options.addr.ip()));
    let mut server = Server::bind(options.addr).await?;
    let mut scheme = "http";
    if let Some(tls) = tls.transpose()? {
        (server, scheme) = (tls.protect(server), "https");
    }
    // Passwords end with their rooms, and rooms with the program: nobody needs the secret again.
    let doors = Doors::new(Secret::from_os()?);
    let app = app::app(app::hub(), options.away, include_str!("site.js"));
    let mut app = app.state(doors).listen(server);
    if options.has_metrics {
        app = app.metrics("/metrics", |_| true);
    }
    let running = app.start().await?;
    let stopped = stop::asked();
    println!("chat is at {scheme}://{}/", running.local_addrs()[0]);
    tokio::select! {
        () = stopped => {}
        never = panel::run(running.hub()) => match never {},
    }
    // Whoever is here is told, and has a second to go.
    running.stop(Shutdown::new(Duration::from_secs(1))).await?;
    Ok(())
}
