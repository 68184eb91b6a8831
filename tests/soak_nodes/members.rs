//! Who comes: listeners that stay or wander, some that come and go, that never read, and that flood.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::Connector;
use sockeye::app::client::{ClientOptions, EventClient, FirstEvents, Happening, Incoming};
use tokio::task::JoinHandle;

use crate::ledger::{Ear, Told};
use crate::support::app::{AppClient, AppSite};
use crate::support::pair::quiet;
use crate::support::server::within;

/// One that listens, and gives things to do.
pub(crate) struct Listener {
    pub(crate) ear: Arc<Mutex<Ear>>,
    client: EventClient,
    hearing: JoinHandle<()>,
    sent: u64,
}

impl Listener {
    pub(crate) fn come(
        name: usize,
        (address, stays_at): (SocketAddr, Option<usize>),
        rooms: &[String],
        told: Arc<Told>,
    ) -> Self {
        let ear = Arc::new(Mutex::new(Ear::new(name, stays_at, rooms, told)));
        let mut options = ClientOptions::default();
        options.backoff_first = Duration::from_millis(5);
        options.backoff_max = Duration::from_millis(200);
        let join = json!({"rooms": rooms});
        options.first = Some(FirstEvents::new(move |first| first.send("join", &join)));
        let url = format!("ws://{address}/ws");
        let (client, incoming) =
            EventClient::connect(Connector::new(quiet()), &url, options).unwrap();
        let hearing = tokio::spawn(hear(incoming, ear.clone()));
        Self { ear, client, hearing, sent: 0 }
    }

    /// Something to do, if not too much waits.
    pub(crate) fn give(&mut self) {
        if self.client.queued().0 < 100 {
            let item = json!({"client": self.ear.lock().unwrap().name, "n": self.sent + 1});
            self.client.send("item", &item).unwrap();
            self.sent += 1;
        }
    }

    /// Until all that it gave has been taken; how much that was.
    pub(crate) async fn flushed(&self) -> u64 {
        within(self.client.flushed()).await.unwrap();
        self.sent
    }

    pub(crate) async fn go(self) -> Ear {
        within(self.client.close()).await;
        within(self.hearing).await.unwrap();
        drop(self.client);
        Arc::into_inner(self.ear).unwrap().into_inner().unwrap()
    }

    /// Without a word.
    pub(crate) fn vanish(self) {
        assert_eq!(self.ear.lock().unwrap().failure, None);
    }
}

async fn hear(mut incoming: Incoming, ear: Arc<Mutex<Ear>>) {
    while let Some(happening) = incoming.next().await {
        let mut ear = ear.lock().unwrap();
        match happening {
            Happening::Event(event) if event.name() == "news" => {
                let news: Value = event.payload().unwrap();
                let number = |name: &str| news[name].as_u64().unwrap();
                ear.hear(news["room"].as_str().unwrap(), number("node") as usize, number("n"));
            }
            Happening::Event(_) => {}
            Happening::Restored => ear.restored += 1,
            Happening::Gap { reason, .. } if reason == "protocol_error" => {
                ear.fail("the counts of a session did not fit".to_owned());
            }
            Happening::Gap { reason, .. } => ear.begin_anew(&reason),
            other => ear.fail(format!("{other:?}")),
        }
    }
}

/// One that joins and never reads.
pub(crate) async fn stall(site: &AppSite, rooms: &[String]) -> AppClient {
    let mut client = site.silent("/ws").await;
    client.send("join", json!({"rooms": rooms})).await;
    client
}

/// One that says as much as it may, and never reads.
pub(crate) async fn flood(site: &AppSite) {
    let mut client = site.silent("/ws").await;
    let event = json!({"v": "1.0", "e": "flood", "p": {"x": "x".repeat(200)}}).to_string();
    for _ in 0..2000 {
        // It may be told to go.
        if within(client.socket.send(event.clone())).await.is_err() {
            return;
        }
    }
}
