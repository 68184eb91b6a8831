//! Without other nodes there is none that a session could come from.

use crate::hub::{Hub, Profile};
use crate::session::ResumeError;
use crate::sync::Arc;

use super::entry::Entering;
use super::event::system::Reconnect;
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
        _: impl Future<Output = ()>,
    ) -> Result<(), ResumeError> {
        match *self {}
    }
}
