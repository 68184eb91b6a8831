//! Floor 6: the client.

#[path = "../support/mod.rs"]
mod support;

mod cancel;
mod dial;
mod examples;
mod faces;
mod faults;
mod herd;
mod policy;
mod proxy;
mod reconnect;
mod responses;
mod settings;
