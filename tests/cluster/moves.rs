//! Sessions that go on on another node than the one they were on, over real sockets.

#![cfg(all(feature = "app", feature = "pubsub"))]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::Connector;
use sockeye::app::client::{ClientOptions, ClientState, EventClient, Happening, Incoming};
use sockeye::app::{App, Context, EventError};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::cluster::ClusterConfig;
use sockeye::hub::{Hub, Shutdown};
use sockeye::pubsub::{Broker, Memory};
use tokio::sync::Notify;

use crate::support::app::{AppClient, AppSite};
use crate::support::cluster::config;
use crate::support::front::Front;
use crate::support::pair::quiet;
use crate::support::pubsub::SOON;
use crate::support::server::within;
use sockeye::testing::Chance;

fn by_token() -> impl sockeye::auth::Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some(user) => Ok(Identity::new(user)),
    })
}

/// What handlers on all nodes have been told, and when the slow ones may go on.
#[derive(Clone, Default)]
struct Seen {
    items: Arc<Mutex<Vec<u64>>>,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

/// Joins when others are heard, notes, echoes, notes numbers, and answers late.
fn app(hub: sockeye::hub::HubBuilder, seen: &Seen) -> App {
    let (items, slow) = (seen.items.clone(), seen.clone());
    App::new()
        .authenticator(by_token())
        .hub(hub)
        .on("join", async |context: Context, payload: Value| -> Result<Value, EventError> {
            let room = payload["room"].as_str().unwrap_or_default();
            context.join(room)?;
            Ok(json!({"isHeard": context.hub().room(room).subscribed(SOON).await}))
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
        .on("item", move |_: Context, payload: Value| {
            items.lock().unwrap().push(payload["n"].as_u64().unwrap());
            async {}
        })
        .on("slow", move |_: Context, payload: Value| {
            let slow = slow.clone();
            async move {
                slow.begun.notify_one();
                slow.go_on.notified().await;
                payload
            }
        })
}

async fn site(broker: impl Broker, config: ClusterConfig, seen: &Seen) -> AppSite {
    AppSite::start(app(Hub::builder().cluster(broker, config), seen)).await
}

/// So many nodes that know each other.
async fn sites<B: Broker + Clone>(broker: &B, count: usize) -> (Vec<AppSite>, Seen) {
    let (mut sites, seen) = (Vec::new(), Seen::default());
    for _ in 0..count {
        sites.push(site(broker.clone(), config(), &seen).await);
    }
    meet(&sites).await;
    (sites, seen)
}

pub(crate) async fn meet(sites: &[AppSite]) {
    for site in sites {
        until(|| site.running.hub().cluster().others().len() == sites.len() - 1).await;
    }
}

pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What a client has to know to come back.
#[derive(Clone, Debug)]
struct Ticket {
    id: String,
    token: String,
}

impl Ticket {
    fn of(opening: &Value) -> Self {
        let text = |name: &str| opening[name].as_str().unwrap().to_owned();
        Self { id: text("sessionId"), token: text("token") }
    }

    fn request(&self, received: u64) -> Value {
        json!({"sessionId": self.id, "token": self.token, "received": received})
    }
}

async fn begin(site: &AppSite, user: Option<&str>) -> (AppClient, Ticket) {
    let mut client = site.try_connect("/ws", user).await.unwrap();
    let ticket = Ticket::of(&client.created().await);
    (client, ticket)
}

async fn come_back(
    site: &AppSite,
    (ticket, user): (&Ticket, Option<&str>),
    received: u64,
    target: &str,
) -> (AppClient, Value) {
    let mut client = site.try_connect(target, user).await.unwrap();
    if target == "/ws" {
        client.created().await;
    }
    client.send("sys.reconnect.request", ticket.request(received)).await;
    let mut restored = client.message().await;
    while target == "/ws" && restored["e"] == "news" {
        // Of the session that is given up.
        restored = client.message().await;
    }
    assert_eq!(restored["e"], "sys.session.restored", "{restored}");
    (client, restored["p"].clone())
}

fn is_here(site: &AppSite, ticket: &Ticket) -> bool {
    site.running.sessions().get(&ticket.id).is_some()
}

async fn suspended(site: &AppSite, ticket: &Ticket) {
    let sessions = site.running.sessions();
    until(|| sessions.get(&ticket.id).is_some_and(|session| session.is_suspended())).await;
}

/// Each node says something to the room, to the user, and to all.
fn tell(sites: &[AppSite], n: u64) {
    for (node, site) in sites.iter().enumerate() {
        let running = &site.running;
        let audiences = [
            ("room", running.to_room("lobby")),
            ("user", running.to_user("ann")),
            ("all", running.to_all()),
        ];
        for (to, audience) in audiences {
            audience.send("news", &json!({"to": to, "node": node, "n": n})).unwrap();
        }
    }
}

/// The numbers of what was told, by audience and node: they follow one another.
#[derive(Default)]
struct Heard {
    last: HashMap<(String, u64), u64>,
    received: u64,
}

impl Heard {
    fn take(&mut self, news: &Value) {
        let key = (news["to"].as_str().unwrap().to_owned(), news["node"].as_u64().unwrap());
        let n = news["n"].as_u64().unwrap();
        let last = self.last.insert(key, n);
        assert_eq!(n, last.map_or(1, |last| last + 1), "{news} after {last:?}");
        self.received += 1;
    }

    /// Until all of it has come, once and in order.
    async fn read(&mut self, client: &mut AppClient, nodes: usize, n: u64) {
        while self.last.len() < 3 * nodes || self.last.values().any(|last| *last < n) {
            self.take(&client.expect("news").await);
        }
    }
}

/// Wherever the client comes back, it has what was said on all nodes, once and in order.
async fn goes_on<B: Broker + Clone>(broker: B) {
    let (sites, _) = sites(&broker, 3).await;
    let ann = Some("ann");
    let (mut client, mut ticket) = begin(&sites[0], ann).await;
    client.ask("join", json!({"room": "lobby"}), "j").await;
    assert_eq!(client.expect("join.ack").await, json!({"isHeard": true}));
    client.ask("note", json!({"text": "salmon"}), "n").await;
    client.expect("note.ack").await;
    let mut heard = Heard { received: 2, ..Heard::default() };
    let (mut n, mut sent, mut at) = (0, 2, 0);
    for (round, to) in [1, 2, 0, 0, 1, 0].into_iter().enumerate() {
        n += 1;
        tell(&sites, n);
        heard.read(&mut client, 3, n).await;
        // These are on their way, or wait, or neither.
        n += 1;
        tell(&sites, n);
        if round % 2 == 0 {
            drop(client);
            suspended(&sites[at], &ticket).await;
            n += 1;
            tell(&sites, n);
        }
        let target = if round % 3 == 0 { "/ws" } else { "/ws?resume=1" };
        let (mut next, restored) =
            come_back(&sites[to], (&ticket, ann), heard.received, target).await;
        assert_eq!(restored["restored"], true, "round {round}: {restored}");
        assert_eq!(
            (&restored["sent"], &restored["received"]),
            (&json!(heard.received), &json!(sent))
        );
        assert_eq!(restored["sessionId"], ticket.id.as_str());
        assert_ne!(restored["token"], ticket.token.as_str());
        for (number, site) in sites.iter().enumerate() {
            assert_eq!(is_here(site, &ticket), number == to);
            assert_eq!(site.running.hub().room("lobby").len(), usize::from(number == to));
        }
        n += 1;
        tell(&sites, n);
        heard.read(&mut next, 3, n).await;
        next.send("noted?", json!({})).await;
        assert_eq!(next.expect("noted?.ack").await, json!({"is": "salmon"}));
        (heard.received, sent) = (heard.received + 1, sent + 1);
        (client, ticket, at) = (next, Ticket::of(&restored), to);
    }
}

/// BY-42, SE-03, BY-31: a session moves from node to node and back, with what it had not received, what was said meanwhile on
/// all nodes to its room, to its user and to all, its counts, its room, its metadata; the token is another each time.
#[tokio::test]
async fn by_42_a_session_goes_on_on_any_node() {
    goes_on(Memory::new()).await;
}

pub(crate) fn options() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.backoff_first = Duration::from_millis(2);
    options.backoff_max = Duration::from_millis(20);
    options
}

/// Reads until all of it has come; every gap is a failure.
async fn listen(mut incoming: Incoming, nodes: usize, last: u64) -> u64 {
    let (mut heard, mut restored) = (Heard::default(), 0);
    while heard.last.len() < 3 * nodes || heard.last.values().any(|n| *n < last) {
        match within(incoming.next()).await.expect("it goes on") {
            Happening::Event(event) if event.name() == "news" => {
                heard.take(&event.payload::<Value>().unwrap());
            }
            Happening::Restored => restored += 1,
            Happening::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
    restored
}

/// BY-42, SE-03, row 59: while a client moves between three nodes again and again, all that three nodes say and all that it
/// sends arrives once and in order, as the ledger at both ends shows.
#[tokio::test]
async fn by_42_nothing_is_lost_with_traffic_both_ways() {
    const ROUNDS: u64 = 60;
    let (sites, seen) = sites(&Memory::new(), 3).await;
    let addresses: Vec<_> = sites.iter().map(|site| site.running.local_addrs()[0]).collect();
    let front = Front::start(addresses[0]).await;
    let connector =
        Connector::new(quiet()).header(http::header::AUTHORIZATION, "Bearer ann".parse().unwrap());
    let url = format!("ws://{}/ws", front.address);
    let (client, incoming) = EventClient::connect(connector, &url, options()).unwrap();
    let joined: Value = client.request("join", &json!({"room": "lobby"}), SOON).await.unwrap();
    assert_eq!(joined, json!({"isHeard": true}));
    let listening = tokio::spawn(listen(incoming, 3, ROUNDS));
    let (mut chance, mut sent) = (Chance::new(42), 0);
    for n in 1..=ROUNDS {
        tell(&sites, n);
        for _ in 0..chance.below(4) {
            sent += 1;
            client.send("item", &json!({"n": sent})).unwrap();
        }
        for _ in 0..chance.below(50) {
            tokio::task::yield_now().await;
        }
        if n % 3 == 0 {
            front.to.send_replace(addresses[chance.below(3) as usize]);
        }
        if n % 5 == 0 {
            // A whole life of a connection now and then: what was under way has come.
            let echoed: Value = client.request("echo", &json!({"n": n}), SOON).await.unwrap();
            assert_eq!(echoed["n"], n);
        }
    }
    within(client.flushed()).await.unwrap();
    let restored = listening.await.unwrap();
    assert!(restored >= 5, "{restored}");
    assert_eq!(*seen.items.lock().unwrap(), (1..=sent).collect::<Vec<_>>());
    assert!(matches!(*client.state().borrow(), ClientState::Open));
}

/// SE-03: what waits behind a handler when its connection is lost is not handled beside what comes on the next one: it comes again there, in
/// its turn, and once.
#[tokio::test]
async fn what_waits_behind_a_handler_keeps_its_turn() {
    let (sites, seen) = sites(&Memory::new(), 1).await;
    let address = sites[0].running.local_addrs()[0];
    let front = Front::start(address).await;
    let url = format!("ws://{}/ws", front.address);
    let (client, mut incoming) =
        EventClient::connect(Connector::new(quiet()), &url, options()).unwrap();
    client.send("slow", &json!({})).unwrap();
    within(seen.begun.notified()).await;
    let received = || sites[0].running.hub().metrics().messages_received;
    let before = received();
    (1..=5).for_each(|n| client.send("item", &json!({"n": n})).unwrap());
    until(|| received() >= before + 5).await;
    front.to.send_replace(address);
    while !matches!(within(incoming.next()).await, Some(Happening::Restored)) {}
    client.send("item", &json!({"n": 6})).unwrap();
    drop(incoming);
    within(client.flushed()).await.unwrap();
    until(|| seen.items.lock().unwrap().len() >= 6).await;
    seen.go_on.notify_one();
    drop(client);
    assert_eq!(*seen.items.lock().unwrap(), (1..=6).collect::<Vec<_>>());
}

/// BY-42: of two connections that ask for one session on two nodes at once one has it, and the other is told.
#[tokio::test]
async fn by_42_of_two_at_once_one_has_it() {
    let (sites, _) = sites(&Memory::new(), 3).await;
    for round in 0..20 {
        let (client, ticket) = begin(&sites[0], None).await;
        drop(client);
        let ask = async |site: &AppSite| {
            let mut client = site.silent("/ws?resume=1").await;
            client.send("sys.reconnect.request", ticket.request(0)).await;
            let first = within(client.socket.recv()).await;
            let text = first.ok().flatten().and_then(|first| first.as_text().map(str::to_owned));
            (client, text.is_some_and(|text| text.contains("\"restored\":true")))
        };
        let ((mut one, is_one), (mut other, is_other)) =
            tokio::join!(ask(&sites[1]), ask(&sites[2]));
        // The later one takes it from the earlier one, which may have had it for a moment.
        let has = |site: &AppSite| usize::from(is_here(site, &ticket));
        until(|| sites.iter().map(has).sum::<usize>() == 1).await;
        assert!(is_one || is_other, "round {round}");
        let (winner, loser) = if is_here(&sites[1], &ticket) {
            (&mut one, &mut other)
        } else {
            (&mut other, &mut one)
        };
        winner.ask("echo", json!({"n": round}), "e").await;
        assert_eq!(winner.expect("echo.ack").await, json!({"n": round}));
        let outcome = loser.ended().await;
        assert_eq!(u16::from(outcome.code), 4001, "round {round}: {outcome:?}");
    }
}

/// BY-42, SE-04: with a wrong token, as another user or on another route there is no such session, on whichever node; whoever
/// has it notices nothing.
#[tokio::test]
async fn by_42_a_wrong_token_moves_nothing() {
    let (sites, _) = sites(&Memory::new(), 2).await;
    let ann = Some("ann");
    let (mut client, ticket) = begin(&sites[0], ann).await;
    let mut forged = ticket.token.clone();
    forged.replace_range(..1, if forged.starts_with('A') { "B" } else { "A" });
    let forged = Ticket { token: forged, ..ticket.clone() };
    let unknown = Ticket { id: "hGvU3Ze0S0yY2mNn1oQ4Bw".to_owned(), ..ticket.clone() };
    for (ticket, user) in [(&forged, ann), (&unknown, ann), (&ticket, Some("bob")), (&ticket, None)]
    {
        for target in ["/ws", "/ws?resume=1"] {
            let (mut other, restored) = come_back(&sites[1], (ticket, user), 0, target).await;
            assert_eq!(restored, json!({"restored": false, "reason": "unknown"}));
            other.created().await;
        }
    }
    // More than was sent.
    let (_other, restored) = come_back(&sites[1], (&ticket, ann), 7, "/ws?resume=1").await;
    assert_eq!(restored, json!({"restored": false, "reason": "history_lost"}));
    client.ask("echo", json!({"n": 1}), "e").await;
    assert_eq!(client.expect("echo.ack").await, json!({"n": 1}));
    assert!(is_here(&sites[0], &ticket));
    let counts = sites[0].running.hub().metrics().cluster.unwrap();
    assert_eq!((counts.poisoned, counts.missed, counts.gaps), (0, 0, 0));
}

/// BY-42: what the handler of a lost connection answers when its session is on another node already arrives there.
#[tokio::test]
async fn by_42_a_late_answer_follows_its_session() {
    let (sites, seen) = sites(&Memory::new(), 2).await;
    let (mut client, ticket) = begin(&sites[0], None).await;
    client.ask("slow", json!({"n": 7}), "s").await;
    within(seen.begun.notified()).await;
    drop(client);
    suspended(&sites[0], &ticket).await;
    let (mut client, restored) = come_back(&sites[1], (&ticket, None), 0, "/ws?resume=1").await;
    assert_eq!((&restored["restored"], &restored["received"]), (&json!(true), &json!(1)));
    seen.go_on.notify_one();
    let answer = client.event().await;
    assert_eq!((&answer["e"], &answer["c"]), (&json!("slow.ack"), &json!("s")));
    assert_eq!(answer["p"], json!({"n": 7}));
}

/// BY-42: a node that is gone has taken its sessions with it: the client is told, and begins anew.
#[tokio::test]
async fn by_42_with_its_node_a_session_is_gone() {
    let (mut sites, _) = sites(&Memory::new(), 2).await;
    let (client, ticket) = begin(&sites[1], None).await;
    drop(client);
    drop(sites.pop());
    let (mut client, restored) = come_back(&sites[0], (&ticket, None), 0, "/ws?resume=1").await;
    assert_eq!(restored, json!({"restored": false, "reason": "unknown"}));
    client.created().await;
}

/// BY-42: a node that cannot reach the one that has a session says that there is none, within its time; the session waits
/// where it is, whole.
#[tokio::test]
async fn by_42_what_cannot_be_reached_stays_whole() {
    use sockeye::testing::FaultyBroker;
    let (memory, seen) = (Memory::new(), Seen::default());
    let broker = FaultyBroker::new(memory.clone(), 1);
    let mut short = config();
    short.move_timeout = Duration::from_millis(300);
    let sites = [site(memory, config(), &seen).await, site(broker.clone(), short, &seen).await];
    meet(&sites).await;
    let (mut client, ticket) = begin(&sites[0], None).await;
    client.ask("join", json!({"room": "lobby"}), "j").await;
    client.expect("join.ack").await;
    drop(client);
    suspended(&sites[0], &ticket).await;
    broker.set(|faults| faults.is_paused = true);
    sites[0].running.to_room("lobby").send("news", &json!({"n": 1})).unwrap();
    let (_lost, restored) = come_back(&sites[1], (&ticket, None), 1, "/ws?resume=1").await;
    assert_eq!(restored, json!({"restored": false, "reason": "unknown"}));
    sites[0].running.to_room("lobby").send("news", &json!({"n": 2})).unwrap();
    let (mut client, restored) = come_back(&sites[0], (&ticket, None), 1, "/ws?resume=1").await;
    assert_eq!(restored["restored"], true);
    for n in 1..=2 {
        assert_eq!(client.expect("news").await, json!({"n": n}));
    }
    broker.set(|faults| faults.is_paused = false);
}

/// BY-42: a node that is drained gives its sessions to others, whose clients notice a new connection and nothing else;
/// those for which nobody comes end with it.
#[tokio::test]
async fn by_42_a_drained_node_gives_its_sessions_away() {
    let (mut sites, seen) = sites(&Memory::new(), 2).await;
    let addresses: Vec<_> = sites.iter().map(|site| site.running.local_addrs()[0]).collect();
    let front = Front::start(addresses[1]).await;
    let connector =
        Connector::new(quiet()).header(http::header::AUTHORIZATION, "Bearer ann".parse().unwrap());
    let url = format!("ws://{}/ws", front.address);
    let (client, incoming) = EventClient::connect(connector, &url, options()).unwrap();
    let joined: Value = client.request("join", &json!({"room": "lobby"}), SOON).await.unwrap();
    assert_eq!(joined, json!({"isHeard": true}));
    let (lonely, ticket) = begin(&sites[1], None).await;
    drop(lonely);
    suspended(&sites[1], &ticket).await;
    tell(&sites[..1], 1);
    let drained = sites.pop().unwrap();
    let listening = tokio::spawn(listen(incoming, 1, 3));
    // What comes back finds the other node.
    front.to.send_if_modified(|to| {
        *to = addresses[0];
        false
    });
    let draining = drained.running.drain(Shutdown::new(Duration::from_secs(2)));
    let going_on = async {
        let session = client.session().unwrap();
        until(|| sites[0].running.sessions().get(&session.id).is_some()).await;
        for n in 2..=3 {
            tell(&sites, n);
            client.send("item", &json!({"n": n})).unwrap();
        }
        within(client.flushed()).await.unwrap();
    };
    let (report, ()) = tokio::join!(draining, going_on);
    report.unwrap();
    assert_eq!(listening.await.unwrap(), 1);
    assert_eq!(*seen.items.lock().unwrap(), [2, 3]);
    let (_new, restored) = come_back(&sites[0], (&ticket, None), 0, "/ws?resume=1").await;
    assert_eq!(restored, json!({"restored": false, "reason": "unknown"}));
}

/// BY-42: the same over Redis, the real program.
#[cfg(all(unix, feature = "redis"))]
mod redis {
    use super::goes_on;
    use crate::support::brokers::Program;
    use crate::support::redis::{broker_at, command};

    #[tokio::test]
    async fn by_42_over_redis() {
        let Some(server) = Program::start(command).await else { return };
        goes_on(broker_at(server.address())).await;
    }
}

/// BY-42: the same over NATS, the real program.
#[cfg(all(unix, feature = "nats"))]
mod nats {
    use super::goes_on;
    use crate::support::nats::{LOGIN, Server};

    #[tokio::test]
    async fn by_42_over_nats() {
        let Some(server) = Server::start(LOGIN).await else { return };
        goes_on(server.broker()).await;
    }
}
