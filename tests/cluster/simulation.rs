//! Three nodes, a broker that fails in every way, fifty clients and virtual time. Whatever happens: each message comes at
//! most once and in order, what is missing was told before the next one comes, those on the speaker's own node miss nothing, and when
//! the network is good again all nodes agree on who is there and hear each other.
//!
//! A seed that fails is named and can be run alone: `CLUSTER_SEED=n cargo test --all-features --test cluster_simulation`.
//! `CLUSTER_SEEDS=1000` runs so many. A seed decides what happens and when; how long a node waits before it connects again, and the names of
//! nodes, are the system's own chance. Clocks of nodes cannot differ: no time is in any message.

#![cfg(all(feature = "hub", feature = "pubsub"))]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::client::BoxFuture;
use sockeye::hub::cluster::{Body, ClusterGap, Envelope, GapAt, NodeId};
use sockeye::hub::{Hub, PresenceChange, PresenceKind, Profile, Registration, Shutdown};
use sockeye::pubsub::{Broker, BusMessage, Incoming, Memory, PubSub, PubSubError};
use sockeye::{Role, WebSocket};
use tokio::io::duplex;

use crate::support::cluster::{config, pass};
use crate::support::pair::quiet;
use crate::support::streams::Ignore;
use sockeye::testing::Chance;
use sockeye::testing::FaultyBroker;

const ROOMS: [&str; 4] = ["a", "b", "c", "d"];
const USERS: [&str; 8] = ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7"];
const CLIENTS: usize = 50;

/// What is wrong on purpose, so that the simulation shows that it would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// What is missing cannot be seen by its number.
    Unseen,
    /// Some messages come twice as if they were two.
    Twice,
    /// Who leaves is not told, and no list comes.
    Ghosts,
}

/// A broker whose messages are forged on their way to one node.
#[derive(Clone)]
struct Forging {
    broker: FaultyBroker<Memory>,
    planted: Planted,
}

impl Broker for Forging {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        Box::pin(async move {
            let line = self.broker.connect().await?;
            let (planted, shifts) = (self.planted, Mutex::default());
            Ok(Box::new(ForgedLine { line, planted, shifts, again: Mutex::default() })
                as Box<dyn PubSub>)
        })
    }
}

type Shifts = HashMap<(Arc<str>, NodeId), (u64, u64)>;

struct ForgedLine {
    line: Box<dyn PubSub>,
    planted: Planted,
    /// By channel and node: how far numbers are shifted, and how many messages there were.
    shifts: Mutex<Shifts>,
    again: Mutex<Option<BusMessage>>,
}

impl ForgedLine {
    /// `None`: it is swallowed.
    fn forge(&self, message: BusMessage) -> Option<BusMessage> {
        let Ok(mut envelope) = Envelope::decode(&message.payload) else { return Some(message) };
        let key = (message.channel.clone(), envelope.node);
        let mut shifts = self.shifts.lock().unwrap();
        let (shift, count) = shifts.entry(key).or_default();
        let is_message = matches!(envelope.body, Body::Message(_));
        *count += u64::from(is_message);
        let is_chosen = is_message && *count % 5 == 0;
        match (self.planted, &envelope.body) {
            (Planted::Unseen, _) if is_chosen => {
                *shift += 1;
                return None;
            }
            (Planted::Unseen, _) => envelope.number -= (*shift).min(envelope.number - 1),
            (Planted::Twice, _) => {
                envelope.number += *shift;
                if is_chosen {
                    *shift += 1;
                    let again = Envelope { number: envelope.number + 1, ..envelope.clone() };
                    let (channel, payload) = (message.channel.clone(), again.encode().into());
                    *self.again.lock().unwrap() = Some(BusMessage { channel, payload });
                }
            }
            (Planted::Ghosts, Body::Left(_) | Body::Digest { .. } | Body::Users { .. }) => {
                *shift += 1;
                return None;
            }
            (Planted::Ghosts, _) => envelope.number -= (*shift).min(envelope.number - 1),
            (Planted::Nothing, _) => {}
        }
        Some(BusMessage { channel: message.channel, payload: envelope.encode().into() })
    }
}

impl PubSub for ForgedLine {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        self.line.publish(messages)
    }

    fn subscribe<'a>(&'a self, names: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        self.line.subscribe(names)
    }

    fn unsubscribe<'a>(&'a self, names: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        self.line.unsubscribe(names)
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        Box::pin(async move {
            if let Some(again) = self.again.lock().unwrap().take() {
                return Ok(Incoming::Message(again));
            }
            loop {
                match self.line.next().await? {
                    Incoming::Message(message) => {
                        if let Some(message) = self.forge(message) {
                            return Ok(Incoming::Message(message));
                        }
                    }
                    other => return Ok(other),
                }
            }
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        self.line.ping()
    }
}

/// What a node has told, in order with what its clients heard.
#[derive(Default)]
struct Log {
    /// How many messages are told to be missing by room and node.
    missed: HashMap<(String, NodeId), u64>,
    /// Places where anything may be missing.
    anywhere: u64,
    /// Who is in which room as it was told.
    here: BTreeSet<(String, String)>,
}

impl Log {
    fn note_gap(&mut self, gap: &ClusterGap) {
        match (&gap.at, gap.node, gap.missed) {
            (GapAt::Room(room), Some(node), Some(missed)) => {
                *self.missed.entry((room.name().to_owned(), node)).or_default() += missed;
            }
            (GapAt::Anywhere, ..) => self.anywhere += 1,
            _ => {}
        }
    }

    fn note_presence(&mut self, change: &PresenceChange) {
        let Some(user) = &change.user else { return };
        let who = (change.room.name().to_owned(), user.to_string());
        // Joins and leaves alternate for each user.
        match change.kind {
            PresenceKind::Joined => assert!(self.here.insert(who), "{change:?}: is here already"),
            PresenceKind::Left => assert!(self.here.remove(&who), "{change:?}: was not here"),
        }
    }
}

struct Node {
    hub: Hub,
    id: NodeId,
    broker: FaultyBroker<Memory>,
    log: Arc<Mutex<Log>>,
    /// The last number it has said in each room.
    said: HashMap<&'static str, u64>,
}

/// How far somebody has heard one node in one room, and how many were missing in between.
#[derive(Clone, Copy)]
struct Heard {
    number: u64,
    missing: u64,
}

struct Client {
    registration: Registration,
    node: usize,
    user: &'static str,
    rooms: BTreeSet<&'static str>,
    heard: Arc<Mutex<Ear>>,
}

/// What the task of a client knows.
struct Ear {
    own: NodeId,
    log: Arc<Mutex<Log>>,
    /// By node and room, since the client is in it.
    last: HashMap<(String, String), Heard>,
    /// How many were told to be missing when it joined.
    told_before: HashMap<(String, NodeId), u64>,
    /// Messages so far, and those that were missing.
    messages: u64,
    missing: u64,
    /// The last words of nodes.
    final_words: BTreeMap<(String, String), u32>,
    failure: Option<String>,
}

impl Ear {
    /// `node room number`, or a last word without a number.
    fn hear(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        let [node, room, number] = words[..] else { panic!("{text}") };
        let key = (node.to_owned(), room.to_owned());
        if number == "end" {
            *self.final_words.entry(key).or_default() += 1;
            return;
        }
        self.messages += 1;
        let number: u64 = number.parse().unwrap();
        let id = NodeId::from_bytes(u128::from_str_radix(node, 16).unwrap().to_be_bytes());
        let mut missing = 0;
        if let Some(last) = self.last.get(&key) {
            let Some(jump) = number.checked_sub(last.number + 1) else {
                return self.fail(format!("{text} after {}", last.number));
            };
            missing = last.missing + jump;
            self.missing += jump;
            let told = self.told(&(room.to_owned(), id));
            if missing > if id == self.own { 0 } else { told } {
                self.fail(format!("{missing} missing up to {text}, {told} told"));
            }
        }
        self.last.insert(key, Heard { number, missing });
    }

    /// How many were told to be missing there since the client joined.
    fn told(&self, key: &(String, NodeId)) -> u64 {
        let log = self.log.lock().unwrap();
        let of = |told: &HashMap<_, u64>| told.get(key).copied().unwrap_or_default();
        of(&log.missed) - of(&self.told_before)
    }

    /// It begins to hear a room.
    fn join(&mut self, room: &str) {
        // What comes has nothing to do with what it heard when it was in the room before.
        self.last.retain(|(_, known), _| known != room);
        let log = self.log.lock().unwrap();
        for (key, missed) in log.missed.iter().filter(|((known, _), _)| known == room) {
            self.told_before.insert(key.clone(), *missed);
        }
    }

    fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }
}

struct World {
    chance: Chance,
    memory: Memory,
    planted: Planted,
    seed: u64,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    messages: u64,
    missing: u64,
    told: u64,
}

impl World {
    fn new(seed: u64, planted: Planted) -> Self {
        let (chance, memory) = (Chance::new(seed), Memory::new());
        let mut world = Self {
            chance,
            memory,
            planted,
            seed,
            nodes: Vec::new(),
            clients: Vec::new(),
            messages: 0,
            missing: 0,
            told: 0,
        };
        for number in 0..3 {
            let node = world.node(number);
            world.nodes.push(node);
        }
        world
    }

    fn node(&mut self, number: usize) -> Node {
        let broker = FaultyBroker::new(self.memory.clone(), self.chance.any());
        let log = Arc::<Mutex<Log>>::default();
        let (gaps, changes) = (log.clone(), log.clone());
        let mut config = config().on_gap(move |gap| gaps.lock().unwrap().note_gap(gap));
        config.heartbeat_interval = Duration::from_secs(1);
        config.presence_interval = Duration::from_secs(5);
        config.bus.outgoing_messages_max = if self.chance.below(3) == 0 { 20 } else { 10_000 };
        config.bus.incoming_messages_max = if self.chance.below(3) == 0 { 20 } else { 10_000 };
        let planted = if number == 0 { self.planted } else { Planted::Nothing };
        let hub = Hub::builder()
            .on_presence(move |change| changes.lock().unwrap().note_presence(change))
            .cluster(Forging { broker: broker.clone(), planted }, config)
            .build()
            .unwrap();
        let id = hub.cluster().node().unwrap();
        Node { hub, id, broker, log, said: HashMap::new() }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.chance.below(of.len() as u64) as usize]
    }

    fn connect(&mut self) {
        let (node, user) = (self.chance.below(3) as usize, self.pick(&USERS));
        let config = Arc::new(quiet());
        let (ours, theirs) = duplex(64 * 1024);
        let server = WebSocket::from_stream(ours, Role::Server, &config);
        let Node { hub, id, log, .. } = &self.nodes[node];
        let Ok(registration) = hub.register(&server.sender(), Profile::new().user(user)) else {
            return;
        };
        let heard = Arc::new(Mutex::new(Ear {
            own: *id,
            log: log.clone(),
            last: HashMap::new(),
            told_before: HashMap::new(),
            messages: 0,
            missing: 0,
            final_words: BTreeMap::new(),
            failure: None,
        }));
        tokio::spawn(server.run(Ignore));
        let mut client = WebSocket::from_stream(theirs, Role::Client, &config);
        let ear = heard.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = client.recv().await {
                if let Some(text) = message.as_text() {
                    ear.lock().unwrap().hear(text);
                }
            }
        });
        self.clients.push(Client { registration, node, user, rooms: BTreeSet::new(), heard });
    }

    fn disconnect(&mut self, client: usize) {
        let client = self.clients.swap_remove(client);
        self.reckon(&client);
    }

    fn reckon(&mut self, client: &Client) {
        let ear = client.heard.lock().unwrap();
        assert!(ear.failure.is_none(), "seed {}: {}", self.seed, ear.failure.as_ref().unwrap());
        self.messages += ear.messages;
        self.missing += ear.missing;
    }

    async fn join_or_leave(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let room = self.pick(&ROOMS);
        let at = self.chance.below(self.clients.len() as u64) as usize;
        let client = &mut self.clients[at];
        if client.rooms.remove(room) {
            client.registration.leave(room);
            // It reads what was on its way.
            pass(Duration::from_millis(1)).await;
        } else {
            client.heard.lock().unwrap().join(room);
            if client.registration.join(room).is_ok() {
                client.rooms.insert(room);
            }
        }
    }

    fn say(&mut self) {
        let (node, room) = (self.chance.below(3) as usize, self.pick(&ROOMS));
        let count = 1 + self.chance.below(30);
        let Node { hub, id, said, .. } = &mut self.nodes[node];
        for _ in 0..count {
            let number = said.entry(room).or_default();
            *number += 1;
            hub.room(room).broadcast(&*format!("{id} {room} {number}")).unwrap();
        }
    }

    fn fail_somehow(&mut self) {
        let (fault, per_mille) = (self.chance.below(8), self.chance.below(300));
        let delay = Duration::from_millis(self.chance.below(30));
        let broker = &self.nodes[self.chance.below(3) as usize].broker;
        match fault {
            0 => broker.cut(),
            1 => {
                broker.set(|faults| faults.is_away = true);
                broker.cut();
            }
            2 => broker.set(|faults| faults.is_paused = true),
            3 => broker.set(|faults| faults.lost_per_mille = per_mille as u16),
            4 => broker.set(|faults| faults.swallowed_per_mille = per_mille as u16),
            5 => broker.set(|faults| faults.delay = delay),
            _ => heal(broker),
        }
    }

    /// A node dies without a word, or ends, and another takes its place.
    async fn replace(&mut self) {
        let number = self.chance.below(3) as usize;
        if self.chance.below(2) == 0 {
            let ending = Shutdown::new(Duration::from_secs(1));
            self.nodes[number].hub.shutdown(ending).await.unwrap();
        } else {
            let broker = &self.nodes[number].broker;
            broker.set(|faults| faults.is_away = true);
            broker.cut();
        }
        let gone: Vec<usize> =
            (0..self.clients.len()).rev().filter(|at| self.clients[*at].node == number).collect();
        for at in gone {
            self.disconnect(at);
        }
        let node = self.node(number);
        let before = std::mem::replace(&mut self.nodes[number], node);
        self.told += before.log.lock().unwrap().missed.values().sum::<u64>();
        assert_eq!(before.hub.metrics().cluster.unwrap().poisoned, 0);
    }

    async fn step(&mut self) {
        match self.chance.below(40) {
            0 => self.replace().await,
            1..4 => self.fail_somehow(),
            4..8 => {
                if self.clients.len() < CLIENTS {
                    self.connect();
                } else {
                    let at = self.chance.below(CLIENTS as u64) as usize;
                    self.disconnect(at);
                }
            }
            8..20 => self.join_or_leave().await,
            20..32 => self.say(),
            _ => pass(Duration::from_millis(self.chance.below(3000))).await,
        }
    }

    /// At last the network is good: all agree, and hear each other.
    async fn finish(&mut self) {
        for node in &self.nodes {
            heal(&node.broker);
        }
        // There is somebody, whatever was.
        for _ in 0..10 {
            self.connect();
            self.join_or_leave().await;
        }
        pass(Duration::from_secs(60)).await;
        for node in &self.nodes {
            let cluster = node.hub.cluster();
            let connections = cluster.connections(Duration::from_secs(5)).await;
            assert!(connections.is_complete() && connections.answered == 3, "{connections:?}");
            assert_eq!(connections.value, self.clients.len() as u64);
            for room in ROOMS {
                self.check_room(node, room).await;
            }
            assert_eq!(node.hub.metrics().cluster.unwrap().poisoned, 0);
        }
        self.last_words().await;
    }

    /// All nodes see the same members of a room.
    async fn check_room(&self, node: &Node, room: &str) {
        let members: Vec<&Client> =
            self.clients.iter().filter(|client| client.rooms.contains(room)).collect();
        let counted = node.hub.cluster().room_members(room, Duration::from_secs(5)).await;
        assert_eq!((counted.is_complete(), counted.value), (true, members.len() as u64));
        let users: BTreeSet<&str> = members.iter().map(|client| client.user).collect();
        let listed = node.hub.cluster().room_users(room, Duration::from_secs(5)).await;
        assert!(listed.value.iter().map(|user| &**user).eq(users.iter().copied()));
        let is_member_here =
            |client: &&Client| client.registration.hub().unwrap().cluster().node() == Some(node.id);
        let is_looked_after = members.iter().any(is_member_here);
        let seen = node.hub.room(room).users();
        let seen: BTreeSet<&str> = seen.iter().map(|user| &**user).collect();
        let expected = if is_looked_after { users } else { BTreeSet::new() };
        assert_eq!(seen, expected, "seed {}: room {room}", self.seed);
        let log = node.log.lock().unwrap();
        let told = log.here.iter().filter(|(of, _)| of == room).map(|(_, user)| &**user);
        assert!(told.eq(expected.iter().copied()), "seed {}: told in {room}", self.seed);
    }

    /// What each node says last is heard by every member, once.
    async fn last_words(&mut self) {
        for node in &self.nodes {
            for room in ROOMS {
                node.hub.room(room).broadcast(&*format!("{} {room} end", node.id)).unwrap();
            }
        }
        pass(Duration::from_secs(5)).await;
        for client in std::mem::take(&mut self.clients) {
            let heard = client.heard.lock().unwrap().final_words.clone();
            let ids = self.nodes.iter().map(|node| node.id.to_string());
            let expected: BTreeMap<(String, String), u32> = ids
                .flat_map(|id| {
                    client.rooms.iter().map(move |room| ((id.clone(), (*room).to_owned()), 1))
                })
                .collect();
            assert_eq!(heard, expected, "seed {}", self.seed);
            self.reckon(&client);
        }
        let told =
            self.nodes.iter().map(|node| node.log.lock().unwrap().missed.values().sum::<u64>());
        self.told += told.sum::<u64>();
    }
}

fn heal(broker: &FaultyBroker<Memory>) {
    broker.set(|faults| {
        (faults.is_away, faults.is_paused, faults.delay) = (false, false, Duration::ZERO);
        (faults.lost_per_mille, faults.swallowed_per_mille) = (0, 0);
    });
}

/// Messages that came, those that were missing between two that came, and those that were told to be missing.
fn simulate(seed: u64, planted: Planted) -> [u64; 3] {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, planted);
        for _ in 0..CLIENTS / 2 {
            world.connect();
        }
        let steps = 100 + world.chance.below(300);
        for _ in 0..steps {
            world.step().await;
        }
        world.finish().await;
        [world.messages, world.missing, world.told]
    })
}

fn fails(seed: u64, planted: Planted) -> bool {
    std::panic::catch_unwind(|| simulate(seed, planted)).is_err()
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    match (number("CLUSTER_SEED"), number("CLUSTER_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(20),
    }
}

/// BY-33, BY-41, BY-43, A23, A27, A28, A60, rows 70 to 72.
#[test]
fn whatever_happens_nothing_comes_twice_and_nothing_is_missing_unseen() {
    let mut sums = [0; 3];
    for seed in seeds() {
        let run = std::panic::catch_unwind(|| simulate(seed, Planted::Nothing));
        let Ok(counts) = run else { panic!("seed {seed} fails: CLUSTER_SEED={seed}") };
        sums = std::array::from_fn(|at| sums[at] + counts[at]);
    }
    let [came, missing, told] = sums;
    println!("{} seeds: {came} came, {missing} missing between them, {told} told", seeds().count());
    assert!(came > 0 && told >= missing);
}

/// The simulation finds what is wrong.
#[test]
fn what_is_planted_is_found() {
    for planted in [Planted::Unseen, Planted::Twice, Planted::Ghosts] {
        let found = (0..4).filter(|seed| fails(*seed, planted)).count();
        assert!(found >= 2, "{planted:?} was found in {found} of 4 seeds");
    }
}
