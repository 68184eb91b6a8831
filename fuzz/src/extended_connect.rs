//! WebSockets over HTTP/2: the verdict on an extended CONNECT and on its answer is that of HTTP/1.1 on the same headers, where
//! the two have a rule in common.

use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version};

use sockeye::Deflate;
use sockeye::handshake::{
    Acceptance, ClientHandshake, ExtendedHandshake, HandshakeError, Offer, Upgrade, parse_uri,
};

use super::source::Source;

const KEY: [u8; 16] = *b"the sample nonce";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A byte of what it is, then lines: for a request the `:protocol`, the URI and headers; for an answer the headers.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choice = source.byte();
    if choice & 0x80 == 0 {
        request(choice, source.rest());
    } else {
        answer(choice, source.rest());
    }
}

/// Those that HTTP/1.1 alone has are left out.
fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        let name = HeaderName::from_bytes(name);
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.trim_ascii())) else {
            continue;
        };
        let is_of_http_1 = [CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY].contains(&name);
        if !is_of_http_1 && name != "sec-websocket-accept" {
            headers.append(name, value);
        }
    }
    headers
}

fn request(choice: u8, bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (protocol, uri) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(protocol) = std::str::from_utf8(protocol) else { return };
    let Ok(uri) = Uri::try_from(uri) else { return };
    let mut request = Request::new(());
    *request.version_mut() = match choice & 7 {
        0 => Version::HTTP_11,
        1 => Version::HTTP_3,
        _ => Version::HTTP_2,
    };
    *request.method_mut() = if choice & 0x38 == 0 { Method::GET } else { Method::CONNECT };
    *request.uri_mut() = uri;
    *request.headers_mut() = headers(lines);
    let verdict = Upgrade::from_extended_connect(&request, protocol);

    // What is not of HTTP/1.1 comes first.
    let wrong = if request.version() == Version::HTTP_11 {
        Some(HandshakeError::HttpVersion)
    } else if request.method() != Method::CONNECT {
        Some(HandshakeError::Method)
    } else {
        None
    };
    if wrong.is_some() {
        assert_eq!(verdict.err(), wrong);
        return;
    }
    let hosts: Vec<_> = request.headers().get_all(HOST).iter().cloned().collect();
    let expected = Upgrade::from_request(&twin(&request));
    let is_websocket = protocol.eq_ignore_ascii_case("websocket");
    match (verdict, expected) {
        (Ok(found), Ok(expected)) => {
            assert!(is_websocket, "a tunnel for {protocol:?}");
            let authority = request.uri().authority();
            assert!(authority.is_none() || hosts.len() <= 1, "two hosts: {hosts:?}");
            assert_eq!(found.subprotocols(), expected.subprotocols());
            assert_eq!(found.extensions(), expected.extensions());
            assert_eq!(found.origin(), expected.origin());
            accepted(found, expected);
        }
        (Err(found), Ok(_)) => {
            let is_other_host = found == HandshakeError::Host && !hosts.is_empty();
            let is_other_protocol = found == HandshakeError::ExtendedProtocol && !is_websocket;
            assert!(is_other_host || is_other_protocol, "{found:?} for {request:?}");
        }
        (Err(found), Err(expected)) => {
            let is_other_host = found == HandshakeError::Host && !hosts.is_empty();
            let is_other_protocol = found == HandshakeError::ExtendedProtocol && !is_websocket;
            assert!(
                found == expected || is_other_host || is_other_protocol,
                "{found:?}, {expected:?}"
            );
        }
        (Ok(_), Err(expected)) => panic!("HTTP/1.1 says {expected:?} to {request:?}"),
    }
}

/// The same in HTTP/1.1.
fn twin(request: &Request<()>) -> Request<()> {
    let mut twin = Request::new(());
    *twin.headers_mut() = request.headers().clone();
    let headers = twin.headers_mut();
    if let Some(authority) = request.uri().authority() {
        headers.insert(HOST, HeaderValue::from_str(authority.as_str()).expect("of a URI"));
    }
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    twin
}

/// The answer is a 200 without what proves that one knows HTTP/1.1, and chooses the same.
fn accepted(found: Upgrade, expected: Upgrade) {
    let acceptance = |upgrade: &Upgrade| {
        let acceptance = Acceptance::default().deflate(Deflate::no_context());
        match upgrade.subprotocols().first() {
            Some(first) => acceptance.subprotocol(first.clone()),
            None => acceptance,
        }
    };
    let choices = (acceptance(&found), acceptance(&expected));
    let found = found.accept(choices.0).expect("it was offered");
    let expected = expected.accept(choices.1).expect("it was offered");
    assert_eq!(found.subprotocol(), expected.subprotocol());
    assert_eq!(found.extensions(), expected.extensions());
    assert_eq!(
        (found.response().status().as_u16(), expected.response().status().as_u16()),
        (200, 101)
    );
    let mut headers = expected.response().headers().clone();
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(headers.remove(name).is_some(), "{name}");
    }
    assert_eq!(found.response().headers(), &headers);
}

fn offer() -> Offer {
    Offer::default().subprotocol("chat").subprotocol("superchat").deflate(Deflate::no_context())
}

fn answer(choice: u8, bytes: &[u8]) {
    let mut response = Response::new(());
    *response.headers_mut() = headers(bytes.split(|byte| *byte == b'\n'));
    let is_other = choice & 0x70 == 0;
    let status = if is_other { 300 + u16::from(choice & 15) * 13 } else { 200 };
    *response.status_mut() = status.try_into().expect("a status");
    *response.version_mut() = Version::HTTP_2;
    let uri = parse_uri("wss://example.com/chat").expect("a URI");
    let handshake = ExtendedHandshake::new(&uri, offer()).expect("an offer");
    let found = handshake.finish(&response);

    let mut twin = response.clone();
    *twin.version_mut() = Version::HTTP_11;
    if !is_other {
        *twin.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        let headers = twin.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert("sec-websocket-accept", HeaderValue::from_static(ACCEPT));
    }
    let client = ClientHandshake::new(&uri, KEY, offer()).expect("an offer");
    match (found, client.finish(&twin)) {
        (Ok(found), Ok(expected)) => {
            assert_eq!(found.subprotocol(), expected.subprotocol());
            assert_eq!(found.extensions(), expected.extensions());
            assert_eq!(found.deflate(), expected.deflate());
        }
        (Err(found), Err(expected)) => {
            assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected));
        }
        (found, expected) => panic!("{found:?}, {expected:?}"),
    }
}
