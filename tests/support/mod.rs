//! What several test binaries share.

#[cfg(feature = "app")]
pub(crate) mod app;
#[cfg(all(unix, feature = "pubsub"))]
pub(crate) mod brokers;
pub(crate) mod client;
#[cfg(all(feature = "pubsub", feature = "hub"))]
pub(crate) mod cluster;
pub(crate) mod deflate;
#[cfg(any(feature = "app", feature = "pubsub"))]
pub(crate) mod front;
pub(crate) mod gate;
#[cfg(feature = "hub")]
pub(crate) mod hub;
pub(crate) mod io;
#[cfg(all(unix, feature = "nats"))]
pub(crate) mod nats;
pub(crate) mod pair;
pub(crate) mod programs;
#[cfg(feature = "pubsub")]
pub(crate) mod pubsub;
#[cfg(all(unix, feature = "redis"))]
pub(crate) mod redis;
#[cfg(all(unix, feature = "redis"))]
pub(crate) mod redis_cluster;
#[cfg(all(unix, feature = "redis"))]
pub(crate) mod redis_fake;
#[cfg(any(feature = "app", feature = "pubsub"))]
pub(crate) mod relay;
pub(crate) mod server;
#[cfg(all(feature = "app", feature = "pubsub"))]
pub(crate) mod stores;
pub(crate) mod streams;
#[cfg(feature = "ring")]
pub(crate) mod tls;
