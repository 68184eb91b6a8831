//! What several test binaries share.

pub(crate) mod client;
pub(crate) mod deflate;
pub(crate) mod gate;
pub(crate) mod io;
pub(crate) mod pair;
pub(crate) mod server;
pub(crate) mod streams;
