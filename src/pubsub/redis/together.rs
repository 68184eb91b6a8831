//! Several futures at a time, in one task.

use std::future::poll_fn;
use std::task::Poll;

/// Waits for all of them; what they give is in their order. The first error is all that comes, and the others are dropped.
///
/// Cost: each is polled whenever any of them is woken, so they are to be few.
pub(super) async fn together<T, E>(
    futures: impl IntoIterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    let mut pending: Vec<_> =
        futures.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    poll_fn(|cx| {
        let mut is_ready = true;
        for (future, done) in &mut pending {
            let Some(running) = future else { continue };
            match running.as_mut().poll(cx) {
                Poll::Ready(Ok(value)) => (*future, *done) = (None, Some(value)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => is_ready = false,
            }
        }
        if is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok(pending.into_iter().filter_map(|(_, done)| done).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn they_wait_for_each_other_and_keep_their_order() {
        let (give, given) = oneshot::channel::<u8>();
        let waits: crate::client::BoxFuture<'_, Result<u8, ()>> =
            Box::pin(async { given.await.map_err(drop) });
        let gives: crate::client::BoxFuture<'_, Result<u8, ()>> =
            Box::pin(async move { give.send(1).map(|()| 2).map_err(drop) });
        assert_eq!(together([waits, gives]).await, Ok(vec![1, 2]));
    }

    #[tokio::test]
    async fn the_first_error_is_all() {
        let never: crate::client::BoxFuture<'_, Result<(), u8>> = Box::pin(std::future::pending());
        let fails: crate::client::BoxFuture<'_, Result<(), u8>> = Box::pin(async { Err(7) });
        assert_eq!(together([never, fails]).await, Err(7));
    }
}
