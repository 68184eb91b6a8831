//! The grammar of `Sec-WebSocket-Extensions`, whatever the extensions mean (RFC 6455 9.1).

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

use super::HandshakeError;
use super::tokens::{is_token, is_token_byte, is_white};

/// Bounds on one header: more than anybody's offer, and so few that nothing quadratic over them
/// hurts.
const EXTENSIONS_MAX: usize = 32;
const PARAMS_MAX: usize = 32;

/// One element of `Sec-WebSocket-Extensions`: an extension's name and its parameters, in order.
///
/// What was parsed is made of tokens only; what is to be sent is checked when it is encoded. Names
/// and parameters are compared as they stand, case and all. Source: RFC 6455 9.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extension {
    /// The registered name, such as `permessage-deflate`.
    pub name: String,
    /// Parameters with their values, quotes taken away. The same name may stand here twice.
    pub params: Vec<(String, Option<String>)>,
}

impl Extension {
    /// An extension without parameters.
    ///
    /// ```
    /// # use sockeye::handshake::Extension;
    /// let offer = Extension::new("permessage-deflate")
    ///     .param("client_max_window_bits", None)
    ///     .param("server_max_window_bits", Some("12"));
    /// let header = Extension::encode_list(&[offer])?;
    /// assert_eq!(header, "permessage-deflate; client_max_window_bits; server_max_window_bits=12");
    /// # Ok::<(), sockeye::handshake::HandshakeError>(())
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), params: Vec::new() }
    }

    /// The same with one more parameter.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: Option<&str>) -> Self {
        self.params.push((name.into(), value.map(str::to_owned)));
        self
    }

    /// Parses the value of one header line. Empty elements are skipped, an empty list is malformed.
    ///
    /// Errors: [`HandshakeError::Extensions`], also for more than 32 elements or 32 parameters of
    /// one.
    ///
    /// Cost: one pass, a string for each name and value. Source: RFC 6455 9.1, RFC 2616 2.1 (white
    /// space).
    pub fn parse_list(value: &[u8]) -> Result<Vec<Self>, HandshakeError> {
        let mut list = Vec::new();
        Scanner { rest: value }.append_to(&mut list)?;
        if list.is_empty() { Err(HandshakeError::Extensions) } else { Ok(list) }
    }

    /// Writes a list as one header value.
    ///
    /// Errors: [`HandshakeError::InvalidExtension`] where a name or a value is no token. Source:
    /// RFC 6455 9.1.
    pub fn encode_list(list: &[Self]) -> Result<HeaderValue, HandshakeError> {
        let mut text = String::new();
        for extension in list {
            if !text.is_empty() {
                text.push_str(", ");
            }
            extension.encode(&mut text);
        }
        let tokens = !list.is_empty() && list.iter().all(Self::is_tokens);
        let value = if tokens { HeaderValue::try_from(text).ok() } else { None };
        value.ok_or(HandshakeError::InvalidExtension)
    }

    fn encode(&self, text: &mut String) {
        text.push_str(&self.name);
        for (name, value) in &self.params {
            text.push_str("; ");
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
    }

    fn is_tokens(&self) -> bool {
        is_token(self.name.as_bytes())
            && self.params.iter().all(|(name, value)| {
                is_token(name.as_bytes())
                    && value.as_ref().is_none_or(|value| is_token(value.as_bytes()))
            })
    }
}

/// All lines of the header as one list; no line is the empty list.
pub(super) fn from_headers(headers: &HeaderMap) -> Result<Vec<Extension>, HandshakeError> {
    from_lines(headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().map(HeaderValue::as_bytes))
}

/// The same of the lines themselves.
pub(super) fn from_lines<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Extension>, HandshakeError> {
    let mut list = Vec::new();
    let mut is_present = false;
    for line in lines {
        is_present = true;
        Scanner { rest: line }.append_to(&mut list)?;
    }
    if is_present && list.is_empty() { Err(HandshakeError::Extensions) } else { Ok(list) }
}

/// Whether every choice has an offer of the same name, and no name is chosen twice.
pub(super) fn are_offered(chosen: &[Extension], offers: &[Extension]) -> bool {
    chosen.iter().enumerate().all(|(index, choice)| {
        offers.iter().any(|offer| offer.name == choice.name)
            && !chosen[..index].iter().any(|earlier| earlier.name == choice.name)
    })
}

/// Walks one header line. Every step takes at least one byte off `rest` or ends.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn append_to(&mut self, list: &mut Vec<Extension>) -> Result<(), HandshakeError> {
        loop {
            self.skip_white();
            if self.rest.is_empty() {
                return Ok(());
            }
            if self.take(b',') {
                continue;
            }
            if list.len() == EXTENSIONS_MAX {
                return Err(HandshakeError::Extensions);
            }
            list.push(self.extension()?);
        }
    }

    /// `extension-token *( ";" extension-param )`, up to a comma or the end.
    fn extension(&mut self) -> Result<Extension, HandshakeError> {
        let mut extension = Extension::new(self.token()?);
        loop {
            self.skip_white();
            if self.rest.is_empty() || self.rest[0] == b',' {
                return Ok(extension);
            }
            if !self.take(b';') || extension.params.len() == PARAMS_MAX {
                return Err(HandshakeError::Extensions);
            }
            self.skip_white();
            extension.params.push(self.extension_param()?);
        }
    }

    /// `token [ "=" ( token | quoted-string ) ]`
    fn extension_param(&mut self) -> Result<(String, Option<String>), HandshakeError> {
        let name = self.token()?;
        self.skip_white();
        if !self.take(b'=') {
            return Ok((name, None));
        }
        self.skip_white();
        let value = if self.take(b'"') { self.quoted_token()? } else { self.token()? };
        Ok((name, Some(value)))
    }

    fn token(&mut self) -> Result<String, HandshakeError> {
        let len = self.rest.iter().take_while(|&&byte| is_token_byte(byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        text_of(token.to_vec())
    }

    /// The rest of a quoted string, which must be a token once it is unescaped.
    fn quoted_token(&mut self) -> Result<String, HandshakeError> {
        let mut token = Vec::new();
        loop {
            match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return text_of(token);
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] if is_token_byte(*byte) => {
                    token.push(*byte);
                    self.rest = rest;
                }
                _ => return Err(HandshakeError::Extensions),
            }
        }
    }

    fn skip_white(&mut self) {
        while let [byte, rest @ ..] = self.rest
            && is_white(*byte)
        {
            self.rest = rest;
        }
    }

    fn take(&mut self, expected: u8) -> bool {
        let Some(rest) = self.rest.strip_prefix(&[expected]) else {
            return false;
        };
        self.rest = rest;
        true
    }
}

/// Token bytes are ASCII; an empty token is none.
fn text_of(token: Vec<u8>) -> Result<String, HandshakeError> {
    match String::from_utf8(token) {
        Ok(text) if !text.is_empty() => Ok(text),
        _ => Err(HandshakeError::Extensions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(value: &str) -> Option<String> {
        let list = Extension::parse_list(value.as_bytes()).ok()?;
        Some(Extension::encode_list(&list).unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn s9_1_lists_parameters_and_quotes() {
        for (value, canonical) in [
            ("a", "a"),
            ("foo; bar; baz=2", "foo; bar; baz=2"),
            ("a, b;c ,d", "a, b; c, d"),
            (" ,\t, a ,, b,", "a, b"),
            ("a;x=\"10\"", "a; x=10"),
            ("a;x=\"1\\0\"", "a; x=10"),
            ("a ; x\t=\t\"1\" ;y", "a; x=1; y"),
            ("a;x;x=1", "a; x; x=1"),
            (
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate; client_max_window_bits",
            ),
        ] {
            assert_eq!(parse(value).as_deref(), Some(canonical), "{value}");
        }
    }

    #[test]
    fn s9_1_malformed_lists_are_refused() {
        for value in [
            "",
            " ",
            ",",
            "a;",
            "a;;b",
            ";a",
            "a=1",
            "a b",
            "a;b c",
            "a;b=",
            "a;=1",
            "a;b=\"",
            "a;b=\"1",
            "a;b=\"\"",
            "a;b=\"1 2\"",
            "a;b=\"1,2\"",
            "a;b=\"1\\",
            "a;b=\"\\",
            "a;b=\"1\\\"",
            "a;b=\"1\\\"\"",
            "a;b=\"1\"2",
            "a;b=1\"2\"",
            "a;b='1 2'",
            "a;\"b\"=1",
            "\"a\"",
            "a/b",
            "a;b==1",
            "a;b=1=2",
            "a\u{e9}",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    #[test]
    fn the_number_of_elements_is_bounded() {
        let elements = |count: usize| vec!["a"; count].join(",");
        let params = |count: usize| format!("a{}", ";b".repeat(count));
        assert!(parse(&elements(EXTENSIONS_MAX)).is_some());
        assert!(parse(&elements(EXTENSIONS_MAX + 1)).is_none());
        assert!(parse(&params(PARAMS_MAX)).is_some());
        assert!(parse(&params(PARAMS_MAX + 1)).is_none());
    }

    #[test]
    fn several_lines_are_one_list_with_one_bound() {
        let mut headers = HeaderMap::new();
        assert_eq!(from_headers(&headers), Ok(Vec::new()));
        headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(""));
        assert_eq!(from_headers(&headers), Err(HandshakeError::Extensions));
        for _ in 0..EXTENSIONS_MAX {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("a;b"));
        }
        assert_eq!(from_headers(&headers).map(|list| list.len()), Ok(EXTENSIONS_MAX));
        headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("a"));
        assert_eq!(from_headers(&headers), Err(HandshakeError::Extensions));
    }

    #[test]
    fn only_tokens_are_encoded() {
        for extension in [
            Extension::new(""),
            Extension::new("a, b"),
            Extension::new("a").param("b\r\nSet-Cookie: x", None),
            Extension::new("a").param("b", Some("")),
            Extension::new("a").param("b", Some("1; c")),
        ] {
            assert_eq!(Extension::encode_list(&[extension]), Err(HandshakeError::InvalidExtension));
        }
        assert_eq!(Extension::encode_list(&[]), Err(HandshakeError::InvalidExtension));
    }

    fn extension() -> impl Strategy<Value = Extension> {
        let value = prop::option::of("[0-9a-z]{1,4}");
        let params = prop::collection::vec(("[a-z_]{1,8}", value), 0..5);
        ("[a-z0-9!#-]{1,8}", params).prop_map(|(name, params)| Extension { name, params })
    }

    proptest! {
        #[test]
        fn round_trip(list in prop::collection::vec(extension(), 1..8)) {
            let value = Extension::encode_list(&list).unwrap();
            prop_assert_eq!(Extension::parse_list(value.as_bytes()), Ok(list));
        }

        #[test]
        fn what_is_accepted_can_be_encoded_and_means_the_same(value in "[ab;=,\" \\\\\t]{0,24}") {
            if let Ok(list) = Extension::parse_list(value.as_bytes()) {
                let encoded = Extension::encode_list(&list).unwrap();
                prop_assert_eq!(Extension::parse_list(encoded.as_bytes()), Ok(list));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(value: Vec<u8>) {
            let _ = Extension::parse_list(&value);
        }
    }
}
