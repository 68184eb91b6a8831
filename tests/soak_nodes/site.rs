//! Three nodes, the broker between them, and what goes wrong there.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sockeye::app::{App, Context};
use sockeye::hub::Hub;
use sockeye::hub::cluster::ClusterConfig;
use sockeye::hub::metrics::Snapshot;
use sockeye::pubsub::{Broker, BusState};
use sockeye::testing::Chance;

use crate::NODES;
use crate::ledger::{Items, Place, Told};
use crate::support::app::AppSite;
use crate::support::brokers::Program;
use crate::support::cluster::{self, pass, until};
use crate::support::pubsub::SOON;
use crate::support::relay::{Mode, Relay};

/// What happens to the broker, or to the way of one node to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It is killed, and comes again with nothing in it.
    Killed,
    /// It stands still for a while.
    Stopped,
    /// One node's connections are cut.
    Cut,
    /// What it says to one node waits.
    Held,
    /// What one node says to it goes nowhere, until that is noticed or the connection is cut.
    Swallowed,
}

const FAULTS: [Fault; 5] =
    [Fault::Killed, Fault::Stopped, Fault::Cut, Fault::Held, Fault::Swallowed];

pub(crate) struct Site {
    pub(crate) nodes: Vec<AppSite>,
    pub(crate) told: Arc<Told>,
    pub(crate) items: Arc<Items>,
    pub(crate) said: HashMap<Place, u64>,
    pub(crate) faults: BTreeMap<Fault, u64>,
    lines: Vec<Relay>,
}

fn config() -> ClusterConfig {
    let mut config = cluster::config();
    config.heartbeat_interval = Duration::from_millis(500);
    config.presence_interval = Duration::from_secs(2);
    config.move_timeout = Duration::from_millis(500);
    config.bus.ping_interval = Duration::from_millis(250);
    config.bus.publish_timeout = Duration::from_millis(500);
    config
}

impl Site {
    pub(crate) async fn start<B: Broker>(
        program: &Program,
        broker_at: impl Fn(SocketAddr) -> B,
    ) -> Self {
        let (told, items) = (Arc::<Told>::default(), Arc::<Items>::default());
        let (mut nodes, mut lines) = (Vec::new(), Vec::new());
        for node in 0..NODES {
            let line = Relay::forgetful(program.address()).await;
            let telling = told.clone();
            let config = config().on_gap(move |gap| telling.note(node, gap));
            let hub = Hub::builder().cluster(broker_at(line.address), config);
            let site = AppSite::start(app(items.clone()).hub(hub)).await;
            told.meet(site.running.hub().cluster().node().unwrap());
            nodes.push(site);
            lines.push(line);
        }
        let site =
            Self { nodes, told, items, said: HashMap::new(), faults: BTreeMap::new(), lines };
        site.well(&[]).await;
        site
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].running.local_addrs()[0]
    }

    /// One more message.
    pub(crate) async fn tell(&mut self, room: &str, node: usize) {
        let number = self.said.entry((room.to_owned(), node)).or_default();
        *number += 1;
        let payload = json!({"room": room, "node": node, "n": number});
        let audience = self.nodes[node].running.to_room(room);
        while audience.send("news", &payload).is_err() {
            // The job queue is full.
            pass(Duration::from_millis(1)).await;
        }
    }

    /// Something goes wrong, and then it does no more.
    pub(crate) async fn fail_somehow(&mut self, program: &mut Program, chance: &mut Chance) {
        let fault = FAULTS[chance.below(FAULTS.len() as u64) as usize];
        let line = &self.lines[chance.below(NODES as u64) as usize];
        let time = Duration::from_millis(chance.below(1200));
        match fault {
            Fault::Killed => {
                program.kill();
                pass(time / 4).await;
                assert!(program.run().await);
            }
            Fault::Stopped => {
                program.stop();
                pass(time).await;
                program.signal(Signal::CONT);
            }
            Fault::Cut => line.set(Mode::Cut),
            Fault::Held => line.set(Mode::Hold),
            Fault::Swallowed => line.set(Mode::Swallow),
        }
        if line.mode() != Mode::Forward {
            pass(time).await;
            if fault == Fault::Swallowed {
                // No network loses a part of a connection and carries the rest.
                line.set(Mode::Cut);
            }
            line.set(Mode::Forward);
        }
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Until all nodes hear each other in these rooms.
    pub(crate) async fn well(&self, rooms: &[String]) {
        for site in &self.nodes {
            let hub = site.running.hub();
            let state = hub.cluster().state().unwrap();
            until("the bus is up", || matches!(*state.borrow(), BusState::Up { .. })).await;
            until("all know each other", || hub.cluster().others().len() == NODES - 1).await;
            for room in rooms {
                assert!(hub.room(room).subscribed(SOON).await, "{room}");
            }
        }
    }

    /// Ends them, and gives what they have counted.
    pub(crate) async fn end(self) -> Vec<Snapshot> {
        let mut snapshots = Vec::new();
        for site in self.nodes {
            let hub = site.running.hub().clone();
            assert_eq!(site.stop().await.left, 0);
            assert!(hub.is_empty() && hub.rooms().is_empty());
            snapshots.push(hub.metrics());
        }
        snapshots
    }
}

/// Rooms to join, and things to do.
fn app(items: Arc<Items>) -> App {
    App::new()
        .on("join", async |context: Context, payload: Value| {
            let rooms = payload["rooms"].as_array().cloned().unwrap_or_default();
            let mut is_heard = true;
            for room in rooms.iter().filter_map(Value::as_str) {
                context.join(room).unwrap();
                is_heard &= context.hub().room(room).subscribed(SOON).await;
            }
            json!({"isHeard": is_heard})
        })
        .on("item", move |_: Context, payload: Value| {
            let number = |name: &str| payload[name].as_u64().unwrap();
            items.handle(number("client") as usize, number("n"));
            async {}
        })
        .on("flood", async |_: Context, _: Value| {})
}
