//! What a hostile server or proxy can make a client hold.
//!
//! One test, for the counters are those of the whole process: client, server and all.

mod support;

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use sockeye::client::{Proxies, Proxy, ProxyError};
use sockeye::frame::{Frame, FrameHeader, Opcode};
use sockeye::protocol::{Overflow, TimeoutKind};
use sockeye::{
    Config, Connector, Deflate, Error, HandshakeError, Message, Role, SendError, Violation,
    WebSocket,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use support::client::{LAWFUL, Net, read_head, with_accept};
use support::deflate::{compressed, compressed_in, deflated};
use support::io::RawPeer;
use support::pair::{fragment, quiet, to};
use support::server::within;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1024 * 1024;

/// What was allocated most, beyond what was there when it began.
struct Watch {
    region: Region<'static, System>,
    most: usize,
}

impl Watch {
    fn new() -> Self {
        Self { region: Region::new(ALLOCATOR), most: 0 }
    }

    fn look(&mut self) {
        let change = self.region.change();
        let held = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        self.most = self.most.max(held);
    }

    #[track_caller]
    fn end(mut self, mib: usize, what: &str) {
        self.look();
        println!("{what}: {} KiB at most", self.most / 1024);
        assert!(self.most <= mib * MIB, "{what}: {} bytes are held, {mib} MiB may be", self.most);
    }
}

/// A client behind its handshake, and its server by hand.
fn connected(config: Config) -> (WebSocket<DuplexStream>, RawPeer<DuplexStream>) {
    let (stream, server) = duplex(64 * 1024);
    let socket = WebSocket::from_stream(stream, Role::Client, &Arc::new(config));
    (socket, RawPeer::server(server))
}

/// The same with compression, whose contexts live for one message.
async fn compressing(config: Config) -> (WebSocket<DuplexStream>, RawPeer<DuplexStream>) {
    let (stream, mut server) = duplex(64 * 1024);
    let answer = LAWFUL.trim_end().to_owned()
        + "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
           client_no_context_takeover\r\n\r\n";
    let serving = async {
        let head = read_head(&mut server).await.unwrap();
        server.write_all(&with_accept(answer.as_bytes(), &head)).await.unwrap();
        RawPeer::server(server)
    };
    let connector = Connector::new(config).compression(Deflate::no_context());
    let (socket, server) = tokio::join!(connector.connect_on("ws://a.test/", stream), serving);
    (socket.unwrap(), server)
}

fn from_server(frames: &[Frame]) -> Vec<u8> {
    to(Role::Client, frames)
}

/// Writes one piece after another, up to so many bytes or the end of the client, which receives.
async fn flood(
    socket: &mut WebSocket<DuplexStream>,
    server: &mut RawPeer<DuplexStream>,
    piece: &[u8],
    bytes_max: usize,
    watch: &mut Watch,
) -> Result<Option<Message>, Error> {
    let flooding = async {
        let mut written = 0;
        while written < bytes_max && server.stream.write_all(piece).await.is_ok() {
            written += piece.len();
            watch.look();
        }
    };
    let receiving = async {
        let received = socket.recv().await;
        // What has failed is shut down, so that the flood ends.
        let _ = socket.recv().await;
        received
    };
    tokio::pin!(receiving);
    within(async {
        tokio::select! {
            received = &mut receiving => received,
            () = flooding => receiving.await,
        }
    })
    .await
}

/// E18, row 18: a hundred servers announce 16 MiB each and send a little.
async fn announced_lengths() {
    let mut watch = Watch::new();
    let mut ends = Vec::new();
    for _ in 0..100 {
        let (socket, mut server) = connected(quiet());
        let (_, mut receiver) = socket.split();
        let mut bytes = [0; FrameHeader::BYTES_MAX];
        let len = FrameHeader::new(Opcode::Binary, 16 * MIB as u64).encode(&mut bytes);
        server.write(&from_server(&[Frame::text("before")])).await;
        server.write(&[&bytes[..len], &[0; 100]].concat()).await;
        assert_eq!(within(receiver.recv()).await.unwrap(), Some("before".into()));
        ends.push((receiver, server));
        watch.look();
    }
    watch.end(16, "100 announced lengths");
}

/// E24, row 24: fragments without an end.
async fn floods_of_fragments() {
    for payload in [&b""[..], b"x"] {
        let (mut socket, mut server) = connected(quiet());
        server.write(&from_server(&[fragment(Opcode::Binary, b"")])).await;
        let piece = from_server(&vec![fragment(Opcode::Continuation, payload); 1000]);
        let mut watch = Watch::new();
        let received = flood(&mut socket, &mut server, &piece, 64 * MIB, &mut watch).await;
        assert_eq!(received.unwrap_err().close_code().map(u16::from), Some(1008));
        watch.end(4, "fragments");
    }
}

/// E25, row 30: bombs of 1 GiB, whole and in pieces, and a message that never ends, against a limit of 1 MiB.
async fn bombs() {
    let bomb = deflated(&vec![0; 64 * MIB]);
    assert!(bomb.len() < 128 * 1024);
    let cuts: Vec<_> = (1..bomb.len() / 1024).map(|number| 1024 * number).collect();
    let in_pieces = compressed_in(Opcode::Binary, &bomb, &cuts);
    let endless = in_pieces[..in_pieces.len() - 1].to_vec();
    for (what, frames) in [
        ("a bomb", vec![compressed(Opcode::Binary, bomb.clone())]),
        ("a bomb of text", vec![compressed(Opcode::Text, bomb.clone())]),
        ("a bomb in pieces", in_pieces),
        ("a bomb without an end", endless),
    ] {
        let mut config = quiet();
        config.message_bytes_max = MIB;
        let (mut socket, mut server) = compressing(config).await;
        let piece = from_server(&frames);
        let mut watch = Watch::new();
        let received = flood(&mut socket, &mut server, &piece, 1, &mut watch).await;
        assert!(
            matches!(received, Err(Error::Violation(Violation::MessageTooBig { .. }))),
            "{what}: {received:?}"
        );
        watch.end(4, what);
    }
}

/// E30, row 26: pings without end by a server that reads no pong.
async fn pings_unread() {
    let mut config = quiet();
    config.write_timeout = Duration::from_millis(300);
    let (mut socket, mut server) = connected(config);
    let piece = from_server(&vec![Frame::ping(vec![0; 125]); 500]);
    let mut watch = Watch::new();
    let received = flood(&mut socket, &mut server, &piece, 64 * MIB, &mut watch).await;
    assert!(matches!(received, Err(Error::Timeout(TimeoutKind::Write))), "{received:?}");
    watch.end(2, "pongs");
}

/// E31, row 27: a server that does not read, and a client that goes on sending by each policy.
async fn messages_unread() {
    let block = Overflow::Block { timeout: Duration::from_millis(50) };
    for overflow in [block, Overflow::DropNewest, Overflow::DropOldest, Overflow::Close] {
        let mut config = quiet();
        config.overflow = overflow;
        let (socket, _server) = connected(config);
        let (sender, _receiver) = socket.split();
        let mut watch = Watch::new();
        let mut refused = None;
        for _ in 0..200 {
            if let Err(error) = sender.send(vec![7; 100_000]).await {
                refused.get_or_insert(error);
                if matches!(overflow, Overflow::Block { .. } | Overflow::Close) {
                    break;
                }
            }
            watch.look();
        }
        let is_told = match (overflow, refused) {
            (Overflow::Block { .. }, Some(SendError::Timeout { timeout_ms: 50 })) => true,
            (Overflow::DropNewest, Some(SendError::Full { .. })) => sender.dropped() > 100,
            (Overflow::DropOldest, None) => sender.dropped() > 100,
            (Overflow::Close, Some(SendError::Full { .. })) => sender.is_closed(),
            _ => false,
        };
        assert!(is_told, "{overflow:?}: {refused:?}, {} dropped", sender.dropped());
        watch.end(3, &format!("{overflow:?}"));
    }
}

/// A peer that says this to a request and then goes on for ever with the piece; what comes of it.
async fn endless_answer(
    connector: Connector,
    net: Net,
    first: &str,
    piece: &[u8],
    what: &str,
) -> Error {
    let mut watch = Watch::new();
    let serving = async {
        let mut stream = net.accept().await;
        read_head(&mut stream).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut written = 0;
        while written < 1024 * MIB && stream.write_all(piece).await.is_ok() {
            written += piece.len();
            watch.look();
        }
        assert!(written < MIB, "{what}: {written} bytes went");
    };
    let connecting = connector.connect("ws://9.9.9.9/");
    let (result, ()) = within(async { tokio::join!(connecting, serving) }).await;
    watch.end(1, what);
    result.unwrap_err()
}

/// E02, E04, E09, E15, row 15: heads and bodies of 1 GiB, of servers and of proxies.
async fn endless_answers() {
    let through = |net: &Net| {
        let proxy = Proxy::parse("http://8.8.8.8").unwrap();
        net.connector().proxies(Proxies::all(proxy))
    };
    let ok = "HTTP/1.1 101 Switching Protocols\r\n";
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
    for (what, first, piece) in [
        ("a long line", "HTTP/1.1 101 ".to_owned(), "x".repeat(1000)),
        ("a long header", format!("{ok}X: "), "x".repeat(1000)),
        ("many headers", ok.to_owned(), "a: b\r\n".repeat(100)),
        ("many interim answers", String::new(), interim),
    ] {
        for is_proxy in [false, true] {
            let net = Net::silent();
            let connector = if is_proxy { through(&net) } else { net.connector() };
            let error = endless_answer(connector, net, &first, piece.as_bytes(), what).await;
            let is_expected = match &error {
                Error::Handshake(error) | Error::Proxy(ProxyError::Head(error)) => matches!(
                    error,
                    HandshakeError::StartLineTooLong { .. }
                        | HandshakeError::HeaderLineTooLong { .. }
                        | HandshakeError::TooManyHeaders { .. }
                        | HandshakeError::HeadTooLong { .. }
                        | HandshakeError::TooManyInterim { .. }
                ),
                _ => false,
            };
            assert!(is_expected, "{what}: {error:?}");
        }
    }
    for framing in ["Content-Length: 1073741824", "Transfer-Encoding: chunked", "X: y"] {
        let net = Net::silent();
        let first = format!("HTTP/1.1 401 Unauthorized\r\n{framing}\r\n\r\n3fffffff\r\n");
        let error = endless_answer(net.connector(), net, &first, &[b'x'; 1000], framing).await;
        let Error::Handshake(HandshakeError::UnexpectedStatus(refused)) = error else {
            panic!("{framing}: {error:?}");
        };
        assert_eq!(refused.body().len(), 8 * 1024, "{framing}");
    }
}

/// E02, E04, E09, E15, E18, E24, E25, E30, E31.
#[tokio::test]
async fn memory_of_a_client_under_attack() {
    announced_lengths().await;
    floods_of_fragments().await;
    bombs().await;
    pings_unread().await;
    messages_unread().await;
    endless_answers().await;
}
