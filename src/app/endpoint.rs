//! Where an event is handled.

use crate::sync::Arc;

use serde_json::Value;

use super::check::{self, Check};
use super::event::EventError;
use super::handle::Handle;

/// What is behind the name of an event in that of its answer.
pub(super) const ACK: &str = ".ack";

/// The handler of one event, with what is asked of who sends it.
pub(super) struct Endpoint {
    pub(super) named: Arc<Named>,
    pub(super) access: Access,
    pub(super) check: Option<Box<dyn Check>>,
    pub(super) handle: Box<dyn Handle>,
}

impl Endpoint {
    /// That the payload is as it must be.
    pub(super) fn check(
        &self,
        payload: impl FnOnce() -> Result<Value, EventError>,
    ) -> Result<(), EventError> {
        self.check.as_deref().map_or(Ok(()), |check| check::payload(check, &payload()?))
    }
}

/// Who may send an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Everybody,
    Users,
}

/// The name of an event, and of its answer.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) event: String,
    pub(super) ack: String,
}

impl Named {
    pub(super) fn new(event: &str) -> Arc<Self> {
        Arc::new(Self { event: event.to_owned(), ack: format!("{event}{ACK}") })
    }
}
