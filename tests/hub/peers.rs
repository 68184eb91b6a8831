//! Registered connections, handlers, and the end of a hub.

#![cfg(feature = "hub")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::frame::{CloseCode, Opcode};
use sockeye::hub::{
    Except, Handlers, Hub, JoinError, Profile, RegisterError, Registration, Room, Shutdown,
};
use sockeye::{Message, Role, WebSocket};
use tokio::io::{DuplexStream, duplex};

use crate::support::hub::{HubSite, build, gracefully};
use crate::support::io::RawPeer;
use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::Ignore;

type Client = WebSocket<DuplexStream>;

/// A registered connection, driven by a task, and its peer.
fn registered(hub: &Hub, profile: Profile) -> (Registration, Client) {
    let config = Arc::new(quiet());
    let (ours, theirs) = duplex(64 * 1024);
    let server = WebSocket::from_stream(ours, Role::Server, &config);
    let registration = hub.register(&server.sender(), profile).unwrap();
    tokio::spawn(server.run(Ignore));
    (registration, WebSocket::from_stream(theirs, Role::Client, &config))
}

async fn hears<S>(socket: &mut WebSocket<S>, texts: &[&str])
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    for text in texts {
        assert_eq!(within(socket.recv()).await.unwrap(), Some(Message::text(*text)));
    }
}

/// HB-04, HB-05, HB-06, HB-07, HB-08, HB-09, CN-13, CN-15, LM-01: register, find by connection and by user, metadata, rooms known on
/// the connection, and nothing left when it goes.
#[tokio::test]
async fn registered_connections_are_known() {
    let hub = build(|hub| hub.default_room("lobby"));
    let (ann, _ann_client) = registered(&hub, Profile::new().user("ann").extension(7_u8));
    let (second, _second_client) = registered(&hub, Profile::new().user("ann"));
    let (bob, _bob_client) = registered(&hub, Profile::new());
    assert_eq!((hub.len(), hub.peers().len()), (3, 3));
    assert_eq!(hub.peer(bob.id()).map(|peer| peer.id()), Some(bob.id()));
    let mut of_ann = hub.user("ann").iter().map(sockeye::hub::Peer::id).collect::<Vec<_>>();
    of_ann.sort_unstable();
    assert_eq!(of_ann, [ann.id(), second.id()]);
    assert_eq!((ann.user(), bob.user()), (Some("ann"), None));
    assert_eq!((ann.extension::<u8>(), ann.extension::<u16>()), (Some(&7), None));

    assert_eq!(ann.set_metadata("role", "admin"), Ok(None));
    assert_eq!(ann.set_metadata("role", "guest"), Ok(Some("admin".to_owned())));
    assert_eq!(hub.peer(ann.id()).unwrap().metadata("role").as_deref(), Some("guest"));
    assert_eq!(ann.remove_metadata("role").as_deref(), Some("guest"));
    assert_eq!(ann.metadata("role"), None);

    let general = ann.join("chat:general").unwrap();
    ann.join("chat:general").unwrap();
    ann.join("notifications").unwrap();
    assert_eq!((general.len(), hub.room("lobby").len()), (1, 3));
    assert!(ann.in_room("chat:general") && ann.in_room("lobby") && !bob.in_room("chat:general"));
    assert_eq!(general.members().await, [ann.id()]);
    let mut lobby = hub.room("lobby").members().await;
    lobby.sort_unstable();
    assert_eq!(lobby, [ann.id(), second.id(), bob.id()]);
    assert_eq!(names(&ann.rooms()), ["chat:general", "lobby", "notifications"]);
    assert!(ann.leave("notifications") && !ann.leave("notifications"));
    assert_eq!(names(&ann.rooms()), ["chat:general", "lobby"]);

    let kept = ann.peer().clone();
    drop(ann);
    assert_eq!((hub.len(), hub.user("ann").len(), general.len()), (2, 1, 0));
    assert!(hub.peer(kept.id()).is_none() && kept.rooms().is_empty());
    assert_eq!(kept.join("lobby").map(drop), Err(JoinError::Closed));
    drop((second, bob));
    assert!(hub.is_empty() && hub.user("ann").is_empty());
    assert_eq!((hub.rooms(), general.members().await), (vec![], vec![]));
}

fn names(rooms: &[Room]) -> Vec<&str> {
    rooms.iter().map(Room::name).collect()
}

/// BC-01, BC-02, BC-03, BC-04, BC-06: to all, to all but some, to a user, in order with what is said to rooms.
#[tokio::test]
async fn broadcasts_reach_whom_they_are_for() {
    let hub = Hub::new();
    let (ann, mut ann_client) = registered(&hub, Profile::new().user("u"));
    let (bob, mut bob_client) = registered(&hub, Profile::new().user("u"));
    let (cat, mut cat_client) = registered(&hub, Profile::new());
    let room = ann.join("room").unwrap();
    bob.join("room").unwrap();
    hub.broadcast("1 all").unwrap();
    room.broadcast("2 room").unwrap();
    hub.broadcast_except("3 not ann", ann.id()).unwrap();
    room.broadcast_except("4 nobody", vec![bob.id(), ann.id()]).unwrap();
    hub.broadcast_except("5 cat", [ann.id(), bob.id()].as_slice()).unwrap();
    let report = hub.broadcast_reported("6 all", Except::nobody()).unwrap().await;
    assert_eq!((report.sent(), report.full, report.closed), (3, 0, 0));
    let sent = hub.send_to_user("u", "7 users");
    assert!(sent.len() == 2 && sent.iter().all(|(_, result)| result.is_ok()), "{sent:?}");
    assert_eq!(hub.send_to_user("nobody", "8"), []);
    hears(&mut ann_client, &["1 all", "2 room", "6 all", "7 users"]).await;
    let to_bob = ["1 all", "2 room", "3 not ann", "6 all", "7 users"];
    hears(&mut bob_client, &to_bob).await;
    hears(&mut cat_client, &["1 all", "3 not ann", "5 cat", "6 all"]).await;
    drop(cat);
}

/// CN-18: a value of the application's as JSON to one connection, and what came of it: to another that is gone it
/// fails, and to this one alone.
#[cfg(feature = "json")]
#[tokio::test]
async fn typed_values_are_sent_as_json() {
    #[derive(serde::Serialize)]
    struct Price {
        symbol: &'static str,
        cents: u32,
    }
    let hub = Hub::new();
    let (ann, mut ann_client) = registered(&hub, Profile::new());
    let (bob, bob_client) = registered(&hub, Profile::new());
    drop(bob_client);
    within(async {
        while !bob.sender().is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let price = || Message::json(&Price { symbol: "FISH", cents: 1250 }).unwrap();
    assert_eq!(bob.send(price()).await, Err(sockeye::SendError::Closed));
    assert!(ann.send(price()).await.is_ok());
    hears(&mut ann_client, &[r#"{"symbol":"FISH","cents":1250}"#]).await;
}

/// BC-05: what came of a broadcast can be asked for: a closed member and a full one fail nobody else.
#[tokio::test]
async fn reports_tell_what_happened_to_each() {
    let hub = build(|hub| hub.config(quiet()));
    let room = hub.room("a");
    let config = Arc::new({
        let mut config = quiet();
        config.outbox_bytes_max = 1000;
        config.overflow = sockeye::protocol::Overflow::DropNewest;
        config
    });
    let (stalled, _kept) = duplex(16);
    let stalled = WebSocket::from_stream(stalled, Role::Server, &config);
    let stalled_sender = stalled.sender();
    let _member = room.join(stalled.sender()).unwrap();
    tokio::spawn(stalled.run(Ignore));
    let (gone, gone_client) = registered(&hub, Profile::new());
    gone.join("a").unwrap();
    drop(gone_client);
    while !gone.sender().is_closed() {
        tokio::task::yield_now().await;
    }
    let (well, mut client) = registered(&hub, Profile::new());
    well.join("a").unwrap();
    let payload = "x".repeat(600);
    for (number, full) in [0, 0, 1].into_iter().enumerate() {
        let report = room.broadcast_reported(&*payload, Except::nobody()).unwrap().await;
        // One is being written, one waits, the next is too much.
        assert_eq!((report.full, report.closed), (full, 1), "broadcast {number}");
        assert_eq!(report.sent(), 2 - full);
        tokio::task::yield_now().await;
    }
    assert_eq!(stalled_sender.dropped(), 1);
    hears(&mut client, &[&payload, &payload, &payload]).await;
    let report = hub.room("empty").broadcast_reported("x", Except::nobody()).unwrap().await;
    assert_eq!(report, Default::default());
}

/// LM-01, LM-02, A37..A40: each limit says its number, and a place that is free is free at once.
#[tokio::test]
async fn limits_say_their_number() {
    let hub = build(|hub| hub.connections_max(2).room_members_max(1).rooms_max(2));
    let (ann, _ann_client) = registered(&hub, Profile::new());
    let (bob, _bob_client) = registered(&hub, Profile::new());
    let (stream, _peer) = duplex(64);
    let third = WebSocket::from_stream(stream, Role::Server, &Arc::new(quiet()));
    let refused = |hub: &Hub| hub.register(&third.sender(), Profile::new()).map(drop).unwrap_err();
    assert_eq!(refused(&hub), RegisterError::Full { connections_max: 2 });
    assert_eq!(
        hub.register(&ann.sender().clone(), Profile::new()).map(drop).unwrap_err(),
        RegisterError::Full { connections_max: 2 }
    );

    ann.join("a").unwrap();
    assert_eq!(bob.join("a").map(drop), Err(JoinError::RoomFull { members_max: 1 }));
    ann.leave("a");
    bob.join("a").unwrap();
    bob.join("b").unwrap();
    assert_eq!(bob.join("c").map(drop), Err(JoinError::TooManyRooms { rooms_max: 2 }));
    let names = ["", "line\nbreak", "nul\0", "del\u{7f}", &"x".repeat(129), &"é".repeat(65)];
    for name in names {
        assert_eq!(ann.join(name).map(drop), Err(JoinError::Name { bytes_max: 128 }), "{name:?}");
    }
    ann.join(&"x".repeat(128)).unwrap();
    let left = hub.rooms().len();
    assert_eq!(left, 3, "refused names leave no room behind");

    drop(bob);
    let again = hub.register(&third.sender(), Profile::new()).unwrap();
    drop(ann);
    let twice = hub.register(again.sender(), Profile::new()).map(drop).unwrap_err();
    assert_eq!(twice, RegisterError::Twice);
    assert_eq!(hub.len(), 1);
    for zero in
        [Hub::builder().workers(0), Hub::builder().job_queue(0), Hub::builder().rooms_max(0)]
    {
        assert!(zero.build().unwrap_err().to_string().ends_with("of zero lets nothing pass"));
    }
}

/// HB-07, LM-02: a default room that is full is told, and nothing is left of the one it refused.
#[tokio::test]
async fn a_full_default_room_refuses_the_connection() {
    let hub = build(|hub| hub.default_room("hall").default_room("lobby").room_members_max(1));
    let (first, _client) = registered(&hub, Profile::new());
    first.leave("hall");
    let (stream, _peer) = duplex(64);
    let second = WebSocket::from_stream(stream, Role::Server, &Arc::new(quiet()));
    let refused = hub.register(&second.sender(), Profile::new()).map(drop).unwrap_err();
    assert_eq!(refused, RegisterError::Room(JoinError::RoomFull { members_max: 1 }));
    assert_eq!((hub.len(), hub.room("hall").len()), (1, 0));
}

/// CN-16, CN-17, CN-19, BC-07, HB-11: every callback, with the hub at hand in each of them.
#[tokio::test]
async fn handlers_are_told_and_may_tell() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &str| {
        let (log, what) = (log.clone(), what.to_owned());
        move |more: String| log.lock().unwrap().push(format!("{what} {more}"))
    };
    let (opened, ping, pong, error, closed, second) =
        (note("open"), note("ping"), note("pong"), note("error"), note("close"), note("also"));
    let handlers = Handlers::new()
        .on_open(move |connection| {
            let room = connection.peer().join("lobby").unwrap();
            room.broadcast_except("somebody came", connection.peer().id()).unwrap();
            connection.send("welcome").unwrap();
            opened(String::new());
        })
        .on_message(|connection, message| {
            let text = message.as_text().unwrap_or_default();
            if text == "panic" {
                panic!("a bug of the application's");
            }
            connection.peer().hub().unwrap().broadcast(text).unwrap();
        })
        .on_ping(move |_, payload| ping(String::from_utf8_lossy(payload).into_owned()))
        .on_pong(move |_, payload| pong(String::from_utf8_lossy(payload).into_owned()))
        .on_error(move |_, problem| error(problem.to_string()))
        .on_close(|peer, _| peer.hub().unwrap().broadcast("somebody left").unwrap())
        .on_close(move |_, outcome| closed(u16::from(outcome.code).to_string()))
        .on_close(move |_, _| second(String::new()));
    let site = HubSite::start(Hub::new(), handlers).await;
    let mut ann = site.connect("/").await.unwrap();
    hears(&mut ann, &["welcome"]).await;
    let mut bob = site.connect("/").await.unwrap();
    hears(&mut bob, &["welcome"]).await;
    hears(&mut ann, &["somebody came"]).await;
    bob.send("hello").await.unwrap();
    bob.send(Message::Ping("p".into())).await.unwrap();
    bob.send(Message::Pong("q".into())).await.unwrap();
    hears(&mut ann, &["hello"]).await;
    hears(&mut bob, &["hello"]).await;
    within(bob.close(4000, "bye")).await.unwrap();
    hears(&mut ann, &["somebody left"]).await;
    let expected = ["open ", "open ", "ping p", "pong q", "close 4000", "also "];
    assert_eq!(*log.lock().unwrap(), expected);

    // A violation is an error first; a panic ends that connection and nothing else.
    let mut raw = site.peer("/").await;
    within(raw.frame()).await;
    raw.write(&[0xf1, 0x80, 0, 0, 0, 0]).await;
    assert_eq!(within(raw.close_code()).await, Some(1002));
    let mut bad = site.connect("/").await.unwrap();
    bad.send("panic").await.unwrap();
    while within(bad.recv()).await.is_ok_and(|message| message.is_some()) {}
    assert_eq!(bad.outcome().unwrap().code, CloseCode::from(1011));
    while site.hub.len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.hub.room("lobby").len(), 1);
    assert!(log.lock().unwrap().iter().any(|line| line.starts_with("error protocol error")));
    ann.send("still here").await.unwrap();
    let report = tokio::join!(site.end(gracefully()), async {
        while within(ann.recv()).await.is_ok_and(|message| message.is_some()) {}
    });
    assert_eq!((report.0.told, report.0.ended, report.0.left), (1, 1, 0));
}

/// HB-12, LM-01, A37: a full hub answers 503 before the upgrade, and a freed place is usable at once.
#[tokio::test]
async fn a_full_hub_answers_503() {
    let site = HubSite::start(build(|hub| hub.connections_max(1)), Handlers::new()).await;
    let first = site.connect("/").await.unwrap();
    assert_eq!(site.status("/").await, 503);
    drop(first);
    while !site.hub.is_empty() {
        tokio::task::yield_now().await;
    }
    let second = site.connect("/").await.unwrap();
    assert_eq!(site.hub.len(), 1);
    drop(second);
    site.end(gracefully()).await;
}

/// SH-01, BY-22, A30, A33: queued messages, then the code and advice that differs; nobody new.
#[tokio::test]
async fn shutdown_tells_everybody_when_to_come_back() {
    const CLIENTS: usize = 200;
    let told = Arc::new(AtomicUsize::new(0));
    let site = HubSite::start(Hub::new(), Handlers::new()).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = site.connect("/").await.unwrap();
        let told = told.clone();
        clients.push(tokio::spawn(async move {
            assert_eq!(within(client.recv()).await.unwrap(), Some("last words".into()));
            assert!(within(client.recv()).await.unwrap().is_none());
            told.fetch_add(1, Ordering::SeqCst);
            client.outcome().unwrap().clone()
        }));
    }
    while site.hub.len() < CLIENTS {
        tokio::task::yield_now().await;
    }
    site.hub.broadcast("last words").unwrap();
    let hub = site.hub.clone();
    let shutdown = gracefully()
        .code(1012)
        .spread(Duration::from_millis(50))
        .reconnect_within(Duration::from_secs(100));
    let report = site.end(shutdown).await;
    assert_eq!((report.told, report.ended, report.left), (CLIENTS, CLIENTS, 0));
    assert_eq!(report.lost_messages, 0);
    let mut waits = Vec::new();
    for client in clients {
        let outcome = within(client).await.unwrap();
        assert_eq!(outcome.code, CloseCode::from(1012));
        let wait = outcome.reason.strip_prefix("reconnect in ").unwrap();
        waits.push(wait.strip_suffix(" ms").unwrap().parse::<u64>().unwrap());
    }
    waits.sort_unstable();
    assert!(waits.windows(2).all(|pair| pair[1] - pair[0] < 5000), "evenly: {waits:?}");
    assert!(waits[0] < 5000 && waits[CLIENTS - 1] > 95_000 && waits[CLIENTS - 1] < 100_000);
    let (stream, _peer) = duplex(64);
    let late = WebSocket::from_stream(stream, Role::Server, &Arc::new(quiet()));
    let refused = hub.register(&late.sender(), Profile::new()).map(drop).unwrap_err();
    assert_eq!((refused, told.load(Ordering::SeqCst)), (RegisterError::Stopped, CLIENTS));
}

/// SH-01: what was said in a room just before comes before the close, though no worker has had a turn since.
#[tokio::test(start_paused = true)]
async fn shutdown_comes_after_what_was_said() {
    let (hub, config) = (Hub::new(), Arc::new(quiet()));
    let (ours, theirs) = duplex(4096);
    let server = WebSocket::from_stream(ours, Role::Server, &config);
    let registration = hub.register(&server.sender(), Profile::new()).unwrap();
    registration.peer().join("lobby").unwrap();
    let running = tokio::spawn(async move {
        let outcome = server.run(Ignore).await;
        drop(registration);
        outcome
    });
    let mut client = WebSocket::from_stream(theirs, Role::Client, &config);
    let listening = tokio::spawn(async move {
        let mut heard = Vec::new();
        while let Ok(Some(message)) = client.recv().await {
            heard.push(message);
        }
        heard
    });
    let said = ["one", "two", "three"];
    said.iter().for_each(|text| hub.room("lobby").broadcast(*text).unwrap());
    let report = hub.shutdown(gracefully()).await.unwrap();
    assert_eq!((report.told, report.ended, report.lost_messages), (1, 1, 0));
    assert_eq!(within(listening).await.unwrap(), said.map(Message::from));
    assert!(within(running).await.unwrap().clean);
}

/// A32: clients that ignore the close are left after the deadline, and told of in the report.
#[tokio::test(start_paused = true)]
async fn shutdown_has_a_deadline() {
    let hub = Hub::new();
    let config = Arc::new(quiet());
    let (ours, theirs) = duplex(1024);
    let server = WebSocket::from_stream(ours, Role::Server, &config);
    let registration = hub.register(&server.sender(), Profile::new()).unwrap();
    let running = tokio::spawn(async move {
        let outcome = server.run(Ignore).await;
        drop(registration);
        outcome
    });
    let mut peer = RawPeer::client(theirs);
    let report = hub.shutdown(Shutdown::new(Duration::from_secs(2))).await.unwrap();
    assert_eq!((report.told, report.ended, report.left), (1, 0, 1));
    assert_eq!(within(peer.frame()).await.map(|frame| frame.opcode), Some(Opcode::Close));
    // Its own close timeout ends it all the same.
    assert!(!within(running).await.unwrap().clean);
    assert!(hub.is_empty());
    assert!(hub.shutdown(gracefully().code(1005)).await.is_err());
}

/// BC-02: what a room says of a member that is a session is by the policy of that member's connection.
#[cfg(feature = "session")]
#[tokio::test]
async fn a_session_has_the_policy_of_its_connection() {
    // What closes for its messages loses none: the session has them.
    use sockeye::protocol::Overflow;

    for (overflow, expected) in [(Overflow::DropNewest, (3, 0)), (Overflow::Close, (0, 0))] {
        let mut config = quiet();
        config.overflow = overflow;
        config.outbox_messages_max = 2;
        let (stream, _peer) = tokio::io::duplex(64);
        let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
        let sessions = sockeye::session::Sessions::new(Default::default());
        let opening = |_: &sockeye::session::Opening<'_>| Message::text("opened");
        let session = sessions.create(&socket.sender(), None, opening).unwrap();
        let hub = Hub::new();
        let room = hub.room("a");
        let _seat = room.join(session.sender().clone()).unwrap();
        let mut reports = Vec::new();
        for _ in 0..5 {
            reports
                .push(room.broadcast_reported(&*"x".repeat(1000), Except::nobody()).unwrap().await);
        }
        let full = reports.iter().map(|report| report.full).sum::<usize>();
        let overloaded = reports.iter().map(|report| report.overloaded).sum::<usize>();
        assert_eq!((full, overloaded), expected, "{overflow:?}");
    }
}
