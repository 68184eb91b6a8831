//! What is done about a message of the client.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::protocol::{Message, MessageRef};
use crate::sync::Arc;

use super::context::Context;
use super::endpoint::Named;
use super::event::system::{self, Ack};
use super::event::{EventError, EventRef, MalformedEvent, Outgoing};
use super::fault::Fault;
use super::handle::Work;
use super::link::Link;
use super::next::Next;
use super::requests;

/// A message that was looked at.
pub(super) enum Received<'a> {
    Event(EventRef<'a>),
    Bad { error: EventError, correlation_id: Option<Cow<'a, str>> },
}

impl<'a> Received<'a> {
    /// Whether it is for the protocol itself or the answer to a question, and not for a handler: it overtakes
    /// events that wait for theirs.
    pub(super) fn is_urgent(&self) -> bool {
        match self {
            Self::Event(event) => event.is_system() || is_answer(event),
            Self::Bad { .. } => false,
        }
    }

    /// Who comes back says so first.
    pub(super) fn reconnect(&self) -> Option<&EventRef<'a>> {
        match self {
            Self::Event(event) if event.name() == system::RECONNECT => Some(event),
            _ => None,
        }
    }
}

/// An error may be one, too: the client cannot do what it is asked.
fn is_answer(event: &EventRef<'_>) -> bool {
    let may_be = !event.is_system() || event.name() == system::ERROR;
    may_be && event.correlation_id().is_some_and(|id| id.starts_with(requests::PREFIX))
}

impl Link {
    /// Looks at a message.
    pub(super) fn read<'a>(&self, message: MessageRef<'a>) -> Received<'a> {
        let MessageRef::Text(text) = message else {
            let error = EventError::new(415, "events are text messages");
            return Received::Bad { error, correlation_id: None };
        };
        let codec = self.route.codec;
        let bytes_max = self.app.settings.event_bytes_max;
        if text.len() > bytes_max {
            let error = EventError::new(413, format!("longer than {bytes_max} bytes"));
            return Received::Bad { error, correlation_id: codec.correlation_id(text) };
        }
        let bad = |error: MalformedEvent| {
            let (error, correlation_id) = (error.into(), codec.correlation_id(text));
            Received::Bad { error, correlation_id }
        };
        codec.parse(text).map_or_else(bad, Received::Event)
    }

    /// Counts what counts. False: the session is another connection's.
    pub(super) fn counts(self: &Arc<Self>, received: &Received<'_>) -> bool {
        match received {
            Received::Event(event) if matches!(event.name(), system::ACK | system::RECONNECT) => {
                true
            }
            _ => self.count(),
        }
    }

    /// Handles what was counted; gives what is left to do.
    pub(super) fn handle(self: &Arc<Self>, received: &Received<'_>) -> Option<Work> {
        let unsent = match received {
            Received::Bad { error, correlation_id } => {
                self.refuse(error.clone(), correlation_id.as_deref())
            }
            Received::Event(event) if is_answer(event) => {
                self.member.requests.answer(event.to_event());
                None
            }
            Received::Event(event) if event.is_system() => self.handle_system(event),
            Received::Event(event) if !self.is_within_rate() => {
                self.refuse(EventError::new(429, "too many events"), event.correlation_id())
            }
            Received::Event(event) => match self.work(event) {
                Ok(work) => return Some(work),
                Err(unsent) => unsent,
            },
        };
        unsent.map(|message| self.later(message))
    }

    /// A bad event: its sender is told, and may not go on like this.
    fn refuse(&self, error: EventError, correlation_id: Option<&str>) -> Option<Message> {
        let unsent = self.fail(error, correlation_id);
        self.note_bad();
        unsent
    }

    fn handle_system(&self, event: &EventRef<'_>) -> Option<Message> {
        let correlation_id = event.correlation_id();
        match event.name() {
            system::ACK => {
                let acknowledged = event.payload::<Ack>().and_then(|ack| {
                    let error = |_| EventError::new(400, "more is acknowledged than was sent");
                    self.session.acknowledge(self.connection.id(), ack.received).map_err(error)
                });
                acknowledged.err().and_then(|error| self.refuse(error, correlation_id))
            }
            system::PING => {
                let event = event.to_event();
                let payload = &event.raw_payload();
                self.write(&Outgoing {
                    name: system::PONG,
                    payload,
                    correlation_id,
                    timestamp: None,
                })
                .unwrap_or_default()
            }
            system::PONG => None,
            system::RECONNECT => {
                let error = EventError::new(409, "only the first message of a connection resumes");
                self.refuse(error, correlation_id)
            }
            _ => self.refuse(EventError::new(404, "unknown event"), correlation_id),
        }
    }

    /// The work of an event's handler. Where there is none the client was told, unless there was no room.
    fn work(self: &Arc<Self>, event: &EventRef<'_>) -> Result<Work, Option<Message>> {
        let correlation_id = event.correlation_id();
        // A payload's own code may panic, too.
        match catch_unwind(AssertUnwindSafe(|| self.begin(event))) {
            Ok(begun) => begun.map_err(|error| match error.code {
                404 => self.refuse(error, correlation_id),
                _ => self.fail(error, correlation_id),
            }),
            Err(panic) => {
                let context = Context::new(self.clone(), Named::new(event.name()), correlation_id);
                Err(context.fault(&Fault::of_panic(&*panic)))
            }
        }
    }

    fn begin(self: &Arc<Self>, event: &EventRef<'_>) -> Result<Work, EventError> {
        self.route.check(event)?;
        let correlation_id = event.correlation_id();
        if !self.route.middleware.is_empty() {
            let context = Context::new(self.clone(), Named::new(event.name()), correlation_id);
            return Ok(Next::new(context, event.to_event()).work());
        }
        let endpoint = self.endpoint(event.name())?;
        endpoint.check(|| event.payload())?;
        let context = Context::new(self.clone(), endpoint.named.clone(), correlation_id);
        endpoint.handle.work(context, event)
    }

    /// Sends what there was no room for when there is.
    fn later(&self, message: Message) -> Work {
        let sender = self.session.sender().clone();
        Box::pin(async move {
            // It is closed, or has not read for long: the outbox's policy has dealt with it.
            let _ = sender.send(message).await;
        })
    }
}
