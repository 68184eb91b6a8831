//! Who opens a connection, and how.

use crate::auth::Identity;
use crate::net::Request;
use crate::sync::Arc;

/// Who opened a connection, and with which request. Cloning counts a reference.
#[derive(Clone)]
pub struct Visitor(Arc<Inner>);

struct Inner {
    request: Request,
    identity: Option<Identity>,
    params: Vec<(String, String)>,
}

impl Visitor {
    pub(super) fn new(
        request: Request,
        identity: Option<Identity>,
        params: Vec<(String, String)>,
    ) -> Self {
        Self(Arc::new(Inner { request, identity, params }))
    }

    /// Without the request.
    pub(super) fn into_parts(self) -> (Option<Identity>, Vec<(String, String)>) {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => (inner.identity, inner.params),
            // A guard has kept it.
            Err(shared) => (shared.identity.clone(), shared.params.clone()),
        }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// Who it is, where the application's authenticator knows.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.0.identity.as_ref()
    }

    /// The user; `None` for guests and those who did not say.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.identity()?.id()
    }

    /// What stands in the path for a parameter of the route, decoded.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.0.params.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Neither parameters nor headers: they may be secret.
impl std::fmt::Debug for Visitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visitor").field("identity", &self.0.identity).finish_non_exhaustive()
    }
}
