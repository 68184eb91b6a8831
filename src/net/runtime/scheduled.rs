//! The scheduler of the models. A deadline never comes: what would wait for it is found, for then nobody goes on.

use std::convert::Infallible;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

pub(crate) use shuttle::future::AbortHandle;

pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    shuttle::future::spawn(task).abort_handle()
}

/// There is one scheduler, whatever the runtime.
pub(crate) fn spawn_on(_: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    drop(shuttle::future::spawn(task));
}

pub(crate) async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, Infallible> {
    Ok(future.await)
}

pub(crate) async fn timeout_at<F: Future>(_: Instant, future: F) -> Result<F::Output, Infallible> {
    Ok(future.await)
}

/// Whoever only lets time pass lets others go on.
pub(crate) async fn sleep_until(_: Instant) {
    shuttle::future::yield_now().await;
}
