//! The stores of sessions themselves.

#![cfg(all(feature = "app", feature = "pubsub"))]

use std::time::Duration;

use sockeye::session::stores::{MemoryStore, SessionStore, StoreError, StoreErrorKind, Wrote};

use crate::support::stores::{conforms, put};

#[tokio::test]
async fn by_42_the_store_in_memory() {
    let store = MemoryStore::new();
    conforms(store.clone()).await;
    assert_eq!((store.len(), store.bytes()), (0, 0));
}

/// BY-42: what is over is gone, also when nobody asks for it, and what is full says so.
#[tokio::test(start_paused = true)]
async fn by_42_a_store_in_memory_has_bounds() {
    let (store, minute) = (MemoryStore::bounded(2, 1_000), Duration::from_secs(60));
    let full = async |id: &str, bytes: usize| {
        let put = put(0, 1, &"x".repeat(bytes), minute);
        store.put(id, put).await.map_err(|error| error.kind())
    };
    assert_eq!(full("a", 100).await, Ok(Wrote::Done));
    assert_eq!(full("b", 1_000).await, Err(StoreErrorKind::Full));
    assert_eq!(full("b", 1_000 - 2 * 192 - 100).await, Ok(Wrote::Done));
    assert_eq!(full("c", 0).await, Err(StoreErrorKind::Full));
    assert_eq!((store.len(), store.bytes()), (2, 1_000));
    assert!(!store.is_empty());
    // What takes the place of another has its room.
    let longer = store.put("a", put(1, 1, &"x".repeat(101), minute)).await;
    assert_eq!(longer.map_err(|error| error.kind()), Err(StoreErrorKind::Full));
    let same = store.put("a", put(1, 2, &"x".repeat(100), 2 * minute)).await.unwrap();
    assert_eq!(same, Wrote::Done);
    tokio::time::advance(minute).await;
    assert_eq!((store.len(), store.bytes()), (1, 292));
    tokio::time::advance(minute - Duration::from_millis(1)).await;
    assert_eq!(store.get("a").await.unwrap().map(|record| record.epoch), Some(2));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(store.is_empty() && store.bytes() == 0);
}

/// BY-42: what went wrong with a store is said in words, and what was behind it.
#[test]
fn by_42_errors_say_what_they_are() {
    use std::error::Error as _;

    let kinds = [
        (StoreErrorKind::Unreachable, "cannot be reached"),
        (StoreErrorKind::Refused, "refuses"),
        (StoreErrorKind::Timeout, "in time"),
        (StoreErrorKind::Full, "full"),
        (StoreErrorKind::Answer, "answer"),
        (StoreErrorKind::Setting, "settings"),
    ];
    for (kind, part) in kinds {
        let error = StoreError::new(kind);
        assert!(error.to_string().contains(part) && kind.to_string().contains(part), "{error}");
        assert!(error.source().is_none());
        let error = error.with_source("the one behind it");
        assert_eq!(error.source().unwrap().to_string(), "the one behind it");
    }
}
