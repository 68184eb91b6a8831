//! Texts of the caller's, or of those who gave them to the caller: URLs, queries and durations.
//!
//! Oracles: a duration and a parameter of a query are what another reader finds; a URL that is taken becomes one request that a server
//! takes, of which host and target lead to the same request again, with nothing of user and password in the
//! clear; and no policy that denies everything lets one pass.

use std::net::IpAddr;

use sockeye::auth::{QueryError, query_value};
use sockeye::client::Policy;
use sockeye::handshake::{HeadLimits, HeadReader, Upgrade};
use sockeye::protocol::{DurationError, parse_duration};
use sockeye::{Config, Connector, Error};

use super::wire_client::{Peer, finish};

/// A byte of which it is, then the text.
pub fn run(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match choice % 5 {
        0 => duration(text),
        1 => url(text),
        2 => url(&format!("ws://{text}")),
        4 => query(text),
        _ => url(&format!("wss://user:marker@{text}")),
    }
}

/// The name of a parameter, a line end, and a query.
fn query(text: &str) {
    let (name, query) = text.split_once('\n').unwrap_or(("room", text));
    let found = query_value(query, name);
    let mut expected = Ok(None);
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = match plain(key) {
            Some(key) if key != name => continue,
            key => key.and_then(|_| plain(value)),
        };
        expected = match (value, expected) {
            (Some(value), Ok(None)) => Ok(Some(value)),
            (Some(_), _) => Err(QueryError::Twice),
            (None, _) => Err(QueryError::Malformed),
        };
        if expected.is_err() {
            break;
        }
    }
    assert_eq!(found.map(|value| value.map(String::from)), expected, "{name} of {query}");
}

/// Without escapes: what is between the percent signs, each but the first behind two digits.
fn plain(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.as_bytes().split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        bytes.extend_from_slice(rest);
    }
    String::from_utf8(bytes).ok()
}

fn duration(text: &str) {
    let nanos = nanos(text);
    match parse_duration(text) {
        Ok(duration) => {
            let (least, most) = nanos.expect("no duration was taken for one");
            assert!((least..=most).contains(&(duration.as_nanos() as f64)), "{text}: {duration:?}");
        }
        Err(DurationError::Negative) => assert!(text.starts_with('-')),
        Err(DurationError::TooLong) => {
            assert!(nanos.is_some_and(|(_, most)| most > i64::MAX as f64 * 0.999), "{text}");
        }
        Err(_) => assert!(nanos.is_none(), "{text}"),
    }
}

/// Go's grammar, computed with floating numbers: the nanoseconds, and how far off they may be.
fn nanos(text: &str) -> Option<(f64, f64)> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some((0.0, 0.0));
    }
    let (mut rest, mut sum, mut parts) = (unsigned, 0.0, 0);
    while !rest.is_empty() {
        let number_len =
            rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return None,
        };
        if !number.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // Two points are no number for it either.
        sum += number.parse::<f64>().ok()? * scale;
        parts += 1;
        rest = after;
    }
    // Each part is cut to whole nanoseconds.
    let off = sum * 1e-12 + f64::from(parts);
    (parts > 0).then_some((sum - off, sum + off))
}

/// The head of the request that a URL becomes; `None` where it is no URL.
fn head(url: &str) -> Option<Vec<u8>> {
    let peer = Peer::new(b"", 0);
    let told = peer.told();
    let result = finish(Connector::new(Config::default()).connect_on(url, peer)).map(drop);
    let told = told.lock().expect("whole").clone();
    let is_sent = !told.is_empty();
    match result.expect_err("nobody answers") {
        Error::Url(_) => assert!(!is_sent, "{url}: something was sent"),
        error => assert!(is_sent || matches!(error, Error::Handshake(_)), "{url}: {error:?}"),
    }
    is_sent.then_some(told)
}

fn url(text: &str) {
    let checked = Policy::allow_all().check(text);
    assert!(matches!(checked, Ok(()) | Err(Error::Url(_))), "{checked:?}");
    let head = head(text);
    assert!(head.is_none() || checked.is_ok(), "{text}: sent, though no URL");
    if checked.is_err() {
        return;
    }
    assert!(matches!(Policy::disabled().check(text), Err(Error::Denied(_))));
    let deny_all = Policy::allow_all().deny("*://*:*").expect("a pattern");
    let is_unix = text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("ws+unix:"));
    assert_eq!(deny_all.check(text).is_err(), !is_unix, "{text}");
    let Some(head) = head else { return };
    if head.len() > HeadLimits::default().head_bytes_max / 2 {
        return;
    }
    let mut reader = HeadReader::new(HeadLimits::default());
    let taken = reader.receive(&head).expect("a head of ours");
    assert_eq!(taken, Some(head.len()), "one head and nothing else");
    let request = reader.request().expect("a request of ours");
    Upgrade::from_request(&request).expect("an upgrade of ours");
    let text_of_head = String::from_utf8(head.clone()).expect("ASCII");
    let target = text_of_head.split(' ').nth(1).expect("a target");
    let host = text_of_head.split("\r\n").find_map(|line| line.strip_prefix("Host: "));
    let host = host.expect("a host");
    assert!(target.starts_with('/') && !host.contains(['@', '/', '?', '#']), "{host} {target}");
    if !is_unix {
        same_again(text, host, target);
    }
}

/// Host and target lead to the same request; an address that is not public is not let through.
fn same_again(text: &str, host: &str, target: &str) {
    let is_secure = ["wss:", "https:"].into_iter().any(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let scheme = if is_secure { "wss" } else { "ws" };
    let again = format!("{scheme}://{host}{target}");
    let again = String::from_utf8(head(&again).expect("a URL still")).expect("ASCII");
    assert!(again.starts_with(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n")), "{again}");
    assert!(!again.contains("uthorization"), "user and password are no part of it");
    let address = host.trim_start_matches('[').split(']').next().unwrap_or_default();
    let bare = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let address = address.parse::<IpAddr>().or_else(|_| bare.parse());
    if let Ok(IpAddr::V4(address)) = address
        && (address.is_loopback() || address.is_private() || address.is_link_local())
    {
        assert!(Policy::public_only().check(text).is_err(), "{text} leads inside");
    }
}
