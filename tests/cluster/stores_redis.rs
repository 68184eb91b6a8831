//! Redis as the store of sessions, the real program.

#![cfg(all(unix, feature = "redis", feature = "app"))]

use std::time::Duration;

use sockeye::session::stores::{RedisStore, SessionStore, StoreErrorKind, Wrote};
use tokio::net::TcpListener;

use crate::stored::{by_42_survives_a_restart, by_42_survives_its_node};
use crate::support::brokers::Program;
use crate::support::redis::{command, run, store_at, url_of};
use crate::support::server::within;
use crate::support::stores::{conforms, put};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn by_42_redis_is_a_store() {
    let Some(server) = Program::start(command).await else { return };
    conforms(store_at(server.address())).await;
}

#[tokio::test]
async fn by_42_a_session_survives_its_node_by_redis() {
    let Some(server) = Program::start(command).await else { return };
    by_42_survives_its_node(store_at(server.address())).await;
    by_42_survives_a_restart(store_at(server.address())).await;
}

async fn kind(store: &RedisStore) -> Option<StoreErrorKind> {
    within(store.get("a")).await.err().map(|error| error.kind())
}

/// BY-42: a server that goes and comes is connected to again; what is no record is no answer, and breaks nothing.
#[tokio::test]
async fn by_42_redis_goes_and_comes() {
    let Some(mut server) = Program::start(command).await else { return };
    let store = store_at(server.address()).prefix("one:");
    assert_eq!(store.put("a", put(0, 1, "one", MINUTE)).await.unwrap(), Wrote::Done);
    // Each prefix is a store of its own, and a key is what it says.
    assert_eq!(store.clone().prefix("two:").get("a").await.unwrap(), None);
    let set = "SET one:b x\r\nHSET one:c e seven b x\r\nPTTL one:a";
    let answers = run(server.address(), set).await;
    let left_ms: u64 = answers.lines().last().unwrap().trim_start_matches(':').parse().unwrap();
    assert!((1..=60_000).contains(&left_ms), "{answers}");
    for poison in ["b", "c"] {
        let error = store.get(poison).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Answer, "{error:?}");
    }
    server.kill();
    assert_eq!(kind(&store).await, Some(StoreErrorKind::Unreachable));
    assert_eq!(kind(&store).await, Some(StoreErrorKind::Unreachable));
    assert!(server.run().await);
    // Nothing of it was on a disk.
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.put("a", put(1, 1, "one", MINUTE)).await.unwrap(), Wrote::Missing);
}

/// BY-42: no call takes longer than it may, and no error names the password.
#[tokio::test]
async fn by_42_redis_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = store_at(silent.local_addr().unwrap()).deadline(Duration::from_millis(30));
    let error = within(store.get("a")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    let Some(server) = Program::start(command).await else { return };
    let wrong = url_of(server.address()).replace("tops3cret", "wr0ng");
    let error = RedisStore::new(&wrong).unwrap().get("a").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    let error = RedisStore::new("redis://:tops3cret@host:x").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Setting);
    let texts = [format!("{error} {error:?}"), format!("{:?}", store_at(server.address()))];
    assert!(texts.iter().all(|text| !text.contains("s3cret")), "{texts:?}");
}
