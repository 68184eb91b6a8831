//! Floor 5: an outbox holds memory while something waits, and no longer.
//!
//! One test, for the counters are those of the whole process.

mod support;

use std::alloc::System;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use sockeye::outbox::Run;
use sockeye::protocol::{GapNotice, Overflow};
use sockeye::{Message, MessageKind, PreparedMessage, Role, Sent, WebSocket};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::AsyncWriteExt;

use support::gate::Gate;
use support::streams::{noise, quiet_with, tcp_pair};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1024;

/// Messages of a burst: as many as broadcasts may let wait.
const BURST: usize = 16 * KIB;

/// What is allocated now and was not when the region began.
fn held(region: &Region<'_, System>) -> isize {
    let change = region.change();
    change.bytes_allocated as isize - change.bytes_deallocated as isize
}

fn gate(overflow: Overflow) -> Gate {
    let mut gate = Gate::new(quiet_with(|config| {
        config.overflow = overflow;
        config.outbox_messages_max = BURST;
        config.outbox_bytes_max = 64 * KIB * KIB;
        config.gap_notice = Some(GapNotice::new(|missed| Message::text(missed.to_string())));
    }));
    gate.poll();
    gate
}

/// What is encoded and not written holds up the rest.
fn plug(gate: &mut Gate) {
    gate.sender.try_send(noise(60_000)).unwrap();
    gate.poll();
}

/// As many as a connection can have wait of everything there is.
fn fill(gate: &Gate, run: &Run) {
    gate.sender.try_send_run(run).unwrap();
    for key in 0..1000 {
        let _ = gate.sender.try_send_latest(key, vec![0; 60]);
    }
    let waiting: Vec<_> = (0..1000).map(|_| gate.sender.send("waits")).collect();
    for sending in waiting {
        // Polled once, and given up.
        let _ = pin!(sending).poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// A message that meets an empty outbox and leaves at once through the kernel asks for nothing: it is encoded in
/// storage of the thread.
async fn nothing_for_what_need_not_wait() {
    let (stream, _peer) = tcp_pair().await;
    let socket = WebSocket::from_stream(stream, Role::Server, &quiet_with(|_| ()).into());
    let (sender, message) = (socket.sender(), Message::Binary(Bytes::from_static(&[0; 60])));
    let prepared = PreparedMessage::new("prepared");
    let mut run = Run::default();
    run.push(prepared.clone());
    run.push(prepared.clone());
    assert_eq!(sender.try_send(message.clone()), Ok(Sent::Written));
    let region = Region::new(ALLOCATOR);
    for _ in 0..100 {
        assert_eq!(sender.try_send(message.clone()), Ok(Sent::Written));
        assert_eq!(sender.try_send_latest(1, message.clone()), Ok(Sent::Written));
        assert_eq!(sender.try_send_prepared(&prepared), Ok(Sent::Written));
    }
    assert_eq!(region.change().allocations, 0, "for 300 messages");
    let region = Region::new(ALLOCATOR);
    for _ in 0..100 {
        assert_eq!(sender.try_send_run(&run), Ok(Sent::Written));
    }
    assert_eq!(region.change().allocations, 0);
}

/// Writers that have begun and say nothing more keep nothing of what their thread encodes in.
async fn nothing_for_a_silent_writer() {
    const WRITERS: usize = 20;
    let mut sockets = Vec::new();
    for _ in 0..WRITERS {
        let (stream, peer) = tcp_pair().await;
        sockets
            .push((WebSocket::from_stream(stream, Role::Server, &quiet_with(|_| ()).into()), peer));
    }
    let mut writers = Vec::with_capacity(WRITERS);
    let region = Region::new(ALLOCATOR);
    for (socket, _) in &mut sockets {
        let sender = socket.sender();
        for _ in 0..80 {
            sender.feed(&[0; 100][..]).unwrap();
        }
        assert_eq!(sender.try_send("out"), Ok(Sent::Written));
        let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
        writer.write_all(b"begun").await.unwrap();
        writer.flush().await.unwrap();
        socket.flush().await.unwrap();
        writers.push(writer);
    }
    let each = held(&region) / WRITERS as isize;
    println!("{each} bytes a silent writer");
    assert!(each < 4 * KIB as isize, "{each} bytes a silent writer");
}

/// What a slow peer has not taken yet needs its own length, and not what all of it was encoded in.
fn little_for_what_is_left(messages: usize, each_max: usize) {
    const GATES: usize = 20;
    let bytes = messages * 102;
    let region = Region::new(ALLOCATOR);
    let mut gates: Vec<_> = (0..GATES).map(|_| gate(Overflow::DropOldest)).collect();
    let before = held(&region);
    for gate in &mut gates {
        for _ in 0..messages {
            gate.sender.feed(&[0; 100][..]).unwrap();
        }
        gate.allow(bytes - 60);
        assert_eq!(gate.take().len(), bytes - 60);
    }
    let each = (held(&region) - before) / GATES as isize;
    println!("{each} bytes for 60 that are left of {bytes}");
    assert!(each <= each_max as isize, "{each} bytes for 60 that are left of {bytes}");
    drop(gates);
    let kept = held(&region);
    println!("{kept} bytes are kept by the thread");
    assert!(kept <= 20 * KIB as isize, "{kept} bytes are kept by the thread");
}

/// After a burst everything is given back, whatever the policy and whatever was lost.
fn a_burst_is_given_back(run: &Run) {
    let policies = [
        Overflow::Block { timeout: Duration::from_secs(1) },
        Overflow::DropNewest,
        Overflow::DropOldest,
    ];
    for overflow in policies {
        let mut gate = gate(overflow);
        let region = Region::new(ALLOCATOR);
        plug(&mut gate);
        fill(&gate, run);
        let most = held(&region);
        assert!(most > 500 * KIB as isize, "{most} bytes wait");
        gate.allow(1 << 30);
        assert_eq!(gate.sender.queued(), (0, 0));
        drop(gate.take());
        let left = held(&region);
        println!("{overflow:?}: {most} bytes in a burst, {left} after it");
        assert!(left <= 0, "{overflow:?}: {left} bytes are kept");
    }
}

/// The same where the queue never becomes quite empty.
fn a_trickle_keeps_little(run: &Run) {
    let mut gate = gate(Overflow::DropOldest);
    let region = Region::new(ALLOCATOR);
    plug(&mut gate);
    fill(&gate, run);
    let most = held(&region);
    // Some two thousand are encoded at once.
    while gate.sender.queued().0 > BURST / 4 {
        gate.allow(KIB);
        drop(gate.take());
    }
    let (waiting, left) = (gate.sender.queued().0, held(&region));
    println!("{left} bytes for {waiting} messages after a burst");
    assert!(waiting > 0, "the queue became empty");
    assert!(left < most / 2, "{left} bytes for {waiting} messages, {most} for all");
}

/// A run that was long once does not keep its storage.
fn a_run_gives_back() {
    let message = PreparedMessage::new(noise(KIB).as_slice());
    let mut run = Run::default();
    let region = Region::new(ALLOCATOR);
    (0..256).for_each(|_| run.push(message.clone()));
    assert!(held(&region) > 256 * KIB as isize);
    run.clear();
    let left = held(&region);
    assert!(left < 8 * KIB as isize, "{left} bytes are kept");
    // Nor that of many short messages.
    let message = PreparedMessage::new("");
    (0..BURST).for_each(|_| run.push(message.clone()));
    run.clear();
    let left = held(&region);
    assert!(left < 65 * KIB as isize, "{left} bytes are kept");
    // One that is as long as others keeps it for the next.
    for round in 0..3 {
        let region = Region::new(ALLOCATOR);
        (0..500).for_each(|_| run.push(message.clone()));
        run.clear();
        assert_eq!(region.change().allocations > 0, round == 0);
    }
}

/// BY-05, row 27: no allocation before the first use, all of it given back after the last.
#[test]
fn an_outbox_gives_its_memory_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let mut run = Run::default();
    let message = PreparedMessage::new(vec![0_u8; 60].as_slice());
    (0..BURST).for_each(|_| run.push(message.clone()));
    // What is there once a thread is there already.
    let mut warm = gate(Overflow::DropOldest);
    fill(&warm, &run);
    warm.allow(1 << 30);
    drop(warm);
    little_for_what_is_left(80, KIB);
    little_for_what_is_left(600, 128 * KIB);
    a_burst_is_given_back(&run);
    a_trickle_keeps_little(&run);
    a_run_gives_back();
    runtime.block_on(nothing_for_what_need_not_wait());
    runtime.block_on(nothing_for_a_silent_writer());
}
