//! What a hub counts, and the limits that refuse before and after the upgrade.

#![cfg(feature = "hub")]

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use sockeye::handshake::{ForwardedHeader, TrustedProxies};
use sockeye::hub::limits::{Limits, Rate};
use sockeye::hub::metrics::{CloseClass, DropPolicy, JoinRefusal, Rejection};
use sockeye::hub::{Handlers, Hub, HubBuilder, Profile, RegisterError, Shutdown};
use sockeye::protocol::Overflow;
use sockeye::{Connector, Message, Role, WebSocket};
use tokio::io::duplex;

use crate::support::hub::HubSite;
use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::Ignore;

fn limited(change: impl FnOnce(&mut Limits)) -> HubBuilder {
    let mut limits = Limits::default();
    change(&mut limits);
    Hub::builder().limits(limits)
}

async fn emptied(hub: &Hub) {
    while !hub.is_empty() {
        tokio::task::yield_now().await;
    }
}

/// LM-04, A38, A42: the connections of one address are bounded: 429, counted once, and a freed place is
/// usable at once.
#[tokio::test]
async fn connections_of_an_address_are_bounded() {
    let hub = limited(|limits| limits.connections_per_address_max = Some(2)).build().unwrap();
    let site = HubSite::start(hub.clone(), Handlers::new()).await;
    let first = site.connect("/").await.unwrap();
    let _second = site.connect("/").await.unwrap();
    assert_eq!(site.status("/").await, 429);
    drop(first);
    while hub.len() > 1 {
        tokio::task::yield_now().await;
    }
    let _third = site.connect("/").await.unwrap();
    let snapshot = hub.metrics();
    assert_eq!(snapshot.rejected[&Rejection::AddressFull], 1);
    assert_eq!((snapshot.accepted, snapshot.opened, snapshot.rejected_total()), (3, 3, 1));
}

/// BY-23, A10, A11: behind a trusted proxy the client counts; what others write in the header does not.
#[tokio::test]
async fn clients_behind_a_proxy_are_told_apart() {
    let one = |limits: &mut Limits| limits.connections_per_address_max = Some(1);
    let proxies = TrustedProxies::parse(["127.0.0.0/8"]).unwrap();
    let behind = limited(one).behind(proxies, ForwardedHeader::XForwardedFor).build().unwrap();
    let bare = limited(one).build().unwrap();
    for (hub, statuses) in [(behind, [0, 0, 429]), (bare, [0, 429, 429])] {
        let site = HubSite::start(hub.clone(), Handlers::new()).await;
        let mut kept = Vec::new();
        let clients = ["203.0.113.1", "198.51.100.7, 203.0.113.2", "1.1.1.1, 203.0.113.1"];
        for (client, status) in clients.into_iter().zip(statuses) {
            let name = HeaderName::from_static("x-forwarded-for");
            let connector = Connector::new(quiet()).header(name, client.parse().unwrap());
            match within(connector.connect(&format!("ws://{}/", site.address))).await {
                Ok(socket) => kept.push((socket, assert_eq!(status, 0, "{client}"))),
                Err(error) => assert!(error.to_string().contains(&status.to_string()), "{error}"),
            }
        }
        while hub.len() < kept.len() {
            tokio::task::yield_now().await;
        }
        assert_eq!(hub.metrics().rejected[&Rejection::AddressFull], 3 - kept.len() as u64);
    }
}

/// BY-23, A38: handshakes of one address have a rate: 429, with a time to come back.
#[tokio::test]
async fn handshakes_have_a_rate() {
    let rate = Rate::per_minute(1).burst(2);
    let hub = limited(|limits| limits.handshakes_per_address = Some(rate)).build().unwrap();
    let site = HubSite::start(hub.clone(), Handlers::new()).await;
    drop((site.connect("/").await.unwrap(), site.connect("/").await.unwrap()));
    assert_eq!(site.status("/").await, 429);
    assert_eq!(hub.metrics().rejected[&Rejection::HandshakeRate], 1);
}

/// LM-03, A39: the connections of one user are bounded; another user is not touched.
#[tokio::test]
async fn connections_of_a_user_are_bounded() {
    let hub = limited(|limits| limits.connections_per_user_max = Some(1)).build().unwrap();
    let register = |user: &str| {
        let (stream, _) = duplex(64);
        let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(quiet()));
        hub.register(&socket.sender(), Profile::new().user(user))
    };
    let ann = register("ann").unwrap();
    let refused = register("ann").map(drop).unwrap_err();
    assert_eq!(refused, RegisterError::UserFull { connections_max: 1 });
    let _bob = register("bob").unwrap();
    drop(ann);
    let _again = register("ann").unwrap();
    let snapshot = hub.metrics();
    assert_eq!(snapshot.rejected[&Rejection::UserFull], 1);
    assert_eq!((snapshot.opened, snapshot.closed[&CloseClass::Abnormal]), (3, 1));
}

/// BY-23: a dry run refuses nobody, and counts whom it would have refused.
#[tokio::test]
async fn a_dry_run_only_counts() {
    let limits = |limits: &mut Limits| {
        limits.connections_max = 1;
        limits.connections_per_address_max = Some(1);
        limits.room_members_max = Some(1);
        limits.rooms_per_connection_max = 1;
        limits.messages_per_connection = Some(Rate::per_minute(1));
        limits.dry_run = true;
    };
    let hub = limited(limits).build().unwrap();
    let handlers = Handlers::new()
        .on_open(|connection| {
            connection.peer().join("a").unwrap();
            connection.peer().join("b").unwrap();
        })
        .on_message(|connection, message| connection.send(message).unwrap());
    let site = HubSite::start(hub.clone(), handlers).await;
    let mut all = (site.connect("/").await.unwrap(), site.connect("/").await.unwrap());
    for _ in 0..3 {
        all.0.send("x").await.unwrap();
        assert_eq!(within(all.0.recv()).await.unwrap(), Some(Message::text("x")));
    }
    assert_eq!((hub.room("a").len(), hub.room("b").len()), (2, 2));
    let snapshot = hub.metrics();
    assert_eq!(snapshot.rejected[&Rejection::ServerFull], 1);
    assert_eq!(snapshot.rejected[&Rejection::AddressFull], 1);
    assert_eq!(snapshot.joins_refused[&JoinRefusal::RoomFull], 2);
    assert_eq!(snapshot.joins_refused[&JoinRefusal::TooManyRooms], 2);
    assert_eq!((snapshot.opened, snapshot.gauges.connections), (2, 2));
}

/// LM-05, A45: who sends too fast is closed with 1008; a neighbour is served.
#[tokio::test]
async fn messages_have_a_rate() {
    let rate = Rate::per_minute(1).burst(3);
    let hub = limited(|limits| limits.messages_per_connection = Some(rate)).build().unwrap();
    let handlers = Handlers::new().on_message(|connection, message| {
        connection.send(message).unwrap();
    });
    let site = HubSite::start(hub.clone(), handlers).await;
    let mut fast = site.connect("/").await.unwrap();
    let mut calm = site.connect("/").await.unwrap();
    for _ in 0..4 {
        fast.send("x").await.unwrap();
    }
    while within(fast.recv()).await.is_ok_and(|message| message.is_some()) {}
    assert_eq!(u16::from(fast.outcome().unwrap().code), 1008);
    calm.send("y").await.unwrap();
    assert_eq!(within(calm.recv()).await.unwrap(), Some(Message::text("y")));
    while hub.len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.metrics().closed[&CloseClass::PolicyViolation], 1);
}

/// MT-01, MT-03, MT-04, BY-26, A41: every number of a small life, and at the end accepted = closed.
#[tokio::test]
async fn a_life_is_counted() {
    let hub = Hub::builder().room_members_max(1).build().unwrap();
    let handlers = Handlers::new()
        .on_open(|connection| drop(connection.peer().join("lobby")))
        .on_message(|connection, message| {
            assert!(message.as_text() != Some("panic"), "a bug of the application's");
            connection.send(message).unwrap();
        });
    let site = HubSite::start(hub.clone(), handlers).await;
    let mut ann = site.connect("/").await.unwrap();
    let mut bob = site.connect("/").await.unwrap();
    for text in ["12345", "123"] {
        ann.send(text).await.unwrap();
        assert_eq!(within(ann.recv()).await.unwrap(), Some(Message::text(text)));
    }
    let report = hub.broadcast_reported("1234567890", sockeye::hub::Except::nobody()).unwrap();
    assert_eq!(report.await.sent(), 2);
    within(ann.recv()).await.unwrap();
    within(bob.recv()).await.unwrap();
    let snapshot = hub.metrics();
    assert_eq!((snapshot.messages_received, snapshot.bytes_received), (2, 8));
    assert_eq!((snapshot.messages_sent, snapshot.bytes_sent), (4, 28));
    assert_eq!((snapshot.broadcasts, snapshot.deliveries), (1, 2));
    assert_eq!(snapshot.broadcast.count(), 1);
    assert_eq!(snapshot.joins_refused[&JoinRefusal::RoomFull], 1);
    assert_eq!((snapshot.gauges.connections, snapshot.gauges.rooms), (2, 1));
    assert_eq!(snapshot.handler_panics, 0);

    bob.send("panic").await.unwrap();
    while within(bob.recv()).await.is_ok_and(|message| message.is_some()) {}
    within(ann.close(4000, "")).await.unwrap();
    emptied(&hub).await;
    let snapshot = hub.metrics();
    assert_eq!((snapshot.handler_panics, snapshot.closed[&CloseClass::InternalError]), (1, 1));
    assert_eq!(snapshot.closed[&CloseClass::Private], 1);
    assert_eq!((snapshot.accepted, snapshot.closed_total()), (2, 2));
    let text = hub.prometheus();
    assert!(text.contains("sockeye_messages_received_total 3\n"), "{text}");
}

/// MT-01, BY-26: broadcasts that leave together count as many deliveries as they are.
#[tokio::test]
async fn deliveries_are_messages_times_members() {
    let hub = Hub::new();
    let mut kept = Vec::new();
    for _ in 0..2 {
        let (ours, theirs) = duplex(64 * 1024);
        let socket = WebSocket::from_stream(ours, Role::Server, hub.config());
        let registration = hub.register(&socket.sender(), Profile::new()).unwrap();
        tokio::spawn(socket.run(Ignore));
        kept.push((registration, theirs));
    }
    let id = kept[0].0.id();
    hub.broadcast("1").unwrap();
    hub.broadcast_except("2", id).unwrap();
    hub.broadcast("3").unwrap();
    let report = hub.broadcast_reported("4", sockeye::hub::Except::nobody()).unwrap();
    assert_eq!(report.await.sent(), 2);
    let snapshot = hub.metrics();
    assert_eq!((snapshot.broadcasts, snapshot.deliveries, snapshot.messages_sent), (4, 7, 7));
}

/// HB-01, HB-02, HB-03, LM-06, BC-06: the builder's bounds hold: a job queue that is full says so at
/// once and is counted, and messages are 64 KiB at most unless it is told otherwise.
#[tokio::test]
async fn the_job_queue_is_bounded() {
    let hub = Hub::builder().workers(2).job_queue(3).build().unwrap();
    assert_eq!(hub.config().message_bytes_max, 64 * 1024);
    let (ours, _theirs) = duplex(64 * 1024);
    let socket = WebSocket::from_stream(ours, Role::Server, hub.config());
    let registration = hub.register(&socket.sender(), Profile::new()).unwrap();
    tokio::task::yield_now().await;
    for _ in 0..3 {
        hub.broadcast("x").unwrap();
    }
    let error = hub.broadcast("x").unwrap_err();
    assert_eq!((error.jobs, hub.queued().0), (3, 3));
    tokio::task::yield_now().await;
    hub.broadcast("x").unwrap();
    let snapshot = hub.metrics();
    assert_eq!((snapshot.broadcasts, snapshot.jobs_refused), (4, 1));
    drop(registration);
}

/// BY-23: a dry run does not let anybody into a hub that shuts down.
#[tokio::test]
async fn a_dry_run_opens_no_closed_hub() {
    let hub = limited(|limits| limits.dry_run = true).build().unwrap();
    let site = HubSite::start(hub.clone(), Handlers::new()).await;
    hub.shutdown(Shutdown::new(Duration::from_secs(1))).await.unwrap();
    assert_eq!(site.status("/").await, 503);
}

/// MT-01, BY-05, BY-26, A49: sent = delivered + thrown out + lost at the end, to the message. (All ways to
/// send and to end: `hub_ledger`.)
#[tokio::test]
async fn counters_add_up() {
    let mut config = quiet();
    config.overflow = Overflow::DropOldest;
    config.outbox_messages_max = 4;
    let hub = Hub::builder().config(config).build().unwrap();
    let (ours, theirs) = duplex(256);
    let server = WebSocket::from_stream(ours, Role::Server, hub.config());
    let registration = hub.register(&server.sender(), Profile::new()).unwrap();
    let driver = tokio::spawn(server.run(Ignore));
    for number in 0..100 {
        registration.sender().try_send(format!("{number:0100}")).unwrap();
        tokio::task::yield_now().await;
    }
    let mut client = WebSocket::from_stream(theirs, Role::Client, &Arc::new(quiet()));
    let mut delivered = 0;
    for _ in 0..3 {
        within(client.recv()).await.unwrap().unwrap();
        delivered += 1;
    }
    // It ends in the middle of things.
    driver.abort();
    while within(client.recv()).await.is_ok_and(|message| message.is_some()) {
        delivered += 1;
    }
    drop(registration);
    let snapshot = hub.metrics();
    let thrown_out = snapshot.dropped[&DropPolicy::DropOldest];
    let ended = snapshot.dropped[&DropPolicy::Ended];
    assert_eq!(snapshot.messages_sent, 100);
    assert!(thrown_out > 80 && delivered >= 3, "{thrown_out} thrown out, {delivered} delivered");
    assert_eq!(snapshot.messages_delivered, delivered);
    // With what was encoded and not written.
    assert_eq!(delivered + thrown_out + ended, 100);
    let text = hub.prometheus();
    assert!(text.contains(&format!("sockeye_messages_delivered_total {delivered}\n")), "{text}");
}
