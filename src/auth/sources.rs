//! Where credentials are looked for in a request.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, Request};

use crate::handshake::{
    BEARER_PREFIX, ROOM_NAME_BYTES, ROOM_PASSWORD_PREFIX, check_room_name, elements,
};

use super::{Credentials, CredentialsError, query_value};

/// Reads [`Credentials`] off a request.
///
/// | what | where |
/// |---|---|
/// | token | `Authorization: Bearer TOKEN` |
/// | token | an offered subprotocol `bearer.TOKEN`, for browsers, which cannot set headers |
/// | token | the query parameter `token`, after [`allow_query`](Self::allow_query) only |
/// | room password | an offered subprotocol `room-password.` and the password in base64url without padding |
/// | room password | the query parameter `room_password`, after [`allow_query`](Self::allow_query) only |
/// | room | the query parameter `room` |
///
/// Several places may hold the same token, but not different ones. Other schemes of `Authorization`
/// are left to others.
///
/// A browser offers a subprotocol of the application beside these, `new WebSocket(url, ["chat",
/// "bearer." + token])`, and the server chooses that one: browsers give up a connection whose server
/// chose none of those offered. What [`is_credential`](crate::handshake::is_credential) is never chosen.
///
/// ```
/// use std::time::SystemTime;
///
/// use sockeye::auth::CredentialSources;
///
/// let request = http::Request::get("/ws?room=chat").header("Authorization", "Bearer abc");
/// let request = request.body(()).unwrap();
/// let credentials = CredentialSources::new().read(&request, SystemTime::now())?;
/// assert_eq!((credentials.token(), credentials.room()), (Some("abc"), Some("chat")));
/// # Ok::<(), sockeye::auth::CredentialsError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CredentialSources {
    query: SecretsInQuery,
    room_name_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SecretsInQuery {
    Ignored,
    Allowed,
}

impl Default for CredentialSources {
    fn default() -> Self {
        Self::new()
    }
}

impl CredentialSources {
    /// Headers and subprotocols, not the query.
    #[must_use]
    pub const fn new() -> Self {
        Self { query: SecretsInQuery::Ignored, room_name_bytes_max: ROOM_NAME_BYTES }
    }

    /// Takes token and room password from the query, too. Queries end in the logs of proxies and in the
    /// history of browsers: give out tokens that last for a minute.
    #[must_use]
    pub fn allow_query(mut self) -> Self {
        self.query = SecretsInQuery::Allowed;
        self
    }

    /// The longest name of a room that may be asked for, in bytes (default 128, at most 1,024). A hub
    /// sets its own.
    #[must_use]
    pub const fn room_name_bytes_max(mut self, bytes: usize) -> Self {
        self.room_name_bytes_max = bytes;
        self
    }

    /// Reads what a request presents.
    ///
    /// # Errors
    /// [`CredentialsError`], for what is there but cannot be taken; what is absent is no error.
    ///
    /// Cost: a copy of the headers.
    pub fn read<B>(
        &self,
        request: &Request<B>,
        now: SystemTime,
    ) -> Result<Credentials, CredentialsError> {
        let (headers, query) = (request.headers(), request.uri().query().unwrap_or_default());
        let mut credentials = Credentials::new(now).with_head(request);
        if let Some(room) = query_value(query, "room")? {
            check_room_name(&room, self.room_name_bytes_max)?;
            credentials = credentials.with_room(room);
        }
        if let Some(token) = self.token(headers, query)? {
            credentials = credentials.with_token(token);
        }
        if let Some(password) = self.room_password(headers, query)? {
            credentials = credentials.with_room_password(password);
        }
        Ok(credentials)
    }

    fn token(&self, headers: &HeaderMap, query: &str) -> Result<Option<String>, CredentialsError> {
        let mut token = None;
        for value in headers.get_all(AUTHORIZATION) {
            if let Some(found) = bearer(value.as_bytes()) {
                agree(&mut token, token_of(found)?)?;
            }
        }
        for found in offered(headers, BEARER_PREFIX) {
            agree(&mut token, token_of(found)?)?;
        }
        if let Some(found) = self.in_query(query, "token")? {
            agree(&mut token, token_of(found.as_bytes())?)?;
        }
        Ok(token)
    }

    fn room_password(
        &self,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Option<String>, CredentialsError> {
        let mut password = None;
        for found in offered(headers, ROOM_PASSWORD_PREFIX) {
            let found = URL_SAFE_NO_PAD.decode(found).ok();
            let found = found.and_then(|bytes| String::from_utf8(bytes).ok());
            agree(&mut password, found.ok_or(CredentialsError::Malformed)?)?;
        }
        if let Some(found) = self.in_query(query, "room_password")? {
            agree(&mut password, found)?;
        }
        Ok(password)
    }

    fn in_query(&self, query: &str, name: &str) -> Result<Option<String>, CredentialsError> {
        match self.query {
            SecretsInQuery::Ignored => Ok(None),
            SecretsInQuery::Allowed => Ok(query_value(query, name)?.map(Into::into)),
        }
    }
}

/// What stands behind the scheme `Bearer`, in any case. Source: RFC 9110 11.1, RFC 6750 2.1.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let scheme_len = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(scheme_len);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii_start())
}

fn offered<'a>(headers: &'a HeaderMap, prefix: &str) -> impl Iterator<Item = &'a [u8]> {
    let offers = elements(headers, SEC_WEBSOCKET_PROTOCOL);
    offers.filter_map(move |offer| offer.strip_prefix(prefix.as_bytes()))
}

/// A `b64token`. Source: RFC 6750 2.1.
fn token_of(bytes: &[u8]) -> Result<String, CredentialsError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CredentialsError::Malformed)?;
    let body = text.trim_end_matches('=');
    let is_body = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(is_body) {
        return Err(CredentialsError::Malformed);
    }
    Ok(text.to_owned())
}

fn agree(known: &mut Option<String>, found: String) -> Result<(), CredentialsError> {
    match known {
        Some(known) if *known != found => Err(CredentialsError::Disagree),
        _ => {
            *known = Some(found);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn bearer_is_a_whole_word_in_any_case() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bEARER   abc", Some("abc")),
            ("Bearer", Some("")),
            ("Bearer ", Some("")),
            ("Bearer a b", Some("a b")),
            ("Bearerabc", None),
            ("Basic abc", None),
            ("", None),
        ] {
            assert_eq!(bearer(value.as_bytes()), token.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn a_token_has_no_blank_and_no_list() {
        for token in ["a", "a.b-c_d~e+f/g", "abc=", "abc=="] {
            assert_eq!(token_of(token.as_bytes()), Ok(token.to_owned()));
        }
        for token in ["", "=", "a b", "a=b", "a,b", "a\0", "a\"b", "é"] {
            assert_eq!(token_of(token.as_bytes()), Err(CredentialsError::Malformed), "{token}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_requests_never_panic(value: Vec<u8>, query in "[ -~&&[^ \"<>`{}|\\\\^#]]{0,60}") {
            let mut request = Request::get(format!("/?{query}")).body(()).unwrap();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().append(AUTHORIZATION, value.clone());
                request.headers_mut().append(SEC_WEBSOCKET_PROTOCOL, value);
            }
            let _ = CredentialSources::new().allow_query().read(&request, SystemTime::UNIX_EPOCH);
        }
    }
}
