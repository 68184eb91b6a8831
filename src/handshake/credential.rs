//! Secrets that are offered as subprotocols, since browsers cannot set headers.

/// What an offered subprotocol begins with that is a token.
pub(crate) const BEARER_PREFIX: &str = "bearer.";

/// What an offered subprotocol begins with that is a room's password.
pub(crate) const ROOM_PASSWORD_PREFIX: &str = "room-password.";

/// Whether an offered subprotocol holds a token or a password, and so must neither be chosen nor
/// logged, nor be offered to another server.
#[must_use]
pub fn is_credential(subprotocol: &str) -> bool {
    subprotocol.starts_with(BEARER_PREFIX) || subprotocol.starts_with(ROOM_PASSWORD_PREFIX)
}
