//! Redis, or Valkey, as the store: a server, or the nodes of a cluster.

mod cluster;
mod server;
mod store;

pub use store::RedisStore;
