//! Broadcasts of which the kernel takes a part.

#![cfg(feature = "hub")]

use std::time::Duration;

use sockeye::deflate::Deflate;
use sockeye::hub::{Hub, Profile};
use sockeye::outbox::Run;
use sockeye::protocol::{Overflow, PreparedMessage};
use sockeye::{Connection, Handler, MessageRef, SendError, Sender, Sent, WebSocket};
use tokio::net::TcpStream;

use crate::support::deflate::{config, ends_of, json};
use crate::support::io::RawPeer;
use crate::support::server::within;
use crate::support::streams::narrow_tcp;

struct Quiet;

impl Handler for Quiet {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

async fn next(peer: &mut WebSocket<TcpStream>) -> String {
    within(peer.recv()).await.unwrap().unwrap().as_text().unwrap().to_owned()
}

/// BC-01, CN-04: of messages that go out together and are cut where the kernel takes no more, each comes whole, once
/// and in its turn: as they are, and compressed.
#[tokio::test]
async fn messages_are_whole_wherever_the_kernel_cuts() {
    for deflate in [Deflate::disabled(), Deflate::no_context()] {
        let mut settings = config(deflate);
        (settings.outbox_messages_max, settings.outbox_bytes_max) = (100_000, 64 << 20);
        let (mut peer, member) = ends_of(narrow_tcp().await, settings);
        let hub = Hub::new();
        let room = hub.room("a");
        let _seat = room.join(member.sender()).unwrap();
        tokio::spawn(member.run(Quiet));
        let text = |number: usize| json(100 + number * 7 % 1900, number);
        let (mut sent, mut seen) = (0, 0);
        for turn in 0..60 {
            for _ in 0..40 + turn {
                room.broadcast(&*text(sent)).unwrap();
                sent += 1;
            }
            // All of it now and then, so that nothing waits and the next are written at once.
            let wanted = if turn % 3 == 0 { sent } else { seen + (sent - seen) / 2 };
            while seen < wanted {
                assert_eq!(next(&mut peer).await, text(seen));
                seen += 1;
            }
        }
        while seen < sent {
            assert_eq!(next(&mut peer).await, text(seen));
            seen += 1;
        }
    }
}

fn run_of(payloads: &[String]) -> Run {
    let mut run = Run::default();
    payloads.iter().for_each(|payload| run.push(PreparedMessage::new(MessageRef::Text(payload))));
    run
}

/// BC-01: what was fed to a connection, and has not left yet, comes before messages that are written at once.
#[tokio::test]
async fn a_run_comes_behind_what_was_fed() {
    let (mut peer, member) = ends_of(narrow_tcp().await, config(Deflate::disabled()));
    let sender = member.sender();
    tokio::spawn(member.run(Quiet));
    for turn in 0..3 {
        sender.feed(format!("fed {turn}").as_str()).unwrap();
        let sent = sender.try_send_run(&run_of(&["run".into(), "end".into()])).unwrap();
        assert_eq!(sent, Sent::Written);
        for expected in [format!("fed {turn}"), "run".into(), "end".into()] {
            assert_eq!(next(&mut peer).await, expected);
        }
    }
    // A client masks each by itself, at once as well.
    assert_eq!(peer.sender().try_send_run(&run_of(&["a".into(), "b".into()])), Ok(Sent::Written));
}

/// BC-01: a run whose first message is on its way, while there is room for none of the others, is sent in part.
#[tokio::test]
async fn a_run_of_which_only_the_first_leaves() {
    let mut settings = config(Deflate::disabled());
    settings.overflow = Overflow::DropNewest;
    let bytes = settings.outbox_bytes_max;
    let hub = Hub::builder().config(settings.clone()).build().unwrap();
    let (mut peer, member) = ends_of(narrow_tcp().await, settings);
    let sender = member.sender();
    let _peer = hub.register(&sender, Profile::default()).unwrap();
    let text = |len| "x".repeat(len);
    tokio::spawn(member.run(Quiet));
    let run = run_of(&[text(1 << 20), text(bytes)]);
    assert_eq!(sender.try_send_run(&run), Ok(Sent::Partly { refused: 1, displaced: 0 }));
    // Of this one nothing is on its way.
    assert!(matches!(sender.try_send_run(&run_of(&[text(bytes)])), Err(SendError::Full { .. })));
    assert_eq!(sender.dropped(), 2);
    let metrics = hub.metrics().gauges;
    assert_eq!(metrics.queued_messages, 1);
    assert!((1 << 19..1 << 20).contains(&metrics.queued_bytes), "{}", metrics.queued_bytes);
    assert_eq!(next(&mut peer).await.len(), 1 << 20);
    sender.try_send("after").unwrap();
    assert_eq!(next(&mut peer).await, "after");
}

/// BC-01, CN-04: what is said to be written has all been taken by the kernel, and the rest of what was not comes when there is
/// room, though nobody says anything more.
#[tokio::test]
async fn what_is_written_is_written_and_the_rest_follows() {
    let ways: [fn(&Sender, &str) -> Sent; 3] = [
        |sender, text| sender.try_send(text).unwrap(),
        |sender, text| sender.try_send_prepared(&PreparedMessage::new(text)).unwrap(),
        |sender, text| sender.try_send_run(&run_of(&[text.into()])).unwrap(),
    ];
    for send in ways {
        let mut settings = config(Deflate::disabled());
        // Nor does a deadline look after it.
        settings.write_timeout = Duration::from_secs(3600);
        let (mut peer, member) = ends_of(narrow_tcp().await, settings);
        let sender = member.sender();
        let text = "x".repeat(60_000);
        let mut written = 0;
        while send(&sender, &text) == Sent::Written {
            written += 1;
        }
        // Nobody drives the connection.
        for _ in 0..written {
            assert_eq!(next(&mut peer).await.len(), text.len());
        }
        tokio::spawn(member.run(Quiet));
        assert_eq!(next(&mut peer).await.len(), text.len());
        // And now somebody does, who waits.
        while send(&sender, &text) == Sent::Written {
            assert_eq!(next(&mut peer).await.len(), text.len());
        }
        assert_eq!(next(&mut peer).await.len(), text.len());
    }
}

/// CP-04, BC-01: what is said to all at once is compressed for each by its own threshold.
#[tokio::test]
async fn a_run_is_compressed_by_the_threshold_of_each() {
    let text = json(1000, 1);
    for (threshold, is_compressed) in [(0, true), (10_000, false), (500, true)] {
        let mut members = Vec::new();
        // The first makes what the others share, or not.
        for bytes in [100, threshold] {
            let (stream, peer) = narrow_tcp().await;
            let deflate = Deflate::no_context().threshold(bytes).unwrap();
            let (_, member) = ends_of((narrow_tcp().await.0, stream), config(deflate));
            members.push((member, RawPeer::client(peer)));
        }
        let run = run_of(&[text.to_string()]);
        for (member, _) in &members {
            assert_eq!(member.sender().try_send_run(&run), Ok(Sent::Written));
        }
        for ((_, peer), expected) in members.iter_mut().zip([true, is_compressed]) {
            let frame = within(peer.frame()).await.unwrap();
            assert_eq!(frame.rsv1, expected, "{threshold}");
        }
    }
}
