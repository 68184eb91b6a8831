//! JSON Schema: what messages and payloads must be. Feature `schema`.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::builder::App;
use super::check::Check;
use super::event::{FieldError, escaped};
use super::route::Route;

/// Most faults of one message that its sender is told.
const FAULTS_MAX: usize = 16;

/// Longest pointer to a field, in bytes: a longer one ends at a field above it.
const POINTER_BYTES_MAX: usize = 256;

/// Longest text about a field, in bytes.
const TEXT_BYTES_MAX: usize = 256;

impl Route {
    /// Checks the payload of an event against a JSON Schema, before it is read into the type of its handler and behind
    /// all middleware. One that breaks it is answered with 422 and at most 16 fields, each with the keyword that it
    /// breaks; the handler is not called. Feature `schema`.
    ///
    /// Schemas of draft 4 to 2020-12 (the default) are known; `format` is a remark in the latter, and not checked.
    /// Patterns take time in proportion to the text, and so know neither look-around nor references back. `$ref`
    /// leads to places in the schema itself only: nothing is read or fetched.
    ///
    /// What is wrong with the schema is said when the application is to start: [`AppError::Schema`](super::AppError::Schema).
    ///
    /// ```
    /// use serde_json::{Value, json};
    /// use sockeye::app::{App, Context};
    ///
    /// let app = App::new()
    ///     .on("chat.message", async |_: Context, said: Value| said)
    ///     .schema("chat.message", &json!({
    ///         "properties": {"text": {"type": "string", "maxLength": 1000}},
    ///         "required": ["text"],
    ///     }));
    /// # drop(app);
    /// ```
    ///
    /// Cost: the payload is read once more, into a [`Value`].
    ///
    /// Source: JSON Schema 2020-12.
    pub fn schema(mut self, event: &str, schema: &Value) -> Self {
        self.checks.push((Some(event.to_owned()), compile(schema)));
        self
    }

    /// Checks every message for a handler against a JSON Schema, as it is on the wire: `type` and the payload's members
    /// in a [tagged](super::Codec::Tagged) one, `v`, `e`, `p` and so on in the envelope. It comes before all else, middleware and the
    /// search for a handler among it; the protocol's own events and answers to questions of the server are not asked about. Feature
    /// `schema`.
    ///
    /// The fields of the error are those of the payload; another member of the envelope is named in the text.
    /// All else is as in [`schema`](Self::schema).
    pub fn message_schema(mut self, schema: &Value) -> Self {
        self.checks.push((None, compile(schema)));
        self
    }
}

impl App {
    /// As [`Route::schema`], on its own route.
    pub fn schema(self, event: &str, schema: &Value) -> Self {
        self.with_own(|route| route.schema(event, schema))
    }

    /// As [`Route::message_schema`], on its own route.
    pub fn message_schema(self, schema: &Value) -> Self {
        self.with_own(|route| route.message_schema(schema))
    }
}

struct Schema(Validator);

fn compile(schema: &Value) -> Result<Box<dyn Check>, String> {
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    match options.build(schema) {
        Ok(validator) => Ok(Box::new(Schema(validator))),
        Err(error) => {
            let place = error.instance_path().as_str();
            Err(format!("{}: {error}", if place.is_empty() { "/" } else { place }))
        }
    }
}

impl Check for Schema {
    fn faults(&self, value: &Value) -> Vec<FieldError> {
        let errors = self.0.iter_errors(value);
        errors.flat_map(|error| faults_of(&error)).take(FAULTS_MAX).collect()
    }
}

/// The fields that an error is about. No value of the message is repeated: it may be long.
fn faults_of(error: &ValidationError<'_>) -> Vec<FieldError> {
    let (place, rule) = (error.instance_path().as_str(), error.kind().keyword());
    let below = |name: &str, text: &str| fault(&format!("{place}/{}", escaped(name)), rule, text);
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            vec![below(property.as_str().unwrap_or_default(), "is required")]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let unexpected = unexpected.iter().take(FAULTS_MAX);
            unexpected.map(|name| below(name, "is not expected")).collect()
        }
        _ => vec![fault(place, rule, &error.masked().to_string())],
    }
}

fn fault(pointer: &str, rule: &str, text: &str) -> FieldError {
    let mut pointer = pointer;
    while pointer.len() > POINTER_BYTES_MAX {
        pointer = pointer.rsplit_once('/').map_or("", |(above, _)| above);
    }
    FieldError::new(pointer, rule.to_owned(), shortened(text))
}

fn shortened(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let ends = text.char_indices().map(|(at, _)| at);
    let end = ends.take_while(|end| *end <= TEXT_BYTES_MAX).last().unwrap_or(0);
    format!("{}…", &text[..end])
}
