//! Who may look: whoever has a token of an admin.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sockeye::auth::{
    AuthError, Authenticator, Credentials, Identity, JwtSigner, JwtVerifier, Secret,
};

const ROLE: &str = "admin";

/// A working day. Then the page's connection is closed with 4401.
const LIFE: Duration = Duration::from_secs(12 * 3600);

/// A token for whoever sees the standard output.
pub(crate) fn token(secret: Secret) -> Result<String, Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let ends = (now + LIFE).as_secs();
    let claims = serde_json::json!({"sub": "admin", "roles": [ROLE], "exp": ends});
    Ok(JwtSigner::new(secret).sign(&claims)?)
}

pub(crate) struct Admins {
    verifier: JwtVerifier,
}

impl Admins {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { verifier: JwtVerifier::new(secret) }
    }
}

impl Authenticator for Admins {
    /// A good token is not enough: users of other programs with this secret have one, too.
    async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
        let identity = self.verifier.authenticate(credentials).await?;
        if identity.has_role(ROLE) { Ok(identity) } else { Err(AuthError::Refused) }
    }
}
