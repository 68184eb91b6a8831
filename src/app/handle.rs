//! Handlers whose types are forgotten.

use std::error::Error;
use std::marker::PhantomData;
use std::pin::Pin;

use serde::de::DeserializeOwned;

use super::context::Context;
use super::event::{Event, EventError, EventRef};
use super::reply::{IntoReply, Reply};
use super::watched::Watched;

/// What is done about one event, up to its answer.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a handler or a middleware comes to.
pub(super) type Outcome = Result<Reply, Box<dyn Error + Send + Sync>>;

pub(super) type Called = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A handler.
pub(super) trait Handle: Send + Sync {
    /// All that is done about an event, in one allocation.
    fn work(&self, context: Context, event: &EventRef<'_>) -> Result<Work, EventError>;

    /// The same at the end of a chain of middleware.
    fn call(&self, context: Context, event: &Event) -> Result<Called, EventError>;
}

/// A function with its payload's type.
pub(super) struct Typed<F, P, M> {
    function: F,
    types: PhantomData<fn(P) -> M>,
}

impl<F, P, M> Typed<F, P, M> {
    pub(super) const fn new(function: F) -> Self {
        Self { function, types: PhantomData }
    }
}

impl<F, Fut, P, R, M> Handle for Typed<F, P, M>
where
    F: Fn(Context, P) -> Fut + Send + Sync,
    Fut: Future<Output = R> + Send + 'static,
    P: DeserializeOwned,
    R: IntoReply<M> + 'static,
    M: 'static,
{
    fn work(&self, context: Context, event: &EventRef<'_>) -> Result<Work, EventError> {
        let payload = event.payload()?;
        let future = (self.function)(context.clone(), payload);
        let future = Watched::new(future, context.handler_timeout());
        Ok(Box::pin(async move {
            let unsent = context.finish(future.await);
            if let Some(message) = unsent {
                context.deliver(message).await;
            }
        }))
    }

    fn call(&self, context: Context, event: &Event) -> Result<Called, EventError> {
        let future = (self.function)(context, event.payload()?);
        Ok(Box::pin(async move { Ok(Reply::new(&future.await.into_result()?)?) }))
    }
}
