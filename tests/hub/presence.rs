//! Who is in which room, as users see it.

#![cfg(feature = "hub")]

use std::sync::{Arc, Mutex};

use sockeye::hub::{Hub, PresenceChange, PresenceKind, Profile, Registration};
use sockeye::{Message, Role, WebSocket};
use tokio::io::{DuplexStream, duplex};

use crate::support::hub::build;
use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::Ignore;

type Client = WebSocket<DuplexStream>;
type Told = Arc<Mutex<Vec<String>>>;

fn registered(hub: &Hub, user: Option<&str>) -> (Registration, Client) {
    let config = Arc::new(quiet());
    let (ours, theirs) = duplex(64 * 1024);
    let server = WebSocket::from_stream(ours, Role::Server, &config);
    let profile = user.map_or_else(Profile::new, |user| Profile::new().user(user));
    let registration = hub.register(&server.sender(), profile).unwrap();
    tokio::spawn(server.run(Ignore));
    (registration, WebSocket::from_stream(theirs, Role::Client, &config))
}

fn sign(change: &PresenceChange) -> String {
    let sign = if change.kind == PresenceKind::Joined { '+' } else { '-' };
    let user = change.user.as_deref().unwrap_or("somebody");
    format!("{sign}{user} {}", change.room.name())
}

fn watching() -> (Hub, Told) {
    let told = Told::default();
    let changes = told.clone();
    let hub =
        build(|hub| hub.on_presence(move |change| changes.lock().unwrap().push(sign(change))));
    (hub, told)
}

fn take(told: &Told) -> Vec<String> {
    std::mem::take(&mut *told.lock().unwrap())
}

/// BY-33: the first connection of a user that joins a room and the last one that leaves it are told, and the
/// users of a room can be asked for.
#[tokio::test]
async fn the_first_and_the_last_connection_of_a_user_are_told() {
    let (hub, told) = watching();
    let (phone, _a) = registered(&hub, Some("ann"));
    let (laptop, _b) = registered(&hub, Some("ann"));
    let (guest, _c) = registered(&hub, None);
    phone.join("lobby").unwrap();
    phone.join("lobby").unwrap();
    laptop.join("lobby").unwrap();
    guest.join("lobby").unwrap();
    assert_eq!(take(&told), ["+ann lobby", "+somebody lobby"]);
    let room = hub.room("lobby");
    assert_eq!(room.users().iter().map(|user| &**user).collect::<Vec<_>>(), ["ann"]);
    assert!(phone.leave("lobby"));
    assert!(!phone.leave("lobby"));
    assert!(take(&told).is_empty());
    drop(laptop);
    assert_eq!(take(&told), ["-ann lobby"]);
    drop(guest);
    assert_eq!(take(&told), ["-somebody lobby"]);
    assert!(room.users().is_empty());
    phone.join("a").unwrap();
    phone.join("b").unwrap();
    drop(phone);
    let mut last = take(&told).split_off(2);
    last.sort();
    assert_eq!(last, ["-ann a", "-ann b"]);
}

/// BY-33: whoever is told may speak to the room, and join and leave itself.
#[tokio::test]
async fn whoever_is_told_may_speak_join_and_leave() {
    let hub = build(|hub| {
        hub.on_presence(|change| {
            change.room.broadcast(&*sign(change)).unwrap();
            if change.room.name() == "lobby" && change.kind == PresenceKind::Joined {
                let hub = change.room.clone();
                assert!(!hub.is_empty());
            }
        })
    });
    let (ann, mut ann_client) = registered(&hub, Some("ann"));
    ann.join("lobby").unwrap();
    let (bob, mut bob_client) = registered(&hub, Some("bob"));
    bob.join("lobby").unwrap();
    drop(bob);
    for text in ["+ann lobby", "+bob lobby", "-bob lobby"] {
        assert_eq!(within(ann_client.recv()).await.unwrap(), Some(Message::text(text)));
    }
    assert_eq!(within(bob_client.recv()).await.unwrap(), Some(Message::text("+bob lobby")));
}

/// BY-33: whatever joins and leaves at the same time, what is told is in the order in which it happened: for
/// each user in turn that it is there and that it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_told_is_in_order() {
    let (hub, told) = watching();
    let coming_and_going = (0..4).map(|_| {
        let hub = hub.clone();
        tokio::spawn(async move {
            let (registration, _client) = registered(&hub, Some("ann"));
            for _ in 0..500 {
                registration.join("lobby").unwrap();
                registration.leave("lobby");
            }
        })
    });
    for task in coming_and_going.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let told = take(&told);
    assert!(!told.is_empty());
    for pair in told.chunks(2) {
        assert_eq!(pair, ["+ann lobby", "-ann lobby"]);
    }
    assert!(hub.room("lobby").users().is_empty());
}

/// A call that panics takes the telling of others with it in no way.
#[tokio::test]
async fn a_call_that_panics_harms_nobody_else() {
    let told = Told::default();
    let changes = told.clone();
    let hub = build(|hub| {
        hub.on_presence(move |change| {
            assert!(change.user.as_deref() != Some("eve"), "on purpose");
            changes.lock().unwrap().push(sign(change));
        })
    });
    let (eve, _a) = registered(&hub, Some("eve"));
    let joined =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eve.join("lobby").map(drop)));
    assert!(joined.is_err());
    let (ann, _b) = registered(&hub, Some("ann"));
    ann.join("lobby").unwrap();
    assert_eq!(take(&told), ["+ann lobby"]);
    std::mem::forget(eve);
}
