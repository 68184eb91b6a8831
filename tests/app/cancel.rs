//! BY-31: every future of an application and of its client can be dropped at every poll. Each is polled n times and dropped,
//! for n = 0, 1, 2 and so on until none is dropped any more.

#![cfg(feature = "app")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::app::client::{ClientOptions, ClientState, EventClient, Happening, Incoming};
use sockeye::app::{App, Context};
use sockeye::hub::Shutdown;
use sockeye::{Connector, Server};

use crate::support::app::AppSite;
use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::{every_poll, polls};

const LONG: Duration = Duration::from_secs(20);

/// What an application was told.
#[derive(Clone, Default)]
struct Told {
    echoes: Arc<AtomicUsize>,
    items: Arc<Mutex<Vec<u64>>>,
}

fn app(told: &Told) -> App {
    let (echoes, items) = (told.echoes.clone(), told.items.clone());
    App::new()
        .on("echo", move |_: Context, payload: Value| {
            echoes.fetch_add(1, Ordering::Relaxed);
            async { payload }
        })
        .on("item", move |_: Context, payload: Value| {
            items.lock().unwrap().push(payload["n"].as_u64().unwrap());
            async {}
        })
        .on("join", async |context: Context, _: Value| {
            context.join("lobby").unwrap();
            json!({})
        })
        // Drops its first question, then asks another.
        .on("ask", async |context: Context, payload: Value| {
            let count = payload["polls"].as_u64().unwrap() as usize;
            let first = polls(context.request("first", &payload, LONG), count).await;
            let second = context.request("second", &payload, LONG).await.unwrap();
            let answer: Value = second.payload().unwrap();
            json!({"answer": answer, "is_dropped": first.is_none()})
        })
}

async fn site() -> (AppSite, Told, EventClient, Incoming) {
    let told = Told::default();
    let site = AppSite::start(app(&told)).await;
    let url = site.url("/ws");
    let (client, incoming) =
        EventClient::connect(Connector::new(quiet()), &url, ClientOptions::default()).unwrap();
    let is_open = |state: &ClientState| matches!(state, ClientState::Open);
    within(client.state().wait_for(is_open)).await.unwrap();
    (site, told, client, incoming)
}

/// `EventClient::request`: a question that was never sent is not sent any more, the answer of another is passed over, and the
/// next question has its own.
#[tokio::test]
async fn request() {
    every_poll(1, async |count| {
        let (_site, told, client, mut incoming) = site().await;
        let first = polls(client.request::<Value>("echo", &json!({"n": 1}), LONG), count).await;
        let second: Value = client.request("echo", &json!({"n": 2}), LONG).await.unwrap();
        assert_eq!(second, json!({"n": 2}), "dropped after {count} polls");
        within(client.flushed()).await.unwrap();
        let echoes = told.echoes.load(Ordering::Relaxed);
        assert!((1..=1 + usize::from(count > 0)).contains(&echoes), "{echoes} questions came");
        // A late answer would stand here.
        assert!(polls(incoming.next(), 1).await.is_none());
        first.is_none()
    })
    .await;
}

/// `Incoming::next`: nothing is lost or doubled.
#[tokio::test]
async fn next() {
    every_poll(1, async |count| {
        let (site, _told, client, mut incoming) = site().await;
        client.request::<Value>("join", &json!({}), LONG).await.unwrap();
        let saying = tokio::spawn(async move {
            for n in 0..20 {
                site.running.to_room("lobby").send("news", &json!({"n": n})).unwrap();
                tokio::task::yield_now().await;
            }
            site
        });
        let mut is_dropped = false;
        for n in 0..20 {
            let happened = match polls(incoming.next(), count).await {
                Some(happened) => happened,
                None => {
                    is_dropped = true;
                    within(incoming.next()).await
                }
            };
            match happened {
                Some(Happening::Event(event)) => {
                    assert_eq!(event.payload::<Value>().unwrap(), json!({"n": n}));
                }
                other => panic!("{other:?}"),
            }
        }
        saying.await.unwrap();
        is_dropped
    })
    .await;
}

/// `EventClient::flushed`: it changes nothing.
#[tokio::test]
async fn flushed() {
    every_poll(1, async |count| {
        let (_site, told, client, _incoming) = site().await;
        for n in 0..3 {
            client.send("item", &json!({"n": n})).unwrap();
        }
        let flushed = polls(client.flushed(), count).await;
        within(client.flushed()).await.unwrap();
        assert_eq!(*told.items.lock().unwrap(), [0, 1, 2], "dropped after {count} polls");
        flushed.is_none()
    })
    .await;
}

/// `EventClient::close`: once polled it goes on by itself; before nothing has happened.
#[tokio::test]
async fn close() {
    every_poll(1, async |count| {
        let (site, _told, client, _incoming) = site().await;
        let closed = polls(client.close(), count).await;
        if count == 0 {
            let echo: Value = client.request("echo", &json!({"n": 1}), LONG).await.unwrap();
            assert_eq!(echo, json!({"n": 1}));
            return true;
        }
        within(client.state().wait_for(ClientState::is_closed)).await.unwrap();
        let is_over = async {
            while !site.running.sessions().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        within(is_over).await;
        closed.is_none()
    })
    .await;
}

/// `Context::request`: as for the client.
#[tokio::test]
async fn questions_of_a_server() {
    every_poll(1, async |count| {
        let (_site, _told, client, mut incoming) = site().await;
        let answering = client.clone();
        let answers = tokio::spawn(async move {
            let mut names = Vec::new();
            while names.last().is_none_or(|name| name != "second") {
                let Some(Happening::Request(question)) = incoming.next().await else {
                    panic!("no question");
                };
                names.push(question.event().name().to_owned());
                answering.answer(&question, &json!({"to": names.last()})).unwrap();
            }
            (names, incoming)
        });
        let how = json!({"polls": count});
        let asked = client.request::<Value>("ask", &how, LONG);
        let asked = within(asked).await.unwrap();
        assert_eq!(asked["answer"], json!({"to": "second"}), "dropped after {count} polls");
        let (names, _incoming) = within(answers).await.unwrap();
        assert_eq!(names.len(), 1 + usize::from(count > 0));
        asked["is_dropped"].as_bool().unwrap()
    })
    .await;
}

/// `App::start`: nobody listens any more.
#[tokio::test]
async fn start() {
    every_poll(1, async |count| {
        let server = within(Server::bind("127.0.0.1:0")).await.unwrap();
        let address = server.local_addr().unwrap();
        let started = polls(App::new().listen(server).start(), count).await;
        let is_dropped = started.is_none();
        drop(started);
        let bound = async {
            while Server::bind(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        within(bound).await;
        is_dropped
    })
    .await;
}

/// `Running::stop` and `Running::drain`: what is left ends with them.
#[tokio::test]
async fn stop_and_drain() {
    for is_drain in [false, true] {
        every_poll(1, async |count| {
            let site = AppSite::start(app(&Told::default())).await;
            let address = site.running.local_addrs()[0];
            let mut client = site.connect("/ws").await;
            // With a goodbye, or without one.
            let leaving =
                tokio::spawn(async move { while let Ok(Some(_)) = client.socket.recv().await {} });
            let shutdown = Shutdown::new(LONG);
            let stopped = match is_drain {
                true => polls(site.running.drain(shutdown), count).await,
                false => polls(site.running.stop(shutdown), count).await,
            };
            within(leaving).await.unwrap();
            let bound = async {
                while Server::bind(address).await.is_err() {
                    tokio::task::yield_now().await;
                }
            };
            within(bound).await;
            stopped.is_none()
        })
        .await;
    }
}
