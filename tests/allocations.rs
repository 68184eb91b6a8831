//! What a message costs in allocations, once a connection has seen a few: counts, which do not drift as times
//! do. What an outbox holds is in `outbox_memory.rs`, what events cost in `app_memory.rs`.
//!
//! One test, for the counters are those of the whole process.

#![cfg(feature = "hub")]

#[path = "../benches/support/echo.rs"]
mod echo;
#[path = "support/heap.rs"]
mod heap;
mod support;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use sockeye::frame::Frame;
use sockeye::hub::{Except, Hub};
use sockeye::protocol::Role;
use sockeye::{Config, Message, PreparedMessage, WebSocket};

use echo::{Driven, FACES, Face, Ignore, masked};
use heap::Heap;
use support::streams::tcp_pair;

/// Messages of one read, and reads.
const BATCH: usize = 64;
const TURNS: usize = 1000;

/// Allocations that are not the messages': the test's own thread is not the only one of this process.
const OTHERS_MAX: usize = 20;

/// Allocations of the turns behind the first few.
fn steady(heap: &mut Heap, mut turn: impl FnMut()) -> usize {
    (0..10).for_each(|_| turn());
    heap.begin();
    (0..TURNS).for_each(|_| turn());
    heap.allocated().0
}

/// An echo writes once for all that one read brought. What is borrowed is copied into storage of the thread, and an
/// owned message is one allocation.
fn echoes(heap: &mut Heap) {
    let frames = [Frame::binary(vec![7; 16]), Frame::text(&"x".repeat(125))];
    for (face, batch) in FACES.into_iter().flat_map(|face| [(face, 1), (face, BATCH)]) {
        for frame in &frames {
            let mut server = Driven::echo(face, masked(frame, batch));
            let allocations = steady(heap, || server.turn());
            let turns = TURNS + 10;
            let all_bytes = turns * batch * (2 + frame.payload.len());
            assert_eq!(server.tally.written(), (turns, all_bytes), "{face:?}: writes and bytes");
            let each = allocations as f64 / TURNS as f64;
            println!(
                "{face:?}, {batch} x {} bytes: {each} allocations a turn",
                frame.payload.len()
            );
            let allowed = match face {
                Face::Handler | Face::Borrowed => 0,
                Face::Owned => batch,
            };
            assert!(
                allocations <= TURNS * allowed + OTHERS_MAX,
                "{face:?}: {each} allocations a turn"
            );
        }
    }
}

/// What another task sends to a connection that waits, and its way out.
fn sends(heap: &mut Heap) {
    let message = Message::Binary(Bytes::from(vec![7; 64]));
    let prepared = PreparedMessage::new(&[7; 64][..]);
    let mut sender = None;
    let mut server = Driven::new(Vec::new(), |belt| {
        let socket = WebSocket::from_stream(belt, Role::Server, &Arc::new(Config::default()));
        sender = Some(socket.sender());
        let driver = socket.run(Ignore);
        Box::pin(async move { drop(driver.await) })
    });
    let sender = sender.unwrap();
    let owned = steady(heap, || {
        (0..BATCH).for_each(|_| _ = sender.try_send(message.clone()).unwrap());
        server.poll();
    });
    let shared = steady(heap, || {
        (0..BATCH).for_each(|_| _ = sender.try_send_prepared(&prepared).unwrap());
        server.poll();
    });
    println!("{BATCH} x try_send: {owned} allocations in {TURNS} turns, prepared {shared}");
    // The queue is given back when it is empty, and grows again: for all of them together.
    assert!(owned <= 6 * TURNS + OTHERS_MAX, "{owned} allocations in {TURNS} turns of {BATCH}");
    assert!(shared <= 6 * TURNS + OTHERS_MAX, "{shared} allocations in {TURNS} turns of {BATCH}");
}

/// A broadcast to so many members, polled until the last of them has it.
fn broadcasts(heap: &mut Heap, count: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inside = runtime.enter();
    let hub = Hub::new();
    let room = hub.room("lobby");
    let mut memberships = Vec::new();
    let members = (0..count).map(|_| {
        Driven::new(Vec::new(), |belt| {
            let socket = WebSocket::from_stream(belt, Role::Server, &Arc::new(Config::default()));
            memberships.push(room.join(socket.sender()).unwrap());
            let driver = socket.run(Ignore);
            Box::pin(async move { drop(driver.await) })
        })
    });
    let mut members: Vec<_> = members.collect();
    members.iter_mut().for_each(Driven::poll);
    drop(inside);
    assert_eq!(runtime.block_on(room.members()).len(), count);
    let mut turn = || {
        let report = room.broadcast_reported("to everybody", Except::nobody());
        runtime.block_on(report.unwrap());
        let _inside = runtime.enter();
        members.iter_mut().for_each(Driven::poll);
    };
    (0..10).for_each(|_| turn());
    heap.begin();
    (0..100).for_each(|_| turn());
    let allocations = heap.allocated().0;
    assert!(members.iter().all(|member| member.tally.written().0 == 110), "all have heard all");
    allocations
}

/// The same to members on sockets of the kernel, which takes all: the worker writes to them itself.
fn broadcasts_through_the_kernel(heap: &mut Heap, count: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let room = Hub::new().room("lobby");
    let config = Arc::new(Config::default());
    let members = runtime.block_on(async {
        let mut members = Vec::new();
        for _ in 0..count {
            let (ours, theirs) = tcp_pair().await;
            let socket = WebSocket::from_stream(ours, Role::Server, &config);
            let membership = room.join(socket.sender()).unwrap();
            members.push((socket, membership, theirs));
        }
        assert_eq!(room.members().await.len(), count);
        members
    });
    let turn = || {
        let report = room.broadcast_reported("to everybody", Except::nobody());
        let report = runtime.block_on(report.unwrap());
        assert_eq!(report.written, count);
    };
    (0..10).for_each(|_| turn());
    heap.begin();
    (0..100).for_each(|_| turn());
    let allocations = heap.allocated().0;
    drop(members);
    allocations
}

/// Polls once what is ready at once.
fn ready<F: Future>(future: F) -> F::Output {
    let std::task::Poll::Ready(output) = pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("it waits");
    };
    output
}

/// BY-05, BY-06, BY-12, CN-18: a message that is looked at or sent back allocates nothing, one that is owned
/// allocates itself, and a broadcast is encoded once.
#[test]
fn messages_cost_no_more_allocations_than_they_must() {
    let mut heap = ready(Heap::turn());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inside = runtime.enter();
    echoes(&mut heap);
    sends(&mut heap);
    drop(inside);
    let (few, many) = (broadcasts(&mut heap, 10), broadcasts(&mut heap, 110));
    println!("100 broadcasts: {few} allocations to 10 members, {many} to 110");
    // The queue, once for all that waits in it, and what is written from it.
    assert!(
        many - few <= 2 * 100 * 100 + OTHERS_MAX,
        "{} allocations a hundred deliveries",
        (many - few) / 100
    );
    let few = broadcasts_through_the_kernel(&mut heap, 10);
    let many = broadcasts_through_the_kernel(&mut heap, 110);
    println!("100 broadcasts through the kernel: {few} allocations to 10 members, {many} to 110");
    assert!(many <= few + OTHERS_MAX, "a delivery allocates");
    assert!(few <= 100 * 6 + OTHERS_MAX, "{few} allocations for 100 broadcasts");
}
