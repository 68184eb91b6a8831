//! Where an event is handled.

use crate::sync::Arc;

use super::handle::Handle;

/// What is behind the name of an event in that of its answer.
pub(super) const ACK: &str = ".ack";

/// The handler of one event, with what is asked of who sends it.
pub(super) struct Endpoint {
    pub(super) named: Arc<Named>,
    pub(super) access: Access,
    pub(super) handle: Box<dyn Handle>,
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
