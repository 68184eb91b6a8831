//! Middleware: what is around handlers.

use std::error::Error;

use super::context::Context;
use super::event::{Event, EventError};
use super::handle::{Called, Outcome, Work};
use super::reply::Reply;
use super::watched::Watched;

pub(super) type Middleware = dyn Fn(Next) -> Called + Send + Sync;

/// What a middleware is given: an event on its way to its handler.
///
/// A middleware that calls [`run`](Self::run) lets it pass, and may look at what it came to; one that does not
/// has stopped it, and answers itself, with a [`Reply`] or an [`EventError`]; one that
/// [changes](Self::event_mut) the event first passes on something else.
///
/// ```
/// use std::time::Instant;
/// use sockeye::app::{App, EventError, Next, Reply};
///
/// let app = App::new()
///     .middleware(async |next: Next| {
///         let (name, began) = (next.event().name().to_owned(), Instant::now());
///         let reply = next.run().await;
///         println!("{name} took {:?}", began.elapsed());
///         reply
///     })
///     .middleware(async |next: Next| match next.context().user_id() {
///         Some(_) => next.run().await,
///         None => Err(EventError::new(403, "members only").into()),
///     });
/// # drop(app);
/// ```
///
/// Cost: an application with middleware copies each event, and allocates once for each middleware.
#[derive(Debug)]
#[must_use = "an event that is not run on is stopped"]
pub struct Next {
    context: Context,
    event: Event,
    /// The middleware that is next.
    at: usize,
}

impl Next {
    pub(super) const fn new(context: Context, event: Event) -> Self {
        Self { context, event, at: 0 }
    }

    /// Who sent the event.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The event.
    #[must_use]
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// The event, to be changed.
    #[must_use]
    pub const fn event_mut(&mut self) -> &mut Event {
        &mut self.event
    }

    /// Passes the event on to the next middleware or to its handler, and gives what that came to.
    ///
    /// # Errors
    /// What the handler or a middleware behind this one returned.
    ///
    /// Cancel safety: dropping the future drops the handler.
    pub async fn run(mut self) -> Result<Reply, Box<dyn Error + Send + Sync>> {
        let link = self.context.link().clone();
        match link.route.middleware.get(self.at) {
            Some(middleware) => {
                self.at += 1;
                middleware(self).await
            }
            None => self.call()?.await,
        }
    }

    fn call(self) -> Result<Called, EventError> {
        let link = self.context.link().clone();
        let endpoint = link.endpoint(self.event.name()).inspect_err(|_| link.note_bad())?;
        endpoint.check(|| self.event.payload())?;
        endpoint.handle.call(self.context.of(&endpoint.named), &self.event)
    }

    /// All that is done about the event.
    pub(super) fn work(self) -> Work {
        let context = self.context.clone();
        Box::pin(async move {
            let outcome: Result<Outcome, _> =
                Watched::new(self.run(), context.handler_timeout()).await;
            let unsent = context.finish(outcome);
            if let Some(message) = unsent {
                context.deliver(message).await;
            }
        })
    }
}
