//! Three nodes and a broker of flesh and blood for a while: it is killed, stands still, and is cut off from one node or the
//! other, while members listen, wander, come and go, do not read, and flood. Each message comes at most once and in order; what
//! is missing was told by the node before the next one came, or with the end of a session; who stays at a node misses nothing
//! of what that says; what clients give to do is done once; when the network is good again all is heard by all; and nothing
//! is left when all have gone.
//!
//! Nothing here depends on speed. `SOAK_MEMBERS` (60) and `SOAK_SECONDS` (8) are its size and its length, for each broker;
//! `SOAK_SEED` decides what happens, but when is the system's chance.

#![cfg(all(unix, feature = "app", feature = "redis", feature = "nats"))]

#[path = "../support/held.rs"]
mod held;
mod ledger;
mod members;
mod site;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use held::Held;
use members::Listener;
use site::{Fault, Site};
use sockeye::hub::metrics::{DropPolicy, Snapshot};
use sockeye::pubsub::Broker;
use sockeye::testing::Chance;
use support::app::AppClient;
use support::brokers::Program;
use support::cluster::{pass, until};
use support::front::Front;
use support::server::within;
use support::{nats, redis};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const NODES: usize = 3;
const FRONTS: usize = 6;
const MEMBERS_OF_A_ROOM: usize = 10;

/// Rounds of a life before anything is measured, and the least of the one that is.
const ROUNDS_FIRST: u64 = 1;
const ROUNDS_MIN: u64 = 3;

/// What happens in a round before all is well again.
const STEPS: u64 = 12;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn rooms_of(member: usize) -> Vec<String> {
    vec!["all".to_owned(), format!("room-{}", member / MEMBERS_OF_A_ROOM)]
}

/// What is seen of a life.
#[derive(Debug, Default)]
struct Sums {
    rounds: u64,
    came: u64,
    missing: u64,
    told: u64,
    restored: u64,
    lost_sessions: BTreeMap<String, u64>,
    done: u64,
    faults: BTreeMap<Fault, u64>,
    opened: u64,
    sent: u64,
}

struct World {
    site: Site,
    chance: Chance,
    fronts: Vec<Front>,
    listeners: Vec<Listener>,
    passing: Vec<Listener>,
    stalled: Vec<AppClient>,
    /// One number for each listener that ever was.
    names: usize,
    rooms: Vec<String>,
}

impl World {
    async fn new(site: Site, count: usize, seed: u64) -> Self {
        let mut fronts = Vec::new();
        for front in 0..FRONTS {
            fronts.push(Front::start(site.address(front % NODES)).await);
        }
        let rooms: Vec<String> =
            (0..count.div_ceil(MEMBERS_OF_A_ROOM)).map(|room| format!("room-{room}")).collect();
        let mut world = Self {
            site,
            chance: Chance::new(seed),
            fronts,
            listeners: Vec::new(),
            passing: Vec::new(),
            stalled: Vec::new(),
            names: count,
            rooms,
        };
        world.rooms.push("all".to_owned());
        for member in 0..count {
            // Every other one wanders.
            let at = member / 2;
            let way = match member % 2 {
                0 => (world.site.address(at % NODES), Some(at % NODES)),
                _ => (world.fronts[at % FRONTS].address, None),
            };
            world.listeners.push(world.listener(member, way, member));
        }
        world
    }

    fn listener(&self, name: usize, way: (SocketAddr, Option<usize>), like: usize) -> Listener {
        Listener::come(name, way, &rooms_of(like), self.site.told.clone())
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance.below(bound as u64) as usize
    }

    /// Some are spoken to from each node, and those who stay there have heard it.
    async fn speak(&mut self) {
        for node in 0..NODES {
            for _ in 0..1 + self.below(20) {
                let room = self.rooms[self.chance.below(self.rooms.len() as u64) as usize].clone();
                self.site.tell(&room, node).await;
            }
        }
        for listener in &mut self.listeners {
            listener.give();
        }
        // Whoever stays at a node hears it, whatever is wrong with the broker.
        let (said, listeners) = (&self.site.said, &self.listeners);
        let hears = |listener: &Listener| {
            let ear = listener.ear.lock().unwrap();
            ear.failure.is_some() || ear.has_own(said)
        };
        until("each hears its own node", || listeners.iter().all(hears)).await;
        self.assert_well();
    }

    fn assert_well(&self) {
        for listener in self.listeners.iter().chain(&self.passing) {
            assert_eq!(listener.ear.lock().unwrap().failure, None);
        }
    }

    /// Somebody comes, goes, moves, floods.
    async fn stir(&mut self) {
        match self.below(6) {
            0 => {
                self.turn_all();
            }
            1 | 2 => {
                let (front, to) = (self.below(FRONTS), self.below(NODES));
                self.fronts[front].to.send_replace(self.site.address(to));
            }
            3 => {
                while self.passing.len() < 6 {
                    let node = self.below(NODES);
                    let like = self.below(self.listeners.len());
                    self.names += 1;
                    let way = (self.site.address(node), Some(node));
                    self.passing.push(self.listener(self.names, way, like));
                }
            }
            4 => {
                for (at, listener) in std::mem::take(&mut self.passing).into_iter().enumerate() {
                    if at % 2 == 0 {
                        assert_eq!(listener.go().await.failure, None);
                    } else {
                        listener.vanish();
                    }
                }
            }
            _ => {
                let node = self.below(NODES);
                let site = &self.site.nodes[node];
                tokio::join!(members::flood(site), members::flood(site));
                let stalled = members::stall(site, &self.rooms).await;
                self.stalled.push(stalled);
            }
        }
    }

    /// All that wander are cut at once, and come back anywhere.
    fn turn_all(&mut self) {
        for front in 0..FRONTS {
            let to = self.site.address(self.chance.below(NODES as u64) as usize);
            self.fronts[front].to.send_replace(to);
        }
    }

    async fn round(&mut self, program: &mut Program) {
        for _ in 0..STEPS {
            self.speak().await;
            match self.chance.below(3) {
                0 => self.stir().await,
                1 => self.site.fail_somehow(program, &mut self.chance).await,
                _ => pass(Duration::from_millis(self.chance.below(50))).await,
            }
        }
        self.stalled.clear();
        self.settle().await;
    }

    /// The network is good: all is heard by all.
    async fn settle(&mut self) {
        self.site.well(&self.rooms).await;
        // Sessions go on elsewhere, now that they can.
        self.turn_all();
        let mut is_heard = false;
        while !is_heard {
            // What was lost last shows when there is more.
            for room in self.rooms.clone() {
                for node in 0..NODES {
                    self.site.tell(&room, node).await;
                }
            }
            let (said, listeners) = (&self.site.said, &self.listeners);
            let has_all = |listener: &Listener| listener.ear.lock().unwrap().has_all(said);
            let hearing = until("all is heard", || listeners.iter().all(has_all));
            is_heard = tokio::time::timeout(Duration::from_secs(3), hearing).await.is_ok();
            self.assert_well();
        }
    }

    async fn end(mut self, rounds: u64) -> Sums {
        let mut sums = Sums { rounds, told: self.site.told.sum(), ..Sums::default() };
        sums.faults = std::mem::take(&mut self.site.faults);
        let mut going = JoinSet::new();
        for listener in std::mem::take(&mut self.listeners) {
            let sent = listener.flushed().await;
            going.spawn(async move { (listener.go().await, sent) });
        }
        for (ear, sent) in within(going.join_all()).await {
            assert_eq!(ear.failure, None);
            sums.came += ear.came;
            sums.missing += ear.missing_sum();
            sums.restored += ear.restored;
            sums.done += self.site.items.check(ear.name, sent, ear.gaps.is_empty());
            for (reason, count) in ear.gaps {
                *sums.lost_sessions.entry(reason).or_default() += count;
            }
        }
        for listener in std::mem::take(&mut self.passing) {
            assert_eq!(listener.go().await.failure, None);
        }
        for snapshot in self.site.end().await {
            assert_balanced(&snapshot);
            sums.opened += snapshot.opened;
            sums.sent += snapshot.messages_sent;
        }
        sums
    }
}

/// Each message that an outbox took has ended in one number.
fn assert_balanced(snapshot: &Snapshot) {
    let ended = snapshot.dropped[&DropPolicy::DropOldest] + snapshot.dropped[&DropPolicy::Ended];
    assert_eq!(snapshot.gauges.queued_messages, 0);
    assert_eq!(snapshot.messages_sent, snapshot.messages_delivered + ended, "{snapshot:?}");
    assert_eq!(snapshot.opened, snapshot.closed_total());
}

/// A whole life: everybody comes, all goes wrong until it is enough, and everybody goes.
async fn live<B: Broker>(
    program: &mut Program,
    broker_at: impl Fn(SocketAddr) -> B,
    is_enough: impl Fn(u64) -> bool,
) -> Sums {
    let site = Site::start(program, broker_at).await;
    let (count, seed) = (number("SOAK_MEMBERS", 60) as usize, number("SOAK_SEED", 1));
    let mut world = World::new(site, count, seed).await;
    world.settle().await;
    let mut rounds = 0;
    while !is_enough(rounds) {
        world.round(program).await;
        rounds += 1;
    }
    world.end(rounds).await
}

async fn soak<B: Broker>(name: &str, program: &mut Program, broker_at: impl Fn(SocketAddr) -> B) {
    live(program, &broker_at, |rounds| rounds == ROUNDS_FIRST).await;
    let before = Held::now().await;
    let (began, length) = (Instant::now(), Duration::from_secs(number("SOAK_SECONDS", 8)));
    let is_enough = |rounds| rounds >= ROUNDS_MIN && began.elapsed() >= length;
    let sums = live(program, &broker_at, is_enough).await;
    let after = Held::now().await;
    let seconds = began.elapsed().as_secs();
    let Sums { rounds, came, missing, told, restored, lost_sessions, done, faults, opened, sent } =
        &sums;
    println!(
        "soak: {name}, three nodes, {seconds} s, {rounds} rounds, {opened} connections, faults {faults:?}"
    );
    println!(
        "soak: {sent} sent, {came} came to listeners, {missing} missing between them, {told} told by nodes"
    );
    println!("soak: {restored} restored, sessions lost {lost_sessions:?}, {done} things done");
    println!("soak: before {before:?}");
    println!("soak: after {after:?}");
    after.assert_as(&before);
    assert!(*restored > 0 && faults.values().sum::<u64>() >= *rounds, "{sums:?}");
}

/// One after the other: what they hold is that of the process.
static TURN: Mutex<()> = Mutex::new(());

/// BY-33, BY-42, A23, A24, A27, A28, A60, BC-02.
#[test]
fn redis_that_fails_for_a_while() {
    let _turn = TURN.lock();
    runtime().block_on(async {
        if let Some(mut program) = Program::start(redis::command).await {
            soak("redis", &mut program, redis::broker_at).await;
        }
    });
}

/// BY-33, BY-42, A23, A24, A27, A28, A60, BC-02.
#[test]
fn nats_that_fails_for_a_while() {
    let _turn = TURN.lock();
    runtime().block_on(async {
        if let Some(mut server) = nats::Server::start(nats::LOGIN).await {
            soak("nats", &mut server.program, nats::broker_at).await;
        }
    });
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
