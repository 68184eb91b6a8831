//! Tokens of one's own, for those who give them out, and for tests.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::ser::Error as _;
use serde_json::json;

use crate::auth::Secret;

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
        let mut token = self.header.clone();
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let sum = self.secret.sum(&[token.as_bytes()]);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(sum, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for JwtSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JwtSigner").finish_non_exhaustive()
    }
}
