//! Who somebody is.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::sync::Arc;

use super::{Claims, JwtError};

/// Who is at the other end of a connection. Cloning counts a reference.
///
/// Its `Debug` shows the id alone.
///
/// ```
/// use sockeye::auth::Identity;
///
/// let ann = Identity::new("42").with_name("Ann").with_role("admin");
/// assert_eq!((ann.id(), ann.name()), (Some("42"), Some("Ann")));
/// assert!(ann.has_role("admin") && Identity::guest().is_guest());
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

#[derive(Clone, Default)]
struct Inner {
    id: Option<String>,
    name: Option<String>,
    roles: Vec<String>,
    expires_at: Option<SystemTime>,
    claims: Option<Claims>,
}

impl Identity {
    /// The user of that id.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(Arc::new(Inner { id: Some(id.into()), ..Inner::default() }))
    }

    /// Somebody who got in without saying who: one who knows a room's password, say. Two guests are
    /// not the same user.
    #[must_use]
    pub fn guest() -> Self {
        Self(Arc::new(Inner::default()))
    }

    /// The user of a token: `sub` is the id, `name` the name, `roles` (a text or a list of texts) the
    /// roles, `exp` the end.
    ///
    /// # Errors
    /// [`JwtError::ClaimMissing`] without `sub` or with an empty one; [`JwtError::ClaimType`] for
    /// `roles` of another form.
    pub fn from_claims(claims: Claims) -> Result<Self, JwtError> {
        let id = claims.subject().filter(|id| !id.is_empty());
        let id = id.ok_or(JwtError::ClaimMissing("sub"))?.to_owned();
        let roles = claims.texts("roles").ok_or(JwtError::ClaimType("roles"))?;
        let inner = Inner {
            id: Some(id),
            name: claims.name().map(str::to_owned),
            roles: roles.into_iter().map(str::to_owned).collect(),
            expires_at: claims.expires_at(),
            claims: Some(claims),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// With a name to show.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        self.with(|inner| inner.name = Some(name.into()))
    }

    /// With one more role.
    #[must_use]
    pub fn with_role(self, role: impl Into<String>) -> Self {
        self.with(|inner| inner.roles.push(role.into()))
    }

    /// With an end.
    #[must_use]
    pub fn with_expiry(self, expires_at: SystemTime) -> Self {
        self.with(|inner| inner.expires_at = Some(expires_at))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The user; `None` for a guest.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// Whether nobody knows who it is.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.0.id.is_none()
    }

    /// A name to show. It is the user's choice, so it proves nothing.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// What the user may be.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.0.roles
    }

    /// Whether the user has that role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.0.roles.iter().any(|known| known == role)
    }

    /// When it ends; `None` when it does not.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }

    /// How long it is still good: zero when it has ended, `None` when it does not end.
    #[must_use]
    pub fn expires_in(&self, now: SystemTime) -> Option<Duration> {
        Some(self.0.expires_at?.duration_since(now).unwrap_or_default())
    }

    /// The claims of its token, where it came with one.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.0.claims.as_ref()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("id", &self.id()).finish_non_exhaustive()
    }
}
