//! Floor 8: the byte bus between nodes, and its brokers.

#[path = "../support/mod.rs"]
mod support;

mod bus;
mod cancel;
mod nats;
mod nats_tls;
mod redis;
mod redis_cluster;
mod redis_cluster_fake;
