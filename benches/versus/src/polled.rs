//! A future polled once and then awaited: where a read may not be dropped half way, this is how to
//! flush before it waits.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// The outcome of `future` if it is there at once.
pub async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
