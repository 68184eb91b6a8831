//! What can be asked of a connection and set on it.

use std::sync::Arc;
use std::time::Duration;

use sockeye::frame::{CloseCode, Frame};
use sockeye::{Config, Connection, Handler, Message, MessageRef, Role, State, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use crate::support::pair::quiet;

fn pair(config: Config) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, peer) = duplex(64 * 1024);
    (WebSocket::from_stream(ours, Role::Server, &Arc::new(config)), peer)
}

struct Quiet;

impl Handler for Quiet {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// CN-01: every connection has a number of its own, the same on all its handles.
#[tokio::test]
async fn ids_are_unique_and_shared_by_handles() {
    let sockets: Vec<_> = (0..100).map(|_| pair(quiet())).collect();
    let mut ids: Vec<u64> = sockets.iter().map(|(socket, _)| socket.id()).collect();
    assert!(sockets.iter().all(|(socket, _)| socket.sender().id() == socket.id()));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

/// CN-02, CN-08: a connection over any byte stream, with its own queue, timeout and policy, goes
/// through its states.
#[tokio::test(start_paused = true)]
async fn a_connection_over_any_stream_goes_through_its_states() {
    let mut config = quiet();
    config.outbox_messages_max = 64;
    config.overflow = sockeye::protocol::Overflow::Block { timeout: Duration::from_millis(50) };
    let (mut socket, mut peer) = pair(config);
    assert_eq!(socket.state(), State::Open);
    socket.feed(Message::Close(None)).unwrap();
    assert_eq!(socket.state(), State::Closing);
    socket.flush().await.unwrap();
    let answer = Frame::close(1000, "bye").unwrap().masked([1, 2, 3, 4]);
    peer.write_all(&answer.encode()).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), None);
    assert_eq!(socket.state(), State::Closed);
    assert!(socket.outcome().unwrap().clean);
}

/// CN-09, CN-10: ping period and pong wait are settings; when the last ping left, when its pong came
/// and how long it took can be asked for.
#[tokio::test(start_paused = true)]
async fn ping_times_and_round_trip_can_be_read() {
    let mut config = quiet();
    config.ping_interval = Some(Duration::from_secs(10));
    config.pong_timeout = Duration::from_secs(30);
    let (socket, mut peer) = pair(config);
    let sender = socket.sender();
    assert_eq!((sender.last_ping(), sender.last_pong(), sender.round_trip()), (None, None, None));
    let driving = tokio::spawn(socket.run(Quiet));

    let started = Instant::now();
    let mut ping = [0; 6];
    peer.read_exact(&mut ping).await.unwrap();
    assert_eq!(ping[..2], [0x89, 4], "a ping with four bytes");
    let pinged = sender.last_ping().expect("the ping has left");
    assert!((5..=10).contains(&pinged.duration_since(started).as_secs()), "the first is jittered");
    assert_eq!(sender.round_trip(), None, "no pong yet");

    tokio::time::advance(Duration::from_millis(1_500)).await;
    let pong = Frame::pong(ping[2..].to_vec()).masked([9, 9, 9, 9]).encode();
    peer.write_all(&pong).await.unwrap();
    while sender.round_trip().is_none() {
        tokio::task::yield_now().await;
    }
    let round_trip = sender.round_trip().unwrap();
    assert!((1_500..1_700).contains(&round_trip.as_millis()), "{round_trip:?}");
    assert_eq!(sender.last_pong().unwrap().duration_since(pinged), round_trip);
    driving.abort();
}

/// CN-09, MS-04: the read limit is a setting; what is over it is 1009.
#[tokio::test(start_paused = true)]
async fn the_read_limit_is_a_setting() {
    let mut config = quiet();
    config.message_bytes_max = 32;
    let (mut socket, mut peer) = pair(config);
    for len in [32, 33] {
        let frame = Frame::binary(vec![0; len]).masked([1, 2, 3, 4]);
        peer.write_all(&frame.encode()).await.unwrap();
    }
    assert_eq!(socket.recv().await.unwrap().unwrap().as_bytes().len(), 32);
    assert!(socket.recv().await.is_err());
    assert_eq!(socket.outcome().unwrap().code, CloseCode::MessageTooBig);
}

/// CC-01..CC-04, CC-07..CC-13: the names have the RFC's and the registry's numbers.
#[test]
fn s7_4_1_close_codes_by_name() {
    let names = [
        (CloseCode::Normal, 1000),
        (CloseCode::GoingAway, 1001),
        (CloseCode::ProtocolError, 1002),
        // CC-04
        (CloseCode::UnsupportedData, 1003),
        (CloseCode::InvalidPayload, 1007),
        // CC-08
        (CloseCode::PolicyViolation, 1008),
        (CloseCode::MessageTooBig, 1009),
        // CC-10
        (CloseCode::ExtensionRequired, 1010),
        // CC-11
        (CloseCode::InternalError, 1011),
        // CC-12
        (CloseCode::ServiceRestart, 1012),
        (CloseCode::TryAgainLater, 1013),
        (CloseCode::BadGateway, 1014),
    ];
    for (code, number) in names {
        assert_eq!(code.as_u16(), number);
        assert!(code.is_sendable());
    }
}
