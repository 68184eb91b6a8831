//! What compression costs in memory: for each preset what a connection holds once it has exchanged messages,
//! and what bombs and slow messages can make an end hold. `--nocapture` shows the figures.
//!
//! One test, for the counters are those of the whole process.

mod support;

use std::alloc::System;

use futures_util::FutureExt;
use sockeye::deflate::Deflate;
use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::MessageRef;
use sockeye::{PreparedMessage, Role, WebSocket};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::net::TcpStream;

use support::deflate::{compressed, compressed_in, config, deflated, end_with, ends, json, tcp};
use support::pair::{End, Seen, to};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What is allocated now and was not when the region began.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

type Pair = (WebSocket<TcpStream>, WebSocket<TcpStream>);

/// So many messages each way, all of them long enough to be compressed.
async fn talk(pair: &mut Pair, messages: usize) {
    for number in 0..messages {
        let text = json(1000, number);
        pair.0.send(text.as_str()).await.unwrap();
        assert_eq!(pair.1.recv().await.unwrap().unwrap().as_text(), Some(&*text));
        pair.1.send(text.as_str()).await.unwrap();
        assert_eq!(pair.0.recv().await.unwrap().unwrap().as_text(), Some(&*text));
    }
    // They wait, and so hold on to nothing that was read.
    assert!(pair.0.recv().now_or_never().is_none() && pair.1.recv().now_or_never().is_none());
}

/// Bytes that connections hold, both ends of one together.
async fn bytes_of_both(
    settings: (&Deflate, &Deflate),
    connections: usize,
    messages: usize,
) -> usize {
    // What is there once a thread is there already.
    for _ in 0..20 {
        talk(&mut ends(tcp().await, settings.0, settings.1), messages + 1).await;
    }
    let mut pairs = Vec::with_capacity(connections);
    let region = Region::new(ALLOCATOR);
    for _ in 0..connections {
        let mut pair = ends(tcp().await, settings.0, settings.1);
        talk(&mut pair, messages).await;
        pairs.push(pair);
    }
    held(&region) / connections
}

async fn bytes_per_end(settings: &Deflate, connections: usize, messages: usize) -> usize {
    bytes_of_both((settings, settings), connections, messages).await / 2
}

/// BY-01: the presets, each against a connection without compression.
async fn presets() {
    let (keeps, forgets) = (Deflate::context_takeover(), Deflate::no_context());
    let plain = bytes_per_end(&Deflate::disabled(), 100, 20).await;
    println!("without compression: {plain} bytes an end");
    let bits = |bits: u8| keeps.window_bits(bits).unwrap().peer_window_bits(bits).unwrap();
    for (name, settings, messages, bytes_max) in [
        ("no_context, no message", forgets, 0, 100),
        ("no_context", forgets, 20, 100),
        ("context that no peer grants", keeps.peer_context(false), 20, 100),
        ("context_takeover, no message", keeps, 0, 100),
        ("context_takeover, not earned", keeps, 3, 48 * KIB),
        ("context_takeover", keeps, 20, 340 * KIB),
        ("context_takeover, 9 bits", bits(9), 20, 215 * KIB),
        ("context_takeover, 12 bits", bits(12), 20, 230 * KIB),
        ("context_takeover, memory 4", keeps.memory_level(4).unwrap(), 20, 320 * KIB),
        ("context_takeover, 12 bits, memory 4", bits(12).memory_level(4).unwrap(), 20, 210 * KIB),
    ] {
        let connections = if bytes_max > KIB { 10 } else { 100 };
        let bytes = bytes_per_end(&settings, connections, messages).await;
        let more = bytes.saturating_sub(plain);
        println!("{name}: {bytes} bytes an end, {more} bytes an end more");
        assert!(more <= bytes_max, "{name}: {more} bytes more, {bytes_max} may be");
    }
    for (name, server, bytes_max) in [
        ("only the client's context", keeps.own_context(false), 340 * KIB),
        ("only the server's context", keeps.peer_context(false), 340 * KIB),
    ] {
        let both = bytes_of_both((&keeps, &server), 10, 20).await - 2 * plain;
        println!("{name}: {both} bytes for both ends more");
        assert!(both <= bytes_max, "{name}: {both} bytes");
    }
}

fn server(settings: Deflate, message_bytes_max: usize) -> End {
    let (_, params) = support::deflate::agree(&settings, &settings).unwrap();
    let mut config = config(settings);
    config.message_bytes_max = message_bytes_max;
    end_with(Role::Server, config, &params)
}

/// Row 30: a bomb of 1000:1 is found when its limit is reached, and nothing is held beyond that.
fn bombs() {
    let bomb = deflated(&vec![0; 32 * MIB]);
    assert!(bomb.len() * 1000 < 32 * MIB);
    let cuts: Vec<usize> = (1..bomb.len() / KIB).map(|number| number * KIB).collect();
    for settings in [Deflate::no_context(), Deflate::context_takeover()] {
        for frames in [
            vec![compressed(Opcode::Binary, bomb.clone())],
            compressed_in(Opcode::Binary, &bomb, &cuts),
        ] {
            let bytes = to(Role::Server, &frames);
            for block in [64, 16 * KIB, bytes.len()] {
                let region = Region::new(ALLOCATOR);
                let mut end = server(settings, MIB);
                let mut most = 0;
                for piece in bytes.chunks(block) {
                    end.receive(piece);
                    most = most.max(held(&region));
                    if end.violation().is_some() {
                        break;
                    }
                }
                assert_eq!(end.outcome().code.as_u16(), 1009);
                println!("bomb in reads of {block}: {most} bytes at most");
                assert!(most <= MIB + 512 * KIB, "{most} bytes in reads of {block}");
            }
        }
    }
}

/// Row 32, BY-01: many messages that were begun and do not go on hold what came of them, however long the
/// messages of others were.
fn begun_messages() {
    let long = to(Role::Server, &[compressed(Opcode::Binary, deflated(&vec![7; 120 * KIB]))]);
    let begun = to(Role::Server, &[compressed(Opcode::Binary, deflated(json(5000, 1).as_bytes()))]);
    let mut busy = server(Deflate::no_context(), MIB);
    let mut slow = Vec::with_capacity(100);
    let region = Region::new(ALLOCATOR);
    for _ in 0..100 {
        assert_eq!(busy.receive(&long), [Seen::Binary(vec![7; 120 * KIB])]);
        let mut end = server(Deflate::no_context(), MIB);
        end.receive(&begun[..begun.len() / 2]);
        slow.push(end);
    }
    let each = held(&region) / 100;
    println!("begun: {each} bytes each");
    assert!(each <= 56 * KIB, "{each} bytes for a message that was begun");
    // And they go on as if nothing had been.
    for end in &mut slow {
        let seen = end.receive(&begun[begun.len() / 2..]);
        assert_eq!(seen, [Seen::Binary(json(5000, 1).into_bytes())]);
    }
    slow.clear();
    assert!(held(&region) <= MIB, "{} bytes are left", held(&region));
}

/// Row 32, BY-01: a short message that somebody keeps is as long as itself, whatever the buffer was that it came out of.
async fn kept_messages() {
    let mut pair = ends(tcp().await, &Deflate::no_context(), &Deflate::no_context());
    let long = json(120 * KIB, 1);
    // The long one is taken, or only looked at.
    for is_taken in [true, false] {
        let mut kept = Vec::with_capacity(100);
        let region = Region::new(ALLOCATOR);
        for number in 0..100 {
            pair.0.send(long.as_str()).await.unwrap();
            if is_taken {
                let message = pair.1.recv().await.unwrap().unwrap();
                assert_eq!(message.as_text(), Some(long.as_str()));
            } else {
                let message = pair.1.recv_ref().await.unwrap().unwrap();
                assert!(matches!(message, MessageRef::Text(text) if text == long));
            }
            let text = json(5000, number);
            pair.0.send(text.as_str()).await.unwrap();
            let message = pair.1.recv().await.unwrap().unwrap();
            assert_eq!(message.as_text(), Some(text.as_str()));
            kept.push(message);
        }
        let each = held(&region) / 100;
        println!("kept: {each} bytes each");
        assert!(each <= 12 * KIB, "{each} bytes for a message of 5,000");
    }
}

/// A ping and its pong, with a word each way behind them that is too short to be compressed.
async fn ping(pair: &mut Pair) {
    pair.0.ping().await.unwrap();
    pair.0.send("ping").await.unwrap();
    assert_eq!(pair.1.recv().await.unwrap().unwrap().as_text(), Some("ping"));
    pair.1.send("pong").await.unwrap();
    assert_eq!(pair.0.recv().await.unwrap().unwrap().as_text(), Some("pong"));
}

/// BY-01: a context that was not used from one ping to the next is given back, and earned again.
async fn unused_contexts() {
    let settings = Deflate::context_takeover();
    let mut pair = ends(tcp().await, &settings, &settings);
    let region = Region::new(ALLOCATOR);
    talk(&mut pair, 20).await;
    for _ in 0..3 {
        let used = held(&region);
        ping(&mut pair).await;
        assert!(held(&region) + KIB > used, "it was used since the ping before");
        ping(&mut pair).await;
        let rest = held(&region);
        println!("used: {used} bytes, after two pings: {rest}");
        assert!(used > rest + 200 * KIB, "{used} bytes when it is used, {rest} after two pings");
        talk(&mut pair, 20).await;
        assert!(held(&region) + KIB > used);
    }
}

/// Row 30, BY-01: no message leaves memory behind.
fn messages_leave_nothing() {
    for settings in [Deflate::no_context(), Deflate::context_takeover()] {
        let mut end = server(settings, 16 * MIB);
        let payload = vec![3; 4 * MIB];
        let frames = [compressed(Opcode::Binary, deflated(&payload)), Frame::pong("")];
        let bytes = to(Role::Server, &frames);
        end.receive(&bytes);
        let region = Region::new(ALLOCATOR);
        for _ in 0..3 {
            end.receive(&bytes);
        }
        assert!(held(&region) <= KIB, "{} bytes are left", held(&region));
    }
}

/// BY-01: a thread keeps two deflaters and short buffers, whatever levels and lengths it has met.
fn a_thread_keeps_little() {
    // Half of each byte is chance: what is deflated is long, too.
    let mut state = 1_u32;
    let half = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u8
    });
    let payload: Vec<u8> = half.take(2 * MIB).collect();
    let bytes = to(Role::Server, &[compressed(Opcode::Binary, deflated(&payload))]);
    let region = Region::new(ALLOCATOR);
    let talk = || {
        for level in 1..=9 {
            let mut end = server(Deflate::no_context().level(level).unwrap(), 16 * MIB);
            assert_eq!(end.receive(&bytes), [Seen::Binary(payload.clone())]);
            end.send(MessageRef::Binary(&payload));
            let deflated = end.flush().len();
            assert!((MIB..2 * MIB).contains(&deflated), "level {level}: {deflated} bytes");
        }
        held(&region)
    };
    let kept = std::thread::scope(|scope| scope.spawn(talk).join().unwrap());
    println!("a thread keeps {kept} bytes");
    assert!(kept <= 800 * KIB, "a thread keeps {kept} bytes");
    assert!(held(&region) <= KIB, "{} bytes are left of a thread", held(&region));
}

/// BY-06: shared messages of all lengths are deflated with the coder that is there, once for all their peers.
async fn shared_messages() {
    let settings = Deflate::no_context();
    let mut pairs = Vec::new();
    for _ in 0..20 {
        pairs.push(ends(tcp().await, &settings, &settings));
    }
    let lens = [200, 600, 1100, 3000, 5000, 10_000];
    let messages: Vec<PreparedMessage> =
        (0..60).map(|number| PreparedMessage::new(&*json(lens[number % 6], number))).collect();
    for (number, message) in messages.iter().enumerate() {
        let region = Region::new(ALLOCATOR);
        for (_, server) in &mut pairs {
            server.feed_prepared(message).unwrap();
            server.flush().await.unwrap();
        }
        let change = region.change();
        let (bytes, count) = (change.bytes_allocated, change.allocations);
        let is_warm = number >= 6;
        assert!(!is_warm || (bytes <= 32 * KIB && count <= 10), "{count} times, {bytes} bytes");
    }
}

/// BY-01, rows 30 and 32.
#[tokio::test]
async fn memory_of_compression() {
    presets().await;
    bombs();
    begun_messages();
    kept_messages().await;
    unused_contexts().await;
    messages_leave_nothing();
    a_thread_keeps_little();
    shared_messages().await;
}
