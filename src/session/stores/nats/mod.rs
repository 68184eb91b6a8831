//! NATS as the store: a key-value bucket of JetStream.

mod answer;
mod bucket;
mod clock;
mod pace;
mod record;
mod seen;
mod store;

pub use store::NatsStore;
