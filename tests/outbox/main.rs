//! Floor 5: the bounded queue.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod control;
mod observed;
mod one_way_out;
mod policies;
mod waiters;
