//! Attacks on the end of a connection, over raw sockets or what behaves like one, and on each face of a
//! server.

use std::sync::Arc;
use std::time::Duration;

use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::{CloseCause, Initiator, TimeoutKind};
use sockeye::{Acceptor, NetStream, Role, Server, WebSocket};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::io::{RawPeer, Resetting};
use crate::support::pair::{fragment, last, to};
use crate::support::server::{FACES, Face, Site, lawful, refused, request_with, small, within};

fn from_client(frames: &[Frame]) -> Vec<u8> {
    to(Role::Server, frames)
}

/// A close frame with any body.
fn close_with(body: &[u8]) -> Frame {
    Frame::new(Opcode::Close, body.to_vec())
}

fn close(code: u16) -> Frame {
    close_with(&code.to_be_bytes())
}

/// 2c 40, CC-05, CC-06, CC-14: codes that may not be on the wire.
#[tokio::test]
async fn row_40_illegal_codes() {
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 0x7fff, 0xffff];
    let attacks = codes.map(|code| ("code", from_client(&[close(code)])));
    refused(&small(), 1002, &attacks).await;
}

/// 2c 40: bodies of one byte, and reasons that are not utf-8.
#[tokio::test]
async fn row_40_illegal_bodies() {
    let attacks = [("one byte", from_client(&[close_with(&[3])]))];
    refused(&small(), 1002, &attacks).await;
    let reasons: [(&str, &[u8]); 3] = [
        ("bad", b"\x03\xe8\xff"),
        ("cut", b"\x03\xe8ab\xe2\x82"),
        ("surrogate", b"\x03\xe8\xed\xa0\x80"),
    ];
    let attacks = reasons.map(|(name, body)| (name, from_client(&[close_with(body)])));
    refused(&small(), 1007, &attacks).await;
}

/// 2c 40, CC-01..CC-13: lawful codes come back, 1014 and private ones, too; no code gets none.
#[tokio::test]
async fn row_40_lawful_codes() {
    let codes: [u16; 16] = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ];
    for face in FACES {
        let mut site = Site::start(face).await;
        for code in codes {
            let mut peer = site.peer().await;
            let mut body = code.to_be_bytes().to_vec();
            body.extend([b'a'; 123]);
            peer.send(close_with(&body)).await;
            assert_eq!(within(peer.frame()).await, Some(close(code)), "{face:?}");
            assert_eq!(within(peer.frame()).await, None);
            let outcome = within(site.outcomes.recv()).await.unwrap();
            assert_eq!((outcome.code.as_u16(), outcome.clean), (code, true));
            assert_eq!(outcome.initiator, Initiator::Peer);
            assert_eq!(outcome.reason.len(), 123);
        }
        let mut peer = site.peer().await;
        peer.send(close_with(b"")).await;
        assert_eq!(within(peer.frame()).await, Some(close_with(b"")), "{face:?}");
        assert_eq!(within(peer.frame()).await, None);
        site.end().await;
    }
}

/// Sends these frames, in one piece or each on its own; what comes back up to the end.
async fn answers(site: &mut Site, frames: &[Frame], in_one: bool) -> Vec<Frame> {
    let mut peer = site.peer().await;
    peer.stream.set_nodelay(true).unwrap();
    if in_one {
        peer.write(&from_client(frames)).await;
    } else {
        for frame in frames {
            // The server may be gone already.
            let _ = peer.stream.write_all(&from_client(std::slice::from_ref(frame))).await;
            tokio::task::yield_now().await;
        }
    }
    site.check().await;
    let mut came = Vec::new();
    while let Some(frame) = within(peer.frame()).await {
        came.push(frame);
    }
    came
}

/// 2c 41: one close frame answers, whatever follows: data, pings, a second close, a violation.
#[tokio::test]
async fn row_41_frames_behind_the_close() {
    let behind = [
        vec![Frame::text("late")],
        vec![Frame::ping("late")],
        vec![close(1001)],
        vec![close(1000), close(1000)],
        vec![fragment(Opcode::Text, b"a")],
        vec![last(b"stray")],
        vec![Frame::binary(vec![0; 60_000]), close(999)],
        vec![Frame::text("late"); 1000],
    ];
    for face in FACES {
        let mut site = Site::start(face).await;
        for late in &behind {
            let frames = [&[close(1000)], &late[..]].concat();
            for in_one in [true, false] {
                assert_eq!(answers(&mut site, &frames, in_one).await, [close(1000)], "{face:?}");
            }
        }
        site.end().await;
    }
}

/// 2c 41, RFC 6455 5.5: a close between the fragments of a message is lawful.
#[tokio::test]
async fn row_41_close_inside_a_message() {
    for face in FACES {
        let mut site = Site::start(face).await;
        let frames = [fragment(Opcode::Text, b"half"), close(1000), last(b"late")];
        for in_one in [true, false] {
            assert_eq!(answers(&mut site, &frames, in_one).await, [close(1000)], "{face:?}");
        }
        site.end().await;
    }
}

/// 2c 41: the echoes of what came before the close go out before its answer, where the face answers
/// as it reads.
#[tokio::test]
async fn row_41_close_behind_messages() {
    let mut site = Site::start(Face::Handler).await;
    let mut frames = vec![Frame::text("a"), Frame::binary(vec![1; 30_000]), Frame::text("b")];
    frames.push(close(1000));
    for in_one in [true, false] {
        assert_eq!(answers(&mut site, &frames, in_one).await, frames);
    }
    site.end().await;
}

/// A server that closes each connection as soon as it is open, by a face of its own.
async fn closing_server(face: Face, close_timeout: Duration) -> (Server, ClosingTask) {
    let mut config = small();
    config.close_timeout = close_timeout;
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    (server.acceptor(Acceptor::new(config)), ClosingTask { face })
}

#[derive(Clone, Copy)]
struct ClosingTask {
    face: Face,
}

impl ClosingTask {
    async fn close(self, mut socket: WebSocket<NetStream>) -> sockeye::CloseOutcome {
        match self.face {
            Face::Recv => socket.close(4000, "enough").await.unwrap(),
            Face::Split => socket.split().1.close(4000, "enough").await.unwrap(),
            Face::Handler => {
                let sender = socket.sender();
                sender.close(4000, "enough").unwrap();
                socket.run(crate::support::server::Deaf).await
            }
        }
    }
}

/// Connects a raw client to such a server; the outcome comes when the server's side is over.
async fn closed_by(
    face: Face,
    close_timeout: Duration,
) -> (RawPeer<TcpStream>, JoinHandle<sockeye::CloseOutcome>) {
    let (server, task) = closing_server(face, close_timeout).await;
    let mut stream = TcpStream::connect(server.local_addr().unwrap()).await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let serving = tokio::spawn(server.serve(move |socket, _| {
        let tell = tell.clone();
        async move { tell.send(task.close(socket).await) }
    }));
    stream.write_all(&lawful()).await.unwrap();
    let (head, stream) = crate::support::server::read_head(stream).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let outcome = tokio::spawn(async move {
        let outcome = told.recv().await.unwrap();
        serving.abort();
        outcome
    });
    (RawPeer::client(stream), outcome)
}

/// 2c 42, BY-07: a client that does not answer our close frame is dropped after the close timeout.
#[tokio::test]
async fn row_42_client_that_does_not_answer() {
    for face in FACES {
        let (mut peer, outcome) = closed_by(face, Duration::from_millis(100)).await;
        assert_eq!(within(peer.close_code()).await, Some(4000), "{face:?}");
        assert_eq!(within(peer.frame()).await, None, "{face:?}");
        let outcome = within(outcome).await.unwrap();
        assert_eq!(outcome.cause, CloseCause::Timeout(TimeoutKind::Close), "{face:?}");
        assert_eq!((outcome.code.as_u16(), outcome.clean), (4000, false), "{face:?}");
    }
}

/// 2c 42: nor does a client that goes on sending pings and data keep it open.
#[tokio::test]
async fn row_42_client_that_goes_on_talking() {
    for face in FACES {
        let (mut peer, outcome) = closed_by(face, Duration::from_millis(100)).await;
        assert_eq!(within(peer.close_code()).await, Some(4000), "{face:?}");
        let chatter = from_client(&[Frame::ping("?"), Frame::text("and another thing")]);
        let talking = async {
            while peer.stream.write_all(&chatter).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        within(talking).await;
        let outcome = within(outcome).await.unwrap();
        assert_eq!(outcome.cause, CloseCause::Timeout(TimeoutKind::Close), "{face:?}");
    }
}

/// 2c 42, RFC 6455 7.1.1: the server closes TCP first and at once, though the client stays.
#[tokio::test]
async fn row_42_server_closes_tcp_first() {
    for face in FACES {
        let (mut peer, outcome) = closed_by(face, Duration::from_secs(3600)).await;
        assert_eq!(within(peer.close_code()).await, Some(4000), "{face:?}");
        peer.send(close(4000)).await;
        assert_eq!(within(peer.frame()).await, None, "{face:?}");
        let outcome = within(outcome).await.unwrap();
        assert!(outcome.clean, "{face:?}: {outcome:?}");
        assert_eq!(outcome.initiator, Initiator::Local);
    }
}

/// What a client leaves unfinished before it vanishes.
fn beginnings() -> [Vec<u8>; 5] {
    let mut cut = from_client(&[Frame::text("hello")]);
    cut.truncate(9);
    [
        vec![],
        vec![0x82],
        vec![0x82, 0xff, 0, 0, 0],
        cut,
        from_client(&[fragment(Opcode::Binary, &[0; 1000])]),
    ]
}

/// 2c 43: a client that ends its half ends the connection, wherever it stands in a frame.
#[tokio::test]
async fn row_43_half_close() {
    for face in FACES {
        let mut site = Site::start(face).await;
        for bytes in beginnings() {
            let mut peer = site.peer().await;
            peer.write(&bytes).await;
            peer.stream.shutdown().await.unwrap();
            site.check().await;
            assert_eq!(within(peer.frame()).await, None, "{face:?}");
            let outcome = within(site.outcomes.recv()).await.unwrap();
            assert_eq!(outcome.cause, CloseCause::Eof, "{face:?}");
            assert_eq!((outcome.code.as_u16(), outcome.clean), (1006, false));
        }
        site.end().await;
    }
}

/// 2c 43, BY-08: so does one that resets the connection.
#[tokio::test]
async fn row_43_reset() {
    for face in FACES {
        let mut site = Site::start(face).await;
        for bytes in beginnings() {
            let mut peer = site.peer().await;
            peer.write(&bytes).await;
            peer.stream.set_zero_linger().unwrap();
            drop(peer);
            site.check().await;
            let outcome = within(site.outcomes.recv()).await.unwrap();
            assert!(matches!(outcome.cause, CloseCause::Io(_)), "{face:?}: {outcome:?}");
            assert_eq!((outcome.code.as_u16(), outcome.clean), (1006, false));
        }
        site.end().await;
    }
}

/// 2c 43: a reset before, inside and behind the handshake leaves nothing behind.
#[tokio::test]
async fn row_43_reset_in_the_handshake() {
    let mut site = Site::start(Face::Handler).await;
    for cut in [0, 1, 40, lawful().len()] {
        let mut stream = site.raw().await;
        stream.write_all(&lawful()[..cut]).await.unwrap();
        stream.set_zero_linger().unwrap();
        drop(stream);
        site.check().await;
    }
    site.end().await;
}

/// 2c 44: the close frame arrives though the client is in the middle of sending, by the handshake's
/// bounds and more.
#[tokio::test]
async fn row_44_close_frame_before_the_reset() {
    let header = vec![0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4];
    let sizes = [0, 1000, 60_000, 300_000];
    let attacks = sizes.map(|size| ("pending", [header.clone(), vec![0x55; size]].concat()));
    refused(&small(), 1009, &attacks).await;
}

/// A binary frame of 4 GiB begins.
const TOO_LONG: [u8; 14] = [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];

/// A server's end that runs by this face until it is over; the stream is closed with it.
fn serve(face: Face, stream: Resetting) -> JoinHandle<()> {
    let mut socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(small()));
    tokio::spawn(async move {
        match face {
            Face::Handler => drop(socket.run(crate::support::server::Deaf).await),
            Face::Recv => while let Ok(Some(_)) = socket.recv().await {},
            Face::Split => {
                let (_sender, mut receiver) = socket.split();
                while let Ok(Some(_)) = receiver.recv().await {}
            }
        }
    })
}

/// 2c 44: what the client is still sending when our close frame leaves does not destroy it: neither what
/// has come and is unread, nor what comes a moment later.
#[tokio::test(start_paused = true)]
async fn row_44_close_frame_survives_unread_input() {
    let moment = Duration::from_millis(300);
    for face in FACES {
        for sizes in [[30_000, 0], [0, 30_000], [20_000, 20_000]] {
            let (stream, peer) = Resetting::pair();
            let serving = serve(face, stream);
            peer.send(&TOO_LONG);
            for size in sizes {
                peer.send(&vec![0x55; size]);
                tokio::time::sleep(moment).await;
            }
            let came = Frame::decode(&peer.read()).expect("a lawful frame");
            let (frame, _) = came.unwrap_or_else(|| panic!("{face:?}, {sizes:?}: destroyed"));
            assert_eq!(frame.opcode, Opcode::Close, "{face:?}");
            assert_eq!(frame.payload[..2], 1009_u16.to_be_bytes(), "{face:?}");
            assert!(!peer.is_closed(), "{face:?}: it waits for the client's end");
            peer.end();
            tokio::time::sleep(moment).await;
            assert!(peer.is_closed(), "{face:?}: the client's end was the end");
            serving.await.unwrap();
        }
    }
}

/// 2a 14: nor is the answer to a refused request destroyed by what the client sends behind it.
#[tokio::test(start_paused = true)]
async fn row_14_answer_survives_unread_input() {
    let moment = Duration::from_millis(300);
    for sizes in [[30_000, 0], [0, 30_000], [20_000, 20_000]] {
        let (stream, peer) = Resetting::pair();
        let accepting =
            tokio::spawn(async move { Acceptor::default().accept(stream, None).await.is_err() });
        peer.send(&request_with("Sec-WebSocket-Key", &[]));
        for size in sizes {
            peer.send(&vec![0x81; size]);
            tokio::time::sleep(moment).await;
        }
        let answer = peer.read();
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{sizes:?}: destroyed");
        assert!(!peer.is_closed(), "it waits for the client's end");
        peer.end();
        assert!(accepting.await.unwrap(), "it was refused");
    }
}

/// 2c 44: a client that sees our close frame and does not end has a second, or 64 KiB.
#[tokio::test(start_paused = true)]
async fn row_44_unread_input_is_bounded() {
    for face in FACES {
        let (stream, silent) = Resetting::pair();
        let serving = serve(face, stream);
        silent.send(&TOO_LONG);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(!silent.is_closed(), "{face:?}: not yet a second");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(silent.is_closed(), "{face:?}: still there");
        serving.await.unwrap();

        let (stream, flood) = Resetting::pair();
        let serving = serve(face, stream);
        flood.send(&[&TOO_LONG[..], &vec![0x55; 200_000]].concat());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(flood.is_closed(), "{face:?}: still there");
        let read = 200_000 - flood.unread();
        assert!((64 * 1024..70_000).contains(&read), "{face:?}: {read} bytes were read");
        serving.await.unwrap();
    }
}

/// 2c 48, CN-19: a handler that panics a thousand times ends a thousand connections, with 1011.
#[tokio::test]
async fn row_48_panicking_handler() {
    let mut site = Site::start(Face::Handler).await;
    for _ in 0..1000 {
        let mut peer = site.peer().await;
        peer.send(Frame::text("panic")).await;
        assert_eq!(within(peer.close_code()).await, Some(1011));
        assert_eq!(within(peer.frame()).await, None);
    }
    site.end().await;
}
