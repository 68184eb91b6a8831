//! The client of an application whose nodes die, and whose sessions are stored.

#![cfg(all(feature = "app", feature = "pubsub"))]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::Connector;
use sockeye::app::Context;
use sockeye::app::client::{ClientState, EventClient, Happening};
use sockeye::session::stores::MemoryStore;

use crate::moves::options;
use crate::stored::app;
use crate::support::app::AppSite;
use crate::support::front::Front;
use crate::support::pair::quiet;
use crate::support::pubsub::SOON;
use crate::support::server::within;
use crate::support::stores;

/// What handlers on all nodes have been told.
type Items = Arc<Mutex<Vec<u64>>>;

async fn site(store: &MemoryStore, items: &Items) -> AppSite {
    let items = items.clone();
    let app = app(store.clone(), stores::config()).on("item", move |_: Context, item: Value| {
        items.lock().unwrap().push(item["n"].as_u64().unwrap());
        async {}
    });
    AppSite::start(app).await
}

/// BY-42, BY-31: while one node after the other is killed a client sends on. Its session is one and the same, each gap is told,
/// and all that it has sent is handled, at least once and in order but for what goes again.
#[tokio::test]
async fn by_42_a_client_whose_nodes_are_killed() {
    const KILLS: u64 = 12;
    let (store, items) = (MemoryStore::new(), Items::default());
    let mut node = site(&store, &items).await;
    let front = Front::start(node.running.local_addrs()[0]).await;
    let connector =
        Connector::new(quiet()).header(http::header::AUTHORIZATION, "Bearer ann".parse().unwrap());
    let url = format!("ws://{}/ws", front.address);
    let (client, mut incoming) = EventClient::connect(connector, &url, options()).unwrap();
    client.request::<Value>("join", &json!({"room": "lobby"}), SOON).await.unwrap();
    let session = client.session().unwrap();
    let mut sent = 0;
    for kill in 1..=KILLS {
        // The record knows the token that the client has: without it there would be no way back.
        stores::holds(&store, &session.id, "lobby").await;
        for _ in 0..3 {
            sent += 1;
            client.send("item", &json!({"n": sent})).unwrap();
        }
        if kill % 2 == 0 {
            within(client.flushed()).await.unwrap();
        }
        until_told(&client, &store, &session.id).await;
        drop(node);
        node = site(&store, &items).await;
        front.to.send_replace(node.running.local_addrs()[0]);
        let gap = within(incoming.next()).await;
        match gap {
            Some(Happening::Gap { reason, uncertain }) => {
                assert_eq!((&*reason, uncertain.len()), ("stored", 0), "kill {kill}");
            }
            other => panic!("kill {kill}: {other:?}"),
        }
        assert_eq!(client.session().unwrap().id, session.id);
    }
    within(client.flushed()).await.unwrap();
    let items = items.lock().unwrap().clone();
    let mut first: Vec<u64> = Vec::new();
    for item in &items {
        // What is new is the next.
        if !first.contains(item) {
            assert_eq!(*item, first.len() as u64 + 1, "{items:?}");
            first.push(*item);
        }
    }
    assert_eq!(first.len() as u64, sent);
    assert!(matches!(*client.state().borrow(), ClientState::Open));
    let room = node.running.hub().room("lobby");
    assert_eq!(room.len(), 1);
}

/// Until the token of the client is in the record, and the connection that it has is the last one.
async fn until_told(client: &EventClient, store: &MemoryStore, id: &str) {
    let _: Value = client.request("echo", &json!({}), SOON).await.unwrap();
    let record = async || {
        use sockeye::session::stores::SessionStore as _;
        store.get(id).await.unwrap().unwrap()
    };
    // A record that is written after that has it.
    let before = record().await;
    client.request::<Value>("note", &json!({"text": "a change"}), SOON).await.unwrap();
    within(async {
        while record().await == before {
            tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>())
                .await
                .unwrap_err();
        }
    })
    .await;
}
