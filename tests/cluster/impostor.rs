//! A node that is made of bytes only: what it says of sessions that move is right, wrong, or half of it.

#![cfg(all(feature = "app", feature = "pubsub"))]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sockeye::app::{App, Context};
use sockeye::hub::Hub;
use sockeye::hub::cluster::{Body, Claim, Envelope, NodeId, Refusal, SessionState, Waiting};
use sockeye::protocol::{Compress, PreparedMessage};
use sockeye::pubsub::{Bus, BusEvents, Incoming, Memory};
use sockeye::{Message, MessageRef, SendError, Sender};

use crate::support::app::{AppClient, AppSite};
use crate::support::cluster::config;
use crate::support::pubsub::SOON;
use crate::support::server::within;

const NODE: NodeId = NodeId::from_bytes([7; 16]);

struct Impostor {
    bus: Bus,
    events: BusEvents,
    number: u64,
    /// The node it speaks to.
    other: NodeId,
    /// All bytes that came, one after the other.
    came: Vec<u8>,
}

impl Impostor {
    async fn new(memory: &Memory, other: NodeId) -> Self {
        let (bus, events) = Bus::start(memory.clone(), config().bus);
        for channel in [format!("n-{NODE}"), format!("n-{other}"), "nodes".into(), "r-lobby".into()]
        {
            bus.subscribe(&channel).unwrap();
            assert!(bus.subscribed(&channel, SOON).await);
        }
        Self { bus, events, number: 0, other, came: Vec::new() }
    }

    fn say(&mut self, body: Body) {
        self.number += 1;
        let envelope = Envelope { node: NODE, stream: 1, number: self.number, body };
        self.bus.publish(&format!("n-{}", self.other), envelope.encode()).unwrap();
    }

    /// What the other node says to this one next.
    async fn heard(&mut self) -> Body {
        let own = format!("n-{NODE}");
        loop {
            let Some(Incoming::Message(message)) = within(self.events.next()).await else {
                panic!("a message")
            };
            self.came.extend_from_slice(&message.payload);
            if *message.channel == *own {
                return Envelope::decode(&message.payload).unwrap().body;
            }
        }
    }

    /// What comes of a claim or a settlement.
    async fn told(&mut self, asked: u64) -> Result<SessionState, Refusal> {
        let mut whole = Vec::new();
        loop {
            match self.heard().await {
                Body::Part { id, is_last, bytes } if id == asked => {
                    whole.extend_from_slice(&bytes);
                    if is_last {
                        return Ok(SessionState::decode(&whole.into()).unwrap());
                    }
                }
                Body::Refused { id, refusal } if id == asked => return Err(refusal),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn claim(&mut self, claim: Claim) -> Result<SessionState, Refusal> {
        let id = claim.id;
        self.say(Body::Claim(claim));
        self.told(id).await
    }

    fn settle(&mut self, id: u64, number: u64, is_taken: bool, session: &str) {
        self.say(Body::Settle { id, number, is_taken, session: session.into() });
    }
}

fn claim(id: u64, number: u64, opening: &Value) -> Claim {
    Claim {
        id,
        number,
        is_head_only: false,
        received: 1,
        token: Sha256::digest(opening["token"].as_str().unwrap().as_bytes()).into(),
        session: opening["sessionId"].as_str().unwrap().into(),
        route: "Envelope /ws".into(),
        user: None,
    }
}

async fn site(memory: &Memory) -> (AppSite, NodeId) {
    let app = App::new()
        .hub(Hub::builder().cluster(memory.clone(), config()))
        .on("join", async |context: Context, _: Value| {
            context.join("lobby").unwrap();
            json!({})
        })
        .on("echo", async |_: Context, payload: Value| payload);
    let site = AppSite::start(app).await;
    let node = site.running.hub().cluster().node().unwrap();
    (site, node)
}

/// A client in the lobby, and how its session was opened. One message has come.
async fn member(site: &AppSite) -> (AppClient, Value) {
    let mut client = site.silent("/ws").await;
    let opening = client.created().await;
    client.ask("join", json!({}), "j").await;
    client.expect("join.ack").await;
    (client, opening)
}

fn say(site: &AppSite, n: u64) {
    site.running.to_room("lobby").send("news", &json!({"n": n})).unwrap();
}

async fn come_back(site: &AppSite, opening: &Value, received: u64) -> (AppClient, Value) {
    let mut client = site.silent("/ws?resume=1").await;
    let (id, token) = (&opening["sessionId"], &opening["token"]);
    let payload = json!({"sessionId": id, "token": token, "received": received});
    client.send("sys.reconnect.request", payload).await;
    let restored = client.expect("sys.session.restored").await;
    (client, restored)
}

fn texts(state: &SessionState) -> Vec<Value> {
    let texts = state.messages.iter().map(|message| serde_json::from_slice(&message.payload));
    texts.map(|text: Result<Value, _>| text.unwrap()["p"]["n"].clone()).collect()
}

/// BY-42, A29: a node that asks for a session, is told of it and says nothing more, as if it had died: the session is where it
/// was, and nothing that was said meanwhile is missing.
#[tokio::test]
async fn by_42_who_dies_in_the_middle_has_taken_nothing() {
    let memory = Memory::new();
    let (site, node) = site(&memory).await;
    let (mut client, opening) = member(&site).await;
    let mut impostor = Impostor::new(&memory, node).await;
    say(&site, 1);
    let state = impostor.claim(claim(1, 1, &opening)).await.unwrap();
    assert_eq!((state.sent, state.received, state.rooms.len()), (2, 1, 1));
    assert_eq!(texts(&state), [1]);
    // Whoever had it is told as by another connection.
    assert_eq!(u16::from(client.ended().await.code), 4001);
    say(&site, 2);
    let (mut client, restored) = come_back(&site, &opening, 1).await;
    assert_eq!(restored["restored"], true);
    for n in 1..=2 {
        assert_eq!(client.expect("news").await, json!({"n": n}));
    }
    // It is too late.
    impostor.settle(2, 1, true, &state_id(&opening));
    assert_eq!(impostor.told(2).await, Err(Refusal::TakenOver));
    client.ask("echo", json!({"n": 3}), "e").await;
    assert_eq!(client.expect("echo.ack").await, json!({"n": 3}));
}

fn state_id(opening: &Value) -> String {
    opening["sessionId"].as_str().unwrap().to_owned()
}

/// Sends a message of each kind; gives them as one node tells another of them.
fn said_alone(sender: &Sender, text: &str) -> Vec<Waiting> {
    let payload = Bytes::from(text.to_owned());
    let prepared = PreparedMessage::new(MessageRef::Text(text)).compress(Compress::Never);
    sender.try_send(Message::text(text)).unwrap();
    sender.try_send(Message::binary(payload.clone())).unwrap();
    sender.try_send_latest(7, Message::text(text)).unwrap();
    sender.try_send_prepared(&prepared).unwrap();
    // It belongs to a connection.
    let ping = Message::Ping(Bytes::from_static(b"not told"));
    assert_eq!(sender.try_send(ping), Err(SendError::Closed));
    let told =
        |key, is_text, compress| Waiting { key, is_text, compress, payload: payload.clone() };
    vec![
        told(None, true, Compress::Auto),
        told(None, false, Compress::Auto),
        told(Some(7), true, Compress::Auto),
        told(None, true, Compress::Never),
    ]
}

/// BY-42: whoever asks last has it: of two moves only the second may end; and what was said between what was told and the end is
/// told at the end, if it was said to that session alone.
#[tokio::test]
async fn by_42_whoever_asks_last_has_it() {
    let memory = Memory::new();
    let (site, node) = site(&memory).await;
    let (client, opening) = member(&site).await;
    drop(client);
    let mut impostor = Impostor::new(&memory, node).await;
    let session = state_id(&opening);
    for number in 1..=2 {
        assert!(impostor.claim(claim(number, number, &opening)).await.is_ok());
    }
    impostor.settle(3, 1, true, &session);
    assert_eq!(impostor.told(3).await, Err(Refusal::TakenOver));
    let peer = site.running.hub().peers().pop().unwrap();
    // The one is said to all by all nodes, the other to this one alone.
    say(&site, 1);
    let alone = json!({"v": "1.0", "e": "news", "p": {"n": 2}}).to_string();
    let mut told = said_alone(peer.sender(), &alone);
    impostor.settle(4, 2, true, &session);
    let rest = impostor.told(4).await.unwrap();
    assert_eq!((&rest.messages, &*rest.rooms), (&told, &[Arc::from("lobby")][..]));
    assert!(site.running.sessions().is_empty() && site.running.hub().is_empty());
    // Whoever still has its sender speaks to where it is.
    assert_eq!(said_alone(peer.sender(), &alone), told);
    for message in told.drain(..) {
        let onward = Body::Onward { session: session.as_str().into(), message };
        assert_eq!(impostor.heard().await, onward);
    }
    // Who comes with the token is told where it is, and nobody else.
    assert_eq!(impostor.claim(claim(5, 3, &opening)).await, Err(Refusal::Moved(NODE)));
    let mut wrong = claim(6, 3, &opening);
    wrong.token[31] ^= 1;
    assert_eq!(impostor.claim(wrong).await, Err(Refusal::Unknown));
}

/// BY-42, row 59: who takes too long, while more and more is said to the session alone, does not get it: it waits on where it was.
#[tokio::test]
async fn by_42_a_move_that_takes_too_much_comes_to_nothing() {
    const ALONE_MAX: usize = 256;
    for more in [0, 1] {
        let memory = Memory::new();
        let (site, node) = site(&memory).await;
        let (client, opening) = member(&site).await;
        drop(client);
        let mut impostor = Impostor::new(&memory, node).await;
        assert!(impostor.claim(claim(1, 1, &opening)).await.is_ok());
        let peer = site.running.hub().peers().pop().unwrap();
        for n in 0..ALONE_MAX + more {
            peer.sender().try_send(Message::text(n.to_string())).unwrap();
        }
        impostor.settle(2, 1, true, &state_id(&opening));
        let told = impostor.told(2).await;
        assert_eq!(told.is_ok(), more == 0);
        assert_eq!(site.running.sessions().len(), more);
    }
}

/// BY-42: whoever says that it does not take it after all has lost its turn; another who says so has no say.
#[tokio::test]
async fn by_42_a_move_that_is_given_up_is_over() {
    for (given_up, is_over) in [(1, true), (2, false)] {
        let memory = Memory::new();
        let (site, node) = site(&memory).await;
        let (client, opening) = member(&site).await;
        drop(client);
        let mut impostor = Impostor::new(&memory, node).await;
        let session = state_id(&opening);
        assert!(impostor.claim(claim(1, 1, &opening)).await.is_ok());
        impostor.settle(2, given_up, false, &session);
        impostor.settle(3, 1, true, &session);
        let told = impostor.told(3).await;
        assert_eq!(told.err(), is_over.then_some(Refusal::TakenOver));
        assert_eq!(site.running.sessions().len(), usize::from(is_over));
    }
}

/// BY-42, SE-04: a claim with anything that is not right is refused, the session goes on, and no token is among what nodes say.
#[tokio::test]
async fn by_42_a_wrong_claim_changes_nothing() {
    let memory = Memory::new();
    let (site, node) = site(&memory).await;
    let (mut client, opening) = member(&site).await;
    let mut impostor = Impostor::new(&memory, node).await;
    let right = claim(1, 1, &opening);
    let differs = |places: &[usize]| {
        let mut token = right.token;
        places.iter().for_each(|place| token[*place] ^= 1);
        Claim { token, ..right.clone() }
    };
    let wrong = [
        (differs(&[0]), Refusal::Unknown),
        (differs(&[31]), Refusal::Unknown),
        (differs(&[3, 4]), Refusal::Unknown),
        (Claim { session: "x".repeat(100_000).into(), ..right.clone() }, Refusal::Unknown),
        (Claim { route: "Tagged /ws".into(), ..right.clone() }, Refusal::Unknown),
        (Claim { user: Some("ann".into()), ..right.clone() }, Refusal::Unknown),
        (Claim { received: 9, ..right.clone() }, Refusal::HistoryLost),
        (Claim { received: u64::MAX, ..right.clone() }, Refusal::HistoryLost),
    ];
    for (claim, refusal) in wrong {
        assert_eq!(impostor.claim(claim).await, Err(refusal));
    }
    // What answers no question of that node's, and is of no session there.
    for id in [0, 1, u64::MAX] {
        impostor.say(Body::Part { id, is_last: true, bytes: Bytes::from_static(b"anything") });
        impostor.say(Body::Refused { id, refusal: Refusal::Moved(NODE) });
        impostor.settle(id, id, false, &state_id(&opening));
    }
    let message =
        Waiting { key: None, is_text: false, compress: Compress::Auto, payload: Bytes::new() };
    impostor.say(Body::Onward { session: "nobody's".into(), message });
    // Only to look at it does nothing.
    let head = impostor.claim(Claim { is_head_only: true, ..right }).await.unwrap();
    assert_eq!((&*head.rooms, head.sent), (&[Arc::from("lobby")][..], 0));
    client.ask("echo", json!({"n": 1}), "e").await;
    assert_eq!(client.expect("echo.ack").await, json!({"n": 1}));
    let secret = &opening["token"].as_str().unwrap().as_bytes()[..43];
    assert!(!impostor.came.windows(secret.len()).any(|came| came == secret));
    let counts = site.running.hub().metrics().cluster.unwrap();
    assert_eq!((counts.missed, counts.gaps, counts.poisoned), (0, 0, 0));
}

/// BY-42: what another node passes on to a session comes as it was sent there.
#[tokio::test]
async fn by_42_what_is_passed_on_comes() {
    let memory = Memory::new();
    let (site, node) = site(&memory).await;
    let (mut client, opening) = member(&site).await;
    let mut impostor = Impostor::new(&memory, node).await;
    let text = json!({"v": "1.0", "e": "news", "p": {"n": 2}}).to_string();
    let kinds = [
        (None, true, Compress::Auto),
        (None, false, Compress::Auto),
        (Some(7), true, Compress::Auto),
        (None, true, Compress::Never),
    ];
    for (key, is_text, compress) in kinds {
        let message = Waiting { key, is_text, compress, payload: Bytes::from(text.clone()) };
        impostor.say(Body::Onward { session: state_id(&opening).as_str().into(), message });
        // Beside what acknowledges.
        let came = loop {
            let came = within(client.socket.recv()).await.unwrap().unwrap();
            if came.as_bytes() == text.as_bytes() {
                break came;
            }
            assert!(came.as_text().is_some_and(|text| text.contains("sys.ack")), "{came:?}");
        };
        assert_eq!(came.as_text().is_some(), is_text);
    }
}

/// BY-42: a node that says it has a session and then tells nonsense, or nothing, costs its client the time that a move may
/// take.
#[tokio::test]
async fn by_42_nonsense_is_no_session() {
    let memory = Memory::new();
    let mut short = config();
    short.move_timeout = Duration::from_millis(200);
    let app = App::new().hub(Hub::builder().cluster(memory.clone(), short));
    let site = AppSite::start(app).await;
    let node = site.running.hub().cluster().node().unwrap();
    let mut impostor = Impostor::new(&memory, node).await;
    let beat = Body::Heartbeat { interval_ms: 60_000, digest_ms: 60_000, lost: 0 };
    let beat = Envelope { node: NODE, stream: 1, number: 1, body: beat };
    impostor.bus.publish("nodes", beat.encode()).unwrap();
    let place = "BwcHBwcHBwcHBwcHBwcHBw";
    let opening = json!({
        "sessionId": "hGvU3Ze0S0yY2mNn1oQ4Bw",
        "token": format!("N3mGv9cT0r4m8Wm8yqkq1d0Jm1uI0V2b5l7s6Zc3xYk{place}"),
    });
    // No session has such a name, so nobody is asked.
    for name in ["", "hGvU3Ze0S0yY2mNn1oQ4B", "hGvU3Ze0S0yY2mNn1oQ4Bww"] {
        let nameless = json!({"sessionId": name, "token": opening["token"]});
        let (_client, restored) = come_back(&site, &nameless, 0).await;
        assert_eq!(restored, json!({"restored": false, "reason": "unknown"}));
    }
    for answer in [Some(&[0xff; 40][..]), Some(&[]), None] {
        let asking = come_back(&site, &opening, 0);
        let answering = async {
            let Body::Claim(claim) = impostor.heard().await else { panic!("a claim") };
            assert!(claim.is_head_only);
            assert_eq!(*claim.session, opening["sessionId"]);
            if let Some(bytes) = answer {
                let bytes = Bytes::from_static(bytes);
                impostor.say(Body::Part { id: claim.id, is_last: true, bytes });
            }
            // It will not be had.
            let settled = impostor.heard().await;
            assert!(matches!(settled, Body::Settle { is_taken: false, .. }), "{settled:?}");
        };
        let ((_client, restored), ()) = tokio::join!(asking, answering);
        assert_eq!(restored, json!({"restored": false, "reason": "unknown"}));
    }
}
