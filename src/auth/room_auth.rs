//! Room passwords and tokens together.

use super::{AuthError, Authenticator, Credentials, Identity, JwtVerifier, RoomPasswords, Secret};

/// Rooms with passwords, and users with tokens: who knows the room's password gets in, and is the user
/// of the token where there is one, else a guest.
///
/// One secret serves both; what is summed for one is never taken for the other. A token that is not
/// good is refused even where none is needed.
///
/// ```
/// use sockeye::auth::{RoomAuth, Secret};
///
/// # fn of_the_environment() -> Vec<u8> { vec![7; 32] }
/// let auth = RoomAuth::new(Secret::new(of_the_environment())?);
/// auth.passwords().set("chat", "swordfish")?;
/// # Ok::<(), sockeye::auth::SetupError>(())
/// ```
#[derive(Debug)]
pub struct RoomAuth {
    passwords: RoomPasswords,
    verifier: JwtVerifier,
    tokens: Tokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    Optional,
    Required,
}

impl RoomAuth {
    /// Both with one secret and their defaults. No room has a password yet, so none lets anybody in.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self::from_parts(RoomPasswords::new(secret.clone()), JwtVerifier::new(secret))
    }

    /// Passwords and a verifier that were set up by themselves.
    #[must_use]
    pub fn from_parts(passwords: RoomPasswords, verifier: JwtVerifier) -> Self {
        Self { passwords, verifier, tokens: Tokens::Optional }
    }

    /// Takes no guests: a token is required as well as the room's password.
    #[must_use]
    pub fn require_token(mut self) -> Self {
        self.tokens = Tokens::Required;
        self
    }

    /// The rooms' passwords, to set and to remove.
    #[must_use]
    pub fn passwords(&self) -> &RoomPasswords {
        &self.passwords
    }

    /// What verifies the tokens.
    #[must_use]
    pub fn verifier(&self) -> &JwtVerifier {
        &self.verifier
    }

    fn user(&self, credentials: &Credentials) -> Result<Identity, AuthError> {
        match credentials.token() {
            Some(token) => {
                Ok(Identity::from_claims(self.verifier.verify(token, credentials.now())?)?)
            }
            None if self.tokens == Tokens::Required => Err(AuthError::Missing),
            None => Ok(Identity::guest()),
        }
    }
}

impl Authenticator for RoomAuth {
    /// The token comes first: who must have one and has none may not try passwords.
    async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
        let user = self.user(&credentials)?;
        self.passwords.admit(&credentials)?;
        Ok(user)
    }
}
