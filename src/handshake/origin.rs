//! Which web pages may open a connection: the `Origin` header against an allow-list (RFC 6454, RFC
//! 6455 10.2).

use std::fmt;
use std::str::FromStr;

use http::Request;
use http::header::ORIGIN;

use super::HandshakeError;
use super::host::{Host, default_port};

/// Which origins a server takes. A request without `Origin` comes from no browser and always
/// passes.
///
/// Browsers send cookies along with a cross-site WebSocket handshake and enforce nothing
/// themselves, so this check is all that keeps a foreign page from acting as its visitor. Origins
/// are parsed and compared for equality, never searched for a text. Source: RFC 6455 4.2.2 item 4,
/// 10.2; RFC 6454 5.
///
/// ```
/// use sockeye::handshake::Origins;
///
/// let origins = Origins::List(vec!["https://example.com".parse()?]);
/// let page = http::Request::get("/").header("Origin", "https://example.com.evil.test");
/// let page = page.body(()).unwrap();
/// assert!(origins.check(&page).is_err());
/// # Ok::<(), sockeye::handshake::HandshakeError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// The origin's host and port must be those of the request. The scheme may be http or https,
    /// since the server may sit behind something that ends TLS; a port that is not written is the
    /// default one of the origin's scheme.
    #[default]
    SameHost,
    /// Any page may connect. Right for public data; wrong where cookies, the network or the address
    /// identify the user.
    Any,
    /// Exactly these; an empty list takes no browser at all.
    List(Vec<Origin>),
}

impl Origins {
    /// Checks the origin of a request.
    ///
    /// Errors: [`OriginRefused`](HandshakeError::OriginRefused) (403), also for an origin that does
    /// not parse; [`TwoOrigins`](HandshakeError::TwoOrigins) (400); [`Host`](HandshakeError::Host)
    /// (400), where `SameHost` has nothing to compare with. Cost: a few short strings. Source: RFC
    /// 6455 4.2.2 item 4.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), HandshakeError> {
        let mut values = request.headers().get_all(ORIGIN).iter();
        let Some(value) = values.next() else {
            return Ok(());
        };
        if values.next().is_some() {
            return Err(HandshakeError::TwoOrigins);
        }
        self.judge(value.as_bytes(), || Host::of_request(request))
    }

    /// Checks the only `Origin` of a request for this host.
    pub(super) fn judge(
        &self,
        origin: &[u8],
        host: impl FnOnce() -> Result<Host, HandshakeError>,
    ) -> Result<(), HandshakeError> {
        let origin = || Origin::parse(origin).ok_or(HandshakeError::OriginRefused);
        let is_allowed = match self {
            Self::Any => true,
            Self::SameHost => origin()?.is_on(&host()?),
            Self::List(list) => list.contains(&origin()?),
        };
        if is_allowed { Ok(()) } else { Err(HandshakeError::OriginRefused) }
    }
}

/// One origin: scheme, host and port, or the opaque `null`.
///
/// Equal when all three are: scheme and host in any case, a port left out equal to the scheme's
/// default (80 for http and ws, 443 for https and wss). Parse it from `scheme://host[:port]`,
/// without path or trailing slash. Source: RFC 6454 4, 5, 6.2.
///
/// ```
/// use sockeye::handshake::Origin;
///
/// let origin: Origin = "https://Example.com:443".parse()?;
/// assert_eq!(origin, "https://example.com".parse()?);
/// assert!("https://example.com/".parse::<Origin>().is_err());
/// # Ok::<(), sockeye::handshake::HandshakeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(Repr);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Repr {
    Null,
    /// The host's port is none where it is the scheme's default.
    Tuple {
        scheme: String,
        host: Host,
    },
}

impl Origin {
    /// The origin of sandboxed pages, `file:` pages and redirected requests: anybody can have it.
    ///
    /// Source: RFC 6454 4.
    pub const NULL: Self = Self(Repr::Null);

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if text == "null" {
            return Some(Self::NULL);
        }
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        // What no serializer of origins writes is refused: escapes and sub-delimiters in the host,
        // an empty port, zeros before it.
        let is_plain =
            authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        let mut host = Host::parse(authority.as_bytes())?;
        let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
        if !is_scheme || !is_plain || authority.ends_with(':') || !authority.ends_with(&port) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        host.port = host.port.filter(|_| host.port != default_port(&scheme));
        Some(Self(Repr::Tuple { scheme, host }))
    }

    /// Whether a web page of this origin was loaded from that host.
    fn is_on(&self, target: &Host) -> bool {
        let Repr::Tuple { scheme, host } = &self.0 else {
            return false;
        };
        let default = default_port(scheme);
        matches!(scheme.as_str(), "http" | "https")
            && host.name == target.name
            && host.port.or(default) == target.port.or(default)
    }
}

impl FromStr for Origin {
    type Err = HandshakeError;

    /// Errors: [`InvalidOrigin`](HandshakeError::InvalidOrigin).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes()).ok_or(HandshakeError::InvalidOrigin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Null => formatter.write_str("null"),
            Repr::Tuple { scheme, host } => write!(formatter, "{scheme}://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;

    /// A request of a page. A `|` parts the values of several `Origin` lines.
    fn page(host: &str, origins: &str) -> Request<()> {
        let mut request = Request::get("/").header("host", host);
        for origin in origins.split('|') {
            request = request.header(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        }
        request.body(()).unwrap()
    }

    fn listed(origin: &str) -> Origins {
        Origins::List(vec![origin.parse().unwrap()])
    }

    #[test]
    fn origins_are_parsed_into_one_form() {
        for (text, shown) in [
            ("https://example.com", "https://example.com"),
            ("HTTPS://EXAMPLE.com:443", "https://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("http://[0:0::1]:80", "http://[::1]"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("null", "null"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), shown);
        }
    }

    /// HS-07, row 12: nothing but the form that browsers write is an origin.
    #[test]
    fn rfc_6454_s6_2_what_no_browser_writes_is_no_origin() {
        let table = "|NULL|null |example.com|//example.com|://a|1a://b|https:/a|https:a|https://|\
            https:///a|https://a/|https://a/b|https://a?b|https://a#b|https://u@a|https://u:p@a|\
            https://a:|https://a:0443|https://[::1]:|https://[::1]:0443|https://a:x|\
            https://a:65536|https://a\\b|https://a%2eb|https://a b|\x20https://a|https://a\t|\
            https://a,b|https://a https://b|https://a, https://b|https://h\u{f6}st|\
            https://\u{ff41}|https://a\0|https://*.a|https://[::1|https://::1";
        for text in table.split('|') {
            assert_eq!(text.parse::<Origin>(), Err(HandshakeError::InvalidOrigin), "{text}");
        }
    }

    /// HS-07, row 12: by default a page may connect to the host it came from, behind TLS or not.
    #[test]
    fn s10_2_a_page_reaches_its_own_host() {
        for (host, origin) in [
            ("example.com", "https://example.com"),
            ("example.com", "http://example.com"),
            ("Example.com", "https://example.com"),
            ("example.com:8080", "http://example.com:8080"),
            ("example.com:443", "https://example.com"),
            ("example.com:80", "http://example.com"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(Origins::default().check(&page(host, origin)), Ok(()), "{host} {origin}");
        }
        let program = Request::get("/").header("host", "a").body(()).unwrap();
        assert_eq!(Origins::default().check(&program), Ok(()));
        assert_eq!(Origins::List(Vec::new()).check(&program), Ok(()));
    }

    /// HS-07, row 12: none of the known ways around the check.
    #[test]
    fn s10_2_a_foreign_page_is_refused() {
        let table = "https://example.com.evil.test|https://evil-example.com|\
            https://evilexample.com|https://sub.example.com|https://example.co|\
            https://example.com.|https://example.com@evil.test|https://evil.test@example.com|\
            https://user:pass@example.com|https://example.com:444|https://example.com:80|\
            https://example.com:|https://example.com:0443|https://example.com/|\
            https://evil.test/https://example.com|https://evil.test?https://example.com|\
            https://evil.test#https://example.com|https://evil.test\\@example.com|\
            https://example.com\\.evil.test|https://example%2ecom|\
            https://example.com%00.evil.test|https://ex\u{e4}mple.com|\
            https://\u{ff45}xample.com|https://example.com https://evil.test|\
            https://example.com, https://evil.test|https://example.com\thttps://evil.test|\
            https:example.com|https:///example.com|//example.com|example.com|\
            file://example.com|chrome-extension://example.com|javascript://example.com|\
            ftp://example.com|wss://example.com|null|NULL|";
        for origin in table.split('|') {
            for origins in [listed("https://example.com"), Origins::SameHost] {
                let error = origins.check(&page("example.com", origin)).expect_err(origin);
                assert_eq!(error, HandshakeError::OriginRefused, "{origin}");
            }
        }
        assert_eq!(HandshakeError::OriginRefused.status(), StatusCode::FORBIDDEN);
    }

    /// HS-07: the scheme is part of a listed origin, the request's host is not.
    #[test]
    fn s10_2_a_list_compares_the_origin_alone() {
        let list = listed("https://example.com");
        assert!(list.check(&page("example.com", "http://example.com")).is_err());
        assert!(list.check(&page("other.test", "https://example.com")).is_ok());
        assert!(list.check(&page("other.test", "HTTPS://Example.COM:443")).is_ok());
    }

    /// HS-07, row 12: `null` only if listed; two origins are malformed for every policy.
    #[test]
    fn s10_2_null_and_two_origins() {
        let refused = Err(HandshakeError::OriginRefused);
        assert_eq!(Origins::List(Vec::new()).check(&page("a", "null")), refused);
        assert_eq!(Origins::List(vec![Origin::NULL]).check(&page("a", "null")), Ok(()));
        assert_eq!(listed("null").check(&page("a", "null")), Ok(()));
        assert_eq!(Origins::Any.check(&page("a", "https://b")), Ok(()));
        let twice = page("a", "https://a|https://a");
        for origins in [Origins::Any, Origins::SameHost, listed("https://a")] {
            assert_eq!(origins.check(&twice), Err(HandshakeError::TwoOrigins));
        }
        assert_eq!(HandshakeError::TwoOrigins.status(), StatusCode::BAD_REQUEST);
    }

    /// Row 12: an origin is compared with the one host the request is certainly for.
    #[test]
    fn s10_2_same_host_needs_a_host() {
        let request = |uri, hosts: &[&str]| {
            let request = Request::get(uri).header(ORIGIN, "https://a");
            hosts.iter().fold(request, |it, host| it.header("host", *host)).body(()).unwrap()
        };
        let check = |uri, hosts| Origins::SameHost.check(&request(uri, hosts));
        assert_eq!(check("/", &[]), Err(HandshakeError::Host));
        assert_eq!(check("/", &["a", "b"]), Err(HandshakeError::Host));
        assert_eq!(check("http://b/", &["a"]), Err(HandshakeError::OriginRefused));
        assert_eq!(check("http://a/", &["b"]), Ok(()));
    }

    proptest! {
        #[test]
        fn round_trip(text in "(https?|wss?|x-a)://[a-z0-9.-]{1,12}(:[1-9][0-9]{0,3})?") {
            let origin: Origin = text.parse().unwrap();
            prop_assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin);
        }

        #[test]
        fn a_variant_is_never_equal(
            host in "[a-z]{1,8}\\.[a-z]{2,3}",
            other in "[a-z]{1,6}",
            port in 1u16..,
        ) {
            let list = listed(&format!("https://{host}"));
            for origin in [
                format!("https://{other}.{host}"),
                format!("https://{other}{host}"),
                format!("https://{host}.{other}"),
                format!("https://{host}{other}"),
                format!("https://{host}@{other}"),
                format!("https://{other}@{host}"),
                format!("https://{other}\\{host}"),
                format!("x{other}://{host}"),
            ] {
                let page = page(&host, &origin);
                prop_assert!(list.check(&page).is_err(), "{}", origin);
                prop_assert!(Origins::SameHost.check(&page).is_err(), "{}", origin);
            }
            let with_port = page(&host, &format!("https://{host}:{port}"));
            prop_assert_eq!(list.check(&with_port).is_ok(), port == 443);
            prop_assert_eq!(Origins::SameHost.check(&with_port).is_ok(), port == 443);
        }

        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            let _ = Origin::parse(&text);
        }
    }
}
