//! Stores of sessions: what each of them has to keep, one that fails when it is told to, and what is in one.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sockeye::client::BoxFuture;
use sockeye::session::stores::{
    Put, Record, SessionStore, StoreConfig, StoreError, StoreErrorKind, Wrote,
};
use tokio::task::{JoinSet, yield_now};

use super::server::within;

/// Often enough for a test that waits for it.
pub(crate) fn config() -> StoreConfig {
    let mut config = StoreConfig::default();
    config.interval = Duration::from_millis(5);
    config
}

pub(crate) fn put(expected: u64, epoch: u64, bytes: &str, keep_for: Duration) -> Put {
    Put { expected, epoch, bytes: Bytes::copy_from_slice(bytes.as_bytes()), keep_for }
}

/// BY-42: what every store keeps. Its time passes by itself or is paused.
pub(crate) async fn conforms(store: impl SessionStore + Clone) {
    let minute = Duration::from_secs(60);
    let get = async |id: &str| store.get(id).await.unwrap();
    let record = |epoch, bytes: &[u8]| Some(Record { epoch, bytes: Bytes::copy_from_slice(bytes) });
    assert_eq!(get("a").await, None);
    assert_eq!(store.put("a", put(7, 7, "x", minute)).await.unwrap(), Wrote::Missing);
    assert_eq!(store.put("a", put(0, 1, "one", minute)).await.unwrap(), Wrote::Done);
    assert_eq!(store.put("a", put(0, 1, "x", minute)).await.unwrap(), Wrote::Taken);
    assert_eq!(store.put("a", put(2, 3, "x", minute)).await.unwrap(), Wrote::Taken);
    assert_eq!((get("a").await, get("b").await), (record(1, b"one"), None));
    // The same epoch once more, then another; numbers are whole.
    assert_eq!(store.put("a", put(1, 1, "two", minute)).await.unwrap(), Wrote::Done);
    assert_eq!(get("a").await, record(1, b"two"));
    assert_eq!(store.put("a", put(1, u64::MAX, "", minute)).await.unwrap(), Wrote::Done);
    assert_eq!(store.put("a", put(u64::MAX - 1, 1, "x", minute)).await.unwrap(), Wrote::Taken);
    assert_eq!(get("a").await, record(u64::MAX, b""));
    let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let whole = Put { expected: 0, epoch: 5, bytes: all.clone().into(), keep_for: minute };
    assert_eq!(store.put("b", whole).await.unwrap(), Wrote::Done);
    assert_eq!(get("b").await, record(5, &all));
    store.remove("a", 1).await.unwrap();
    assert_eq!(get("a").await, record(u64::MAX, b""));
    store.remove("a", u64::MAX).await.unwrap();
    store.remove("a", u64::MAX).await.unwrap();
    store.remove("b", 5).await.unwrap();
    assert_eq!((get("a").await, get("b").await), (None, None));
    // Of those that want it at the same time one has it.
    assert_eq!(store.put("c", put(0, 1, "", minute)).await.unwrap(), Wrote::Done);
    let mut claims = JoinSet::new();
    for claim in 0..16 {
        let store = store.clone();
        claims.spawn(async move {
            store.put("c", put(1, 2, &claim.to_string(), minute)).await.unwrap()
        });
    }
    let wrote = within(claims.join_all()).await;
    assert_eq!(wrote.iter().filter(|wrote| **wrote == Wrote::Done).count(), 1);
    assert!(wrote.iter().all(|wrote| matches!(wrote, Wrote::Done | Wrote::Taken)));
    // What is written once more is there for longer, and then it is over.
    let short = Duration::from_millis(40);
    assert_eq!(store.put("c", put(2, 2, "", short)).await.unwrap(), Wrote::Done);
    within(async {
        while get("c").await.is_some() {
            pass().await;
        }
    })
    .await;
    assert_eq!(store.put("c", put(2, 2, "", short)).await.unwrap(), Wrote::Missing);
    assert_eq!(store.put("c", put(0, 1, "", minute)).await.unwrap(), Wrote::Done);
    store.remove("c", 1).await.unwrap();
}

async fn pass() {
    let _ = tokio::time::timeout(Duration::from_millis(1), pending::<()>()).await;
}

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    /// Each call fails.
    Fails,
    /// No call comes to its end.
    Hangs,
    /// What is to be done is done, and the answer is lost.
    LosesAnswers,
    /// Each call panics.
    Panics,
}

/// A store that goes wrong when it is told to, and knows what was put.
#[derive(Clone)]
pub(crate) struct Watched<S> {
    pub(crate) store: S,
    wrong: Arc<Mutex<Wrong>>,
    puts: Arc<Mutex<Vec<(String, Put)>>>,
}

impl<S: SessionStore> Watched<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, wrong: Arc::new(Mutex::new(Wrong::Nothing)), puts: Arc::default() }
    }

    pub(crate) fn go(&self, wrong: Wrong) {
        *self.wrong.lock().unwrap() = wrong;
    }

    /// All puts of a session so far that were let through.
    pub(crate) fn puts(&self, id: &str) -> Vec<Put> {
        let puts = self.puts.lock().unwrap();
        puts.iter().filter(|(of, _)| of == id).map(|(_, put)| put.clone()).collect()
    }

    /// Until something is so that other tasks do.
    pub(crate) async fn until(&self, mut is_so: impl FnMut() -> bool) {
        within(async {
            while !is_so() {
                yield_now().await;
            }
        })
        .await;
    }

    async fn through<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let wrong = *self.wrong.lock().unwrap();
        match wrong {
            Wrong::Nothing => call.await,
            Wrong::Fails => Err(StoreError::new(StoreErrorKind::Unreachable)),
            Wrong::Hangs => pending().await,
            Wrong::LosesAnswers => {
                let _ = call.await;
                Err(StoreError::new(StoreErrorKind::Unreachable))
            }
            Wrong::Panics => panic!("the store of a test"),
        }
    }
}

impl<S: SessionStore> SessionStore for Watched<S> {
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(self.through(self.store.get(id)))
    }

    fn put<'a>(&'a self, id: &'a str, put: Put) -> BoxFuture<'a, Result<Wrote, StoreError>> {
        Box::pin(self.through(async move {
            self.puts.lock().unwrap().push((id.to_owned(), put.clone()));
            self.store.put(id, put).await
        }))
    }

    fn remove<'a>(&'a self, id: &'a str, epoch: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.through(self.store.remove(id, epoch)))
    }
}

pub(crate) async fn epoch(store: &impl SessionStore, id: &str) -> Option<u64> {
    store.get(id).await.unwrap().map(|record| record.epoch)
}

/// Until the record has these bytes in it.
pub(crate) async fn holds(store: &impl SessionStore, id: &str, part: impl AsRef<[u8]>) {
    let part = part.as_ref();
    let is_in = |record: Record| record.bytes.windows(part.len()).any(|some| some == part);
    within(async {
        while !store.get(id).await.unwrap().is_some_and(is_in) {
            yield_now().await;
        }
    })
    .await;
}

/// Until there is no record, or one that says that it is over.
pub(crate) async fn is_over(store: &impl SessionStore, id: &str) {
    let is_there = |record: Record| !record.bytes.is_empty();
    within(async {
        while store.get(id).await.unwrap().is_some_and(is_there) {
            yield_now().await;
        }
    })
    .await;
}
