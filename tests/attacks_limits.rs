//! Attacks on the limits of a running hub: raw sockets that fill it, flood it, name odd rooms and read
//! nothing, while a healthy client is served and the heap is counted.

#![cfg(feature = "hub")]

#[path = "support/heap.rs"]
mod heap;
mod support;

use sockeye::frame::Frame;
use sockeye::handshake::Acceptance;
use sockeye::hub::limits::{Limits, Rate};
use sockeye::hub::metrics::{CloseClass, JoinRefusal, Rejection};
use sockeye::hub::{Handlers, Hub, HubBuilder, JoinError, Profile};
use sockeye::{Answer, Role, WebSocket};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use heap::Heap;
use support::hub::{HubSite, build, echo, gracefully};
use support::io::RawPeer;
use support::pair::{quiet, to};
use support::server::{lawful, request_for, within};

const KIB: usize = 1024;

fn limited(change: impl FnOnce(&mut Limits)) -> Hub {
    build(|hub: HubBuilder| {
        let mut limits = Limits::default();
        change(&mut limits);
        hub.limits(limits).config(quiet())
    })
}

/// Fills a site, is refused, and finds each freed place usable at once.
async fn filled(hub: Hub, places: usize, status: u16, reason: Rejection) {
    let mut heap = Heap::turn().await;
    let site = HubSite::start(hub, echo()).await;
    let mut healthy = site.healthy("/").await;
    heap.begin();
    let mut peers = Vec::new();
    while peers.len() + 1 < places {
        peers.push(site.peer("/").await);
    }
    for refused in 1..=100 {
        let reply = site.request(&lawful()).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, Some("5")));
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(site.hub.metrics().rejected[&reason], refused);
    }
    healthy.check().await;
    for freed in 0..20 {
        // By a close, by an end without one.
        let mut peer = peers.remove(0);
        if freed % 2 == 0 {
            peer.send(Frame::new(sockeye::frame::Opcode::Close, vec![3, 232])).await;
            assert_eq!(within(peer.close_code()).await, Some(1000));
        }
        drop(peer);
        site.has(places - 1).await;
        peers.push(site.peer("/").await);
        assert_eq!(site.raw_status("/", &[]).await, status);
    }
    heap.assert_held(512 * KIB, "a full server");
    assert_eq!(site.hub.metrics().rejected_total(), 120);
    healthy.check().await;
    drop(peers);
    site.has(1).await;
    heap.assert_held(64 * KIB, "what is left of them");
    drop(healthy);
    site.end(gracefully()).await;
}

/// A37, row 63: a full server answers 503 to whoever comes, and a place that is freed is taken at once.
#[tokio::test]
async fn a37_a_full_server() {
    let hub = limited(|limits| limits.connections_max = 33);
    filled(hub, 33, 503, Rejection::ServerFull).await;
}

/// A38, row 63: a full address gets 429.
#[tokio::test]
async fn a38_a_full_address() {
    let hub = limited(|limits| limits.connections_per_address_max = Some(17));
    filled(hub, 17, 429, Rejection::AddressFull).await;
}

/// `join NAME` joins, `leave NAME` leaves, and the answer says what became of it.
fn rooms() -> Handlers {
    Handlers::new().on_message(|connection, message| {
        let text = message.as_text().unwrap_or_default();
        let answer = match text.split_once(' ') {
            Some(("join", name)) => match connection.peer().join(name) {
                Ok(_) => "joined".to_owned(),
                Err(error) => error.to_string(),
            },
            Some(("leave", name)) => connection.peer().leave(name).to_string(),
            _ => text.to_owned(),
        };
        let _ = connection.send(&*answer);
    })
}

async fn asks(peer: &mut RawPeer<TcpStream>, question: &str) -> String {
    peer.send(Frame::text(question)).await;
    let answer = within(peer.data()).await.expect("it stays open");
    String::from_utf8(answer.payload.to_vec()).unwrap()
}

/// A40, LM-02: a full room is told with an error, the connection stays, and a place that is freed is
/// taken at once; so it is with the rooms of one connection.
#[tokio::test]
async fn a40_a_full_room() {
    let mut heap = Heap::turn().await;
    let hub = limited(|limits| {
        limits.room_members_max = Some(2);
        limits.rooms_per_connection_max = 3;
    });
    let site = HubSite::start(hub, rooms()).await;
    let mut healthy = site.healthy("/").await;
    let mut peers = [site.peer("/").await, site.peer("/").await, site.peer("/").await];
    heap.begin();
    for peer in &mut peers[..2] {
        assert_eq!(asks(peer, "join small").await, "joined");
    }
    for _ in 0..100 {
        assert_eq!(asks(&mut peers[2], "join small").await, "room full: 2 members");
        assert_eq!(asks(&mut peers[0], "leave small").await, "true");
        assert_eq!(asks(&mut peers[2], "join small").await, "joined");
        assert_eq!(asks(&mut peers[0], "join small").await, "room full: 2 members");
        peers.swap(0, 2);
    }
    for room in ["a", "b"] {
        assert_eq!(asks(&mut peers[0], &format!("join {room}")).await, "joined");
    }
    for number in 0..100 {
        let answer = asks(&mut peers[0], &format!("join new {number}")).await;
        assert_eq!(answer, "too many rooms: 3 a connection");
    }
    // A member that vanishes leaves its place.
    drop(peers);
    site.has(1).await;
    let mut newcomer = site.peer("/").await;
    assert_eq!(asks(&mut newcomer, "join small").await, "joined");
    healthy.check().await;
    let refused = site.hub.metrics().joins_refused;
    assert_eq!(refused[&JoinRefusal::RoomFull], 200);
    assert_eq!(refused[&JoinRefusal::TooManyRooms], 100);
    assert_eq!(site.hub.rooms(), [("small".to_owned(), 1)]);
    heap.assert_held(64 * KIB, "rooms that were refused");
    drop((healthy, newcomer));
    site.end(gracefully()).await;
}

/// LM-08, row 64: the application looks at names, and at who asks, before a room is joined; a name
/// against the rules never comes to it.
#[tokio::test]
async fn lm_08_names_are_looked_at() {
    let _heap = Heap::turn().await;
    let hub = build(|hub| {
        hub.config(quiet()).on_join(|peer, name| {
            assert!(!name.contains(char::is_control), "checked before");
            peer.metadata("banned").is_none() && name.bytes().all(|byte| byte.is_ascii_lowercase())
        })
    });
    let site = HubSite::start(hub, rooms()).await;
    let mut peer = site.peer("/").await;
    assert_eq!(asks(&mut peer, "join chat").await, "joined");
    for name in ["Chat", "chät", "chat;drop", "../chat"] {
        assert_eq!(asks(&mut peer, &format!("join {name}")).await, "not allowed in this room");
    }
    for name in ["a\u{1b}[31m", "", " a", &"a".repeat(129)] {
        let answer = asks(&mut peer, &format!("join {name}")).await;
        assert!(answer.starts_with("room name: 1 to 128 bytes"), "{answer}");
    }
    site.hub.peers()[0].set_metadata("banned", "yes").unwrap();
    assert_eq!(asks(&mut peer, "join other").await, "not allowed in this room");
    assert_eq!(asks(&mut peer, "join chat").await, "joined", "it is in there already");
    let refused = site.hub.metrics().joins_refused;
    assert_eq!((refused[&JoinRefusal::Hook], refused[&JoinRefusal::Name]), (5, 4));
    drop(peer);
    site.end(gracefully()).await;
}

/// LM-08, row 64: what is noted about a connection is looked at as well, cleaned or refused, and bounded.
#[tokio::test]
async fn lm_08_metadata_is_looked_at() {
    let mut heap = Heap::turn().await;
    let hub = build(|hub| {
        let mut limits = Limits::default();
        limits.metadata_bytes_max = 4 * KIB;
        hub.limits(limits).config(quiet()).on_metadata(|peer, key, value| match key {
            "secret" => None,
            "twice" if peer.metadata(key).is_some() => None,
            _ => Some(value.chars().filter(|character| !character.is_control()).collect()),
        })
    });
    let handlers = Handlers::new().on_message(|connection, message| {
        let text = message.as_text().unwrap_or_default();
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let answer = match connection.peer().set_metadata(key, value) {
            Ok(before) => format!("noted, before: {before:?}"),
            Err(error) => error.to_string(),
        };
        let _ = connection.send(&*answer);
    });
    let site = HubSite::start(hub, handlers).await;
    let mut peer = site.peer("/").await;
    heap.begin();
    let full = "too much metadata: 4096 bytes a connection";
    for (asked, answer) in [
        ("name=a\u{1b}[31mb\r\nc", "noted, before: None"),
        ("name=ann", "noted, before: Some(\"a[31mbc\")"),
        ("secret=1", "not to be noted"),
        ("twice=1", "noted, before: None"),
        ("twice=2", "not to be noted"),
        (&format!("long={}", "x".repeat(5_000)), full),
        (&format!("name={}", "x".repeat(4 * KIB)), full),
        (&format!("{}=", "x".repeat(5_000)), full),
    ] {
        assert_eq!(asks(&mut peer, asked).await, answer, "{asked}");
    }
    let refused = {
        let mut refused = 0;
        for number in 0..1_000 {
            refused += u32::from(asks(&mut peer, &format!("{number}=")).await == full);
        }
        refused
    };
    assert!((930..950).contains(&refused), "{refused} of a thousand");
    let known = &site.hub.peers()[0];
    assert_eq!(known.metadata("name").as_deref(), Some("ann"));
    assert_eq!((known.metadata("twice").as_deref(), known.metadata("secret")), (Some("1"), None));
    heap.assert_held(32 * KIB, "metadata without end");
    drop(peer);
    site.end(gracefully()).await;
}

/// LM-08: the application is asked when it is its own code that joins a connection to a room, as long as it is a
/// registered one.
#[tokio::test]
async fn lm_08_rooms_joined_by_hand() {
    let _heap = Heap::turn().await;
    let hub = build(|hub| hub.config(quiet()).on_join(|peer, name| peer.user() == Some(name)));
    let socket = |hub: &Hub| {
        let (ours, theirs) = tokio::io::duplex(64);
        (WebSocket::from_stream(ours, Role::Server, hub.config()), theirs)
    };
    let ((known, _one), (unknown, _other)) = (socket(&hub), socket(&hub));
    let registration = hub.register(&known.sender(), Profile::new().user("ann")).unwrap();
    let membership = hub.room("ann").join(known.sender()).unwrap();
    assert_eq!(hub.room("bob").join(known.sender()).map(drop), Err(JoinError::Refused));
    assert_eq!(hub.metrics().joins_refused[&JoinRefusal::Hook], 1);
    let stranger = hub.room("bob").join(unknown.sender()).unwrap();
    drop(registration);
    let again = hub.room("bob").join(known.sender()).unwrap();
    assert_eq!((hub.room("ann").len(), hub.room("bob").len()), (1, 2));
    drop((membership, stranger, again));
    assert_eq!(hub.rooms(), []);
}

/// One raw client of many, and how it ends.
async fn comes_and_goes(site: &HubSite, number: usize) {
    if number.is_multiple_of(8) {
        // Gone before a word, or in the middle of one.
        let _ = site.raw().await.write_all(&lawful()[..number % 100]).await;
        return;
    }
    let mut peer = site.peer("/").await;
    match number % 8 {
        1 => peer.write(&[0xf1, 0x80, 0, 0, 0, 0]).await,
        2 => peer.send(Frame::text("panic")).await,
        3 => peer.send(Frame::new(sockeye::frame::Opcode::Close, vec![])).await,
        4 => peer.write(&[0x82, 0xff, 0, 0]).await,
        5 => peer.stream.set_zero_linger().unwrap(),
        6 => peer.send(Frame::text("hello")).await,
        _ => {}
    }
    if number % 8 <= 3 {
        within(peer.close_code()).await;
    }
}

/// A41, CN-20, SH-02, row 48: after any churn accepted - closed = open, to the connection; rooms and
/// registry are empty, and the heap is what it was.
#[tokio::test]
async fn a41_counts_under_churn() {
    let mut heap = Heap::turn().await;
    let handlers = Handlers::new()
        .on_open(|connection| {
            let room = format!("room {}", connection.peer().id() % 7);
            connection.peer().join(&room).unwrap();
            connection.peer().set_metadata("key", "value").unwrap();
        })
        .on_message(|connection, message| {
            if message.as_text() == Some("panic") {
                // Unwinds as a panic does, without a word on the terminal.
                std::panic::resume_unwind(Box::new("as asked"));
            }
            let _ = connection.send(message);
        });
    let site = HubSite::start(build(|hub| hub.config(quiet())), handlers).await;
    let mut healthy = site.healthy("/").await;
    // What is there once, or grows with the first use.
    for number in 0..64 {
        comes_and_goes(&site, number).await;
    }
    site.has(1).await;
    heap.begin();
    let before = site.hub.metrics();
    for number in 0..800 {
        comes_and_goes(&site, number).await;
        if number % 100 == 0 {
            healthy.check().await;
        }
    }
    site.has(1).await;
    let refused = || site.hub.metrics().rejected_total() - before.rejected_total();
    within(async {
        while refused() < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let metrics = site.hub.metrics();
    assert_eq!(metrics.accepted - metrics.closed_total(), 1);
    assert_eq!((metrics.gauges.connections, site.hub.rooms().len()), (1, 1));
    let since = metrics.since(&before);
    assert_eq!((since.accepted, since.opened, since.closed_total()), (700, 700, 700));
    assert_eq!((since.handler_panics, since.closed[&CloseClass::InternalError]), (100, 100));
    assert_eq!((since.rejected_total(), since.rejected[&Rejection::Other]), (100, 100));
    assert_eq!(since.closed[&CloseClass::NoStatus], 100);
    assert_eq!(since.closed[&CloseClass::ProtocolError], 100);
    heap.assert_held(64 * KIB, "eight hundred that came and went");
    healthy.check().await;
    drop(healthy);
    site.end(gracefully()).await;
}

/// A44, HS-12: a subprotocol the server does not speak is not chosen, nor one in another case; a list
/// that is none is refused, and a hook that chooses what nobody offered is a mistake of ours.
#[tokio::test]
async fn a44_wrong_subprotocols() {
    let mut heap = Heap::turn().await;
    let hub = build(|hub| hub.config(quiet()));
    let acceptor = hub.acceptor().on_request(|request| async move {
        let offers = request.subprotocols();
        match request.path() {
            "/strict" if !offers.iter().any(|offer| offer == "chat.v2") => {
                Answer::refuse(http::StatusCode::BAD_REQUEST, "chat.v2 is spoken here")
            }
            "/mistaken" => Answer::Upgrade(Acceptance::default().subprotocol("chat.v3")),
            _ if offers.iter().any(|offer| offer == "chat.v2") => {
                Answer::Upgrade(Acceptance::default().subprotocol("chat.v2"))
            }
            _ => Answer::accept(),
        }
    });
    let site = HubSite::on(hub, acceptor, echo()).await;
    let mut healthy = site.healthy("/").await;
    heap.begin();
    let long = format!("Sec-WebSocket-Protocol: {}", "a,".repeat(3000));
    for (target, line, status, chosen) in [
        ("/", "Sec-WebSocket-Protocol: chat.v1", 101, None),
        ("/", "Sec-WebSocket-Protocol: CHAT.V2", 101, None),
        ("/", "Sec-WebSocket-Protocol: chat.v22, achat.v2", 101, None),
        ("/", "Sec-WebSocket-Protocol: chat.v1, chat.v2", 101, Some("chat.v2")),
        ("/strict", "Sec-WebSocket-Protocol: chat.v1", 400, None),
        ("/strict", "X-Protocol: chat.v2", 400, None),
        ("/strict", "Sec-WebSocket-Protocol: chat.v2", 101, Some("chat.v2")),
        ("/mistaken", "Sec-WebSocket-Protocol: chat.v2", 500, None),
        ("/", "Sec-WebSocket-Protocol: chat.v2, chat.v2", 400, None),
        ("/", "Sec-WebSocket-Protocol: chat v2", 400, None),
        ("/", "Sec-WebSocket-Protocol: \"chat.v2\"", 400, None),
        ("/", "Sec-WebSocket-Protocol: ", 400, None),
        ("/", &long, 400, None),
    ] {
        let reply = site.request(&request_for(target, &[line])).await;
        assert_eq!(reply.status, status, "{target} {line}");
        assert_eq!(reply.header("sec-websocket-protocol"), chosen, "{target} {line}");
        healthy.check().await;
    }
    let rejected = site.hub.metrics().rejected;
    assert_eq!((rejected[&Rejection::Hook], rejected[&Rejection::Other]), (2, 1));
    assert_eq!(rejected[&Rejection::BadRequest], 5);
    site.has(1).await;
    heap.assert_held(64 * KIB, "subprotocols");
    drop(healthy);
    site.end(gracefully()).await;
}

/// A45, LM-05, row 24: whoever floods is closed with 1008 at the rate's end, and none of the rest is
/// looked at; the neighbours of the same rate are served.
#[tokio::test]
async fn a45_floods_of_messages() {
    let mut heap = Heap::turn().await;
    let hub = limited(|limits| {
        limits.messages_per_connection = Some(Rate::per_minute(600).burst(100));
        limits.bytes_per_connection = Some(Rate::per_minute(60_000_000).burst(1_000_000));
    });
    let site = HubSite::start(hub, Handlers::new()).await;
    let echoing = HubSite::start(limited(|_| {}), echo()).await;
    let mut neighbour = site.peer("/").await;
    let mut healthy = echoing.healthy("/").await;
    let small = to(Role::Server, &vec![Frame::text("x"); 10_000]);
    let large = to(Role::Server, &vec![Frame::binary(vec![0; 60_000]); 40]);
    heap.begin();
    for round in 0..4 {
        let before = site.hub.metrics();
        let mut peer = site.peer("/").await;
        let flood = if round % 2 == 0 { &small } else { &large };
        // It is closed before it has all.
        let _ = peer.stream.write_all(flood).await;
        assert_eq!(within(peer.close_code()).await, Some(1008), "round {round}");
        heap.assert_held(1024 * KIB, "a flood");
        drop(peer);
        site.has(1).await;
        let since = site.hub.metrics().since(&before);
        // What a flood of a second or two is let through of.
        assert!(since.messages_received <= 140, "{} were taken", since.messages_received);
        assert!(since.bytes_received <= 1_000_000 + 20_000_000);
        assert_eq!(since.closed[&CloseClass::PolicyViolation], 1);
        neighbour.send(Frame::ping("well?")).await;
        assert_eq!(within(neighbour.frame()).await, Some(Frame::pong("well?")));
        healthy.check().await;
    }
    heap.assert_held(64 * KIB, "what is left of the floods");
    drop((healthy, neighbour));
    site.end(gracefully()).await;
    echoing.end(gracefully()).await;
}

/// A peer in five hundred rooms whose names try to be something else.
async fn with_evil_rooms(site: &HubSite) -> RawPeer<TcpStream> {
    let mut peer = site.peer("/evil77?evil77=evil77").await;
    for number in 0..500 {
        let name = format!("evil77\"}} {number} {{le=\"\\n# TYPE x");
        assert_eq!(asks(&mut peer, &format!("join {name}")).await, "joined");
    }
    peer
}

/// Row 75: names that clients choose neither make series in the metrics nor write lines of their own.
#[tokio::test]
async fn row_75_names_in_metrics() {
    let mut heap = Heap::turn().await;
    let hub = limited(|limits| limits.rooms_per_connection_max = 1_000);
    let site = HubSite::start(hub, rooms()).await;
    let series = |text: &str| text.lines().count();
    let before = series(&site.hub.prometheus());
    // Places that are kept whatever happened are there from the first time on.
    drop(with_evil_rooms(&site).await);
    site.has(0).await;
    heap.begin();
    let mut peer = with_evil_rooms(&site).await;
    for line in ["evil77\nsockeye_x 1", "evil77\u{2028}", "evil77\r"] {
        assert!(asks(&mut peer, &format!("join {line}")).await.starts_with("room name"));
    }
    let text = site.hub.prometheus();
    assert!(!text.contains("evil77"), "{text}");
    assert_eq!(series(&text), before);
    assert_eq!(site.hub.metrics().gauges.rooms, 500);
    heap.assert_held(512 * KIB, "five hundred rooms");
    drop(peer);
    site.has(0).await;
    assert_eq!(site.hub.rooms(), []);
    heap.assert_held(64 * KIB, "what is left of them");
    site.end(gracefully()).await;
}
