//! `host [ ":" port ]`, as it stands in `Host`, in an origin and in a request target (RFC 3986
//! 3.2.2, 3.2.3).

use std::fmt;
use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderMap, Request};

use super::HandshakeError;
use super::headers::only;
use super::tokens::table;

/// A host name in lower case, or an IPv6 address in brackets in its shortest form, and a port if
/// one was written.
///
/// Two of them are equal if and only if the authorities are the same text by these rules: no name
/// is looked up, a trailing dot counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

impl Host {
    /// `None` for user information, an empty host, a port above 65535, and every byte RFC 3986 does
    /// not list.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (name, port) = parts(text)?;
        let name = match name {
            Name::Registered(name) => String::from_utf8(name.to_ascii_lowercase()).ok()?,
            Name::Address(address) => format!("[{address}]"),
        };
        Some(Self { name, port })
    }

    /// Whether there is exactly one `Host` header, and what is in it is one. Source: RFC 9112 3.2.
    pub(super) fn check(headers: &HeaderMap) -> Result<(), HandshakeError> {
        let is_host = only(headers, HOST).is_some_and(|value| Self::is_host(value.as_bytes()));
        if is_host { Ok(()) } else { Err(HandshakeError::Host) }
    }

    /// Whether [`parse`](Self::parse) would take it.
    pub(super) fn is_host(text: &[u8]) -> bool {
        parts(text).is_some()
    }

    /// The only `Host` header. Source: RFC 9112 3.2.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, HandshakeError> {
        let host = only(headers, HOST).and_then(|value| Self::parse(value.as_bytes()));
        host.ok_or(HandshakeError::Host)
    }

    /// The host a request is for: that of its target if it has one, else `Host`. Source: RFC 9112
    /// 3.2.2, RFC 9113 8.3.1.
    pub(super) fn of_request<B>(request: &Request<B>) -> Result<Self, HandshakeError> {
        match request.uri().authority() {
            Some(authority) => {
                Self::parse(authority.as_str().as_bytes()).ok_or(HandshakeError::Host)
            }
            None => Self::from_headers(request.headers()),
        }
    }

    /// Whether a request of HTTP/2 or HTTP/3 is for a host, and for one only: a `Host` beside its `:authority` says the same.
    /// Source: RFC 9113 8.3.1.
    pub(super) fn check_authority<B>(request: &Request<B>) -> Result<(), HandshakeError> {
        let (host, headers) = (Self::of_request(request)?, request.headers());
        let is_one = !headers.contains_key(HOST) || Self::from_headers(headers)? == host;
        if is_one { Ok(()) } else { Err(HandshakeError::Host) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

/// The port of a scheme that has to do with us, in any case (RFC 6455 3, RFC 9110 4.2, RFC 3986
/// 3.1).
pub(super) fn default_port(scheme: &str) -> Option<u16> {
    let is = |known| scheme.eq_ignore_ascii_case(known);
    if is("ws") || is("http") { Some(80) } else { (is("wss") || is("https")).then_some(443) }
}

enum Name<'a> {
    /// ASCII.
    Registered(&'a [u8]),
    Address(Ipv6Addr),
}

/// Name and port.
fn parts(text: &[u8]) -> Option<(Name<'_>, Option<u16>)> {
    let (name, port) = if let Some(rest) = text.strip_prefix(b"[") {
        let (address, port) = std::str::from_utf8(rest).ok()?.split_once(']')?;
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?.as_bytes()) };
        (Name::Address(address.parse().ok()?), port)
    } else {
        let (name, port) = match text.iter().position(|&byte| byte == b':') {
            Some(len) => (&text[..len], Some(&text[len + 1..])),
            None => (text, None),
        };
        (is_registered_name(name).then_some(Name::Registered(name))?, port)
    };
    // RFC 3986 3.2.3: a port may be written with no digits, which is none.
    let port = match port {
        None | Some([]) => None,
        Some(digits) if digits.iter().all(u8::is_ascii_digit) => {
            Some(std::str::from_utf8(digits).ok()?.parse().ok()?)
        }
        Some(_) => return None,
    };
    Some((name, port))
}

/// `1*( unreserved / pct-encoded / sub-delims )`; an IPv4 address is one as well.
fn is_registered_name(name: &[u8]) -> bool {
    const IS_NAME: [bool; 256] = table(b"-._~!$&'()*+,;=");
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        let is_valid = match byte {
            b'%' => {
                let mut is_hex_digit = || bytes.next().is_some_and(u8::is_ascii_hexdigit);
                is_hex_digit() && is_hex_digit()
            }
            _ => IS_NAME[usize::from(byte)],
        };
        if !is_valid {
            return false;
        }
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_parsed_into_one_form() {
        for (text, shown) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com."),
            ("example.com:8080", "example.com:8080"),
            ("example.com:", "example.com"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]", "[::1]"),
            ("[0:0::0:1]:443", "[::1]:443"),
            ("a%2Eb", "a%2eb"),
            ("my_host~1", "my_host~1"),
        ] {
            assert_eq!(
                Host::parse(text.as_bytes()).map(|host| host.to_string()).as_deref(),
                Some(shown),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let table = "|:80|a:b|a:65536|a:-1|a:+1|a:1:2|a b|a/b|user@a|a\\b|a?b|a#b|a%2|a%zz|[::1|[::1]x|\
            [::1]:x|[v1.a]|[fe80::1%25eth0]|::1|h\u{f6}st|a,b:c|http://a|a\t";
        for text in table.split('|') {
            assert_eq!(Host::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(text in "([a-z0-9.-]{1,12}|\\[::[1-9a-f]{1,4}\\])(:[1-9][0-9]{0,3})?") {
            prop_assert_eq!(Host::parse(text.as_bytes()).unwrap().to_string(), text);
        }

        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            let _ = Host::parse(&text);
        }
    }
}
