//! Futures of an application, which may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// What a future comes to; `None`: it panicked, and is not polled again, or making it did.
///
/// Cancel safety: that of the future.
pub(super) async fn caught<T, F: Future<Output = T> + ?Sized>(
    make: impl FnOnce() -> Pin<Box<F>>,
) -> Option<T> {
    let mut future = catch_unwind(AssertUnwindSafe(make)).ok()?;
    std::future::poll_fn(|cx| {
        // What is broken by a panic half-way is the application's own: ours is not inside.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
