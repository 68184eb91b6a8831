//! Sessions that survive their nodes, by a store.

#![cfg(all(feature = "app", feature = "pubsub"))]

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sockeye::app::{App, Context, EventError};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::metrics::StoreSnapshot;
use sockeye::hub::{Hub, Shutdown};
use sockeye::pubsub::Memory;
use sockeye::session::SessionConfig;
use sockeye::session::stores::{MemoryStore, Put, SessionStore, StoreConfig};

use crate::moves::{meet, until};
use crate::support::app::{AppClient, AppSite};
use crate::support::server::within;
use crate::support::stores::{self, Watched, epoch, holds, is_over};

fn by_token() -> impl sockeye::auth::Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some(user) => Ok(Identity::new(user)),
    })
}

/// Joins a room, notes, and echoes.
pub(crate) fn app(store: impl SessionStore, config: StoreConfig) -> App {
    App::new()
        .authenticator(by_token())
        .session_store_with(store, config)
        .on("join", async |context: Context, payload: Value| -> Result<Value, EventError> {
            context.join(payload["room"].as_str().unwrap_or_default())?;
            Ok(json!({}))
        })
        .on("note", async |context: Context, payload: Value| {
            let text = payload["text"].as_str().unwrap_or_default();
            context.peer().set_metadata("note", text).unwrap();
            json!({})
        })
        .on(
            "noted?",
            async |context: Context, _: Value| json!({"is": context.peer().metadata("note")}),
        )
        .on("echo", async |_: Context, payload: Value| payload)
}

/// A node without others.
pub(crate) async fn alone(store: &(impl SessionStore + Clone)) -> AppSite {
    AppSite::start(app(store.clone(), stores::config())).await
}

/// One of several. A node that is dead is given up soon.
async fn node(memory: &Memory, store: &(impl SessionStore + Clone)) -> AppSite {
    let mut config = crate::support::cluster::config();
    config.move_timeout = Duration::from_millis(100);
    let hub = Hub::builder().cluster(memory.clone(), config);
    AppSite::start(app(store.clone(), stores::config()).hub(hub)).await
}

pub(crate) fn counts(site: &AppSite) -> StoreSnapshot {
    site.running.hub().metrics().store.unwrap()
}

/// What a client has to know to come back.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Ticket {
    fn of(opening: &Value) -> Self {
        let text = |name: &str| opening[name].as_str().unwrap().to_owned();
        Self { id: text("sessionId"), token: text("token") }
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.token.as_bytes()).into()
    }
}

/// A client with its session, in the lobby, where something is noted about it. Two messages have come.
pub(crate) async fn ann(site: &AppSite) -> (AppClient, Ticket) {
    let mut client = site.try_connect("/ws", Some("ann")).await.unwrap();
    let ticket = Ticket::of(&client.created().await);
    client.ask("join", json!({"room": "lobby"}), "j").await;
    client.expect("join.ack").await;
    client.ask("note", json!({"text": "salmon"}), "n").await;
    client.expect("note.ack").await;
    (client, ticket)
}

async fn come_back_as(
    site: &AppSite,
    user: Option<&str>,
    ticket: &Ticket,
    counts: Value,
) -> (AppClient, Value) {
    let mut client = site.try_connect("/ws?resume=1", user).await.unwrap();
    let mut request = json!({"sessionId": ticket.id, "token": ticket.token});
    request.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
    client.send("sys.reconnect.request", request).await;
    let restored = client.message().await;
    assert_eq!(restored["e"], "sys.session.restored", "{restored}");
    (client, restored["p"].clone())
}

pub(crate) async fn come_back(
    site: &AppSite,
    ticket: &Ticket,
    received: u64,
) -> (AppClient, Value) {
    come_back_as(site, Some("ann"), ticket, json!({"received": received})).await
}

pub(crate) async fn is_unknown(site: &AppSite, user: Option<&str>, ticket: &Ticket) {
    let (_client, restored) = come_back_as(site, user, ticket, json!({"received": 2})).await;
    assert_eq!(restored, json!({"restored": false, "reason": "unknown"}));
}

pub(crate) fn say(site: &AppSite, n: u64) {
    site.running.to_room("lobby").send("news", &json!({"n": n})).unwrap();
}

pub(crate) async fn suspended(site: &AppSite, ticket: &Ticket) {
    let sessions = site.running.sessions();
    until(|| sessions.get(&ticket.id).is_some_and(|session| session.is_suspended())).await;
}

fn is_here(site: &AppSite, ticket: &Ticket) -> bool {
    site.running.sessions().get(&ticket.id).is_some()
}

/// What was written comes exactly, and all else of the session is there.
pub(crate) async fn goes_on(site: &AppSite, ticket: &Ticket, expires_ms: u64) {
    let (mut client, restored) = come_back(site, ticket, 2).await;
    let token = restored["token"].as_str().unwrap();
    assert_ne!(token, ticket.token);
    assert_eq!(
        restored,
        json!({"restored": true, "gap": true, "sessionId": ticket.id, "userId": "ann", "token": token,
            "expiresMs": expires_ms, "sent": 2, "received": 2, "ackEvery": 16})
    );
    for n in 1..=3 {
        assert_eq!(client.expect("news").await, json!({"n": n}));
    }
    // In its room, of its user, with what was noted, and counting on.
    say(site, 4);
    assert_eq!(client.expect("news").await, json!({"n": 4}));
    site.running.to_user("ann").send("news", &json!({"n": 5})).unwrap();
    assert_eq!(client.expect("news").await, json!({"n": 5}));
    client.send("noted?", json!({})).await;
    assert_eq!(client.expect("noted?.ack").await, json!({"is": "salmon"}));
    // The gap was told, and is not told again.
    drop(client);
    suspended(site, ticket).await;
    let (_client, restored) = come_back(site, &Ticket::of(&restored), 8).await;
    assert_eq!((&restored["restored"], restored.get("gap")), (&json!(true), None));
    assert_eq!((&restored["sent"], &restored["received"]), (&json!(8), &json!(3)));
}

/// A session of which three messages wait, all of it in the store, and the node that has it.
pub(crate) async fn waiting(site: &AppSite, store: &impl SessionStore) -> Ticket {
    let (client, ticket) = ann(site).await;
    drop(client);
    suspended(site, &ticket).await;
    (1..=3).for_each(|n| say(site, n));
    holds(store, &ticket.id, r#""n":3"#).await;
    ticket
}

/// BY-42: a node is killed, and its session goes on on another one with all that was written.
pub(crate) async fn by_42_survives_its_node(store: impl SessionStore + Clone) {
    let memory = Memory::new();
    let (one, other) = (node(&memory, &store).await, node(&memory, &store).await);
    let ticket = waiting(&one, &store).await;
    drop(one);
    goes_on(&other, &ticket, 120_000).await;
    assert_eq!(counts(&other).restored, 1);
    assert_eq!(epoch(&store, &ticket.id).await, Some(2));
}

/// BY-42: one node without others is killed and started again.
pub(crate) async fn by_42_survives_a_restart(store: impl SessionStore + Clone) {
    let one = alone(&store).await;
    let ticket = waiting(&one, &store).await;
    drop(one);
    goes_on(&alone(&store).await, &ticket, 120_000).await;
}

#[tokio::test]
async fn by_42_a_session_survives_its_node() {
    by_42_survives_its_node(MemoryStore::new()).await;
}

#[tokio::test]
async fn by_42_a_session_survives_a_restart() {
    by_42_survives_a_restart(MemoryStore::new()).await;
}

/// BY-42: a session is written when it begins, and not only when the others have their turn.
#[tokio::test]
async fn by_42_a_session_is_written_when_it_begins() {
    let store = MemoryStore::new();
    let mut config = stores::config();
    config.interval = Duration::from_secs(86_400);
    let site = AppSite::start(app(store.clone(), config)).await;
    // The first turn of all comes with the start.
    for _ in 0..3 {
        let mut client = site.try_connect("/ws", Some("ann")).await.unwrap();
        let ticket = Ticket::of(&client.created().await);
        holds(&store, &ticket.id, ticket.hash()).await;
        let session = site.running.sessions().get(&ticket.id).unwrap();
        assert!(!session.is_suspended(), "not because its connection fell");
    }
}

/// BY-42: until the client has shown that it was told of the gap it is told again.
#[tokio::test]
async fn by_42_the_gap_is_told_until_it_is_heard() {
    let store = MemoryStore::new();
    let one = alone(&store).await;
    let ticket = waiting(&one, &store).await;
    drop(one);
    let other = alone(&store).await;
    for _ in 0..3 {
        // With the token that it has: the answer was lost.
        let (client, restored) = come_back(&other, &ticket, 2).await;
        assert_eq!(restored["gap"], true);
        drop(client);
        suspended(&other, &ticket).await;
    }
    assert_eq!(counts(&other).restored, 1);
}

/// BY-42: also where the session has gone to another node since; a client that comes with the token it was told with the gap
/// has heard of it.
#[tokio::test]
async fn by_42_the_gap_moves_with_the_session() {
    let (memory, store) = (Memory::new(), MemoryStore::new());
    let one = node(&memory, &store).await;
    let sites = [node(&memory, &store).await, node(&memory, &store).await];
    let ticket = waiting(&one, &store).await;
    drop(one);
    meet(&sites).await;
    let [two, three] = sites;
    let (mut shown, mut is_due) = (ticket, true);
    // From the store; from there to the third node, for the answer was lost; and back.
    for (site, before) in [(&two, None), (&three, Some(&two)), (&two, Some(&three))] {
        let (client, restored) = come_back(site, &shown, 2).await;
        assert_eq!((&restored["restored"], restored["gap"] == true), (&json!(true), is_due));
        assert!(before.is_none_or(|before| !is_here(before, &shown)), "it has moved");
        drop(client);
        suspended(site, &shown).await;
        if before.is_some() {
            (shown, is_due) = (Ticket::of(&restored), false);
        }
    }
    assert_eq!((counts(&two).restored, counts(&three).restored), (1, 0));
}

/// BY-42, SE-07: who has the id and no token, or is somebody else, has nothing, and the record is as it was.
#[tokio::test]
async fn by_42_an_impostor_leaves_the_record_untouched() {
    let store = MemoryStore::new();
    let one = alone(&store).await;
    let ticket = waiting(&one, &store).await;
    drop(one);
    let other = alone(&store).await;
    let before = store.get(&ticket.id).await.unwrap();
    let wrong = Ticket { token: "x".repeat(ticket.token.len()), ..ticket.clone() };
    is_unknown(&other, Some("ann"), &wrong).await;
    is_unknown(&other, Some("bob"), &ticket).await;
    is_unknown(&other, None, &ticket).await;
    is_unknown(&other, Some("ann"), &Ticket { id: "x".repeat(22), ..ticket.clone() }).await;
    is_unknown(&other, Some("ann"), &Ticket { id: "*".into(), ..ticket.clone() }).await;
    assert_eq!(store.get(&ticket.id).await.unwrap(), before);
    goes_on(&other, &ticket, 120_000).await;
}

/// BY-42: two nodes that are asked at the same time do not both have it, and the client of the one that has not is told.
#[tokio::test]
async fn by_42_two_nodes_claim_at_once() {
    let (memory, store) = (Memory::new(), MemoryStore::new());
    let one = node(&memory, &store).await;
    let sites = [node(&memory, &store).await, node(&memory, &store).await];
    let ticket = waiting(&one, &store).await;
    drop(one);
    let mut clients = Vec::new();
    for site in &sites {
        let mut client = site.try_connect("/ws?resume=1", Some("ann")).await.unwrap();
        let request = json!({"sessionId": ticket.id, "token": ticket.token, "received": 2});
        client.send("sys.reconnect.request", request).await;
        clients.push(client);
    }
    let [mut first, mut second] = <[AppClient; 2]>::try_from(clients).ok().unwrap();
    // One way or the other: it is told that it has it, or that it has not, or is closed.
    let (first, second) = tokio::join!(has_it(&mut first), has_it(&mut second));
    assert!(first || second, "somebody has it");
    let here = || sites.iter().filter(|site| is_here(site, &ticket)).count();
    until(|| here() == 1).await;
    assert!(epoch(&store, &ticket.id).await >= Some(2));
}

/// Whether it was given the session; where it lost it, with which code.
async fn has_it(client: &mut AppClient) -> bool {
    match within(client.socket.recv()).await {
        Ok(Some(message)) => {
            let restored: Value = serde_json::from_str(message.as_text().unwrap()).unwrap();
            restored["p"]["restored"] == true
        }
        _ => {
            assert_eq!(u16::from(client.socket.outcome().unwrap().code), 4001);
            false
        }
    }
}

/// BY-42: a node that cannot hear the others believes that it has the session still: with its next put it learns that it
/// has not, and so does whoever is connected there.
#[tokio::test]
async fn by_42_a_node_that_is_cut_off_is_told() {
    let store = MemoryStore::new();
    let (one, other) = (alone(&store).await, alone(&store).await);
    let (mut client, ticket) = ann(&one).await;
    holds(&store, &ticket.id, "salmon").await;
    let (mut next, restored) = come_back(&other, &ticket, 2).await;
    assert_eq!((&restored["restored"], &restored["gap"]), (&json!(true), &json!(true)));
    say(&one, 7);
    let ended = client.ended().await;
    assert_eq!(u16::from(ended.code), 4001, "{ended:?}");
    assert!(!is_here(&one, &ticket) && is_here(&other, &ticket));
    until(|| one.running.hub().room("lobby").is_empty()).await;
    assert_eq!((counts(&one).taken_over, counts(&other).taken_over), (1, 0));
    say(&other, 8);
    assert_eq!(next.expect("news").await, json!({"n": 8}));
}

/// BY-42: a session that has moved is written by the node that has it, also when that one dies.
#[tokio::test]
async fn by_42_a_live_move_keeps_the_record_right() {
    let (memory, store) = (Memory::new(), Watched::new(MemoryStore::new()));
    let (one, other) = (node(&memory, &store).await, node(&memory, &store).await);
    let sites = [one, other];
    meet(&sites).await;
    let [one, other] = sites;
    let (client, ticket) = ann(&one).await;
    holds(&store, &ticket.id, "salmon").await;
    let (mut client, restored) = {
        let moved = come_back(&other, &ticket, 2).await;
        drop(client);
        moved
    };
    // Nothing is missing: it came from where it was.
    assert_eq!((&restored["restored"], restored.get("gap")), (&json!(true), None));
    let ticket = Ticket::of(&restored);
    holds(&store, &ticket.id, ticket.hash()).await;
    assert_eq!(epoch(&store, &ticket.id).await, Some(2));
    say(&one, 1);
    assert_eq!(client.expect("news").await, json!({"n": 1}));
    drop(client);
    suspended(&other, &ticket).await;
    say(&one, 2);
    say(&one, 3);
    holds(&store, &ticket.id, r#""n":3"#).await;
    drop(other);
    let (mut client, restored) = come_back(&one, &ticket, 3).await;
    assert_eq!((&restored["restored"], &restored["gap"]), (&json!(true), &json!(true)));
    assert_eq!(client.expect("news").await, json!({"n": 2}));
    assert_eq!(client.expect("news").await, json!({"n": 3}));
    assert_eq!(epoch(&store, &ticket.id).await, Some(3));
    assert_eq!(counts(&one).taken_over, 0);
}

/// BY-42: where the node that a token names is dead, and another one has had the session since, it comes from that one, whole.
#[tokio::test]
async fn by_42_it_comes_from_the_node_that_has_it() {
    let (memory, store) = (Memory::new(), MemoryStore::new());
    let (one, other) = (node(&memory, &store).await, node(&memory, &store).await);
    let ticket = waiting(&one, &store).await;
    drop(one);
    let (client, restored) = come_back(&other, &ticket, 2).await;
    assert_eq!(restored["gap"], true);
    // What it was told was lost with its connection: its token is the one before.
    drop(client);
    suspended(&other, &ticket).await;
    say(&other, 4);
    let sites = [node(&memory, &store).await, other];
    until(|| sites[0].running.hub().cluster().others().contains(&node_of(&sites[1]))).await;
    let (mut client, restored) = come_back(&sites[0], &ticket, 2).await;
    assert_eq!(restored["restored"], true, "{restored}");
    for n in 1..=4 {
        assert_eq!(client.expect("news").await, json!({"n": n}));
    }
    assert!(!is_here(&sites[1], &ticket));
}

fn node_of(site: &AppSite) -> sockeye::hub::cluster::NodeId {
    site.running.hub().cluster().node().unwrap()
}

/// BY-42: when a session ends its record does, also where it has been on other nodes; a former one cannot write it anew.
#[tokio::test]
async fn by_42_with_the_session_its_record_ends() {
    let store = MemoryStore::new();
    let one = alone(&store).await;
    let (mut client, ticket) = ann(&one).await;
    holds(&store, &ticket.id, "salmon").await;
    let other = alone(&store).await;
    let (mut next, restored) = come_back(&other, &ticket, 2).await;
    within(next.socket.close(1000, "")).await.unwrap();
    is_over(&store, &ticket.id).await;
    // What is left of it tells a node that believes to have it.
    say(&one, 1);
    assert_eq!(u16::from(client.ended().await.code), 4001);
    is_unknown(&one, Some("ann"), &Ticket::of(&restored)).await;
    // Of one that was nowhere else nothing is left.
    let (mut client, ticket) = ann(&one).await;
    holds(&store, &ticket.id, "salmon").await;
    within(client.socket.close(1000, "")).await.unwrap();
    is_over(&store, &ticket.id).await;
    assert_eq!(store.get(&ticket.id).await.unwrap(), None);
}

/// BY-42: a node that stops leaves no records of its own behind; one that drains leaves all of them, for others to have.
#[tokio::test]
async fn by_42_the_end_of_a_node() {
    let store = MemoryStore::new();
    let one = alone(&store).await;
    let ticket = waiting(&one, &store).await;
    one.stop().await;
    assert_eq!(store.get(&ticket.id).await.unwrap(), None);
    let mut config = stores::config();
    // It is written when the connection falls, and at the end.
    config.interval = Duration::from_secs(3600);
    let one = AppSite::start(app(store.clone(), config)).await;
    let (client, ticket) = ann(&one).await;
    drop(client);
    suspended(&one, &ticket).await;
    holds(&store, &ticket.id, "salmon").await;
    (1..=3).for_each(|n| say(&one, n));
    within(one.running.drain(Shutdown::new(Duration::from_secs(5)))).await.unwrap();
    goes_on(&alone(&store).await, &ticket, 120_000).await;
}

/// BY-42: the record of a session with a client is written again before its time is over; that of one that waits is there
/// for as long as it waits.
#[tokio::test]
async fn by_42_a_record_outlives_its_session() {
    let store = Watched::new(MemoryStore::new());
    let mut sessions = SessionConfig::default();
    sessions.suspended_for = Duration::from_millis(200);
    let app = app(store.clone(), stores::config()).sessions(sessions);
    let one = AppSite::start(app).await;
    let (client, ticket) = ann(&one).await;
    holds(&store, &ticket.id, "salmon").await;
    let puts = store.puts(&ticket.id).len();
    store.until(|| store.puts(&ticket.id).len() >= puts + 3).await;
    let put = store.puts(&ticket.id).pop().unwrap();
    assert_eq!((put.expected, put.keep_for), (1, Duration::from_millis(200 + 100 + 10_000)));
    drop(client);
    let is_shorter = |put: &Put| put.keep_for <= Duration::from_millis(200 + 10_000);
    store.until(|| store.puts(&ticket.id).last().is_some_and(is_shorter)).await;
    // When it has waited long enough, it has ended.
    is_over(&store, &ticket.id).await;
    assert_eq!(store.puts(&ticket.id).iter().filter(|put| is_shorter(put)).count(), 1);
}

/// BY-42: of messages with one key the latest is written, also where it is as long as the one before.
#[tokio::test]
async fn by_42_the_latest_is_written() {
    let store = MemoryStore::new();
    let one = alone(&store).await;
    let (client, ticket) = ann(&one).await;
    drop(client);
    suspended(&one, &ticket).await;
    for price in ["price 1", "price 2", "price 3"] {
        let session = one.running.sessions().get(&ticket.id).unwrap();
        session.sender().try_send_latest(7, price).unwrap();
        holds(&store, &ticket.id, price).await;
    }
    drop(one);
    let (mut client, restored) = come_back(&alone(&store).await, &ticket, 2).await;
    assert_eq!(restored["restored"], true);
    let latest = within(client.socket.recv()).await.unwrap().unwrap();
    assert_eq!(latest.as_text(), Some("price 3"));
}

/// BY-42: a client that is ahead of the record counts on from where it is; one that claims what cannot be has lost its history.
#[tokio::test]
async fn by_42_a_client_is_ahead_of_the_record() {
    let store = Watched::new(MemoryStore::new());
    let mut config = stores::config();
    config.interval = Duration::from_secs(3600);
    let one = AppSite::start(app(store.clone(), config)).await;
    let (client, ticket) = ann(&one).await;
    drop(client);
    suspended(&one, &ticket).await;
    holds(&store, &ticket.id, "salmon").await;
    let (mut client, restored) = come_back(&one, &ticket, 2).await;
    let ticket = Ticket::of(&restored);
    holds(&store, &ticket.id, ticket.hash()).await;
    // None of this is written.
    for n in 0..5 {
        client.ask("echo", json!({"n": n}), "e").await;
        client.expect("echo.ack").await;
    }
    drop(one);
    let other = alone(&store).await;
    for nonsense in [
        json!({"received": u64::MAX}),
        json!({"received": 1u64 << 40}),
        json!({"received": 7, "acknowledged": u64::MAX}),
    ] {
        let (_client, restored) = come_back_as(&other, Some("ann"), &ticket, nonsense).await;
        assert_eq!(restored, json!({"restored": false, "reason": "history_lost"}));
    }
    assert_eq!(epoch(&store, &ticket.id).await, Some(1));
    let counts = json!({"received": 7, "acknowledged": 6});
    let (mut client, restored) = come_back_as(&other, Some("ann"), &ticket, counts).await;
    assert_eq!((&restored["restored"], &restored["gap"]), (&json!(true), &json!(true)));
    assert_eq!((&restored["sent"], &restored["received"]), (&json!(7), &json!(6)));
    client.ask("echo", json!({"n": 9}), "e").await;
    assert_eq!(client.expect("echo.ack").await, json!({"n": 9}));
    drop(client);
    suspended(&other, &ticket).await;
    // Of a session that is here nothing is believed.
    let ticket = Ticket::of(&restored);
    let counts = json!({"received": 8, "acknowledged": 8});
    let (_client, restored) = come_back_as(&other, Some("ann"), &ticket, counts).await;
    assert_eq!(restored, json!({"restored": false, "reason": "history_lost"}));
    let counts = json!({"received": 8, "acknowledged": 7});
    let (_client, restored) = come_back_as(&other, Some("ann"), &ticket, counts).await;
    assert_eq!((&restored["sent"], &restored["received"]), (&json!(8), &json!(7)));
}
