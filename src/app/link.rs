//! One connection of a session.

use crate::frame::CloseCode;
use crate::outbox::{SendError, Sender};
use crate::protocol::{CloseOutcome, Message, Rate, TokenBucket};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};

use super::ack::Owed;
use super::context::Context;
use super::disconnect::{Disconnect, Reconnect};
use super::endpoint::{Access, Endpoint};
use super::event::{EventError, Outgoing, system};
use super::member::Member;
use super::routes::EventRoute;
use super::scratch;
use super::shared::Shared;
use super::visitor::Visitor;
use crate::session::Session;

/// Bad events of one connection: so many at once, and then one a second. Beyond it is closed with 1008.
const BAD_EVENTS: Rate = Rate::per_second(1).burst(10);

type CloseHook = Box<dyn FnOnce(&CloseOutcome) + Send>;

/// A session on one connection.
pub(super) struct Link {
    pub(super) app: Arc<Shared>,
    pub(super) route: Arc<EventRoute>,
    pub(super) visitor: Visitor,
    pub(super) session: Session,
    pub(super) member: Arc<Member>,
    pub(super) connection: Sender,
    pub(super) is_resumed: bool,
    pub(super) owed: Owed,
    /// Nothing leaves with the turns of this connection any more.
    is_over: AtomicBool,
    buckets: Mutex<Buckets>,
    on_close: Mutex<Vec<CloseHook>>,
}

/// `None` while full.
#[derive(Debug, Default)]
struct Buckets {
    bad: Option<TokenBucket>,
    events: Option<TokenBucket>,
}

/// What a connection is made of.
pub(super) struct Parts {
    pub(super) app: Arc<Shared>,
    pub(super) route: Arc<EventRoute>,
    pub(super) visitor: Visitor,
    pub(super) session: Session,
    pub(super) member: Arc<Member>,
    pub(super) connection: Sender,
    pub(super) is_resumed: bool,
}

impl Link {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { app, route, visitor, session, member, connection, is_resumed } = parts;
        Arc::new(Self {
            app,
            route,
            visitor,
            session,
            member,
            connection,
            is_resumed,
            owed: Owed::default(),
            is_over: AtomicBool::new(false),
            buckets: Mutex::default(),
            on_close: Mutex::default(),
        })
    }

    /// Where an event is handled.
    pub(super) fn endpoint(&self, name: &str) -> Result<&Endpoint, EventError> {
        let Some(endpoint) = self.route.endpoints.get(name) else {
            return Err(EventError::new(404, "unknown event"));
        };
        if endpoint.access == Access::Users && self.visitor.user_id().is_none() {
            return Err(EventError::new(401, "authentication required"));
        }
        Ok(endpoint)
    }

    /// Counts a bad event, and closes the connection of who sends too many.
    pub(super) fn note_bad(&self) {
        let now_ms = self.app.now_ms();
        let mut buckets = self.buckets.lock();
        let bucket = buckets.bad.get_or_insert_with(|| TokenBucket::new(&BAD_EVENTS, now_ms));
        let taken = bucket.try_take(&BAD_EVENTS, 1, now_ms);
        drop(buckets);
        if taken.is_err() {
            // 1008 may be sent, and the reason is short.
            let _ = self.connection.close(CloseCode::PolicyViolation.into(), "too many bad events");
        }
    }

    /// Whether one more event is within the rate.
    pub(super) fn is_within_rate(&self) -> bool {
        let Some(rate) = &self.app.settings.event_rate else { return true };
        let now_ms = self.app.now_ms();
        let mut buckets = self.buckets.lock();
        let bucket = buckets.events.get_or_insert_with(|| TokenBucket::new(rate, now_ms));
        bucket.try_take(rate, 1, now_ms).is_ok()
    }

    /// Says what went wrong; what there is no room for comes back.
    pub(super) fn fail(&self, error: EventError, correlation_id: Option<&str>) -> Option<Message> {
        let name = self.route.codec.error_name();
        let payload = &system::Failure::from(error);
        self.write(&Outgoing { name, payload, correlation_id, timestamp: None }).unwrap_or_default()
    }

    /// Sends an event that leaves with this turn of the connection; what there is no room for comes back.
    pub(super) fn write<P: serde::Serialize + ?Sized>(
        &self,
        event: &Outgoing<'_, P>,
    ) -> Result<Option<Message>, super::event::UnwritableEvent> {
        scratch::with(|buf| {
            event.write(self.route.codec, buf)?;
            Ok(self.answer(buf))
        })
    }

    /// The same for one that is written already.
    pub(super) fn answer(&self, json: &[u8]) -> Option<Message> {
        // serde_json writes utf-8.
        let text = std::str::from_utf8(json).unwrap_or_default();
        let sender = self.session.sender();
        let is_here = !self.is_over.load(Ordering::Relaxed)
            && self.session.connection() == Some(self.connection.id());
        // Where another connection has the session, this is not its turn.
        let sent = if is_here { sender.feed(text) } else { sender.try_send(text) };
        match sent {
            Ok(_) | Err(SendError::Closed) => None,
            Err(_) => Some(Message::text(text)),
        }
    }

    /// Calls this when the connection is over; at once when it is.
    pub(super) fn on_close(&self, call: CloseHook) {
        self.on_close.lock().push(call);
    }

    /// Nothing leaves with the turns of this connection any more.
    pub(super) fn leave(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The connection is over. The session is suspended, or ends with it when nobody comes back.
    pub(super) fn end(self: &Arc<Self>, outcome: &CloseOutcome) {
        let context = Context::of_link(self.clone());
        for call in &self.route.on_close {
            context.guarded(|| call(&context, outcome));
        }
        for call in std::mem::take(&mut *self.on_close.lock()) {
            context.guarded(|| call(outcome));
        }
        self.member.note_closed(outcome.code);
        let is_still_here = self.app.sessions.suspend(&self.session, self.connection.id());
        let is_last = Disconnect::from(outcome.code).advice() == Reconnect::Never;
        if is_still_here && (is_last || self.app.is_stopping()) {
            self.app.end(&self.session, outcome.code.into(), "");
        } else if let (true, Some(storing)) = (is_still_here, &self.app.storing) {
            storing.hurry(&self.session);
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("connection", &self.connection.id()).finish_non_exhaustive()
    }
}
