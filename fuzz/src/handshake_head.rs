//! Heads of requests and responses in any cut: one verdict, no panic, bounded; and what is accepted
//! is answered in words of our own. Every request a client writes is one that a server takes.

use http::{Request, Response};

use sockeye::handshake::{
    Acceptance, ClientHandshake, HandshakeError, HeadLimits, HeadReader, Offer, ResponseReader,
    Upgrade, encode_response, parse_uri,
};

use super::http_check::{assert_answer, is_token};
use super::source::{Source, pieces};

const KEY: [u8; 16] = *b"the sample nonce";

/// A byte of what it is, a byte of cuts, then the head or the URI.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let (choice, seed) = (source.byte(), source.byte());
    let bytes = source.rest();
    match choice % 3 {
        0 => request(bytes, seed, limits(choice)),
        1 => response(bytes, seed, limits(choice)),
        _ => uri(bytes),
    }
}

fn limits(choice: u8) -> HeadLimits {
    let mut limits = HeadLimits::default();
    if choice & 0x80 != 0 {
        limits.start_line_bytes_max = 40;
        limits.header_line_bytes_max = 60;
        limits.head_bytes_max = 300;
        limits.headers_max = 8;
    }
    limits
}

/// Where the head ended, or why it was refused.
type Verdict = Result<Option<usize>, HandshakeError>;

fn read(bytes: &[u8], seed: u8, limits: HeadLimits) -> (HeadReader, Verdict) {
    let mut reader = HeadReader::new(limits);
    let mut taken = 0;
    for piece in pieces(bytes, seed) {
        match reader.receive(piece) {
            Ok(None) => taken += piece.len(),
            Ok(Some(len)) => {
                assert_eq!(reader.receive(b"more"), Ok(Some(0)), "a complete head takes nothing");
                return (reader, Ok(Some(taken + len)));
            }
            Err(error) => {
                assert_eq!(reader.receive(b"more"), Err(error.clone()), "a refusal stays");
                return (reader, Err(error));
            }
        }
    }
    assert!(taken <= limits.head_bytes_max, "more is held than the limit");
    assert_eq!(reader.is_empty(), taken == 0);
    assert!(format!("{reader:?}").len() < 150, "what a head says is not shown");
    (reader, Ok(None))
}

fn request(bytes: &[u8], seed: u8, limits: HeadLimits) {
    let (reader, verdict) = read(bytes, 0, limits);
    for seed in [1, seed] {
        let (other, again) = read(bytes, seed, limits);
        assert_eq!(verdict, again, "the cut changed the verdict");
        assert_eq!(reader.request().map(drop), other.request().map(drop));
    }
    if verdict == Ok(None) {
        assert_eq!(reader.request().map(drop), Err(HandshakeError::Closed));
        return;
    }
    let upgraded = reader.request().and_then(|request| {
        let len = verdict.clone().ok().flatten().expect("a complete head");
        assert_request(&bytes[..len], &request);
        upgrade(&request)
    });
    if let Err(error) = upgraded {
        let mut out = Vec::new();
        encode_response(&error.to_response(), &mut out);
        assert!(error.status().is_client_error() || error.status().is_server_error());
        assert_answer(&out, error.status().as_u16());
    }
}

/// What we take a parser that has nothing to do with us takes too, with the same headers.
fn assert_request(head: &[u8], request: &Request<()>) {
    // HTTP/1.2 to 1.9 count as 1.1, which the other parser does not know.
    let mut head = head.to_vec();
    let line = head.iter().position(|byte| *byte == b'\r').expect("a line");
    head[line - 1] = b'1';
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut reference = httparse::Request::new(&mut headers);
    let len = reference.parse(&head).expect("we took it").unwrap();
    assert_eq!(len, head.len());
    assert_eq!(reference.method, Some("GET"));
    assert_eq!(reference.headers.len(), request.headers().len());
    for header in
        reference.headers.iter().filter(|header| !header.name.eq_ignore_ascii_case("host"))
    {
        assert!(is_token(header.name.as_bytes()));
        let mut values = request.headers().get_all(header.name).iter();
        assert!(values.any(|value| value.as_bytes() == header.value), "{}", header.name);
    }
}

fn upgrade(request: &Request<()>) -> Result<(), HandshakeError> {
    let upgrade = Upgrade::from_request(request)?;
    let mut acceptance = Acceptance::default();
    if let Some(subprotocol) = upgrade.subprotocols().first() {
        acceptance = acceptance.subprotocol(subprotocol.clone());
    }
    if let Some(extension) = upgrade.extensions().first() {
        acceptance = acceptance.extension(extension.clone());
    }
    let mut out = Vec::new();
    upgrade.accept(acceptance).expect("we chose what was offered").encode(&mut out);
    assert_answer(&out, 101);
    Ok(())
}

fn client() -> ClientHandshake {
    let uri = parse_uri("ws://example.com/chat").expect("a URI");
    let offer = Offer::default().subprotocol("chat").subprotocol("superchat");
    ClientHandshake::new(&uri, KEY, offer).expect("an offer")
}

fn response(bytes: &[u8], seed: u8, limits: HeadLimits) {
    let whole = read_response(bytes, 0, limits);
    for seed in [1, seed] {
        let again = read_response(bytes, seed, limits);
        assert_eq!(whole.as_ref().map(|whole| whole.0), again.as_ref().map(|again| again.0));
    }
    let Ok((Some(_), reader)) = whole else { return };
    let response = reader.response().expect("it was read before");
    if let Ok(negotiated) = client().finish(&response) {
        assert_accepted(&response);
        assert!(matches!(negotiated.subprotocol(), None | Some("chat" | "superchat")));
        assert!(negotiated.extensions().is_empty(), "none was offered");
    }
}

fn read_response(
    bytes: &[u8],
    seed: u8,
    limits: HeadLimits,
) -> Result<(Option<usize>, ResponseReader), HandshakeError> {
    let mut reader = ResponseReader::new(limits);
    let mut taken = 0;
    for piece in pieces(bytes, seed) {
        if let Some(len) = reader.receive(piece)? {
            return Ok((Some(taken + len), reader));
        }
        taken += piece.len();
    }
    Ok((None, reader))
}

/// RFC 6455 4.1, what a client must see before it believes it.
fn assert_accepted(response: &Response<()>) {
    assert_eq!(response.status(), 101);
    let only = |name| {
        let mut values = response.headers().get_all(name).iter();
        let value = values.next().expect(name);
        (values.next().is_none()).then_some(value)
    };
    assert_eq!(only("sec-websocket-accept").expect("once"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(
        response.headers().contains_key("connection") && response.headers().contains_key("upgrade")
    );
}

/// Every URI that is taken becomes a request that a server takes, and its answer is one that the
/// client takes.
fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(uri) = parse_uri(text) else { return };
    let Ok(client) = ClientHandshake::new(&uri, KEY, Offer::default().subprotocol("chat")) else {
        return;
    };
    assert!(!client.host().is_empty());
    let head = client.request_bytes();
    if head.len() > HeadLimits::default().start_line_bytes_max {
        return;
    }
    let (reader, verdict) = read(head, 0, HeadLimits::default());
    assert_eq!(verdict, Ok(Some(head.len())), "one head and nothing else");
    let request = reader.request().expect("a request of ours");
    let upgrade = Upgrade::from_request(&request).expect("an upgrade of ours");
    let negotiated =
        upgrade.accept(Acceptance::default().subprotocol("chat")).expect("it was offered");
    let mut answer = Vec::new();
    negotiated.encode(&mut answer);
    let mut reader = ResponseReader::new(HeadLimits::default());
    assert_eq!(reader.receive(&answer), Ok(Some(answer.len())));
    let agreed =
        client.finish(&reader.response().expect("a response of ours")).expect("our own answer");
    assert_eq!(agreed.subprotocol(), Some("chat"));
}
