//! Attacks with compression, over raw sockets and on each face of a server, and by a hostile server: the
//! close code, the end of the connection, and a healthy client that notices nothing.

use flate2::FlushCompress;
use sockeye::deflate::{Deflate, DeflateAnswerError};
use sockeye::frame::{Frame, Opcode};
use sockeye::handshake::accept_key;
use sockeye::protocol::CloseCause;
use sockeye::{Acceptor, Config, Connector, Error, HandshakeError, Violation, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::support::deflate::{
    Deflating, compressed, compressed_in, config, deflated, json, noise, offering,
};
use crate::support::io::RawPeer;
use crate::support::pair::{fragment, last, to};
use crate::support::server::{FACES, Face, Site, lawful, request_with, small, within};

const LIMIT: usize = 64 * 1024;
const PLAIN: &str = "permessage-deflate; client_max_window_bits";

fn compressing(deflate: Deflate) -> Config {
    let mut config = small();
    config.deflate = deflate;
    config
}

fn modes() -> [Deflate; 2] {
    [Deflate::no_context(), Deflate::context_takeover()]
}

fn from_client(frames: &[Frame]) -> Vec<u8> {
    to(sockeye::Role::Server, frames)
}

fn one(payload: impl Into<Vec<u8>>) -> Vec<u8> {
    from_client(&[compressed(Opcode::Binary, payload)])
}

/// Writes each attack to a connection that compresses, and expects this code and then the end.
async fn refused(code: u16, attacks: &[(&str, Vec<u8>)]) {
    for deflate in modes() {
        for face in FACES {
            let mut site = Site::with(face, Acceptor::new(compressing(deflate))).await;
            for (name, bytes) in attacks {
                let mut peer = offering(&mut site, PLAIN).await;
                // It may be refused and closed before all is written.
                let _ = peer.stream.write_all(bytes).await;
                site.check().await;
                let came = within(peer.close_code()).await;
                assert_eq!(came, Some(code), "{face:?}: {name}");
                assert_eq!(within(peer.frame()).await, None, "{face:?}: {name}: nothing follows");
            }
            site.end().await;
        }
    }
}

/// Row 30: bombs of 1000:1, in a frame, in many fragments and over the limit by a byte.
#[tokio::test]
async fn row_30_bombs() {
    let bomb = deflated(&vec![0; 4 << 20]);
    assert!(bomb.len() * 1000 < 4 << 20);
    let cuts: Vec<usize> = (1..bomb.len() / 1024).map(|number| 1024 * number).collect();
    let mut nested = compressed_in(Opcode::Binary, &bomb, &cuts);
    nested.insert(1, Frame::ping("?"));
    nested.pop();
    let attacks = [
        ("in a frame", one(bomb.clone())),
        ("in fragments", from_client(&compressed_in(Opcode::Binary, &bomb, &cuts))),
        ("that never ends", from_client(&nested)),
        ("text", from_client(&[compressed(Opcode::Text, bomb.clone())])),
        ("a byte over", one(deflated(&vec![b'x'; LIMIT + 1]))),
        ("a byte over, noise", one(deflated(&noise(LIMIT + 1, 2)))),
        ("announced", {
            let mut bytes = one(vec![0; 2 * LIMIT]);
            bytes.truncate(100);
            bytes
        }),
    ];
    refused(1009, &attacks).await;
}

/// Row 30: what is within the limit is taken, to the byte.
#[tokio::test]
async fn row_30_limit_is_taken() {
    for deflate in modes() {
        for face in FACES {
            let mut site = Site::with(face, Acceptor::new(compressing(deflate))).await;
            let mut peer = offering(&mut site, PLAIN).await;
            for payload in [vec![b'x'; LIMIT], noise(LIMIT, 1), vec![]] {
                let sent = deflated(&payload);
                peer.send(compressed(Opcode::Binary, sent.clone())).await;
                let middle = sent.len() / 2;
                peer.write(&from_client(&compressed_in(Opcode::Binary, &sent, &[middle]))).await;
                for _ in 0..2 {
                    let mut echo = Vec::new();
                    let mut is_compressed = false;
                    loop {
                        let frame = within(peer.data()).await.unwrap();
                        is_compressed |= frame.rsv1;
                        echo.extend(frame.payload);
                        if frame.fin {
                            break;
                        }
                    }
                    if is_compressed {
                        echo = crate::support::deflate::Inflating::new(15).message(&echo).unwrap();
                    }
                    assert!(echo == payload, "{face:?}: {} bytes", echo.len());
                }
            }
            drop(peer);
            site.end().await;
        }
    }
}

/// Row 37: what is no DEFLATE data, was cut, or goes on behind its end.
#[tokio::test]
async fn row_37_damaged_messages() {
    let good = deflated(json(2000, 1).as_bytes());
    let stored = Deflating::new(0, 15).message(&noise(500, 1));
    let attacks = [
        ("nothing", one([])),
        (
            "nothing in fragments",
            from_client(&[Frame { rsv1: true, ..fragment(Opcode::Binary, b"") }, last(b"")]),
        ),
        ("noise", one([0xff; 50])),
        ("cut in the codes", one(&good[..10])),
        ("cut in a block", one(&good[..good.len() - 20])),
        ("cut in a stored block", one(&stored[..400])),
        ("garbage behind", one([&good[..], &[0xff; 10]].concat())),
        ("bad distance", one([0xf2, 0x00, 0x11, 0x00, 0x00])),
    ];
    refused(1007, &attacks).await;
}

/// Row 36, E07: RSV1 where it has no meaning, and the bits that have none.
#[tokio::test]
async fn row_36_reserved_bits() {
    let good = deflated(b"Hello");
    let mut begun = fragment(Opcode::Binary, &good[..3]);
    begun.rsv1 = true;
    let continued = Frame { rsv1: true, ..last(&good[3..]) };
    let attacks = [
        ("continuation", from_client(&[begun, continued.clone()])),
        ("continuation of a plain one", from_client(&[fragment(Opcode::Text, b"x"), continued])),
        ("ping", from_client(&[Frame { rsv1: true, ..Frame::ping("x") }])),
        ("pong", from_client(&[Frame { rsv1: true, ..Frame::pong("x") }])),
        ("close", from_client(&[Frame { rsv1: true, ..Frame::close(1000, "").unwrap() }])),
        ("RSV2", from_client(&[Frame { rsv2: true, ..Frame::text("x") }])),
        ("RSV3", from_client(&[Frame { rsv3: true, ..Frame::text("x") }])),
        ("RSV1 and 2", from_client(&[Frame { rsv2: true, ..compressed(Opcode::Text, good) }])),
    ];
    refused(1002, &attacks).await;
}

/// Row 29: text that is not utf-8 once it is inflated.
#[tokio::test]
async fn row_29_compressed_text() {
    let text = |bytes: &[u8]| from_client(&[compressed(Opcode::Text, deflated(bytes))]);
    let mut open = fragment(
        Opcode::Text,
        &Deflating::new(6, 15).flushed(b"\xc0\xaf and on", FlushCompress::Sync),
    );
    open.rsv1 = true;
    let attacks = [
        ("bad byte", text(b"ab\xff")),
        ("cut character", text(b"ab\xe2\x82")),
        ("surrogate", text(b"\xed\xa0\x80")),
        ("late", text(&[json(50_000, 1).as_bytes(), b"\x80"].concat())),
        ("in a message that goes on", from_client(&[open])),
    ];
    refused(1007, &attacks).await;
}

/// Row 31: a million blocks with nothing in them are one empty message; meanwhile others are served.
#[tokio::test]
async fn row_31_empty_blocks() {
    for block in [&[0, 0, 0, 0xff, 0xff][..], &[0x03, 0x00]] {
        for face in [Face::Handler, Face::Recv] {
            let mut config = config(Deflate::no_context());
            config.message_bytes_max = 16 << 20;
            let mut site = Site::with(face, Acceptor::new(config)).await;
            let mut peer = offering(&mut site, PLAIN).await;
            let mut payload = block.repeat(1_000_000);
            payload.push(0);
            let bytes = one(payload);
            for piece in bytes.chunks(512 * 1024) {
                peer.write(piece).await;
                site.check().await;
            }
            assert_eq!(within(peer.data()).await, Some(Frame::binary("")), "{face:?}");
            drop(peer);
            site.end().await;
        }
    }
}

/// Row 36: RSV1 on a connection that agreed to nothing, though the server compresses for others.
async fn goes_without(site: &mut Site, line: &str) {
    let line = format!("Sec-WebSocket-Extensions: {line}");
    let reply = site.request(&request_with("Sec-WebSocket-Extensions", &[&line])).await;
    assert_eq!(reply.header("Sec-WebSocket-Extensions"), None, "{line}");
    let mut peer = reply.into_peer();
    let words = "word ".repeat(100);
    peer.send(Frame::text(&words)).await;
    assert_eq!(within(peer.data()).await, Some(Frame::text(&words)), "{line}");
    peer.send(compressed(Opcode::Text, deflated(b"Hello"))).await;
    assert_eq!(within(peer.close_code()).await, Some(1002), "{line}");
}

/// Rows 34 and 35, E26: offers that break the rules are declined.
#[tokio::test]
async fn row_34_and_35_offers() {
    for face in FACES {
        let acceptor = Acceptor::new(compressing(Deflate::context_takeover()));
        let mut site = Site::with(face, acceptor).await;
        for params in [
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=08",
            "client_max_window_bits=010",
            "client_max_window_bits=\"16\"",
            "server_max_window_bits",
            "server_max_window_bits=8",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_no_context_takeover; client_no_context_takeover",
            "server_no_context_takeover=1",
            "mystery",
            "client_max_window_bits; mystery=1",
        ] {
            goes_without(&mut site, &format!("permessage-deflate; {params}")).await;
        }
        goes_without(&mut site, "x-webkit-deflate-frame").await;
        let mut peer = site.request(&lawful()).await.into_peer();
        peer.send(compressed(Opcode::Text, deflated(b"Hello"))).await;
        assert_eq!(within(peer.close_code()).await, Some(1002));
        site.end().await;
    }
}

/// Rows 34 and 35, HS-08: the first offer that will do counts.
#[tokio::test]
async fn row_34_preferences() {
    let acceptor = Acceptor::new(compressing(Deflate::context_takeover()));
    let mut site = Site::with(Face::Recv, acceptor).await;
    for (offers, answer) in [
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", ""),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "; server_max_window_bits=10",
        ),
        ("permessage-deflate; client_max_window_bits=8", "; client_max_window_bits=8"),
        ("permessage-deflate; client_max_window_bits=\"9\"", "; client_max_window_bits=9"),
        (
            "mystery, permessage-deflate; a=1, permessage-deflate; server_no_context_takeover",
            "; server_no_context_takeover",
        ),
    ] {
        let line = format!("Sec-WebSocket-Extensions: {offers}");
        let reply = site.request(&request_with("Sec-WebSocket-Extensions", &[&line])).await;
        let expected = format!("permessage-deflate{answer}");
        assert_eq!(reply.header("Sec-WebSocket-Extensions"), Some(expected.as_str()), "{offers}");
        let mut peer = reply.into_peer();
        peer.send(compressed(Opcode::Text, deflated(b"Hello"))).await;
        assert_eq!(within(peer.data()).await, Some(Frame::text("Hello")));
    }
    site.end().await;
}

/// A client whose server answers this, and the server's end.
async fn connect(
    deflate: Deflate,
    answer: &str,
) -> Result<(WebSocket<DuplexStream>, RawPeer<DuplexStream>), Error> {
    let (stream, mut server) = duplex(1 << 20);
    let serving = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = String::from_utf8(accept_key(key.unwrap().as_bytes()).to_vec()).unwrap();
        let extensions = match answer {
            "" => String::new(),
            _ => format!("Sec-WebSocket-Extensions: {answer}\r\n"),
        };
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
        );
        server.write_all(response.as_bytes()).await.unwrap();
        server
    };
    let mut config = compressing(deflate);
    config.message_bytes_max = LIMIT;
    let connector = Connector::new(config);
    let connecting = connector.connect_on("ws://localhost/ws", stream);
    let (socket, server) = within(async { tokio::join!(connecting, serving) }).await;
    Ok((socket?, RawPeer::server(server)))
}

/// Rows 34 and 35, E26: answers that break the rules end the handshake.
#[tokio::test]
async fn row_34_and_35_answers() {
    let keeps = Deflate::context_takeover();
    let small = keeps.window_bits(10).unwrap().peer_window_bits(12).unwrap();
    for (deflate, params, expected) in [
        (keeps, "; mystery", DeflateAnswerError::Unknown),
        (
            keeps,
            "; server_max_window_bits=7",
            DeflateAnswerError::Value { name: "server_max_window_bits" },
        ),
        (
            keeps,
            "; client_max_window_bits",
            DeflateAnswerError::Value { name: "client_max_window_bits" },
        ),
        (
            keeps,
            "; server_no_context_takeover; server_no_context_takeover",
            DeflateAnswerError::Repeated { name: "server_no_context_takeover" },
        ),
        (keeps, "; client_max_window_bits=8", DeflateAnswerError::WindowTooSmall),
        (Deflate::no_context(), "", DeflateAnswerError::ContextMissing),
        (small, "", DeflateAnswerError::WindowMissing { offered: 12 }),
    ] {
        let refused = connect(deflate, &format!("permessage-deflate{params}")).await.map(|_| ());
        let is_expected = matches!(
            &refused, Err(Error::Handshake(HandshakeError::Deflate(error))) if *error == expected
        );
        assert!(is_expected, "{params}: {refused:?}");
    }
    for (deflate, answer) in [
        (Deflate::disabled(), "permessage-deflate"),
        (keeps, "permessage-deflate, permessage-deflate"),
        (keeps, "mystery"),
        (keeps, "permessage-deflate, mystery"),
    ] {
        let refused = connect(deflate, answer).await.map(|_| ());
        assert!(matches!(refused, Err(Error::Handshake(_))), "{answer}: {refused:?}");
    }
    let refused = connect(Deflate::disabled(), "permessage-deflate").await.map(|_| ());
    let is_expected = matches!(refused, Err(Error::Handshake(HandshakeError::ExtensionNotOffered)));
    assert!(is_expected, "{refused:?}");
}

/// Rows 30, 33, 36, 37: what a hostile server sends, each to a client of its own.
#[tokio::test]
async fn hostile_servers() {
    let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let good = deflated(json(2000, 1).as_bytes());
    for (answer, frame, code) in [
        (answer, compressed(Opcode::Binary, deflated(&vec![0; 1 << 20])), 1009),
        (answer, compressed(Opcode::Binary, deflated(&vec![0; LIMIT + 1])), 1009),
        (answer, compressed(Opcode::Binary, &good[..12]), 1007),
        (answer, compressed(Opcode::Binary, []), 1007),
        (answer, compressed(Opcode::Text, deflated(b"\xff")), 1007),
        (answer, Frame { rsv1: true, ..Frame::ping("x") }, 1002),
        (answer, Frame { rsv2: true, ..Frame::text("x") }, 1002),
        ("", compressed(Opcode::Text, good.clone()), 1002),
    ] {
        let (mut socket, mut server) = connect(Deflate::no_context(), answer).await.unwrap();
        server.send(compressed(Opcode::Text, deflated(b"Hello"))).await;
        if !answer.is_empty() {
            assert_eq!(within(socket.recv()).await.unwrap(), Some("Hello".into()));
        }
        server.send(frame).await;
        let (error, came) = within(async {
            tokio::join!(socket.recv(), async {
                let code = server.close_code().await;
                drop(server);
                code
            })
        })
        .await;
        assert!(matches!(error, Err(Error::Violation(_))), "{code}: {error:?}");
        assert_eq!(came, Some(code));
        let cause = socket.outcome().unwrap().cause;
        assert_eq!(cause == CloseCause::Violation(Violation::InvalidDeflate), {
            code == 1007 && matches!(error, Err(Error::Violation(Violation::InvalidDeflate)))
        });
    }
}
