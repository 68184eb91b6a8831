//! Floor 6: connections and servers.

#[path = "../support/mod.rs"]
mod support;

mod accept;
mod byte_stream;
mod cancel;
mod closing;
mod connection;
mod deadlines;
mod faces;
mod faults;
mod fragments;
mod keepalive;
mod limits;
mod messages;
mod other_servers;
mod regressions;
mod server;
mod streaming;
mod streaming_cancel;
mod streaming_send;
mod turns;
mod unix;
