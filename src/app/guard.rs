//! Who may come in by a route.

use crate::auth::AuthError;

use super::visitor::Visitor;

/// A guard of a route, asked before the upgrade.
pub(super) type Guard = dyn Fn(&Visitor) -> Result<(), AuthError> + Send + Sync;

/// A guard that lets in users only: others get 401.
pub fn authenticated() -> impl Fn(&Visitor) -> Result<(), AuthError> + Send + Sync + 'static {
    |visitor| match visitor.user_id() {
        Some(_) => Ok(()),
        None => Err(AuthError::Missing),
    }
}

/// A guard that lets in those with a role: 401 for nobody, 403 for others.
pub fn role(
    role: impl Into<String>,
) -> impl Fn(&Visitor) -> Result<(), AuthError> + Send + Sync + 'static {
    let role = role.into();
    move |visitor| match visitor.identity() {
        Some(identity) if identity.has_role(&role) => Ok(()),
        Some(_) => Err(AuthError::Refused),
        None => Err(AuthError::Missing),
    }
}
