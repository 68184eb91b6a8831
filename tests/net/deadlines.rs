//! Deadlines, back pressure and the end of a connection on the tokio floor, with paused time.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::Sink as _;
use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::{CloseCause, Overflow, TimeoutKind};
use sockeye::{
    CloseOutcome, Config, Connection, Error, Handler, Message, MessageRef, Role, WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use crate::support::io::RawPeer;
use crate::support::pair::quiet;
use crate::support::streams::choppy;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(5);

fn server_on(stream: DuplexStream, config: Config) -> WebSocket<DuplexStream> {
    WebSocket::from_stream(stream, Role::Server, &Arc::new(config))
}

struct Sink;

impl Handler for Sink {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// FR-06, BY-02: what was fed and is not written counts as unflushed, wherever it waits.
#[tokio::test(start_paused = true)]
async fn unflushed_counts_what_a_blocked_stream_did_not_take() {
    let (stream, _unread) = duplex(1024);
    let mut socket = server_on(stream, quiet());
    for _ in 0..100 {
        socket.feed(vec![0; 10 * 1024]).unwrap();
        let _ = timeout(Duration::ZERO, socket.recv()).await;
    }
    assert!(socket.unflushed() > 900 * 1024, "{}", socket.unflushed());
}

/// BY-11: a sink that is blocked is not ready, however often it is asked.
#[tokio::test(start_paused = true)]
async fn blocked_sink_stays_not_ready() {
    let (stream, _unread) = duplex(1024);
    let mut socket = server_on(stream, quiet());
    let mut cx = Context::from_waker(Waker::noop());
    let mut taken = 0;
    for _ in 0..100 {
        if let Poll::Ready(result) = Pin::new(&mut socket).poll_ready(&mut cx) {
            result.unwrap();
            let message = Message::from(vec![0; 64 * 1024]);
            Pin::new(&mut socket).start_send(message).unwrap();
            taken += 1;
        }
    }
    assert!(taken <= 8, "{taken} messages of 64 KiB were taken");
}

/// Reads one frame a second and answers pings; the peer, for as long as it is wanted.
async fn slow_reader(mut peer: RawPeer<DuplexStream>, frames: usize) -> RawPeer<DuplexStream> {
    for _ in 0..frames {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match peer.frame().await {
            Some(frame) if frame.opcode == Opcode::Ping => {
                peer.send(Frame::pong(frame.payload)).await;
            }
            Some(frame) if frame.opcode == Opcode::Close => break,
            Some(_) => {}
            None => break,
        }
    }
    peer
}

/// CN-11: a peer whose pong lies unread while our output is blocked is not taken for gone.
#[tokio::test(start_paused = true)]
async fn pong_is_not_missed_while_the_output_is_blocked() {
    let (stream, peer) = duplex(1024);
    let mut config = quiet();
    config.pong_timeout = Duration::from_secs(10);
    let mut socket = server_on(stream, config);
    let mut peer = RawPeer::client(peer);
    socket.ping().await.unwrap();
    let ping = peer.frame().await.unwrap();
    peer.send(Frame::pong(ping.payload)).await;
    // Forty seconds at the peer's speed, each of them with progress.
    for _ in 0..40 {
        socket.feed(vec![0; 2048]).unwrap();
    }
    let reader = tokio::spawn(slow_reader(peer, 40));
    socket.flush().await.unwrap();
    let received = timeout(Duration::from_secs(60), socket.recv()).await;
    assert!(received.is_err(), "it goes on, but: {received:?}");
    drop(reader.await.unwrap());
}

/// BY-07: a peer that takes our output is not silent, though nothing is read from it meanwhile.
#[tokio::test(start_paused = true)]
async fn long_download_is_not_idle() {
    let (stream, peer) = duplex(1024);
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(20));
    config.ping_interval = Some(Duration::from_secs(5));
    let mut socket = server_on(stream, config);
    for _ in 0..40 {
        socket.feed(vec![0; 2048]).unwrap();
    }
    let reader = tokio::spawn(slow_reader(RawPeer::client(peer), 60));
    let received = timeout(Duration::from_secs(58), socket.recv()).await;
    assert!(received.is_err(), "it goes on, but: {received:?}");
    assert!(!reader.is_finished());
}

/// BY-08: the first true reason stays: idle, though the peer does not answer the close frame either.
#[tokio::test(start_paused = true)]
async fn idle_stays_the_reason_when_the_peer_is_gone() {
    let (stream, _silent) = duplex(1024);
    let mut config = Config::default();
    config.ping_interval = None;
    let mut socket = server_on(stream, config);
    let ended = socket.recv().await;
    assert!(matches!(ended, Err(Error::Timeout(TimeoutKind::Idle))), "{ended:?}");
    let outcome = socket.outcome().unwrap();
    assert_eq!(outcome.cause, CloseCause::Timeout(TimeoutKind::Idle));
}

/// 2c 42: a peer that broke the protocol and then neither reads nor closes is dropped after the linger second.
#[tokio::test(start_paused = true)]
async fn violating_peer_that_stays_is_dropped() {
    let (stream, peer) = duplex(1024);
    let driver = tokio::spawn(server_on(stream, quiet()).run(Sink));
    let mut peer = RawPeer::client(peer);
    peer.write(&[0x83, 0x80, 0, 0, 0, 0]).await;
    let outcome = timeout(Duration::from_secs(60), driver).await;
    let outcome = outcome.expect("still there after a minute").unwrap();
    assert_eq!(outcome.code.as_u16(), 1002);
}

/// BY-07: a client that runs a handler waits for the server's end of stream no longer than the close timeout.
#[tokio::test(start_paused = true)]
async fn server_that_answers_and_stays_is_dropped() {
    let (stream, peer) = duplex(1024);
    let socket = WebSocket::from_stream(stream, Role::Client, &Arc::new(quiet()));
    let (sender, receiver) = socket.split();
    let mut peer = RawPeer::server(peer);
    sender.close(1000, "").unwrap();
    assert_eq!(peer.close_code().await, Some(1000));
    peer.send(Frame::close(1000, "").unwrap()).await;
    let end = timeout(Duration::from_secs(60), peer.frame()).await;
    assert_eq!(end.expect("still there after a minute"), None);
    assert!(receiver.outcome().unwrap().clean);
}

/// 2c 52, RFC 6455 7.1.1: a stream whose shutdown takes several polls is shut down all the same.
#[tokio::test(start_paused = true)]
async fn shutdown_is_carried_through() {
    let (stream, peer) = duplex(1024);
    let stream = choppy(stream, 1, 64);
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(quiet()));
    let driver = tokio::spawn(socket.run(Sink));
    let mut peer = RawPeer::client(peer);
    // A violation: the server closes, shuts down and waits up to a second for us.
    peer.write(&[0x83, 0x80, 0, 0, 0, 0]).await;
    assert_eq!(peer.close_code().await, Some(1002));
    let start = tokio::time::Instant::now();
    let end = timeout(LONG, peer.frame()).await;
    assert_eq!(end.expect("no end of stream"), None);
    assert!(start.elapsed() < Duration::from_millis(500));
    drop(peer);
    driver.await.unwrap();
}

/// BY-02: a closing handshake goes on though nobody takes the messages before it.
#[tokio::test(start_paused = true)]
async fn unread_receiver_does_not_stop_the_closing_handshake() {
    let (stream, peer) = duplex(64 * 1024);
    let (sender, receiver) = server_on(stream, quiet()).split();
    let mut peer = RawPeer::client(peer);
    for _ in 0..100 {
        peer.send(Frame::text("unread")).await;
    }
    sender.close(1000, "bye").unwrap();
    assert_eq!(peer.close_code().await, Some(1000));
    peer.send(Frame::close(1000, "").unwrap()).await;
    assert_eq!(peer.frame().await, None);
    let outcome: CloseOutcome = receiver.outcome().expect("over");
    assert!(outcome.clean, "{outcome:?}");
}

/// CN-11: a driver that was polled by one task and then given to another keeps its deadlines.
#[tokio::test(start_paused = true)]
async fn driver_that_changes_its_task_keeps_its_timers() {
    let (stream, peer) = duplex(1024);
    let mut driver = Box::pin(server_on(stream, Config::default()).run(Sink));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.as_mut().poll(&mut cx).is_pending());
    let driver = tokio::spawn(driver);
    let mut peer = RawPeer::client(peer);
    let ping = timeout(Duration::from_secs(31), peer.frame()).await;
    let ping = ping.expect("no ping after 31 s").unwrap();
    assert_eq!(ping.opcode, Opcode::Ping);
    driver.abort();
}

/// CN-07, BY-08: the code of a full outbox is the outcome, though the peer never reads it.
#[tokio::test(start_paused = true)]
async fn overflow_stays_the_reason_when_the_peer_never_reads() {
    let (stream, _unread) = duplex(1024);
    let mut config = quiet();
    config.overflow = Overflow::Close;
    let (sender, mut receiver) = server_on(stream, config).split();
    while sender.try_send(vec![0; 64 * 1024]).is_ok() {
        tokio::task::yield_now().await;
    }
    while let Ok(Some(_)) = receiver.recv().await {}
    assert_eq!(receiver.outcome().unwrap().code.as_u16(), 1013);
}

/// CN-11: a pong shows that the peer lives also when a younger ping is already out.
#[tokio::test(start_paused = true)]
async fn pongs_that_take_longer_than_the_ping_interval_count() {
    let (stream, peer) = duplex(1024);
    let mut config = quiet();
    config.ping_interval = Some(Duration::from_secs(1));
    let mut socket = server_on(stream, config);
    let (mut reader, mut writer) = tokio::io::split(peer);
    let (pings, mut due) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut ping = [0; 6];
        while reader.read_exact(&mut ping).await.is_ok() {
            let at = tokio::time::Instant::now() + Duration::from_millis(2500);
            pings.send((at, ping)).ok();
        }
    });
    tokio::spawn(async move {
        while let Some((at, ping)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            let pong = Frame::pong(ping[2..].to_vec()).masked([1; 4]).encode();
            writer.write_all(&pong).await.ok();
        }
    });
    let received = timeout(Duration::from_secs(60), socket.recv()).await;
    assert!(received.is_err(), "it goes on, but: {received:?}");
}

/// Twenty seconds of silence, five for the closing handshake, one for the peer's end of stream.
const IDLE: (TimeoutKind, u64) = (TimeoutKind::Idle, 26);

/// What happens to a connection outside of any runtime.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Poll,
    Ping,
    Beginning,
    Write,
    Close,
}

impl Before {
    /// Does it, and how long the connection then has in its runtime.
    fn happen(
        self,
        socket: &mut WebSocket<DuplexStream>,
        peer: &mut DuplexStream,
    ) -> (TimeoutKind, u64) {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            Self::Nothing => {}
            Self::Poll => assert!(pin!(socket.recv()).poll(&mut cx).is_pending()),
            Self::Ping => {
                assert!(pin!(socket.ping()).poll(&mut cx).is_ready());
                return (TimeoutKind::Pong, 10);
            }
            Self::Beginning => {
                let beginning = Frame::text("hello").masked([0; 4]).encode();
                let writing = pin!(peer.write_all(&beginning[..8])).poll(&mut cx);
                assert!(matches!(writing, Poll::Ready(Ok(()))));
                assert!(pin!(socket.recv()).poll(&mut cx).is_pending());
            }
            Self::Write => {
                socket.feed(vec![0; 4096]).unwrap();
                assert!(pin!(socket.flush()).poll(&mut cx).is_pending());
                return (TimeoutKind::Write, 8);
            }
            Self::Close => {
                assert!(pin!(socket.close(1000, "")).poll(&mut cx).is_pending());
                return (TimeoutKind::Close, 5);
            }
        }
        IDLE
    }
}

/// BY-07, CN-11: the deadlines of a connection that is built, and used, outside of any runtime count from
/// its first use in one, however old that is.
#[test]
fn deadlines_count_from_the_first_runtime() {
    use Before::{Beginning, Close, Nothing, Ping, Poll, Write};
    for before in [Nothing, Poll, Ping, Beginning, Write, Close] {
        for age in [0, 300] {
            let (stream, mut peer) = duplex(1024);
            let mut config = quiet();
            config.idle_timeout = Some(Duration::from_secs(20));
            config.pong_timeout = Duration::from_secs(10);
            config.write_timeout = Duration::from_secs(8);
            config.close_timeout = Duration::from_secs(5);
            let mut socket = server_on(stream, config);
            let (kind, seconds) = before.happen(&mut socket, &mut peer);

            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build().unwrap();
            runtime.block_on(async {
                // Its clock goes on while there is any connection.
                let (stream, _peer) = duplex(64);
                let _other = server_on(stream, quiet());
                tokio::time::sleep(Duration::from_secs(age)).await;
                let start = tokio::time::Instant::now();
                let ended = timeout(Duration::from_secs(60), async {
                    while let Ok(Some(_)) = socket.recv().await {}
                });
                ended.await.unwrap_or_else(|_| panic!("{before:?}, {age}: no deadline"));
                let elapsed = start.elapsed().as_secs();
                assert!((seconds..=seconds + 1).contains(&elapsed), "{before:?}, {age}: {elapsed}");
                let cause = socket.outcome().unwrap().cause;
                assert_eq!(cause, CloseCause::Timeout(kind), "{before:?}, {age}");
            });
        }
    }
}

/// Whether it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// BY-07: a deadline that was set outside of any runtime is set again in one, for the same task, too.
#[test]
fn first_runtime_wakes_the_same_task() {
    let (stream, _silent) = duplex(1024);
    let mut config = quiet();
    config.idle_timeout = Some(Duration::from_secs(20));
    let mut socket = server_on(stream, config);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(pin!(socket.recv()).poll(&mut cx).is_pending());

    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        assert!(pin!(socket.recv()).poll(&mut cx).is_pending());
        tokio::time::sleep(Duration::from_secs(19)).await;
        assert!(!woken.0.load(Ordering::SeqCst), "too early");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(woken.0.load(Ordering::SeqCst), "nobody wakes it");
    });
}
