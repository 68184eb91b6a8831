//! Floor 5: what shares the way out of one connection, and what happens to each.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::{GapNotice, Overflow};
use sockeye::{
    Connection, Handler, Message, MessageKind, MessageRef, MessageWriter, Role, SendError, Sender,
    Sent, WebSocket,
};
use tokio::io::{
    AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex, join, sink, split,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::gate::Gate;
use crate::support::io::RawPeer;
use crate::support::pair::{fragment, last, quiet};
use crate::support::server::within;
use crate::support::streams::{Ignore, Mode, noise, polls, quiet_with, tcp_pair};

type Stopped = JoinHandle<sockeye::protocol::CloseOutcome>;

/// A server driven by a task, and a client by hand.
fn driven<S>(stream: S, peer: S, config: sockeye::Config) -> (Sender, RawPeer<S>, Stopped)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let sender = socket.sender();
    (sender, RawPeer::client(peer), tokio::spawn(socket.run(Ignore)))
}

/// BY-05, CP-03: where the order of compressing is that of the wire, no more of a connection's own
/// messages is encoded ahead than the bound: a pong passes what is not encoded.
#[tokio::test(start_paused = true)]
async fn control_passes_own_messages() {
    let (stream, peer) = duplex(1024);
    let mut socket = Mode::Takeover.client(stream, quiet());
    let mut peer = RawPeer::server(peer);
    let driver = tokio::spawn(async move {
        for _ in 0..10 {
            socket.feed(noise(50_000)).unwrap();
        }
        socket.recv().await.map(drop)
    });
    let (mut messages, mut pong_at) = (0, None);
    while messages < 10 {
        let frame = within(peer.frame()).await.unwrap();
        if frame.opcode == Opcode::Pong {
            pong_at = Some(messages);
            continue;
        }
        messages += usize::from(frame.fin);
        if messages == 1 {
            peer.send(Frame::ping("now")).await;
        }
    }
    assert!(pong_at.is_some_and(|at| at <= 4), "after {pong_at:?} messages");
    driver.abort();
}

/// MS-07: a writer that has to wait behind what was only fed sees to it that it leaves.
#[tokio::test(start_paused = true)]
async fn a_stream_moves_what_was_fed() {
    for feeds in [vec![1], vec![40_000, 40_000], vec![100_000], vec![40_000, 100_000, 3]] {
        let (stream, peer) = duplex(1024);
        let (sender, mut peer, _stopped) = driven(stream, peer, quiet());
        // The connection waits: nothing but the writer is there to wake it.
        tokio::task::yield_now().await;
        for len in &feeds {
            sender.feed(noise(*len).as_slice()).unwrap();
        }
        let writing = tokio::spawn(async move {
            let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
            writer.write_all(b"streamed").await.unwrap();
            writer.flush().await.unwrap();
            writer
        });
        let mut came = Vec::new();
        let mut messages = 0;
        while messages < feeds.len() {
            let frame = within(peer.frame()).await.unwrap();
            came.extend_from_slice(&frame.payload);
            messages += usize::from(frame.fin);
        }
        assert_eq!(came, feeds.iter().flat_map(|len| noise(*len)).collect::<Vec<_>>());
        assert_eq!(within(peer.frame()).await, Some(fragment(Opcode::Binary, b"streamed")));
        within(writing).await.unwrap();
    }
}

/// Answers, and begins a message of its sender's in the same turn.
struct Interrupted {
    writer: Option<MessageWriter>,
}

impl Handler for Interrupted {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        connection.send(message).unwrap();
        let sender = connection.sender();
        let mut begin = pin!(async {
            let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
            writer.write_all(b"begun").await.unwrap();
            // What is in its way may keep it from being flushed.
            let _ = polls(writer.flush(), 1).await;
            writer
        });
        let mut cx = Context::from_waker(Waker::noop());
        self.writer = match begin.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(writer) => Some(writer),
            std::task::Poll::Pending => panic!("the outbox is empty"),
        };
    }
}

/// CC-05, MS-07, BY-05: a pong and a close pass a message that is being written, also when the turn that
/// answers them has an answer of its own that may not.
#[tokio::test]
async fn control_does_not_wait_with_an_answer() {
    let (stream, peer) = tcp_pair().await;
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(quiet()));
    let mut peer = RawPeer::client(peer);
    let mut sent = peer.encode(Frame::text("answer me"));
    sent.extend(peer.encode(Frame::ping("and me")));
    peer.write(&sent).await;
    let stopped = tokio::spawn(socket.run(Interrupted { writer: None }));
    assert_eq!(within(peer.frame()).await, Some(fragment(Opcode::Binary, b"begun")));
    assert_eq!(within(peer.frame()).await, Some(Frame::pong("and me")));
    peer.send(Frame::close(1000, "").unwrap()).await;
    assert_eq!(within(peer.frame()).await, Some(Frame::close(1000, "").unwrap()));
    assert!(within(stopped).await.unwrap().clean);
}

/// CC-11: a connection that is dropped says 1001, in the middle of a message that is being written too,
/// and behind what still can leave.
#[tokio::test]
async fn goodbye_within_a_message() {
    let (stream, peer) = tcp_pair().await;
    let (sender, mut peer, driver) = driven(stream, peer, quiet());
    let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
    writer.write_all(b"begun").await.unwrap();
    writer.flush().await.unwrap();
    sender.send("never").await.unwrap();
    driver.abort();
    assert_eq!(within(peer.frame()).await, Some(fragment(Opcode::Binary, b"begun")));
    assert_eq!(within(peer.close_code()).await, Some(1001));
    assert_eq!(within(peer.frame()).await, None);
    assert!(writer.shutdown().await.is_err());
    assert_eq!(sender.dropped(), 1);
}

/// CN-06, CN-07, MS-07: a message written piece by piece meets the policy of a full outbox as any other.
#[tokio::test]
async fn a_stream_meets_the_policy() {
    let policies =
        [Overflow::Close, Overflow::DropNewest, Overflow::Block { timeout: Duration::ZERO }];
    for overflow in policies {
        let config = quiet_with(|config| {
            config.overflow = overflow;
            config.outbox_messages_max = 1;
        });
        let (stream, peer) = duplex(64);
        let (sender, mut peer, _driver) = driven(stream, peer, config);
        // One fills the pipe, another waits.
        sender.try_send(noise(1000)).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(sender.queued().0, 0);
        sender.try_send("waits").unwrap();
        let result = sender.send_stream(MessageKind::Text).await.map(drop);
        assert!(matches!(result, Err(SendError::Full { .. })), "{result:?}");
        // The stream, or with the connection what waited before it.
        let is_dropped = !matches!(overflow, Overflow::Block { .. });
        assert_eq!(sender.dropped(), u64::from(is_dropped));
        assert_eq!(sender.is_closed(), overflow == Overflow::Close);
        if overflow == Overflow::Close {
            assert_eq!(within(peer.close_code()).await, Some(1013));
        }
    }
}

/// BY-05, MS-07: what is written piece by piece, and what the connection sends itself, is not dropped for
/// a newer message; the oldest of the others is, and whoever reads is told in its place.
#[tokio::test]
async fn the_oldest_that_may_be_dropped_goes() {
    let config = quiet_with(|config| {
        config.overflow = Overflow::DropOldest;
        config.outbox_messages_max = 4;
        config.gap_notice =
            Some(GapNotice::new(|missed| Message::text(format!("missed {missed}"))));
    });
    let (stream, peer) = tcp_pair().await;
    let mut socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let sender = socket.sender();
    let mut first = sender.send_stream(MessageKind::Binary).await.unwrap();
    first.write_all(b"begun").await.unwrap();
    first.flush().await.unwrap();
    socket.feed("own").unwrap();
    let mut second = sender.send_stream(MessageKind::Binary).await.unwrap();
    assert_eq!(sender.try_send("1"), Ok(Sent::Queued));
    for number in ["2", "3"] {
        assert_eq!(sender.try_send(number), Ok(Sent::Displaced { messages: 1 }));
    }
    // A place is made for it in the same way.
    let mut third = sender.send_stream(MessageKind::Binary).await.unwrap();
    let full = SendError::Full { messages: 4, bytes: 3 };
    assert_eq!(sender.try_send("4"), Err(full));
    assert_eq!((sender.queued().0, sender.dropped()), (4, 4));
    drop(tokio::spawn(socket.run(Ignore)));
    for writer in [&mut first, &mut second, &mut third] {
        writer.shutdown().await.unwrap();
    }
    let mut peer = RawPeer::client(peer);
    let expected = [
        fragment(Opcode::Binary, b"begun"),
        last(b""),
        Frame::text("own"),
        Frame::binary(""),
        Frame::text("missed 3"),
        Frame::binary(""),
        Frame::text("missed 1"),
    ];
    for frame in expected {
        assert_eq!(within(peer.frame()).await, Some(frame));
    }
}

/// BY-05: a message longer than the bound waits alone; where it cannot, it alone is dropped.
#[tokio::test]
async fn a_long_message_displaces_all_or_none() {
    let config = quiet_with(|config| {
        config.overflow = Overflow::DropOldest;
        config.outbox_bytes_max = 1000;
    });
    let (stream, _peer) = tcp_pair().await;
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let sender = socket.sender();
    let writer = sender.send_stream(MessageKind::Binary).await.unwrap();
    for _ in 0..3 {
        assert_eq!(sender.try_send(noise(300)), Ok(Sent::Queued));
    }
    let full = SendError::Full { messages: 4, bytes: 900 };
    assert_eq!(sender.try_send(noise(1001)), Err(full));
    assert_eq!(sender.dropped(), 1);
    assert_eq!(sender.try_send(noise(1000)), Ok(Sent::Displaced { messages: 3 }));
    assert_eq!((sender.queued(), sender.dropped()), ((2, 1000), 4));
    drop(writer);

    let mut gate = Gate::new(quiet_with(|config| {
        config.overflow = Overflow::DropOldest;
        config.outbox_bytes_max = 1000;
    }));
    // What is encoded and not written holds up the rest.
    gate.sender.try_send(noise(60_000)).unwrap();
    gate.poll();
    for _ in 0..3 {
        assert_eq!(gate.sender.try_send(noise(300)), Ok(Sent::Queued));
    }
    assert_eq!(gate.sender.try_send(noise(100_000)), Ok(Sent::Displaced { messages: 3 }));
    assert_eq!(gate.sender.queued(), (1, 100_000));
}

/// MS-07: what is fed may fill the outbox to the byte, with what frames it; not by one more.
#[tokio::test]
async fn what_is_fed_fills_it_to_the_byte() {
    for more in [0, 1] {
        let gate = Gate::new(quiet_with(|config| config.outbox_bytes_max = 1000));
        // A header of four bytes.
        assert_eq!(gate.sender.feed(noise(500).as_slice()), Ok(Sent::Queued));
        let full = SendError::Full { messages: 0, bytes: 504 };
        let expected = if more == 0 { Ok(Sent::Queued) } else { Err(full) };
        assert_eq!(gate.sender.feed(noise(496 + more).as_slice()), expected);
    }
}

/// MS-07: what is fed to a socket waits for a flush, unless the next would find no room beside it.
#[tokio::test]
async fn what_is_fed_waits_or_makes_room() {
    let (stream, peer) = tcp_pair().await;
    let config = quiet_with(|config| config.outbox_bytes_max = 1000);
    let mut socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let sender = socket.sender();
    for _ in 0..3 {
        sender.feed(noise(300).as_slice()).unwrap();
        // The kernel is asked itself: what the runtime knows is from before.
        let early = SockRef::from(&peer).peek(&mut [MaybeUninit::uninit()]);
        assert!(early.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    }
    for _ in 0..5 {
        assert_eq!(sender.feed(noise(900).as_slice()), Ok(Sent::Queued));
    }
    within(socket.flush()).await.unwrap();
    let mut peer = RawPeer::client(peer);
    for len in [[300; 3].as_slice(), &[900; 5]].concat() {
        assert_eq!(within(peer.frame()).await.unwrap().payload.len(), len);
    }
}

/// CL-02: who drops a connection that has said goodbye already says no more.
#[tokio::test]
async fn goodbye_is_said_once() {
    let (stream, peer) = tcp_pair().await;
    let (sender, mut peer, stopped) = driven(stream, peer, quiet());
    sender.close(1000, "enough").unwrap();
    assert_eq!(within(peer.frame()).await.unwrap().opcode, Opcode::Close);
    stopped.abort();
    assert!(stopped.await.unwrap_err().is_cancelled());
    assert_eq!(within(peer.frame()).await, None);
}

/// MS-07: a writer's flush is over when the kernel has all of it, and not before.
#[tokio::test(start_paused = true)]
async fn a_flush_ends_when_all_has_left() {
    let (stream, peer) = duplex(100);
    let (sender, mut peer, _stopped) = driven(stream, peer, quiet());
    let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
    for len in [300, 1000] {
        writer.write_all(&noise(len)).await.unwrap();
        let mut flushing = tokio::spawn(async move {
            writer.flush().await.unwrap();
            writer
        });
        // Nobody reads.
        assert!(timeout(Duration::from_secs(1), &mut flushing).await.is_err());
        assert_eq!(within(peer.frame()).await.unwrap().payload, noise(len));
        writer = within(flushing).await.unwrap();
    }
}

/// A stream whose every second write is interrupted by a signal.
struct Interrupting(DuplexStream, bool);

impl AsyncRead for Interrupting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Interrupting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1 = !self.1;
        if self.1 {
            return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
        }
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// CN-04: a write that a signal interrupts is made again.
#[tokio::test(start_paused = true)]
async fn an_interrupted_write_is_made_again() {
    let (stream, peer) = duplex(1000);
    let (ours, theirs) = (Interrupting(stream, false), Interrupting(peer, false));
    let (sender, mut peer, stopped) = driven(ours, theirs, quiet());
    for len in [10, 3000, 100_000] {
        sender.try_send(noise(len)).unwrap();
        let mut came = Vec::new();
        while came.len() < len {
            came.extend_from_slice(&within(peer.frame()).await.unwrap().payload);
        }
        assert_eq!(came, noise(len));
    }
    sender.close(1000, "").unwrap();
    assert_eq!(within(peer.frame()).await.unwrap().opcode, Opcode::Close);
    drop(peer);
    within(stopped).await.unwrap();
}

/// Answers with nothing, and counts how often.
struct Empty(Arc<AtomicUsize>);

impl Handler for Empty {
    fn on_message(&mut self, connection: &mut Connection<'_>, _: MessageRef<'_>) {
        connection.send("").unwrap();
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Rows 25 and 27: who does not read its answers is not read from, though they are empty: each costs its place in the queue, until
/// it has left.
#[tokio::test(start_paused = true)]
async fn empty_answers_are_bounded() {
    // As much as is encoded ahead, and more than that: then messages wait.
    for outbox_bytes_max in [64 * 1024, 1024 * 1024] {
        empty_answers(outbox_bytes_max, tokio::time::sleep(Duration::from_secs(1))).await;
    }
}

async fn empty_answers(outbox_bytes_max: usize, nothing_is_read: impl Future) {
    const QUESTIONS: usize = 50_000;
    let (stream, peer) = duplex(64);
    let config = quiet_with(|config| config.outbox_bytes_max = outbox_bytes_max);
    let count = Arc::<AtomicUsize>::default();
    // Compressed with a context, so that answers wait as messages. A client reads while it cannot write.
    let socket = Mode::Takeover.client(stream, config);
    let driver = tokio::spawn(socket.run(Empty(count.clone())));
    let (reading, mut writing) = split(peer);
    let mut peer = RawPeer::server(join(reading, sink()));
    let asking = peer.encode(Frame::text("")).repeat(QUESTIONS);
    tokio::spawn(async move { writing.write_all(&asking).await });
    nothing_is_read.await;
    let answered = count.load(Ordering::Relaxed);
    // What is encoded ahead, and what costs as much as may wait.
    assert!((100..20_000).contains(&answered), "{answered} answers wait");
    for _ in 0..QUESTIONS {
        within(peer.frame()).await.unwrap();
    }
    driver.abort();
}

/// MS-07, BY-05: a writer that waited and has ended leaves its place to others.
#[tokio::test]
async fn a_writer_that_has_ended_has_no_place() {
    let (stream, peer) = duplex(1 << 20);
    let config = quiet_with(|config| {
        config.outbox_messages_max = 3;
        config.overflow = Overflow::DropNewest;
    });
    let (sender, mut peer, _stopped) = driven(stream, peer, config);
    for _ in 0..5 {
        let mut first = sender.send_stream(MessageKind::Text).await.unwrap();
        first.write_all(b"first").await.unwrap();
        let mut second = sender.send_stream(MessageKind::Text).await.unwrap();
        assert_eq!(sender.queued().0, 2);
        // Behind one on its way and one that waits there is one place left.
        sender.try_send("third").unwrap();
        assert!(sender.try_send("fourth").is_err());
        first.shutdown().await.unwrap();
        second.write_all(b"second").await.unwrap();
        second.shutdown().await.unwrap();
        for text in ["first", "second", "third"] {
            let mut came = Vec::new();
            loop {
                let frame = within(peer.frame()).await.unwrap();
                came.extend_from_slice(&frame.payload);
                if frame.fin {
                    break;
                }
            }
            assert_eq!(came, text.as_bytes());
        }
        assert_eq!(sender.queued(), (0, 0));
    }
}
