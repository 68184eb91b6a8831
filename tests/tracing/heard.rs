//! A subscriber that keeps all it hears.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

/// What was heard. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Kept>);

#[derive(Default)]
struct Kept {
    next: AtomicU64,
    /// The fields of each span, and how often it was opened and closed.
    spans: Mutex<HashMap<u64, (Fields, usize)>>,
    events: Mutex<Vec<Told>>,
}

/// By name.
pub(crate) type Fields = HashMap<&'static str, String>;

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) level: tracing::Level,
    pub(crate) span: Option<u64>,
    pub(crate) fields: Fields,
}

impl Told {
    pub(crate) fn message(&self) -> &str {
        &self.fields["message"]
    }
}

impl Heard {
    /// Hears what this thread does, as long as the guard is kept.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        let heard = Self::default();
        (heard.clone(), tracing::subscriber::set_default(heard))
    }

    /// The fields of all spans, in their order.
    pub(crate) fn spans(&self) -> Vec<(u64, Fields)> {
        let spans = self.0.spans.lock().unwrap();
        let mut spans: Vec<_> = spans.iter().map(|(id, span)| (*id, span.0.clone())).collect();
        spans.sort_by_key(|(id, _)| *id);
        spans
    }

    /// Spans that somebody still has.
    pub(crate) fn open_spans(&self) -> usize {
        self.0.spans.lock().unwrap().values().filter(|span| span.1 > 0).count()
    }

    /// All events, in their order.
    pub(crate) fn events(&self) -> Vec<Told> {
        self.0.events.lock().unwrap().clone()
    }

    /// The messages of the events in a span.
    pub(crate) fn story(&self, span: u64) -> Vec<String> {
        let events = self.events().into_iter().filter(|event| event.span == Some(span));
        events.map(|event| event.message().to_owned()).collect()
    }

    /// The one event with this message.
    #[track_caller]
    pub(crate) fn one(&self, message: &str) -> Told {
        let events = self.events();
        let mut found = events.iter().filter(|event| event.message() == message);
        match (found.next(), found.next()) {
            (Some(event), None) => event.clone(),
            _ => panic!("not one {message:?}: {events:#?}"),
        }
    }

    /// Everything that was heard, as one text.
    pub(crate) fn all(&self) -> String {
        let mut text = String::new();
        for (_, fields) in self.spans() {
            let _ = writeln!(text, "{fields:?}");
        }
        for event in self.events() {
            let _ = writeln!(text, "{:?}", event.fields);
        }
        text
    }
}

struct Write<'a>(&'a mut Fields);

impl Visit for Write<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("sockeye")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = 1 + self.0.next.fetch_add(1, Ordering::SeqCst);
        let mut fields = Fields::new();
        span.record(&mut Write(&mut fields));
        self.0.spans.lock().unwrap().insert(id, (fields, 1));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.spans.lock().unwrap();
        values.record(&mut Write(&mut spans.get_mut(&span.into_u64()).unwrap().0));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Write(&mut fields));
        let span = event.parent().map(Id::into_u64);
        let level = *event.metadata().level();
        self.0.events.lock().unwrap().push(Told { level, span, fields });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn clone_span(&self, id: &Id) -> Id {
        self.0.spans.lock().unwrap().get_mut(&id.into_u64()).unwrap().1 += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.0.spans.lock().unwrap();
        let (_, count) = spans.get_mut(&id.into_u64()).unwrap();
        *count -= 1;
        *count == 0
    }
}
