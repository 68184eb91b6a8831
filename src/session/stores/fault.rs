//! What an error of a broker's client is for a store.

use std::error::Error as _;

use crate::pubsub::{PubSubError, PubSubErrorKind};

use super::error::{StoreError, StoreErrorKind};

pub(super) fn of(error: &PubSubError) -> StoreError {
    let kind = match error.kind() {
        PubSubErrorKind::Unreachable | PubSubErrorKind::Lost => StoreErrorKind::Unreachable,
        PubSubErrorKind::Refused => StoreErrorKind::Refused,
        PubSubErrorKind::Timeout => StoreErrorKind::Timeout,
        PubSubErrorKind::Answer => StoreErrorKind::Answer,
        PubSubErrorKind::Setting => StoreErrorKind::Setting,
    };
    match error.source() {
        Some(source) => StoreError::new(kind).with_source(source.to_string()),
        None => StoreError::new(kind),
    }
}
