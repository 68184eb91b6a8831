//! Writes the head and the body of an HTTP/1.1 response (RFC 9112 4, 5, 6).

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::tokens::elements;

/// Appends a whole response to `out`: status line with the standard reason, headers, empty line,
/// body.
///
/// The connection ends behind every response but a 101: `Connection: close` is added where it is
/// missing. The body's length is written from the body, whatever the headers said;
/// `Transfer-Encoding` is left out, for the body is not chunked; a status that cannot have a body
/// (1xx, 204, 304) is sent without. No value can end a line early, since [`HeaderValue`] holds no
/// CR, LF or NUL. Cost: at most one growth of `out`, one copy.
///
/// Source: RFC 9112 4, 6.3, 9.6; RFC 9110 6.4.1.
pub fn encode_response(response: &Response<Bytes>, out: &mut Vec<u8>) {
    encode(response.status(), response.headers(), response.body(), out);
}

pub(super) fn encode(status: StatusCode, headers: &HeaderMap, body: &[u8], out: &mut Vec<u8>) {
    let has_body = !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED;
    let lines: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    out.reserve(128 + lines + if has_body { body.len() } else { 0 });
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            encode_header(name, value.as_bytes(), out);
        }
    }
    let is_closing =
        elements(headers, CONNECTION).any(|option| option.eq_ignore_ascii_case(b"close"));
    if status != StatusCode::SWITCHING_PROTOCOLS && !is_closing {
        encode_header(&CONNECTION, b"close", out);
    }
    if has_body {
        encode_header(&CONTENT_LENGTH, HeaderValue::from(body.len()).as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
    if has_body {
        out.extend_from_slice(body);
    }
}

/// Writes names the way people do, `Sec-WebSocket-Key`: some peers compare bytes.
pub(super) fn encode_header(name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
    const WEBSOCKET: &[u8] = b"Sec-WebSocket-";
    let start = out.len();
    out.extend_from_slice(name.as_str().as_bytes());
    let written = &mut out[start..];
    let mut is_first = true;
    for byte in written.iter_mut() {
        if is_first {
            byte.make_ascii_uppercase();
        }
        is_first = *byte == b'-';
    }
    if let Some((prefix, _)) = written.split_at_mut_checked(WEBSOCKET.len())
        && prefix.eq_ignore_ascii_case(WEBSOCKET)
    {
        prefix.copy_from_slice(WEBSOCKET);
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{HeadLimits, HeadReader};
    use proptest::prelude::*;

    fn encoded(response: &Response<Bytes>) -> String {
        let mut out = Vec::new();
        encode_response(response, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lengths_come_from_the_body_and_the_connection_ends() {
        let response = Response::builder()
            .status(404)
            .header("content-length", "7")
            .header("transfer-encoding", "chunked")
            .header("x-more", "1")
            .body(Bytes::from_static(b"no"))
            .unwrap();
        let text = "HTTP/1.1 404 Not Found\r\nX-More: 1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(encoded(&response), text);
    }

    #[test]
    fn a_status_without_body_has_none() {
        for status in [100, 103, 204, 304] {
            let response = Response::builder().status(status).body(Bytes::from_static(b"no"));
            let text = encoded(&response.unwrap());
            assert!(text.ends_with("Connection: close\r\n\r\n"), "{text}");
            assert!(!text.contains("Content-Length"), "{text}");
        }
    }

    #[test]
    fn an_unknown_status_has_an_empty_reason() {
        let response = Response::builder().status(599).body(Bytes::new()).unwrap();
        assert!(encoded(&response).starts_with("HTTP/1.1 599 \r\n"));
    }

    #[test]
    fn close_is_not_said_twice() {
        let response =
            Response::builder().header("connection", "upgrade, Close").body(Bytes::new());
        let text = encoded(&response.unwrap());
        assert_eq!(text.matches("Connection").count(), 1, "{text}");
    }

    #[test]
    fn names_are_written_as_people_write_them() {
        let mut out = Vec::new();
        for name in ["sec-websocket-accept", "host", "sec-websocket", "x--y"] {
            encode_header(&HeaderName::from_static(name), b"1", &mut out);
        }
        assert_eq!(out, b"Sec-WebSocket-Accept: 1\r\nHost: 1\r\nSec-Websocket: 1\r\nX--Y: 1\r\n");
    }

    proptest! {
        #[test]
        fn round_trip(
            status in 200u16..600,
            headers in prop::collection::vec(("x-[a-z]{1,6}", "[!-~]([ -~]{0,8}[!-~])?"), 0..8),
            body: Vec<u8>,
        ) {
            let mut response = Response::builder().status(status);
            for (name, value) in &headers {
                response = response.header(name, value);
            }
            let response = response.body(Bytes::from(body)).unwrap();
            let mut out = Vec::new();
            encode_response(&response, &mut out);
            let mut head = HeadReader::new(HeadLimits::default());
            let len = head.receive(&out).unwrap().unwrap();
            let mut parsed = head.response().unwrap();
            parsed.headers_mut().remove(CONTENT_LENGTH);
            parsed.headers_mut().remove(CONNECTION);
            prop_assert_eq!(parsed.status(), response.status());
            prop_assert_eq!(parsed.headers(), response.headers());
            let has_body = status != 204 && status != 304;
            prop_assert_eq!(&out[len..], if has_body { &response.body()[..] } else { b"" });
        }
    }
}
