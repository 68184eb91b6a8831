//! What a client is told that something went wrong.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::malformed::MalformedEvent;

/// An error that the client is shown, as the event `sys.error`: what a handler or a middleware returns to show
/// something. So are the refusals of this crate that it is made of (`From`), whether a handler's errors are of this type
/// or boxed: `context.join(&room)?` tells a client that the room is full. Every other error is masked: the client sees
/// [`internal`](Self::internal), the application's `on_error` the real one. Both at once is
/// [`with_source`](Self::with_source).
///
/// ```
/// use sockeye::app::event::{EventError, FieldError};
///
/// let full = EventError::new(4090, "this table is full").with_reason("full");
/// let short = EventError::invalid(FieldError::new("/name", "minLength", "at least 3 letters"));
/// assert_eq!((full.code, short.code), (4090, 422));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventError {
    /// What it is: a number of the application's choice. The protocol has 400 to 500 as HTTP has them.
    pub code: i32,
    /// For people.
    pub message: String,
    /// Whether the client may go on as it is, or try again. True unless
    /// [said otherwise](Self::unrecoverable).
    pub recoverable: bool,
    /// What it is, as a name.
    pub reason: Option<String>,
    /// The fields that did not fit.
    pub errors: Vec<FieldError>,
    source: Source,
}

/// What the client is not shown: two errors that show the same are equal.
#[derive(Clone, Debug, Default)]
struct Source(Option<Arc<dyn Error + Send + Sync>>);

impl PartialEq for Source {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Source {}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FieldError {
    /// Where it is in the payload, as a JSON pointer; empty for all of it. Source: RFC 6901.
    pub field: String,
    /// The rule that it breaks: a keyword of JSON Schema (`required`, `type`, `maxLength`) where there is one for it, or one
    /// of the application's.
    pub rule: Cow<'static, str>,
    /// For people.
    pub message: String,
}

impl FieldError {
    /// An error of one field.
    pub fn new(
        field: impl Into<String>,
        rule: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), rule: rule.into(), message: message.into() }
    }
}

impl EventError {
    /// An error with a code and a text that the client is shown. Recoverable.
    #[must_use]
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        let message = message.into();
        let source = Source::default();
        Self { code, message, recoverable: true, reason: None, errors: Vec::new(), source }
    }

    /// 422: a field does not fit. More of them with [`with_field`](Self::with_field).
    #[must_use]
    pub fn invalid(field: FieldError) -> Self {
        Self::new(422, "validation failed").with_field(field)
    }

    /// 422: these fields do not fit; the text is about the first.
    pub(crate) fn of_fields(errors: Vec<FieldError>) -> Self {
        let first = errors.first().map(|FieldError { field, message, .. }| {
            format!("{}: {message}", if field.is_empty() { "/" } else { field })
        });
        let message = first.unwrap_or_else(|| "validation failed".to_owned());
        Self { errors, ..Self::new(422, message) }
    }

    /// What stands for every error that is nobody's business: 500, not recoverable.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(500, "Internal server error").unrecoverable()
    }

    /// With another text.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// With a name for what it is.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With one more field.
    #[must_use]
    pub fn with_field(mut self, field: FieldError) -> Self {
        self.errors.push(field);
        self
    }

    /// With what is behind it, which no client is shown: the application's
    /// [`on_error`](crate::app::App::on_error) is told.
    ///
    /// ```
    /// use sockeye::app::event::EventError;
    ///
    /// let cause = std::io::Error::other("no line to the database");
    /// let error = EventError::new(503, "try again in a minute").with_source(cause);
    /// assert!(std::error::Error::source(&error).is_some());
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Source(Some(source.into().into()));
        self
    }

    pub(in crate::app) fn behind(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.0.as_deref()
    }

    /// Trying again does not help.
    #[must_use]
    pub const fn unrecoverable(mut self) -> Self {
        self.recoverable = false;
        self
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.code)
    }
}

impl Error for EventError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.0.as_deref().map(|source| source as _)
    }
}

impl From<MalformedEvent> for EventError {
    fn from(error: MalformedEvent) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
