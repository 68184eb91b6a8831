//! What expectations say that do not hold.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;

/// The message of a test that has to fail.
pub(crate) async fn failure(test: impl Future<Output = ()>) -> String {
    let mut test = pin!(test);
    let caught = std::future::poll_fn(|cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| test.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    });
    let panic = caught.await.expect_err("it must fail");
    *panic.downcast::<String>().expect("a text")
}
