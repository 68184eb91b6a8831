//! Three nodes, brokers that fail, and a client that wanders between them. Whatever happens: nothing that any node says comes
//! twice or out of order, what is missing was told, and what the client sends is handled once.
//!
//! A seed that fails is named and can be run alone: `MOVES_SEED=n cargo test --all-features --test cluster wandering`.
//! `MOVES_SEEDS=100` runs so many. A seed decides what happens; when, is the system's chance.

#![cfg(all(feature = "app", feature = "pubsub"))]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::Connector;
use sockeye::app::client::{EventClient, FirstEvents, Happening, Incoming};
use sockeye::app::{App, Context};
use sockeye::hub::Hub;
use sockeye::hub::cluster::ClusterGap;
use sockeye::pubsub::Memory;

use crate::moves::{meet, options, until};
use crate::support::app::AppSite;
use crate::support::cluster::config;
use crate::support::front::Front;
use crate::support::pair::quiet;
use crate::support::pubsub::SOON;
use crate::support::server::within;
use sockeye::testing::Chance;
use sockeye::testing::FaultyBroker;

const NODES: usize = 3;

/// What both ends have seen.
#[derive(Default)]
struct Ledger {
    /// Numbers of the client, in the order in which they were handled.
    items: Vec<u64>,
    /// The last number of each node, and of which anything may be missing since.
    heard: HashMap<u64, u64>,
    excused: HashSet<u64>,
    restored: u64,
    gaps: u64,
    missing: u64,
}

/// What nodes have told to be missing.
#[derive(Default)]
struct Told {
    missed: AtomicU64,
    /// Places where it is not known how much.
    anywhere: AtomicU64,
}

impl Told {
    fn note(&self, gap: &ClusterGap) {
        match gap.missed {
            Some(missed) => self.missed.fetch_add(missed, Ordering::SeqCst),
            None => self.anywhere.fetch_add(1, Ordering::SeqCst),
        };
    }

    /// Whether so many may be missing.
    fn covers(&self, missing: u64) -> bool {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        read(&self.anywhere) > 0 || read(&self.missed) >= missing
    }
}

struct World {
    seed: u64,
    chance: Chance,
    sites: Vec<AppSite>,
    brokers: Vec<FaultyBroker<Memory>>,
    ledger: Arc<Mutex<Ledger>>,
    told: Arc<Told>,
    said: [u64; NODES],
}

impl World {
    async fn new(seed: u64, is_faulty: bool) -> Self {
        let memory = Memory::new();
        let mut world = Self {
            seed,
            chance: Chance::new(seed),
            sites: Vec::new(),
            brokers: (0..NODES as u64)
                .map(|at| FaultyBroker::new(memory.clone(), seed + at))
                .collect(),
            ledger: Arc::default(),
            told: Arc::default(),
            said: [0; NODES],
        };
        for broker in world.brokers.clone() {
            let (items, told) = (world.ledger.clone(), world.told.clone());
            let mut config = config().on_gap(move |gap| told.note(gap));
            // Where nothing fails nothing is given up, however slow the machine.
            config.move_timeout = if is_faulty { Duration::from_millis(500) } else { SOON };
            let app = App::new()
                .hub(Hub::builder().cluster(broker, config))
                .on("join", async |context: Context, _: Value| {
                    context.join("lobby").unwrap();
                    json!({"isHeard": context.hub().room("lobby").subscribed(SOON).await})
                })
                .on("item", move |_: Context, payload: Value| {
                    items
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .items
                        .push(payload["n"].as_u64().unwrap());
                    async {}
                });
            world.sites.push(AppSite::start(app).await);
        }
        meet(&world.sites).await;
        world
    }

    fn tell(&mut self, node: usize) {
        self.said[node] += 1;
        let audience = self.sites[node].running.to_room("lobby");
        audience.send("news", &json!({"node": node, "n": self.said[node]})).unwrap();
    }

    fn heal(&self) {
        for broker in &self.brokers {
            broker.set(|faults| {
                (faults.is_paused, faults.is_away, faults.delay) = (false, false, Duration::ZERO);
                (faults.lost_per_mille, faults.swallowed_per_mille) = (0, 0);
            });
        }
    }

    fn fail_somehow(&mut self) {
        let (fault, node) = (self.chance.below(8), self.chance.below(3) as usize);
        let delay = Duration::from_millis(self.chance.below(3));
        let broker = &self.brokers[node];
        match fault {
            // With these it is not known how much is missing.
            0 | 3 if self.seed.is_multiple_of(2) => {}
            0 => broker.cut(),
            1 => broker.set(|faults| faults.is_paused = true),
            2 => broker.set(|faults| faults.delay = delay),
            3 => broker.set(|faults| faults.lost_per_mille = 100),
            4 => broker.set(|faults| faults.swallowed_per_mille = 100),
            _ => self.heal(),
        }
    }

    async fn step(&mut self, front: &Front, client: &EventClient, is_faulty: bool) {
        match self.chance.below(12) {
            0..6 => {
                let node = self.chance.below(3) as usize;
                self.tell(node);
            }
            6 | 7 => {
                if !is_faulty {
                    // Whoever is cut again and again before it has its session may overtake itself.
                    let _: Value = client.request("join", &json!({}), SOON).await.unwrap();
                }
                let to = &self.sites[self.chance.below(3) as usize];
                front.to.send_replace(to.running.local_addrs()[0]);
            }
            8 if is_faulty => self.fail_somehow(),
            _ => {
                for _ in 0..self.chance.below(60) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// Notes all that comes, and that it may be so.
async fn hear(mut incoming: Incoming, ledger: Arc<Mutex<Ledger>>, told: Arc<Told>) {
    while let Some(happening) = incoming.next().await {
        let mut ledger = ledger.lock().unwrap();
        match happening {
            Happening::Event(event) if event.name() == "news" => {
                let payload: Value = event.payload().unwrap();
                let (node, n) = (payload["node"].as_u64().unwrap(), payload["n"].as_u64().unwrap());
                let last = ledger.heard.insert(node, n);
                let last = last.unwrap_or_default();
                assert!(n > last, "{payload} after {last}");
                let missing = n - last - 1;
                if !ledger.excused.remove(&node) {
                    ledger.missing += missing;
                }
                assert!(told.covers(ledger.missing), "{missing} missing before {payload}");
            }
            Happening::Restored => ledger.restored += 1,
            Happening::Gap { .. } => {
                ledger.gaps += 1;
                // Of each node something may be missing.
                ledger.excused = (0..NODES as u64).collect();
            }
            _ => {}
        }
    }
}

/// How often the client came back, how often it was told a gap, and what was missing.
async fn wander(seed: u64, is_faulty: bool) -> [u64; 3] {
    let mut world = World::new(seed, is_faulty).await;
    let front = Front::start(world.sites[0].running.local_addrs()[0]).await;
    let mut options = options();
    options.first = Some(FirstEvents::new(|first| first.send("join", &json!({}))));
    let url = format!("ws://{}/ws", front.address);
    let (client, incoming) = EventClient::connect(Connector::new(quiet()), &url, options).unwrap();
    let _: Value = client.request("join", &json!({}), SOON).await.unwrap();
    let hearing = tokio::spawn(hear(incoming, world.ledger.clone(), world.told.clone()));
    let mut sent = 0;
    for _ in 0..200 {
        world.step(&front, &client, is_faulty).await;
        if world.chance.below(4) == 0 && client.queued().0 < 100 {
            sent += 1;
            client.send("item", &json!({"n": sent})).unwrap();
        }
        assert!(!hearing.is_finished(), "seed {seed}");
    }
    world.heal();
    within(client.flushed()).await.unwrap();
    // What is said last arrives, wherever the client is by then.
    let said = |ledger: &Ledger, world: &World, node: usize| {
        ledger.heard.get(&(node as u64)) == Some(&world.said[node])
    };
    for node in 0..NODES {
        world.tell(node);
        if !is_faulty {
            until(|| hearing.is_finished() || said(&world.ledger.lock().unwrap(), &world, node))
                .await;
        }
    }
    within(client.close()).await;
    assert!(within(hearing).await.is_ok(), "seed {seed}: see above");
    let ledger = world.ledger.lock().unwrap();
    let mut items = ledger.items.clone();
    items.dedup();
    assert!(items.is_sorted() && items.len() == ledger.items.len(), "seed {seed}: {items:?}");
    if ledger.gaps == 0 {
        assert_eq!(items.len() as u64, sent, "seed {seed}");
    }
    [ledger.restored, ledger.gaps, ledger.missing]
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    match (number("MOVES_SEED"), number("MOVES_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(4),
    }
}

/// BY-42: with brokers that are good nothing is missing and there is no gap.
#[tokio::test]
async fn by_42_a_client_wanders_and_misses_nothing() {
    let mut all = 0;
    for seed in seeds() {
        let [restored, gaps, missing] = wander(seed, false).await;
        assert_eq!((gaps, missing), (0, 0), "seed {seed}");
        all += restored;
    }
    assert!(all > 0);
}

/// BY-42, A23, A27, A28: with brokers that fail what is missing was told.
#[tokio::test]
async fn by_42_what_a_wanderer_misses_was_told() {
    let mut sums = [0; 3];
    for seed in seeds() {
        let counts = wander(seed, true).await;
        sums = std::array::from_fn(|at| sums[at] + counts[at]);
    }
    let [restored, gaps, missing] = sums;
    println!("{} seeds: {restored} restored, {gaps} gaps, {missing} missing", seeds().count());
    assert!(restored > 0);
}
