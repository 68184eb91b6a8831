//! How a handler can fail without an error.

use std::any::Any;
use std::time::Duration;

use super::event::EventError;

/// What stopped a handler. The client is told 500 or 408.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the handler panicked: {0}")]
    Panic(String),
    #[error("the handler took longer than {} ms", .0.as_millis())]
    Timeout(Duration),
}

impl Fault {
    pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panic(text.unwrap_or_default())
    }

    /// What the client sees.
    pub(super) fn shown(&self) -> EventError {
        match self {
            Self::Panic(_) => EventError::internal(),
            Self::Timeout(_) => EventError::new(408, "timed out"),
        }
    }
}
