//! Programs `redis-server` that are the nodes of a Redis Cluster.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sockeye::pubsub::redis::RedisCluster;

use super::brokers::Program;
use super::programs::free_port;
use super::redis::{PASSWORD, command, run, url_of};
use super::server::within;

const SLOTS: usize = 16_384;

/// No node is thought to be away, however busy the machine is.
pub(crate) const CALM: Duration = Duration::from_secs(60);

/// A node that is away is so for the others after this.
pub(crate) const QUICK: Duration = Duration::from_secs(1);

/// Nodes that know each other, until they are dropped.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    /// What they keep of themselves is in it: a node that is started again is the same.
    folder: Folder,
    timeout: Duration,
}

pub(crate) struct Node {
    pub(crate) program: Program,
    bus_port: u16,
    /// What its cluster calls it.
    pub(crate) id: String,
}

struct Folder(PathBuf);

impl Nodes {
    /// So many primaries, which divide the slots evenly, in their order. `None` where the program is missing.
    pub(crate) async fn start(primaries: usize, timeout: Duration) -> Option<Self> {
        let folder = Folder::new();
        let mut nodes = Self { nodes: Vec::new(), folder, timeout };
        for _ in 0..primaries {
            nodes.add().await?;
        }
        for (place, node) in nodes.nodes.iter().enumerate() {
            let (first, next) = (place * SLOTS / primaries, (place + 1) * SLOTS / primaries);
            let slots = format!("CLUSTER ADDSLOTSRANGE {first} {}", next - 1);
            node.tell(&format!("{slots}\r\nCLUSTER SET-CONFIG-EPOCH {}", place + 1)).await;
        }
        nodes.meet().await;
        Some(nodes)
    }

    /// One more, without slots, that the others do not know.
    async fn add(&mut self) -> Option<()> {
        let bus_port = free_port();
        let file = self.folder.0.join(format!("{bus_port}.conf"));
        let timeout = self.timeout;
        let program = Program::start(move |port| node(port, bus_port, &file, timeout)).await?;
        let id = run(program.address(), "CLUSTER MYID").await;
        let id = id.lines().last().unwrap().to_owned();
        self.nodes.push(Node { program, bus_port, id });
        Some(())
    }

    /// A replica of one of them, which has what that one has when this returns.
    pub(crate) async fn add_replica(&mut self, of: usize) -> usize {
        self.add().await.expect("it was there before");
        self.meet().await;
        let replica = self.nodes.last().unwrap();
        // It may not know yet that the other has no slots of its own any more.
        let replicate = format!("CLUSTER REPLICATE {}", self.nodes[of].id);
        until("it is a replica", async || replica.ask(&replicate).await == "+OK").await;
        let info = "INFO replication";
        until("it has a link", async || replica.ask(info).await.contains("master_link_status:up"))
            .await;
        let id = &replica.id;
        for node in &self.nodes {
            until("all know of it", async || {
                let told = node.ask("CLUSTER NODES").await;
                told.lines().any(|line| line.starts_with(id) && line.contains("slave"))
            })
            .await;
        }
        self.nodes.len() - 1
    }

    async fn meet(&self) {
        let first = &self.nodes[0];
        for other in &self.nodes[1..] {
            let (port, bus_port) = (other.program.port, other.bus_port);
            first.tell(&format!("CLUSTER MEET 127.0.0.1 {port} {bus_port}")).await;
        }
        self.agree().await;
    }

    /// Waits until all of those that run know all, and who has which slots.
    pub(crate) async fn agree(&self) {
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        until("all know all", async || {
            let mut told = Vec::new();
            for node in &self.nodes {
                let info = node.ask("CLUSTER INFO").await;
                if !info.contains("cluster_state:ok") || !info.contains(&known) {
                    return false;
                }
                told.push(node.owners().await);
            }
            told.iter().all(|owners| *owners == told[0])
        })
        .await;
    }

    pub(crate) fn urls(&self) -> String {
        let urls = self.nodes.iter().map(|node| url_of(node.program.address()));
        urls.collect::<Vec<_>>().join(",")
    }

    pub(crate) fn broker(&self) -> RedisCluster {
        RedisCluster::new(&self.urls()).unwrap()
    }

    /// Which of them has the slot of this name, as the first says.
    pub(crate) async fn owner(&self, name: &str) -> usize {
        let slot = self.nodes[0].slot(name).await;
        let owners = self.nodes[0].owners().await;
        let owner = owners.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        let port = owner.expect("it has an owner").2;
        self.nodes.iter().position(|node| node.program.port == port).expect("one of them")
    }

    /// Gives the slot of a name to another node, as it is done when no keys are left to move: the new owner is told first.
    pub(crate) async fn move_slot(&self, name: &str, to: usize) {
        let from = self.owner(name).await;
        self.begin_move(name, from, to).await;
        self.end_move(name, from, to).await;
    }

    /// One more, without slots, that all know.
    pub(crate) async fn add_empty(&mut self) -> usize {
        self.add().await.expect("it was there before");
        self.meet().await;
        self.nodes.len() - 1
    }

    /// The slot of a name is on its way from here on.
    pub(crate) async fn begin_move(&self, name: &str, from: usize, to: usize) {
        let slot = self.nodes[0].slot(name).await;
        let (old, new) = (&self.nodes[from], &self.nodes[to]);
        new.tell(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", old.id)).await;
        old.tell(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", new.id)).await;
    }

    /// It has arrived.
    pub(crate) async fn end_move(&self, name: &str, from: usize, to: usize) {
        let slot = self.nodes[0].slot(name).await;
        for node in [to, from] {
            let id = &self.nodes[to].id;
            self.nodes[node].tell(&format!("CLUSTER SETSLOT {slot} NODE {id}")).await;
        }
    }
}

impl Node {
    pub(crate) async fn ask(&self, command: &str) -> String {
        run(self.program.address(), command).await
    }

    /// The same for what is answered with OK.
    pub(crate) async fn tell(&self, commands: &str) {
        let answers = self.ask(commands).await;
        assert!(answers.lines().all(|line| line == "+OK"), "{commands}: {answers}");
    }

    async fn slot(&self, name: &str) -> usize {
        let slot = self.ask(&format!("CLUSTER KEYSLOT {name}")).await;
        slot.trim_start_matches(':').parse().unwrap()
    }

    /// Ranges of slots and the ports of their owners.
    async fn owners(&self) -> Vec<(usize, usize, u16)> {
        let told = self.ask("CLUSTER NODES").await;
        let mut owners = Vec::new();
        for line in told.lines().filter(|line| line.contains("master")) {
            let mut words = line.split(' ');
            let address = words.nth(1).unwrap().split_once('@').unwrap().0;
            let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
            for range in words.skip(6).filter(|word| !word.starts_with('[')) {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                owners.push((first.parse().unwrap(), last.parse().unwrap(), port));
            }
        }
        owners.sort_unstable();
        owners
    }

    /// Sharded channels that somebody listens to there.
    pub(crate) async fn channels(&self) -> usize {
        let told = self.ask("PUBSUB SHARDCHANNELS").await;
        told.lines().next().unwrap().trim_start_matches('*').parse().unwrap()
    }
}

impl Folder {
    fn new() -> Self {
        let name = format!("sockeye-{}-{}", std::process::id(), free_port());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn node(port: u16, bus_port: u16, file: &Path, timeout: Duration) -> Command {
    let mut command = command(port);
    let (bus_port, timeout_ms) = (bus_port.to_string(), timeout.as_millis().to_string());
    command.args(["--cluster-enabled", "yes", "--cluster-port", &bus_port]);
    command.args(["--cluster-node-timeout", &timeout_ms, "--masterauth", PASSWORD]);
    command.arg("--cluster-config-file").arg(file);
    // What a replica receives.
    command.arg("--dir").arg(file.parent().unwrap());
    command
}

pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            let _ = tokio::time::timeout(Duration::from_millis(10), pending::<()>()).await;
        }
    };
    println!("{what} ...");
    within(waiting).await;
}
