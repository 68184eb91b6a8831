//! BY-61: The kit for tests: what it promises to those who test with it.

mod broken;
mod clients;
#[cfg(feature = "app")]
mod events;
mod faults;
