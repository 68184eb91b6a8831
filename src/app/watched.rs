//! A handler under watch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::fault::Fault;

pin_project! {
    /// A future whose panic is a value, and that may take so long. The time counts from when it first has to
    /// wait: one that never does costs no timer.
    pub(super) struct Watched<F> {
        #[pin]
        future: F,
        #[pin]
        deadline: Option<Sleep>,
        timeout: Duration,
    }
}

impl<F> Watched<F> {
    pub(super) const fn new(future: F, timeout: Duration) -> Self {
        Self { future, deadline: None, timeout }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = Result<F::Output, Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // What panicked is not polled again.
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(Poll::Ready(output)) => return Poll::Ready(Ok(output)),
            Err(panic) => return Poll::Ready(Err(Fault::of_panic(&*panic))),
            Ok(Poll::Pending) => {}
        }
        if this.deadline.is_none() {
            this.deadline.set(Some(sleep(*this.timeout)));
        }
        let elapsed =
            this.deadline.as_pin_mut().map_or(Poll::Pending, |deadline| deadline.poll(cx));
        elapsed.map(|()| Err(Fault::Timeout(*this.timeout)))
    }
}
