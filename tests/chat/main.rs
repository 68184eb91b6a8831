//! The chat example as its users meet it: the compiled program, with this crate's client.
//!
//! The page itself is driven by real browsers in `tests/browser`.

#![cfg(feature = "app")]

mod pages;
mod panel;
mod passwords;
mod program;
mod rooms;
mod sessions;
