//! Why an event cannot be written.

/// Why an event cannot be written: a mistake of the application.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnwritableEvent {
    /// The payload cannot be JSON: a map whose keys are no strings, say.
    #[error("payload: {0}")]
    Json(#[from] serde_json::Error),
    /// The payload is neither an object nor nothing.
    #[error("a payload is an object")]
    NotAnObject,
    /// The payload of a tagged event has a member that belongs to the codec.
    #[error("a tagged payload has no member `type` or `requestId`")]
    Reserved,
    /// The name is empty, too long, or has control characters.
    #[error("an event's name has 1 to 128 bytes and no control characters")]
    Name,
    /// The correlation id is empty or too long.
    #[error("a correlation id has 1 to 128 bytes")]
    CorrelationId,
}
