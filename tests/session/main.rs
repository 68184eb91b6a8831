//! Floor 10: sessions.

#[path = "../support/mod.rs"]
mod support;

mod kept;
mod resume;
mod simulation;
