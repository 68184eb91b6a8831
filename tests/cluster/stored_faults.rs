//! Stores of sessions that are away, slow or wrong, and records that are none.

#![cfg(all(feature = "app", feature = "pubsub"))]

use std::time::Duration;

use serde_json::json;
use sockeye::hub::Shutdown;
use sockeye::session::stores::{MemoryStore, Put, SessionStore};

use crate::moves::until;
use crate::stored::{
    Ticket, alone, ann, app, come_back, counts, goes_on, is_unknown, say, suspended, waiting,
};
use crate::support::app::AppSite;
use crate::support::pubsub::SOON;
use crate::support::server::within;
use crate::support::stores::{self, Watched, Wrong, epoch, holds};

/// BY-42: without its store a node serves as before, and says so; when it is back all is written.
#[tokio::test]
async fn by_42_a_store_that_is_down() {
    let store = Watched::new(MemoryStore::new());
    let one = alone(&store).await;
    for wrong in [Wrong::Fails, Wrong::Panics] {
        store.go(wrong);
        let (mut client, ticket) = ann(&one).await;
        if wrong == Wrong::Fails {
            until(|| counts(&one).failed > 3).await;
            assert!(!counts(&one).is_up);
            assert!(one.running.hub().prometheus().contains("\nsockeye_store_up 0\n"));
        }
        client.ask("echo", json!({"a": 1}), "e").await;
        assert_eq!(client.expect("echo.ack").await, json!({"a": 1}));
        store.go(Wrong::Nothing);
        holds(&store.store, &ticket.id, "salmon").await;
        until(|| counts(&one).is_up).await;
    }
    assert!(one.running.hub().prometheus().contains("\nsockeye_store_up 1\n"));
}

/// BY-42: nobody waits for a store that hangs: not whoever is served, and whoever asks for a session no longer than its time.
#[tokio::test]
async fn by_42_a_store_that_hangs() {
    let store = Watched::new(MemoryStore::new());
    let mut config = stores::config();
    config.timeout = Duration::from_millis(30);
    let one = AppSite::start(app(store.clone(), config)).await;
    store.go(Wrong::Hangs);
    let (mut client, ticket) = ann(&one).await;
    let other = Ticket { id: "x".repeat(22), ..ticket };
    is_unknown(&one, Some("ann"), &other).await;
    client.ask("echo", json!({"a": 1}), "e").await;
    assert_eq!(client.expect("echo.ack").await, json!({"a": 1}));
    until(|| counts(&one).failed > 2).await;
    let stopped = one.running.stop(Shutdown::new(Duration::from_millis(200)));
    let (report, ended) = tokio::join!(within(stopped), client.ended());
    report.unwrap();
    assert_eq!(u16::from(ended.code), 1001);
}

/// BY-42: a put that was done and not answered fences nobody.
#[tokio::test]
async fn by_42_an_answer_that_is_lost() {
    let store = Watched::new(MemoryStore::new());
    let one = alone(&store).await;
    store.go(Wrong::LosesAnswers);
    let (mut client, ticket) = ann(&one).await;
    until(|| store.puts(&ticket.id).len() == 1 && counts(&one).failed > 2).await;
    assert_eq!(epoch(&store.store, &ticket.id).await, Some(1));
    store.go(Wrong::Nothing);
    say(&one, 1);
    holds(&store.store, &ticket.id, r#""n":1"#).await;
    assert_eq!(client.expect("news").await, json!({"n": 1}));
    assert_eq!(counts(&one).taken_over, 0);
}

/// BY-42: a put was done and not answered, and then another node took the session: what is in the store is that node's, not what
/// was put here.
#[tokio::test]
async fn by_42_an_answer_that_is_lost_before_another_takes_it() {
    let store = Watched::new(MemoryStore::new());
    let one = alone(&store).await;
    store.go(Wrong::LosesAnswers);
    let (mut client, ticket) = ann(&one).await;
    until(|| store.puts(&ticket.id).len() == 1 && counts(&one).failed > 2).await;
    let other = alone(&store.store).await;
    let (mut next, restored) = come_back(&other, &ticket, 2).await;
    assert_eq!(restored["restored"], true);
    assert_eq!(epoch(&store.store, &ticket.id).await, Some(2));
    store.go(Wrong::Nothing);
    say(&one, 1);
    assert_eq!(u16::from(client.ended().await.code), 4001);
    assert_eq!((counts(&one).taken_over, counts(&other).taken_over), (1, 0));
    other.running.to_user("ann").send("news", &json!({"n": 2})).unwrap();
    assert_eq!(next.expect("news").await, json!({"n": 2}));
}

/// BY-42: a store that has lost its records is written anew.
#[tokio::test]
async fn by_42_a_store_that_has_lost_its_records() {
    let store = MemoryStore::new();
    let one = alone(&store).await;
    let (mut client, ticket) = ann(&one).await;
    holds(&store, &ticket.id, "salmon").await;
    store.remove(&ticket.id, 1).await.unwrap();
    say(&one, 1);
    holds(&store, &ticket.id, r#""n":1"#).await;
    assert_eq!(client.expect("news").await, json!({"n": 1}));
    assert_eq!(counts(&one).taken_over, 0);
}

/// BY-42: a record that is none, is of another version, or is too long, is counted, and the client told that there is none.
#[tokio::test]
async fn by_42_a_record_that_is_none() {
    let store = MemoryStore::new();
    let one = alone(&store).await;
    let ticket = waiting(&one, &store).await;
    drop(one);
    let good = store.get(&ticket.id).await.unwrap().unwrap();
    let other = alone(&store).await;
    let (mut newer, length) = (good.bytes.to_vec(), good.bytes.len());
    newer[0] += 1;
    let cut = good.bytes.slice(..good.bytes.len() / 2);
    let bad = [newer.into(), cut, "x".into()];
    for (count, bytes) in bad.into_iter().enumerate() {
        let put = Put { expected: good.epoch, epoch: good.epoch, bytes, keep_for: SOON };
        store.put(&ticket.id, put).await.unwrap();
        is_unknown(&other, Some("ann"), &ticket).await;
        assert_eq!(counts(&other).poisoned, count as u64 + 1);
    }
    let put = Put { expected: good.epoch, epoch: good.epoch, bytes: good.bytes, keep_for: SOON };
    store.put(&ticket.id, put).await.unwrap();
    let mut config = stores::config();
    config.record_bytes_max = length - 1;
    let narrow = AppSite::start(app(store.clone(), config)).await;
    is_unknown(&narrow, Some("ann"), &ticket).await;
    assert_eq!(counts(&narrow).poisoned, 1);
    goes_on(&other, &ticket, 120_000).await;
}

/// BY-42: a store that takes less than was set is asked for no more.
pub(crate) async fn by_42_fits(store: impl SessionStore + Clone) {
    let one = alone(&store).await;
    let (client, ticket) = ann(&one).await;
    holds(&store, &ticket.id, "salmon").await;
    drop(client);
    suspended(&one, &ticket).await;
    (1..=1_000).for_each(|n| say(&one, n));
    holds(&store, &ticket.id, r#""n":1000"#).await;
    assert_eq!(counts(&one).failed, 0);
    drop(one);
    let record = store.get(&ticket.id).await.unwrap().unwrap();
    assert!(record.bytes.len() <= store.record_bytes_max());
    let other = alone(&store).await;
    let (mut client, restored) = come_back(&other, &ticket, 1_001).await;
    assert_eq!(restored["restored"], true);
    assert_eq!(client.expect("news").await, json!({"n": 1_000}));
}

/// BY-42: of a record that would be too long the oldest messages are left out: whoever has not had them is told so.
#[tokio::test]
async fn by_42_a_record_has_an_end() {
    let store = MemoryStore::new();
    let mut config = stores::config();
    config.record_bytes_max = 2_000;
    let one = AppSite::start(app(store.clone(), config)).await;
    let (client, ticket) = ann(&one).await;
    drop(client);
    suspended(&one, &ticket).await;
    (1..=100).for_each(|n| say(&one, n));
    holds(&store, &ticket.id, r#""n":100"#).await;
    drop(one);
    assert!(store.get(&ticket.id).await.unwrap().unwrap().bytes.len() <= 2_000);
    let other = alone(&store).await;
    let (_client, restored) = come_back(&other, &ticket, 2).await;
    assert_eq!(restored, json!({"restored": false, "reason": "history_lost"}));
    let (mut client, restored) = come_back(&other, &ticket, 101).await;
    assert_eq!(restored["restored"], true);
    assert_eq!(client.expect("news").await, json!({"n": 100}));
}
