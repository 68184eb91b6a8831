//! Locks and atomics, in one place, below floor 1, so that a model checker can take their place: with
//! `--cfg sockeye_loom` they are those of loom, which tries every order, and what is above floor 5 is not built;
//! with `--cfg sockeye_shuttle` they are those of shuttle, which tries many, with all that is above.
//!
//! What only counts, or is set once, is the standard library's in all three: it decides nothing that a model
//! looks at, and may be static.

mod ids;
#[cfg(sockeye_loom)]
mod model;
#[cfg(not(any(sockeye_loom, sockeye_shuttle)))]
mod real;
#[cfg(sockeye_shuttle)]
mod scheduled;

pub(crate) use ids::IdMap;
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(sockeye_loom)]
pub(crate) use model::{AtomicBool, AtomicU64, Mutex, MutexGuard};
#[cfg(all(not(any(sockeye_loom, sockeye_shuttle)), feature = "hub", feature = "pubsub"))]
pub(crate) use real::RwLock;
#[cfg(not(any(sockeye_loom, sockeye_shuttle)))]
pub(crate) use real::{AtomicBool, AtomicU64, Mutex, MutexGuard};
#[cfg(all(sockeye_shuttle, feature = "hub", feature = "pubsub"))]
pub(crate) use scheduled::RwLock;
#[cfg(sockeye_shuttle)]
pub(crate) use scheduled::{AtomicBool, AtomicU64, Mutex, MutexGuard};
#[cfg(all(sockeye_shuttle, feature = "hub"))]
pub(crate) use shuttle::thread_local;
#[cfg(all(not(sockeye_shuttle), feature = "hub"))]
pub(crate) use std::thread_local;
