//! Where a request comes from.

use std::fmt;
use std::net::SocketAddr;

use http::Extensions;

use crate::sync::Arc;

type Find = dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync;

/// Finds the peer's address in the extensions of a request, where the server that accepted has put it.
#[derive(Clone)]
pub(super) struct Peer(Arc<Find>);

impl Peer {
    pub(super) fn new(
        find: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(find))
    }

    pub(super) fn of(&self, extensions: &Extensions) -> Option<SocketAddr> {
        (self.0)(extensions)
    }
}

/// A [`SocketAddr`] as it is.
impl Default for Peer {
    fn default() -> Self {
        Self::new(|extensions| extensions.get().copied())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}
