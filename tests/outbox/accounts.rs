//! Floor 5: what a queue that is never empty counts: what has left costs nothing any more.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sockeye::frame::Frame;
use sockeye::protocol::Overflow;
use sockeye::{
    Config, Connection, Handler, MessageKind, MessageRef, MessageWriter, Role, SendError, Sender,
    Sent, WebSocket,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use crate::support::io::RawPeer;
use crate::support::server::within;
use crate::support::streams::{Ignore, quiet_with, tcp_pair};

/// More than is encoded ahead, so that some of it waits.
const LONG_BYTES: usize = 200_000;
const ROUNDS: usize = 20;

fn config() -> Config {
    quiet_with(|config| {
        config.overflow = Overflow::DropOldest;
        config.outbox_messages_max = 6;
        config.outbox_bytes_max = 8 * LONG_BYTES;
    })
}

/// The queue takes as many as it may, and then each in the place of another.
#[track_caller]
fn fills_up(sender: &Sender) {
    let sent: Vec<_> = (0..20).map(|_| sender.try_send("x")).collect();
    let is_ok =
        |sent: &Result<Sent, SendError>| matches!(sent, Ok(Sent::Displaced { messages: 1 }));
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert!(sent.iter().filter(|sent| is_ok(sent)).count() >= 14, "{sent:?}");
}

/// BY-05, MS-07, A49: the place of a writer whose turn came and went.
#[tokio::test(start_paused = true)]
async fn a_writer_that_has_written_costs_nothing() {
    let (stream, peer) = duplex(1024);
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config()));
    let (sender, mut peer) = (socket.sender(), RawPeer::client(peer));
    let driver = tokio::spawn(socket.run(Ignore));
    let long = || sender.try_send(vec![7; LONG_BYTES]).unwrap();
    long();
    for _ in 0..ROUNDS {
        let mut writer = within(sender.send_stream(MessageKind::Text)).await.unwrap();
        long();
        message(&mut peer, LONG_BYTES).await;
        let writing = async {
            writer.write_all(b"between").await.unwrap();
            writer.shutdown().await.unwrap();
        };
        within(async { tokio::join!(writing, message(&mut peer, 7)) }).await;
    }
    fills_up(&sender);
    driver.abort();
}

/// One message, in frames.
async fn message<S: AsyncRead + AsyncWrite + Unpin>(peer: &mut RawPeer<S>, len: usize) {
    let mut came = 0;
    loop {
        let frame = within(peer.frame()).await.unwrap();
        came += frame.payload.len();
        if frame.fin {
            return assert_eq!(came, len);
        }
    }
}

/// BY-05, A49: what a connection has sent itself.
#[tokio::test(start_paused = true)]
async fn own_messages_that_left_cost_nothing() {
    let (stream, mut peer) = duplex(1024);
    let mut socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config()));
    let sender = socket.sender();
    let mut taken = vec![0; 2 * LONG_BYTES];
    // One more than leaves is always there.
    sender.try_send(vec![7; LONG_BYTES]).unwrap();
    for _ in 0..ROUNDS {
        // Behind one that is on its way, its own wait with the others.
        sender.try_send(vec![7; LONG_BYTES]).unwrap();
        flush_once(&mut socket).await;
        socket.feed(vec![7; LONG_BYTES]).unwrap();
        assert!(sender.queued().0 >= 2);
        // So many as come in a round leave in it.
        let mut flushing = pin!(socket.flush());
        let mut reading = pin!(peer.read_exact(&mut taken));
        poll_fn(|cx| {
            let _ = flushing.as_mut().poll(cx);
            reading.as_mut().poll(cx)
        })
        .await
        .unwrap();
    }
    fills_up(&sender);
}

async fn flush_once(socket: &mut WebSocket<DuplexStream>) {
    let mut flushing = pin!(socket.flush());
    poll_fn(|cx| {
        let _ = flushing.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

/// How much a handler sends at once: from 64 KiB on it is written from where it lies.
const BORROWED_BYTES: usize = 100_000;

/// Feeds a message and begins another one through its sender, then sends a long one of its own.
struct Behind(Option<MessageWriter>);

impl Handler for Behind {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        let sender = connection.sender();
        match message.as_text() {
            Some("feed") => {
                sender.feed("first").unwrap();
            }
            Some("open") => {
                let mut opening = pin!(sender.send_stream(MessageKind::Text));
                let Poll::Ready(writer) =
                    opening.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                else {
                    panic!("the outbox is empty");
                };
                self.0 = Some(writer.unwrap());
            }
            _ => {
                let mut writer = self.0.take().expect("it was opened");
                tokio::spawn(async move {
                    writer.write_all(b"between").await.unwrap();
                    writer.shutdown().await.unwrap();
                });
                return;
            }
        }
        connection.send(&*vec![7; BORROWED_BYTES]).unwrap();
    }
}

/// BY-05, MS-07: what a handler sends without a copy leaves behind what was sent before.
#[tokio::test]
async fn a_borrowed_message_keeps_its_turn() {
    let (stream, peer) = tcp_pair().await;
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(quiet_with(|_| {})));
    let mut peer = RawPeer::client(peer);
    let driver = tokio::spawn(socket.run(Behind(None)));
    peer.send(Frame::text("feed")).await;
    assert_eq!(within(peer.frame()).await, Some(Frame::text("first")));
    message(&mut peer, BORROWED_BYTES).await;
    peer.send(Frame::text("open")).await;
    peer.send(Frame::text("write")).await;
    message(&mut peer, 7).await;
    message(&mut peer, BORROWED_BYTES).await;
    driver.abort();
}

/// BY-05: own messages are no others' room: where dropping does not make any, nothing is dropped.
#[tokio::test(start_paused = true)]
async fn what_would_not_suffice_is_not_dropped() {
    let (stream, _peer) = duplex(1024);
    let mut socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config()));
    let sender = socket.sender();
    sender.try_send(vec![7; LONG_BYTES]).unwrap();
    flush_once(&mut socket).await;
    sender.try_send("x").unwrap();
    for _ in 0..6 {
        socket.feed("own").unwrap();
    }
    assert_eq!(sender.queued().0, 8);
    assert!(!matches!(sender.try_send("y"), Ok(Sent::Displaced { .. })));
    assert_eq!(sender.queued().0, 8);
}
