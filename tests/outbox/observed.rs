//! Floor 5: what an observer hears.

use std::sync::{Arc, Mutex};

use sockeye::frame::Frame;
use sockeye::protocol::{Observer, Overflow, Rate, SharedObserver};
use sockeye::{Config, Role, WebSocket};
use tokio::io::{AsyncReadExt, duplex};

use crate::support::io::RawPeer;
use crate::support::server::within;
use crate::support::streams::{noise, quiet_with};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Received(u64, u64),
    Sent(u64, u64),
    Delivered(u64),
    Dropped(Overflow, u64),
    Lost(u64),
    RoundTrip,
}

#[derive(Default)]
struct Ears(Mutex<Vec<Told>>);

impl Ears {
    fn note(&self, told: Told) {
        self.0.lock().unwrap().push(told);
    }

    /// What came since this was asked last.
    fn heard(&self) -> Vec<Told> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer for Ears {
    fn received(&self, messages: u64, bytes: u64) {
        self.note(Told::Received(messages, bytes));
    }

    fn sent(&self, messages: u64, bytes: u64) {
        self.note(Told::Sent(messages, bytes));
    }

    fn delivered(&self, messages: u64) {
        self.note(Told::Delivered(messages));
    }

    fn dropped(&self, policy: Overflow, messages: u64) {
        assert!(messages > 0, "nothing is no news");
        self.note(Told::Dropped(policy, messages));
    }

    fn lost(&self, messages: u64) {
        assert!(messages > 0, "nothing is no news");
        self.note(Told::Lost(messages));
    }

    fn round_trip(&self, _: u64) {
        self.note(Told::RoundTrip);
    }
}

/// Settings whose observer is behind an `Arc`.
fn heard_by(ears: &Arc<Ears>) -> Config {
    quiet_with(|config| {
        config.observer = Some(SharedObserver::new(ears.clone()));
        config.overflow = Overflow::DropNewest;
        config.outbox_messages_max = 2;
    })
}

/// MT-01: what comes and goes is told once, and a round trip when the pong of our ping is there, not at another's.
#[tokio::test]
async fn mt_01_an_observer_hears_what_passes() {
    let ears = Arc::new(Ears::default());
    let (stream, peer) = duplex(64 * 1024);
    let mut socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(heard_by(&ears)));
    let mut peer = RawPeer::client(peer);
    let sender = socket.sender();
    sender.send("four").await.unwrap();
    assert_eq!(ears.heard(), [Told::Sent(1, 4)]);
    socket.ping().await.unwrap();
    assert_eq!(ears.heard(), [Told::Delivered(1)]);
    // It passes what waits.
    let ping = within(peer.frame()).await.unwrap();
    assert_eq!(within(peer.frame()).await.unwrap().payload, "four");
    peer.send(Frame::pong("of another")).await;
    peer.send(Frame::text("hello")).await;
    assert!(within(socket.recv()).await.unwrap().is_some());
    assert_eq!(ears.heard(), [Told::Received(1, 5)]);
    for expected in [[Told::RoundTrip, Told::Received(1, 3)].as_slice(), &[Told::Received(1, 3)]] {
        peer.send(Frame::pong(ping.payload.clone())).await;
        peer.send(Frame::text("you")).await;
        assert!(within(socket.recv()).await.unwrap().is_some());
        assert_eq!(ears.heard(), expected, "a pong counts once");
    }
}

/// MT-01: what a full outbox does not take is dropped, what waits when the connection ends is lost: nothing is told twice.
#[tokio::test]
async fn mt_01_an_observer_hears_what_is_dropped_and_lost() {
    let ears = Arc::new(Ears::default());
    let (stream, peer) = duplex(64);
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(heard_by(&ears)));
    let (sender, mut receiver) = socket.split();
    let reading = tokio::spawn(async move { receiver.recv().await.map(drop) });
    // One fills the pipe, two wait, the last is one too many.
    sender.try_send(noise(1000)).unwrap();
    tokio::task::yield_now().await;
    for text in ["a", "bc"] {
        sender.try_send(text).unwrap();
    }
    let _ = sender.try_send("one too many");
    let heard = ears.heard();
    assert_eq!(
        heard,
        [
            Told::Sent(1, 1000),
            Told::Sent(1, 1),
            Told::Sent(1, 2),
            Told::Dropped(Overflow::DropNewest, 1),
        ]
    );
    drop(peer);
    assert!(within(reading).await.unwrap().is_err());
    drop(sender);
    let lost: u64 =
        ears.heard().iter().map(|told| if let Told::Lost(n) = told { *n } else { 0 }).sum();
    assert_eq!(lost, 3);
}

/// MT-01, MS-06, BY-23: a message that is read as it comes counts as any other, for who listens and for the rate of bytes.
#[tokio::test]
async fn mt_01_what_is_read_by_pieces_counts() {
    let ears = Arc::new(Ears::default());
    let mut config = heard_by(&ears);
    config.byte_rate = Some(Rate::per_minute(250_000).burst(250_000));
    let (stream, peer) = duplex(4096);
    let mut socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let mut peer = RawPeer::client(peer);
    let sending = tokio::spawn(async move {
        for _ in 0..3 {
            peer.send(Frame::binary(noise(100_000))).await;
        }
        peer.close_code().await
    });
    for _ in 0..2 {
        let mut bytes = Vec::new();
        let mut reader = within(socket.recv_stream()).await.unwrap().unwrap();
        within(reader.read_to_end(&mut bytes)).await.unwrap();
        let (mut messages, mut counted) = (0, 0);
        for told in ears.heard() {
            if let Told::Received(some, bytes) = told {
                (messages, counted) = (messages + some, counted + bytes);
            }
        }
        assert_eq!((messages, counted, bytes.len()), (1, 100_000, 100_000));
    }
    let failed = match within(socket.recv_stream()).await {
        Ok(reader) => within(reader.unwrap().read_to_end(&mut Vec::new())).await.is_err(),
        Err(_) => true,
    };
    assert!(failed, "the third is too much in a minute");
    assert_eq!(within(sending).await.unwrap(), Some(1008));
}
