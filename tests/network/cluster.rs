//! Nodes on hosts of their own, with a broker between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::app::client::{Happening, Incoming};
use sockeye::app::{App, Context};
use sockeye::hub::cluster::ClusterConfig;
use sockeye::hub::{Hub, Shutdown};
use tokio::sync::watch;
use tokio::time::interval;
use turmoil::Sim;

use crate::broker;
use crate::programs::client;
use crate::world::{Ended, Events, listen, network, pass, play, with_seeds};

const NODES: [&str; 3] = ["one", "two", "three"];

/// What nodes were told may be missing, by node.
type Gaps = Arc<Mutex<BTreeMap<&'static str, usize>>>;

/// A node that says numbers to all, on all nodes. Where it is told to, it gives its sessions away and starts again.
async fn node(name: &'static str, gaps: Gaps, mut restarts: watch::Receiver<u64>) -> Ended {
    let mut said = 0_u64;
    loop {
        let gaps = gaps.clone();
        let mut config = ClusterConfig::default()
            .on_gap(move |_| *gaps.lock().unwrap().entry(name).or_default() += 1);
        // Sooner than by default: a line that is dead is noticed in seconds.
        config.bus.ping_interval = Duration::from_secs(2);
        let app = App::new()
            .hub(Hub::builder().cluster(broker::connect, config))
            .on_open(async |context: Context| context.join("all").unwrap());
        let running = app.listen(listen().await).start().await?;
        let mut ticks = interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                told = restarts.changed() => {
                    told?;
                    break;
                }
                _ = ticks.tick() => {
                    said += 1;
                    let payload = json!({"by": name, "n": said});
                    running.to_room("all").send("said", &payload)?;
                }
            }
        }
        running.drain(Shutdown::new(Duration::from_secs(5))).await?;
    }
}

/// What a client has heard of each node.
#[derive(Default)]
struct Heard {
    last: BTreeMap<String, u64>,
    missing: BTreeMap<String, u64>,
    count: u64,
    gaps: u64,
}

impl Heard {
    fn note(&mut self, happening: &Happening) {
        match happening {
            Happening::Event(event) if event.name() == "said" => {
                let payload: Value = event.payload().unwrap();
                let (by, n) = (payload["by"].as_str().unwrap(), payload["n"].as_u64().unwrap());
                if let Some(last) = self.last.insert(by.to_owned(), n) {
                    assert!(n > last, "{by}: {n} after {last}");
                    *self.missing.entry(by.to_owned()).or_default() += n - last - 1;
                }
                self.count += 1;
            }
            Happening::Gap { .. } => self.gaps += 1,
            _ => {}
        }
    }

    /// Listens for so long.
    async fn listen(&mut self, incoming: &mut Incoming, time: Duration) {
        let over = pass(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                happening = incoming.next() => self.note(&happening.expect("it goes on")),
            }
        }
    }

    fn missing(&self) -> u64 {
        self.missing.values().sum()
    }
}

fn url(node: &str) -> String {
    format!("ws://{node}/ws")
}

/// The network with its broker and nodes, and what tells each node to start again.
fn nodes(seed: u64, seconds: u64, gaps: &Gaps) -> (Sim<'static>, Vec<watch::Sender<u64>>) {
    let mut sim = network(seed, 20, seconds);
    sim.host("broker", broker::broker);
    let mut restarts = Vec::new();
    for name in NODES {
        let (restart, restarted) = watch::channel(0);
        let gaps = gaps.clone();
        sim.host(name, move || node(name, gaps.clone(), restarted.clone()));
        restarts.push(restart);
    }
    (sim, restarts)
}

/// A client of one node, while the broker is away from time to time: it misses nothing of its own node, and of the others what its node was
/// told. In the end it hears everybody again.
fn stays(sim: &mut Sim<'_>, home: &'static str, gaps: &Gaps, heals: Duration) {
    let gaps = gaps.clone();
    sim.client(format!("client of {home}").replace(' ', "-"), async move {
        pass(Duration::from_secs(3)).await;
        let (_client, mut incoming) = client(&url(home), |_| {});
        let mut heard = Heard::default();
        heard.listen(&mut incoming, heals.saturating_sub(Duration::from_secs(3))).await;
        // What it takes to notice, and to connect again.
        heard.listen(&mut incoming, Duration::from_secs(45)).await;
        assert_eq!((heard.gaps, heard.missing.get(home)), (0, Some(&0)), "{home}");
        let is_told = gaps.lock().unwrap().contains_key(home);
        assert!(heard.missing() == 0 || is_told, "{home}: {:?}", heard.missing);
        let before = (heard.missing.clone(), heard.last.clone());
        heard.listen(&mut incoming, Duration::from_secs(10)).await;
        assert_eq!(heard.missing, before.0, "{home}");
        for name in NODES {
            assert!(heard.last[name] >= before.1[name] + 90, "{home} hears {name}");
        }
        Ok(())
    });
}

/// BY-41, A23: nodes are cut from their broker, one way or both, and the network heals.
#[test]
fn nodes_that_are_cut_from_their_broker() {
    with_seeds(|seed, mut chance| {
        let gaps = Gaps::default();
        let (mut sim, _restarts) = nodes(seed, 200, &gaps);
        let mut events: Events<'_> = Vec::new();
        let mut at = Duration::from_secs(8);
        for _ in 0..3 {
            let name = NODES[chance.below(3) as usize];
            at += chance.between(500, 4_000);
            match chance.below(3) {
                0 => events.push((at, Box::new(move |sim| sim.partition(name, "broker")))),
                1 => events.push((at, Box::new(move |sim| sim.partition_oneway(name, "broker")))),
                _ => events.push((at, Box::new(move |sim| sim.partition_oneway("broker", name)))),
            }
            at += chance.between(100, 10_000);
            events.push((at, Box::new(move |sim| sim.repair(name, "broker"))));
        }
        NODES.iter().for_each(|home| stays(&mut sim, home, &gaps, at));
        play(&mut sim, events);
    });
}

/// BY-41, A24: the broker crashes and is back, once a second.
#[test]
fn a_broker_that_flaps() {
    with_seeds(|seed, mut chance| {
        let gaps = Gaps::default();
        let (mut sim, _restarts) = nodes(seed, 200, &gaps);
        let mut events: Events<'_> = Vec::new();
        let mut at = Duration::from_secs(8);
        for _ in 0..15 {
            let down = chance.between(50, 900);
            events.push((at, Box::new(|sim| sim.crash("broker"))));
            events.push((at + down, Box::new(|sim| sim.bounce("broker"))));
            at += Duration::from_secs(1);
        }
        NODES.iter().for_each(|home| stays(&mut sim, home, &gaps, at));
        play(&mut sim, events);
    });
}

/// BY-42, SH-03: one node after the other gives its sessions away and starts again, under load. Their clients go on elsewhere, with
/// everything once.
#[test]
fn a_rolling_restart() {
    with_seeds(|seed, mut chance| {
        let gaps = Gaps::default();
        let (mut sim, restarts) = nodes(seed, 300, &gaps);
        let mut events: Events<'_> = Vec::new();
        let mut at = Duration::from_secs(10);
        for restart in &restarts {
            let restart = restart.clone();
            events.push((at, Box::new(move |_| restart.send_modify(|count| *count += 1))));
            at += chance.between(8_000, 15_000);
        }
        for (number, home) in NODES.iter().enumerate() {
            let end = at;
            sim.client(format!("client-{number}"), async move {
                pass(Duration::from_secs(3)).await;
                let (client, mut incoming) = client(&url(home), |options| {
                    options.other_urls =
                        NODES.iter().filter(|it| *it != home).map(|it| url(it)).collect();
                });
                let mut heard = Heard::default();
                heard.listen(&mut incoming, end).await;
                assert_eq!((heard.gaps, heard.missing()), (0, 0), "{home}: {:?}", heard.missing);
                assert!(heard.count > 500, "{}", heard.count);
                drop(incoming);
                client.close().await;
                Ok(())
            });
        }
        play(&mut sim, events);
    });
}
