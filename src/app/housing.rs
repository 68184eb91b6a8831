//! A session that was elsewhere finds its place here.

use crate::hub::cluster::{SessionState, Waiting};
use crate::hub::{Peer, Profile};
use crate::outbox::{KeptMessage, KeptState, Sender};
use crate::protocol::PreparedMessage;
use crate::session::{Arrival, Session};
use crate::sync::Arc;

use super::member::{Member, SessionOf};
use super::routes::EventRoute;
use super::shared::Shared;

/// Who comes here with a session.
pub(super) struct Guest<'a> {
    pub(super) app: &'a Arc<Shared>,
    pub(super) route: &'a Arc<EventRoute>,
    pub(super) connection: &'a Sender,
    pub(super) profile: Profile,
}

/// How far a session is here that was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Housed {
    /// In all of its rooms.
    InAll,
    /// It may not be in all of them.
    InSome,
    /// There is no room for it: it is no member, and cannot be one.
    Nowhere,
}

impl Guest<'_> {
    /// What was told becomes a session, which is in its rooms and cannot be resumed yet; what was said `beyond` that comes
    /// after what was told.
    pub(super) fn house(
        self,
        id: &str,
        (token, user): ([u8; 32], Option<&str>),
        state: SessionState,
        beyond: &[PreparedMessage],
    ) -> (Session, Housed) {
        let Self { app, route, connection, profile } = self;
        let SessionState {
            has_gap,
            received,
            sent,
            unsent,
            questions,
            rooms,
            metadata,
            messages,
            ..
        } = state;
        let messages = messages.into_iter().map(kept).collect();
        let unsent = usize::try_from(unsent).unwrap_or(usize::MAX);
        let kept = KeptState { sent, unsent, messages };
        let session = app.sessions.stage(connection, Arrival { id, token, user, received, kept });
        for message in beyond {
            // It has no connection, so it is kept.
            let _ = session.sender().try_broadcast(message);
        }
        let profile = profile.extension(SessionOf { id: id.to_owned(), codec: route.codec });
        let Ok(registration) = app.hub.register_bare(session.sender(), profile) else {
            return (session, Housed::Nowhere);
        };
        let peer = registration.peer();
        let refused = rooms.iter().filter(|room| peer.enter(room).is_err()).count();
        peer.restore_metadata(pairs(metadata));
        let member = Member::moved(registration, route.clone(), questions);
        if has_gap {
            member.gap.begin();
        }
        session.attach(Arc::new(member));
        (session, if refused == 0 { Housed::InAll } else { Housed::InSome })
    }
}

pub(super) fn waiting(message: KeptMessage) -> Waiting {
    let KeptMessage { key, is_text, compress, payload } = message;
    Waiting { key, is_text, compress, payload }
}

pub(super) fn kept(message: Waiting) -> KeptMessage {
    let Waiting { key, is_text, compress, payload } = message;
    KeptMessage { key, is_text, compress, payload }
}

pub(super) fn texts(peer: &Peer) -> Vec<Arc<str>> {
    let pairs = peer.all_metadata().into_iter();
    pairs.flat_map(|(key, value)| [key.into(), value.into()]).collect()
}

pub(super) fn pairs(metadata: Vec<Arc<str>>) -> impl Iterator<Item = (String, String)> {
    let mut texts = metadata.into_iter();
    std::iter::from_fn(move || Some((texts.next()?.to_string(), texts.next()?.to_string())))
}
