//! The settings of an application that its connections look at.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use crate::protocol::Rate;
use crate::sync::Arc;

use super::context::Context;

type OnError = dyn Fn(&Context, &(dyn Error + Send + Sync + 'static)) + Send + Sync;

/// What an application is told of errors that its clients do not see.
pub(super) type ErrorHook = Arc<OnError>;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) handler_timeout: Duration,
    pub(super) event_bytes_max: usize,
    pub(super) event_rate: Option<Rate>,
    pub(super) on_error: Option<ErrorHook>,
    pub(super) state: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            handler_timeout: Duration::from_secs(30),
            event_bytes_max: crate::hub::HUB_MESSAGE_BYTES_MAX,
            event_rate: None,
            on_error: None,
            state: HashMap::new(),
        }
    }
}
