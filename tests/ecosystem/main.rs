//! Floor 12: inside other people's HTTP servers.

#[path = "../support/mod.rs"]
mod support;

mod axum;
mod examples;
mod http2;
mod hyper;
mod serving;
mod tower;
