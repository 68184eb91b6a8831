//! The opening handshake of both sides through the public API: bytes in, answers out.
//!
//! A table is one string cut at `|`; each part is a header line, or several with CRLF between them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use sockeye::handshake::{
    Acceptance, ClientHandshake, ExtendedHandshake, Extension, HandshakeError as Error, HeadLimits,
    HeadReader, Negotiated, Offer, ResponseReader, Upgrade, encode_response, parse_uri,
};

/// The header lines of a good request and of the 101 that answers it, from RFC 6455 1.3.
const REQUEST: &str = "Host: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
const ANSWER: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const NONCE: [u8; 16] = *b"the sample nonce";

fn head_of(start: &str, lines: &str) -> String {
    let end = if lines.is_empty() { "" } else { "\r\n" };
    format!("{start}\r\n{lines}{end}\r\n")
}

/// Header lines without those of one name, and with other ones behind them.
fn replaced(all: &str, name: &str, lines: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with(&format!("{name}:"));
    let mut kept: Vec<&str> = all.split("\r\n").filter(is_kept).collect();
    kept.extend((!lines.is_empty()).then_some(lines));
    kept.join("\r\n")
}

/// What a server does with bytes: read, parse, check.
fn serve(bytes: &[u8]) -> Result<Upgrade, Error> {
    let mut head = HeadReader::new(HeadLimits::default());
    match head.receive(bytes)? {
        Some(_) => Upgrade::from_request(&head.request()?),
        None => Err(Error::Closed),
    }
}

/// A good request with other lines in the place of those of one name.
fn request(name: &str, lines: &str) -> String {
    head_of("GET /chat HTTP/1.1", &replaced(REQUEST, name, lines))
}

fn upgrade(lines: &str) -> Upgrade {
    serve(request("-", lines).as_bytes()).expect(lines)
}

fn request_error(name: &str, lines: &str) -> Error {
    serve(request(name, lines).as_bytes()).expect_err(lines)
}

fn assert_taken(name: &str, table: &str) {
    for lines in table.split('|') {
        assert!(serve(request(name, lines).as_bytes()).is_ok(), "{lines:?}");
    }
}

fn assert_refused(name: &str, table: &str, expected: &Error) {
    for lines in table.split('|') {
        assert_eq!(&request_error(name, lines), expected, "{lines:?}");
    }
}

fn encoded(negotiated: &Negotiated) -> String {
    let mut out = Vec::new();
    negotiated.encode(&mut out);
    String::from_utf8(out).expect("nothing here is other than ASCII")
}

/// HS-01, HS-02, HS-03, HS-06: the sample of RFC 6455 1.3, byte for byte.
#[test]
fn s1_3_the_sample_handshake_is_answered() {
    let upgrade = upgrade("Origin: http://a\r\nSec-WebSocket-Protocol: chat, superchat");
    assert_eq!(upgrade.subprotocols(), ["chat", "superchat"]);
    assert_eq!(upgrade.origin(), Some("http://a"));
    let chosen = Acceptance::default().subprotocol("chat");
    let negotiated = upgrade.accept(chosen).unwrap();
    assert_eq!(negotiated.subprotocol(), Some("chat"));
    let start = "HTTP/1.1 101 Switching Protocols";
    let lines = format!("{ANSWER}\r\nSec-WebSocket-Protocol: chat");
    assert_eq!(encoded(&negotiated), head_of(start, &lines));
}

/// HS-01, row 6: token lists in any case, several lines, empty elements; whole tokens only.
#[test]
fn s4_2_1_upgrade_and_connection_are_lists_of_tokens() {
    let good = "Upgrade: WebSocket|Upgrade: h2c, websocket|\
        Upgrade: h2c\r\nuPGRADE: ,, WEBSOCKET\t,";
    assert_taken("Upgrade", good);
    let good = "Connection: keep-alive, Upgrade|Connection: ,,\t,UPGRADE|\
        Connection: keep-alive\r\nconnection: upgrade";
    assert_taken("Connection", good);
    let bad = "|Upgrade: websockets|Upgrade: web socket|Upgrade: websocket/13|\
        Upgrade: \"websocket\"";
    assert_refused("Upgrade", bad, &Error::UpgradeMissing);
    let bad = "|Connection: keep-alive|Connection: not-Upgrade|\
        Connection: upgrade-insecure-requests|Connection: \"a, upgrade, b\"";
    assert_refused("Connection", bad, &Error::ConnectionMissing);
}

/// HS-01, row 4: two keys are refused, the same one twice as well.
#[test]
fn s4_2_1_two_keys_are_refused() {
    let more = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==|\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
    assert_refused("-", more, &Error::Key);
}

/// HS-01, row 4: no key, and everything that is not the canonical base64 of 16 bytes.
#[test]
fn s4_2_1_a_key_is_16_bytes_in_strict_base64() {
    assert_refused("Sec-WebSocket-Key", "", &Error::Key);
    let bad = "|x|dGhlIHNhbXBsZSBub25jZQ|dGhlIHNhbXBsZSBub25jZR==|dGhlIHNhbXBsZSBub25jZSEh|\
        dGhlIHNhbXBsZSBub25jZ_==|dGhl IHNhbXBsZSBub25jZQ=|dGhlIHNhbXBsZSBub25jZQ==,";
    for key in bad.split('|') {
        let line = format!("Sec-WebSocket-Key: {key}");
        assert_refused("Sec-WebSocket-Key", &line, &Error::Key);
    }
}

/// Row 5, BY-21: exactly one `13`; everything else is 426 and names the version.
#[test]
fn s4_4_another_version_is_answered_with_13() {
    assert_refused("Sec-WebSocket-Version", "", &Error::WebSocketVersion);
    for value in "8|013|+13|13.0|777|13, 8|13\r\nSec-WebSocket-Version: 13".split('|') {
        let line = format!("Sec-WebSocket-Version: {value}");
        assert_refused("Sec-WebSocket-Version", &line, &Error::WebSocketVersion);
    }
    let response = Error::WebSocketVersion.to_response();
    assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    assert_eq!(response.headers()["upgrade"], "websocket");
}

/// HS-04, row 7: methods, versions and request lines.
#[test]
fn s4_2_1_a_request_line_is_get_and_http_1_1() {
    for (status, table) in [
        (405, "POST / HTTP/1.1|get / HTTP/1.1|HEAD / HTTP/1.1|CONNECT a:80 HTTP/1.1"),
        (505, "GET / HTTP/1.0|GET / HTTP/2.0|PRI * HTTP/2.0"),
        (400, "G@T / HTTP/1.1|GET / HTTP/1|GET /|GET|GET  / HTTP/1.1|GET /  HTTP/1.1"),
        (400, "GET / a HTTP/1.1|GET\t/ HTTP/1.1|GET /#f HTTP/1.1|GET * HTTP/1.1"),
        (400, " GET / HTTP/1.1|\r\nGET / HTTP/1.1|\u{16}\u{3}\u{1}|GET / http/1.1"),
    ] {
        for start in table.split('|') {
            let error = serve(head_of(start, REQUEST).as_bytes()).expect_err(start);
            assert_eq!(error.status().as_u16(), status, "{start}: {error}");
        }
    }
    let response = Error::Method.to_response();
    assert_eq!(response.headers()["allow"], "GET");
}

/// HS-04, row 7: folded lines, spaces before the colon, bare CR and LF, NUL, bad names.
#[test]
fn rfc_9112_s5_header_lines_are_strict() {
    let bad = "X: 1\r\n folded|X : 1|X\t: 1|\x20X: 1|: 1|X|X\u{e9}: 1|X(: 1|X: a\rb|X: a\nb|\
        X: a\0b|X: a\u{1b}b|X: \u{7f}";
    for line in bad.split('|') {
        let error = request_error("-", line);
        assert!(matches!(error, Error::Malformed(_)), "{line:?}: {error}");
    }
    let bare = request("-", "").replace("\r\n", "\n");
    let error = serve(bare.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::Malformed(_)), "{error}");
    // A CR more at the end of any line, the last and the empty one, too.
    let good = request("-", "");
    for (at, _) in good.match_indices('\r') {
        let bad = format!("{}\r{}", &good[..at], &good[at..]);
        let error = serve(bad.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Malformed(_)), "{at}: {error}");
    }
}

/// Row 7: a request has one host, and a good one.
#[test]
fn rfc_9112_s3_2_exactly_one_valid_host() {
    let bad = "|Host: a\r\nHost: a|Host: a\r\nHost: b|Host:|Host: a, b:c|Host: a b|Host: u@a|\
        Host: a/b|Host: a:99999|Host: http://a";
    assert_refused("Host", bad, &Error::Host);
    assert_taken("Host", "Host: a:8080|Host: [::1]:80|Host: A.example.|Host: 127.0.0.1");
}

/// Row 8: whatever announces a body, or lies about one.
#[test]
fn rfc_9112_s6_3_a_handshake_has_no_body() {
    let bad = "Content-Length: 5|Content-Length: 0\r\nContent-Length: 0|\
        Content-Length: 0\r\nContent-Length: 5|Content-Length: 0, 0|Content-Length: -1|\
        Content-Length:|Transfer-Encoding: chunked|Transfer-Encoding: identity|\
        Content-Length: 0\r\nTransfer-Encoding: chunked";
    assert_refused("-", bad, &Error::Body);
    assert_taken("-", "Content-Length: 0");
}

/// Rows 9, 14: after a refusal nothing more is taken, however the bytes are cut.
#[test]
fn bytes_behind_a_refused_head_are_never_parsed() {
    let bytes = head_of("GET / HTTP/1.1", "Host : a") + &request("-", "");
    for cut in 0..bytes.len() {
        let mut head = HeadReader::new(HeadLimits::default());
        let (first, second) = bytes.as_bytes().split_at(cut);
        head.receive(first).unwrap();
        head.receive(second).unwrap();
        assert!(matches!(head.request(), Err(Error::Malformed(_))), "{cut}");
    }
    let mut head = HeadReader::new(HeadLimits::default());
    let error = head.receive(b"GET / HTTP/1.1\n").unwrap_err();
    assert_eq!(head.receive(request("-", "").as_bytes()), Err(error.clone()));
    assert_eq!(head.request().unwrap_err(), error);
}

/// Row 8: what follows the head is not touched, it is frames.
#[test]
fn bytes_behind_a_good_head_are_left_alone() {
    let len = request("-", "").len();
    let bytes = [request("-", "").as_bytes(), &[0x81, 0x80, 1, 2, 3, 4]].concat();
    for cut in 0..len {
        let mut head = HeadReader::new(HeadLimits::default());
        assert_eq!(head.receive(&bytes[..cut]), Ok(None));
        assert_eq!(head.receive(&bytes[cut..]), Ok(Some(len - cut)));
        assert!(Upgrade::from_request(&head.request().unwrap()).is_ok());
    }
}

/// Row 1: a long target and a long header are refused at the limit, in pieces of any size.
#[test]
fn a_long_line_is_refused_at_the_limit() {
    let line = 8 << 10;
    let header = "GET / HTTP/1.1\r\nCookie: ";
    for (start, limit, status) in [("GET /", line, 414), (header, line + 16, 431)] {
        let bytes = format!("{start}{}", "a".repeat(1 << 20)).into_bytes();
        for piece in [1, 256, 1 << 20] {
            let mut head = HeadReader::new(HeadLimits::default());
            let mut taken = 0;
            let error = bytes.chunks(piece).find_map(|piece| {
                taken += piece.len();
                head.receive(piece).err()
            });
            assert_eq!(error.unwrap().status(), status);
            assert!(taken <= limit + piece, "{taken} bytes were taken");
        }
    }
}

/// Rows 1, 2: the whole head and the number of headers have limits, too.
#[test]
fn a_long_head_is_refused_at_the_limit() {
    let error = request_error("-", &["a:"; 20_000].join("\r\n"));
    assert_eq!(error, Error::TooManyHeaders { limit: 100 });
    assert_eq!(error.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let line = format!("a: {}", "b".repeat(1_000));
    let error = request_error("-", &[line.as_str(); 20].join("\r\n"));
    assert_eq!(error, Error::HeadTooLong { limit_bytes: 16 << 10 });
    assert_eq!(error.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_taken("-", &["a: b"; 95].join("\r\n"));
}

/// HS-12, row 10: only a subprotocol that was offered is answered, letter for letter.
#[test]
fn s4_2_2_only_an_offered_subprotocol_is_chosen() {
    let lines = "Sec-WebSocket-Protocol: graphql-ws\r\nSec-WebSocket-Protocol: ,chat, v2.x";
    let accept = |chosen: &str| upgrade(lines).accept(Acceptance::default().subprotocol(chosen));
    assert_eq!(upgrade(lines).subprotocols(), ["graphql-ws", "chat", "v2.x"]);
    assert_eq!(accept("v2.x").unwrap().subprotocol(), Some("v2.x"));
    for chosen in ["Chat", "soap", "", "chat\r\nSet-Cookie: a", "chat, v2.x"] {
        assert_eq!(accept(chosen).unwrap_err(), Error::ChosenSubprotocol, "{chosen}");
    }
    let nothing = upgrade(lines).accept(Acceptance::default()).unwrap();
    assert_eq!(nothing.subprotocol(), None);
    assert!(!encoded(&nothing).contains("Protocol:"));
}

/// HS-12, row 11: subprotocols are different tokens, and not without end.
#[test]
fn s4_1_malformed_subprotocols_are_refused() {
    let names = |count: u32| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for value in
        ["", ",,", "a b", "a;b", "\"a\"", "a, a", "a\r\nSec-WebSocket-Protocol: a", &names(65)]
    {
        let line = format!("Sec-WebSocket-Protocol: {value}");
        assert_refused("-", &line, &Error::Subprotocols);
    }
    assert_taken("-", &format!("Sec-WebSocket-Protocol: {}", names(64)));
}

/// HS-08: extensions are parsed, and only offered ones can be answered.
#[test]
fn s9_1_extensions_are_offered_and_answered() {
    let line = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-a; b=\"1\"";
    let accept = |choices: &[&Extension]| {
        let choose = |chosen: Acceptance, choice: &&Extension| chosen.extension((*choice).clone());
        upgrade(line).accept(choices.iter().fold(Acceptance::default(), choose))
    };
    assert_eq!(upgrade(line).extensions()[1], Extension::new("x-a").param("b", Some("1")));

    let answer = Extension::new("permessage-deflate").param("server_max_window_bits", Some("12"));
    let negotiated = accept(&[&answer]).unwrap();
    assert_eq!(negotiated.extensions(), std::slice::from_ref(&answer));
    let written = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n";
    assert!(encoded(&negotiated).contains(written));

    assert_eq!(accept(&[&Extension::new("x-b")]).unwrap_err(), Error::ChosenExtension);
    assert_eq!(accept(&[&answer, &answer]).unwrap_err(), Error::ChosenExtension);
    let injected = Extension::new("x-a").param("b", Some("1\r\nSet-Cookie: c"));
    assert_eq!(accept(&[&injected]).unwrap_err(), Error::InvalidExtension);
}

/// HS-08, row 11: a malformed list is 400, however long it is.
#[test]
fn s9_1_malformed_extensions_are_refused() {
    let long = ["a;".repeat(4_000), "a,".repeat(4_000), format!("a; b=\"{}", "\\".repeat(8_000))];
    let short = ["", "a;", "a; b=", "a; b=\"", "a b", "a; b=\"1 2\""];
    for value in short.into_iter().chain(long.iter().map(String::as_str)) {
        let line = format!("Sec-WebSocket-Extensions: {value}");
        assert_refused("-", &line, &Error::Extensions);
    }
    assert_eq!(Error::Extensions.status(), StatusCode::BAD_REQUEST);
}

/// HS-07, row 12: two origins are malformed, whoever may connect.
#[test]
fn s4_2_1_two_origins_are_refused() {
    assert_refused("-", "Origin: https://a\r\nOrigin: https://a", &Error::TwoOrigins);
}

/// BY-21, row 10: the application adds headers, but none of the handshake's own.
#[test]
fn s4_2_2_the_handshakes_headers_cannot_be_set() {
    let header =
        |name: &'static str| (HeaderName::from_static(name), HeaderValue::from_static("a=1"));
    let (name, value) = header("set-cookie");
    let twice = Acceptance::default().header(name.clone(), value.clone()).header(name, value);
    let text = encoded(&upgrade("").accept(twice).unwrap());
    assert_eq!(text.matches("\r\nSet-Cookie: a=1").count(), 2, "{text}");

    let owned = "upgrade|connection|sec-websocket-accept|sec-websocket-anything|content-length|\
        transfer-encoding";
    for (name, value) in owned.split('|').map(header) {
        let acceptance = Acceptance::default().header(name.clone(), value);
        let error = upgrade("").accept(acceptance).unwrap_err();
        assert_eq!(error, Error::HeaderOwned(name));
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

/// HS-09, HS-10, HS-11: the request is the application's to read, an upgrade or not.
#[test]
fn headers_and_query_are_readable() {
    let lines = "Host: a\r\nAuthorization: Bearer c\r\nX-User-Id: 7";
    let mut head = HeadReader::new(HeadLimits::default());
    let bytes = head_of("GET /ws?room=a&token=b HTTP/1.1", lines);
    assert_eq!(head.receive(bytes.as_bytes()), Ok(Some(bytes.len())));
    let request = head.request().unwrap();
    assert_eq!(request.uri().query(), Some("room=a&token=b"));
    assert_eq!(request.headers()["authorization"], "Bearer c");
    assert_eq!(request.headers()["x-user-id"], "7");
    assert_eq!(Upgrade::from_request(&request).unwrap_err(), Error::UpgradeMissing);
}

/// BY-20: a request of any `http` user is checked as strictly as our own.
#[test]
fn a_request_of_another_library_is_checked() {
    let check = |version, lines: &str| {
        let mut request = Request::get("/").version(version);
        for line in lines.split("\r\n") {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        Upgrade::from_request(&request.body("whatever").unwrap())
    };
    assert!(check(Version::HTTP_11, REQUEST).is_ok());
    for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2] {
        assert_eq!(check(version, REQUEST).unwrap_err(), Error::HttpVersion);
    }
    let hostless = replaced(REQUEST, "Host", "");
    assert_eq!(check(Version::HTTP_11, &hostless).unwrap_err(), Error::Host);
    let chunked = replaced(REQUEST, "-", "Transfer-Encoding: chunked");
    assert_eq!(check(Version::HTTP_11, &chunked).unwrap_err(), Error::Body);
}

/// BY-20: the extended CONNECT of HTTP/2 has no key and is answered with 200.
#[test]
fn rfc_8441_s5_an_extended_connect_is_accepted() {
    let check = |method: &str, version, protocol| {
        let request = Request::builder().method(method).version(version).uri("https://a/chat");
        let request = request.header("sec-websocket-version", "13");
        let request = request.header("sec-websocket-protocol", "chat").body(()).unwrap();
        Upgrade::from_extended_connect(&request, protocol)
    };
    let upgrade = check("CONNECT", Version::HTTP_2, "websocket").unwrap();
    let negotiated = upgrade.accept(Acceptance::default().subprotocol("chat")).unwrap();
    assert_eq!(negotiated.response().status(), StatusCode::OK);
    assert_eq!(negotiated.response().headers().len(), 1);
    let hostless = Request::builder().method("CONNECT").version(Version::HTTP_2);
    let hostless = hostless.uri("/chat").header("sec-websocket-version", "13").body(()).unwrap();
    let error = Upgrade::from_extended_connect(&hostless, "websocket").unwrap_err();
    assert_eq!(error, Error::Host);
    // A Host beside the authority says the same (RFC 9113 8.3.1).
    for (host, error) in [("a", None), ("b", Some(Error::Host))] {
        let request =
            Request::builder().method("CONNECT").version(Version::HTTP_2).uri("https://a/");
        let request = request.header("sec-websocket-version", "13").header("host", host);
        let upgrade = Upgrade::from_extended_connect(&request.body(()).unwrap(), "websocket");
        assert_eq!(upgrade.err(), error, "{host}");
    }
    for (method, version, protocol, error) in [
        ("CONNECT", Version::HTTP_2, "connect-udp", Error::ExtendedProtocol),
        ("GET", Version::HTTP_2, "websocket", Error::Method),
        ("CONNECT", Version::HTTP_11, "websocket", Error::HttpVersion),
    ] {
        assert_eq!(check(method, version, protocol).unwrap_err(), error);
    }
}

/// HS-04, HS-14, BY-21: each refusal has its status and its headers, and ends the connection.
#[test]
fn refusals_are_complete_responses() {
    let retry_after = Duration::from_millis(1_500);
    for (error, status, header) in [
        (Error::Key, "400 Bad Request", ""),
        (Error::OriginRefused, "403 Forbidden", ""),
        (Error::Method, "405 Method Not Allowed", "Allow: GET"),
        (Error::Timeout, "408 Request Timeout", ""),
        (Error::StartLineTooLong { limit_bytes: 1 }, "414 URI Too Long", ""),
        (Error::UpgradeMissing, "426 Upgrade Required", "Sec-WebSocket-Version: 13"),
        (Error::UpgradeMissing, "426 Upgrade Required", "Upgrade: websocket"),
        (Error::RateLimited { retry_after }, "429 Too Many Requests", "Retry-After: 2"),
        (Error::HeadTooLong { limit_bytes: 1 }, "431 Request Header Fields Too Large", ""),
        (Error::Busy { retry_after }, "503 Service Unavailable", "Retry-After: 2"),
        (Error::HttpVersion, "505 HTTP Version Not Supported", ""),
    ] {
        let mut out = Vec::new();
        encode_response(&error.to_response(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert!(head.contains(header), "{head}");
        let connection = head.lines().find(|line| line.starts_with("Connection: "));
        assert!(connection.unwrap().ends_with("close"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(!body.is_empty() && body.len() < 100);
        assert_eq!(error.retry_after().is_some(), header.starts_with("Retry-After"), "{error}");
    }
}

/// BY-21: the application's own refusal, with any status and body.
#[test]
fn an_own_refusal_is_written_safely() {
    let response = Response::builder().status(402).header("x-why", "pay");
    let response = response.body(Bytes::from_static(b"\r\n\r\npay")).unwrap();
    let mut out = Vec::new();
    encode_response(&response, &mut out);
    let lines = "X-Why: pay\r\nConnection: close\r\nContent-Length: 7";
    let expected = head_of("HTTP/1.1 402 Payment Required", lines) + "\r\n\r\npay";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// Row 60: a secret in the request shows up in no error, no refusal and no `Debug`.
#[test]
fn secrets_of_a_request_are_not_shown() {
    let lines = "Cookie: marker\r\nSec-WebSocket-Protocol: marker\r\nOrigin: https://marker";
    let upgrade = upgrade(lines);
    let mut shown = format!("{upgrade:?}");
    let (name, value) = (HeaderName::from_static("set-cookie"), HeaderValue::from_static("marker"));
    let acceptance = Acceptance::default().header(name, value);
    shown += &format!("{acceptance:?}{:?}", upgrade.accept(acceptance.clone()).unwrap());
    let table = "marker : a|Host: marker|Sec-WebSocket-Key: marker|Content-Length: marker|\
        Sec-WebSocket-Extensions: marker;|Sec-WebSocket-Protocol: marker, marker";
    for line in table.split('|') {
        let error = request_error("-", line);
        shown += &format!("{error}{error:?}{:?}", error.to_response());
    }
    assert!(!shown.contains("marker"), "{shown}");
}

fn offer() -> Offer {
    let deflate = Extension::new("permessage-deflate");
    let offer = Offer::default().subprotocol("chat").subprotocol("soap");
    offer.extension(deflate.clone().param("client_max_window_bits", None)).extension(deflate)
}

fn start(uri: &str, offer: Offer) -> Result<ClientHandshake, Error> {
    ClientHandshake::new(&parse_uri(uri)?, NONCE, offer)
}

/// What a client does with an answer: read, parse, check.
fn finish(bytes: &str) -> Result<Negotiated, Error> {
    let mut reader = ResponseReader::new(HeadLimits::default());
    match reader.receive(bytes.as_bytes())? {
        Some(_) => start("ws://a", offer())?.finish(&reader.response()?),
        None => Err(Error::Closed),
    }
}

/// A good 101 with other lines in the place of those of one name.
fn answer(name: &str, lines: &str) -> Result<Negotiated, Error> {
    finish(&head_of("HTTP/1.1 101 Switching Protocols", &replaced(ANSWER, name, lines)))
}

fn assert_answer_refused(name: &str, table: &str, expected: &Error) {
    for lines in table.split('|') {
        assert_eq!(&answer(name, lines).expect_err(lines), expected, "{lines:?}");
    }
}

/// HS-06: the request a client writes, in full.
#[test]
fn s4_1_the_request_is_written() {
    let (name, value) = (HeaderName::from_static("origin"), HeaderValue::from_static("https://a"));
    let client = start("ws://Example.com:80/chat?x=1", offer().header(name, value)).unwrap();
    let lines = "Sec-WebSocket-Protocol: chat, soap\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate\r\n\
        Origin: https://a";
    let expected = head_of("GET /chat?x=1 HTTP/1.1", &replaced(REQUEST, "-", lines));
    assert_eq!(std::str::from_utf8(client.request_bytes()).unwrap(), expected);
}

/// HS-06: host, port, path and security of a URI.
#[test]
fn s3_uris_say_where_to_connect() {
    for (uri, path, host, connect) in [
        ("ws://a", "/", "a", ("a", 80, false)),
        ("wss://a:443?b", "/?b", "a", ("a", 443, true)),
        ("WSS://A:80/", "/", "a:80", ("a", 80, true)),
        ("http://a:8080/b/c", "/b/c", "a:8080", ("a", 8080, false)),
        ("https://127.0.0.1/%20", "/%20", "127.0.0.1", ("127.0.0.1", 443, true)),
        ("ws://[::1]:9000/", "/", "[::1]:9000", ("::1", 9000, false)),
    ] {
        let client = start(uri, Offer::default()).unwrap();
        let request = std::str::from_utf8(client.request_bytes()).unwrap();
        let expected = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
        assert!(request.starts_with(&expected), "{request}");
        assert_eq!((client.host(), client.port(), client.is_secure()), connect);
    }
}

/// E11, E12, row 10: what cannot be written safely is refused before a byte is sent.
#[test]
fn s4_1_bad_uris_and_offers_are_refused_at_once() {
    let bad = "|/chat|a|ftp://a/|ws:/a|ws://|ws:///a|ws://a/#|ws://a/#b|ws://u@a/|ws://u:p@a/|\
        ws://a:99999/|ws://a:b/|ws://a b/|ws://a/b c|ws://a/\r\nX: 1|ws://a\r\n/|\
        ws://h\u{f6}st/|ws://a/\u{e9}|ws://[::1/|ws://a\\b/";
    for uri in bad.split('|') {
        let error = start(uri, Offer::default()).expect_err(uri);
        assert!(matches!(error, Error::Uri(_)), "{uri}: {error}");
    }
    let secret = start("ws://user:marker@a/", Offer::default()).unwrap_err();
    assert!(secret.to_string().contains("user information"), "{secret}");
    assert!(!format!("{secret}{secret:?}").contains("marker"));
    let owned = "host|upgrade|connection|sec-websocket-key|sec-websocket-protocol|content-length|\
        transfer-encoding";
    for name in owned.split('|').map(HeaderName::from_static) {
        let offer = Offer::default().header(name.clone(), HeaderValue::from_static("1"));
        assert_eq!(start("ws://a", offer).unwrap_err(), Error::HeaderOwned(name));
    }
    for names in ["", "a b", "a,b", "a\r\nX: 1", "a|a"] {
        let offer = names.split('|').fold(Offer::default(), Offer::subprotocol);
        assert_eq!(start("ws://a", offer).unwrap_err(), Error::OfferedSubprotocol, "{names}");
    }
    let offer = Offer::default().extension(Extension::new("a\r\nX: 1"));
    assert_eq!(start("ws://a", offer).unwrap_err(), Error::InvalidExtension);
}

/// E01, E03, row 15: the accept key and the two lists of a 101.
#[test]
fn s4_1_the_answer_must_prove_itself() {
    assert!(answer("-", "").is_ok());
    assert!(answer("Upgrade", "upgrade: WebSocket").is_ok());
    assert!(answer("Connection", "connection: keep-alive\r\nConnection: ,UPGRADE").is_ok());
    let bad = "|Upgrade:|Upgrade: h2c|Upgrade: websocket, h2c|Upgrade: websocket/13";
    assert_answer_refused("Upgrade", bad, &Error::ResponseUpgrade);
    let bad = "|Connection: close|Connection: not-upgrade";
    assert_answer_refused("Connection", bad, &Error::ResponseConnection);
    let bad = "|Sec-WebSocket-Accept:|Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==|\
        Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=";
    assert_answer_refused("Sec-WebSocket-Accept", bad, &Error::Accept);
    let twice = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert_answer_refused("-", twice, &Error::Accept);
}

/// E05: a subprotocol that was not offered, in another case, two of them, an empty one.
#[test]
fn s4_1_only_an_offered_subprotocol_is_taken() {
    let taken = answer("-", "Sec-WebSocket-Protocol: soap").unwrap();
    assert_eq!(taken.subprotocol(), Some("soap"));
    assert_eq!(answer("-", "").unwrap().subprotocol(), None);
    for value in "|Chat|mqtt|chat, soap|chat\r\nSec-WebSocket-Protocol: soap".split('|') {
        let line = format!("Sec-WebSocket-Protocol: {value}");
        assert_answer_refused("-", &line, &Error::SubprotocolNotOffered);
    }
}

/// E06: an extension that was not offered, one twice, a malformed list.
#[test]
fn s4_1_only_offered_extensions_are_taken() {
    let line = |value: &str| format!("Sec-WebSocket-Extensions: {value}");
    let taken = answer("-", &line("permessage-deflate; server_max_window_bits=\"12\"")).unwrap();
    let expected = Extension::new("permessage-deflate").param("server_max_window_bits", Some("12"));
    assert_eq!(taken.extensions(), [expected]);
    for value in [
        "x-a",
        "Permessage-Deflate",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate\r\nSec-WebSocket-Extensions: permessage-deflate",
    ] {
        assert_answer_refused("-", &line(value), &Error::ExtensionNotOffered);
    }
    for value in ["", "permessage-deflate; a=", "a b"] {
        assert_answer_refused("-", &line(value), &Error::Extensions);
    }
}

/// E02, E08, E09: other statuses are told with their head, redirects apart; no body is read.
#[test]
fn s4_1_another_status_is_told() {
    let lines = "WWW-Authenticate: Basic\r\nContent-Length: 1073741824";
    let error = finish(&head_of("HTTP/1.1 401 Unauthorized", lines)).unwrap_err();
    let Error::UnexpectedStatus(refused) = error else { panic!("{error}") };
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["www-authenticate"], "Basic");

    let error = finish(&head_of("HTTP/1.1 307 Temporary", "Location: wss://b/")).unwrap_err();
    let Error::Redirect(refused) = error else { panic!("{error}") };
    assert_eq!(refused.location(), Some("wss://b/"));

    for (start, lines) in [
        ("HTTP/1.1 302 Found", "Location: wss://b/\r\nLocation: wss://c/"),
        ("HTTP/1.1 302 Found", ""),
        ("HTTP/1.1 200 OK", ANSWER),
    ] {
        let error = finish(&head_of(start, lines)).unwrap_err();
        assert!(matches!(error, Error::UnexpectedStatus(_)), "{start}: {error}");
    }
    let old = head_of("HTTP/1.0 101 Switching Protocols", ANSWER);
    assert_eq!(finish(&old).unwrap_err(), Error::HttpVersion);
    let error = finish(&head_of("HTTP/1.0 503 Busy", "")).unwrap_err();
    assert!(matches!(error, Error::UnexpectedStatus(_)), "{error}");
    let old = Response::builder().status(101).version(Version::HTTP_10).body(()).unwrap();
    assert_eq!(start("ws://a", offer()).unwrap().finish(&old).unwrap_err(), Error::HttpVersion);
}

/// E02: an error says what the status should have been, which is another over HTTP/2.
#[test]
fn s4_1_another_status_is_named_beside_the_right_one() {
    let error = finish(&head_of("HTTP/1.1 200 OK", ANSWER)).unwrap_err();
    assert_eq!(error.to_string(), "the server answered 200 OK instead of 101");
    let handshake = ExtendedHandshake::new(&"ws://a/b".parse().unwrap(), offer()).unwrap();
    let request = handshake.request();
    assert_eq!((request.method().as_str(), request.uri().path()), ("CONNECT", "/b"));
    let answer = Response::builder().status(404).body(()).unwrap();
    let error = handshake.finish(&answer).unwrap_err();
    assert_eq!(error.to_string(), "the server answered 404 Not Found instead of 200");
}

/// E02: some interim responses are waited through, a flood is not.
#[test]
fn rfc_9110_s15_2_interim_responses_are_skipped() {
    let hints = head_of("HTTP/1.1 103 Early Hints", "Link: </a>");
    let interim = head_of("HTTP/1.1 100 Continue", "") + &hints;
    let last = head_of("HTTP/1.1 101 Switching Protocols", ANSWER);
    assert!(finish(&(interim.clone() + &last)).is_ok());
    let error = finish(&(interim.repeat(500) + &last)).unwrap_err();
    assert!(matches!(error, Error::TooManyInterim { .. }), "{error}");
}

/// E04, row 15: a response head has the same limits.
#[test]
fn a_long_response_is_refused_at_the_limit() {
    let long = "a".repeat(20 << 20);
    let error = finish(&head_of("HTTP/1.1 101", &["a:"; 20_000].join("\r\n"))).unwrap_err();
    assert_eq!(error, Error::TooManyHeaders { limit: 100 });
    let error = finish(&format!("HTTP/1.1 101 {long}")).unwrap_err();
    assert_eq!(error, Error::StartLineTooLong { limit_bytes: 8 << 10 });
    let error = finish(&format!("HTTP/1.1 101\r\na: {long}")).unwrap_err();
    assert_eq!(error, Error::HeaderLineTooLong { limit_bytes: 8 << 10 });
}

/// E10: frames in the same segment as the 101 are left alone, whatever length it claims.
#[test]
fn frames_behind_the_101_are_left_alone() {
    let lines = replaced(ANSWER, "-", "Content-Length: 5");
    let head = head_of("HTTP/1.1 101 Switching Protocols", &lines);
    let mut reader = ResponseReader::new(HeadLimits::default());
    let bytes = [head.as_bytes(), &[0x81, 0x01, b'a']].concat();
    assert_eq!(reader.receive(&bytes), Ok(Some(head.len())));
    let client = start("ws://a", Offer::default()).unwrap();
    assert!(client.finish(&reader.response().unwrap()).is_ok());
}

/// HS-06, HS-12: both sides against each other.
#[test]
fn both_sides_agree() {
    let client = start("wss://example.com/chat", offer()).unwrap();
    let upgrade = serve(client.request_bytes()).unwrap();
    assert_eq!(upgrade.extensions().len(), 2);
    let chosen = Extension::new("permessage-deflate").param("server_no_context_takeover", None);
    let chosen = Acceptance::default().subprotocol("soap").extension(chosen);
    let server = upgrade.accept(chosen).unwrap();
    let mut reader = ResponseReader::new(HeadLimits::default());
    let bytes = encoded(&server);
    assert_eq!(reader.receive(bytes.as_bytes()), Ok(Some(bytes.len())));
    let client = client.finish(&reader.response().unwrap()).unwrap();
    assert_eq!(client.subprotocol(), Some("soap"));
    assert_eq!(client.extensions(), server.extensions());
}
