//! Redis, or Valkey, as the broker: [`Redis`] is a server, [`RedisCluster`] the nodes of a Redis Cluster.
//!
//! A connection speaks RESP3 (Redis 6 or later, any Valkey) and does all: what is published is written as one pipeline,
//! and what comes is pushed beside the answers.
//!
//! **A server**: plain `SUBSCRIBE`. A node of a Redis Cluster may be given as one, too: its cluster then carries each
//! message to all of its nodes, so that more of them carry no more.
//!
//! **A cluster** (Redis 7 or later, any Valkey): sharded pub/sub, `SPUBLISH` and `SSUBSCRIBE`. A channel is on the node
//! that has its slot, and its messages go over that node and its replicas only: twice the nodes carry twice as much, as
//! long as there are many channels. There is one connection to each primary, and together they are the connection of the bus:
//!
//! ```text
//!   CLUSTER SLOTS of a seed ──► a connection to each primary ──► do all of them say the same? ──► subscribing ──► Up
//!            ▲                                                                                                     │
//!            └── Lost ◄── any of them lost · a slot has moved (MOVED, or sunsubscribe is pushed) · asked: not the same
//! ```
//! So whatever changes in the cluster is a lost connection, with its [gap](super::Incoming::Gap): a slot that moves, a
//! replica that takes over. It is heard of by what is published, by what a node pushes to its subscribers when a slot leaves
//! it, and by all nodes being asked for their slots each [`BusConfig::ping_interval`](super::BusConfig::ping_interval).
//! Where two of them do not agree there is no connection: nobody publishes to a new owner while others listen to the old one.
//! The exception is a primary that was cut off from its cluster together with some clients: they hear each other until they
//! ask.
//!
//! The hosts are those that the nodes announce: they must be reached from here by these (`cluster-announce-ip`,
//! `cluster-preferred-endpoint-type`). A node that says none is where the one is that was asked.
//!
//! **TLS** is a feature of the `redis` crate, which this crate does not force on anyone: depend on it beside this one,
//! with the feature `tokio-rustls-comp` and a version that is the same, and give a URL that begins with `rediss:`.
//!
//! **Limits.** Redis cuts a subscriber that is too slow (`client-output-buffer-limit pubsub`, 32 MB by default): the bus
//! connects again, with a gap. A cluster may have 1,000 primaries.

mod cluster;
mod fault;
mod heard;
mod line;
mod lines;
mod seeds;
mod server;
mod slots;
mod together;

pub use cluster::RedisCluster;
pub use server::Redis;

#[cfg(feature = "app")]
pub(crate) use fault::{is_moved, kind_of, of_cluster};
#[cfg(feature = "app")]
pub(crate) use line::connect;
#[cfg(feature = "app")]
pub(crate) use seeds::Seeds;
#[cfg(feature = "app")]
pub(crate) use server::info_of;
#[cfg(feature = "app")]
pub(crate) use slots::{Redirection, Slots, redirected_to, slot_of};
