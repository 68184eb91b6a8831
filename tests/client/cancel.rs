//! BY-50: every future of a client can be dropped at every poll. Each is polled n times and dropped, for n = 0, 1, 2 and
//! so on until none is dropped any more; then the client goes on, and no message is lost or doubled.

use std::time::Duration;

use sockeye::client::{ReconnectingReceiver, ReconnectingSender, Status};
use sockeye::frame::Frame;
use sockeye::protocol::Overflow;
use sockeye::{Config, Connector, Role, SendError, Sent};
use tokio::io::AsyncReadExt;

use crate::support::client::Net;
use crate::support::pair::{quiet, to};
use crate::support::streams::{every_poll, polls};

fn start(net: &Net, config: Config) -> (ReconnectingSender, ReconnectingReceiver) {
    let connector = Connector::new(config).dial(net.clone());
    connector.reconnecting("ws://9.9.9.9/").unwrap().start()
}

/// `Connector::connect`: what was begun is closed.
#[tokio::test(start_paused = true)]
async fn connect() {
    every_poll(2, async |count| {
        let net = Net::silent();
        let connector = Connector::new(quiet()).dial(net.clone());
        let upgrading = tokio::spawn(async move {
            let mut server = net.upgrade().await;
            server.write(&to(Role::Client, &[Frame::text("hi")])).await;
            server
        });
        let connected = polls(connector.connect("ws://9.9.9.9/"), count).await;
        let Some(socket) = connected else {
            upgrading.abort();
            return true;
        };
        assert_eq!(socket.unwrap().recv().await.unwrap(), Some("hi".into()));
        false
    })
    .await;
    // A stream that was there ends.
    let net = Net::silent();
    let connector = Connector::new(quiet()).dial(net.clone());
    let mut stream = tokio::select! {
        connected = connector.connect("ws://9.9.9.9/") => panic!("{connected:?}"),
        stream = net.accept() => stream,
    };
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}

/// `ReconnectingReceiver::recv`: through three connections.
#[tokio::test(start_paused = true)]
async fn recv() {
    every_poll(2, async |count| {
        let net = Net::silent();
        let (_sender, mut receiver) = start(&net, quiet());
        let serving = tokio::spawn(async move {
            for connection in ["a", "b", "c"] {
                let mut server = net.upgrade().await;
                let words = [1, 2, 3].map(|n| Frame::text(&format!("{connection}{n}")));
                server.write(&to(Role::Client, &words)).await;
            }
            let mut server = net.upgrade().await;
            server.write(&to(Role::Client, &[Frame::close(1000, "").unwrap()])).await;
            server.close_code().await
        });
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
                Some(message) => seen.push(message.as_text().unwrap().to_owned()),
                None => break,
            }
        }
        assert_eq!(seen.concat(), "a1a2a3b1b2b3c1c2c3", "dropped after {count} polls");
        assert_eq!(serving.await.unwrap(), Some(1000));
        is_dropped
    })
    .await;
}

/// `ReconnectingSender::send`: what waits for room and is dropped was not sent, and takes nobody's place.
#[tokio::test(start_paused = true)]
async fn send() {
    every_poll(2, async |count| {
        let net = Net::silent();
        let mut config = quiet();
        config.outbox_messages_max = 1;
        config.overflow = Overflow::Block { timeout: Duration::from_secs(5) };
        let (sender, _receiver) = start(&net, config);
        assert_eq!(sender.send("first").await, Ok(Sent::Queued));
        let next = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send("last").await }
        });
        let reading = tokio::spawn(async move {
            let (mut server, mut texts) = (net.upgrade().await, Vec::new());
            while texts.last().is_none_or(|text| text != "last") {
                let frame = server.frame().await.unwrap();
                texts.push(String::from_utf8(frame.payload.to_vec()).unwrap());
            }
            (texts, server)
        });
        let sent = polls(sender.send("middle"), count).await;
        next.await.unwrap().unwrap();
        let (mut texts, _server) = reading.await.unwrap();
        texts.sort();
        let is_dropped = sent.is_none();
        let expected =
            if is_dropped { vec!["first", "last"] } else { vec!["first", "last", "middle"] };
        assert!(sent.is_none_or(|sent: Result<_, SendError>| sent.is_ok()));
        // "middle" may have had its turn behind "last", and is still on its way then.
        assert!(texts == expected || !is_dropped && texts == expected[..2], "{texts:?}");
        is_dropped
    })
    .await;
}

/// `ReconnectingSender::ping`: it is forgotten, and the next one has its own pong.
#[tokio::test(start_paused = true)]
async fn ping() {
    every_poll(2, async |count| {
        let net = Net::silent();
        let (sender, mut receiver) = start(&net, quiet());
        let mut server = net.upgrade().await;
        let opened = sender
            .status()
            .wait_for(|status| matches!(status, Status::Open { .. }))
            .await
            .map(drop);
        opened.unwrap();
        let pongs = tokio::spawn(async move {
            let mut pings = 0;
            while let Some(frame) = server.frame().await {
                if frame.payload == "done" {
                    break;
                }
                pings += 1;
                server.write(&to(Role::Client, &[Frame::pong(frame.payload)])).await;
            }
            (pings, server)
        });
        let listening = tokio::spawn(async move { receiver.recv().await });
        let first = polls(sender.ping(), count).await;
        let second = sender.ping().await.unwrap();
        assert!(second < Duration::from_secs(1));
        sender.send("done").await.unwrap();
        let (pings, _server) = pongs.await.unwrap();
        assert_eq!(pings, 1 + usize::from(count > 0), "dropped after {count} polls");
        listening.abort();
        first.is_none()
    })
    .await;
}

/// `ReconnectingReceiver::close`: once polled it goes on in `recv`; before nothing has happened.
#[tokio::test(start_paused = true)]
async fn close() {
    every_poll(2, async |count| {
        let net = Net::silent();
        let (sender, mut receiver) = start(&net, quiet());
        let mut server = net.upgrade().await;
        sender.send("here").await.unwrap();
        assert_eq!(server.frame().await.unwrap().payload, "here");
        let serving = tokio::spawn(async move {
            let frame = server.frame().await.unwrap();
            server.write(&to(Role::Client, &[Frame::close(1000, "bye").unwrap()])).await;
            frame
        });
        let closed = polls(receiver.close(1000, "bye"), count).await;
        if count == 0 {
            assert_eq!(sender.send("still here").await.map(drop), Ok(()));
            assert_eq!(serving.await.unwrap().payload, "still here");
            return true;
        }
        assert_eq!(receiver.recv().await.unwrap(), None);
        let said = serving.await.unwrap();
        assert_eq!(said.payload, Frame::close(1000, "bye").unwrap().payload);
        closed.is_none()
    })
    .await;
}
