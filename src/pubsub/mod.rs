//! Floor 8: the byte bus between nodes.
//!
//! A WebSocket server does not scale to a second machine alone: a message for a room has to reach the members on all
//! nodes. A **bus** carries bytes on named channels between nodes, through a **broker** that they all reach. It knows
//! names and bytes only: no rooms, no users, no nodes.
//!
//! ```text
//!   Bus ── keeps ──► PubSub, one connection ──► broker ◄── PubSub ◄── Bus
//!    │  publish: queued, bounded, never waits                          │
//!    └─ BusEvents: messages, and gaps where something may be missing ──┘
//! ```
//!
//! [`Memory`] is the broker within one process and needs nothing. With feature `redis` there are `pubsub::redis::Redis`
//! and `pubsub::redis::RedisCluster`, with feature `nats` `pubsub::nats::Nats`.
//!
//! # An adapter of your own
//!
//! [`Broker`] makes connections, [`PubSub`] is one. The bus does the rest: connecting again, subscribing again, queues,
//! deadlines, counters, names. This one carries bytes over channels of tokio:
//!
//! ```
//! use std::collections::HashSet;
//! use std::sync::{Arc, Mutex};
//!
//! use sockeye::client::BoxFuture;
//! use sockeye::pubsub::{Bus, BusConfig, BusMessage, Incoming, PubSub, PubSubError, PubSubErrorKind};
//! use tokio::sync::broadcast::{self, error::RecvError};
//!
//! struct Line {
//!     all: broadcast::Sender<BusMessage>,
//!     heard: tokio::sync::Mutex<broadcast::Receiver<BusMessage>>,
//!     channels: Mutex<HashSet<Arc<str>>>,
//! }
//!
//! type Done<'a, T = ()> = BoxFuture<'a, Result<T, PubSubError>>;
//!
//! impl PubSub for Line {
//!     fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> Done<'a> {
//!         for message in messages {
//!             let _ = self.all.send(message.clone());
//!         }
//!         Box::pin(async { Ok(()) })
//!     }
//!
//!     fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> Done<'a> {
//!         self.channels.lock().unwrap().extend(channels.iter().cloned());
//!         Box::pin(async { Ok(()) })
//!     }
//!
//!     fn unsubscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> Done<'a> {
//!         self.channels.lock().unwrap().retain(|channel| !channels.contains(channel));
//!         Box::pin(async { Ok(()) })
//!     }
//!
//!     fn next(&self) -> Done<'_, Incoming> {
//!         Box::pin(async {
//!             loop {
//!                 match self.heard.lock().await.recv().await {
//!                     Ok(message) if !self.channels.lock().unwrap().contains(&message.channel) => {}
//!                     Ok(message) => return Ok(Incoming::Message(message)),
//!                     Err(RecvError::Lagged(_)) => return Ok(Incoming::Gap),
//!                     Err(RecvError::Closed) => return Err(PubSubError::new(PubSubErrorKind::Lost)),
//!                 }
//!             }
//!         })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let all = broadcast::Sender::new(1024);
//! let broker = move || {
//!     let heard = tokio::sync::Mutex::new(all.subscribe());
//!     let line = Line { all: all.clone(), heard, channels: Mutex::default() };
//!     async { Ok(Box::new(line) as Box<dyn PubSub>) }
//! };
//! let (bus, mut events) = Bus::start(broker, BusConfig::default());
//! bus.subscribe("lobby")?;
//! bus.publish("lobby", "hello")?;
//! assert!(matches!(events.next().await, Some(Incoming::Message(_))));
//! # Ok(()) }
//! ```

mod broker;
mod bus;
mod config;
mod error;
mod inbox;
mod keeper;
mod memory;
mod name;
#[cfg(feature = "nats")]
pub mod nats;
mod outgoing;
#[cfg(feature = "redis")]
pub mod redis;
mod shared;
#[cfg(any(feature = "nats", feature = "redis"))]
mod turn;
mod wanted;

pub use broker::{Broker, BusMessage, Incoming, PubSub};
pub use bus::{Bus, BusCounters, BusEvents, BusState};
pub use config::{BusConfig, BusOverflow};
pub use error::{BusError, PubSubError, PubSubErrorKind};
pub use memory::Memory;
