//! What is told to whoever traces (feature `tracing`): a span for each connection, and what happens in it. Without the feature
//! all of it is nothing, and is compiled to nothing.
//!
//! Told are numbers, names and words of our own, the path and the peer's address, and the user once one is known. Never a payload, a
//! query, the value of a header, a token or a password, nor what a peer gives as the reason of a close.
//!
//! Floor: below the outbox, which tells what it drops, so that all above can tell.

#[cfg(all(feature = "tracing", not(sockeye_loom)))]
mod told;
#[cfg(not(all(feature = "tracing", not(sockeye_loom))))]
mod untold;

#[cfg(all(feature = "tracing", not(sockeye_loom)))]
pub(crate) use told::Trace;
#[cfg(not(all(feature = "tracing", not(sockeye_loom))))]
pub(crate) use untold::Trace;
