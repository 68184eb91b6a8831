//! Proxies: which one, and for which server.

use std::fmt;
use std::net::IpAddr;

use http::HeaderValue;
use url::{Host, Url};

use crate::error::SettingError;
use crate::handshake::Network;

use super::target::{Scheme, basic_credentials, user_information};

/// A proxy that connects in our place.
///
/// | URL | speaks |
/// |---|---|
/// | `http://[user:password@]host[:port]` | HTTP CONNECT, port 80 if none is written (RFC 9110 9.3.6) |
/// | `https://...` | the same inside of TLS, port 443: takes [`Connector::tls`](super::Connector::tls) |
/// | `socks5://[user:password@]host[:port]`, `socks5h://...` | SOCKS5, port 1080 (RFC 1928, RFC 1929) |
///
/// The proxy looks names up, unless the client's [`Policy`](super::Policy) judges addresses: then they are
/// looked up here. Its `Debug` does not show user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(super) kind: ProxyKind,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    pub(super) login: Option<Login>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Http,
    Https,
    Socks5,
}

/// User and password for a proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
    /// For HTTP.
    pub(super) basic: HeaderValue,
}

/// What a field of RFC 1929 holds.
const LOGIN_BYTES_MAX: usize = 255;

impl Proxy {
    /// Reads the URL of a proxy.
    ///
    /// # Errors
    /// [`SettingError::Proxy`].
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let is_odd = |character: char| character.is_control() || character.is_whitespace();
        if text.contains(is_odd) || text.contains(['\\', '#']) {
            return Err(SettingError::Proxy("its URL holds what no URL does"));
        }
        let url = Url::parse(text).map_err(|_| SettingError::Proxy("not a URL"))?;
        let (kind, default_port) = match url.scheme() {
            "http" => (ProxyKind::Http, 80),
            "https" => (ProxyKind::Https, 443),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            _ => return Err(SettingError::Proxy("its scheme is http, https, socks5 or socks5h")),
        };
        // Only web schemes have their hosts in the normal form already.
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.and_then(|host| Host::parse(host).ok());
        let host = host.ok_or(SettingError::Proxy("there is no host"))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(SettingError::Proxy("its URL has no path"));
        }
        Ok(Self { kind, host, port: url.port().unwrap_or(default_port), login: login(&url)? })
    }
}

fn login(url: &Url) -> Result<Option<Login>, SettingError> {
    const NOT_VALID: SettingError = SettingError::Proxy("user or password are not valid");
    let Some((user, password)) = user_information(url).map_err(|_| NOT_VALID)? else {
        return Ok(None);
    };
    if user.len() > LOGIN_BYTES_MAX || password.len() > LOGIN_BYTES_MAX {
        return Err(NOT_VALID);
    }
    let basic = basic_credentials(&user, &password).ok_or(NOT_VALID)?;
    Ok(Some(Login { user, password, basic }))
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Which proxy is used for which server. By default none is.
///
/// ```
/// use sockeye::client::{Proxies, Proxy};
///
/// let proxies = Proxies::all(Proxy::parse("http://user:secret@proxy.example:3128")?)
///     .except("localhost, .example.com, 10.0.0.0/8");
/// # let _ = proxies;
/// # Ok::<(), sockeye::client::SettingError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    for_ws: Option<Proxy>,
    for_wss: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    host: ExceptedHost,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ExceptedHost {
    Any,
    Network(Network),
    /// The name and every name under it.
    Name(String),
    /// Only names under it.
    Under(String),
}

impl Proxies {
    /// No proxy.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One proxy for all servers.
    #[must_use]
    pub fn all(proxy: Proxy) -> Self {
        Self { for_ws: Some(proxy.clone()), for_wss: Some(proxy), exceptions: Vec::new() }
    }

    /// What the environment says: `HTTPS_PROXY` for `wss`, `HTTP_PROXY` for `ws`, `ALL_PROXY` where those
    /// are not set, `NO_PROXY` for exceptions (see [`except`](Self::except)). Names in small letters go
    /// before those in capitals; an empty value means none. `HTTP_PROXY` in capitals is not read where
    /// `REQUEST_METHOD` is set: there it is a header that a stranger sent (CGI).
    ///
    /// # Errors
    /// [`SettingError::Proxy`] for a value that is no URL of a proxy.
    pub fn from_env() -> Result<Self, SettingError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same with variables of one's own.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let get = |name: &str| {
            let capitals = name.to_ascii_uppercase();
            let is_trusted = !(is_cgi && capitals == "HTTP_PROXY");
            let found = variable(name).or_else(|| variable(&capitals).filter(|_| is_trusted));
            found.filter(|value| !value.trim().is_empty())
        };
        let proxy = |name| {
            let value = get(name).or_else(|| get("all_proxy"));
            value.map(|value| Proxy::parse(value.trim())).transpose()
        };
        let proxies = Self {
            for_ws: proxy("http_proxy")?,
            for_wss: proxy("https_proxy")?,
            exceptions: Vec::new(),
        };
        Ok(proxies.except(&get("no_proxy").unwrap_or_default()))
    }

    /// Servers that are called without a proxy, with commas between them: `example.com` is the name and
    /// all names under it, `.example.com` and `*.example.com` only those under it, `10.0.0.0/8` and
    /// `2001:db8::1` addresses that are written as such in a URL, `*` everything; `:8080` behind it, only
    /// that port. An entry that is none of these is passed over, as others do.
    #[must_use]
    pub fn except(mut self, list: &str) -> Self {
        let entries = list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
        self.exceptions.extend(entries.filter_map(Exception::parse));
        self
    }

    /// The proxy for a server; `None` to call it itself.
    pub(super) fn find(&self, scheme: Scheme, host: &Host<String>, port: u16) -> Option<&Proxy> {
        let proxy = match scheme {
            Scheme::Ws => &self.for_ws,
            Scheme::Wss => &self.for_wss,
            Scheme::WsUnix => return None,
        };
        let is_excepted = || self.exceptions.iter().any(|entry| entry.matches(host, port));
        proxy.as_ref().filter(|_| !is_excepted())
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self { host: ExceptedHost::Any, port: None });
        }
        if let Ok(network) = entry.parse() {
            return Some(Self { host: ExceptedHost::Network(network), port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, digits)) => (host, Some(digits.parse().ok()?)),
            None => (entry, None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(network) = bare.parse() {
            return Some(Self { host: ExceptedHost::Network(network), port });
        }
        let (name, is_under) = match host.strip_prefix("*.").or_else(|| host.strip_prefix('.')) {
            Some(name) => (name, true),
            None => (host, false),
        };
        let Ok(Host::Domain(name)) = Host::parse(name.trim_end_matches('.')) else {
            return None;
        };
        let host = if is_under { ExceptedHost::Under(name) } else { ExceptedHost::Name(name) };
        Some(Self { host, port })
    }

    fn matches(&self, host: &Host<String>, port: u16) -> bool {
        let is_host = match (&self.host, host) {
            (ExceptedHost::Any, _) => true,
            (ExceptedHost::Network(network), Host::Ipv4(address)) => {
                network.contains(IpAddr::V4(*address))
            }
            (ExceptedHost::Network(network), Host::Ipv6(address)) => {
                network.contains(IpAddr::V6(*address).to_canonical())
            }
            (ExceptedHost::Name(name), Host::Domain(host)) => {
                without_dot(host) == name || is_under(host, name)
            }
            (ExceptedHost::Under(name), Host::Domain(host)) => is_under(host, name),
            _ => false,
        };
        is_host && self.port.is_none_or(|own| own == port)
    }
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn is_under(host: &str, name: &str) -> bool {
    let parent = without_dot(host).strip_suffix(name);
    parent.is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::target::{Place, Target};

    #[test]
    fn urls_of_proxies() {
        for (text, kind, place) in [
            ("http://Proxy.test", ProxyKind::Http, "proxy.test:80"),
            ("http://proxy.test:3128/", ProxyKind::Http, "proxy.test:3128"),
            ("https://proxy.test", ProxyKind::Https, "proxy.test:443"),
            ("socks5://127.0.0.1", ProxyKind::Socks5, "127.0.0.1:1080"),
            ("socks5h://[::1]:9", ProxyKind::Socks5, "[::1]:9"),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.kind, kind, "{text}");
            assert_eq!(format!("{}:{}", proxy.host, proxy.port), place, "{text}");
            assert!(proxy.login.is_none());
        }
        let proxy = Proxy::parse("socks5://us%40er:mar%6ber@a").unwrap();
        let login = proxy.login.as_ref().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("us@er", "marker"));
        assert!(!format!("{proxy:?}").contains("mar"), "{proxy:?}");
        let long = format!("http://{}@a", "u".repeat(256));
        for text in [
            "",
            "proxy.test",
            "proxy.test:3128",
            "ftp://a",
            "socks4://a",
            "http://",
            "http://a/x",
            "http://a?x",
            "http://a b",
            "http://a\r\n",
            "http://us%3aer@a",
            "http://u%00@a",
            "socks5://",
            "http://a:x",
            &long,
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert!(matches!(error, SettingError::Proxy(_)), "{text}");
        }
    }

    fn found(list: &[(&str, &str)], url: &str) -> Option<String> {
        let variable = |name: &str| {
            list.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let proxies = Proxies::from_variables(variable).unwrap();
        let target = Target::parse(url).unwrap();
        let Place::Net { host, port } = &target.place else {
            panic!("a unix socket");
        };
        proxies.find(target.scheme, host, *port).map(|proxy| proxy.host.to_string())
    }

    /// BY-50: which variable counts.
    #[test]
    fn variables_of_the_environment() {
        let both = [("HTTP_PROXY", "http://h"), ("HTTPS_PROXY", "http://s")];
        assert_eq!(found(&both, "ws://a/").as_deref(), Some("h"));
        assert_eq!(found(&both, "wss://a/").as_deref(), Some("s"));
        let all =
            [("ALL_PROXY", "socks5://x"), ("http_proxy", "http://h"), ("HTTP_PROXY", "http://i")];
        assert_eq!(found(&all, "ws://a/").as_deref(), Some("h"));
        assert_eq!(found(&all, "wss://a/").as_deref(), Some("x"));
        assert_eq!(found(&[("http_proxy", "")], "ws://a/"), None);
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil")];
        assert_eq!(found(&cgi, "ws://a/"), None, "a header of a stranger's");
        let cgi = [("REQUEST_METHOD", "GET"), ("http_proxy", "http://h")];
        assert_eq!(found(&cgi, "ws://a/").as_deref(), Some("h"));
        let wrong = |name: &str| (name == "ALL_PROXY").then(|| "nonsense".to_owned());
        assert!(Proxies::from_variables(wrong).is_err());
    }

    /// BY-50: who is called without.
    #[test]
    fn exceptions() {
        for (list, without, with) in [
            ("*", "ws://a/ ws://1.2.3.4/", ""),
            (
                "example.com",
                "ws://example.com/ ws://A.Example.com./ ws://a.b.example.com:9/",
                "ws://notexample.com/ ws://example.com.evil/",
            ),
            (".example.com", "ws://a.example.com/", "ws://example.com/"),
            ("*.example.com", "ws://a.example.com/", "ws://example.com/"),
            ("a:81", "ws://a:81/", "ws://a/ ws://b:81/"),
            (
                "10.0.0.0/8, ::1",
                "ws://10.1.2.3/ ws://[::1]/ ws://[::ffff:10.0.0.1]/",
                "ws://11.0.0.1/ ws://[::2]/",
            ),
            (
                "127.0.0.1 localhost",
                "ws://127.1/ ws://localhost/ ws://a.localhost/",
                "ws://127.0.0.2/",
            ),
            (
                "[::1]:81,127.0.0.1:82",
                "ws://[::1]:81/ ws://127.0.0.1:82/",
                "ws://[::1]/ ws://127.0.0.1/",
            ),
            ("b\u{fc}cher.test", "ws://xn--bcher-kva.test/", "ws://bucher.test/"),
            (",,a:x,:,  ", "", "ws://a/"),
        ] {
            let variables = [("all_proxy", "http://p"), ("NO_PROXY", list)];
            for url in without.split(' ').filter(|url| !url.is_empty()) {
                assert_eq!(found(&variables, url), None, "{list} {url}");
            }
            for url in with.split(' ').filter(|url| !url.is_empty()) {
                assert_eq!(found(&variables, url).as_deref(), Some("p"), "{list} {url}");
            }
        }
    }
}
