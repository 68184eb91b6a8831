//! The opening handshake without I/O, with the headers a browser sends.

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

use sockeye::handshake::{
    Acceptance, ClientHandshake, HeadLimits, HeadReader, Offer, Origins, ResponseReader, Upgrade,
    accept_key, parse_uri,
};

const REQUEST: &[u8] = b"GET /chat?room=lobby HTTP/1.1\r\n\
    Host: chat.example.com\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Upgrade: websocket\r\n\
    Origin: http://chat.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Cookie: id=1f8e0c3a5b7d4e2f9a6b8c0d1e2f3a4b\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The nonce that the answer above belongs to.
const NONCE: [u8; 16] = *b"the sample nonce";

fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    group.bench_function("httparse alone", |bencher| bencher.iter(httparse_alone));
    group.bench_function("server: head", |bencher| bencher.iter(head));
    group.bench_function("server: whole", |bencher| bencher.iter(server));
    group.bench_function("client: request", |bencher| bencher.iter(client));
    group.bench_function("client: whole", |bencher| bencher.iter(client_whole));
    group.bench_function("accept_key", |bencher| {
        bencher.iter(|| accept_key(black_box(b"dGhlIHNhbXBsZSBub25jZQ==")));
    });
    group.finish();
}

/// The yardstick: finding the lines, and nothing else.
fn httparse_alone() -> usize {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(black_box(REQUEST)).expect("a request");
    assert!(status.is_complete());
    request.headers.len()
}

fn head() -> http::Request<()> {
    let mut reader = HeadReader::new(HeadLimits::default());
    let taken = reader.receive(black_box(REQUEST)).expect("a head");
    assert_eq!(taken, Some(REQUEST.len()));
    reader.request().expect("a request")
}

fn server() -> Vec<u8> {
    let request = head();
    let upgrade = Upgrade::from_request(&request).expect("an upgrade");
    Origins::SameHost.check(&request).expect("the same host");
    let negotiated = upgrade.accept(Acceptance::default()).expect("an answer");
    let mut bytes = Vec::with_capacity(256);
    negotiated.encode(&mut bytes);
    bytes
}

fn client() -> ClientHandshake {
    let uri = parse_uri(black_box("ws://chat.example.com/chat?room=lobby")).expect("a URI");
    ClientHandshake::new(&uri, NONCE, Offer::default()).expect("a request")
}

fn client_whole() -> sockeye::handshake::Negotiated {
    let client = client();
    black_box(client.request_bytes());
    let mut reader = ResponseReader::new(HeadLimits::default());
    let taken = reader.receive(black_box(RESPONSE)).expect("a head");
    assert_eq!(taken, Some(RESPONSE.len()));
    let response = reader.response().expect("a response");
    client.finish(&response).expect("the answer to our key")
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = handshake
}
criterion_main!(benches);
