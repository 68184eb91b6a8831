//! The opening handshake of both sides. Source: RFC 6455 4.
//!
//! Only as strict as a comparison needs: it is not a model for a server on the open network.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// A request's head may be this long.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Source: RFC 6455 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A complete request for an upgrade.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub path: &'a str,
    pub key: &'a str,
    /// The bytes of the head, its empty line included.
    pub len: usize,
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    Incomplete,
    Invalid,
    Request(Request<'a>),
}

/// Reads a request from the start of `bytes`.
pub fn parse_request(bytes: &[u8]) -> Parsed<'_> {
    let Some(len) = head_len(bytes) else {
        let invalid = bytes.len() > HEAD_BYTES_MAX;
        return if invalid { Parsed::Invalid } else { Parsed::Incomplete };
    };
    let request = std::str::from_utf8(&bytes[..len]).ok().and_then(|head| {
        let path = head.strip_prefix("GET ")?.split(' ').next()?;
        let key = field(head, "sec-websocket-key")?;
        Some(Request { path, key, len })
    });
    request.map_or(Parsed::Invalid, Parsed::Request)
}

/// The server's answer to a request with `key`.
pub fn response(key: &str) -> String {
    response_with(key, None)
}

/// The same with an extension that was offered.
pub fn response_with(key: &str, extension: Option<&str>) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{}\r\n",
        accept(key),
        extension_line(extension)
    )
}

/// A client's request for `path`.
pub fn request(path: &str, key: &str) -> String {
    request_with(path, key, None)
}

/// The same with an extension that is offered.
pub fn request_with(path: &str, key: &str, extension: Option<&str>) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
        extension_line(extension)
    )
}

fn extension_line(extension: Option<&str>) -> String {
    extension
        .map_or(String::new(), |extension| format!("Sec-WebSocket-Extensions: {extension}\r\n"))
}

/// The length of a complete response that accepts `key`; `None` while it is incomplete.
///
/// # Errors
/// The head, where it is not an acceptance.
pub fn parse_response(bytes: &[u8], key: &str) -> Result<Option<usize>, String> {
    let Some(len) = head_len(bytes) else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..len]);
    let accepted = field(&head, "sec-websocket-accept") == Some(&accept(key));
    if head.starts_with("HTTP/1.1 101 ") && accepted {
        Ok(Some(len))
    } else {
        Err(head.into_owned())
    }
}

/// Source: RFC 6455 4.2.2, step 5, item 4.
fn accept(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

fn head_len(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (left, right) = line.split_once(':')?;
        left.eq_ignore_ascii_case(name).then(|| right.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn s1_3_the_sample_key_has_the_sample_answer() {
        assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn every_cut_of_a_request_is_incomplete() {
        let text = request("/echo", KEY);
        for cut in 0..text.len() {
            assert_eq!(parse_request(&text.as_bytes()[..cut]), Parsed::Incomplete);
        }
        let Parsed::Request(parsed) = parse_request(text.as_bytes()) else {
            panic!("not parsed");
        };
        assert_eq!((parsed.path, parsed.key, parsed.len), ("/echo", KEY, text.len()));
    }

    #[test]
    fn a_response_is_accepted_for_its_own_key_only() {
        let text = response(KEY);
        assert_eq!(parse_response(text.as_bytes(), KEY), Ok(Some(text.len())));
        assert_eq!(parse_response(&text.as_bytes()[..20], KEY), Ok(None));
        assert!(parse_response(text.as_bytes(), "x").is_err());
    }
}
