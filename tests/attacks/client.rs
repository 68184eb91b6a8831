//! A hostile server against a client: what it must refuse, and with which code.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use sockeye::frame::{CloseFrameError, Frame, FrameHeader, Opcode};
use sockeye::handshake::accept_key;
use sockeye::protocol::{CloseCause, TimeoutKind};
use sockeye::{Config, Connector, Error, ErrorKind, HandshakeError, Role, State, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;

use crate::support::io::RawPeer;
use crate::support::pair::{fragment, last, quiet, to};
use crate::support::server::{small, within};

/// The lines of a lawful answer; `ACCEPT` stands for the answer to the client's key.
const LAWFUL: [&str; 4] = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: ACCEPT",
];

/// An answer with these lines in the place of the lawful one that begins so.
fn answer_with(prefix: &str, lines: &[&str]) -> String {
    let rest = LAWFUL.into_iter().filter(|line| prefix.is_empty() || !line.starts_with(prefix));
    let mut all: Vec<&str> = Vec::new();
    if prefix.starts_with("HTTP") {
        all.extend(lines);
        all.extend(rest);
    } else {
        all.extend(rest);
        all.extend(lines);
    }
    all.join("\r\n") + "\r\n\r\n"
}

/// Reads the request's head and answers.
async fn serve(mut stream: DuplexStream, answer: Vec<u8>) -> (String, DuplexStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = accept_key(key.unwrap().as_bytes());
    let text = String::from_utf8_lossy(&answer);
    let bytes = match text.contains("ACCEPT") {
        true => {
            let at = answer.windows(6).position(|window| window == b"ACCEPT").unwrap();
            [&answer[..at], &accept, &answer[at + 6..]].concat()
        }
        false => answer,
    };
    // The client may refuse and be gone before it has all.
    let _ = stream.write_all(&bytes).await;
    (head, stream)
}

/// What a client makes of an answer.
async fn connect(
    connector: &Connector,
    answer: impl Into<Vec<u8>>,
) -> Result<(WebSocket<DuplexStream>, DuplexStream), Error> {
    let (stream, server) = duplex(64 * 1024);
    let serving = serve(server, answer.into());
    let connecting = connector.connect_on("ws://localhost/ws", stream);
    let (socket, (_, server)) = within(async { tokio::join!(connecting, serving) }).await;
    Ok((socket?, server))
}

async fn refusal(connector: &Connector, answer: impl Into<Vec<u8>>) -> HandshakeError {
    match connect(connector, answer).await {
        Err(Error::Handshake(error)) => error,
        other => panic!("not refused: {:?}", other.map(|_| ())),
    }
}

fn connector() -> Connector {
    Connector::new(small())
}

/// E01: the accept key is absent, another, there twice, or in other case.
#[tokio::test]
async fn e01_accept_key() {
    let lists: [&[&str]; 5] = [
        &[],
        &["Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
        &["Sec-WebSocket-Accept: ACCEPT", "Sec-WebSocket-Accept: ACCEPT"],
        &["Sec-WebSocket-Accept: ACCEPT="],
        &["Sec-WebSocket-Accept:"],
    ];
    for lines in lists {
        let answer = answer_with("Sec-WebSocket-Accept", lines);
        assert_eq!(refusal(&connector(), answer).await, HandshakeError::Accept, "{lines:?}");
    }
    assert!(connect(&connector(), answer_with("", &[])).await.is_ok());
}

/// E02: another status, HTTP/1.0, and interim responses without end.
#[tokio::test]
async fn e02_status_and_version() {
    let status = |line: &str| answer_with("HTTP", &[line]);
    let ok = refusal(&connector(), status("HTTP/1.1 200 OK")).await;
    assert!(matches!(ok, HandshakeError::UnexpectedStatus(response) if response.status() == 200));
    let old = refusal(&connector(), status("HTTP/1.0 101 Switching Protocols")).await;
    assert_eq!(old, HandshakeError::HttpVersion);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let flood = interim.repeat(1000) + &answer_with("", &[]);
    let flood = refusal(&connector(), flood).await;
    assert!(matches!(flood, HandshakeError::TooManyInterim { .. }), "{flood:?}");
    let few = interim.repeat(3) + &answer_with("", &[]);
    assert!(connect(&connector(), few).await.is_ok());
}

/// E03: lists are lists, and whole tokens count.
#[tokio::test]
async fn e03_upgrade_and_connection() {
    for lines in [&[][..], &["Upgrade: websocket2"], &["Upgrade: h2c"]] {
        let error = refusal(&connector(), answer_with("Upgrade", lines)).await;
        assert_eq!(error, HandshakeError::ResponseUpgrade, "{lines:?}");
    }
    for lines in [&[][..], &["Connection: not-upgrade"], &["Connection: close"]] {
        let error = refusal(&connector(), answer_with("Connection", lines)).await;
        assert_eq!(error, HandshakeError::ResponseConnection, "{lines:?}");
    }
    let list = answer_with("Connection", &["Connection: keep-alive", "Connection: ,UPGRADE"]);
    assert!(connect(&connector(), list).await.is_ok());
}

/// E04, HS-14: heads without bounds, in bytes and in lines.
#[tokio::test]
async fn e04_long_heads() {
    let line = format!("X: {}", "a".repeat(20 * 1024 * 1024));
    let error = refusal(&connector(), answer_with("", &[&line])).await;
    assert!(matches!(error, HandshakeError::HeaderLineTooLong { .. }), "{error:?}");
    let error = refusal(&connector(), answer_with("", &["a:"; 20_000])).await;
    assert!(matches!(error, HandshakeError::TooManyHeaders { .. }), "{error:?}");
}

/// E04, HS-14: a server that drips, or says nothing, has 10 s in all.
#[tokio::test(start_paused = true)]
async fn e04_slow_head() {
    for is_silent in [false, true] {
        let (stream, mut server) = duplex(64 * 1024);
        let dripping = tokio::spawn(async move {
            for byte in answer_with("", &[]).repeat(10).into_bytes() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if !is_silent && server.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        });
        let start = tokio::time::Instant::now();
        let result = connector().connect_on("ws://localhost/", stream).await;
        let error = result.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::Timeout)), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
        dripping.abort();
    }
}

/// CL-03, HS-12: subprotocols are offered in the order of the caller, and the server's choice is told.
#[tokio::test]
async fn cl_03_subprotocols() {
    for (choice, expected) in [
        (&["Sec-WebSocket-Protocol: graphql-ws"][..], Some("graphql-ws")),
        (&["Sec-WebSocket-Protocol: chat"], Some("chat")),
        (&[], None),
    ] {
        let (stream, server) = duplex(4096);
        let offering = connector().subprotocol("graphql-ws").subprotocol("chat");
        let connecting = offering.connect_on("ws://localhost/", stream);
        let serving = serve(server, answer_with("", choice).into_bytes());
        let (socket, (head, _server)) = within(async { tokio::join!(connecting, serving) }).await;
        assert!(head.contains("\r\nSec-WebSocket-Protocol: graphql-ws, chat\r\n"), "{head}");
        assert_eq!(socket.unwrap().subprotocol(), expected);
    }
}

/// E05, HS-12: a subprotocol that was not offered, in other case, or twice.
#[tokio::test]
async fn e05_subprotocols() {
    let offering = connector().subprotocol("chat").subprotocol("soap");
    let lists: [&[&str]; 5] = [
        &["Sec-WebSocket-Protocol: other"],
        &["Sec-WebSocket-Protocol: Chat"],
        &["Sec-WebSocket-Protocol: chat, soap"],
        &["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: soap"],
        &["Sec-WebSocket-Protocol:"],
    ];
    for lines in lists {
        let error = refusal(&offering, answer_with("", lines)).await;
        assert_eq!(error, HandshakeError::SubprotocolNotOffered, "{lines:?}");
    }
    let chosen = answer_with("", &["Sec-WebSocket-Protocol: soap"]);
    let error = refusal(&connector(), chosen.clone()).await;
    assert_eq!(error, HandshakeError::SubprotocolNotOffered);
    let (socket, _) = connect(&offering, chosen).await.unwrap();
    assert_eq!(socket.subprotocol(), Some("soap"));
}

/// E06: an extension that was not offered.
#[tokio::test]
async fn e06_extensions() {
    for value in ["permessage-deflate", "x; y=1, x", "permessage-deflate; server_max_window_bits=8"]
    {
        let line = format!("Sec-WebSocket-Extensions: {value}");
        let error = refusal(&connector(), answer_with("", &[&line])).await;
        assert_eq!(error, HandshakeError::ExtensionNotOffered, "{value}");
    }
}

/// E10: frames in the same segment as the 101 are read, a close among them, too.
#[tokio::test]
async fn e10_frames_behind_the_answer() {
    let frames = [Frame::text("one"), Frame::ping("?"), Frame::binary(vec![2; 30_000])];
    let mut bytes = answer_with("", &[]).into_bytes();
    bytes.extend(to(Role::Client, &frames));
    bytes.extend(to(Role::Client, &[Frame::close(1001, "bye").unwrap()]));
    let (mut socket, server) = connect(&connector(), bytes).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some("one".into()));
    assert_eq!(socket.recv().await.unwrap(), Some(vec![2; 30_000].into()));
    drop(server);
    assert_eq!(socket.recv().await.unwrap(), None);
    assert_eq!(socket.outcome().unwrap().reason.as_str(), "bye");
}

/// E11, 2a 10: no text of the caller's breaks out of its place; nothing is written.
#[tokio::test]
async fn e11_injection() {
    assert!(HeaderValue::from_str("a\r\nX: b").is_err() && HeaderName::try_from("a\r\nb").is_err());
    let refused = [
        connector().subprotocol("chat\r\nX: y"),
        connector().subprotocol("a, b"),
        connector().subprotocol(""),
        connector().subprotocol("chat").subprotocol("chat"),
        connector().header(HeaderName::from_static("upgrade"), HeaderValue::from_static("h2c")),
        connector().header(http::header::HOST, HeaderValue::from_static("evil.test")),
        connector().header(http::header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("x")),
    ];
    for connector in refused {
        let (stream, mut server) = duplex(1024);
        assert!(connector.connect_on("ws://localhost/", stream).await.is_err(), "{connector:?}");
        assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0, "something was written");
    }
    for url in
        ["ws://localhost/\r\nX: y", "ws://local\r\nhost/", "ws://localhost/ HTTP/1.1", "ws://"]
    {
        let (stream, mut server) = duplex(1024);
        assert!(connector().connect_on(url, stream).await.is_err(), "{url:?}");
        assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0, "something was written");
    }
}

/// E11, CC-15: codes and reasons that may not be sent.
#[tokio::test]
async fn e11_close_frames() {
    let (mut socket, _server) = connect(&connector(), answer_with("", &[])).await.unwrap();
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        let error = socket.close(code, "").await.unwrap_err();
        assert!(matches!(error, Error::CloseFrame(CloseFrameError::Code(same)) if same == code));
    }
    let long = socket.close(1000, &"é".repeat(62)).await.unwrap_err();
    assert!(matches!(long, Error::CloseFrame(CloseFrameError::Reason { bytes: 124 })));
    assert_eq!(socket.state(), State::Open);
}

/// E12, CE-06: what no URL of a WebSocket may hold.
#[tokio::test]
async fn e12_urls() {
    for url in [
        "ws://user:sec%0dret@localhost/",
        "ws://us%3Aer:secret@localhost/",
        "http//localhost",
        "ftp://localhost/",
        "ws:///path",
        "ws://localhost/#part",
        "localhost",
        "",
    ] {
        let (stream, mut server) = duplex(1024);
        let error = connector().connect_on(url, stream).await.map(|_| ()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("sec"), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(!error.retryable());
        assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0);
    }
}

/// A client behind its handshake, and its server by hand.
fn connected(config: Config) -> (WebSocket<DuplexStream>, RawPeer<DuplexStream>) {
    let (stream, server) = duplex(1024 * 1024);
    let socket = WebSocket::from_stream(stream, Role::Client, &Arc::new(config));
    (socket, RawPeer::server(server))
}

/// Each attack is answered with this code, the error names it, and the client is done.
async fn refused(code: u16, attacks: &[Vec<u8>]) {
    for attack in attacks {
        let (mut socket, mut server) = connected(small());
        server.write(attack).await;
        let ended = async {
            while let Some(_message) = socket.recv().await? {}
            Ok::<_, Error>(())
        };
        let watching = async {
            assert_eq!(server.close_code().await, Some(code), "{attack:?}");
            assert_eq!(server.frame().await, None, "nothing follows");
            drop(server);
        };
        let (ended, ()) = within(async { tokio::join!(ended, watching) }).await;
        let error = ended.unwrap_err();
        assert_eq!(error.close_code().map(u16::from), Some(code), "{error:?}");
        assert!(!error.retryable());
        assert!(socket.send("late").await.is_err());
        assert_eq!(socket.recv().await.unwrap(), None);
    }
}

fn from_server(frames: &[Frame]) -> Vec<u8> {
    to(Role::Client, frames)
}

fn announce(opcode: Opcode, length: u64) -> Vec<u8> {
    let mut bytes = [0; FrameHeader::BYTES_MAX];
    let len = FrameHeader::new(opcode, length).encode(&mut bytes);
    bytes[..len].to_vec()
}

/// E17, FR-03: frames with a mask.
#[tokio::test]
async fn e17_masked_frames() {
    let frames = [Frame::text("hi"), Frame::ping(""), Frame::close(1000, "").unwrap()];
    refused(1002, &frames.map(|frame| frame.masked([1, 2, 3, 4]).encode())).await;
}

/// E18..E24: lengths that overflow, are too long or not minimal.
#[tokio::test]
async fn e18_lengths() {
    let long = |length: u64| [&[0x82, 127][..], &length.to_be_bytes()].concat();
    refused(1002, &[long(u64::MAX), long(1 << 63), long(5), vec![0x82, 126, 0, 125]]).await;
    let mut sum = from_server(&[fragment(Opcode::Binary, &[0; 100])]);
    sum.extend(announce(Opcode::Continuation, i64::MAX as u64));
    refused(1009, &[long(i64::MAX as u64), announce(Opcode::Text, 64 * 1024 + 1), sum]).await;
}

/// E18..E24: reserved bits and opcodes, and frames out of order.
#[tokio::test]
async fn e19_frames_out_of_order() {
    let mut attacks = vec![
        from_server(&[last(b"stray")]),
        from_server(&[fragment(Opcode::Text, b"a"), Frame::text("nested")]),
        from_server(&[fragment(Opcode::Ping, b"a")]),
        announce(Opcode::Ping, 126),
    ];
    attacks.extend([0x40, 0x20, 0x10].map(|bit| vec![0x81 | bit, 0]));
    attacks.extend([0x40, 0x20, 0x10].map(|bit| vec![0x89 | bit, 0]));
    attacks.extend((3..8).chain(11..16).map(|opcode| vec![0x80 | opcode, 0]));
    refused(1002, &attacks).await;
}

/// E18..E24: floods of fragments.
#[tokio::test]
async fn e24_floods_of_fragments() {
    let flood = |payload: &[u8]| {
        let mut frames = vec![fragment(Opcode::Text, b"")];
        frames.resize(5000, fragment(Opcode::Continuation, payload));
        from_server(&frames)
    };
    refused(1008, &[flood(b""), flood(b"x")]).await;
}

/// E27, 2b 22: masks of 10,000 frames: their bits are even, they repeat as chance allows, and the
/// difference of two in a row is as good as they are.
#[tokio::test]
async fn e27_masks() {
    let (mut socket, mut server) = connected(quiet());
    let mut masks = Vec::new();
    for _ in 0..20 {
        for _ in 0..500 {
            socket.feed("x").unwrap();
        }
        socket.flush().await.unwrap();
        for _ in 0..500 {
            let key = masked_key(&mut server).await;
            masks.push(u32::from_be_bytes(key));
        }
    }
    let steps: Vec<_> = masks.windows(2).map(|pair| pair[0] ^ pair[1]).collect();
    let differences: Vec<_> = masks.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    for (name, values) in [("masks", &masks), ("xor", &steps), ("differences", &differences)] {
        let distinct: HashSet<_> = values.iter().collect();
        assert!(distinct.len() + 4 >= values.len(), "{name}: {}", distinct.len());
        for bit in 0..32 {
            let ones = values.iter().filter(|value| **value >> bit & 1 == 1).count();
            // 50 +- 3 %, six standard deviations.
            assert!((4700..=5300).contains(&ones), "{name}: bit {bit} is one {ones} times");
        }
    }
}

async fn masked_key(server: &mut RawPeer<DuplexStream>) -> [u8; 4] {
    let mut frame = [0; 7];
    within(server.stream.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame[..2], [0x81, 0x81]);
    let [_, _, key @ .., masked] = frame;
    assert_eq!(masked ^ key[0], b'x');
    key
}

/// E28: the nonces of 2,000 handshakes: 16 bytes, none twice, all bits even.
#[tokio::test]
async fn e28_nonces() {
    let mut nonces = HashSet::new();
    let mut ones = [0; 128];
    for _ in 0..2000 {
        let (stream, server) = duplex(4096);
        let serving = serve(server, b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n".to_vec());
        let connecting = connector();
        let connecting = connecting.connect_on("ws://localhost/", stream);
        let (_, (head, _)) = tokio::join!(connecting, serving);
        let key = head.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let nonce = STANDARD.decode(key.unwrap()).unwrap();
        let nonce = u128::from_be_bytes(nonce.try_into().unwrap());
        (0..128).for_each(|bit| ones[bit] += usize::from(nonce >> bit & 1 == 1));
        assert!(nonces.insert(nonce), "twice");
    }
    // 50 +- 7 %, six standard deviations.
    assert!(ones.iter().all(|ones| (860..=1140).contains(ones)), "{ones:?}");
}

/// E29, BY-07: a server that never answers the close frame has 5 s.
#[tokio::test(start_paused = true)]
async fn e29_close_without_an_answer() {
    let (mut socket, mut server) = connected(quiet());
    let start = tokio::time::Instant::now();
    let outcome = socket.close(1000, "bye").await.unwrap();
    assert_eq!(outcome.cause, CloseCause::Timeout(TimeoutKind::Close));
    assert!(!outcome.clean);
    assert_eq!(start.elapsed().as_secs(), 5);
    drop(socket);
    assert_eq!(server.close_code().await, Some(1000));
    assert_eq!(server.frame().await, None);
}

/// E30, 2b 26: a client answers every ping of a server that reads, and goes on.
#[tokio::test]
async fn e30_ping_flood() {
    let (mut socket, mut server) = connected(quiet());
    let flooding = async {
        for _ in 0..100 {
            server.write(&from_server(&vec![Frame::ping("x"); 1000])).await;
            for _ in 0..1000 {
                let pong = server.frame().await.unwrap();
                assert_eq!(pong.opcode, Opcode::Pong);
            }
        }
        server.send(Frame::text("well")).await;
    };
    let (received, ()) = within(async { tokio::join!(socket.recv(), flooding) }).await;
    assert_eq!(received.unwrap(), Some("well".into()));
}

/// E30, 2b 26: of a server that sends pings and does not read the pongs, the client reads on: the newest alone waits
/// to be answered, and is.
#[tokio::test(start_paused = true)]
async fn e30_pongs_unread() {
    const PINGS: usize = 40_000;
    let (mut socket, mut server) = connected(quiet());
    let payload = |number: usize| format!("{number:0125}").into_bytes();
    let flooding = async {
        for number in 0..PINGS {
            server.send(Frame::ping(payload(number))).await;
        }
        server.send(Frame::text("well")).await;
    };
    let (received, ()) = within(async { tokio::join!(socket.recv(), flooding) }).await;
    assert_eq!(received.unwrap(), Some("well".into()));
    let reading = async {
        let mut count = 1;
        while server.frame().await.unwrap().payload != payload(PINGS - 1) {
            count += 1;
        }
        count
    };
    let count = within(async {
        tokio::select! {
            other = socket.recv() => panic!("{other:?}"),
            count = reading => count,
        }
    });
    let count = count.await;
    assert!(count < PINGS / 2, "{count} pongs");
}

/// E31, BY-07: a server that stops reading shows in `send` after the write timeout.
#[tokio::test(start_paused = true)]
async fn e31_server_that_stops_reading() {
    let (mut socket, _server) = connected(quiet());
    let start = tokio::time::Instant::now();
    let error = loop {
        if let Err(error) = socket.send(vec![0; 100_000]).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Timeout(TimeoutKind::Write)), "{error:?}");
    assert!((10..=11).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(error.retryable());
}

/// E32, BY-08: a reset during the handshake, between messages and in one.
#[tokio::test]
async fn e32_resets() {
    for (answers, bytes) in [(false, vec![]), (true, vec![]), (true, vec![0x82, 100, 1, 2, 3])] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let (head, mut stream) = crate::support::server::read_head(stream).await;
            if answers {
                let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap();
                let accept = accept_key(&key.as_bytes()[..24]);
                let accept = std::str::from_utf8(&accept).unwrap();
                let answer = answer_with("", &[]).replace("ACCEPT", accept);
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                // The client is open now.
                stream.read_exact(&mut [0; 8]).await.unwrap();
            }
            stream.set_zero_linger().unwrap();
        };
        let connecting = async {
            let mut socket = connector().connect(&url).await?;
            socket.send("hi").await?;
            socket.recv().await
        };
        let (ended, ()) = within(async { tokio::join!(connecting, serving) }).await;
        let error = ended.unwrap_err();
        let is_reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(matches!(&error, Error::Io(error) if is_reset(error)), "{error:?}");
        assert!(error.retryable());
    }
}

/// E39, 2b 29: text that is not utf-8, in one frame, in fragments, and before its end.
#[tokio::test]
async fn e39_text_that_is_not_utf8() {
    let bad = Frame::new(Opcode::Text, b"a\xed\xa0\x80".to_vec());
    let cut = [fragment(Opcode::Text, b"\xe2\x82"), last(b"")];
    let early = [&announce(Opcode::Text, 60_000)[..], b"ok\xff"].concat();
    refused(1007, &[from_server(&[bad]), from_server(&cut), early]).await;
}

/// E40, 2c 40: close codes and reasons that may not be on the wire.
#[tokio::test]
async fn e40_close_codes() {
    let close = |body: &[u8]| from_server(&[Frame::new(Opcode::Close, body.to_vec())]);
    let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535_u16];
    refused(1002, &codes.map(|code| close(&code.to_be_bytes()))).await;
    refused(1002, &[close(&[3])]).await;
    refused(1007, &[close(b"\x03\xe8\xff")]).await;
}
