//! What a compressing end writes: which messages are compressed, how well, and within which window.

use sockeye::deflate::{Deflate, DeflateError};
use sockeye::frame::{Frame, Opcode};
use sockeye::{Compress, MessageRef, PreparedMessage, Role, WebSocket};
use tokio::io::duplex;

use crate::support::deflate::{
    Deflating, Inflating, all_frames, end, ends, farthest_match, json, noise,
};
use crate::support::io::RawPeer;

/// The frames a server writes for these, to a client by hand.
async fn written(
    settings: (&Deflate, &Deflate),
    speak: impl AsyncFnOnce(&mut WebSocket<tokio::io::DuplexStream>),
) -> Vec<Frame> {
    let (ours, theirs) = duplex(1 << 20);
    let (_unused, stub) = duplex(1);
    let (_, mut server) = ends((stub, ours), settings.0, settings.1);
    speak(&mut server).await;
    server.flush().await.unwrap();
    drop(server);
    let mut peer = RawPeer::client(theirs);
    let mut frames = Vec::new();
    while let Some(frame) = peer.frame().await {
        frames.push(frame);
    }
    frames
}

/// CP-03, CP-04: what is as long as the threshold is compressed on the wire, and what is shorter is not.
#[tokio::test]
async fn thresholds() {
    for (threshold, settings) in [
        (128, Deflate::no_context()),
        (128, Deflate::context_takeover()),
        (1000, Deflate::context_takeover().threshold(1000).unwrap()),
        (20_000, Deflate::no_context().threshold(20_000).unwrap()),
        // Longer than a fragment.
        (70_000, Deflate::no_context().threshold(70_000).unwrap()),
    ] {
        let frames = written((&settings, &settings), async |server: &mut WebSocket<_>| {
            for len in [0, 1, threshold - 1, threshold, threshold + 1] {
                let text = "x".repeat(len);
                server.feed(&*text).unwrap();
                server.feed_ref(&*text).unwrap();
                server.feed_prepared(&PreparedMessage::new(&*text)).unwrap();
                server.sender().feed(&*text).unwrap();
            }
        })
        .await;
        let mut inflating = Inflating::new(15);
        let mut lens = Vec::new();
        for frame in &frames {
            let is_first = frame.opcode != Opcode::Continuation;
            assert!(is_first || !frame.rsv1);
            if frame.rsv1 {
                let message = inflating.message(&frame.payload).unwrap();
                assert!(frame.fin && message.len() >= threshold, "{}", message.len());
                lens.push(message.len());
            } else {
                assert!(!frame.fin || frame.payload.len() < threshold, "{}", frame.payload.len());
                lens.extend(frame.fin.then_some(frame.payload.len()));
            }
        }
        assert_eq!(lens.len(), 20);
        assert_eq!(lens.iter().filter(|len| **len >= threshold).count(), 8, "{lens:?}");
    }
}

/// CP-03, BY-06: a shared message that does not become shorter goes as it is, also to a peer with a context of its own.
#[tokio::test]
async fn shared_noise_is_not_compressed() {
    let settings = Deflate::context_takeover();
    let noise = noise(100_000, 7);
    let frames = written((&settings, &settings), async |server: &mut WebSocket<_>| {
        for number in 0..8 {
            server.feed(&*json(1000, number)).unwrap();
        }
        server.sender().try_send_prepared(&PreparedMessage::new(&noise[..])).unwrap();
    })
    .await;
    let (texts, fragments) = frames.split_at(8);
    assert!(texts.iter().all(|frame| frame.rsv1 && frame.payload.len() < 1000));
    assert!(fragments.len() > 1 && fragments.iter().all(|frame| !frame.rsv1));
    assert!(fragments.iter().map(|frame| &frame.payload[..]).collect::<Vec<_>>().concat() == noise);
}

/// CP-03, CP-05: a threshold that is none is an error that says so.
#[test]
fn thresholds_have_a_range() {
    let error = Deflate::no_context().threshold(104_857_601).unwrap_err();
    assert_eq!(error, DeflateError::Threshold { bytes: 104_857_601 });
    assert!(error.to_string().contains("104857601") && error.to_string().contains("104857600"));
    assert!(Deflate::no_context().threshold(104_857_600).is_ok());
}

/// CP-04: what does not become shorter goes out as it is, where nothing is lost by it.
#[tokio::test]
async fn noise_is_left_as_it_is() {
    let settings = Deflate::no_context().threshold(0).unwrap();
    let frames = written((&settings, &settings), async |server: &mut WebSocket<_>| {
        for len in [0, 1, 5, 500, 60_000] {
            let payload = noise(len, 5);
            server.feed(payload.clone()).unwrap();
            server.feed_ref(&payload[..]).unwrap();
            server.feed_prepared(&PreparedMessage::new(&payload[..])).unwrap();
        }
    })
    .await;
    assert_eq!(frames.len(), 15);
    assert!(frames.iter().all(|frame| !frame.rsv1));
}

/// CP-04, BY-06: a prepared message says itself whether it is compressed.
#[tokio::test]
async fn prepared_messages_choose() {
    let settings = Deflate::context_takeover();
    let frames = written((&settings, &settings), async |server: &mut WebSocket<_>| {
        for compress in [Compress::Auto, Compress::Never, Compress::Always] {
            for len in [100, 5000] {
                let message = PreparedMessage::new(&*"x".repeat(len)).compress(compress);
                server.feed_prepared(&message).unwrap();
                server.sender().try_send_prepared(&message).unwrap();
            }
        }
        // A clone goes its own way.
        let message = PreparedMessage::new(&*"x".repeat(5000)).compress(Compress::Never);
        let other = message.clone().compress(Compress::Always);
        server.feed_prepared(&message).unwrap();
        server.feed_prepared(&other).unwrap();
    })
    .await;
    let bits: Vec<u8> = frames.iter().map(|frame| u8::from(frame.rsv1)).collect();
    assert_eq!(bits, [0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1]);
    let off = Deflate::disabled();
    let frames = written((&off, &off), async |server: &mut WebSocket<_>| {
        let message = PreparedMessage::new(&*"x".repeat(5000)).compress(Compress::Always);
        server.feed_prepared(&message).unwrap();
    })
    .await;
    assert!(!frames[0].rsv1, "nothing was agreed on");
}

/// CP-04, BY-06: the same of a client's, which shares no frames.
#[tokio::test]
async fn prepared_messages_choose_at_a_client() {
    let settings = Deflate::no_context();
    let (ours, theirs) = duplex(1 << 20);
    let (_unused, stub) = duplex(1);
    let (mut client, _) = ends((ours, stub), &settings, &settings);
    for compress in [Compress::Auto, Compress::Never, Compress::Always] {
        for len in [100, 5000] {
            let message = PreparedMessage::new(&*"x".repeat(len)).compress(compress);
            client.feed_prepared(&message).unwrap();
            client.sender().try_send_prepared(&message).unwrap();
        }
    }
    client.flush().await.unwrap();
    drop(client);
    let mut peer = RawPeer::server(theirs);
    let mut bits = Vec::new();
    while let Some(frame) = peer.frame().await {
        bits.push(u8::from(frame.rsv1));
    }
    // What was fed leaves before what its sender has queued.
    assert_eq!(bits, [[0, 1, 0, 0, 1, 1]; 2].concat());
}

/// CP-02: with a window that is kept, what was said before costs little.
#[test]
fn takeover_pays() {
    let text = json(1024, 1);
    for role in [Role::Server, Role::Client] {
        let keeps = Deflate::context_takeover();
        let mut keeping = end(role, &keeps, &keeps);
        let forgets = Deflate::no_context();
        let mut forgetting = end(role, &forgets, &forgets);
        let mut lens = [Vec::new(), Vec::new()];
        for _ in 0..20 {
            for (end, lens) in [&mut keeping, &mut forgetting].into_iter().zip(&mut lens) {
                end.send(MessageRef::Text(&text));
                let frames = all_frames(&end.flush());
                assert!(frames[0].rsv1 && frames.len() == 1);
                lens.push(frames[0].payload.len());
            }
        }
        let [kept, forgotten] = lens;
        assert!(kept[19] * 4 < kept[0], "{kept:?}");
        assert!(forgotten.iter().all(|len| *len == kept[0]), "{forgotten:?}");
    }
}

/// CP-02, BY-01: the window the peer asked for is kept, from message to message and within each.
#[test]
fn windows_are_kept() {
    for bits in 9..=15_u8 {
        for level in [1, 5, 9] {
            let base = Deflate::context_takeover().level(level).unwrap();
            let own = base.window_bits(bits).unwrap();
            for settings in [own, own.own_context(false).peer_context(false)] {
                let mut end = end(Role::Server, &settings, &base);
                let mut inflating = Inflating::new(15);
                let mut farthest = 0;
                for number in 0..12 {
                    // Repeats itself just inside and outside of the window.
                    let distance = (1_usize << bits) - 300 + 60 * (number % 12);
                    let mut payload = noise(distance, 77).repeat(2);
                    payload.truncate(distance + 200);
                    end.send(MessageRef::Binary(&payload));
                    let frames = all_frames(&end.flush());
                    assert_eq!(frames.len(), 1);
                    if frames[0].rsv1 {
                        farthest = farthest.max(farthest_match(&frames[0].payload));
                        let back = inflating.message(&frames[0].payload);
                        assert!(back.as_ref() == Some(&payload), "{bits} bits, level {level}");
                    }
                }
                assert!(farthest <= 1 << bits, "{bits} bits, level {level}: {farthest} back");
                // The fastest level looks for little.
                let is_used = level == 1 || farthest > 1 << (bits - 2);
                assert!(is_used, "{bits} bits, level {level}: {farthest} back");
            }
        }
    }
    // The check can fail.
    let mut large = Deflating::new(5, 15);
    assert_eq!(farthest_match(&large.message(&noise(2000, 1).repeat(2))), 2000);
}
