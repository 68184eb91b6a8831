//! What a token says.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::sync::Arc;

use super::{JwtError, object};

/// The claims of a verified token. Cloning counts a reference.
///
/// Those that RFC 7519 names are of their type, or the token was refused. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Claims(Arc<Inner>);

struct Inner {
    members: Map<String, Value>,
    times: Times,
}

/// Since 1970, where they are there.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) expires: Option<Duration>,
    pub(super) not_before: Option<Duration>,
    pub(super) issued: Option<Duration>,
}

impl Claims {
    /// Takes the JSON of a token whose signature holds.
    pub(super) fn parse(json: &[u8]) -> Result<Self, JwtError> {
        let members = object::parse(json).ok_or(JwtError::Claims)?;
        for name in ["sub", "iss", "jti", "name"] {
            if members.get(name).is_some_and(|claim| !claim.is_string()) {
                return Err(JwtError::ClaimType(name));
            }
        }
        if members.get("aud").is_some_and(|claim| strings(claim).is_none()) {
            return Err(JwtError::ClaimType("aud"));
        }
        let times = Times {
            expires: date(&members, "exp")?,
            not_before: date(&members, "nbf")?,
            issued: date(&members, "iat")?,
        };
        Ok(Self(Arc::new(Inner { members, times })))
    }

    /// The user: claim `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// The user's name to show: claim `name`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// When the token's time is over: claim `exp`, without leeway.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(self.0.times.expires?)
    }

    /// Any claim, as any type; it may borrow. `None` when it is absent.
    ///
    /// # Errors
    /// When the claim is not of that type.
    pub fn claim<'a, T: Deserialize<'a>>(
        &'a self,
        name: &str,
    ) -> Result<Option<T>, serde_json::Error> {
        self.0.members.get(name).map(T::deserialize).transpose()
    }

    /// All claims as one type; it may borrow.
    ///
    /// # Errors
    /// When they are not of that type.
    pub fn parse_as<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0.members)
    }

    pub(super) fn times(&self) -> Times {
        self.0.times
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.members.get(name)?.as_str()
    }

    /// The elements of a claim that is a text or a list of texts: none when it is absent, `None` when
    /// it is something else.
    pub(in crate::auth) fn texts(&self, name: &str) -> Option<Vec<&str>> {
        self.0.members.get(name).map_or(Some(Vec::new()), strings)
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Claims").finish_non_exhaustive()
    }
}

fn strings(claim: &Value) -> Option<Vec<&str>> {
    match claim {
        Value::String(text) => Some(vec![text]),
        Value::Array(texts) => texts.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The end of the year 9999 in seconds since 1970. What is later was written in milliseconds, and
/// would never expire.
pub(super) const DATE_SECONDS_MAX: u64 = 253_402_300_799;

/// A NumericDate: a JSON number, a fraction allowed, from 1970 to the year 9999. Source: RFC 7519 2.
fn date(members: &Map<String, Value>, name: &'static str) -> Result<Option<Duration>, JwtError> {
    let Some(claim) = members.get(name) else {
        return Ok(None);
    };
    let whole = claim.as_u64().map(Duration::from_secs);
    let date = whole.or_else(|| Duration::try_from_secs_f64(claim.as_f64()?).ok());
    let date = date.filter(|date| date.as_secs() <= DATE_SECONDS_MAX);
    date.map(Some).ok_or(JwtError::ClaimType(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expires(exp: &str) -> Result<Option<Duration>, JwtError> {
        Claims::parse(format!(r#"{{"exp":{exp}}}"#).as_bytes()).map(|claims| claims.times().expires)
    }

    /// A02, row 54: what is no date is never taken for an absent one.
    #[test]
    fn dates_are_numbers_in_range() {
        for (exp, millis) in [
            ("0", 0),
            ("1", 1_000),
            ("1.5", 1_500),
            ("-0", 0),
            ("1e3", 1_000_000),
            ("253402300799", 253_402_300_799_000),
        ] {
            assert_eq!(expires(exp), Ok(Some(Duration::from_millis(millis))), "{exp}");
        }
        for exp in [
            "\"1\"",
            "null",
            "true",
            "[]",
            "{}",
            "-1",
            "-0.5",
            "253402300800",
            "1e300",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
        ] {
            assert_eq!(expires(exp), Err(JwtError::ClaimType("exp")), "{exp}");
        }
        for exp in ["1e400", "NaN", "Infinity", "0x10", ""] {
            assert_eq!(expires(exp), Err(JwtError::Claims), "{exp}");
        }
        assert_eq!(Claims::parse(b"{}").unwrap().times().expires, None);
    }

    #[test]
    fn claims_with_names_have_their_types() {
        for (json, name) in [
            (r#"{"sub":1}"#, "sub"),
            (r#"{"sub":null}"#, "sub"),
            (r#"{"iss":[]}"#, "iss"),
            (r#"{"jti":{}}"#, "jti"),
            (r#"{"name":true}"#, "name"),
            (r#"{"aud":1}"#, "aud"),
            (r#"{"aud":["a",1]}"#, "aud"),
            (r#"{"nbf":"999"}"#, "nbf"),
            (r#"{"iat":"999"}"#, "iat"),
        ] {
            assert_eq!(Claims::parse(json.as_bytes()).err(), Some(JwtError::ClaimType(name)));
        }
    }
}
