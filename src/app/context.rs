//! What a handler is given beside the payload.

use std::any::{Any, TypeId};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::Serialize;

use crate::auth::Identity;
use crate::frame::CloseFrame;
use crate::handshake::TraceContext;
use crate::hub::{History, Hub, JoinError, Page, Peer};
use crate::outbox::Sent;
use crate::protocol::{CloseOutcome, Message};
use crate::sync::Arc;

use super::audience::{Audience, To};
use super::correlation::CorrelationId;
use super::disconnect::Disconnect;
use super::endpoint::Named;
use super::error::{EventSendError, RequestError};
use super::event::system::Failure;
use super::event::{Event, EventError, Outgoing, PayloadKind};
use super::fault::Fault;
use super::link::Link;
use super::reply::IntoReply;
use super::scratch;
use super::shown::shown;
use super::visitor::Visitor;

/// Who sent an event, and ways to answer. It owns what it holds, so it may go into tasks; cloning counts
/// references.
///
/// Rooms hold sessions: a client that comes back is in them still.
#[derive(Clone)]
pub struct Context {
    link: Arc<Link>,
    /// `None` outside of events.
    named: Option<Arc<Named>>,
    correlation_id: CorrelationId,
}

impl Context {
    pub(super) fn new(link: Arc<Link>, named: Arc<Named>, correlation_id: Option<&str>) -> Self {
        Self { link, named: Some(named), correlation_id: CorrelationId::new(correlation_id) }
    }

    /// For what is about no event.
    pub(super) const fn of_link(link: Arc<Link>) -> Self {
        Self { link, named: None, correlation_id: CorrelationId::NONE }
    }

    /// The same for an event of another name.
    pub(super) fn of(mut self, named: &Arc<Named>) -> Self {
        self.named = Some(named.clone());
        self
    }

    pub(super) const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    // Who it is.

    /// The session's public name: it may be told to others, and resumes nothing.
    #[must_use]
    pub fn session_id(&self) -> &str {
        self.link.session.id().as_str()
    }

    /// The user; `None` for guests and those who did not say.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.link.visitor.user_id()
    }

    /// Who it is, where the application's authenticator knows: name, roles, claims.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.link.visitor.identity()
    }

    /// Who opened this connection: the request, the parameters of its path.
    #[must_use]
    pub fn visitor(&self) -> &Visitor {
        &self.link.visitor
    }

    /// Which trace the connection's request belongs to: see [`Request::trace_context`](crate::Request::trace_context).
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        self.visitor().request().trace_context()
    }

    /// What stands in the path for a parameter of the route.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.link.visitor.param(name)
    }

    /// The session as the hub knows it: rooms, notes, its sender.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.link.member.peer
    }

    /// Whether the session was on another connection before this one.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.link.is_resumed
    }

    // The event.

    /// The event's name; empty outside of events.
    #[must_use]
    pub fn event(&self) -> &str {
        self.named.as_deref().map_or("", |named| named.event.as_str())
    }

    /// What ties its answer to it, where the client wants one.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_str()
    }

    // To the client.

    /// Answers the event: its correlation id comes back.
    ///
    /// # Errors
    /// When the event cannot be written or the client's outbox does not take it.
    pub fn reply<P: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &P,
    ) -> Result<Sent, EventSendError> {
        self.send_with(event, payload, self.correlation_id())
    }

    /// Sends an event that answers none.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn send<P: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &P,
    ) -> Result<Sent, EventSendError> {
        self.send_with(event, payload, None)
    }

    /// Answers the event with an error. A handler that ends with it returns an [`EventError`] instead.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn error(&self, code: i32, message: impl Into<String>) -> Result<Sent, EventSendError> {
        let failure = Failure::from(EventError::new(code, message));
        self.reply(self.link.route.codec.error_name(), &failure)
    }

    /// Asks the client and waits for its answer, which is an event with the question's correlation id. The
    /// question and its answer survive a reconnect.
    ///
    /// # Errors
    /// [`RequestError::Timeout`] when no answer comes in time, [`RequestError::Refused`] when it is an error; when the question was not sent, the session ended or
    /// 256 questions of it wait.
    ///
    /// Cancel safety: dropping the future forgets the question; its answer is passed over.
    pub async fn request<P: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &P,
        timeout: Duration,
    ) -> Result<Event, RequestError> {
        let asked = self.link.member.requests.ask()?;
        self.send_with(event, payload, Some(&asked.id()))?;
        let answer = tokio::time::timeout(timeout, asked.answer()).await;
        let answer = answer.unwrap_or(Err(RequestError::Timeout { timeout }))?;
        if answer.name() == self.link.route.codec.error_name() {
            // One that cannot be read is an error all the same.
            let failure = answer.payload::<Failure>().map(EventError::from);
            return Err(RequestError::Refused(failure.unwrap_or_else(|error| error)));
        }
        Ok(answer)
    }

    /// Ends the session and its connection, behind what was sent. A reason that is longer than 123 bytes is left out,
    /// and for a code that may not be sent it is 4000.
    pub fn disconnect(&self, why: Disconnect, reason: &str) {
        let is_lawful = |code, reason| CloseFrame::new(code, reason).is_ok();
        let reason = if is_lawful(4000, reason) { reason } else { "" };
        let code = if is_lawful(why.code(), reason) { why.code() } else { 4000 };
        self.link.member.note_closed(code.into());
        self.link.app.end(&self.link.session, code, reason);
    }

    // To others.

    /// Joins a room; being in it already is no error.
    ///
    /// # Errors
    /// When a limit or the application says no, or the session is over.
    pub fn join(&self, room: &str) -> Result<(), JoinError> {
        self.peer().join(room).map(drop)
    }

    /// Joins a room, and gives as many of the last events that were [kept](Audience::keep) in it: what is in the page was
    /// said before, and what comes was said after it, however late the answer is. To somebody who is in the room
    /// already what was said last may come as well.
    ///
    /// A page may be returned, for it serialises: `{"events":[{"number":7,"ageMs":1500,"event":{...}}],"hasMore":true,
    /// "epoch":1}`. The page before it is `context.history().before(room, Some(7), 50)`.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_with_history(&self, room: &str, count: usize) -> Result<Page, JoinError> {
        let mut last = Page::default();
        self.history().join(self.peer(), room, count, |page, _| last = page.clone())?;
        Ok(last)
    }

    /// Leaves a room. False: it was not in it.
    pub fn leave(&self, room: &str) -> bool {
        self.peer().leave(room)
    }

    /// To speak to a room. Its members should be of routes with this one's codec.
    pub fn to_room(&self, room: &str) -> Audience {
        self.audience(To::Room(room.to_owned()))
    }

    /// To speak to all sessions.
    pub fn to_all(&self) -> Audience {
        self.audience(To::All)
    }

    /// To speak to all sessions of a user.
    pub fn to_user(&self, user: &str) -> Audience {
        self.audience(To::User(user.to_owned()))
    }

    /// To speak to one session of this node, by its [id](Self::session_id) and in its own codec. One that waits for its
    /// client is told when that comes back.
    pub fn to_session(&self, id: &str) -> Audience {
        self.audience(To::Session(id.to_owned()))
    }

    fn audience(&self, to: To) -> Audience {
        Audience::new(self.link.app.clone(), self.link.route.codec, to, Some(self.peer().id()))
    }

    // The application.

    /// The hub: rooms, connections, metrics.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.link.app.hub
    }

    /// What was [kept](Audience::keep) in rooms, in pages.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.link.app.history
    }

    /// What the application [keeps](super::App::state) of this type.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.link.app.settings.state.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Calls this when the connection is over: for timers and subscriptions. May be called several times: each is
    /// called, in that order.
    pub fn on_close(&self, call: impl FnOnce(&CloseOutcome) + Send + 'static) {
        self.link.on_close(Box::new(call));
    }

    // The app's own.

    pub(super) fn handler_timeout(&self) -> Duration {
        self.link.app.settings.handler_timeout
    }

    /// Sends what a handler came to; what there is no room for comes back.
    pub(super) fn finish<R: IntoReply<M>, M>(&self, result: Result<R, Fault>) -> Option<Message> {
        let result = match result {
            Ok(result) => result,
            Err(fault) => return self.fault(&fault),
        };
        // The value's own code may panic.
        let finished = catch_unwind(AssertUnwindSafe(|| {
            result.into_result().and_then(|value| Ok(self.acknowledge(&value)?))
        }));
        match finished {
            Ok(Ok(unsent)) => unsent,
            Ok(Err(error)) => self.fail(error),
            Err(panic) => self.fault(&Fault::of_panic(&*panic)),
        }
    }

    /// The value that a handler returned is its answer; nothing is none.
    fn acknowledge<P: Serialize>(
        &self,
        payload: &P,
    ) -> Result<Option<Message>, super::event::UnwritableEvent> {
        let name = self.named.as_deref().map_or("", |named| named.ack.as_str());
        let event =
            Outgoing { name, payload, correlation_id: self.correlation_id(), timestamp: None };
        scratch::with(|buf| {
            Ok(match event.write(self.link.route.codec, buf)? {
                PayloadKind::Object => self.link.answer(buf),
                PayloadKind::Nothing => None,
            })
        })
    }

    /// An error of a handler: shown, or masked and reported.
    fn fail(&self, error: Box<dyn Error + Send + Sync>) -> Option<Message> {
        let shown = match error.downcast::<EventError>() {
            Ok(shown) => {
                if let Some(source) = shown.behind() {
                    self.report(source);
                }
                *shown
            }
            Err(error) => shown(&*error).unwrap_or_else(|| {
                self.report(&*error);
                EventError::internal()
            }),
        };
        self.link.fail(shown, self.correlation_id())
    }

    pub(super) fn fault(&self, fault: &Fault) -> Option<Message> {
        self.report(fault);
        self.link.fail(fault.shown(), self.correlation_id())
    }

    /// Tells the application alone.
    pub(super) fn note(&self, fault: &Fault) {
        self.report(fault);
    }

    fn report(&self, error: &(dyn Error + Send + Sync + 'static)) {
        // A hook that panics has said enough.
        let _ = catch_unwind(AssertUnwindSafe(|| self.link.app.report(self, error)));
    }

    /// Calls what may panic, which is reported.
    pub(super) fn guarded(&self, call: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
            self.report(&Fault::of_panic(&*panic));
        }
    }

    /// Sends what there was no room for when there is.
    pub(super) async fn deliver(&self, message: Message) {
        // It is closed, or has not read for long: the outbox's policy has dealt with it.
        let _ = self.link.session.sender().send(message).await;
    }

    fn send_with<P: Serialize + ?Sized>(
        &self,
        name: &str,
        payload: &P,
        correlation_id: Option<&str>,
    ) -> Result<Sent, EventSendError> {
        let event = Outgoing { name, payload, correlation_id, timestamp: None };
        let json = event.to_json(self.link.route.codec)?;
        Ok(self.link.session.sender().try_send(json)?)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("session_id", &self.session_id())
            .field("event", &self.event())
            .finish_non_exhaustive()
    }
}
