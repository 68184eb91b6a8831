//! What is told to whoever traces, and what is not.

#![cfg(all(feature = "tracing", feature = "app"))]

mod connections;
mod heard;
mod secrets;
