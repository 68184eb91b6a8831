//! How a session begins on a connection, and how it goes on.

use std::pin::pin;

use crate::hub::Profile;
use crate::outbox::Sender;
use crate::protocol::Message;
use crate::sync::Arc;

use super::ack::ACK_EVERY;
use super::event::system::{self, Created, Reconnect, Restored};
use super::event::{Codec, Outgoing};
use super::link::{Link, Parts};
use super::member::{Member, SessionOf};
use super::routes::EventRoute;
use super::shared::Shared;
use super::visitor::Visitor;
use crate::session::{Opening, Resume, ResumeError, Session, Sessions};

/// Who comes in on which connection.
pub(super) struct Entering<'a> {
    pub(super) app: &'a Arc<Shared>,
    pub(super) route: &'a Arc<EventRoute>,
    pub(super) visitor: &'a Visitor,
    pub(super) connection: &'a Sender,
    /// The session with which the connection began, which is given up for another.
    pub(super) instead_of: Option<&'a Session>,
}

/// Why there is no session, for the close frame.
pub(super) struct NoEntry {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl Entering<'_> {
    /// A new session.
    pub(super) fn begin(&self, profile: Profile) -> Result<Arc<Link>, NoEntry> {
        let Self { app, route, visitor, connection, .. } = *self;
        let codec = route.codec;
        let first = |opening: &Opening<'_>| message(codec, system::CREATED, &created(opening));
        let session = app.sessions.create(connection, visitor.user_id(), first);
        let session = session.map_err(|error| NoEntry { code: 1013, reason: error.to_string() })?;
        let profile = profile.extension(SessionOf { id: session.id().to_string(), codec });
        match app.hub.register_placeless(session.sender(), profile) {
            Ok(registration) => {
                session.attach(Arc::new(Member::new(registration, route.clone())));
            }
            Err(error) => {
                let no_entry =
                    NoEntry { code: error.close_code().into(), reason: error.to_string() };
                app.sessions.end(&session, no_entry.code, &no_entry.reason);
                return Err(no_entry);
            }
        }
        if let Some(storing) = &app.storing {
            // From its first moment it survives this node.
            storing.hurry(&session);
        }
        self.link(session, false)
    }

    /// The session that the client asks for, which may have been [on another node](Self::bring); a new one where it cannot
    /// have it.
    pub(super) fn resume(
        &self,
        request: Option<&Reconnect>,
        brought: Result<(), ResumeError>,
        profile: Profile,
    ) -> Result<Arc<Link>, NoEntry> {
        let resumed = brought.and_then(|()| request.ok_or(ResumeError::Unknown));
        let resumed = resumed.and_then(|request| self.take_over(request));
        if let Some(given_up) = self.instead_of {
            // No code: the connection stays, and has no session now, or another one.
            self.app.end(given_up, 0, "");
        }
        let trace = self.visitor.request().trace();
        let reason = match resumed {
            Ok(link) => return link,
            Err(error @ ResumeError::TakenOver) => {
                trace.session("taken_over", "");
                return Err(NoEntry { code: 4001, reason: error.to_string() });
            }
            Err(ResumeError::Expired) => "expired",
            Err(ResumeError::Unknown) => "unknown",
            Err(_) => "history_lost",
        };
        // Not what was asked for: whoever asks may write anything there.
        trace.session(reason, "");
        let restored = Restored {
            restored: false,
            reason: Some(reason.to_owned()),
            gap: false,
            session: None,
        };
        // Whoever is gone already needs no answer.
        let _ = self.connection.try_send(message(self.route.codec, system::RESTORED, &restored));
        self.begin(profile)
    }

    /// Brings the session that the client asks for here, if it is on another node, or on none and in the store.
    ///
    /// Cancel safety: a session that is on its way stays where it was, or comes here and waits.
    pub(super) async fn bring(
        &self,
        request: Option<&Reconnect>,
        profile: &Profile,
        gone: impl Future<Output = ()>,
    ) -> Result<(), ResumeError> {
        let Some(request) = request else { return Ok(()) };
        let mut gone = pin!(gone);
        let brought = match &self.app.moving {
            Some(moving) => moving.bring(self, request, profile, gone.as_mut()).await,
            None => Ok(()),
        };
        let is_here = || self.app.sessions.get(&request.session_id).is_some();
        match (&self.app.storing, brought) {
            (Some(storing), Ok(()) | Err(ResumeError::Unknown)) if !is_here() => {
                let stored = storing.bring(self, request, profile, gone).await;
                // Whoever is too late is told so.
                if stored == Err(ResumeError::Unknown) { brought } else { stored }
            }
            (_, brought) => brought,
        }
    }

    fn take_over(&self, request: &Reconnect) -> Result<Result<Arc<Link>, NoEntry>, ResumeError> {
        let Self { app, route, visitor, connection, .. } = *self;
        let known = app.sessions.get(&request.session_id);
        let member = known.as_ref().and_then(Session::attached::<Member>);
        // What was kept for it is written in the codec of its route.
        if member.as_ref().is_some_and(|member| !Arc::ptr_eq(&member.route, route)) {
            return Err(ResumeError::Unknown);
        }
        let codec = route.codec;
        let shown = Sessions::hash_of(&request.token);
        let gap =
            member.zip(known).is_some_and(|(member, known)| member.gap.is_due(&known, &shown));
        let first = |opening: &Opening<'_>| {
            let session = Some(created(opening));
            let restored = Restored { restored: true, reason: None, gap, session };
            message(codec, system::RESTORED, &restored)
        };
        let resume = Resume {
            id: &request.session_id,
            token: &request.token,
            user: visitor.user_id(),
            received: request.received,
            acknowledged: request.acknowledged.unwrap_or(0),
            instead_of: self.instead_of,
        };
        let session = app.sessions.resume(connection, &resume, first)?;
        if let Some(member) = session.attached::<Member>() {
            member.gap.note(gap);
        }
        if let Some(storing) = &app.storing {
            // The client has another token from here on.
            storing.hurry(&session);
        }
        Ok(self.link(session, true))
    }

    fn link(&self, session: Session, is_resumed: bool) -> Result<Arc<Link>, NoEntry> {
        let Some(member) = session.attached::<Member>() else {
            // It has ended at this moment.
            return Err(NoEntry { code: 1013, reason: "the session is over".to_owned() });
        };
        if let (true, Some(identity)) = (is_resumed, self.visitor.identity()) {
            // The same user, or it were not resumed: with this token it lasts as long as this one.
            member.peer.renew(identity);
        }
        let what = if is_resumed { "resumed" } else { "begun" };
        self.visitor.request().trace().session(what, &session.id().to_string());
        Ok(Link::new(Parts {
            app: self.app.clone(),
            route: self.route.clone(),
            visitor: self.visitor.clone(),
            session,
            member,
            connection: self.connection.clone(),
            is_resumed,
        }))
    }
}

fn created(opening: &Opening<'_>) -> Created {
    Created {
        session_id: opening.id.to_string(),
        user_id: opening.user.map(str::to_owned),
        token: opening.token.to_owned(),
        expires_ms: crate::protocol::millis(opening.suspended_for),
        sent: opening.sent,
        received: opening.received,
        ack_every: ACK_EVERY as u32,
    }
}

/// An event of the protocol.
fn message<P: serde::Serialize>(codec: Codec, name: &str, payload: &P) -> Message {
    let event = Outgoing { name, payload, correlation_id: None, timestamp: None };
    // The names and payloads of the protocol can be written.
    Message::text(event.to_json(codec).unwrap_or_default())
}
