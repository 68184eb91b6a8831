//! BY-03: every public future can be dropped at every poll. Each is polled n times and dropped, for
//! n = 0, 1, 2 and so on until none is dropped any more; then the connection goes on, and no message
//! is lost, doubled or cut.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::Overflow;
use sockeye::{
    Acceptor, Config, Connector, Error, Message, Role, SendError, Sender, Server, State, WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::support::io::RawPeer;
use crate::support::pair::{fragment, last, quiet};
use crate::support::server::{lawful, within};
use crate::support::streams::{choppy, every_poll, polls};
use sockeye::testing::FaultyStream;

/// The fewest polls that streams as choppy as these take.
const LEAST: usize = 3;

type Socket = WebSocket<FaultyStream<DuplexStream>>;

fn on(stream: DuplexStream, role: Role) -> Socket {
    on_with(stream, role, quiet())
}

fn on_with(stream: DuplexStream, role: Role, config: Config) -> Socket {
    let stream = choppy(stream, 7, 5);
    WebSocket::from_stream(stream, role, &Arc::new(config))
}

/// Messages of every shape: empty, short, in the 16-bit length, and text of several bytes a letter.
fn messages() -> Vec<Message> {
    vec![
        Message::text("one"),
        Message::binary(vec![2; 200]),
        Message::text(""),
        Message::text("é🐟".repeat(20)),
        Message::binary(vec![]),
        Message::binary((0..=255).collect::<Vec<u8>>()),
        Message::text("last"),
    ]
}

/// The messages as a client's frames: whole, then in fragments with pings between them.
fn frames() -> Vec<Frame> {
    let mut frames = Vec::new();
    for message in messages() {
        let opcode = if message.as_text().is_some() { Opcode::Text } else { Opcode::Binary };
        let payload = message.into_bytes();
        frames.push(Frame::new(opcode, payload.clone()));
        let half = payload.len() / 2;
        frames.extend([
            fragment(opcode, &payload[..half]),
            Frame::ping("between"),
            last(&payload[half..]),
        ]);
    }
    frames
}

fn expected() -> Vec<Message> {
    messages().into_iter().flat_map(|message| [message.clone(), message]).collect()
}

/// A peer that writes all frames, then closes and reads to the end; how many pongs came.
async fn talk(stream: DuplexStream) -> usize {
    let mut peer = RawPeer::client(stream);
    for frame in frames() {
        peer.send(frame).await;
    }
    peer.send(Frame::close(1000, "").unwrap()).await;
    let (mut pongs, mut has_closed) = (0, false);
    while let Some(frame) = peer.frame().await {
        pongs += usize::from(frame == Frame::pong("between"));
        has_closed |= frame.opcode == Opcode::Close;
    }
    assert!(has_closed);
    pongs
}

/// `recv`: no message is lost or doubled, and every ping is answered once.
#[tokio::test]
async fn recv() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(4096);
        let talking = tokio::spawn(talk(peer));
        let mut socket = on(stream, Role::Server);
        let (mut seen, mut is_dropped) = (Vec::new(), false);
        loop {
            let received = match polls(socket.recv(), count).await {
                Some(received) => received,
                None => {
                    is_dropped = true;
                    socket.recv().await
                }
            };
            match received.unwrap() {
                Some(message) => seen.push(message),
                None => break,
            }
        }
        drop(socket);
        assert_eq!(seen, expected(), "dropped after {count} polls");
        assert_eq!(talking.await.unwrap(), messages().len());
        is_dropped
    })
    .await;
}

/// `recv`, dropped again and again after the same number of polls: it still gets on.
#[tokio::test]
async fn recv_that_is_never_finished() {
    for count in 1..8 {
        let (stream, peer) = duplex(4096);
        let talking = tokio::spawn(talk(peer));
        let mut socket = on(stream, Role::Server);
        let mut seen = Vec::new();
        let receiving = async {
            loop {
                match polls(socket.recv(), count).await {
                    Some(Ok(Some(message))) => seen.push(message),
                    Some(end) => break assert!(matches!(end, Ok(None)), "{end:?}"),
                    None => tokio::task::yield_now().await,
                }
            }
        };
        within(receiving).await;
        drop(socket);
        assert_eq!(seen, expected(), "always dropped after {count} polls");
        talking.await.unwrap();
    }
}

/// `recv_ref`.
#[tokio::test]
async fn recv_ref() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(4096);
        let talking = tokio::spawn(talk(peer));
        let mut socket = on(stream, Role::Server);
        let (mut seen, mut is_dropped) = (Vec::new(), false);
        loop {
            if let Some(received) = polls(socket.recv_ref(), count).await {
                match received.unwrap() {
                    Some(message) => seen.push(message.to_message()),
                    None => break,
                }
                continue;
            }
            is_dropped = true;
            match socket.recv_ref().await.unwrap() {
                Some(message) => seen.push(message.to_message()),
                None => break,
            }
        }
        drop(socket);
        assert_eq!(seen, expected(), "dropped after {count} polls");
        talking.await.unwrap();
        is_dropped
    })
    .await;
}

/// `next` of the stream.
#[tokio::test]
async fn stream_next() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(4096);
        let talking = tokio::spawn(talk(peer));
        let mut socket = on(stream, Role::Server);
        let (mut seen, mut is_dropped) = (Vec::new(), false);
        loop {
            let next = match polls(socket.next(), count).await {
                Some(next) => next,
                None => {
                    is_dropped = true;
                    socket.next().await
                }
            };
            match next {
                Some(message) => seen.push(message.unwrap()),
                None => break,
            }
        }
        drop(socket);
        assert_eq!(seen, expected(), "dropped after {count} polls");
        talking.await.unwrap();
        is_dropped
    })
    .await;
}

/// A peer that reads messages to the end and answers the close frame.
async fn listen(stream: DuplexStream) -> Vec<Message> {
    let mut peer = RawPeer::server(stream);
    let mut seen = Vec::new();
    while let Some(frame) = peer.frame().await {
        match frame.opcode {
            Opcode::Close => peer.send(Frame::close(1000, "").unwrap()).await,
            Opcode::Ping => {}
            opcode => seen.push(Message::from_opcode(opcode, frame.payload.clone()).unwrap()),
        }
        if frame.opcode == Opcode::Close {
            break;
        }
    }
    seen
}

/// `send`: one that was polled is sent whole, one that was not is not sent.
#[tokio::test]
async fn send() {
    every_poll(LEAST, async |count| {
        // Room for a few bytes only, so that writes have to wait.
        let (stream, peer) = duplex(16);
        let listening = tokio::spawn(listen(peer));
        let mut socket = on(stream, Role::Client);
        let mut is_dropped = false;
        for message in messages() {
            match polls(socket.send(message.clone()), count).await {
                Some(sent) => sent.unwrap(),
                None => {
                    is_dropped = true;
                    if count == 0 {
                        socket.send(message).await.unwrap();
                    }
                }
            }
        }
        assert!(socket.close(1000, "").await.unwrap().clean);
        assert_eq!(listening.await.unwrap(), messages(), "dropped after {count} polls");
        is_dropped
    })
    .await;
}

/// `flush`: what was fed leaves once, with the next flush.
#[tokio::test]
async fn flush() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(16);
        let listening = tokio::spawn(listen(peer));
        let mut socket = on(stream, Role::Client);
        for message in messages() {
            socket.feed(message).unwrap();
        }
        let flushed = polls(socket.flush(), count).await;
        if flushed.is_none() {
            socket.flush().await.unwrap();
        }
        assert_eq!(socket.unflushed(), 0);
        assert!(socket.close(1000, "").await.unwrap().clean);
        assert_eq!(listening.await.unwrap(), messages(), "dropped after {count} polls");
        flushed.is_none()
    })
    .await;
}

/// `send` of the sink: as `flush`, for what was not begun is lost with the future that owned it.
#[tokio::test]
async fn sink_flush() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(16);
        let listening = tokio::spawn(listen(peer));
        let mut socket = on(stream, Role::Client);
        for message in messages() {
            SinkExt::feed(&mut socket, message).await.unwrap();
        }
        let flushed = polls(SinkExt::flush(&mut socket), count).await;
        let closed = polls(SinkExt::close(&mut socket), count).await;
        if closed.is_none() {
            SinkExt::close(&mut socket).await.unwrap();
        }
        assert!(socket.outcome().unwrap().clean);
        assert_eq!(listening.await.unwrap(), messages(), "dropped after {count} polls");
        flushed.is_none() || closed.is_none()
    })
    .await;
}

/// `ping`: it goes out once, whole, between messages.
#[tokio::test]
async fn ping() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(16);
        let listening = tokio::spawn(listen(peer));
        let mut socket = on(stream, Role::Client);
        let mut is_dropped = false;
        for message in messages() {
            is_dropped |= polls(socket.ping(), count).await.is_none();
            socket.send(message).await.unwrap();
        }
        // Not flushed by a message behind it, but by close.
        is_dropped |= polls(socket.ping(), count).await.is_none();
        assert!(socket.close(1000, "").await.unwrap().clean);
        assert_eq!(listening.await.unwrap(), messages(), "dropped after {count} polls");
        is_dropped
    })
    .await;
}

/// `close`: once polled it has begun; what was fed goes first, and there is one close frame.
#[tokio::test]
async fn close() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(16);
        let listening = tokio::spawn(listen(peer));
        let mut socket = on(stream, Role::Client);
        for message in messages() {
            socket.feed(message).unwrap();
        }
        let closed = polls(socket.close(1000, "first"), count).await;
        let is_dropped = closed.is_none();
        let outcome = match closed {
            Some(closed) => closed.unwrap(),
            None => socket.close(1000, "second").await.unwrap(),
        };
        assert!(outcome.clean, "{outcome:?}");
        let reason = if count == 0 { "second" } else { "first" };
        assert_eq!(outcome.reason.as_str(), reason, "dropped after {count} polls");
        assert_eq!(socket.state(), State::Closed);
        assert_eq!(listening.await.unwrap(), messages());
        is_dropped
    })
    .await;
}

/// `close`, carried on by `recv`.
#[tokio::test]
async fn close_goes_on_in_recv() {
    every_poll(LEAST, async |count| {
        let (stream, peer) = duplex(16);
        let listening = tokio::spawn(listen(peer));
        let mut socket = on(stream, Role::Client);
        socket.feed("before").unwrap();
        let count = count + 1;
        let closed = polls(socket.close(1000, "bye"), count).await;
        assert_eq!(socket.recv().await.unwrap(), None, "dropped after {count} polls");
        assert!(socket.outcome().unwrap().clean);
        assert_eq!(listening.await.unwrap(), ["before".into()]);
        closed.is_none()
    })
    .await;
}

/// `Receiver::recv` of a split connection.
#[tokio::test]
async fn split_recv() {
    for count in 0..8 {
        let (stream, peer) = duplex(4096);
        let talking = tokio::spawn(talk(peer));
        let (_sender, mut receiver) = on(stream, Role::Server).split();
        let (mut seen, mut is_dropped) = (Vec::new(), false);
        loop {
            let received = match polls(receiver.recv(), count).await {
                Some(received) => received,
                None => {
                    is_dropped = true;
                    receiver.recv().await
                }
            };
            match received.unwrap() {
                Some(message) => seen.push(message),
                None => break,
            }
        }
        assert_eq!(seen, expected(), "dropped after {count} polls");
        assert_eq!(talking.await.unwrap(), messages().len());
        assert!(is_dropped || count > 0, "nothing has to wait");
    }
}

/// `Receiver::close`: dropping it drops the connection; the peer's stream ends between frames.
#[tokio::test]
async fn split_close() {
    for count in 0..8 {
        let (stream, peer) = duplex(4096);
        let listening = tokio::spawn(listen(peer));
        let (sender, receiver) = on(stream, Role::Client).split();
        sender.send("before").await.unwrap();
        let closed = polls(receiver.close(1000, "bye"), count).await;
        let seen = within(listening).await.unwrap();
        match &closed {
            Some(outcome) => assert!(outcome.as_ref().unwrap().clean),
            None => assert!(sender.is_closed()),
        }
        if closed.is_some() {
            assert_eq!(seen, ["before".into()]);
        }
    }
}

/// Sends each message again whose first future was dropped.
async fn send_all(sender: &Sender, count: usize) -> bool {
    let mut is_dropped = false;
    for message in messages() {
        match polls(sender.send(message.clone()), count).await {
            Some(sent) => assert!(sent.is_ok()),
            None => {
                is_dropped = true;
                sender.send(message).await.unwrap();
            }
        }
    }
    is_dropped
}

/// `Sender::send`: one that is dropped while it waits for room has sent nothing.
#[tokio::test]
async fn sender_send() {
    for count in 0..20 {
        let (stream, peer) = duplex(16);
        let mut config = quiet();
        config.outbox_messages_max = 1;
        let (sender, receiver) = on_with(stream, Role::Client, config).split();
        let listening = tokio::spawn(listen(peer));
        let is_dropped = within(send_all(&sender, count)).await;
        assert!(is_dropped || count > 0, "nothing has to wait");
        assert!(receiver.close(1000, "").await.unwrap().clean);
        assert_eq!(listening.await.unwrap(), messages(), "dropped after {count} polls");
    }
}

/// `Sender::send`: a place that a dropped future waited for goes to the next.
#[tokio::test(start_paused = true)]
async fn sender_send_passes_its_place_on() {
    let (stream, peer) = duplex(16);
    let mut config = quiet();
    config.outbox_messages_max = 1;
    config.overflow = Overflow::Block { timeout: Duration::from_secs(3600) };
    let (sender, _receiver) = on_with(stream, Role::Client, config).split();
    for number in 0..3 {
        // The first is on its way, the second waits in the outbox, the third for room.
        let _ = polls(sender.send(vec![number; 100]), 1).await;
        tokio::task::yield_now().await;
    }
    let full = sender.try_send("full");
    assert!(matches!(full, Err(SendError::Full { .. })), "{full:?}");
    let (next, dropped) = (sender.clone(), sender.clone());
    let mut dropped = Box::pin(async move { dropped.send("dropped").await });
    assert_eq!(polls(dropped.as_mut(), 1).await, None);
    let next = tokio::spawn(async move { next.send("next").await });
    tokio::task::yield_now().await;
    drop(dropped);
    let mut peer = RawPeer::server(peer);
    let mut texts = Vec::new();
    while texts.is_empty() {
        let frame = within(peer.frame()).await.unwrap();
        if frame.opcode == Opcode::Text {
            texts.push(frame.payload.clone());
        }
    }
    assert_eq!(texts, ["next"]);
    next.await.unwrap().unwrap();
}

/// `Acceptor::accept`: dropping it drops the stream; else the handshake is done, whatever follows.
#[tokio::test]
async fn accept() {
    every_poll(LEAST, async |count| {
        let (stream, mut client) = duplex(4096);
        client.write_all(&lawful()).await.unwrap();
        client.write_all(&Frame::text("hi").masked([1; 4]).encode()).await.unwrap();
        let stream = choppy(stream, 50, 40);
        let accepted = polls(Acceptor::default().accept(stream, None), count).await;
        let Some(accepted) = accepted else {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            return true;
        };
        let (mut socket, _) = accepted.unwrap();
        assert_eq!(socket.recv().await.unwrap(), Some("hi".into()));
        false
    })
    .await;
}

/// `Connector::connect_on`: the same for the client.
#[tokio::test]
async fn connect() {
    every_poll(LEAST, async |count| {
        let (stream, server) = duplex(4096);
        let accepting = tokio::spawn(async move {
            let (mut socket, _) = Acceptor::default().accept(server, None).await?;
            socket.send("hi").await?;
            socket.recv().await
        });
        let stream = choppy(stream, 50, 40);
        let connector = Connector::new(quiet());
        let connected = polls(connector.connect_on("ws://localhost/ws", stream), count).await;
        let is_dropped = connected.is_none();
        if let Some(socket) = connected {
            let mut socket = socket.unwrap();
            assert_eq!(socket.recv().await.unwrap(), Some("hi".into()));
            socket.close(1000, "").await.unwrap();
            assert_eq!(accepting.await.unwrap().unwrap(), None);
        } else {
            let ended: Result<_, Error> = accepting.await.unwrap();
            assert!(ended.is_err(), "dropped after {count} polls");
        }
        is_dropped
    })
    .await;
}

/// `Server::serve_until`: dropping it ends its connections and frees its address.
#[tokio::test]
async fn serve_until() {
    for count in 0..2 {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        let client = tokio::spawn(async move {
            let mut client = sockeye::connect(&format!("ws://{addr}/")).await?;
            client.recv().await
        });
        let serving = server.serve_until(
            |mut socket, _| async move { drop(socket.recv().await) },
            std::future::pending(),
        );
        assert!(within(polls(serving, count)).await.is_none());
        within(client).await.unwrap().ok();
        Server::bind(addr).await.unwrap();
    }
}
