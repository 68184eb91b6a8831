//! Attacks on the opening handshake, over raw sockets: the answer, the end of the connection, and a
//! healthy client that notices nothing.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use sockeye::handshake::{Acceptance, Origins};
use sockeye::{Acceptor, Answer, Error, HandshakeError, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpStream;

use crate::support::server::{
    Face, Reply, Site, allow_descriptors, lawful, request_line, request_with, small, within,
};

const KEY: &str = "Sec-WebSocket-Key";

async fn site() -> Site {
    Site::start(Face::Handler).await
}

/// Each of these requests is refused with this status.
async fn all_refused(status: u16, requests: &[Vec<u8>]) {
    let mut site = site().await;
    for request in requests {
        let reply = site.request(request).await;
        let shown = String::from_utf8_lossy(&request[..request.len().min(300)]);
        assert_eq!(reply.status, status, "{shown}");
        assert_refusal(&reply);
    }
    site.end().await;
}

/// Whoever is refused is told that this was the last answer, and can tell where it ends.
fn assert_refusal(reply: &Reply) {
    let connection = reply.header("connection").unwrap_or_default().to_ascii_lowercase();
    assert!(connection.split(", ").any(|token| token == "close"), "{}", reply.head);
    assert_eq!(reply.header("content-length"), Some(reply.rest.len().to_string().as_str()));
    assert!(reply.stream.is_none());
}

async fn all_taken(requests: &[Vec<u8>]) {
    let mut site = site().await;
    for request in requests {
        let reply = site.request(request).await;
        assert_eq!(reply.status, 101, "{}", String::from_utf8_lossy(request));
    }
    site.end().await;
}

/// 2a 1: a head over its limits is refused as soon as it is over, however it comes.
#[tokio::test]
async fn row_1_long_heads() {
    let mut site = site().await;
    let target = format!("GET /{} HTTP/1.1", "a".repeat(1024 * 1024));
    assert_eq!(site.request(&request_line(&target)).await.status, 414);

    let line = format!("X: {}", "a".repeat(20 * 1024 * 1024));
    assert_eq!(site.request(&request_with("X", &[&line])).await.status, 431);

    let line = format!("X: {}", "a".repeat(1024 * 1024));
    let request = request_with("X", &[&line]);
    let pieces: Vec<_> = request.chunks(256).collect();
    let reply = site.request_in(&pieces).await;
    assert_eq!(reply.status, 431);
    assert_refusal(&reply);

    // Many lines, each within its limit.
    let line = format!("X: {}", "a".repeat(4000));
    assert_eq!(site.request(&request_with("X", &[line.as_str(); 5])).await.status, 431);
    site.end().await;
}

/// 2a 1: the limits are the last values that are taken.
#[tokio::test]
async fn row_1_heads_at_their_limits() {
    let line = format!("X: {}", "a".repeat(8 * 1024 - 3));
    let target = format!("GET /{} HTTP/1.1", "a".repeat(8 * 1024 - 14));
    all_taken(&[request_with("X", &[&line]), request_line(&target)]).await;
    let longer = format!("X: {}", "a".repeat(8 * 1024 - 2));
    all_refused(431, &[request_with("X", &[&longer])]).await;
    let target = format!("GET /{} HTTP/1.1", "a".repeat(8 * 1024 - 13));
    all_refused(414, &[request_line(&target)]).await;
}

/// 2a 2: many headers, and none at all.
#[tokio::test]
async fn row_2_header_count() {
    let many = |count: usize| {
        let lines: Vec<_> = (0..count).map(|number| format!("a{}:", number % 10)).collect();
        request_with("", &lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    all_refused(431, &[many(20_000), many(2100), many(96)]).await;
    all_taken(&[many(95)]).await;
    all_refused(400, &[b"GET /ws HTTP/1.1\r\n\r\n".to_vec()]).await;
}

/// 2a 3, HS-14: silent clients are answered with 408 at the deadline and cost others nothing.
#[tokio::test]
async fn row_3_silent_clients() {
    let acceptor = Acceptor::new(small()).handshake_timeout(Duration::from_millis(300));
    let mut site = Site::with(Face::Handler, acceptor).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(site.raw().await);
    }
    let mut half = site.raw().await;
    half.write_all(&lawful()[..40]).await.unwrap();
    site.check().await;
    let mut newcomer = site.peer().await;
    newcomer.send(sockeye::frame::Frame::text("hi")).await;
    within(newcomer.frame()).await.unwrap();
    drop(newcomer);
    for stream in silent.iter_mut().chain([&mut half]) {
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    }
    site.end().await;
}

/// 2a 3, HS-14: the deadline is absolute: a byte now and then does not put it off.
#[tokio::test(start_paused = true)]
async fn row_3_dripping_client() {
    let (mut client, stream) = duplex(64 * 1024);
    let start = tokio::time::Instant::now();
    let dripping = tokio::spawn(async move {
        for byte in lawful().repeat(10) {
            if client.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let result = Acceptor::default().accept(stream, None).await;
    assert!(matches!(result, Err(Error::Handshake(HandshakeError::Timeout))), "{result:?}");
    let elapsed = start.elapsed();
    // The deadline, and the second in which the answer may be read.
    assert!((10..=12).contains(&elapsed.as_secs()), "{elapsed:?}");
    dripping.abort();
}

/// An address of this machine that is not the loopback. Nothing is sent to find it.
fn own_address() -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let mut addr = socket.local_addr().ok()?;
    addr.set_port(0);
    (!addr.ip().is_loopback()).then_some(addr)
}

/// 2a 3: one address has 32 handshakes under way at most; the next is told to come again.
#[tokio::test]
async fn row_3_half_open_of_one_address() {
    let Some(addr) = own_address() else {
        // A machine without a network: the loopback is exempt.
        return;
    };
    let server = Server::bind(addr).await.unwrap();
    let mut site = Site::on(server, Face::Handler, Acceptor::new(small())).await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(site.raw().await);
    }
    let reply = site.request(&lawful()).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_refusal(&reply);
    drop(silent);
    // Their places are free again.
    let served = async { while site.request(&lawful()).await.status != 101 {} };
    within(served).await;
    site.end().await;
}

/// 2a 3: a server has 1,024 handshakes under way at most, whoever began them.
#[tokio::test]
async fn row_3_half_open_of_a_server() {
    allow_descriptors();
    let acceptor = Acceptor::new(small()).handshake_timeout(Duration::from_secs(3600));
    let mut site = Site::with(Face::Handler, acceptor).await;
    let mut silent = Vec::new();
    while silent.len() < 1023 {
        silent.push(site.raw().await);
    }
    // The last place serves one after the other.
    for _ in 0..3 {
        assert_eq!(site.request(&lawful()).await.status, 101);
    }
    silent.push(site.raw().await);
    let reply = site.request(&lawful()).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_refusal(&reply);
    // Each that ends makes room for one.
    drop(silent.pop());
    let served = async { while site.request(&lawful()).await.status != 101 {} };
    within(served).await;
    drop(silent);
    site.end().await;
}

/// 2a 4, HS-01: exactly one key of 16 bytes in strict base64.
#[tokio::test]
async fn row_4_keys() {
    let lists: [&[&str]; 11] = [
        &[],
        &[
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ],
        &["Sec-WebSocket-Key:"],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE="],
        &["Sec-WebSocket-Key: dGhlIHNhbXBs ZSBub25jZQ=="],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ_=="],
        &["Sec-WebSocket-Key: ====================////"],
        &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="],
    ];
    all_refused(400, &lists.map(|lines| request_with(KEY, lines))).await;
}

/// 2a 5: exactly one version, 13; else 426 says which.
#[tokio::test]
async fn row_5_versions() {
    let values: [&[&str]; 9] = [
        &[],
        &["Sec-WebSocket-Version: 8"],
        &["Sec-WebSocket-Version: 013"],
        &["Sec-WebSocket-Version: 14"],
        &["Sec-WebSocket-Version: 13, 8"],
        &["Sec-WebSocket-Version: 13;"],
        &["Sec-WebSocket-Version: 0x0d"],
        &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"],
        &["Sec-WebSocket-Version: +13"],
    ];
    let mut site = site().await;
    for lines in values {
        let reply = site.request(&request_with("Sec-WebSocket-Version", lines)).await;
        assert_eq!(reply.status, 426, "{lines:?}");
        assert_eq!(reply.header("sec-websocket-version"), Some("13"));
        assert_eq!(reply.header("upgrade"), Some("websocket"));
        assert_refusal(&reply);
    }
    site.end().await;
}

/// 2a 6, HS-01: whole tokens, in any case, in any line of the list, with empty elements.
#[tokio::test]
async fn row_6_token_lists() {
    let connection = |lines: &[&str]| request_with("Connection", lines);
    let upgrade = |lines: &[&str]| request_with("Upgrade", lines);
    all_taken(&[
        connection(&["Connection: keep-alive, Upgrade"]),
        connection(&["Connection: uPGRADE"]),
        connection(&["Connection: keep-alive", "Connection: upgrade"]),
        connection(&["Connection: , ,\tUpgrade ,"]),
        upgrade(&["Upgrade: WebSocket"]),
        upgrade(&["Upgrade: h2c, websocket"]),
        upgrade(&["Upgrade: h2c", "Upgrade: websocket"]),
    ])
    .await;
    all_refused(
        400,
        &[
            connection(&[]),
            connection(&["Connection: not-Upgrade"]),
            connection(&["Connection: Upgraded"]),
            connection(&["Connection: keep-alive Upgrade"]),
        ],
    )
    .await;
    all_refused(
        426,
        &[upgrade(&[]), upgrade(&["Upgrade: websocket2"]), upgrade(&["Upgrade: my-websocket"])],
    )
    .await;
}

/// 2a 7: another method is 405, another version 505.
#[tokio::test]
async fn row_7_methods_and_versions() {
    let mut site = site().await;
    for method in ["POST", "HEAD", "OPTIONS", "PUT", "get", "FOO"] {
        let reply = site.request(&request_line(&format!("{method} /ws HTTP/1.1"))).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET")), "{method}");
    }
    site.end().await;
    let lines = ["GET /ws HTTP/1.0", "GET /ws HTTP/2.0", "GET /ws HTTP/3.0"];
    all_refused(505, &lines.map(request_line)).await;
}

/// 2a 7: what is not HTTP/1.1 to the letter is refused.
#[tokio::test]
async fn row_7_malformed_heads() {
    let lines = [
        "GET  /ws HTTP/1.1",
        "GET /ws  HTTP/1.1",
        " GET /ws HTTP/1.1",
        "GET /ws HTTP/1.1 ",
        "GET /w s HTTP/1.1",
        "GET\t/ws\tHTTP/1.1",
        "GET /ws http/1.1",
        "GET /ws HTTP/1.1x",
        "GET /ws#part HTTP/1.1",
        "GET ws HTTP/1.1",
        "GET /w\0s HTTP/1.1",
        "GET /ws",
        "GET",
    ];
    all_refused(400, &lines.map(request_line)).await;
    let headers: [&[&str]; 9] = [
        &["X: a", " folded"],
        &["X: a", "\tfolded"],
        &["X: a\0b"],
        &["X: a\rb"],
        &["X: a\nY: b"],
        &["X : a"],
        &["X y: a"],
        &[": a"],
        &["no colon"],
    ];
    all_refused(400, &headers.map(|lines| request_with("X", lines))).await;
    let hosts: [&[&str]; 6] = [
        &[],
        &["Host: a", "Host: a"],
        &["Host: a", "host: b"],
        &["Host: a b"],
        &["Host: user@a"],
        &["Host: a:99999"],
    ];
    all_refused(400, &hosts.map(|lines| request_with("Host", lines))).await;
}

/// 2a 8: a body on the handshake, however it is announced.
#[tokio::test]
async fn row_8_bodies() {
    let lists: [&[&str]; 8] = [
        &["Content-Length: 5"],
        &["Content-Length: 5", "Content-Length: 6"],
        &["Content-Length: 0", "Content-Length: 5"],
        &["Content-Length: +0"],
        &["Content-Length: 0, 5"],
        &["Transfer-Encoding: chunked"],
        &["Transfer-Encoding: identity", "Content-Length: 0"],
        &["Transfer-Encoding: xchunked"],
    ];
    let bodied = |lines| [request_with("Content-Length", lines), b"hello".to_vec()].concat();
    all_refused(400, &lists.map(bodied)).await;
}

/// 2a 8, 2a 9: behind a refused upgrade nothing is ever served, and there is one answer.
#[tokio::test]
async fn row_9_second_request_behind_a_refused_one() {
    let mut site = site().await;
    let refused = request_with("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 777"]);
    let both = [refused.as_slice(), &lawful()].concat();
    for pieces in [vec![both.as_slice()], vec![&refused[..], &lawful()[..]]] {
        let reply = site.request_in(&pieces).await;
        assert_eq!(reply.status, 426);
        assert_refusal(&reply);
        assert!(!String::from_utf8_lossy(&reply.rest).contains("HTTP/1.1"));
    }
    site.end().await;
}

/// 2a 9: nor is it behind one that the application refuses: the answer says that it is the last.
#[tokio::test]
async fn row_9_second_request_behind_an_answer() {
    let acceptor = Acceptor::new(small()).on_request(|request| async move {
        match request.path() {
            "/ws" => Answer::refuse(http::StatusCode::FORBIDDEN, "not here"),
            _ => Answer::accept(),
        }
    });
    let mut site = Site::with(Face::Handler, acceptor).await;
    let good = request_line("GET /good HTTP/1.1");
    let reply = site.request_in(&[&lawful(), &good]).await;
    assert_eq!(reply.status, 403);
    assert_refusal(&reply);
    assert_eq!(reply.rest, b"not here");
    assert_eq!(site.request(&good).await.status, 101);
    site.end().await;
}

/// 2a 10, HS-12: nothing a client says comes back in an answer's head but what was chosen of a list.
#[tokio::test]
async fn row_10_injection() {
    let evil = "chat\r\nX-Evil: 1";
    let acceptor = Acceptor::new(small()).on_request(move |request| async move {
        match request.query("choose") {
            Some(chosen) => Answer::Upgrade(Acceptance::default().subprotocol(chosen)),
            None if request.path() == "/ws" => {
                Answer::Upgrade(Acceptance::default().subprotocol(evil))
            }
            None => Answer::accept(),
        }
    });
    let mut site = Site::with(Face::Handler, acceptor).await;
    let offer = "Sec-WebSocket-Protocol: chat, other";
    let head = String::from_utf8(request_with("X", &[offer])).unwrap();
    for target in ["/ws", "/ws?choose=chat%0d%0aX-Evil:%201", "/ws?choose=never-offered"] {
        let reply = site.request(head.replace("/ws", target).as_bytes()).await;
        assert_eq!(reply.status, 500, "{target}");
        assert!(!reply.head.contains("Evil") && !reply.head.contains("never"), "{}", reply.head);
    }
    let reply = site.request(head.replace("/ws", "/ws?choose=other").as_bytes()).await;
    assert_eq!((reply.status, reply.header("sec-websocket-protocol")), (101, Some("other")));
    drop(reply);
    let marked = request_line("GET /marker HTTP/1.1<marker>");
    let reply = site.request(&marked).await;
    assert_eq!(reply.status, 400);
    assert!(!String::from_utf8_lossy(&reply.rest).contains("marker"));
    assert_eq!(site.request(&head.replace("chat,", "chat,,=").into_bytes()).await.status, 400);
    site.end().await;
}

/// 2a 11: lists that make backtracking parsers slow are scanned once; malformed ones are refused.
#[tokio::test]
async fn row_11_slow_lists() {
    let long = |text: &str| text.repeat(8000 / text.len());
    let subprotocols = [long("a "), long("a\t\"") + "\0", long("(")];
    let extensions = [
        format!("x; a=\"{}", long("\\\"")),
        format!("x; a={}", long("\\")),
        format!("x{};", long(" ")) + "=",
        long("x;=\"") + "!",
        long("a;b=c,") + "=",
    ];
    let protocol =
        |value: &String| request_with("X", &[&format!("Sec-WebSocket-Protocol: {value}")]);
    let extension =
        |value: &String| request_with("X", &[&format!("Sec-WebSocket-Extensions: {value}")]);
    let requests = subprotocols.iter().map(protocol).chain(extensions.iter().map(extension));
    all_refused(400, &requests.collect::<Vec<_>>()).await;
}

/// 2a 12, HS-07: a page of another origin cannot connect: exact equality of host and port.
#[tokio::test]
async fn row_12_foreign_origins() {
    let mut site = site().await;
    let host = "Host: example.com:8080";
    let origins = [
        ("http://example.com:8080", 101),
        ("https://EXAMPLE.com:8080", 101),
        ("http://example.com", 403),
        ("http://example.com:80", 403),
        ("http://example.com:8080.evil.test", 403),
        ("http://evil-example.com:8080", 403),
        ("http://evil.test/example.com:8080", 403),
        ("http://example.com:8080@evil.test", 403),
        ("http://evil.test#example.com:8080", 403),
        ("http://sub.example.com:8080", 403),
        ("http://example.com:80800", 403),
        ("http://example.com:08080x", 403),
        ("null", 403),
        ("file://", 403),
        ("", 403),
        ("example.com:8080", 403),
        ("http://example.com:8080, http://evil.test", 403),
    ];
    for (origin, status) in origins {
        let lines = [host, &format!("Origin: {origin}")];
        let reply = site.request(&request_with("Host", &lines)).await;
        assert_eq!(reply.status, status, "{origin}");
    }
    let twice = [host, "Origin: http://example.com:8080", "Origin: http://example.com:8080"];
    assert_eq!(site.request(&request_with("Host", &twice)).await.status, 400);
    site.end().await;
}

/// 2a 12, HS-07: a list is exact, and `null` is in it only where it stands.
#[tokio::test]
async fn row_12_listed_origins() {
    let listed = vec!["https://example.com".parse().unwrap()];
    let acceptor = Acceptor::new(small()).origins(Origins::List(listed));
    let mut site = Site::with(Face::Handler, acceptor).await;
    let origins = [
        ("https://example.com", 101),
        ("https://example.com:443", 101),
        ("http://example.com", 403),
        ("https://example.com.evil.test", 403),
        ("https://example.com:8443", 403),
        ("http://localhost", 403),
        ("null", 403),
    ];
    for (origin, status) in origins {
        let reply = site.request(&request_with("X", &[&format!("Origin: {origin}")])).await;
        assert_eq!(reply.status, status, "{origin}");
    }
    site.end().await;
}

/// Writes, ends its half, and reads whatever comes to the end.
async fn throw(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut stream: TcpStream = site.raw().await;
    let mut answer = Vec::new();
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let _ = within(stream.read_to_end(&mut answer)).await;
    answer
}

/// 2a 13: a request that is cut anywhere ends its connection and nothing else.
#[tokio::test]
async fn row_13_cut_requests() {
    let mut site = site().await;
    for cut in 0..lawful().len() {
        let answer = throw(&site, &lawful()[..cut]).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "cut at {cut}");
        site.check().await;
    }
    site.end().await;
}

/// 2a 13: a request with any byte changed is taken or refused, and ends nothing but itself.
#[tokio::test]
async fn row_13_changed_requests() {
    let mut site = site().await;
    for at in 0..lawful().len() {
        for byte in [0, b' ', b'\r', b'\n', b':', 0xff] {
            let mut request = lawful();
            request[at] = byte;
            let answer = throw(&site, &request).await;
            let is_answer = answer.is_empty() || answer.starts_with(b"HTTP/1.1 ");
            assert!(is_answer && !answer.starts_with(b"HTTP/1.1 5"), "{byte} at {at}");
        }
        site.check().await;
    }
    site.end().await;
}

/// 2a 13: a hook that panics is answered with 500, and ends the connection it was asked for.
#[tokio::test]
async fn row_13_panicking_hook() {
    let acceptor = Acceptor::new(small()).on_request(|request| async move {
        if request.path() == "/ws" {
            std::panic::resume_unwind(Box::new("as asked"));
        }
        Answer::accept()
    });
    let mut site = Site::with(Face::Handler, acceptor).await;
    for _ in 0..10 {
        let answer = throw(&site, &lawful()).await;
        assert!(answer.starts_with(b"HTTP/1.1 500 "), "{}", String::from_utf8_lossy(&answer));
        site.check().await;
    }
    site.end().await;
}

/// 2a 14: bytes behind a refused request, at every cut of both, do not keep the answer back.
#[tokio::test]
async fn row_14_bytes_behind_a_refused_request() {
    let mut site = site().await;
    let mut bytes = request_with(KEY, &[]);
    bytes.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n\x81\x80\0\0\0\0");
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let reply = site.request_in(&[first, second]).await;
        assert_eq!(reply.status, 400, "cut at {cut}");
        assert_refusal(&reply);
    }
    site.end().await;
}

/// 2a 14: so do 32 KiB of them.
#[tokio::test]
async fn row_14_much_behind_a_refused_request() {
    let mut site = site().await;
    let bytes = [request_with(KEY, &[]), vec![0x81; 32 * 1024]].concat();
    for _ in 0..20 {
        assert_eq!(site.request(&bytes).await.status, 400);
    }
    let plain = [request_with("Upgrade", &[]), vec![0x81; 32 * 1024]].concat();
    assert_eq!(site.request(&plain).await.status, 426);
    site.end().await;
}
