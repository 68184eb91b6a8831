//! Whether a token is good.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::secret::SUM_BYTES;
use crate::auth::{Secret, SetupError};

use super::claims::Times;
use super::{Claims, JwtError, object};

/// The longest token, in bytes: a header line is no longer either.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The characters of an HMAC-SHA256 in base64url.
const SIGNATURE_BYTES: usize = 43;

/// Clocks of servers that are kept right differ by less.
const LEEWAY: Duration = Duration::from_secs(30);

/// Whoever needs more has a wrong clock.
const LEEWAY_MAX: Duration = Duration::from_secs(120);

/// Header members that bring a key or change what the rest means. A key never comes from a token, so
/// one that brings it was made by somebody who hopes so. Source: RFC 7515 4.1, RFC 7797 3.
const HEADER_MEMBERS_REFUSED: [&str; 8] =
    ["crit", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "b64"];

/// Verifies HS256 tokens against keys of its own.
///
/// A token whose header has a `kid` is verified with the key of that name and no other; one without
/// it with the key that has no name. `exp` is required. `exp`, `nbf` and `iat` have a leeway of 30 s.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use serde_json::json;
/// use sockeye::auth::{JwtError, JwtSigner, JwtVerifier, Secret};
///
/// let secret = Secret::new([7; 32])?;
/// let verifier = JwtVerifier::new(secret.clone()).audience("chat");
///
/// let claims = json!({ "sub": "42", "name": "Ann", "aud": "chat", "exp": 2_000_000_000 });
/// let token = JwtSigner::new(secret).sign(&claims)?;
///
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
/// assert_eq!(verifier.verify(&token, now)?.subject(), Some("42"));
/// let later = now + Duration::from_secs(100_000_030);
/// assert_eq!(verifier.verify(&token, later).unwrap_err(), JwtError::Expired);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct JwtVerifier {
    /// By the name that tokens give in `kid`.
    keys: HashMap<Option<String>, Secret>,
    leeway: Duration,
    expiry: Expiry,
    audience: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Required,
    Optional,
}

impl JwtVerifier {
    /// A verifier of tokens that name no key.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self::of_key(None, secret)
    }

    /// A verifier of tokens that name this key in `kid`.
    #[must_use]
    pub fn named(key_id: impl Into<String>, secret: Secret) -> Self {
        Self::of_key(Some(key_id.into()), secret)
    }

    fn of_key(key_id: Option<String>, secret: Secret) -> Self {
        Self {
            keys: HashMap::from([(key_id, secret)]),
            leeway: LEEWAY,
            expiry: Expiry::Required,
            audience: None,
            issuer: None,
            subject: None,
        }
    }

    /// One more key, under a name. To rotate: add the new one everywhere, sign with it, and leave the
    /// old one out when its last token has expired.
    ///
    /// # Errors
    /// [`SetupError::KeyTwice`] when there is a key of that name.
    pub fn key(mut self, key_id: impl Into<String>, secret: Secret) -> Result<Self, SetupError> {
        match self.keys.insert(Some(key_id.into()), secret) {
            None => Ok(self),
            Some(_) => Err(SetupError::KeyTwice),
        }
    }

    /// How far the clocks of issuer and verifier may be apart (default 30 s, at most 120 s).
    ///
    /// # Errors
    /// [`SetupError::LeewayTooLong`].
    pub fn leeway(mut self, leeway: Duration) -> Result<Self, SetupError> {
        if leeway > LEEWAY_MAX {
            return Err(SetupError::LeewayTooLong { limit: LEEWAY_MAX });
        }
        self.leeway = leeway;
        Ok(self)
    }

    /// Takes tokens without `exp`, too: such a token is good until its key is changed.
    #[must_use]
    pub fn without_expiry(mut self) -> Self {
        self.expiry = Expiry::Optional;
        self
    }

    /// Requires this text in `aud`. Without it `aud` is not looked at.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Requires this `iss`.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Requires this `sub`.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The claims of a token that is good now.
    ///
    /// # Errors
    /// [`JwtError`]. The first reason counts; [`Expired`](JwtError::Expired) is only said of a token
    /// with our signature.
    ///
    /// Cost: one HMAC over the token, its JSON parsed twice. A token over 8 KiB costs nothing.
    ///
    /// Source: RFC 7519 7.2, RFC 7515 5.2, RFC 8725 3.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, JwtError> {
        let token = Token::split(token)?;
        let key = self.key_of(token.header)?;
        if !key.is_sum(&[token.signed.as_bytes()], &signature(token.signature)?) {
            return Err(JwtError::Signature);
        }
        let claims = Claims::parse(&decode(token.payload)?)?;
        self.check_times(claims.times(), now)?;
        self.check_names(&claims)?;
        Ok(claims)
    }

    fn key_of(&self, header: &str) -> Result<&Secret, JwtError> {
        let header = object::parse(&decode(header)?).ok_or(JwtError::Header)?;
        if header.get("alg").and_then(|alg| alg.as_str()) != Some("HS256") {
            return Err(JwtError::Algorithm);
        }
        for name in HEADER_MEMBERS_REFUSED {
            if header.contains_key(name) {
                return Err(JwtError::HeaderMember(name));
            }
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(key_id) => Some(key_id.as_str().ok_or(JwtError::HeaderMember("kid"))?.to_owned()),
        };
        self.keys.get(&key_id).ok_or(JwtError::UnknownKey)
    }

    fn check_times(&self, times: Times, now: SystemTime) -> Result<(), JwtError> {
        // A clock before 1970 was never set; 1970 is the best that is known.
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let latest_begin = now.saturating_add(self.leeway);
        match times.expires {
            None if self.expiry == Expiry::Required => return Err(JwtError::ClaimMissing("exp")),
            Some(expires) if now >= expires.saturating_add(self.leeway) => {
                return Err(JwtError::Expired);
            }
            _ => {}
        }
        if times.not_before.is_some_and(|begin| begin > latest_begin) {
            return Err(JwtError::NotYetValid);
        }
        if times.issued.is_some_and(|issued| issued > latest_begin) {
            return Err(JwtError::IssuedInFuture);
        }
        Ok(())
    }

    fn check_names(&self, claims: &Claims) -> Result<(), JwtError> {
        if let Some(audience) = &self.audience
            && !claims.texts("aud").is_some_and(|all| all.contains(&audience.as_str()))
        {
            return Err(JwtError::Audience);
        }
        if self.issuer.is_some() && self.issuer.as_deref() != claims.text("iss") {
            return Err(JwtError::Issuer);
        }
        if self.subject.is_some() && self.subject.as_deref() != claims.text("sub") {
            return Err(JwtError::Subject);
        }
        Ok(())
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JwtVerifier")
            .field("keys", &self.keys.len())
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

/// `header.payload.signature`, of which the first two are signed.
struct Token<'a> {
    signed: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    fn split(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Segments)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Segments)?;
        if payload.contains('.') {
            return Err(JwtError::Segments);
        }
        Ok(Self { signed, header, payload, signature })
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| JwtError::Encoding)
}

fn signature(segment: &str) -> Result<[u8; SUM_BYTES], JwtError> {
    if segment.len() != SIGNATURE_BYTES {
        return Err(JwtError::Signature);
    }
    decode(segment)?.try_into().map_err(|_| JwtError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(token: &str) -> Option<[&str; 4]> {
        let token = Token::split(token).ok()?;
        Some([token.signed, token.header, token.payload, token.signature])
    }

    #[test]
    fn a_token_has_three_segments() {
        assert_eq!(split("a.b.c"), Some(["a.b", "a", "b", "c"]));
        assert_eq!(split(".."), Some([".", "", "", ""]));
        for token in ["", "a", "a.b", "a.b.c.d", "....", "...."] {
            assert_eq!(split(token), None, "{token}");
        }
    }

    /// A04, row 56: one text for each value.
    #[test]
    fn segments_have_one_form() {
        assert_eq!(decode("-_8"), Ok(vec![0xfb, 0xff]));
        for segment in ["-_8=", "+/8", "-_9", "-", "-_8\n", " -_8", "-_8 ", "-_\08", "-é", "!!!!"]
        {
            assert_eq!(decode(segment), Err(JwtError::Encoding), "{segment:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_tokens_never_panic(token: String, dotted in "[ -~]{0,30}[.][ -~]{0,30}[.].{0,43}") {
            let verifier = JwtVerifier::new(Secret::new([7; 32]).unwrap());
            for token in [token, dotted] {
                prop_assert!(verifier.verify(&token, SystemTime::UNIX_EPOCH).is_err());
            }
        }
    }
}
