//! What is checked of a message before its handler sees it.

use serde_json::Value;

use super::event::{Codec, EventError, EventRef, FieldError};

/// A check of a message, or of the payload of one event.
pub(super) trait Check: Send + Sync {
    /// What does not fit, with pointers into the value; nothing where all does.
    fn faults(&self, value: &Value) -> Vec<FieldError>;
}

/// A check that was set up, or why it could not be; of this event, or of all messages.
pub(super) type SetUp = (Option<String>, Result<Box<dyn Check>, String>);

/// Checks a payload.
pub(super) fn payload(check: &dyn Check, payload: &Value) -> Result<(), EventError> {
    refuse(check.faults(payload))
}

/// Checks a whole message. The fields of the answer are those of the payload all the same.
pub(super) fn message(
    check: &dyn Check,
    codec: Codec,
    event: &EventRef<'_>,
) -> Result<(), EventError> {
    let faults = match event.message() {
        Ok(message) => check.faults(&message),
        // It nests too deep, say.
        Err(error) if error.errors.is_empty() => return Err(error),
        Err(error) => error.errors,
    };
    refuse(faults.into_iter().map(|fault| in_payload(fault, codec)).collect())
}

fn refuse(faults: Vec<FieldError>) -> Result<(), EventError> {
    if faults.is_empty() { Ok(()) } else { Err(EventError::of_fields(faults)) }
}

/// In the envelope the payload is one of the members; the others are named by the text.
fn in_payload(fault: FieldError, codec: Codec) -> FieldError {
    if codec == Codec::Tagged || fault.field.is_empty() {
        return fault;
    }
    let FieldError { field, rule, message } = fault;
    match field.strip_prefix("/p") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            FieldError::new(rest, rule, message)
        }
        _ => FieldError::new("", rule, format!("`{}`: {message}", &field[1..])),
    }
}
