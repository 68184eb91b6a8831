//! Floor 5: control frames pass what waits in a full outbox, under each policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::Overflow;
use sockeye::{Connection, Handler, Message, MessageRef, Role, SendError, Sender, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite, duplex};

use crate::support::gate::Gate;
use crate::support::io::RawPeer;
use crate::support::server::within;
use crate::support::streams::{noise, quiet_with, tcp_pair};

const POLICIES: [Overflow; 4] = [
    Overflow::Block { timeout: Duration::ZERO },
    Overflow::DropNewest,
    Overflow::DropOldest,
    Overflow::Close,
];

const MESSAGES_MAX: usize = 64;
const LEN: usize = 32 * 1024;

/// Says when a ping was read.
struct Pinged(Arc<AtomicBool>);

impl Handler for Pinged {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}

    fn on_ping(&mut self, _: &mut Connection<'_>, _: &[u8]) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn config(overflow: Overflow) -> sockeye::Config {
    quiet_with(|config| {
        config.overflow = overflow;
        config.outbox_messages_max = MESSAGES_MAX;
        config.outbox_bytes_max = 64 * 1024 * 1024;
    })
}

/// Sends until the kernel takes no more and the outbox is full; returns how many messages.
async fn fill(sender: &Sender) -> usize {
    let mut count = 0;
    while sender.queued().0 < MESSAGES_MAX {
        sender.try_send(noise(LEN)).unwrap();
        count += 1;
        tokio::task::yield_now().await;
    }
    count
}

/// A client reads on while it cannot write, so it has a pong to send.
async fn control_passes<S>(stream: S, peer: S, overflow: Overflow)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = WebSocket::from_stream(stream, Role::Client, &Arc::new(config(overflow)));
    let sender = socket.sender();
    let mut peer = RawPeer::server(peer);
    let is_pinged = Arc::<AtomicBool>::default();
    let driver = tokio::spawn(socket.run(Pinged(is_pinged.clone())));
    let mut sent = fill(&sender).await;
    if overflow != Overflow::Close {
        let result = sender.try_send(noise(LEN));
        assert_eq!(result.is_ok(), overflow == Overflow::DropOldest, "{result:?}");
        sent += usize::from(!matches!(overflow, Overflow::Block { .. }));
    }
    peer.send(Frame::ping("theirs")).await;
    while !is_pinged.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    sender.try_send(Message::Ping("ours".into())).unwrap();
    let waiting = sender.queued().0;
    assert!(waiting > MESSAGES_MAX / 2, "{waiting} wait");
    let left = sent - usize::try_from(sender.dropped()).unwrap();
    let (mut messages, mut ping_after, mut pong_after) = (0, None, None);
    while messages < left {
        let frame = within(peer.frame()).await.unwrap();
        match frame.opcode {
            Opcode::Ping => ping_after = Some(messages),
            Opcode::Pong => pong_after = Some(messages),
            _ => messages += usize::from(frame.fin),
        }
    }
    let passed = |after: Option<usize>| after.is_some_and(|after| after + waiting <= left);
    assert!(
        passed(ping_after) && passed(pong_after),
        "{overflow:?}: ping after {ping_after:?}, pong after {pong_after:?} of {left}, {waiting} waited"
    );
    driver.abort();
}

/// BY-05: a ping that is sent and a pong that is answered pass all that waits, under each policy.
#[tokio::test]
async fn control_passes_a_full_outbox() {
    for overflow in POLICIES {
        let (stream, peer) = duplex(1024);
        control_passes(stream, peer, overflow).await;
        let (stream, peer) = tcp_pair().await;
        control_passes(stream, peer, overflow).await;
    }
}

/// BY-05: the keepalive's ping passes what waits, too.
#[tokio::test(start_paused = true)]
async fn keepalive_passes_a_full_outbox() {
    for overflow in POLICIES {
        let (stream, peer) = duplex(1024);
        let mut config = config(overflow);
        config.ping_interval = Some(Duration::from_secs(1));
        config.write_timeout = Duration::from_secs(60);
        config.pong_timeout = Duration::from_secs(60);
        let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
        let (sender, _receiver) = socket.split();
        let left = fill(&sender).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let waiting = sender.queued().0;
        let mut peer = RawPeer::client(peer);
        let mut messages = 0;
        loop {
            let frame = within(peer.frame()).await.unwrap();
            if frame.opcode == Opcode::Ping {
                break;
            }
            messages += usize::from(frame.fin);
        }
        assert!(messages + waiting <= left, "{overflow:?}: after {messages} of {left}");
    }
}

/// BY-05, row 27: pings of a sender that nobody reads are bounded, refused without being counted, and
/// close nothing.
#[test]
fn pings_are_bounded() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    for overflow in POLICIES {
        let mut gate = Gate::new(config(overflow));
        gate.poll();
        let ping = || Message::Ping(vec![0; 125].into());
        let mut sent = 0;
        let refused = loop {
            gate.poll();
            match gate.sender.try_send(ping()) {
                Ok(_) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 1000, "never refused");
        };
        assert!(matches!(refused, SendError::Full { .. }), "{refused:?}");
        assert!(!gate.sender.is_closed());
        assert_eq!(gate.sender.dropped(), 0);
        gate.allow(usize::MAX);
        assert_eq!(gate.take().len(), sent * 127);
        gate.sender.try_send(ping()).unwrap();
    }
}

/// BY-05, MS-03: a ping passes into the middle of a long message, be it text or binary, said by a server or a client.
#[tokio::test]
async fn control_passes_into_a_long_message() {
    const LONG: usize = 1024 * 1024;
    for role in [Role::Server, Role::Client] {
        for message in [Message::text("x".repeat(LONG)), Message::binary(vec![7; LONG])] {
            let (stream, peer) = duplex(1024);
            let socket = WebSocket::from_stream(stream, role, &Arc::new(quiet_with(|_| {})));
            let sender = socket.sender();
            let mut peer =
                if role == Role::Server { RawPeer::client(peer) } else { RawPeer::server(peer) };
            let driver = tokio::spawn(socket.run(Pinged(Arc::default())));
            sender.try_send(message.clone()).unwrap();
            // As much is encoded as may be.
            let mut bytes = within(peer.frame()).await.unwrap().payload.len();
            sender.try_send(Message::Ping("ours".into())).unwrap();
            loop {
                let frame = within(peer.frame()).await.unwrap();
                if frame.opcode == Opcode::Ping {
                    break;
                }
                bytes += frame.payload.len();
            }
            assert!(bytes < LONG / 2, "{role:?}: a ping after {bytes} bytes");
            driver.abort();
        }
    }
}
