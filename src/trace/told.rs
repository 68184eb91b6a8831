//! With the feature `tracing`.

use std::fmt;
use std::net::SocketAddr;

use tracing::field::{Empty, display};
use tracing::{Level, Span, event, info_span};

use crate::handshake::{RequestHead, TraceContext};
use crate::protocol::{CloseCause, CloseOutcome, Initiator, Overflow};

/// As much of a path, a user or a session as is told, in bytes: they come from outside.
const TEXT_BYTES_MAX: usize = 256;

/// A connection's span. Nothing, and no memory, where nobody traces; a connection that began so is not traced later either.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Box<Span>>);

impl Trace {
    /// The span of a server's connection, from the handshake on.
    pub(crate) fn server(head: &RequestHead, peer: Option<SocketAddr>) -> Self {
        let span = info_span!(
            target: "sockeye",
            "websocket",
            role = "server",
            path = beginning(head.path()),
            peer = Empty,
            id = Empty,
            user = Empty,
            trace_id = Empty,
            parent_id = Empty,
        );
        if span.is_disabled() {
            return Self(None);
        }
        if let Some(peer) = peer {
            span.record("peer", display(peer));
        }
        if let Some(context) = TraceContext::from_headers(head.request().headers()) {
            span.record("trace_id", display(format_args!("{:032x}", context.trace_id())));
            span.record("parent_id", display(format_args!("{:016x}", context.parent_id())));
        }
        Self(Some(Box::new(span)))
    }

    /// The span of a client's connection, from the end of the handshake on.
    pub(crate) fn client(host: &str, port: u16) -> Self {
        let span =
            info_span!(target: "sockeye", "websocket", role = "client", host, port, id = Empty);
        Self((!span.is_disabled()).then(|| Box::new(span)))
    }

    /// Whether anybody hears of it.
    pub(crate) const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The span, which is none where nobody traces.
    pub(crate) fn span(&self) -> Span {
        self.0.as_deref().cloned().unwrap_or_else(Span::none)
    }

    /// It came to nothing.
    pub(crate) fn refused(&self, status: u16, by: &'static str) {
        if let Some(span) = &self.0 {
            event!(target: "sockeye", parent: &**span, Level::DEBUG, status, by, "refused");
        }
    }

    /// The handshake is done.
    pub(crate) fn opened(&self, id: u64) {
        if let Some(span) = &self.0 {
            span.record("id", id);
            event!(target: "sockeye", parent: &**span, Level::DEBUG, "open");
        }
    }

    /// Who it is.
    #[allow(dead_code, reason = "for those who know users")]
    pub(crate) fn user(&self, user: Option<&str>) {
        if let (Some(span), Some(user)) = (&self.0, user) {
            span.record("user", beginning(user));
        }
    }

    /// A session begins on it, goes on, or cannot go on.
    #[allow(dead_code, reason = "for sessions of an application")]
    pub(crate) fn session(&self, what: &'static str, session: &str) {
        if let Some(span) = &self.0 {
            let session = beginning(session);
            event!(target: "sockeye", parent: &**span, Level::DEBUG, what, session, "session");
        }
    }

    /// The outbox dropped messages.
    pub(crate) fn dropped(&self, policy: Overflow, messages: usize) {
        if let Some(span) = &self.0 {
            let policy = policy_of(policy);
            event!(target: "sockeye", parent: &**span, Level::DEBUG, policy, messages, "dropped");
        }
    }

    /// It is over.
    pub(crate) fn ended(&self, outcome: impl FnOnce() -> CloseOutcome, dropped: u64) {
        let Some(span) = &self.0 else { return };
        let CloseOutcome { code, initiator, clean, cause, .. } = outcome();
        let (code, by) = (u16::from(code), by(initiator));
        match cause {
            CloseCause::Violation(violation) => event!(
                target: "sockeye", parent: &**span, Level::INFO,
                code, by, %violation, section = violation.section(), dropped, "violation"
            ),
            cause => event!(
                target: "sockeye", parent: &**span, Level::DEBUG,
                code, by, clean, ?cause, dropped, "closed"
            ),
        }
    }

    /// A handshake came to nothing before it was known what was asked for.
    pub(crate) fn unasked(status: Option<u16>, why: &dyn fmt::Display) {
        event!(target: "sockeye", Level::DEBUG, status, %why, "refused");
    }
}

/// What of a text is told: whole characters.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

const fn by(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Local => "us",
        Initiator::Peer => "peer",
    }
}

const fn policy_of(policy: Overflow) -> &'static str {
    match policy {
        Overflow::Block { .. } => "block",
        Overflow::DropNewest => "drop_newest",
        Overflow::DropOldest => "drop_oldest",
        Overflow::Close => "close",
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("is_some", &self.is_some()).finish()
    }
}
