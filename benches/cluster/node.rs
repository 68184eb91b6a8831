//! The nodes.

use std::sync::Arc;
use std::time::Duration;

use sockeye::hub::cluster::ClusterConfig;
use sockeye::hub::limits::Limits;
use sockeye::hub::{Hub, HubBuilder, Profile, Room};
use sockeye::pubsub::nats::Nats;
use sockeye::pubsub::redis::{Redis, RedisCluster};
use sockeye::{Config, Connection, Handler, MessageRef, Role, WebSocket};
use tokio::io::duplex;

use crate::Ran;
use crate::broker::{Broker, Program};
use crate::counting::{Form, count};
use crate::options::Options;

/// How long all subscriptions may take.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(60);

/// A member that only listens.
struct Listener;

impl Handler for Listener {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

fn name(room: usize) -> String {
    format!("{room:07}")
}

fn hub(program: Program, port: u16, rooms: usize) -> Result<Hub, Box<dyn std::error::Error>> {
    let mut config = ClusterConfig::default();
    config.bus.prefix = "sockeye-bench".to_owned();
    let mut limits = Limits::default();
    limits.rooms_per_connection_max = rooms;
    let builder: HubBuilder = Hub::builder().limits(limits);
    let builder = match program {
        Program::Redis => {
            builder.cluster(Redis::new(&format!("redis://127.0.0.1:{port}"))?, config)
        }
        Program::RedisCluster => {
            builder.cluster(RedisCluster::new(&format!("redis://127.0.0.1:{port}"))?, config)
        }
        Program::Nats => builder.cluster(Nats::new(&format!("nats://127.0.0.1:{port}"))?, config),
    };
    Ok(builder.build()?)
}

/// A node with one member, which is in all rooms.
pub(crate) async fn hear(program: Program, port: u16, options: &Options) -> Ran {
    let rooms = options.rooms.first().copied().unwrap_or(1);
    let hub = hub(program, port, rooms)?;
    let mut config = Config::default();
    config.ping_interval = None;
    config.outbox_messages_max = 65_536;
    config.outbox_bytes_max = 64 << 20;
    let config = Arc::new(config);
    let (ours, theirs) = duplex(1 << 20);
    let socket = WebSocket::from_stream(ours, Role::Server, &config);
    let registration = hub.register(&socket.sender(), Profile::new())?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(socket.run(Listener));
    for room in 0..rooms {
        let name = name(room);
        while registration.join(&name).is_err() {
            // As many joins wait as may.
            tokio::task::yield_now().await;
        }
    }
    for room in 0..rooms {
        if !hub.room(&name(room)).subscribed(SUBSCRIBED_WITHIN).await {
            return Err("the broker does not confirm".into());
        }
    }
    println!("0");
    // A frame of the server's: two bytes, then the payload.
    count(theirs, Form { bytes: 2 + options.bytes, head_bytes: 2 }).await?;
    Ok(())
}

/// A node without members, which speaks to each room in turn.
pub(crate) struct Publisher {
    hub: Hub,
    rooms: Vec<Room>,
    next: usize,
}

impl Publisher {
    pub(crate) async fn start(
        broker: &Broker,
        rooms: usize,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let hub = hub(broker.program, broker.port, rooms)?;
        while !hub.metrics().cluster.is_some_and(|cluster| cluster.is_up && cluster.nodes > 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let rooms = (0..rooms).map(|room| hub.room(&name(room))).collect();
        Ok(Self { hub, rooms, next: 0 })
    }

    pub(crate) async fn publish(&mut self, payloads: &[String]) -> Ran {
        for payload in payloads {
            let room = &self.rooms[self.next];
            self.next = (self.next + 1) % self.rooms.len();
            room.ready().await;
            room.broadcast(payload.as_str())?;
        }
        // The task of the node has its turn.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Messages that never left.
    pub(crate) fn lost(&self) -> u64 {
        self.hub.metrics().cluster.map_or(0, |cluster| cluster.lost_out)
    }
}
