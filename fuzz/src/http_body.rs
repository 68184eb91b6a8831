//! Bodies of refusals: what is shown of them is what another reader makes of the whole, up to 8 KiB, whatever
//! the cuts.

use sockeye::{Config, Connector, Error, HandshakeError};

use super::source::Source;
use super::wire_client::{Peer, finish};

const BODY_BYTES_MAX: usize = 8 * 1024;

/// A byte of framing, a byte of cuts, two of a length, a byte of repetitions; then the body.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let (choice, seed, length) = (source.byte(), source.byte(), source.word());
    let times = 1 + usize::from(source.byte() % 16);
    let body = source.rest().repeat(times);
    let status = [401, 403, 503, 204, 304, 200][usize::from(choice >> 3) % 6];
    let (framing, expected) = match choice & 7 {
        0 => ("X: y".to_owned(), body.clone()),
        1 | 2 => {
            let len = usize::from(length).min(body.len());
            (format!("Content-Length: {length}"), body[..len].to_vec())
        }
        3 => ("Content-Length: 99999999999999999999999".to_owned(), body.clone()),
        4 => ("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 3".to_owned(), chunks(&body)),
        _ => ("Transfer-Encoding: chunked".to_owned(), chunks(&body)),
    };
    let expected = if matches!(status, 204 | 304) { Vec::new() } else { expected };
    let expected = &expected[..expected.len().min(BODY_BYTES_MAX)];
    let head = format!("HTTP/1.1 {status} No\r\n{framing}\r\n\r\n");
    for seed in [0, 1, seed] {
        let shown = refused(&[head.as_bytes(), &body].concat(), seed, status);
        assert!(shown == expected, "{head:?}: {} bytes instead of {}", shown.len(), expected.len());
    }
}

/// The body of the refusal that comes of an answer.
fn refused(answer: &[u8], seed: u8, status: u16) -> Vec<u8> {
    let connector = Connector::new(Config::default());
    let result = finish(connector.connect_on("ws://localhost/", Peer::new(answer, seed)));
    match result.map(drop) {
        Err(Error::Handshake(
            HandshakeError::UnexpectedStatus(refused) | HandshakeError::Redirect(refused),
        )) => {
            assert_eq!(refused.status(), status);
            refused.body().to_vec()
        }
        other => panic!("no refusal: {other:?}"),
    }
}

/// RFC 9112 7.1, as far as it goes: what is malformed is an end.
fn chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = &rest[..end];
        let digits = line.split(|byte| matches!(byte, b'\r' | b';')).next().unwrap_or_default();
        let Some(size) = number(digits) else { return body };
        if end == rest.len() || size == 0 {
            return body;
        }
        rest = &rest[end + 1..];
        let len = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        body.extend_from_slice(&rest[..len]);
        rest = &rest[len..];
        // The line end behind the chunk.
        let end = rest.iter().position(|byte| *byte != b'\r').unwrap_or(rest.len());
        match rest.get(end) {
            Some(b'\n') => rest = &rest[end + 1..],
            _ => return body,
        }
    }
}

/// A hexadecimal number of 64 bits; no digits are zero.
fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    if text.is_empty() {
        return Some(0);
    }
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_hex)
}
