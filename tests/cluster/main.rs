//! Floor 9 over many nodes: rooms, users, presence and questions.

#[path = "../support/mod.rs"]
mod support;

mod brokers;
mod cancel;
mod envelope;
mod impostor;
mod moves;
mod nats;
mod presence;
mod queries;
mod redis;
mod redis_cluster;
mod rooms;
mod simulation;
mod stored;
mod stored_client;
mod stored_faults;
mod stores;
mod stores_nats;
mod stores_nats_fake;
mod stores_redis;
mod stores_redis_cluster;
mod wandering;
