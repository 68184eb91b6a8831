//! Lists of tokens and extensions: read as an independent reader reads them, and what is written
//! means the same.

use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue, Request};

use sockeye::handshake::{Acceptance, Extension, HandshakeError, Upgrade};

use super::http_check::{assert_answer, is_token};

/// The bytes are the value of a header.
pub fn run(data: &[u8]) {
    if let Ok(list) = Extension::parse_list(data) {
        assert!(!list.is_empty() && list.len() <= 32);
        let value = Extension::encode_list(&list).expect("what was read can be written");
        assert!(value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)));
        let built = list.iter().map(|extension| {
            let params = extension.params.iter();
            params.fold(Extension::new(extension.name.clone()), |built, (name, value)| {
                built.param(name.clone(), value.as_deref())
            })
        });
        assert_eq!(built.collect::<Vec<_>>(), list);
        assert_eq!(Extension::parse_list(value.as_bytes()), Ok(list));
    }
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    connection(&value);
    subprotocols(&value);
    extensions(&value);
}

/// A request that is right but for `name`.
fn upgrade(name: HeaderName, value: &HeaderValue) -> Result<Upgrade, HandshakeError> {
    let mut request = Request::get("/")
        .header("Host", "example.com")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .expect("a request");
    request.headers_mut().insert(name, value.clone());
    Upgrade::from_request(&request)
}

/// The elements of a comma-separated list, without white space around them and without empty ones.
fn elements(value: &HeaderValue) -> Vec<&[u8]> {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t');
    let trim = |element: &'_ [u8]| {
        let start = element.iter().position(|byte| !is_white(byte))?;
        let end = element.iter().rposition(|byte| !is_white(byte))?;
        Some((start, end))
    };
    let split = value.as_bytes().split(|byte| *byte == b',');
    split.filter_map(|element| trim(element).map(|(start, end)| &element[start..=end])).collect()
}

fn connection(value: &HeaderValue) {
    let elements = elements(value);
    let is_upgrade = |element: &&[u8]| element.eq_ignore_ascii_case(b"upgrade");
    if upgrade(CONNECTION, value).is_ok() {
        assert!(elements.iter().any(is_upgrade), "{value:?} does not name upgrade");
    } else if elements.iter().all(|element| is_token(element)) {
        assert!(!elements.iter().any(is_upgrade), "{value:?} names upgrade");
    }
}

fn subprotocols(value: &HeaderValue) {
    let Ok(upgrade) = upgrade(SEC_WEBSOCKET_PROTOCOL, value) else {
        return;
    };
    let offered: Vec<Vec<u8>> =
        upgrade.subprotocols().iter().map(|name| name.clone().into_bytes()).collect();
    assert_eq!(offered, elements(value));
    assert!(offered.iter().all(|name| is_token(name)));
    let chosen = upgrade.subprotocols()[0].clone();
    let negotiated =
        upgrade.accept(Acceptance::default().subprotocol(chosen.clone())).expect("it was offered");
    assert_eq!(negotiated.subprotocol(), Some(chosen.as_str()));
    assert_encoded(&negotiated);
}

fn extensions(value: &HeaderValue) {
    let mut headers = HeaderMap::new();
    headers.insert(SEC_WEBSOCKET_EXTENSIONS, value.clone());
    match (upgrade(SEC_WEBSOCKET_EXTENSIONS, value), Extension::parse_list(value.as_bytes())) {
        (Ok(upgrade), Ok(list)) => {
            assert_eq!(upgrade.extensions(), list);
            let chosen = list[0].clone();
            let negotiated =
                upgrade.accept(Acceptance::default().extension(chosen)).expect("it was offered");
            assert_encoded(&negotiated);
        }
        (Err(_), Err(_)) => {}
        (upgrade, list) => panic!("{value:?} is {:?} and {:?}", upgrade.map(|_| ()), list),
    }
}

fn assert_encoded(negotiated: &sockeye::handshake::Negotiated) {
    let mut out = Vec::new();
    negotiated.encode(&mut out);
    assert_answer(&out, 101);
}
