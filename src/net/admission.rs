//! Who may come in: asked before the accept hook, by whoever counts.

use std::any::Any;
use std::pin::Pin;

use bytes::Bytes;
use http::Response;

use crate::error::Error;

use super::request::Request;

/// Decides on upgrades before the accept hook does: limits, authentication.
///
/// A hub implements it; [`Acceptor::admission`](super::Acceptor::admission) sets it.
pub trait Admission: Send + Sync + 'static {
    /// Admits a request, or says what it is answered. What is admitted with is kept with the request
    /// ([`Request::take_pass`]) and is dropped with it, also when the handshake fails after all. A panic is
    /// answered with 500, and [told](Self::refused).
    fn admit<'a>(
        &'a self,
        request: &'a Request,
    ) -> Pin<Box<dyn Future<Output = Result<Pass, Response<Bytes>>> + Send + 'a>>;

    /// Told of each handshake that came to nothing by anything but [`admit`](Self::admit)'s own answer:
    /// a bad head, an origin, the deadline, what the accept hook answered, pages among it. Once for
    /// each, before the answer is written. Also told of each try to accept for which the system had no
    /// descriptor or memory ([`Error::Io`]).
    fn refused(&self, error: &Error) {
        let _ = error;
    }
}

/// What a request was admitted with: places that are taken, who it is.
#[derive(Default)]
pub struct Pass(Option<Box<dyn Any + Send>>);

impl Pass {
    /// A pass that carries a value.
    pub fn new<T: Any + Send>(value: T) -> Self {
        Self(Some(Box::new(value)))
    }

    /// The value, when it is of this type.
    pub(super) fn take<T: Any + Send>(&mut self) -> Option<T> {
        let value = self.0.take()?;
        match value.downcast() {
            Ok(value) => Some(*value),
            Err(other) => {
                self.0 = Some(other);
                None
            }
        }
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").finish_non_exhaustive()
    }
}
