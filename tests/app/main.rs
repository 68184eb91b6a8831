//! Floor 11: what a product is written on.

#[path = "../support/mod.rs"]
mod support;

mod attached;
mod cancel;
mod client;
mod cluster;
mod errors;
mod events;
mod examples;
mod listeners;
mod proxies;
mod rooms;
mod routes;
mod schema;
mod server;
mod sessions;
