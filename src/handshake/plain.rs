//! An upgrade request that is as nearly all are: read in one pass, without a map.
//!
//! It decides nothing by itself. What it takes is what [`HeadReader::request`](super::HeadReader::request) and
//! [`Upgrade::from_request`] take, and with everything else these are asked.

use std::ops::Range;

use super::Upgrade;
use super::fields::Fields;
use super::host::Host;
use super::tokens::table;

/// Header lines that surely fit a map.
const LINES_MAX: usize = 1024;

/// A longer target is left to the parser of URIs, which has a bound of its own.
const TARGET_BYTES_MAX: usize = 8 * 1024;

const METHOD: &[u8] = b"GET ";
const VERSION: &[u8] = b" HTTP/1.1";

/// Where the parts of the head are.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) path: Range<u32>,
    /// What is behind the `?`.
    pub(super) query: Option<Range<u32>>,
    pub(super) host: Range<u32>,
    pub(super) header_lines: u32,
}

impl Plain {
    /// Reads the two parts of one head. `None`: it is no upgrade, or not as plainly.
    pub(super) fn read(line: &[u8], block: &[u8], header_lines: usize) -> Option<(Self, Upgrade)> {
        let target = line.strip_prefix(METHOD)?.strip_suffix(VERSION)?;
        if header_lines > LINES_MAX || target.len() > TARGET_BYTES_MAX {
            return None;
        }
        let path_len = path_len(target)?;
        let query_start = METHOD.len() + path_len + 1;
        let fields = Fields::read(block)?;
        let host = fields.host.filter(|host| Host::is_host(host))?;
        let upgrade = Upgrade::from_fields(&fields)?;
        // The value lies in the block: how far behind its beginning.
        let block_start = line.len() + 2;
        let host_start = block_start + host.as_ptr().addr().checked_sub(block.as_ptr().addr())?;
        let plain = Self {
            path: range(METHOD.len(), path_len)?,
            query: match target.get(path_len + 1..) {
                Some(query) => Some(range(query_start, query.len())?),
                None => None,
            },
            host: range(host_start, host.len())?,
            header_lines: u32::try_from(header_lines).ok()?,
        };
        Some((plain, upgrade))
    }
}

fn range(start: usize, len: usize) -> Option<Range<u32>> {
    Some(u32::try_from(start).ok()?..u32::try_from(start + len).ok()?)
}

/// How long the path is, of a path and a query of bytes that RFC 3986 3.3 and 3.4 list.
fn path_len(target: &[u8]) -> Option<usize> {
    const IS_PATH: [bool; 256] = table(b"-._~!$&'()*+,;=:@%/");
    let mut bytes = target.iter();
    let path_len = bytes.position(|&byte| !IS_PATH[usize::from(byte)]).unwrap_or(target.len());
    let is_query = |&byte: &u8| IS_PATH[usize::from(byte)] || byte == b'?';
    let is_known = target.first() == Some(&b'/')
        && target[path_len..].first().is_none_or(|&byte| byte == b'?');
    (is_known && bytes.all(is_query)).then_some(path_len)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::handshake::{HandshakeError, HeadLimits, HeadReader, Origins, RequestHead};

    fn read(head: &str) -> HeadReader {
        let mut reader = HeadReader::new(HeadLimits::default());
        assert_eq!(reader.receive(head.as_bytes()), Ok(Some(head.len())), "{head}");
        reader
    }

    fn is_plain(head: &str) -> bool {
        let (line, rest) = head.split_once("\r\n").unwrap();
        Plain::read(line.as_bytes(), rest.as_bytes(), 20).is_some()
    }

    /// What is asked for, as the map has it, whichever way it was read.
    type Asked = (Vec<String>, Vec<String>, Option<String>, String, Option<String>);

    fn asked(head: &RequestHead, upgrade: &Upgrade) -> Asked {
        let extensions = upgrade.extensions().iter().map(|extension| format!("{extension:?}"));
        let (path, query) = (head.path().to_owned(), head.query().map(str::to_owned));
        (
            upgrade.subprotocols().to_vec(),
            extensions.collect(),
            upgrade.origin().map(str::to_owned),
            path,
            query,
        )
    }

    /// Both ways say the same of a head, errors included.
    fn check(text: &str) {
        let reader = read(text);
        let by_map = reader.request();
        let either = reader.into_request();
        let (request, head, upgrade) = match (by_map, either) {
            (Ok(request), Ok((head, upgrade))) => (request, head, upgrade),
            (by_map, either) => {
                assert_eq!(by_map.err(), either.err(), "{text}");
                return;
            }
        };
        assert_eq!(head.request().uri(), request.uri(), "{text}");
        assert_eq!(head.request().headers(), request.headers(), "{text}");
        assert_eq!(head.request().method(), Method::GET);
        let (head_by_map, upgrade_by_map) =
            (RequestHead::from(request), Upgrade::from_head(head.request()));
        let (upgrade, upgrade_by_map) = match (upgrade, upgrade_by_map) {
            (Ok(upgrade), Ok(by_map)) => (upgrade, by_map),
            (upgrade, by_map) => {
                assert_eq!(upgrade.err(), by_map.err(), "{text}");
                return;
            }
        };
        assert_eq!(asked(&head, &upgrade), asked(&head_by_map, &upgrade_by_map), "{text}");
        for origins in [Origins::SameHost, Origins::Any, Origins::List(Vec::new())] {
            let judged = head.check_origin(&upgrade, &origins);
            assert_eq!(judged, head_by_map.check_origin(&upgrade_by_map, &origins), "{text}");
        }
        let answer = |upgrade: Upgrade| {
            let mut out = Vec::new();
            upgrade.accept(Default::default()).unwrap().encode(&mut out);
            out
        };
        assert_eq!(answer(upgrade), answer(upgrade_by_map), "{text}");
    }

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    /// HS-01: what browsers and libraries send takes the short way.
    #[test]
    fn what_nearly_all_send_is_plain() {
        let library = format!(
            "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}Sec-WebSocket-Version: 13\r\n\r\n"
        );
        let browser = format!(
            "GET /chat?room=a%20b HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: x/1 (y; z)\r\nAccept: */*\r\n\
             Sec-WebSocket-Version: 13\r\nOrigin: http://a.example:8080\r\nSec-WebSocket-Protocol: a, b\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n{KEY}\
             Connection: keep-alive, Upgrade\r\nCookie: a=b\r\nUpgrade: websocket\r\n\r\n"
        );
        for head in [&library, &browser] {
            assert!(is_plain(head), "{head}");
            check(head);
        }
        let (head, upgrade) = read(&browser).into_request().unwrap();
        assert_eq!((head.path(), head.query()), ("/chat", Some("room=a%20b")));
        let upgrade = upgrade.unwrap();
        assert_eq!(upgrade.subprotocols(), ["a", "b"]);
        assert_eq!(head.check_origin(&upgrade, &Origins::SameHost), Ok(()));
        let nobody = Origins::List(Vec::new());
        assert_eq!(head.check_origin(&upgrade, &nobody), Err(HandshakeError::OriginRefused));
    }

    /// HS-01: what is there twice, announces a body or is not good is for the map to judge.
    #[test]
    fn what_is_out_of_the_ordinary_is_not_plain() {
        let good = [
            "Host: a\r\n",
            "Upgrade: websocket\r\n",
            "Connection: Upgrade\r\n",
            KEY,
            "Sec-WebSocket-Version: 13\r\n",
        ];
        let line = "GET / HTTP/1.1\r\n";
        assert!(is_plain(&format!("{line}{}\r\n", good.concat())));
        for twice in good {
            let head = format!("{line}{}{twice}\r\n", good.concat());
            assert!(!is_plain(&head), "{head}");
            check(&head);
        }
        for more in [
            "Content-Length: 1\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Origin: \u{e9}\r\n",
            ": a\r\n",
            "a b: c\r\n",
            "Sec-WebSocket-Protocol: ,\r\n",
        ] {
            let head = format!("{line}{}{more}\r\n", good.concat());
            assert!(!is_plain(&head), "{head}");
            check(&head);
        }
        for left_out in 0..good.len() {
            let rest: String = good
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != left_out)
                .map(|(_, line)| *line)
                .collect();
            let head = format!("{line}{rest}\r\n");
            assert!(!is_plain(&head), "{head}");
            check(&head);
        }
        for line in [
            "POST / HTTP/1.1",
            "GET http://a/ HTTP/1.1",
            "GET /# HTTP/1.1",
            "GET /\" HTTP/1.1",
            "GET / HTTP/1.0",
        ] {
            let head = format!("{line}\r\n{}\r\n", good.concat());
            assert!(!is_plain(&head), "{head}");
            check(&head);
        }
    }

    /// HS-01: a header whose name is as long as a known one is another header.
    #[test]
    fn names_of_the_same_length_are_others() {
        let lines = [
            ("Host", "a"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        let head = |lines: &[(&str, &str)]| {
            let lines = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            format!("GET / HTTP/1.1\r\n{}\r\n", lines.collect::<String>())
        };
        for at in 0..lines.len() {
            let (known, value) = lines[at];
            let other = "x".repeat(known.len());
            let mut instead = lines;
            instead[at] = (&other, value);
            assert!(!is_plain(&head(&instead)), "{known}");
            check(&head(&instead));
        }
        for known in [
            "Origin",
            "Content-Length",
            "Transfer-Encoding",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
        ] {
            let other = "x".repeat(known.len());
            let head = head(&[&lines[..], &[(&other, "a")]].concat());
            assert!(is_plain(&head), "{known}");
            check(&head);
        }
    }

    /// HS-01: the short way has bounds of its own, and beyond them the map judges.
    #[test]
    fn long_lines_are_not_plain() {
        let block = format!(
            "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}Sec-WebSocket-Version: 13\r\n"
        );
        let is_plain = |line: &str, more: &str, lines| {
            Plain::read(line.as_bytes(), format!("{block}{more}\r\n").as_bytes(), lines).is_some()
        };
        assert!(is_plain("GET / HTTP/1.1", "", 1024));
        assert!(!is_plain("GET / HTTP/1.1", "", 1025));
        let target = |len: usize| format!("GET /{} HTTP/1.1", "a".repeat(len - 1));
        assert!(is_plain(&target(8192), "", 5));
        assert!(!is_plain(&target(8193), "", 5));
        let name = |len: usize| format!("{}: a\r\n", "x".repeat(len));
        assert!(is_plain("GET / HTTP/1.1", &name(1024), 6));
        assert!(!is_plain("GET / HTTP/1.1", &name(1025), 6));
    }

    /// HS-01: a query may hold a `?`, and nothing that a path may not hold.
    #[test]
    fn queries_are_plain() {
        let head = |target: &str| {
            format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}Sec-WebSocket-Version: 13\r\n\r\n"
            )
        };
        for target in ["/?", "/?a=b", "/?a?b", "/a?/b", "//?a"] {
            assert!(is_plain(&head(target)), "{target}");
            check(&head(target));
        }
        for target in ["/?\"", "/?a\"", "/?a#b", "/?{"] {
            assert!(!is_plain(&head(target)), "{target}");
            check(&head(target));
        }
    }

    proptest! {
        #[test]
        fn both_ways_say_the_same(
            target in r"/[ -~]{0,6}|(/|//|http://a)[a-z?/%:@]{0,9}",
            version in r"HTTP/1\.(1|1|1|[0-9])",
            lines in prop::collection::vec(prop_oneof![
                3 => prop::sample::select(vec![
                    "Host: a", "host:a:1 ", "Host: @", "Host:", "HOST: [::1]:8", "Origin: http://a", "Origin: null", "origin: \u{e9}",
                    "Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: ,", "Sec-WebSocket-Extensions: x; y=1", "Sec-WebSocket-Extensions: ;",
                    "Content-Length: 0", "Content-Length: 1", "Transfer-Encoding: x", "X-A : b", "X-A: b",
                ]).prop_map(str::to_owned),
                1 => "[!-~]{0,4}:[ -~\t\x01\x7f\u{e9}]{0,4}",
            ], 0..4),
            core in prop::sample::subsequence(vec![
                "Host: a", "Upgrade: websocket", "upgrade: h2c, WebSocket", "Connection: keep-alive, upgrade", "Connection: close",
                "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: x",
            ], 0..=8),
            is_whole: bool,
        ) {
            let whole = ["Host: a", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
            let core = if is_whole { whole.to_vec() } else { core };
            let lines: String = core.iter().copied().chain(lines.iter().map(String::as_str)).map(|line| format!("{line}\r\n")).collect();
            let head = format!("GET {target} {version}\r\n{lines}\r\n");
            let mut reader = HeadReader::new(HeadLimits::default());
            if reader.receive(head.as_bytes()).is_ok() {
                check(&head);
            }
        }
    }
}
