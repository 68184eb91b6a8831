//! What is wrong with a message that is no event.

/// What is wrong with a message that is no event. Its text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedEvent {
    /// It is no JSON.
    #[error("no JSON: line {line}, column {column}")]
    NotJson {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// It is JSON, but no object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A required member is not there.
    #[error("`{member}` is missing")]
    Missing {
        /// Its name.
        member: &'static str,
    },
    /// A member is of another type.
    #[error("`{member}` must be {expected}")]
    WrongType {
        /// Its name.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A member stands there twice.
    #[error("`{member}` stands there twice")]
    Twice {
        /// Its name.
        member: &'static str,
    },
    /// Another major version than 1.
    #[error("`v` must be a version 1.x")]
    Version,
    /// The name is empty, too long, or has control characters.
    #[error("`{member}` must have 1 to 128 bytes and no control characters")]
    Name {
        /// Its member.
        member: &'static str,
    },
    /// The correlation id is empty or too long.
    #[error("`{member}` must have 1 to 128 bytes")]
    CorrelationId {
        /// Its member.
        member: &'static str,
    },
}

impl MalformedEvent {
    /// The code of the error that the client gets: 400, or 415 for another version.
    #[must_use]
    pub const fn code(&self) -> i32 {
        match self {
            Self::Version => 415,
            _ => 400,
        }
    }
}

impl From<serde_json::Error> for MalformedEvent {
    fn from(error: serde_json::Error) -> Self {
        Self::NotJson { line: error.line(), column: error.column() }
    }
}
