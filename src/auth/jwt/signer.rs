//! Tokens of one's own, for those who give them out, and for tests.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::ser::Error as _;
use serde_json::json;

use crate::auth::Secret;

use super::claims::DATE_SECONDS_MAX;

/// Signs HS256 tokens. What stands in them is the caller's: give each an `exp`.
#[derive(Clone)]
pub struct JwtSigner {
    secret: Secret,
    /// Encoded, with the dot behind it.
    header: String,
}

impl JwtSigner {
    /// A signer of tokens that name no key.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self::of_header(secret, &json!({ "alg": "HS256", "typ": "JWT" }))
    }

    /// A signer of tokens that name their key in `kid`.
    #[must_use]
    pub fn named(key_id: &str, secret: Secret) -> Self {
        Self::of_header(secret, &json!({ "alg": "HS256", "typ": "JWT", "kid": key_id }))
    }

    fn of_header(secret: Secret, header: &serde_json::Value) -> Self {
        let mut header = URL_SAFE_NO_PAD.encode(header.to_string());
        header.push('.');
        Self { secret, header }
    }

    /// A token for a user that is good from now on, for that long: claims `sub`, `iat` and `exp`, in whole seconds. What
    /// else is to stand in one needs [`sign`](Self::sign).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use sockeye::auth::{JwtSigner, Secret};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let signer = JwtSigner::new(Secret::from_os()?);
    /// let token = signer.sign_for("ann", Duration::from_secs(3600));
    /// # drop(token);
    /// # Ok(()) }
    /// ```
    ///
    /// Here the wall clock is asked: nowhere else in this module.
    #[must_use]
    pub fn sign_for(&self, user: &str, lasts: Duration) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Whoever wants one for ever has one to the last date that is one.
        let ends = now.saturating_add(lasts).as_secs().min(DATE_SECONDS_MAX);
        let claims = json!({ "sub": user, "iat": now.as_secs(), "exp": ends });
        self.sign_json(claims.to_string().as_bytes())
    }

    /// A token with these claims. One over 8 KiB no verifier here takes.
    ///
    /// # Errors
    /// When the claims are no JSON object.
    ///
    /// Source: RFC 7519 7.1, RFC 7515 5.1.
    pub fn sign<T: Serialize + ?Sized>(&self, claims: &T) -> Result<String, serde_json::Error> {
        let claims = serde_json::to_vec(claims)?;
        if claims.first() != Some(&b'{') {
            return Err(serde_json::Error::custom("claims are a JSON object"));
        }
        Ok(self.sign_json(&claims))
    }

    fn sign_json(&self, claims: &[u8]) -> String {
        let mut token = self.header.clone();
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let sum = self.secret.sum(&[token.as_bytes()]);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(sum, &mut token);
        token
    }
}

impl fmt::Debug for JwtSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JwtSigner").finish_non_exhaustive()
    }
}
