//! Parses a gathered head: request line or status line, and header lines (RFC 9112 3, 4, 5).
//!
//! The reader has seen to line ends, controls, folded lines and sizes.

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};

use super::HandshakeError;
use super::headers::refuse_body;
use super::host::{Host, default_port};
use super::tokens::{is_token, text_bytes, trim};

/// What a `HeaderMap` can hold; a limit above it is this one.
const HEADER_MAP_MAX: usize = 1 << 15;

const CRLF: &[u8] = b"\r\n";

/// Parses a request line and the header lines under it: see `HeadReader::request`.
pub(super) fn parse_request(
    line: &[u8],
    block: &[u8],
    header_lines: usize,
) -> Result<Request<()>, HandshakeError> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(HandshakeError::Malformed("a request line has three parts"));
    };
    check_version(version)?;
    if !is_token(method) {
        return Err(HandshakeError::Malformed("the method is no token"));
    }
    if method != b"GET" {
        return Err(HandshakeError::Method);
    }
    let (uri, authority) = parse_target(target)?;
    let mut headers = parse_headers(block, header_lines)?;
    Host::check(&headers)?;
    refuse_body(&headers)?;
    if let Some(authority) = authority {
        headers.insert(HOST, authority);
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Parses a status line and the header lines under it: see `HeadReader::response`.
pub(super) fn parse_response(
    line: &[u8],
    block: &[u8],
    header_lines: usize,
) -> Result<Response<()>, HandshakeError> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(version), Some(status)) = (parts.next(), parts.next()) else {
        return Err(HandshakeError::Malformed("a status line has a version and a status"));
    };
    // Old proxies answer so, also to what they forward. A 101 in it is refused later.
    let is_old = version == b"HTTP/1.0";
    if !is_old {
        check_version(version)?;
    }
    let status = match (status, StatusCode::from_bytes(status)) {
        ([b'1'..=b'5', _, _], Ok(status)) => status,
        _ => {
            return Err(HandshakeError::Malformed("the status is no number from 100 to 599"));
        }
    };
    let headers = parse_headers(block, header_lines)?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    *response.headers_mut() = headers;
    Ok(response)
}

/// Each line ends with CRLF, and so does the empty one behind them, as the reader has seen.
fn parse_headers(block: &[u8], header_lines: usize) -> Result<HeaderMap, HandshakeError> {
    const MALFORMED: HandshakeError =
        HandshakeError::Malformed("a header line is no name, colon, value");
    let too_many = |_| HandshakeError::TooManyHeaders { limit: HEADER_MAP_MAX };
    // One copy for all values.
    let block = Bytes::copy_from_slice(block);
    let mut headers = HeaderMap::try_with_capacity(header_lines).map_err(too_many)?;
    let mut start = 0;
    loop {
        let line = &block[start..][..text_bytes(&block[start..])];
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or(MALFORMED)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| MALFORMED)?;
        let value = block.slice_ref(trim(&line[colon + 1..]));
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| MALFORMED)?;
        headers.try_append(name, value).map_err(too_many)?;
        start += line.len() + CRLF.len();
    }
    Ok(headers)
}

/// `HTTP/1.1` or a higher minor version.
fn check_version(version: &[u8]) -> Result<(), HandshakeError> {
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(HandshakeError::HttpVersion)
        }
        _ => Err(HandshakeError::Malformed("the version is not HTTP/digit.digit")),
    }
}

/// The target as a path and query, and the value `Host` gets if the target was in absolute form.
fn parse_target(target: &[u8]) -> Result<(Uri, Option<HeaderValue>), HandshakeError> {
    if !target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(HandshakeError::Target);
    }
    let uri = Uri::try_from(target).map_err(|_| HandshakeError::Target)?;
    if target.first() == Some(&b'/') {
        return Ok((uri, None));
    }
    let parts = uri.into_parts();
    let is_known = parts.scheme.is_some_and(|scheme| default_port(scheme.as_str()).is_some());
    let authority =
        parts.authority.and_then(|authority| Host::parse(authority.as_str().as_bytes()));
    let (true, Some(authority), Some(path)) = (is_known, authority, parts.path_and_query) else {
        return Err(HandshakeError::Target);
    };
    let authority =
        HeaderValue::try_from(authority.to_string()).map_err(|_| HandshakeError::Target)?;
    Ok((with_slash(&path)?, Some(authority)))
}

/// An absolute URI may leave out the slash before its query or its end; a path may not.
fn with_slash(path: &PathAndQuery) -> Result<Uri, HandshakeError> {
    let path = path.as_str();
    let uri =
        if path.starts_with('/') { Uri::try_from(path) } else { Uri::try_from(format!("/{path}")) };
    uri.map_err(|_| HandshakeError::Target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{HeadLimits, HeadReader};
    use proptest::prelude::*;

    fn read(text: &str) -> HeadReader {
        let mut head = HeadReader::new(HeadLimits::default());
        assert_eq!(head.receive(text.as_bytes()), Ok(Some(text.len())), "{text}");
        head
    }

    fn request(line: &str) -> Result<Request<()>, HandshakeError> {
        read(&format!("{line}\r\nHost: example.com\r\n\r\n")).request()
    }

    fn response(line: &str) -> Result<Response<()>, HandshakeError> {
        read(&format!("{line}\r\n\r\n")).response()
    }

    #[test]
    fn rfc_9112_s3_2_targets_become_a_path_and_a_host() {
        for (target, path, host) in [
            ("/", "/", "example.com"),
            ("/a%20b?c=|{}^", "/a%20b?c=|{}^", "example.com"),
            ("//other/x", "//other/x", "example.com"),
            ("/http://other/", "/http://other/", "example.com"),
            ("ws://Other:81/x?y", "/x?y", "other:81"),
            ("WS://other", "/", "other"),
            ("https://other?y", "/?y", "other"),
            ("http://[::1]:80/", "/", "[::1]:80"),
        ] {
            let request = request(&format!("GET {target} HTTP/1.1")).unwrap();
            assert_eq!(request.uri().to_string(), path, "{target}");
            assert_eq!(request.headers()["host"], host, "{target}");
            assert_eq!(request.headers().len(), 1);
        }
        let bad = "*|example.com|example.com:80|ftp://a/|file:///a|/a#b|/#|ws://a/#|ws://u:p@a/|\
            ws://|ws:///a|ws://a:99999/|?a|a/b|/\u{e9}";
        for target in bad.split('|') {
            let error = request(&format!("GET {target} HTTP/1.1")).unwrap_err();
            assert_eq!(error, HandshakeError::Target, "{target}");
        }
    }

    #[test]
    fn rfc_9110_s2_5_versions_are_1_1_or_a_higher_minor_one() {
        for version in ["1.1", "1.2", "1.9"] {
            assert!(request(&format!("GET / HTTP/{version}")).is_ok());
            assert!(response(&format!("HTTP/{version} 101")).is_ok());
        }
        for version in ["1.0", "0.9", "2.0", "3.0"] {
            let error = request(&format!("GET / HTTP/{version}")).unwrap_err();
            assert_eq!(error, HandshakeError::HttpVersion);
            if version != "1.0" {
                let error = response(&format!("HTTP/{version} 101")).unwrap_err();
                assert_eq!(error, HandshakeError::HttpVersion);
            }
        }
        assert_eq!(response("HTTP/1.0 503").unwrap().version(), Version::HTTP_10);
        for version in "HTTP/1.|HTTP/11|HTTP/1.1 |http/1.1|HTTP/1.10|HTTP/1,1|| HTTP/1.1".split('|')
        {
            let error = request(&format!("GET / {version}")).unwrap_err();
            assert!(matches!(error, HandshakeError::Malformed(_)), "{version}: {error}");
        }
    }

    #[test]
    fn rfc_9112_s4_a_status_line_has_three_digits_and_any_reason() {
        for (line, status) in
            [("101", 101), ("200 ", 200), ("404 Not  Found", 404), ("599 \u{e9}", 599)]
        {
            let response = response(&format!("HTTP/1.1 {line}")).unwrap();
            assert_eq!(response.status(), status);
        }
        for line in "| 101|1010|10|099|600|1x1|+10".split('|') {
            let error = response(&format!("HTTP/1.1 {line}")).unwrap_err();
            assert!(matches!(error, HandshakeError::Malformed(_)), "{line}: {error}");
        }
        assert!(matches!(response("HTTP/1.1"), Err(HandshakeError::Malformed(_))));
    }

    /// Rows 7, 8: also where the request is no upgrade, and for an application's page.
    #[test]
    fn rfc_9112_s3_2_every_request_has_a_host_and_no_body() {
        let parse = |lines| read(&format!("GET / HTTP/1.1\r\n{lines}\r\n")).request();
        assert!(parse("Host: a\r\n").is_ok());
        assert_eq!(parse("").unwrap_err(), HandshakeError::Host);
        assert_eq!(parse("Host: a\r\nHost: a\r\n").unwrap_err(), HandshakeError::Host);
        let body = "Host: a\r\nContent-Length: 1\r\n";
        assert_eq!(parse(body).unwrap_err(), HandshakeError::Body);
    }

    #[test]
    fn more_headers_than_a_map_holds_are_refused() {
        let limits =
            HeadLimits { head_bytes_max: 1 << 20, headers_max: 100_000, ..HeadLimits::default() };
        let mut head = HeadReader::new(limits);
        let lines: String = (0..40_000).map(|n| format!("x{n}:\r\n")).collect();
        head.receive(format!("HTTP/1.1 101\r\n{lines}\r\n").as_bytes()).unwrap();
        assert!(matches!(head.response(), Err(HandshakeError::TooManyHeaders { .. })));
    }

    /// What another parser reads out of the same lines; `None`: it does not take them.
    fn by_httparse(block: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut space = [httparse::EMPTY_HEADER; 16];
        let parsed = httparse::parse_headers(block, &mut space).ok()?;
        let httparse::Status::Complete((_, lines)) = parsed else { return None };
        let pair = |line: &httparse::Header<'_>| (line.name.to_lowercase(), line.value.to_vec());
        Some(lines.iter().map(pair).collect())
    }

    proptest! {
        #[test]
        fn lines_are_what_others_read(
            lines in prop::collection::vec(r"[!-~]{1,3}[ \t]?(:[\t -~\x{80}-\x{ff}]{0,9})?", 0..5),
        ) {
            let block = lines.iter().flat_map(|line| [line.as_bytes(), CRLF]).chain([CRLF]).collect::<Vec<_>>().concat();
            let ours = parse_headers(&block, lines.len()).ok().map(|headers| {
                headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect::<Vec<_>>()
            });
            // A map has lines of one name together.
            let sorted = |read: Option<Vec<(String, Vec<u8>)>>| read.map(|mut read| { read.sort_by(|a, b| a.0.cmp(&b.0)); read });
            prop_assert_eq!(sorted(ours), sorted(by_httparse(&block)), "{:?}", String::from_utf8_lossy(&block));
        }

        #[test]
        fn round_trip(
            path in "/[a-z0-9/?=&.-]{0,20}",
            headers in prop::collection::vec(("x-[a-z]{1,6}", "[!-~]([ -~]{0,8}[!-~])?"), 0..8),
        ) {
            let mut text = format!("GET {path} HTTP/1.1\r\nHost: a\r\n");
            let mut map = HeaderMap::new();
            map.append("host", HeaderValue::from_static("a"));
            for (name, value) in headers {
                text.push_str(&format!("{name}:{value}\r\n"));
                map.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
            }
            let request = read(&(text + "\r\n")).request().unwrap();
            prop_assert_eq!(request.uri().to_string(), path);
            prop_assert_eq!(request.headers(), &map);
        }
    }
}
