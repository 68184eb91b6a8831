//! BY-03: the futures of streaming can be dropped at every poll, as those in `cancel`.

use std::pin::Pin;
use std::time::Duration;

use sockeye::frame::Opcode;
use sockeye::protocol::Overflow;
use sockeye::{MessageKind, SendError, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use crate::support::io::RawPeer;
use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::choppy;
use crate::support::streams::{
    Author, Ignore, MODES, Mode, Reads, every_poll, masked, noise, polls, quiet_with,
};
use sockeye::testing::FaultyStream;

/// The fewest polls that streams as choppy as these take.
const LEAST: usize = 2;

type Socket = WebSocket<FaultyStream<DuplexStream>>;

fn shredded(mode: Mode, stream: DuplexStream) -> Socket {
    mode.server(choppy(stream, 7, 500), quiet())
}

/// What a fragmented message is, frame by frame.
async fn message<S: AsyncRead + AsyncWrite + Unpin>(peer: &mut RawPeer<S>) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let frame = peer.data().await?;
        if frame.opcode == Opcode::Close {
            return None;
        }
        let is_first = frame.opcode != Opcode::Continuation;
        assert_eq!(is_first, all.is_empty(), "no message is joined with another");
        all.extend_from_slice(&frame.payload);
        if frame.fin {
            return Some(all);
        }
    }
}

/// MS-06: `recv_stream` and `chunk`: no byte is lost or doubled.
#[tokio::test]
async fn reading() {
    for mode in MODES {
        every_poll(LEAST, async |count| {
            let mut author = Author::new(mode);
            let mut frames = author.frames(Opcode::Binary, &noise(300), &[0, 100, 200]);
            frames.extend(author.frames(Opcode::Text, b"next", &[2]));
            let mut socket = mode.server(Reads::by(&masked(&frames), 11), quiet());
            let mut is_dropped = false;
            for expected in [noise(300), b"next".to_vec()] {
                let mut reader = match polls(socket.recv_stream(), count).await {
                    Some(reader) => reader.unwrap().unwrap(),
                    None => {
                        is_dropped = true;
                        socket.recv_stream().await.unwrap().unwrap()
                    }
                };
                let mut bytes = Vec::new();
                loop {
                    let chunk = match polls(reader.chunk(), count).await {
                        Some(chunk) => chunk.unwrap().map(<[u8]>::to_vec),
                        None => {
                            is_dropped = true;
                            reader.chunk().await.unwrap().map(<[u8]>::to_vec)
                        }
                    };
                    let Some(chunk) = chunk else { break };
                    bytes.extend(chunk);
                }
                assert_eq!(bytes, expected, "{mode:?}, dropped after {count} polls");
            }
            is_dropped
        })
        .await;
    }
}

/// Writes what there is, flushes in between and ends, each future dropped after so many polls and made
/// again. Whether one was dropped.
async fn write_again<W: AsyncWrite + Unpin>(mut writer: W, payload: &[u8], count: usize) -> bool {
    let mut is_dropped = false;
    let (mut at, mut writes) = (0, 0);
    while at < payload.len() {
        let part = &payload[at..payload.len().min(at + 900)];
        let written = polls(writer.write(part), count).await;
        is_dropped |= written.is_none();
        at += match written {
            Some(written) => written.unwrap(),
            None => writer.write(part).await.unwrap(),
        };
        writes += 1;
        if writes % 2 == 0 && polls(writer.flush(), count).await.is_none() {
            is_dropped = true;
            writer.flush().await.unwrap();
        }
    }
    if polls(writer.shutdown(), count).await.is_none() {
        is_dropped = true;
        writer.shutdown().await.unwrap();
    }
    is_dropped
}

/// MS-07: `write`, `flush` and `shutdown` of a socket's writer.
#[tokio::test]
async fn writing_by_socket() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(300);
        let mut socket = shredded(Mode::Plain, stream);
        let reading = tokio::spawn(async move {
            let mut peer = RawPeer::client(peer);
            (message(&mut peer).await, message(&mut peer).await)
        });
        let writer = socket.send_stream(MessageKind::Binary).unwrap();
        let is_dropped = write_again(writer, &noise(3000), count).await;
        socket.send("next").await.unwrap();
        let (first, next) = reading.await.unwrap();
        assert!(first == Some(noise(3000)), "dropped after {count} polls");
        assert_eq!(next, Some(b"next".to_vec()));
        is_dropped
    })
    .await;
}

/// MS-07: the same for a sender's writer, while another sends.
#[tokio::test]
async fn writing_by_sender() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(300);
        let socket = shredded(Mode::Plain, stream);
        let sender = socket.sender();
        let driving = tokio::spawn(socket.run(Ignore));
        let reading = tokio::spawn(async move {
            let mut peer = RawPeer::client(peer);
            (message(&mut peer).await, message(&mut peer).await)
        });
        let writer = sender.send_stream(MessageKind::Binary).await.unwrap();
        let other = sender.send_stream(MessageKind::Text).await.unwrap();
        let is_dropped = write_again(writer, &noise(3000), count).await;
        let is_dropped = write_again(other, b"next", count).await || is_dropped;
        let (first, next) = within(reading).await.unwrap();
        assert!(first == Some(noise(3000)), "dropped after {count} polls");
        assert_eq!(next, Some(b"next".to_vec()));
        drop(driving);
        // A flush of a sender's writer is pending until its driver has written: how often depends on
        // the driver.
        is_dropped && count < 40
    })
    .await;
}

/// MS-07: a `shutdown` that is dropped with its writer: the message is whole, or the connection closes.
#[tokio::test]
async fn given_up() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(300);
        let mut socket = shredded(Mode::Plain, stream);
        let reading = tokio::spawn(async move {
            let mut peer = RawPeer::client(peer);
            let first = message(&mut peer).await;
            peer.send(sockeye::frame::Frame::close(1000, "").unwrap()).await;
            while peer.frame().await.is_some() {}
            first
        });
        let mut writer = socket.send_stream(MessageKind::Binary).unwrap();
        let writing = async {
            writer.write_all(&noise(2000)).await.unwrap();
            writer.flush().await.unwrap();
            writer.write_all(&noise(2000)).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let is_whole = polls(writing, count).await.is_some();
        drop(writer);
        let _ = socket.send("behind").await;
        assert!(socket.recv().await.unwrap().is_none());
        let whole = [noise(2000), noise(2000)].concat();
        match reading.await.unwrap() {
            None => assert!(!is_whole),
            // Nothing of it was sent.
            Some(first) if first == b"behind" => assert!(!is_whole),
            Some(first) => assert!(first == whole, "dropped after {count} polls"),
        }
        !is_whole
    })
    .await;
}

/// MS-07, CN-05: a `send_stream` that is dropped while it waits for room has taken no place.
#[tokio::test(start_paused = true)]
async fn waiting_for_room() {
    let (stream, peer) = duplex(1000);
    let config = quiet_with(|config| {
        config.outbox_messages_max = 1;
        config.overflow = Overflow::Block { timeout: Duration::from_secs(10) };
    });
    let socket = Mode::Plain.server(stream, config);
    let sender = socket.sender();
    tokio::spawn(socket.run(Ignore));
    sender.send(noise(100_000)).await.unwrap();
    for _ in 0..4 {
        assert!(polls(sender.send_stream(MessageKind::Text), 1).await.is_none());
    }
    let timeout = sender.send_stream(MessageKind::Text).await.unwrap_err();
    assert!(matches!(timeout, SendError::Timeout { .. } | SendError::Closed), "{timeout:?}");
    assert!(sender.queued().0 <= 1, "nobody has a place");
    drop(peer);
}

/// MS-07: a writer that was polled while another had its turn, and dropped, does not hold up the next.
#[tokio::test(start_paused = true)]
async fn dropped_in_the_queue() {
    let (stream, peer) = duplex(1000);
    let (sender, _receiver) = Mode::Plain.server(stream, quiet()).split();
    let mut peer = RawPeer::client(peer);
    let mut first = sender.send_stream(MessageKind::Text).await.unwrap();
    let mut second = sender.send_stream(MessageKind::Text).await.unwrap();
    first.write_all(b"first").await.unwrap();
    first.flush().await.unwrap();
    second.write_all(b"second").await.unwrap();
    assert!(polls(second.shutdown(), 1).await.is_none());
    sender.send("third").await.unwrap();
    drop(second);
    let mut ending = Box::pin(first.shutdown());
    within(Pin::new(&mut ending)).await.unwrap();
    assert_eq!(within(message(&mut peer)).await, Some(b"first".to_vec()));
    assert_eq!(within(message(&mut peer)).await, Some(b"third".to_vec()));
}
