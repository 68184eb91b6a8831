//! What runs tasks and says when it is too late, for those parts of which there are models: tokio; with
//! `--cfg sockeye_shuttle` the scheduler of the models.

#[cfg(not(sockeye_shuttle))]
mod real;
#[cfg(sockeye_shuttle)]
mod scheduled;

#[cfg(not(sockeye_shuttle))]
pub(crate) use real::{AbortHandle, spawn, timeout};
#[cfg(all(not(sockeye_shuttle), feature = "hub"))]
pub(crate) use real::{sleep_until, spawn_on, timeout_at};
#[cfg(sockeye_shuttle)]
pub(crate) use scheduled::{AbortHandle, spawn, timeout};
#[cfg(all(sockeye_shuttle, feature = "hub"))]
pub(crate) use scheduled::{sleep_until, spawn_on, timeout_at};
