//! TLS on both sides.

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod both_sides;
mod programs;
