//! Without other nodes there is none that a session could come from, and no store.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::hub::{Hub, Profile};
use crate::session::{ResumeError, Session, SessionId};
use crate::sync::Arc;

use super::entry::Entering;
use super::event::system::Reconnect;
use super::last::Last;
use super::shared::Shared;

/// The other nodes: there are none.
pub(super) enum Moving {}

impl Moving {
    pub(super) const fn of(_: &Hub) -> Option<Self> {
        None
    }

    pub(super) fn place(&self) -> String {
        match *self {}
    }

    pub(super) fn has_others(&self) -> bool {
        match *self {}
    }

    pub(super) fn begin(&self, _: &Arc<Shared>) {
        match *self {}
    }

    pub(super) async fn bring(
        &self,
        _: &Entering<'_>,
        _: &Reconnect,
        _: &Profile,
        _: Pin<&mut (impl Future<Output = ()> + ?Sized)>,
    ) -> Result<(), ResumeError> {
        match *self {}
    }
}

/// What sessions are kept in: nothing.
#[derive(Clone, Copy)]
pub(super) enum Storage {}

/// The store: there is none.
pub(super) enum Storing {}

impl Storing {
    pub(super) const fn new(storage: Storage, _: &Hub, _: Option<&Moving>, _: Duration) -> Self {
        match storage {}
    }

    pub(super) async fn bring(
        &self,
        _: &Entering<'_>,
        _: &Reconnect,
        _: &Profile,
        _: Pin<&mut (impl Future<Output = ()> + ?Sized)>,
    ) -> Result<(), ResumeError> {
        match *self {}
    }

    pub(super) fn hurry(&self, _: &Session) {
        match *self {}
    }

    pub(super) fn end(&self, _: &SessionId) {
        match *self {}
    }

    pub(super) async fn finish(&self, _: Last, _: Option<Instant>) {
        match *self {}
    }
}

/// There is nothing to write.
pub(super) async fn write(_: Arc<Shared>) {}
