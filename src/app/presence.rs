//! Rooms that are told who comes and who goes.

use std::collections::VecDeque;
use std::sync::Weak;

use serde::Serialize;

use crate::hub::{Except, Peer, PresenceChange, Room};
use crate::protocol::PreparedMessage;
use crate::sync::{Arc, Mutex, OnceLock};

use super::event::{Codec, Outgoing, PayloadKind};
use super::member::SessionOf;
use super::scratch;
use super::shared::Shared;

/// Changes that wait for a hub that is full; beyond it the oldest are not told.
const WAITING_MAX: usize = 65_536;

type Write = dyn Fn(&PresenceChange, Codec) -> Option<PreparedMessage> + Send + Sync;

/// Tells the members of rooms who comes and who goes, in order.
pub(super) struct Presence {
    write: Box<Write>,
    /// How it is written for somebody on another node, of whom no session is here.
    codec: Codec,
    waiting: Mutex<VecDeque<Told>>,
    /// Set when the application starts.
    app: OnceLock<Weak<Shared>>,
}

/// An event for a room.
struct Told {
    room: Room,
    message: PreparedMessage,
    except: Except,
}

impl Presence {
    pub(super) fn new<P: Serialize>(
        event: String,
        payload: impl Fn(&PresenceChange) -> P + Send + Sync + 'static,
    ) -> Self {
        let write = move |change: &PresenceChange, codec| {
            let payload = &payload(change);
            let event = Outgoing { name: &event, payload, correlation_id: None, timestamp: None };
            scratch::with(|buf| match event.write(codec, buf) {
                Ok(PayloadKind::Object) => {
                    // serde_json writes utf-8.
                    Some(PreparedMessage::new(std::str::from_utf8(buf).unwrap_or_default()))
                }
                // Nothing to be told, or nothing that can be.
                _ => None,
            })
        };
        let (waiting, app) = (Mutex::default(), OnceLock::new());
        Self { write: Box::new(write), codec: Codec::default(), waiting, app }
    }

    pub(super) fn with_codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    /// From here on there is who can wait for a hub that is full.
    pub(super) fn begin(&self, app: &Arc<Shared>) {
        // It starts once.
        let _ = self.app.set(Arc::downgrade(app));
    }

    /// Calls of this come one after the other, in the order of the changes.
    pub(super) fn tell(self: &Arc<Self>, change: &PresenceChange) {
        let session: Option<&SessionOf> = change.peer.as_ref().and_then(Peer::extension);
        let codec = session.map_or(self.codec, |session| session.codec);
        let Some(message) = (self.write)(change, codec) else { return };
        let except = change.peer.as_ref().map_or(Except::nobody(), |peer| peer.id().into());
        let told = Told { room: change.room.clone(), message, except };
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() && told.send() {
            return;
        }
        let is_first = waiting.is_empty();
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(told);
        drop(waiting);
        if let (true, Some(app)) = (is_first, self.app.get().and_then(Weak::upgrade)) {
            app.adopt(Box::pin(self.clone().tell_later()));
        }
    }

    /// Tells what waits when the hub takes it.
    async fn tell_later(self: Arc<Self>) {
        let first = || self.waiting.lock().front().map(|told| told.room.clone());
        while let Some(room) = first() {
            room.ready().await;
            let is_told = {
                let mut waiting = self.waiting.lock();
                while waiting.front().is_some_and(Told::send) {
                    waiting.pop_front();
                }
                waiting.is_empty()
            };
            if !is_told {
                // Its workers have their turn.
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Told {
    /// False: the hub is full.
    fn send(&self) -> bool {
        // Every node tells its own members.
        self.room.publish_here(&self.message, &self.except).is_ok()
    }
}
