//! Floor 10: sessions.

#[path = "../support/mod.rs"]
mod support;

mod resume;
mod simulation;
