//! What few outboxes have: senders that wait for pongs, a session, and somebody who traces.

use crate::protocol::Overflow;
use crate::trace::Trace;

use super::kept::Kept;
use super::pings::Pings;

/// One pointer where there is nothing of it, for every idle connection has one.
#[derive(Default)]
pub(super) struct Rare(Option<Box<Parts>>);

#[derive(Default)]
struct Parts {
    pings: Pings,
    kept: Option<Box<Kept>>,
    serves_session: bool,
    trace: Trace,
}

impl Rare {
    /// Who waits for pongs, if anybody ever did.
    pub(super) fn pings(&mut self) -> Option<&mut Pings> {
        self.0.as_mut().map(|parts| &mut parts.pings)
    }

    pub(super) fn pings_or_new(&mut self) -> &mut Pings {
        &mut self.0.get_or_insert_default().pings
    }

    /// Whether what leaves is kept for a session.
    #[inline]
    pub(super) fn has_kept(&self) -> bool {
        self.0.as_ref().is_some_and(|parts| parts.kept.is_some())
    }

    /// What leaves is kept for a session.
    #[inline]
    pub(super) fn kept(&mut self) -> Option<&mut Kept> {
        self.0.as_mut()?.kept.as_deref_mut()
    }

    /// From here on what leaves is kept.
    pub(super) fn keep(&mut self, kept: Kept) {
        let parts = self.0.get_or_insert_default();
        parts.kept = Some(Box::new(kept));
        parts.serves_session = true;
    }

    pub(super) fn take_kept(&mut self) -> Option<Box<Kept>> {
        self.0.as_mut()?.kept.take()
    }

    /// What becomes of messages is told in this span.
    pub(super) fn set_trace(&mut self, trace: Trace) {
        if trace.is_some() {
            self.0.get_or_insert_default().trace = trace;
        }
    }

    pub(super) fn take_trace(&mut self) -> Trace {
        self.0.as_mut().map(|parts| std::mem::take(&mut parts.trace)).unwrap_or_default()
    }

    /// Messages were dropped.
    pub(super) fn note_dropped(&self, policy: Overflow, messages: usize) {
        if let Some(parts) = &self.0 {
            parts.trace.dropped(policy, messages);
        }
    }

    /// It serves a session, or did: what it loses is not lost to that.
    pub(super) fn serves_session(&self) -> bool {
        self.0.as_ref().is_some_and(|parts| parts.serves_session)
    }
}
