//! Floor 12: inside other people's HTTP servers.

#[path = "../support/mod.rs"]
mod support;

#[cfg(all(feature = "hyper", feature = "hub"))]
mod attacks;
mod axum;
mod examples;
#[cfg(all(feature = "hyper", feature = "hub"))]
mod frames;
mod http2;
mod hyper;
mod node;
mod serving;
mod tower;
