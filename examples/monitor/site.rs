//! What is on the admins' port: the page, its WebSocket at `/live`, `/metrics` and `/healthz`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use sockeye::auth::{AuthError, Authenticator as _, CredentialSources};
use sockeye::handshake::Acceptance;
use sockeye::http::StatusCode;
use sockeye::hub::metrics::CONTENT_TYPE;
use sockeye::hub::{Handlers, Hub, HubError, PeerConnection, Shutdown};
use sockeye::{Answer, Config, MessageRef, Request, Server};

use super::admins::Admins;
use super::load::{CLIENTS_MAX, Load};
use super::page;
use super::samples::Samples;

/// What the page offers beside its token, for a browser wants to hear one of its subprotocols.
const SUBPROTOCOL: &str = "monitor";

/// Pages that look at the same time.
const ADMINS_MAX: usize = 16;

/// Longest command, in bytes.
const COMMAND_BYTES_MAX: usize = 1024;

pub(crate) struct Site {
    hub: Hub,
    samples: Arc<Samples>,
    load: Arc<Load>,
    admins: Arc<Admins>,
}

impl Site {
    pub(crate) fn new(
        samples: Arc<Samples>,
        load: Arc<Load>,
        admins: Arc<Admins>,
    ) -> Result<Self, HubError> {
        let mut config = Config::default();
        config.message_bytes_max = COMMAND_BYTES_MAX;
        config.ping_interval = Some(Duration::from_secs(10));
        let hub = Hub::builder().config(config).connections_max(ADMINS_MAX).build()?;
        Ok(Self { hub, samples, load, admins })
    }

    /// Those who look.
    pub(crate) const fn admins(&self) -> &Hub {
        &self.hub
    }

    pub(crate) async fn serve(
        &self,
        server: Server,
        shutdown: impl Future<Output = Shutdown>,
    ) -> io::Result<()> {
        let (samples, admins) = (self.samples.clone(), self.admins.clone());
        let acceptor = self.hub.acceptor().on_request(move |request| {
            let (samples, admins) = (samples.clone(), admins.clone());
            async move { answer(&request, &samples, &admins).await }
        });
        // Before anything else of the site, an upgrade needs a token.
        let acceptor = self.hub.guard(acceptor, self.admins.clone(), CredentialSources::new());
        let handlers = self.handlers();
        let on_socket = move |socket: sockeye::WebSocket<_>, registration, _| {
            socket.run(handlers.handler(registration))
        };
        self.hub.serve_sockets_until(server.acceptor(acceptor), on_socket, shutdown).await.map(drop)
    }

    fn handlers(&self) -> Handlers {
        let (samples, load) = (self.samples.clone(), self.load.clone());
        Handlers::new()
            .on_open(move |connection| {
                // Whoever is closing needs no numbers.
                let _ = connection.send(&*samples.so_far());
            })
            .on_message(move |connection, message| obey(connection, message, &load))
    }
}

async fn answer(request: &Request, samples: &Samples, admins: &Admins) -> Answer {
    match request.path() {
        "/live" => {
            let is_offered = request.subprotocols().iter().any(|offer| offer == SUBPROTOCOL);
            let acceptance = Acceptance::default();
            Answer::Upgrade(if is_offered {
                acceptance.subprotocol(SUBPROTOCOL)
            } else {
                acceptance
            })
        }
        "/metrics" => match admit(request, admins).await {
            Ok(()) => Answer::respond(StatusCode::OK, CONTENT_TYPE, samples.prometheus()),
            Err(error) => Answer::Respond(error.to_response()),
        },
        "/healthz" => Answer::respond(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        path => page::answer(path),
    }
}

/// What the guard does for upgrades.
async fn admit(request: &Request, admins: &Admins) -> Result<(), AuthError> {
    let credentials = CredentialSources::new().read(request.http(), SystemTime::now())?;
    admins.authenticate(credentials).await.map(drop)
}

/// What the page asks for.
#[derive(Deserialize)]
struct Command {
    /// So many clients shall chat.
    load: usize,
}

fn obey(connection: &mut PeerConnection<'_, '_>, message: MessageRef<'_>, load: &Load) {
    let command = message.as_text().and_then(|json| serde_json::from_str(json).ok());
    match command {
        Some(Command { load: clients }) if clients <= CLIENTS_MAX => load.set(clients),
        // 1008 may be sent, and the reason is short.
        _ => drop(connection.connection().close(1008, "not a command of this page")),
    }
}
