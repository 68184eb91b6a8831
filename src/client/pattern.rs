//! Patterns of URLs.

use std::path::Path;

use url::{Host, Url};

use crate::error::SettingError;
use crate::handshake::decode_query;

use super::target::{Place, Scheme, Target};

/// `scheme://host[:port][/path]`, where parts may be stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlPattern {
    /// `None` for `ws` and `wss`.
    scheme: Option<Scheme>,
    host: HostPattern,
    port: PortPattern,
    path: PathPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// What is before it, is any number of labels.
    Under(String),
    Exactly(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortPattern {
    Any,
    /// Of the scheme that the URL has.
    Default,
    Exactly(u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathPattern {
    Any,
    Exactly(String),
    Under(String),
}

/// Whom a path is compared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Allow,
    Deny,
}

impl UrlPattern {
    pub(super) fn parse(text: &str) -> Result<Self, SettingError> {
        let (scheme, rest) = text.split_once("://").ok_or(NO_SCHEME)?;
        let scheme = match scheme {
            "*" => None,
            "ws" => Some(Scheme::Ws),
            "wss" => Some(Scheme::Wss),
            "ws+unix" => Some(Scheme::WsUnix),
            _ => return Err(NO_SCHEME),
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let path = PathPattern::parse(path)?;
        if scheme == Some(Scheme::WsUnix) {
            let is_alone = authority.is_empty() || authority == "*";
            let pattern = Self { scheme, host: HostPattern::Any, port: PortPattern::Any, path };
            return is_alone.then_some(pattern).ok_or(NO_HOST);
        }
        let (host, port) = split_port(authority)?;
        Ok(Self { scheme, host: HostPattern::parse(host)?, port, path })
    }

    pub(super) fn matches(&self, target: &Target, purpose: Purpose) -> bool {
        let is_scheme = match self.scheme {
            Some(scheme) => scheme == target.scheme,
            None => target.scheme != Scheme::WsUnix,
        };
        if !is_scheme {
            return false;
        }
        match &target.place {
            Place::Unix(path) => self.path.matches_file(path),
            Place::Net { host, port } => {
                self.host.matches(host)
                    && self.port.matches(*port, target.scheme)
                    && self.path.matches(path_of(target.request()), purpose)
            }
        }
    }
}

const NO_SCHEME: SettingError =
    SettingError::Pattern("it begins with ws://, wss://, ws+unix:// or *://");
const NO_HOST: SettingError =
    SettingError::Pattern("its host is a name or address, *.name, or *, without user information");
const NO_PORT: SettingError = SettingError::Pattern("its port is a number or *");
const NO_PATH: SettingError =
    SettingError::Pattern("its path has one star, at its end, and no query or escape");

fn split_port(authority: &str) -> Result<(&str, PortPattern), SettingError> {
    // The colons of an IPv6 address are in brackets.
    let after = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after..].find(':').map(|at| at + after) else {
        return Ok((authority, PortPattern::Default));
    };
    let port = match &authority[colon + 1..] {
        "*" => PortPattern::Any,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            PortPattern::Exactly(digits.parse().map_err(|_| NO_PORT)?)
        }
        _ => return Err(NO_PORT),
    };
    Ok((&authority[..colon], port))
}

/// In the one form that hosts of URLs have.
fn normal_host(host: &str) -> Result<String, SettingError> {
    let is_plain = !host.is_empty() && !host.contains(['@', '*', '\\', '?', '#']);
    let url =
        Some(host).filter(|_| is_plain).and_then(|host| Url::parse(&format!("ws://{host}")).ok());
    let host = url.as_ref().and_then(Url::host_str).ok_or(NO_HOST)?;
    Ok(without_dot(host).to_owned())
}

/// The dot of the root at the end means the same host to us: whoever denies a name denies it with the dot.
fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, SettingError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match text.strip_prefix("*.") {
            Some(parent) => Ok(Self::Under(format!(".{}", normal_host(parent)?))),
            None => normal_host(text).map(Self::Exactly),
        }
    }

    fn matches(&self, host: &Host<String>) -> bool {
        match self {
            Self::Any => true,
            Self::Under(suffix) => match host {
                Host::Domain(name) => without_dot(name).ends_with(suffix.as_str()),
                _ => false,
            },
            Self::Exactly(exactly) => without_dot(&host.to_string()) == exactly,
        }
    }
}

impl PortPattern {
    fn matches(self, port: u16, scheme: Scheme) -> bool {
        match self {
            Self::Any => true,
            Self::Default => port == if scheme == Scheme::Wss { 443 } else { 80 },
            Self::Exactly(exactly) => port == exactly,
        }
    }
}

impl PathPattern {
    fn parse(text: &str) -> Result<Self, SettingError> {
        if text.is_empty() || text == "/*" {
            return Ok(Self::Any);
        }
        let (text, is_under) = match text.strip_suffix('*') {
            Some(text) => (text, true),
            None => (text, false),
        };
        if text.contains(['*', '?', '#', '%', '\\']) {
            return Err(NO_PATH);
        }
        Ok(if is_under { Self::Under(text.to_owned()) } else { Self::Exactly(text.to_owned()) })
    }

    /// The path of a URL. One that servers read in different ways matches what is denied and not what is
    /// allowed.
    fn matches(&self, path: &str, purpose: Purpose) -> bool {
        if *self == Self::Any {
            return true;
        }
        match unambiguous(path) {
            Some(path) => self.compare(&path),
            None => purpose == Purpose::Deny,
        }
    }

    fn matches_file(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|path| self.compare(path))
    }

    fn compare(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exactly) => path == exactly,
            Self::Under(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

fn path_of(request: &str) -> &str {
    request.split_once('?').map_or(request, |(path, _)| path)
}

/// A path without its escapes; `None` where an escape hides a slash or leads upwards.
fn unambiguous(path: &str) -> Option<String> {
    let decoded = decode_query(&path.replace('+', "%2B"))?.into_owned();
    let slashes = |text: &str| text.bytes().filter(|byte| *byte == b'/').count();
    let is_plain = slashes(path) == slashes(&decoded)
        && !decoded.contains('\\')
        && !decoded.split('/').any(|part| part == ".." || part == ".")
        && !decoded.contains("//");
    is_plain.then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        let pattern = UrlPattern::parse(pattern).unwrap();
        let target = Target::parse(url).unwrap();
        let allows = pattern.matches(&target, Purpose::Allow);
        let denies = pattern.matches(&target, Purpose::Deny);
        assert!(denies || !allows, "what is allowed can be denied: {url}");
        allows
    }

    /// CE-02: each part of a pattern says what it lets through.
    #[test]
    fn parts_match_by_themselves() {
        for (pattern, hits, misses) in [
            ("ws://a", "ws://a/ ws://A:80/x?y ws://a./", "wss://a/ ws://a:81/ ws://b/ ws://a.b/"),
            ("*://a", "ws://a/ wss://a/", "ws://a:443/ wss://a:80/ ws+unix:///a"),
            ("wss://*:*", "wss://a/ wss://1.2.3.4:1/", "ws://a/"),
            ("ws://*.b.c:*", "ws://a.b.c/ ws://x.a.b.c:9/", "ws://b.c/ ws://ab.c/ ws://a.b.c.d/"),
            ("ws://[::1]:8080", "ws://[0::1]:8080/", "ws://[::1]/ ws://[::2]:8080/"),
            ("ws://127.0.0.1:*", "ws://0x7f000001/ ws://127.1:5/", "ws://localhost/"),
            ("ws://b\u{fc}cher.de", "ws://xn--bcher-kva.de/", "ws://bucher.de/"),
            ("ws://a/x", "ws://a/x ws://a/x?y ws://a/%78", "ws://a/x/ ws://a/xy ws://a/"),
            ("ws://a/x/*", "ws://a/x/ ws://a/x/y/z", "ws://a/x ws://a/x/../y ws://a/x/%2e%2e/y"),
            ("ws://a/*", "ws://a/ ws://a/x", "ws://b/"),
            ("ws+unix:///run/*", "ws+unix:///run/a:/x", "ws+unix:///etc/a ws://run/"),
        ] {
            for url in hits.split(' ') {
                assert!(matches(pattern, url), "{pattern} {url}");
            }
            for url in misses.split(' ') {
                assert!(!matches(pattern, url), "{pattern} {url}");
            }
        }
    }

    /// A path that servers read in two ways is denied by every pattern with a path, and allowed by none.
    #[test]
    fn ambiguous_paths_are_denied() {
        let pattern = UrlPattern::parse("ws://a/admin*").unwrap();
        for url in ["ws://a/x%2f..%2fadmin", "ws://a/%5cadmin", "ws://a//admin", "ws://a/%ff"] {
            let target = Target::parse(url).unwrap();
            assert!(pattern.matches(&target, Purpose::Deny), "{url}");
            assert!(!pattern.matches(&target, Purpose::Allow), "{url}");
        }
        let target = Target::parse("ws://a/%61dmin").unwrap();
        assert!(pattern.matches(&target, Purpose::Deny));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "a",
            "http://a",
            "ws:a",
            "ws://",
            "ws:///x",
            "ws://a:x",
            "ws://a:65536",
            "ws://u@a",
            "ws://a*",
            "ws://*a",
            "ws://a.*",
            "ws://*.",
            "ws://a/x*y",
            "ws://a/x?y",
            "ws://a/%78",
            "ws+unix://a/b",
            "ws://a b",
        ] {
            assert!(UrlPattern::parse(text).is_err(), "{text}");
        }
    }
}
