//! Where a URL leads.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use url::{Host, ParseError, Url};

use crate::error::Error;
use crate::handshake::decode_query;

/// A parsed URL, without the user information that it may have had.
///
/// The parser is the one of browsers (WHATWG URL), so a host has one form: names in any script in their
/// ASCII form, `0x7f.1` as 127.0.0.1. What that parser forgives is refused here: white space and
/// controls anywhere, backslashes, a missing `//`.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) place: Place,
    /// What the handshake is for.
    pub(super) uri: Uri,
    /// User and password of the URL, as a header.
    pub(super) authorization: Option<HeaderValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Ws,
    Wss,
    WsUnix,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Net { host: Host<String>, port: u16 },
    Unix(PathBuf),
}

const SCHEMES: &str = "the scheme must be ws, wss or ws+unix";

impl Target {
    /// Parses a URL. `http` and `https` are other names for `ws` and `wss`.
    ///
    /// A Unix socket: `ws+unix:///path/of/socket:/path?query`; behind the first colon stands what is asked
    /// for, `/` if it is left out.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        // Before anything else: the parser drops line ends and tabs without a word.
        if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err(Error::Url("a control or white space is not allowed"));
        }
        if text.contains('\\') {
            return Err(Error::Url("a backslash is not allowed"));
        }
        if text.contains('#') {
            return Err(Error::Url("a fragment is not allowed"));
        }
        let (scheme, rest) = text.split_once(':').ok_or(Error::Url(SCHEMES))?;
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        if is("ws+unix") {
            return Self::parse_unix(rest);
        }
        let scheme = match () {
            () if is("ws") || is("http") => Scheme::Ws,
            () if is("wss") || is("https") => Scheme::Wss,
            () => return Err(Error::Url(SCHEMES)),
        };
        let rest = rest.strip_prefix("//").filter(|rest| !rest.starts_with(['/', '?']));
        let rest = rest.ok_or(Error::Url("there is no host"))?;
        let url = Url::parse(&format!("{}://{rest}", scheme.as_str()));
        let url = url.map_err(|error| Error::Url(reason(error)))?;
        Self::of(scheme, &url)
    }

    fn of(scheme: Scheme, url: &Url) -> Result<Self, Error> {
        let host = url.host().ok_or(Error::Url("there is no host"))?.to_owned();
        // Both schemes have a default.
        let port = url.port_or_known_default().ok_or(Error::Url(SCHEMES))?;
        let uri = uri(scheme, &format!("{host}:{port}"), url)?;
        let authorization = basic(url)?;
        Ok(Self { scheme, place: Place::Net { host, port }, uri, authorization })
    }

    fn parse_unix(rest: &str) -> Result<Self, Error> {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        let (path, request) = path.split_once(':').unwrap_or((path, "/"));
        // One form of a path only, so that a policy on paths cannot be gone round.
        let is_absolute = |path: &String| {
            let mut parts = path.split('/');
            let is_part = |part: &str| !matches!(part, "" | "." | "..");
            path.len() > 1 && parts.next() == Some("") && parts.all(is_part) && !path.contains('\0')
        };
        let path = Some(path).filter(|path| !path.contains('?')).and_then(decode_percent);
        let path = path.filter(is_absolute);
        let path = path.ok_or(Error::Url("the path of a Unix socket must be absolute"))?;
        if !request.starts_with('/') {
            return Err(Error::Url("a path begins with a slash"));
        }
        // For its normal form.
        let url = Url::parse(&format!("ws://localhost{request}"));
        let url = url.map_err(|error| Error::Url(reason(error)))?;
        let uri = uri(Scheme::WsUnix, "localhost", &url)?;
        let place = Place::Unix(path.into());
        Ok(Self { scheme: Scheme::WsUnix, place, uri, authorization: None })
    }

    /// Where a `Location` leads, seen from here. `None`: to no WebSocket.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        if self.scheme == Scheme::WsUnix {
            return None;
        }
        let joined = Url::parse(&self.uri.to_string()).ok()?.join(location).ok()?;
        // A fragment is never sent; RFC 9110 10.2.2 lets a Location have one.
        let text = &joined[..url::Position::AfterQuery];
        let target = Self::parse(text).ok()?;
        // Who redirects does not choose the credentials.
        (target.scheme != Scheme::WsUnix && target.authorization.is_none()).then_some(target)
    }

    /// The same scheme, host and port.
    pub(super) fn is_same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.place == other.place
    }

    /// Path and query, as they are asked for.
    pub(super) fn request(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    /// The address its host is written as, if it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match &self.place {
            Place::Net { host: Host::Ipv4(address), .. } => Some((*address).into()),
            Place::Net { host: Host::Ipv6(address), .. } => Some((*address).into()),
            _ => None,
        }
    }

    pub(super) fn is_secure(&self) -> bool {
        self.scheme == Scheme::Wss
    }
}

/// What is asked for, of a server that is named so.
fn uri(scheme: Scheme, authority: &str, url: &Url) -> Result<Uri, Error> {
    let scheme = if scheme == Scheme::Wss { "wss" } else { "ws" };
    let uri = format!("{scheme}://{authority}{}", &url[url::Position::BeforePath..]).parse();
    uri.map_err(|_| Error::Url("no request can name this host, or this path"))
}

const fn reason(error: ParseError) -> &'static str {
    match error {
        ParseError::EmptyHost => "there is no host",
        ParseError::InvalidPort => "the port is not a number from 0 to 65535",
        ParseError::InvalidIpv4Address => {
            "the host is not an IPv4 address, though its last part is a number"
        }
        ParseError::InvalidIpv6Address => "the host is not an IPv6 address",
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => "the host is not a name",
        _ => "not a URL",
    }
}

impl Scheme {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::WsUnix => "ws+unix",
        }
    }
}

/// Not its path and query, which may hold tokens.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Target");
        debug.field("scheme", &self.scheme.as_str());
        match &self.place {
            Place::Net { host, port } => debug.field("host", host).field("port", port),
            Place::Unix(path) => debug.field("path", path),
        };
        debug.finish_non_exhaustive()
    }
}

/// User and password of a URL, decoded.
pub(crate) fn user_information(url: &Url) -> Result<Option<(String, String)>, Error> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decode = |text| {
        let text = decode_percent(text).filter(|text| !text.chars().any(char::is_control));
        text.ok_or(Error::Url("user or password are not valid"))
    };
    Ok(Some((decode(url.username())?, decode(url.password().unwrap_or_default())?)))
}

/// The header of `Basic` for a user and a password. Source: RFC 7617 2.
pub(super) fn basic_credentials(user: &str, password: &str) -> Option<HeaderValue> {
    if user.contains(':') {
        return None;
    }
    let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn basic(url: &Url) -> Result<Option<HeaderValue>, Error> {
    let Some((user, password)) = user_information(url)? else {
        return Ok(None);
    };
    let value = basic_credentials(&user, &password);
    value.map(Some).ok_or(Error::Url("a user of Basic has no colon"))
}

fn decode_percent(text: &str) -> Option<String> {
    // A plus is a plus outside of forms.
    decode_query(&text.replace('+', "%2B")).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uri(text: &str) -> String {
        Target::parse(text).unwrap().uri.to_string()
    }

    /// CL-01: every form of a URL has one normal form.
    #[test]
    fn urls_have_one_form() {
        for (text, expected) in [
            ("ws://Example.COM", "ws://example.com:80/"),
            ("WSS://example.com/a/../b?c=d&e", "wss://example.com:443/b?c=d&e"),
            ("http://a:81/", "ws://a:81/"),
            ("https://a/", "wss://a:443/"),
            ("ws://[::1]:9001/x", "ws://[::1]:9001/x"),
            ("ws://[0:0::0:1]", "ws://[::1]:80/"),
            ("ws://0x7f.1/", "ws://127.0.0.1:80/"),
            ("ws://2130706433/", "ws://127.0.0.1:80/"),
            (
                "ws://b\u{fc}cher.example/\u{e9}?q=\u{e9}",
                "ws://xn--bcher-kva.example:80/%C3%A9?q=%C3%A9",
            ),
            ("ws://\u{ff45}xample.com", "ws://example.com:80/"),
            ("ws://a?b", "ws://a:80/?b"),
            ("ws://a/?", "ws://a:80/?"),
            ("ws://user:pa%3Ass@a/", "ws://a:80/"),
            ("ws+unix:///run/a%20b.sock", "ws://localhost/"),
            ("ws+unix:///run/a.sock:/chat?room=1", "ws://localhost/chat?room=1"),
            ("ws+unix:/run/a.sock:/", "ws://localhost/"),
        ] {
            assert_eq!(uri(text), expected, "{text}");
        }
    }

    #[test]
    fn a_unix_socket_has_its_path_decoded() {
        let target = Target::parse("ws+unix:///run/a%20b+%3A.sock:/x").unwrap();
        assert!(matches!(target.place, Place::Unix(path) if path.as_os_str() == "/run/a b+:.sock"));
    }

    /// CL-01: what is wrong with a URL is said.
    #[test]
    fn a_refused_url_says_why() {
        for (text, why) in [
            ("ws://a:65536/", "url: the port is not a number from 0 to 65535"),
            (
                "ws://256.256.256.256/",
                "url: the host is not an IPv4 address, though its last part is a number",
            ),
            ("ws://[::1/", "url: the host is not an IPv6 address"),
            ("ws://a%00/", "url: the host is not a name"),
            ("ws://", "url: there is no host"),
            ("ws://a{b}/", "url: no request can name this host, or this path"),
            ("ftp://a/", "url: the scheme must be ws, wss or ws+unix"),
        ] {
            assert_eq!(Target::parse(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_websocket_is_refused() {
        for text in [
            "",
            "localhost",
            "http//localhost",
            "ws:localhost",
            "ws:/localhost",
            "ws:///path",
            "ws://?x",
            "ws://",
            "ftp://a/",
            "file:///etc/passwd",
            "wss+unix:///a",
            "ws://a/#part",
            "ws://a/#",
            "ws://a b/",
            "ws://a/b c",
            "ws://a/\r\nX: y",
            "ws://a\t/",
            " ws://a/",
            "ws://a\\@b/",
            "ws://a:65536/",
            "ws://a:x/",
            "ws://[::1/",
            "ws://[fe80::1%25eth0]/",
            "ws://a%00/",
            "ws://256.256.256.256/",
            "ws://us%3Aer:x@a/",
            "ws://us%0d%0aer:x@a/",
            "ws://%ff:x@a/",
            "ws+unix://run/a.sock",
            "ws+unix://./a.sock",
            "ws+unix:////a.sock",
            "ws+unix:///run//a.sock",
            "ws+unix:///run/./a.sock",
            "ws+unix:///run/%2e%2e/a.sock",
            "ws+unix:///run/",
            "ws+unix:///a?b",
            "ws+unix:///a%00.sock",
            "ws+unix:///a.sock:x",
            "ws+unix:",
        ] {
            assert!(matches!(Target::parse(text), Err(Error::Url(_))), "{text:?}");
        }
    }

    /// E12: user and password are a header that does not show, and stand nowhere else.
    #[test]
    fn e12_user_information_is_a_header() {
        let target = Target::parse("ws://us%40er:mark%65r+@a/?token=marker").unwrap();
        let header = target.authorization.as_ref().unwrap();
        assert_eq!(header, &format!("Basic {}", STANDARD.encode("us@er:marker+")));
        assert!(header.is_sensitive());
        assert!(!format!("{target:?}").contains("mark"), "{target:?}");
        assert!(!target.uri.to_string().contains("us"));
        let only_user = Target::parse("ws://user@a/").unwrap().authorization.unwrap();
        assert_eq!(only_user, format!("Basic {}", STANDARD.encode("user:")));
        assert!(Target::parse("ws://@a/").unwrap().authorization.is_none());
    }

    #[test]
    fn locations_are_seen_from_where_they_were_said() {
        let from = Target::parse("wss://a:444/b/c?d").unwrap();
        for (location, expected) in [
            ("/x", Some("wss://a:444/x")),
            ("x?y#z", Some("wss://a:444/b/x?y")),
            ("?y", Some("wss://a:444/b/c?y")),
            ("//other/x", Some("wss://other:443/x")),
            ("https://other/x", Some("wss://other:443/x")),
            ("ws://other/x", Some("ws://other:80/x")),
            ("file:///etc/passwd", None),
            ("javascript:alert(1)", None),
            ("ws+unix:///run/docker.sock", None),
            ("wss://user:x@other/", None),
            ("wss://", None),
        ] {
            let found = from.join(location).map(|target| target.uri.to_string());
            assert_eq!(found.as_deref(), expected, "{location}");
        }
        assert!(Target::parse("ws+unix:///a").unwrap().join("/x").is_none());
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        let of = |text| Target::parse(text).unwrap();
        let origin = of("wss://a/x");
        assert!(origin.is_same_origin(&of("https://A:443/y?z")));
        for other in ["ws://a:443/x", "wss://b/x", "wss://a:444/x", "wss://a./x"] {
            assert!(!origin.is_same_origin(&of(other)), "{other}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text: String) {
            let _ = Target::parse(&text);
        }

        #[test]
        fn what_is_taken_is_a_uri(text in "(ws|wss|ws\\+unix)://[a-zA-Z0-9.:@%\\[\\]/?&=|^{}é-]{0,24}") {
            if let Ok(target) = Target::parse(&text) {
                assert!(target.request().starts_with('/'));
                let _ = target.join(&text);
            }
        }
    }
}
