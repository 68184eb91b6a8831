//! Attacks on the life of a running hub's connections: handlers that panic, clients that read nothing,
//! ignore the close or hold messages up when the hub ends. Raw sockets, a healthy client that is served,
//! and the heap counted.

#![cfg(feature = "hub")]

#[path = "support/heap.rs"]
mod heap;
mod support;

use std::time::Duration;

use sockeye::frame::{Frame, Opcode};
use sockeye::hub::metrics::{CloseClass, DropPolicy};
use sockeye::hub::{Handlers, Hub, Shutdown};
use sockeye::{Config, Sender};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use heap::Heap;
use support::hub::{HubSite, build, echo, gracefully};
use support::io::RawPeer;
use support::pair::quiet;
use support::server::{allow_descriptors, within};

const KIB: usize = 1024;

/// Unwinds as a panic does, without a word on the terminal.
fn panics() -> ! {
    std::panic::resume_unwind(Box::new("as asked"))
}

/// Every connection is in two rooms, and panics when it is told to.
fn fragile() -> Handlers {
    Handlers::new()
        .on_open(|connection| {
            let own = format!("own {}", connection.peer().id());
            connection.peer().join("hall").unwrap();
            connection.peer().join(&own).unwrap();
        })
        .on_message(|connection, message| {
            if message.as_text() == Some("panic") {
                panics();
            }
            let _ = connection.send(message);
        })
        .on_ping(|_, payload| {
            if payload == b"panic" {
                panics();
            }
        })
        .on_close(|_, outcome| {
            if &*outcome.reason == "panic" {
                panics();
            }
        })
}

/// A20, CN-19, CN-20, row 48: a handler that panics a thousand times ends a thousand connections, each
/// with 1011, and nothing else: rooms are left, counters are back, and the heap is what it was.
#[tokio::test]
async fn a20_a_thousand_panics() {
    let mut heap = Heap::turn().await;
    let site = HubSite::start(build(|hub| hub.config(quiet())), fragile()).await;
    let mut healthy = site.healthy("/").await;
    for number in 0..1_050 {
        if number == 50 {
            site.has(1).await;
            heap.begin();
        }
        let mut peer = site.peer("/").await;
        let (attack, code) = match number % 10 {
            0..5 => (Frame::text("panic"), 1011),
            5..9 => (Frame::ping("panic"), 1011),
            // The close was answered before the handler was told of it.
            _ => (Frame::new(Opcode::Close, b"\x03\xe8panic".to_vec()), 1000),
        };
        peer.send(attack).await;
        assert_eq!(within(peer.close_code()).await, Some(code), "{number}");
        if number % 100 == 0 {
            healthy.check().await;
        }
    }
    site.has(1).await;
    heap.assert_held(64 * KIB, "a thousand panics");
    let metrics = site.hub.metrics();
    assert_eq!(
        (metrics.handler_panics, metrics.closed[&CloseClass::InternalError]),
        (1_050, 1_050)
    );
    assert_eq!((metrics.accepted - metrics.closed_total(), metrics.gauges.connections), (1, 1));
    assert_eq!((site.hub.rooms().len(), site.hub.room("hall").len()), (2, 1));
    assert_eq!(site.hub.room("hall").members().await.len(), 1, "of the worker's list, too");
    site.hub.room("hall").broadcast("still here").unwrap();
    healthy.check().await;
    drop(healthy);
    let report = site.end(gracefully()).await;
    assert_eq!((report.left, report.lost_messages), (0, 0));
}

/// Answers nothing until the close frame; when that came, and its code.
async fn waits_for_the_end(mut peer: RawPeer<TcpStream>) -> (Instant, Option<u16>) {
    let code = peer.close_code().await;
    let at = Instant::now();
    peer.send(Frame::new(Opcode::Close, vec![3, 233])).await;
    assert_eq!(peer.frame().await, None);
    (at, code)
}

/// A30, SH-01, BY-22, row 50: two thousand clients are told over the window and not at once, each with
/// the code, and the hub ends before its deadline. The time of the shutdown is virtual.
#[tokio::test]
async fn a30_shutdown_is_spread() {
    const CLIENTS: usize = 2_000;
    const WINDOW: Duration = Duration::from_secs(32);
    let _heap = Heap::turn().await;
    allow_descriptors();
    let site = HubSite::start(build(|hub| hub.config(quiet())), Handlers::new()).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(waits_for_the_end(site.peer("/").await));
    }
    site.has(CLIENTS).await;
    tokio::time::pause();
    let begun = Instant::now();
    let shutdown = Shutdown::new(Duration::from_secs(100)).code(1012).spread(WINDOW);
    let hub = site.hub.clone();
    let report = site.stop(shutdown).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
    assert_eq!((report.told, report.ended, report.left), (CLIENTS, CLIENTS, 0));
    let mut times = Vec::new();
    for (at, code) in clients.join_all().await {
        assert_eq!(code, Some(1012));
        times.push(at - begun);
    }
    times.sort_unstable();
    assert!(times[0] < WINDOW / 8 && times[CLIENTS - 1] > WINDOW * 3 / 4, "{times:?}");
    assert!(times[CLIENTS - 1] <= WINDOW + Duration::from_secs(1), "{:?}", times.last());
    // An eighth of the window has an eighth of them, and at most a batch of 64 more on each side.
    for part in 0..8 {
        let (from, to) = (WINDOW * part / 8, WINDOW * (part + 1) / 8);
        let told = times.iter().filter(|&&at| from <= at && at < to).count();
        assert!(told <= CLIENTS / 8 + 128, "{told} in part {part}");
    }
    assert!(hub.is_empty());
    assert_eq!(hub.metrics().closed[&CloseClass::ServiceRestart], CLIENTS as u64);
}

/// A32, SH-01: clients that ignore the close hold nothing up beyond the deadline: they are told of in
/// the report, and their connections are gone when the server is.
#[tokio::test]
async fn a32_clients_that_ignore_the_close() {
    let mut heap = Heap::turn().await;
    let mut config = quiet();
    // Longer than the hub's deadline.
    config.close_timeout = Duration::from_millis(600);
    let site = HubSite::start(build(|hub| hub.config(config)), Handlers::new()).await;
    // The thread's read block is there.
    drop(site.peer("/").await);
    site.has(0).await;
    heap.begin();
    let mut ignoring = Vec::new();
    for _ in 0..100 {
        ignoring.push(site.peer("/").await);
    }
    let polite = tokio::spawn(waits_for_the_end(site.peer("/").await));
    site.has(101).await;
    let (hub, address) = (site.hub.clone(), site.address);
    let report = site.end(Shutdown::new(Duration::from_millis(300))).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody is taken any more");
    assert_eq!(report.told, 101);
    // On a slow day the polite one is not in time either.
    assert!((100..=101).contains(&report.left), "{report:?}");
    assert_eq!(within(polite).await.unwrap().1, Some(1001));
    for peer in &mut ignoring {
        assert_eq!(within(peer.close_code()).await, Some(1001));
        assert_eq!(within(peer.frame()).await, None, "the server has closed it");
    }
    assert!(hub.is_empty());
    let metrics = hub.metrics();
    assert_eq!((metrics.accepted, metrics.closed_total()), (102, 102));
    drop(ignoring);
    heap.assert_held(256 * KIB, "a hundred that ignored the close");
}

/// The numbers that a client has got of messages that begin with one.
async fn numbers(peer: &mut RawPeer<TcpStream>) -> (Vec<usize>, Option<Frame>) {
    let mut numbers = Vec::new();
    loop {
        match within(peer.data()).await {
            Some(frame) if frame.opcode == Opcode::Text => {
                let text = std::str::from_utf8(&frame.payload).unwrap();
                numbers.push(text.split(' ').next().unwrap().parse().unwrap());
            }
            other => return (numbers, other),
        }
    }
}

fn numbered(number: usize, bytes: usize) -> String {
    format!("{number} {}", "x".repeat(bytes))
}

/// The sender of the only connection of a site.
fn only(hub: &Hub) -> Sender {
    hub.peers()[0].sender().clone()
}

/// A site with one raw client that reads nothing yet.
async fn stalled(change: impl FnOnce(&mut Config)) -> (HubSite, RawPeer<TcpStream>) {
    let mut config = quiet();
    config.write_timeout = Duration::from_secs(3600);
    // Each message is one frame.
    config.fragment_bytes_max = None;
    change(&mut config);
    let site = HubSite::start(build(|hub| hub.config(config)), echo()).await;
    let peer = site.peer("/").await;
    site.has(1).await;
    (site, peer)
}

/// A33, SH-01, row 50: what is queued when the hub ends leaves before the close frame, where the client
/// reads; where it does not, the client is told of as left and its messages as lost.
#[tokio::test]
async fn a33_queued_messages_at_shutdown() {
    const MESSAGES: usize = 60;
    let _heap = Heap::turn().await;
    for is_reading in [true, false] {
        let (site, mut peer) = stalled(|config| {
            config.close_timeout = Duration::from_millis(100);
            config.outbox_bytes_max = 16 * KIB * KIB;
        })
        .await;
        let sender = only(&site.hub);
        for number in 0..MESSAGES {
            sender.try_send(numbered(number, 200 * KIB)).unwrap();
        }
        tokio::task::yield_now().await;
        let queued = sender.queued().0;
        assert!(queued > 5 && queued < MESSAGES, "{queued} wait");
        let hub = site.hub.clone();
        let deadline = if is_reading { 20_000 } else { 50 };
        let ending = tokio::spawn(site.end(Shutdown::new(Duration::from_millis(deadline))));
        if is_reading {
            let (got, last) = numbers(&mut peer).await;
            assert_eq!(got, Vec::from_iter(0..MESSAGES), "all, in order");
            assert_eq!(last.map(|frame| frame.opcode), Some(Opcode::Close));
            peer.send(Frame::new(Opcode::Close, vec![3, 233])).await;
            let report = within(ending).await.unwrap();
            assert_eq!((report.ended, report.lost_messages, report.queued_messages), (1, 0, 0));
            assert_eq!(hub.metrics().dropped[&DropPolicy::Ended], 0);
        } else {
            let report = within(ending).await.unwrap();
            assert_eq!((report.ended, report.left), (0, 1));
            assert_eq!(report.queued_messages, queued as u64);
            let metrics = hub.metrics();
            let lost = metrics.dropped[&DropPolicy::Ended];
            assert_eq!(metrics.messages_delivered + lost, MESSAGES as u64, "to the message");
            assert_eq!(lost, sender.dropped());
            // The one that was half written as well.
            assert!(
                (queued..=queued + 1).contains(&(lost as usize)),
                "{queued} waited, {lost} lost"
            );
        }
    }
}
