//! Floor 5: the bounded queue.

#[path = "../support/mod.rs"]
mod support;

mod control;
mod one_way_out;
mod policies;
mod waiters;
