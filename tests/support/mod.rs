//! What several test binaries share.

#[cfg(feature = "app")]
pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod deflate;
pub(crate) mod gate;
#[cfg(feature = "hub")]
pub(crate) mod hub;
pub(crate) mod io;
pub(crate) mod pair;
pub(crate) mod programs;
#[cfg(feature = "app")]
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod streams;
#[cfg(feature = "ring")]
pub(crate) mod tls;
