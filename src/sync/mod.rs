//! Locks and atomics, in one place, below floor 1, so that a model checker can take their place: with
//! `--cfg sockeye_loom` they are those of loom, and what is above floor 5 is not built.
//!
//! What only counts, or is set once, is the standard library's in both: it decides nothing that a model
//! looks at, and may be static.

mod ids;
#[cfg(sockeye_loom)]
mod model;
#[cfg(not(sockeye_loom))]
mod real;

pub(crate) use ids::IdMap;
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(sockeye_loom)]
pub(crate) use model::{AtomicBool, AtomicU64, Mutex, MutexGuard};
#[cfg(all(not(sockeye_loom), feature = "hub", feature = "pubsub"))]
pub(crate) use real::RwLock;
#[cfg(not(sockeye_loom))]
pub(crate) use real::{AtomicBool, AtomicU64, Mutex, MutexGuard};
