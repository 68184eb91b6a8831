//! Tokio.

use tokio::runtime::Handle;

pub(crate) use tokio::task::AbortHandle;
pub(crate) use tokio::time::timeout;
#[cfg(feature = "hub")]
pub(crate) use tokio::time::{sleep_until, timeout_at};

/// Runs a task on the runtime that the caller is in.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(task).abort_handle()
}

/// Runs a task on this runtime.
#[allow(dead_code, reason = "for hubs")]
pub(crate) fn spawn_on(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    runtime.spawn(task);
}
