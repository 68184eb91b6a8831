//! Rooms and fan-out.

#![cfg(feature = "hub")]

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use sockeye::hub::metrics::DropPolicy;
use sockeye::hub::{Except, Hub, Profile};
use sockeye::protocol::Overflow;
use sockeye::{Connection, Handler, MessageRef, Role, Sender, WebSocket};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use crate::support::pair::quiet;

struct Quiet;

impl Handler for Quiet {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// A member's sender, and its peer.
fn member() -> (Sender, WebSocket<DuplexStream>) {
    let config = Arc::new(quiet());
    let (ours, theirs) = duplex(64 * 1024);
    let server = WebSocket::from_stream(ours, Role::Server, &config);
    let sender = server.sender();
    tokio::spawn(server.run(Quiet));
    (sender, WebSocket::from_stream(theirs, Role::Client, &config))
}

async fn next(peer: &mut WebSocket<DuplexStream>) -> String {
    let message = timeout(Duration::from_secs(5), peer.recv()).await.expect("a message in time");
    message.unwrap().unwrap().as_text().unwrap().to_owned()
}

/// HB-05, HB-06, HB-08, BC-02: join, several rooms at once, counts, leave.
#[tokio::test(start_paused = true)]
async fn members_get_what_is_said_in_their_rooms() {
    let hub = Hub::new();
    let (ann, mut ann_peer) = member();
    let (bob, mut bob_peer) = member();
    let general = hub.room("chat:general");
    let notices = hub.room("notices");
    let ann_in = (general.join(ann.clone()).unwrap(), notices.join(ann).unwrap());
    let bob_in = general.join(bob).unwrap();
    assert_eq!((general.len(), notices.len()), (2, 1));
    general.broadcast("hello").unwrap();
    notices.broadcast("news").unwrap();
    assert_eq!(
        (next(&mut ann_peer).await, next(&mut ann_peer).await),
        ("hello".into(), "news".into())
    );
    assert_eq!(next(&mut bob_peer).await, "hello");

    drop(bob_in);
    assert_eq!(general.len(), 1);
    general.broadcast("without bob").unwrap();
    assert_eq!(next(&mut ann_peer).await, "without bob");
    let mut rooms = hub.rooms();
    rooms.sort();
    assert_eq!(rooms, [("chat:general".to_owned(), 1), ("notices".to_owned(), 1)]);
    drop(ann_in);
    assert_eq!(hub.rooms(), []);
}

/// BC-03: all but one connection, in order with what everybody gets.
#[tokio::test(start_paused = true)]
async fn one_connection_may_be_left_out() {
    let hub = Hub::new();
    let (ann, mut ann_peer) = member();
    let (bob, mut bob_peer) = member();
    let room = hub.room("a");
    let id = ann.id();
    let _members = (room.join(ann).unwrap(), room.join(bob).unwrap());
    room.broadcast("1").unwrap();
    room.broadcast_except("2", id).unwrap();
    room.broadcast("3").unwrap();
    assert_eq!([next(&mut ann_peer).await, next(&mut ann_peer).await], ["1", "3"]);
    for expected in ["1", "2", "3"] {
        assert_eq!(next(&mut bob_peer).await, expected);
    }
}

/// HB-05, row 65: a membership that is replaced by a new one of the same room loses nothing.
#[tokio::test(start_paused = true)]
async fn joining_again_keeps_the_member() {
    let hub = Hub::new();
    let (ann, mut peer) = member();
    let room = hub.room("a");
    let mut membership = Some(room.join(ann.clone()).unwrap());
    room.broadcast("before").unwrap();
    membership.replace(room.join(ann).unwrap());
    room.broadcast("after").unwrap();
    assert_eq!([next(&mut peer).await, next(&mut peer).await], ["before", "after"]);
    drop(membership);
    assert!(room.is_empty());
}

/// HB-13: a runtime that ends takes its members with it and holds nobody else up.
#[test]
fn a_runtime_that_ends_does_not_hold_up_the_hub() {
    let hub = Hub::new();
    let room = hub.room("a");
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gone = build();
    let (gone_membership, _peer) = gone.block_on(async {
        let (sender, peer) = member();
        (room.join(sender).unwrap(), peer)
    });
    drop(gone);
    build().block_on(async {
        let (sender, mut peer) = member();
        let _membership = room.join(sender).unwrap();
        for number in 0..100_000 {
            room.ready().await;
            room.broadcast(&*number.to_string()).unwrap();
            if number % 1_000 == 999 {
                for expected in number - 999..=number {
                    assert_eq!(next(&mut peer).await, expected.to_string());
                }
            }
        }
    });
    drop(gone_membership);
}

/// Row 27: empty messages to a member that does not read are bounded, too.
#[tokio::test(start_paused = true)]
async fn empty_broadcasts_are_bounded() {
    let hub = Hub::new();
    let (sender, peer) = member();
    let room = hub.room("a");
    let _membership = room.join(sender.clone()).unwrap();
    for _ in 0..200_000 {
        room.ready().await;
        room.broadcast("").unwrap();
        assert!(sender.queued().0 <= 20_000, "{:?}", sender.queued());
    }
    drop(peer);
}

/// CN-05, BC-02, BY-05, A16, A48: a broadcast under `Block` waits nowhere but in the outbox: beyond the
/// bound in messages, up to the one in bytes; then the member is closed with 1013, at once. The others, and
/// the publisher, wait for nothing. Time stands still, so nothing here waits for a timeout.
#[tokio::test(start_paused = true)]
async fn a_broadcast_never_waits() {
    let mut config = quiet();
    config.outbox_messages_max = 4;
    config.outbox_bytes_max = 2000;
    config.overflow = Overflow::Block { timeout: Duration::from_secs(10) };
    let hub = Hub::builder().config(config).build().unwrap();
    let member = |capacity| {
        let (ours, theirs) = duplex(capacity);
        let socket = WebSocket::from_stream(ours, Role::Server, hub.config());
        let registration = hub.register(&socket.sender(), Profile::new()).unwrap();
        tokio::spawn(socket.run(Quiet));
        (registration, WebSocket::from_stream(theirs, Role::Client, &Arc::new(quiet())))
    };
    let (_ann, mut ann_peer) = member(64 * 1024);
    let (bob, mut bob_peer) = member(64);
    let began = Instant::now();
    let mut reports = Vec::new();
    for number in 0..40 {
        let text = format!("{number:0100}");
        let said = hub.broadcast_reported(&*text, Except::nobody()).unwrap();
        reports.push(said.await);
        // The driver tries to write, and finds that nobody reads.
        tokio::task::yield_now().await;
        assert_eq!(next(&mut ann_peer).await, text);
    }
    assert_eq!(Instant::now(), began);
    let overloaded = reports.iter().position(|report| report.overloaded > 0).unwrap();
    for (number, report) in reports.iter().enumerate() {
        let of_bob = (report.sent() - 1, report.overloaded, report.closed);
        let expected = match number.cmp(&overloaded) {
            Ordering::Less => (1, 0, 0),
            Ordering::Equal => (0, 1, 0),
            Ordering::Greater => (0, 0, 1),
        };
        assert_eq!((of_bob, report.full), (expected, 0), "{number}");
    }
    // Twenty fit in 2,000 bytes, and one is on its way.
    assert_eq!(overloaded, 21);
    let mut heard = 0;
    while let Ok(Some(message)) = bob_peer.recv().await {
        assert_eq!(message.as_text(), Some(&*format!("{heard:0100}")));
        heard += 1;
    }
    assert_eq!(u16::from(bob_peer.outcome().unwrap().code), 1013);
    let snapshot = hub.metrics();
    assert_eq!(snapshot.dropped[&DropPolicy::Block], 1);
    assert_eq!(snapshot.dropped[&DropPolicy::Ended] + heard, overloaded as u64);
    assert_eq!(snapshot.messages_delivered, 40 + heard);
    drop(bob);
}
