//! MS-07: one outgoing message, written as it comes.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use sockeye::deflate::Inflater;
use sockeye::frame::{Frame, Opcode};
use sockeye::outbox::Run;
use sockeye::protocol::{CloseCause, Overflow};
use sockeye::{
    Message, MessageKind, MessageWriter, PreparedMessage, Role, SendError, Sender, WebSocket,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use crate::support::io::RawPeer;
use crate::support::pair::{fragment, last, quiet};
use crate::support::server::within;
use sockeye::testing::{Pair, TestStream};

use crate::support::streams::{Ignore, MODES, Mode, Wakes, noise, quiet_with, tcp_pair};

async fn write_in<W: AsyncWrite + Unpin>(writer: &mut W, payload: &[u8], len: usize) {
    for piece in payload.chunks(len) {
        writer.write_all(piece).await.unwrap();
    }
}

/// A server's sender, driven by a task of its own, and a client by hand.
fn driven_on<S>(stream: S, peer: S, config: sockeye::Config) -> (Sender, RawPeer<S>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let sender = socket.sender();
    tokio::spawn(socket.run(Ignore));
    (sender, RawPeer::client(peer))
}

fn driven(config: sockeye::Config) -> (Sender, RawPeer<DuplexStream>) {
    let (stream, peer) = duplex(256 * 1024);
    driven_on(stream, peer, config)
}

fn payloads() -> Vec<(MessageKind, Vec<u8>)> {
    vec![
        (MessageKind::Text, vec![]),
        (MessageKind::Binary, vec![]),
        (MessageKind::Text, "é🐟".repeat(1000).into_bytes()),
        (MessageKind::Binary, noise(65_536)),
        (MessageKind::Binary, noise(65_537)),
        (MessageKind::Binary, vec![7; 400_000]),
        (MessageKind::Binary, noise(300_000)),
    ]
}

/// Writes all payloads, each followed by a message that is sent whole.
async fn send_all(mut socket: WebSocket<TestStream>, by_sender: bool, len: usize) {
    if !by_sender {
        for (kind, payload) in payloads() {
            let mut writer = socket.send_stream(kind).unwrap();
            write_in(&mut writer, &payload, len).await;
            writer.shutdown().await.unwrap();
            drop(writer);
            socket.send("behind it, behind it, behind it").await.unwrap();
        }
        socket.close(1000, "").await.unwrap();
        return;
    }
    let (sender, receiver) = socket.split();
    for (kind, payload) in payloads() {
        let mut writer = sender.send_stream(kind).await.unwrap();
        write_in(&mut writer, &payload, len).await;
        writer.shutdown().await.unwrap();
        drop(writer);
        sender.send("behind it, behind it, behind it").await.unwrap();
    }
    receiver.close(1000, "").await.unwrap();
}

/// MS-07: whatever the sizes of the writes, the face, the end and the compression: one message each,
/// and whole messages in their place.
#[tokio::test(start_paused = true)]
async fn writes_of_any_size_are_one_message() {
    for mode in MODES {
        for (len, by_sender) in [(7, false), (777, true), (70_000, false), (1_000_000, true)] {
            for is_client in [false, true] {
                let (client, server) = Pair::new()
                    .config(quiet())
                    .deflate(mode.deflate())
                    .capacity(10_000)
                    .connect()
                    .await;
                let (ours, mut theirs) =
                    if is_client { (client, server) } else { (server, client) };
                let sending = tokio::spawn(send_all(ours, by_sender, len));
                for (kind, payload) in payloads() {
                    let message = within(theirs.recv()).await.unwrap().expect("a message");
                    assert_eq!(message.as_text().is_some(), kind == MessageKind::Text);
                    assert!(message.as_bytes() == payload, "{mode:?}, {len}, {by_sender}");
                    let next = within(theirs.recv()).await.unwrap();
                    assert_eq!(next, Some("behind it, behind it, behind it".into()));
                }
                assert_eq!(within(theirs.recv()).await.unwrap(), None);
                within(sending).await.unwrap();
            }
        }
    }
}

/// MS-07: a flush sends what there is, in one fragment; nothing is sent before it, nothing by an empty
/// one, and the last fragment may be empty.
#[tokio::test(start_paused = true)]
async fn flush_sends_what_there_is() {
    let (sender, mut peer) = driven(quiet());
    let mut writer = sender.send_stream(MessageKind::Text).await.unwrap();
    within(writer.flush()).await.unwrap();
    writer.write_all(b"on").await.unwrap();
    writer.write_all("é".as_bytes().split_at(1).0).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_secs(1), peer.frame()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    within(writer.flush()).await.unwrap();
    assert_eq!(within(peer.frame()).await, Some(fragment(Opcode::Text, b"on\xc3")));
    within(writer.flush()).await.unwrap();
    writer.write_all(&"é".as_bytes()[1..]).await.unwrap();
    within(writer.flush()).await.unwrap();
    within(writer.shutdown()).await.unwrap();
    within(writer.shutdown()).await.unwrap();
    let error = writer.write(b"late").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(within(peer.frame()).await, Some(fragment(Opcode::Continuation, b"\xa9")));
    assert_eq!(within(peer.frame()).await, Some(last(b"")));
    drop(writer);
    sender.send("next").await.unwrap();
    assert_eq!(within(peer.frame()).await, Some(Frame::text("next")));
}

/// MS-07, RFC 7692 6.1: the first fragment alone says that it is compressed; what was flushed can be
/// inflated; `uncompressed` goes out as it is.
#[tokio::test(start_paused = true)]
async fn flushed_compression_can_be_read() {
    for mode in [Mode::Alone, Mode::Takeover] {
        let (stream, peer) = duplex(256 * 1024);
        let socket = mode.server(stream, quiet());
        let mut peer = RawPeer::client(peer);
        let (sender, _receiver) = socket.split();
        let mut inflater = Inflater::new(15);
        let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
        for round in 0..4_usize {
            let payload = noise(100 + round);
            writer.write_all(&payload).await.unwrap();
            within(writer.flush()).await.unwrap();
            let frame = within(peer.frame()).await.unwrap();
            assert_eq!((frame.rsv1, frame.fin), (round == 0, false));
            let mut out = Vec::new();
            inflater.push(&frame.payload, &mut out, 1000).unwrap();
            assert_eq!(out, payload, "{mode:?}");
        }
        within(writer.shutdown()).await.unwrap();
        let end = within(peer.frame()).await.unwrap();
        assert!(end.fin && !end.rsv1);
        let mut out = Vec::new();
        inflater.push(&end.payload, &mut out, 1000).unwrap();
        inflater.finish().unwrap();
        assert_eq!(out, b"");

        let mut writer = sender.send_stream(MessageKind::Text).await.unwrap().uncompressed();
        writer.write_all(&[b'x'; 500]).await.unwrap();
        within(writer.shutdown()).await.unwrap();
        assert_eq!(within(peer.frame()).await, Some(Frame::text(&"x".repeat(500))));
    }
}

/// MS-07: text that is not utf-8 is refused where it is written, or where it ends; the peer sees none
/// of it, or 1011.
#[tokio::test(start_paused = true)]
async fn text_is_checked() {
    for (pieces, is_sent) in [
        (&[&b"\xff"[..]][..], false),
        (&[b"a", b"\xc3", b"("], false),
        (&[b"cut\xf0\x9f"], false),
        (&[b"sent", b"", b"\xff"], true),
    ] {
        let (sender, mut peer) = driven(quiet());
        let mut writer = sender.send_stream(MessageKind::Text).await.unwrap();
        let mut failed = None;
        for piece in pieces {
            if piece.is_empty() {
                within(writer.flush()).await.unwrap();
            }
            failed = failed.or(writer.write_all(piece).await.err());
        }
        let failed = failed.unwrap_or(within(writer.shutdown()).await.unwrap_err_or_late());
        assert_eq!(failed.kind(), ErrorKind::InvalidData, "{pieces:?}");
        assert!(within(writer.shutdown()).await.is_err());
        drop(writer);
        if is_sent {
            assert_eq!(within(peer.frame()).await, Some(fragment(Opcode::Text, b"sent")));
            assert_eq!(within(peer.close_code()).await, Some(1011));
        } else {
            sender.send("next").await.unwrap();
            assert_eq!(within(peer.frame()).await, Some(Frame::text("next")), "{pieces:?}");
        }
    }
}

trait OrLate {
    fn unwrap_err_or_late(self) -> std::io::Error;
}

impl OrLate for std::io::Result<()> {
    /// The error, or another one than is wanted.
    fn unwrap_err_or_late(self) -> std::io::Error {
        self.err().unwrap_or_else(|| std::io::Error::other("it was taken"))
    }
}

/// MS-07, BY-07: between the fragments the peer's pings are answered, and ours are sent.
#[tokio::test(start_paused = true)]
async fn pings_and_pongs_pass_between_fragments() {
    let (sender, mut peer) =
        driven(quiet_with(|config| config.ping_interval = Some(Duration::from_secs(30))));
    let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
    for round in 0..5_u8 {
        writer.write_all(&[round; 10]).await.unwrap();
        within(writer.flush()).await.unwrap();
        let opcode = if round == 0 { Opcode::Binary } else { Opcode::Continuation };
        assert_eq!(within(peer.frame()).await, Some(fragment(opcode, &[round; 10])));
        peer.send(Frame::ping("there?")).await;
        assert_eq!(within(peer.frame()).await, Some(Frame::pong("there?")));
        // The keepalive goes on, though the writer has nothing to say.
        let ping = tokio::time::timeout(Duration::from_secs(40), peer.frame()).await;
        let ping = ping.expect("a ping").expect("open");
        assert_eq!(ping.opcode, Opcode::Ping);
        peer.send(Frame::pong(ping.payload)).await;
    }
    within(writer.shutdown()).await.unwrap();
    assert_eq!(within(peer.frame()).await, Some(last(b"")));
}

/// MS-07, BY-02: what others send while a message is being written comes behind it, in order; so does
/// a broadcast and another stream.
#[tokio::test]
async fn others_come_behind() {
    let (stream, peer) = duplex(256 * 1024);
    let (sender, peer) = driven_on(stream, peer, quiet());
    come_behind(sender, peer).await;
    let (stream, peer) = tcp_pair().await;
    let (sender, peer) = driven_on(stream, peer, quiet());
    come_behind(sender, peer).await;
}

async fn come_behind<S: AsyncRead + AsyncWrite + Unpin>(sender: Sender, mut peer: RawPeer<S>) {
    let mut first = sender.send_stream(MessageKind::Binary).await.unwrap();
    first.write_all(b"1").await.unwrap();
    first.flush().await.unwrap();
    sender.send("2").await.unwrap();
    sender.feed("3").unwrap();
    let mut second = sender.send_stream(MessageKind::Text).await.unwrap();
    let writing = tokio::spawn(async move {
        second.write_all(b"4").await.unwrap();
        second.flush().await.unwrap();
        second.write_all(b"4").await.unwrap();
        second.shutdown().await.unwrap();
    });
    sender.try_send_prepared(&PreparedMessage::new("5")).unwrap();
    tokio::task::yield_now().await;
    let mut run = Run::default();
    run.push(PreparedMessage::new("6"));
    sender.try_send_run(&run).unwrap();
    assert_eq!(within(peer.frame()).await, Some(fragment(Opcode::Binary, b"1")));
    peer.send(Frame::ping("")).await;
    assert_eq!(within(peer.frame()).await, Some(Frame::pong("")));
    assert_eq!(sender.queued().0, 6);
    first.write_all(b"1").await.unwrap();
    first.shutdown().await.unwrap();
    let expected = [
        last(b"1"),
        Frame::text("2"),
        Frame::text("3"),
        fragment(Opcode::Text, b"4"),
        last(b"4"),
        Frame::text("5"),
        Frame::text("6"),
    ];
    for frame in expected {
        assert_eq!(within(peer.frame()).await, Some(frame));
    }
    within(writing).await.unwrap();
}

/// MS-07: several messages that are written at a time take turns, in the order in which they began.
#[tokio::test]
async fn streams_take_turns() {
    let (ours, theirs) = tcp_pair().await;
    take_turns(driven_on(ours, theirs, quiet())).await;
    take_turns(driven(quiet())).await;
}

async fn take_turns<S: AsyncRead + AsyncWrite + Unpin>(ends: (Sender, RawPeer<S>)) {
    let (sender, mut peer) = ends;
    let mut first = sender.send_stream(MessageKind::Text).await.unwrap();
    first.write_all(b"0").await.unwrap();
    first.flush().await.unwrap();
    let mut writing = Vec::new();
    for number in 1..5 {
        let mut writer = sender.send_stream(MessageKind::Text).await.unwrap();
        writing.push(tokio::spawn(async move {
            writer.write_all(number.to_string().as_bytes()).await.unwrap();
            writer.flush().await.unwrap();
            writer.shutdown().await.unwrap();
        }));
        tokio::task::yield_now().await;
    }
    first.shutdown().await.unwrap();
    for number in 0..5 {
        let expected = [fragment(Opcode::Text, number.to_string().as_bytes()), last(b"")];
        for frame in expected {
            assert_eq!(within(peer.frame()).await, Some(frame));
        }
    }
    for writing in writing {
        within(writing).await.unwrap();
    }
}

/// MS-07, CN-05: who waits for room behind a message that is being written has it when the message
/// ends.
#[tokio::test]
async fn blocked_senders_go_on_behind_it() {
    let config = quiet_with(|config| {
        config.outbox_messages_max = 2;
        config.overflow = Overflow::Block { timeout: Duration::from_secs(3600) };
    });
    let (stream, peer) = tcp_pair().await;
    let (sender, mut peer) = driven_on(stream, peer, config);
    let mut writer = sender.send_stream(MessageKind::Text).await.unwrap();
    writer.write_all(b"1").await.unwrap();
    writer.flush().await.unwrap();
    sender.send("2").await.unwrap();
    let full = sender.try_send("too much");
    assert!(matches!(full, Err(SendError::Full { messages: 2, .. })), "{full:?}");
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send("3").await })
        })
        .collect();
    let another = sender.clone();
    let streaming = tokio::spawn(async move {
        let mut writer = another.send_stream(MessageKind::Binary).await.unwrap();
        writer.write_all(b"4").await.unwrap();
        writer.shutdown().await.unwrap();
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    // Nothing but the end of the message wakes them.
    writer.shutdown().await.unwrap();
    for waiting in waiting {
        within(waiting).await.unwrap().unwrap();
    }
    within(streaming).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(within(peer.frame()).await.unwrap().payload);
    }
    assert_eq!(seen[..3], ["1", "", "2"]);
    seen[3..].sort();
    assert_eq!(seen[3..], ["3", "3", "3", "4"]);
}

async fn broken(writer: &mut MessageWriter) {
    let error = loop {
        // What is collected is taken; it cannot be sent.
        match within(writer.write(&[7; 1000])).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    for error in [within(writer.flush()).await, within(writer.shutdown()).await] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

/// MS-07, CN-14: when the connection closes, by us or by the peer, or is lost, the writer is told, and
/// so is one that waits for its turn.
#[tokio::test(start_paused = true)]
async fn closing_breaks_the_pipe() {
    for way in ["we", "peer", "lost"] {
        let (sender, mut peer) = driven(quiet());
        let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
        let mut queued = sender.send_stream(MessageKind::Binary).await.unwrap();
        writer.write_all(b"half").await.unwrap();
        within(writer.flush()).await.unwrap();
        let waiting = tokio::spawn(async move {
            queued.write_all(b"never").await.unwrap();
            let error = queued.shutdown().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
        tokio::task::yield_now().await;
        assert_eq!(within(peer.frame()).await, Some(fragment(Opcode::Binary, b"half")));
        match way {
            "we" => sender.close(4000, "enough").unwrap(),
            "peer" => peer.send(Frame::close(4000, "").unwrap()).await,
            _ => drop(std::mem::replace(&mut peer, RawPeer::client(duplex(1).0))),
        }
        within(waiting).await.unwrap();
        broken(&mut writer).await;
        drop(writer);
        if way != "lost" {
            assert_eq!(within(peer.close_code()).await, Some(4000));
        }
        assert_eq!(sender.send_stream(MessageKind::Text).await.unwrap_err(), SendError::Closed);
    }
}

/// MS-07: a message that was begun and given up closes with 1011; nothing follows its beginning, so
/// that the peer cannot join it with anything.
#[tokio::test(start_paused = true)]
async fn abandoned_message_closes() {
    for by_sender in [true, false] {
        let (mut client, mut server) = Pair::new().config(quiet()).capacity(64 * 1024).open();
        let receiving = tokio::spawn(async move {
            let received = client.recv().await.unwrap();
            assert_eq!(received, None, "half a message is none");
            client.outcome().cloned().unwrap()
        });
        if by_sender {
            let (sender, mut receiver) = server.split();
            let mut writer = sender.send_stream(MessageKind::Text).await.unwrap();
            sender.send("behind").await.unwrap();
            writer.write_all(b"half").await.unwrap();
            writer.flush().await.unwrap();
            drop(writer);
            assert_eq!(within(receiver.recv()).await.unwrap(), None);
            assert_eq!(sender.dropped(), 1);
        } else {
            let mut writer = server.send_stream(MessageKind::Text).unwrap();
            writer.write_all(b"half").await.unwrap();
            writer.flush().await.unwrap();
            drop(writer);
            let _ = server.send("behind").await;
            assert_eq!(within(server.recv()).await.unwrap(), None);
        }
        let outcome = within(receiving).await.unwrap();
        assert_eq!((outcome.code.as_u16(), outcome.cause), (1011, CloseCause::Handshake));
    }
}

/// MS-07: given up before anything was sent, it never was.
#[tokio::test]
async fn message_that_never_began_is_nothing() {
    let (stream, peer) = tcp_pair().await;
    let (sender, mut peer) = driven_on(stream, peer, quiet());
    for round in 0..3 {
        let mut first = sender.send_stream(MessageKind::Text).await.unwrap();
        let mut second = sender.send_stream(MessageKind::Text).await.unwrap();
        first.write_all(b"not sent").await.unwrap();
        sender.send("behind").await.unwrap();
        let ending = tokio::spawn(async move {
            second.write_all(b"second").await.unwrap();
            second.shutdown().await.unwrap();
        });
        tokio::task::yield_now().await;
        drop(first);
        within(ending).await.unwrap();
        assert_eq!(within(peer.frame()).await, Some(Frame::text("second")), "{round}");
        assert_eq!(within(peer.frame()).await, Some(Frame::text("behind")));
    }
}

/// BY-04: a socket's writer that waits for a full stream sleeps; it does not wake itself.
#[tokio::test(start_paused = true)]
async fn blocked_writer_does_not_spin() {
    let (stream, _unread) = duplex(1024);
    let mut socket = Mode::Plain.server(stream, quiet());
    let mut writer = socket.send_stream(MessageKind::Binary).unwrap();
    writer.write_all(&[0; 30_000]).await.unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    for _ in 0..10 {
        assert!(Pin::new(&mut writer).poll_flush(&mut cx).is_pending());
    }
    assert_eq!(wakes.count(), 0, "nothing has changed");
}

/// MS-07, BY-08: a peer that does not read runs into the write timeout; the writer is told.
#[tokio::test(start_paused = true)]
async fn write_timeout_reaches_the_writer() {
    let (stream, _unread) = duplex(1024);
    let mut socket = Mode::Plain.server(stream, quiet());
    let mut writer = socket.send_stream(MessageKind::Binary).unwrap();
    let error = within(writer.write_all(&[0; 300_000])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    drop(writer);
    let (stream, _unread) = duplex(1024);
    let (sender, _receiver) = Mode::Plain.server(stream, quiet()).split();
    let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
    let error = within(writer.write_all(&[0; 300_000])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
}

/// MS-07: what was fed before leaves before, what is fed later behind; a reader goes on in between.
#[tokio::test(start_paused = true)]
async fn socket_keeps_its_order() {
    let (mut client, mut server) = Pair::new().config(quiet()).capacity(1024 * 1024).open();
    client.send("a question").await.unwrap();
    server.feed("before").unwrap();
    let mut writer = server.send_stream(MessageKind::Binary).unwrap();
    writer.write_all(b"middle").await.unwrap();
    poll_fn(|cx| Pin::new(&mut writer).poll_shutdown(cx)).await.unwrap();
    drop(writer);
    server.feed("behind").unwrap();
    assert_eq!(server.recv().await.unwrap(), Some("a question".into()));
    server.flush().await.unwrap();
    for message in [Message::text("before"), Message::binary("middle"), Message::text("behind")] {
        assert_eq!(within(client.recv()).await.unwrap(), Some(message));
    }
}
