//! Routes as they are looked up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::Pin;

use crate::handshake::decode_query;
use crate::hub::Peer;
use crate::net::{NetStream, WebSocket};
use crate::protocol::CloseOutcome;
use crate::sync::Arc;

use super::check::{self, Check};
use super::context::Context;
use super::endpoint::Endpoint;
use super::event::{Codec, EventError, EventRef};
use super::guard::Guard;
use super::handle::Work;
use super::next::Middleware;
use super::visitor::Visitor;

pub(super) type OnOpen = dyn Fn(Context) -> Work + Send + Sync;
pub(super) type OnClose = dyn Fn(&Context, &CloseOutcome) + Send + Sync;
pub(super) type OnSocket = dyn Fn(WebSocket<NetStream>, Visitor, Peer) -> Pin<Box<dyn Future<Output = ()> + Send>>
    + Send
    + Sync;

/// A route whose connections speak events.
pub(super) struct EventRoute {
    /// The same on all nodes: its codec and path.
    #[allow(dead_code, reason = "without feature `pubsub` there is no other node")]
    pub(super) name: String,
    pub(super) codec: Codec,
    pub(super) endpoints: HashMap<Box<str>, Endpoint>,
    /// Of every message.
    pub(super) check: Option<Box<dyn Check>>,
    pub(super) middleware: Vec<Arc<Middleware>>,
    pub(super) on_open: Option<Box<OnOpen>>,
    pub(super) on_close: Vec<Box<OnClose>>,
}

impl EventRoute {
    /// That a message is as all of this route must be.
    pub(super) fn check(&self, event: &EventRef<'_>) -> Result<(), EventError> {
        let check = self.check.as_deref();
        check.map_or(Ok(()), |check| check::message(check, self.codec, event))
    }
}

/// What is done on the connections of a route.
#[derive(Clone)]
pub(super) enum Kind {
    Events(Arc<EventRoute>),
    Raw(Arc<OnSocket>),
}

/// A route.
pub(super) struct Entry {
    pub(super) guards: Vec<Box<Guard>>,
    pub(super) kind: Kind,
}

/// All routes of an application.
pub(super) struct Routes(pub(super) matchit::Router<Arc<Entry>>);

/// A route that was found, and the parameters of the path.
pub(super) struct Found {
    pub(super) entry: Arc<Entry>,
    pub(super) params: Vec<(String, String)>,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Unknown,
    /// A parameter has broken escapes, or is not utf-8.
    Undecodable,
}

impl Routes {
    pub(super) fn find(&self, path: &str) -> Result<Found, Lost> {
        let matched = self.0.at(path).map_err(|_| Lost::Unknown)?;
        let decoded = matched.params.iter().map(|(name, value)| {
            decode(value).map(|value| (name.to_owned(), value)).ok_or(Lost::Undecodable)
        });
        let params = decoded.collect::<Result<_, _>>()?;
        Ok(Found { entry: matched.value.clone(), params })
    }
}

/// Decodes `%XX`; in a path a `+` is one.
fn decode(value: &str) -> Option<String> {
    decode_query(&value.replace('+', "%2B")).map(Cow::into_owned)
}
