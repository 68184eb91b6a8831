//! What attackers send, and what they get.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod closing;
mod deflate;
mod frames;
mod handshake;
mod reasons;
