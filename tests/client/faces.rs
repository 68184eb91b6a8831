//! What a client does with its connection: channel, stream, ping, JSON.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use sockeye::client::IntoTimeout;
use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::TimeoutKind;
use sockeye::{Connector, Error, Message, NetStream, Receiver, Role, SendError, Sender, WebSocket};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, interval_at};

use crate::support::client::{LAWFUL, read_head, with_accept};
use crate::support::io::RawPeer;
use crate::support::pair::{quiet, to};
use crate::support::server::within;

/// A client through its handshake, and its server by hand.
async fn connected(connector: &Connector) -> (WebSocket<NetStream>, RawPeer<DuplexStream>) {
    let (stream, mut server) = duplex(1024 * 1024);
    let serving = async {
        let head = read_head(&mut server).await.unwrap();
        server.write_all(&with_accept(LAWFUL.as_bytes(), &head)).await.unwrap();
        server
    };
    let connecting = connector.connect_on("ws://a.test/", NetStream::boxed(stream));
    let (socket, server) = tokio::join!(connecting, serving);
    (socket.unwrap(), RawPeer::server(server))
}

fn connector() -> Connector {
    Connector::new(quiet())
}

async fn split() -> (Sender, Receiver, RawPeer<DuplexStream>) {
    let (socket, server) = connected(&connector()).await;
    let (sender, receiver) = socket.split();
    (sender, receiver, server)
}

/// Polls once.
fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(future).poll(&mut cx).is_pending()
}

fn from_server(frames: &[Frame]) -> Vec<u8> {
    to(Role::Client, frames)
}

/// CL-11, CL-15, CL-19: text, binary and JSON, with their kind and data on the other side.
#[tokio::test]
async fn cl_11_text_binary_and_json() {
    let (sender, mut receiver, mut server) = split().await;
    sender.send("hello").await.unwrap();
    sender.send(vec![1, 2]).await.unwrap();
    #[cfg(feature = "json")]
    {
        let subscribe = serde_json::json!({"type": "subscribe", "channel": "orders"});
        sender.send(Message::json(&subscribe).unwrap()).await.unwrap();
    }
    let text = server.frame().await.unwrap();
    assert_eq!((text.opcode, &text.payload[..]), (Opcode::Text, &b"hello"[..]));
    let binary = server.frame().await.unwrap();
    assert_eq!((binary.opcode, &binary.payload[..]), (Opcode::Binary, &[1, 2][..]));
    #[cfg(feature = "json")]
    {
        let json = server.frame().await.unwrap();
        let value: serde_json::Value = serde_json::from_slice(&json.payload[..]).unwrap();
        assert_eq!(value["channel"], "orders");
    }
    server.write(&from_server(&[Frame::text("{\"a\":1}"), Frame::binary(vec![3])])).await;
    let message = receiver.recv().await.unwrap().unwrap();
    assert_eq!(message.as_text(), Some("{\"a\":1}"));
    assert!(
        matches!(receiver.recv().await.unwrap(), Some(Message::Binary(data)) if data[..] == [3])
    );
}

/// CL-13: the channel ends when the connection is closed; then it says so for ever.
#[tokio::test]
async fn cl_13_the_channel_ends() {
    let (sender, mut receiver, mut server) = split().await;
    server.write(&from_server(&[Frame::text("last"), Frame::close(1001, "bye").unwrap()])).await;
    assert_eq!(receiver.recv().await.unwrap(), Some("last".into()));
    assert_eq!(server.close_code().await, Some(1001));
    drop(server);
    assert_eq!(within(receiver.recv()).await.unwrap(), None);
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert_eq!(receiver.outcome().unwrap().reason.as_str(), "bye");
    assert_eq!(sender.send("late").await, Err(SendError::Closed));
    assert!(matches!(sender.ping().await, Err(Error::Closed)));
}

/// CL-13: the channel is a stream, too.
#[tokio::test]
async fn cl_13_the_channel_is_a_stream() {
    let (_sender, receiver, mut server) = split().await;
    server
        .write(&from_server(&[Frame::text("a"), Frame::text("b"), Frame::close(1000, "").unwrap()]))
        .await;
    drop(server);
    let texts: Vec<_> = within(receiver.collect::<Vec<_>>()).await;
    let texts: Vec<_> = texts
        .into_iter()
        .map(|message| message.as_ref().unwrap().as_text().map(str::to_owned).unwrap())
        .collect();
    assert_eq!(texts, ["a", "b"]);
}

/// CL-14, CL-12: a keepalive of one's own: a ping after 30 s without messages, in one `select!`.
#[tokio::test(start_paused = true)]
async fn cl_14_select_with_a_timer() {
    let (sender, mut receiver, mut server) = split().await;
    let answering = tokio::spawn(async move {
        for _ in 0..3 {
            let ping = server.frame().await.unwrap();
            assert_eq!(ping.opcode, Opcode::Ping);
            server
                .write(&from_server(&[Frame::text("data"), Frame::pong(ping.payload.clone())]))
                .await;
        }
        server.close_code().await
    });
    let silence = Duration::from_secs(30);
    let start = Instant::now();
    let mut heartbeat = interval_at(start + silence, silence);
    let (mut pings, mut messages) = (0, 0);
    while pings < 3 {
        tokio::select! {
            message = receiver.recv() => {
                assert_eq!(message.unwrap(), Some("data".into()));
                messages += 1;
                heartbeat.reset();
            }
            _ = heartbeat.tick() => {
                sender.ping().await.unwrap();
                pings += 1;
            }
        }
    }
    assert_eq!((start.elapsed().as_secs(), messages), (90, 2));
    sender.close(1000, "done").unwrap();
    assert_eq!(answering.await.unwrap(), Some(1000));
}

/// CL-10: so many messages are read ahead, then the server is held back; nothing is lost.
#[tokio::test(start_paused = true)]
async fn cl_10_the_channel_is_bounded() {
    for capacity in [1, 3, 200] {
        let connector = connector().channel_capacity(capacity).unwrap();
        let (stream, mut server) = duplex(64);
        let serving = async {
            let head = read_head(&mut server).await.unwrap();
            server.write_all(&with_accept(LAWFUL.as_bytes(), &head)).await.unwrap();
            server
        };
        let (socket, server) = tokio::join!(connector.connect_on("ws://a.test/", stream), serving);
        let (_sender, mut receiver) = socket.unwrap().split();
        let mut server = server;
        // As many bytes as the pipe holds are on their way beside what was read.
        let frame = from_server(&[Frame::binary(vec![7; 14])]);
        let mut written = 0;
        while written < 1000 {
            let writing = tokio::time::timeout(Duration::from_millis(50), server.write_all(&frame));
            if writing.await.is_err() {
                break;
            }
            written += 1;
        }
        assert!((capacity..=capacity + 9).contains(&written), "{written} of {capacity}");
        for _ in 0..written {
            let message = within(receiver.recv()).await.unwrap().unwrap();
            assert_eq!(message.as_bytes(), [7; 14]);
        }
    }
}

/// CL-12: the time there and back, of the pong that answers this ping and no other.
#[tokio::test(start_paused = true)]
async fn cl_12_ping_waits_for_its_pong() {
    let (sender, _receiver, mut server) = split().await;
    let answering = async {
        let first = server.frame().await.unwrap();
        let second = server.frame().await.unwrap();
        assert_ne!(&first.payload[..], &second.payload[..]);
        tokio::time::sleep(Duration::from_millis(70)).await;
        let forged = [b"".to_vec(), b"ping".to_vec(), b"ping\xff\xff\xff\xff".to_vec(), vec![0; 4]];
        for payload in forged {
            server.write(&from_server(&[Frame::pong(payload)])).await;
        }
        server.write(&from_server(&[Frame::pong(second.payload.clone())])).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        server.write(&from_server(&[Frame::pong(first.payload.clone())])).await;
    };
    let (first, second, ()) = tokio::join!(sender.ping(), sender.ping(), answering);
    assert_eq!(first.unwrap(), Duration::from_millis(100));
    assert_eq!(second.unwrap(), Duration::from_millis(70));
    assert_eq!(sender.round_trip(), None, "the keepalive's pings are others");
}

/// CL-12: a pong that does not come is a timeout, the connection goes on, and a late one is passed over.
#[tokio::test(start_paused = true)]
async fn cl_12_a_pong_that_does_not_come() {
    let (sender, mut receiver, mut server) = split().await;
    let start = Instant::now();
    let error = sender.ping().await.unwrap_err();
    assert!(matches!(error, Error::Timeout(TimeoutKind::Pong)) && error.retryable());
    assert_eq!(start.elapsed(), quiet().pong_timeout);
    let ping = server.frame().await.unwrap();
    server.write(&from_server(&[Frame::pong(ping.payload.clone()), Frame::text("on")])).await;
    assert_eq!(receiver.recv().await.unwrap(), Some("on".into()));
}

/// CL-12: pings that wait are bounded, a dropped one makes room, and an end of the connection ends all.
#[tokio::test]
async fn cl_12_pings_are_bounded() {
    let (sender, receiver, mut server) = split().await;
    let mut waiting: Vec<_> = (0..16).map(|_| Box::pin(sender.ping())).collect();
    for ping in &mut waiting {
        assert!(is_pending(ping));
        server.frame().await.unwrap();
    }
    let full = sender.ping().await.unwrap_err();
    assert!(matches!(full, Error::Send(SendError::Full { messages: 16, .. })), "{full:?}");
    waiting.pop();
    let mut next = Box::pin(sender.ping());
    assert!(is_pending(&mut next));
    drop(receiver);
    for ping in waiting.into_iter().chain([next]) {
        let error = within(ping).await.unwrap_err();
        assert!(matches!(error, Error::Closed), "{error:?}");
    }
}

/// CL-16: a code and a reason; what may not be sent is an error.
#[tokio::test]
async fn cl_16_close() {
    let (mut socket, mut server) = connected(&connector()).await;
    assert!(socket.close(1005, "").await.is_err());
    let closing = socket.close(4000, "Session ended");
    let answering = async {
        let close = server.frame().await.unwrap();
        assert_eq!(&close.payload[..], b"\x0f\xa0Session ended");
        let answer = Frame::close(4000, "Session ended").unwrap();
        server.write(&from_server(&[answer])).await;
        drop(server);
    };
    let (outcome, ()) = within(async { tokio::join!(closing, answering) }).await;
    let outcome = outcome.unwrap();
    assert!(outcome.clean);
    assert_eq!(u16::from(outcome.code), 4000);
}

/// CL-16, CL-10: what comes behind our close is received as far as it fits in what is read ahead; the rest is
/// dropped, for the closing handshake waits for nobody.
#[tokio::test(start_paused = true)]
async fn cl_16_messages_behind_our_close() {
    let (socket, mut server) = connected(&connector().channel_capacity(3).unwrap()).await;
    let (sender, mut receiver) = socket.split();
    sender.close(1000, "").unwrap();
    assert_eq!(server.close_code().await, Some(1000));
    let mut frames: Vec<_> = (0..10).map(|number| Frame::text(&format!("{number}"))).collect();
    frames.push(Frame::close(1000, "").unwrap());
    server.write(&from_server(&frames)).await;
    drop(server);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in 0..3 {
        let message = receiver.recv().await.unwrap().unwrap();
        assert_eq!(message.as_text(), Some(number.to_string().as_str()));
    }
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert!(receiver.outcome().unwrap().clean);
}

/// CL-05, CL-06, CL-09: the settings of the connector are those of its connections.
#[tokio::test(start_paused = true)]
async fn cl_05_settings_reach_the_connection() {
    let long = connector().read_timeout("1500ms").unwrap();
    let (mut socket, mut server) = connected(&long).await;
    let start = Instant::now();
    let closing = async {
        assert_eq!(server.close_code().await, Some(1001));
        start.elapsed()
    };
    let (error, elapsed) = tokio::join!(socket.recv(), closing);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Timeout(TimeoutKind::Idle)), "{error:?}");
    // The coarse clock counts in steps.
    let read_timeout = "1500ms".into_timeout().unwrap();
    assert!(elapsed >= read_timeout && elapsed < read_timeout * 2, "{elapsed:?}");

    let (mut socket, _server) = connected(&connector().write_timeout(3000).unwrap()).await;
    let start = Instant::now();
    while socket.send(vec![0; 1 << 20]).await.is_ok() {}
    assert!((3..5).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());

    let (mut socket, mut server) = connected(&connector().read_limit(5).unwrap()).await;
    server.write(&from_server(&[Frame::text("12345"), Frame::text("123456")])).await;
    assert_eq!(socket.recv().await.unwrap(), Some("12345".into()));
    let error = socket.recv().await.unwrap_err();
    assert_eq!(error.close_code().map(u16::from), Some(1009));

    let (mut socket, _server) = connected(&connector().close_timeout("2s").unwrap()).await;
    let start = Instant::now();
    assert!(!socket.close(1000, "").await.unwrap().clean);
    assert_eq!(start.elapsed().as_secs(), 2);
}
