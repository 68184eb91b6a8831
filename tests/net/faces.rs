//! The faces of a connection through the public API, on real and in-memory streams.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::{CloseCause, Initiator, Overflow, TimeoutKind};
use sockeye::{
    CloseOutcome, Config, Connection, Error, Handler, Message, MessageRef, PreparedMessage, Role,
    SendError, Sender, State, WebSocket,
};
use tokio::io::{DuplexStream, duplex};

use crate::support::io::RawPeer;
use crate::support::pair::{fragment, last, quiet};
use crate::support::server::within;

type Socket = WebSocket<DuplexStream>;

fn pair_with(config: &Config) -> (Socket, Socket) {
    let config = Arc::new(config.clone());
    let (client, server) = duplex(256 * 1024);
    let client = WebSocket::from_stream(client, Role::Client, &config);
    (client, WebSocket::from_stream(server, Role::Server, &config))
}

fn pair() -> (Socket, Socket) {
    pair_with(&quiet())
}

/// A server and its client by hand.
fn with_peer(config: Config) -> (Socket, RawPeer<DuplexStream>) {
    let (stream, peer) = duplex(256 * 1024);
    (WebSocket::from_stream(stream, Role::Server, &Arc::new(config)), RawPeer::client(peer))
}

/// MS-01, MS-05, CN-02, CN-03: messages there and back, in order; close from the client.
#[tokio::test]
async fn send_recv_and_close() {
    let (mut client, mut server) = pair();
    assert_eq!((client.state(), client.outcome()), (State::Open, None));
    assert_ne!(client.id(), server.id());
    let messages = [Message::text("é"), Message::binary(vec![0, 255]), Message::text("")];
    for message in &messages {
        client.send(message.clone()).await.unwrap();
        assert_eq!(server.recv().await.unwrap().as_ref(), Some(message));
        server.send(message.clone()).await.unwrap();
        assert_eq!(client.recv().await.unwrap().as_ref(), Some(message));
    }
    let (ended, received) = tokio::join!(client.close(4001, "done"), server.recv());
    assert_eq!(received.unwrap(), None);
    let ended = ended.unwrap();
    assert!(ended.clean && server.outcome().unwrap().clean);
    assert_eq!((ended.initiator, ended.code.as_u16()), (Initiator::Local, 4001));
    let outcome = server.outcome().unwrap();
    assert_eq!((outcome.initiator, outcome.reason.as_str()), (Initiator::Peer, "done"));
    assert!(matches!(client.send("late").await, Err(Error::Closed)), "ER-01");
    assert!(matches!(server.feed("late"), Err(Error::Closed)));
    assert_eq!(server.recv().await.unwrap(), None);
    assert_eq!(server.state(), State::Closed);
}

/// CN-03: what is fed waits for the flush, and leaves in order with what is prepared and borrowed.
#[tokio::test]
async fn feed_and_flush() {
    let (mut client, mut server) = pair();
    server.feed("one").unwrap();
    server.feed_ref(&b"two"[..]).unwrap();
    server.feed_prepared(&PreparedMessage::new("three")).unwrap();
    assert_eq!(server.unflushed(), 5 + 5 + 7);
    assert!(tokio::time::timeout(Duration::ZERO, client.recv()).await.is_err());
    server.flush().await.unwrap();
    assert_eq!(server.unflushed(), 0);
    assert_eq!(client.recv().await.unwrap(), Some("one".into()));
    assert_eq!(client.recv().await.unwrap(), Some(b"two".to_vec().into()));
    assert_eq!(client.recv().await.unwrap(), Some("three".into()));
    // recv flushes before it waits, and so does close.
    server.feed("four").unwrap();
    let (_, received) =
        tokio::join!(tokio::time::timeout(Duration::from_millis(1), server.recv()), client.recv());
    assert_eq!(received.unwrap(), Some("four".into()));
    server.feed("five").unwrap();
    let reading = async { (client.recv().await.unwrap(), client.recv().await.unwrap()) };
    let (closed, read) = tokio::join!(server.close(1000, ""), reading);
    assert_eq!(read, (Some("five".into()), None));
    assert!(closed.unwrap().clean);
}

/// BY-02: a borrowed message is answered through the sender while it is borrowed; fed answers leave
/// when the connection waits.
#[tokio::test]
async fn recv_ref_and_sender_feed() {
    let (mut client, mut server) = pair();
    let echoing = tokio::spawn(async move {
        let sender = server.sender();
        while let Some(message) = server.recv_ref().await.unwrap() {
            sender.feed(message).unwrap();
        }
    });
    for number in 0..100 {
        client.feed(format!("{number}").repeat(number)).unwrap();
    }
    client.feed(vec![7; 100_000]).unwrap();
    for number in 0..100 {
        let expected = format!("{number}").repeat(number);
        assert_eq!(within(client.recv()).await.unwrap(), Some(expected.as_str().into()));
    }
    assert_eq!(within(client.recv()).await.unwrap(), Some(vec![7; 100_000].into()));
    assert!(client.close(1000, "").await.unwrap().clean);
    echoing.await.unwrap();
}

/// BY-11: the stream ends and the sink closes as the methods do.
#[tokio::test]
async fn stream_and_sink() {
    let (client, server) = pair();
    let echoing = tokio::spawn(async move {
        let (sink, stream) = StreamExt::split(server);
        stream.forward(sink).await
    });
    let (mut sink, mut stream) = StreamExt::split(client);
    for number in 0..200 {
        sink.send(Message::text(format!("{number}"))).await.unwrap();
        let echo = within(stream.next()).await.unwrap().unwrap();
        assert_eq!(echo.as_text(), Some(number.to_string().as_str()));
    }
    let (closed, end) = tokio::join!(sink.close(), stream.next());
    closed.unwrap();
    assert!(end.is_none());
    echoing.await.unwrap().unwrap();
}

/// What a handler was told.
type Log = Arc<Mutex<Vec<String>>>;

struct Logger {
    log: Log,
    ready: Arc<AtomicBool>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Logger {
    fn new() -> Self {
        let ready = Arc::new(AtomicBool::new(true));
        Self { log: Log::default(), ready, waker: Arc::default() }
    }

    fn note(&self, text: impl Into<String>) {
        self.log.lock().unwrap().push(text.into());
    }
}

impl Handler for Logger {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        self.note("open");
        connection.send("welcome").unwrap();
    }

    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        self.note(message.as_text().unwrap());
        match message.as_text() {
            Some("close") => connection.close(4000, "as asked").unwrap(),
            _ => connection.send(message).unwrap(),
        }
    }

    fn on_assembled(&mut self, _: &mut Connection<'_>, message: Message) {
        self.note(format!("assembled {}", message.as_text().unwrap()));
    }

    fn on_ping(&mut self, _: &mut Connection<'_>, payload: &[u8]) {
        self.note(format!("ping {}", payload.len()));
    }

    fn on_pong(&mut self, _: &mut Connection<'_>, payload: &[u8]) {
        self.note(format!("pong {}", payload.len()));
    }

    fn on_turn_end(&mut self, _: &mut Connection<'_>) {
        self.note("turn end");
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.waker.lock().unwrap() = Some(cx.waker().clone());
        if self.ready.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn on_close(&mut self, outcome: &CloseOutcome) {
        self.note(format!("close {} {}", outcome.code, outcome.reason.as_str()));
    }
}

/// CN-12, CN-16: the callbacks of a handler, in order, each once.
#[tokio::test]
async fn handler_callbacks_in_order() {
    let (socket, mut peer) = with_peer(quiet());
    let handler = Logger::new();
    let log = handler.log.clone();
    let driver = tokio::spawn(socket.run(handler));
    let frames = [
        Frame::text("one"),
        Frame::ping("12"),
        Frame::pong("123"),
        fragment(Opcode::Text, b"in "),
        last(b"two"),
        Frame::text("close"),
    ];
    let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| peer.encode(frame)).collect();
    peer.write(&bytes).await;
    let welcome = [Frame::text("welcome"), Frame::text("one"), Frame::pong("12")];
    for expected in welcome {
        assert_eq!(within(peer.frame()).await, Some(expected));
    }
    assert_eq!(within(peer.close_code()).await, Some(4000));
    peer.send(Frame::close(4000, "").unwrap()).await;
    assert_eq!(within(peer.frame()).await, None);
    let outcome = driver.await.unwrap();
    assert!(outcome.clean);
    let log = log.lock().unwrap();
    let log: Vec<_> = log.iter().filter(|line| *line != "turn end").collect();
    let expected =
        ["open", "one", "ping 2", "pong 3", "assembled in two", "close", "close 4000 as asked"];
    assert_eq!(log, expected);
}

/// CN-16: a handler that is not ready holds the peer back in the middle of a read, and loses nothing.
#[tokio::test]
async fn poll_ready_holds_the_peer_back() {
    let (socket, mut peer) = with_peer(quiet());
    let handler = Logger::new();
    let (log, ready, waker) = (handler.log.clone(), handler.ready.clone(), handler.waker.clone());
    ready.store(false, Ordering::SeqCst);
    let driver = tokio::spawn(socket.run(handler));
    let frames: Vec<_> =
        (0..50).map(|number| peer.encode(Frame::text(&number.to_string()))).collect();
    peer.write(&frames.concat()).await;
    assert_eq!(within(peer.frame()).await, Some(Frame::text("welcome")));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*log.lock().unwrap(), ["open"]);
    ready.store(true, Ordering::SeqCst);
    waker.lock().unwrap().take().unwrap().wake();
    for number in 0..50 {
        assert_eq!(within(peer.frame()).await, Some(Frame::text(&number.to_string())));
    }
    drop(peer);
    within(driver).await.unwrap();
    assert_eq!(log.lock().unwrap().last().unwrap(), "close 1006 ");
}

/// BY-02, CN-04: 8 tasks on 4 threads send 500 messages each: each arrives once, in its sender's order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn split_with_many_senders() {
    let (client, server) = pair();
    let (sender, receiver) = server.split();
    let sending = (0..8).map(|task| tokio::spawn(send_numbered(sender.clone(), task)));
    let sending: Vec<_> = sending.collect();
    let (echo, mut client) = client.split();
    let mut next = [0; 8];
    for _ in 0..8 * 500 {
        let message = within(client.recv()).await.unwrap().unwrap();
        let (task, number) = message.as_text().unwrap().split_once(' ').unwrap();
        let (task, number): (usize, usize) = (task.parse().unwrap(), number.parse().unwrap());
        assert_eq!(next[task], number, "task {task}");
        next[task] += 1;
        echo.send(message).await.unwrap();
    }
    let counting = tokio::spawn(count(receiver));
    for task in sending {
        within(task).await.unwrap();
    }
    assert!(within(client.close(1000, "")).await.unwrap().clean);
    assert_eq!(within(counting).await.unwrap(), 8 * 500);
    assert_eq!(sender.dropped(), 0);
}

async fn send_numbered(sender: Sender, task: usize) {
    for number in 0..500 {
        sender.send(format!("{task} {number}")).await.unwrap();
    }
}

async fn count(mut receiver: sockeye::Receiver) -> usize {
    let mut count = 0;
    while receiver.recv().await.unwrap().is_some() {
        count += 1;
    }
    count
}

/// A split server whose peer reads nothing, its outbox filled to the last message.
async fn stalled(overflow: Overflow) -> (Sender, sockeye::Receiver, DuplexStream) {
    let mut config = quiet();
    config.overflow = overflow;
    config.outbox_messages_max = 4;
    let (stream, peer) = duplex(64);
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let (sender, receiver) = socket.split();
    sender.try_send(vec![0; 1000]).unwrap();
    while sender.queued().0 > 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..4 {
        sender.try_send(vec![1; 10]).unwrap();
    }
    assert_eq!(sender.queued(), (4, 40));
    (sender, receiver, peer)
}

/// CN-05, ER-02: the block policy waits as long as it says, and keeps what is queued.
#[tokio::test(start_paused = true)]
async fn block_policy() {
    let timeout = Duration::from_millis(50);
    let (sender, receiver, peer) = stalled(Overflow::Block { timeout }).await;
    let start = tokio::time::Instant::now();
    let result = sender.send("late").await;
    assert_eq!(result, Err(SendError::Timeout { timeout_ms: 50 }));
    assert!((50..60).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert_eq!(sender.queued(), (4, 40));
    let mut peer = RawPeer::client(peer);
    let (sent, frame) = tokio::join!(sender.send("now"), peer.frame());
    sent.unwrap();
    assert_eq!(frame.unwrap().payload.len(), 1000);
    for _ in 0..4 {
        assert_eq!(peer.frame().await.unwrap().payload.len(), 10);
    }
    assert_eq!(peer.frame().await, Some(Frame::text("now")));
    drop(receiver);
}

/// CN-06, ER-03: the drop policy drops the new one, says so and counts it.
#[tokio::test]
async fn drop_policy() {
    let (sender, _receiver, peer) = stalled(Overflow::DropNewest).await;
    let full = SendError::Full { messages: 4, bytes: 40 };
    assert_eq!(sender.send("lost").await, Err(full));
    assert_eq!(sender.try_send_prepared(&PreparedMessage::new("lost")), Err(full));
    assert_eq!(sender.dropped(), 2);
    let mut peer = RawPeer::client(peer);
    for len in [1000, 10, 10, 10, 10] {
        assert_eq!(within(peer.frame()).await.unwrap().payload.len(), len);
    }
    sender.send("next").await.unwrap();
    assert_eq!(within(peer.frame()).await, Some(Frame::text("next")));
}

/// CN-07: the close policy closes with 1013 and counts what it could not deliver.
#[tokio::test]
async fn close_policy() {
    let (sender, receiver, peer) = stalled(Overflow::Close).await;
    assert!(matches!(sender.send("lost").await, Err(SendError::Full { .. })));
    assert_eq!(sender.send("later").await, Err(SendError::Closed));
    assert_eq!(sender.dropped(), 4);
    let mut peer = RawPeer::client(peer);
    assert_eq!(within(peer.frame()).await.unwrap().payload.len(), 1000);
    assert_eq!(within(peer.close_code()).await, Some(1013));
    peer.send(Frame::close(1013, "").unwrap()).await;
    assert_eq!(within(peer.frame()).await, None);
    assert_eq!(receiver.outcome().unwrap().code.as_u16(), 1013);
}

/// BY-08: every way a connection can end, as its owner sees it.
#[tokio::test(start_paused = true)]
async fn outcomes() {
    let mut config = quiet();
    config.idle_timeout = Some(Duration::from_secs(30));
    let (mut socket, peer) = with_peer(config);
    assert!(matches!(socket.recv().await, Err(Error::Timeout(TimeoutKind::Idle))));
    assert_eq!(socket.outcome().unwrap().code.as_u16(), 1001);
    drop(peer);

    let mut config = quiet();
    config.ping_interval = Some(Duration::from_secs(5));
    let (mut socket, _silent) = with_peer(config);
    assert!(matches!(socket.recv().await, Err(Error::Timeout(TimeoutKind::Pong))));
    assert_eq!(socket.outcome().unwrap().code.as_u16(), 1006);

    let (mut socket, peer) = with_peer(quiet());
    drop(peer);
    assert!(matches!(socket.recv().await, Err(Error::Io(_))));
    let outcome = socket.outcome().unwrap();
    assert_eq!((outcome.cause, outcome.initiator), (CloseCause::Eof, Initiator::Peer));

    let (mut socket, mut peer) = with_peer(quiet());
    peer.write(&[0xff; 20]).await;
    let watching = tokio::spawn(async move { peer.close_code().await });
    let error = socket.recv().await.unwrap_err();
    assert!(matches!(error, Error::Violation(_)), "ER-05: {error}");
    assert_eq!(watching.await.unwrap(), Some(1002));
    assert!(matches!(socket.outcome().unwrap().cause, CloseCause::Violation(_)));

    let (socket, mut peer) = with_peer(quiet());
    drop(socket);
    assert!(peer.frame().await.is_none_or(|frame| frame.opcode == Opcode::Close));
}

/// MS-04: messages of several megabytes, both ways, whole and by fragments.
#[tokio::test]
async fn large_messages() {
    let (client, mut server) = pair();
    let payload: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (sender, mut receiver) = client.split();
    let echoing = tokio::spawn(async move {
        while let Ok(Some(message)) = server.recv().await {
            server.send(message).await.unwrap();
        }
    });
    for _ in 0..2 {
        sender.send(payload.clone()).await.unwrap();
        let echo = within(receiver.recv()).await.unwrap().unwrap();
        assert!(echo.as_bytes() == payload, "{} bytes came back", echo.as_bytes().len());
    }
    assert!(receiver.close(1000, "").await.unwrap().clean);
    echoing.await.unwrap();
}

/// BY-02: ten thousand small messages in one write come out one by one, on each face.
#[tokio::test]
async fn ten_thousand_in_one_write() {
    for is_split in [false, true] {
        let (mut socket, mut peer) = with_peer(quiet());
        let bytes: Vec<u8> =
            (0..10_000).flat_map(|number| peer.encode(Frame::text(&number.to_string()))).collect();
        let writing = tokio::spawn(async move {
            peer.write(&bytes).await;
            peer
        });
        if is_split {
            let (_sender, mut receiver) = socket.split();
            for number in 0..10_000 {
                let message = within(receiver.recv()).await.unwrap().unwrap();
                assert_eq!(message.as_text(), Some(number.to_string().as_str()));
            }
        } else {
            for number in 0..10_000 {
                let message = within(socket.recv()).await.unwrap().unwrap();
                assert_eq!(message.as_text(), Some(number.to_string().as_str()));
            }
        }
        writing.await.unwrap();
    }
}

/// CN-12: with `control_messages` a stream hands out pings, pongs and the close frame as well.
#[tokio::test]
async fn control_messages() {
    let mut config = quiet();
    config.control_messages = true;
    let (mut socket, mut peer) = with_peer(config);
    peer.send(Frame::ping("a")).await;
    peer.send(Frame::pong("b")).await;
    peer.send(Frame::text("c")).await;
    peer.send(Frame::close(1000, "d").unwrap()).await;
    let mut kinds = Vec::new();
    while let Some(message) = Pin::new(&mut socket).next().await {
        kinds.push(message.unwrap().kind());
    }
    assert_eq!(kinds, ["ping", "pong", "text", "close"]);
    assert_eq!(within(peer.frame()).await, Some(Frame::pong("a")));
    assert_eq!(within(peer.close_code()).await, Some(1000));
}
