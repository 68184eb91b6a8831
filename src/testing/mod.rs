//! A kit for tests: of applications that stand on this crate, and of the crate itself. Feature `testing`.
//!
//! What it is: connections in memory ([`Pair`], [`TestServer`]), a client that says what it expects ([`TestClient`]), streams
//! and brokers that fail as a seed wants it ([`Faults`], `FaultyBroker`), and seeds that are told where a test fails
//! ([`for_seeds`]). What it is not: a test framework. It belongs into `[dev-dependencies]`, for it panics where an
//! expectation does not hold, and no other feature brings it, `full` neither: no program has it built in.
//!
//! | to test | take |
//! |---|---|
//! | a handler of messages, a protocol of one's own | [`Pair`] |
//! | an application, a hub, whoever has a [`Door`](crate::net::Door) | [`TestServer`], [`TestClient`] |
//! | a server on a port | [`TestClient::connect`] |
//! | what happens when the network fails | [`Faults`], [`Valve`], [`for_seeds`] |
//! | several nodes | `FaultyBroker` around `pubsub::Memory` |
//!
//! # Time
//!
//! Every wait of the kit has a deadline, in tokio's time. In memory all of it works with tokio's clock paused
//! (`#[tokio::test(start_paused = true)]`, tokio's feature `test-util`): when nobody has anything to do, the clock goes on
//! to the next timer at once. So a test waits for an hour's idle timeout, a latency or a deadline without waiting. To go on
//! by hand: `tokio::time::advance`, which runs what is due when it is awaited. Not with a socket of the system: what is under
//! way in the kernel is nothing to do for tokio, and the clock would run past it.
//!
//! Floor: beside the application, above all others. Nobody uses it here.

mod chance;
mod client;
mod expect;
mod faults;
mod faulty_stream;
mod opening;
mod pair;
mod seeds;
mod server;
mod speech;
mod valve;

#[cfg(feature = "pubsub")]
mod faulty_broker;
#[cfg(feature = "pubsub")]
mod faulty_line;

#[cfg(feature = "json")]
mod json;

#[cfg(feature = "hub")]
mod of_hub;

#[cfg(feature = "app")]
mod events;
#[cfg(feature = "app")]
mod of_app;

pub use chance::Chance;
pub use client::TestClient;
pub use faults::{Faults, Pieces};
pub use faulty_stream::FaultyStream;
pub use opening::Opening;
pub use pair::{Pair, TestStream};
pub use seeds::for_seeds;
pub use server::TestServer;
pub use valve::Valve;

#[cfg(feature = "pubsub")]
pub use faulty_broker::{BrokerCalls, BrokerFaults, FaultyBroker};
