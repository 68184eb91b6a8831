//! Connections of a hub that may not last for ever.

#![cfg(feature = "hub")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::frame::CloseCode;
use sockeye::hub::{Hub, Profile};
use sockeye::protocol::CloseOutcome;
use sockeye::{Role, WebSocket};
use tokio::io::duplex;
use tokio::time::{Instant, sleep};

use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::Ignore;

/// A registered connection whose client waits for its end.
fn registered(hub: &Hub) -> (sockeye::hub::Peer, tokio::task::JoinHandle<(Instant, CloseOutcome)>) {
    let config = Arc::new(quiet());
    let (ours, theirs) = duplex(1024);
    let server = WebSocket::from_stream(ours, Role::Server, &config);
    let registration = hub.register(&server.sender(), Profile::new()).unwrap();
    let peer = registration.peer().clone();
    tokio::spawn(async move {
        server.run(Ignore).await;
        drop(registration);
    });
    let mut client = WebSocket::from_stream(theirs, Role::Client, &config);
    let ended = tokio::spawn(async move {
        while client.recv().await.is_ok_and(|message| message.is_some()) {}
        (Instant::now(), client.outcome().unwrap().clone())
    });
    (peer, ended)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// BY-24, A09: who does not renew is warned, and closed with 4401 in time; who renews goes on; who
/// never expires is left alone.
#[tokio::test(start_paused = true)]
async fn identities_end() {
    let warned = Arc::new(Mutex::new(Vec::new()));
    let hub = Hub::builder()
        .on_expiring(seconds(60), {
            let warned = warned.clone();
            move |peer, left| {
                warned.lock().unwrap().push(peer.id());
                assert!(left > seconds(58) && left <= seconds(60), "{left:?}");
                if peer.remove_metadata("renews").is_some() {
                    peer.expire_at(Some(Instant::now() + seconds(600)));
                }
                panic!("of the application's own");
            }
        })
        .build()
        .unwrap();
    let began = Instant::now();
    let (lazy, lazy_ended) = registered(&hub);
    let (eager, eager_ended) = registered(&hub);
    let (_, forever_ended) = registered(&hub);
    let (forgotten, forgotten_ended) = registered(&hub);
    eager.set_metadata("renews", "yes").unwrap();
    lazy.expire_at(Some(began + seconds(300)));
    eager.expire_at(Some(began + seconds(300)));
    forgotten.expire_at(Some(began + seconds(300)));
    forgotten.expire_at(None);

    let (at, outcome) = lazy_ended.await.unwrap();
    assert_eq!((outcome.code, &*outcome.reason), (CloseCode::from(4401), "token expired"));
    assert!(at >= began + seconds(300) && at < began + seconds(302));
    assert!(!eager_ended.is_finished());
    let (at, outcome) = eager_ended.await.unwrap();
    assert_eq!(outcome.code, CloseCode::from(4401));
    assert!(at >= began + seconds(840) && at < began + seconds(842), "{:?}", at - began);
    let mut warned = warned.lock().unwrap().clone();
    warned.sort_unstable();
    assert_eq!(warned, [lazy.id(), eager.id(), eager.id()]);
    sleep(seconds(10_000)).await;
    assert!(!forever_ended.is_finished() && !forgotten_ended.is_finished());
    assert_eq!(hub.len(), 2);
}

/// BY-23, LM-07: no connection outlasts the hub's limit, and they do not all go at once.
#[tokio::test(start_paused = true)]
async fn lives_are_bounded() {
    let hub = Hub::builder().life_max(seconds(1000)).build().unwrap();
    let began = Instant::now();
    let ends = (0..50).map(|_| registered(&hub).1).collect::<Vec<_>>();
    let mut times = Vec::new();
    for end in ends {
        let (at, outcome) = within_long(end).await;
        assert_eq!((outcome.code, &*outcome.reason), (CloseCode::from(1001), "maximum life"));
        times.push((at - began).as_secs());
    }
    times.sort_unstable();
    assert!(times[0] >= 900 && times[49] <= 1001, "{times:?}");
    assert!(times[49] - times[0] > 60, "spread: {times:?}");
    assert!(hub.is_empty());
}

async fn within_long<T>(task: tokio::task::JoinHandle<T>) -> T {
    tokio::time::timeout(seconds(100_000), task).await.unwrap().unwrap()
}

/// BY-24: a connection that has gone is not warned of, and costs nothing any more.
#[tokio::test(start_paused = true)]
async fn the_gone_are_forgotten() {
    let warnings = Arc::new(AtomicUsize::new(0));
    let counted = warnings.clone();
    let hub = Hub::builder()
        .on_expiring(seconds(10), move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let (peer, ended) = registered(&hub);
    peer.expire_at(Some(Instant::now() + seconds(100)));
    peer.close(1000, "").unwrap();
    assert_eq!(within(ended).await.unwrap().1.code, CloseCode::from(1000));
    sleep(seconds(10)).await;
    assert!(hub.is_empty());
    peer.expire_at(Some(Instant::now() + seconds(100)));
    sleep(seconds(200)).await;
    assert_eq!(warnings.load(Ordering::SeqCst), 0);
    // The task of the clock ended with nothing left to do: another connection begins it anew.
    let (again, ended) = registered(&hub);
    again.expire_at(Some(Instant::now()));
    assert_eq!(within(ended).await.unwrap().1.code, CloseCode::from(4401));
}
