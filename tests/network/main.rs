//! Whole programs on a simulated network, in virtual time: what a partition, a crash, a delay and a crowd do to them.
//!
//! Each scenario runs with several seeds (`NETWORK_SEEDS=2`), which decide delays and when things happen. A seed that fails
//! is named and can be run alone: `NETWORK_SEED=n cargo test --all-features --test network`. Masks, tokens and the waits of clients
//! between attempts are the system's own chance.

#![cfg(all(feature = "app", feature = "pubsub"))]

mod broker;
mod cluster;
mod crowds;
mod lines;
mod programs;
mod sessions;
mod tokens;
mod world;
