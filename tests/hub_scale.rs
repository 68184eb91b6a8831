//! Rooms under churn: nobody is left behind, nothing is kept, and who has joined misses nothing.
//!
//! Memory is counted, for the whole process: the tests take turns.

#![cfg(feature = "hub")]

mod support;

use std::alloc::System;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::hub::metrics::{JoinRefusal, Rejection};
use sockeye::hub::{Hub, JoinError, Membership, Profile, RegisterError};
use sockeye::{Role, Sender, WebSocket};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::io::{DuplexStream, duplex};

use support::pair::quiet;
use support::streams::Ignore;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static TURN: Mutex<()> = Mutex::new(());

const TASKS: usize = 8;

/// Longer than anything takes on a machine that moves at all.
const LONG: Duration = Duration::from_secs(600);

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A connection that is open and does nothing.
fn idle() -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(64);
    (WebSocket::from_stream(ours, Role::Server, &Arc::new(quiet())), theirs)
}

fn block_on<F: Future>(future: F) -> F::Output {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LONG, future).await.expect("it ends") })
}

/// A15: 100,000 joins, leaves and ends of connections in each of 8 tasks: then rooms and members are none.
#[test]
fn churn_leaves_nobody_behind() {
    const STEPS: u64 = 100_000;
    block_on(async {
        let hub = Hub::new();
        // As long as somebody has them they are the same rooms, and whom a worker forgot to let go shows.
        let rooms: Vec<_> = (0..50).map(|room| hub.room(&room.to_string())).collect();
        let tasks = (0..TASKS as u64).map(|task| {
            let hub = hub.clone();
            tokio::spawn(async move {
                let mut connections: Vec<_> = (0..4).map(|_| idle()).collect();
                let mut joined: Vec<Membership> = Vec::new();
                let mut random = task + 1;
                for step in 0..STEPS {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let choice = (random >> 33) as usize;
                    match choice % 16 {
                        0..8 if joined.len() < 64 => {
                            let room = hub.room(&(choice / 16 % 50).to_string());
                            let sender = connections[choice / 1024 % 4].0.sender();
                            joined.push(room.join(sender).unwrap());
                        }
                        8 if (choice / 16).is_multiple_of(64) => {
                            connections[choice / 1024 % 4] = idle();
                        }
                        _ if !joined.is_empty() => {
                            drop(joined.swap_remove(choice / 16 % joined.len()));
                        }
                        _ => {}
                    }
                    if step % 64 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(hub.rooms(), []);
        for room in rooms {
            assert_eq!((room.len(), room.members().await), (0, Vec::new()));
        }
    });
}

/// A14: a million rooms, each of a new name, a thousand at a time: the hub keeps none of them.
#[test]
fn rooms_that_end_are_forgotten() {
    block_on(async {
        let hub = Hub::new();
        let (socket, _peer) = idle();
        let mut high = 0;
        let mut begun = 0;
        for batch in 0..1000 {
            let join = |number| {
                let room = hub.room(&format!("room {batch} {number}"));
                room.join(socket.sender()).unwrap()
            };
            let joined: Vec<_> = (0..1000).map(join).collect();
            // The worker has done what was asked.
            assert_eq!(joined[999].room().members().await, [socket.id()]);
            high = high.max(held());
            drop(joined);
            assert!(hub.room("another").members().await.is_empty());
            if batch == 0 {
                begun = high;
            }
        }
        assert_eq!(hub.rooms(), []);
        assert!(high <= begun + 256 * 1024, "{begun} bytes, then {high}");
        assert!(held() < begun, "{} of {begun} bytes", held());
    });
}

/// Rows 64 and 65: joins that a worker has no turn to do wait in bounded memory: then they are refused, while who
/// is a member may leave; with the worker's next turn all is as it was.
#[test]
fn joins_that_wait_are_bounded() {
    const MANY: usize = 500_000;
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hub = Hub::builder().job_queue(16).build().unwrap();
        let (socket, _peer) = idle();
        let (other, _other_peer) = idle();
        let registration = hub.register(&socket.sender(), Profile::new()).unwrap();
        registration.join("kept").unwrap();
        assert_eq!(hub.room("kept").members().await, [socket.id()]);
        let begun = held();
        let (mut peers, mut rooms, mut whole) = (0, 0, 0);
        for _ in 0..MANY {
            peers += usize::from(matches!(registration.join("a"), Err(JoinError::Busy { .. })));
            registration.leave("a");
            let joined = hub.room("b").join(socket.sender());
            rooms += usize::from(matches!(joined, Err(JoinError::Busy { .. })));
            let registered = hub.register(&other.sender(), Profile::new());
            let busy = Err(RegisterError::Room(JoinError::Busy { jobs: hub.queued().0 }));
            whole += usize::from(registered.map(drop) == busy);
        }
        assert!(peers > MANY / 2 && rooms > MANY / 2 && whole > MANY / 2);
        assert!(hub.queued().0 < 2 * 70_000, "{:?}", hub.queued());
        assert!(held() < begun + 16 * 1024 * 1024, "{} bytes", held() - begun);
        let metrics = hub.metrics();
        assert_eq!(metrics.joins_refused[&JoinRefusal::Busy], (peers + rooms) as u64);
        assert_eq!(metrics.rejected[&Rejection::Other], whole as u64);
        assert_eq!(metrics.opened - metrics.closed_total(), 1);
        // Whoever is in may go, however many wait.
        assert!(registration.leave("kept"));
        assert!(hub.room("kept").members().await.is_empty());
        registration.join("a").unwrap();
        assert_eq!((hub.room("a").members().await, hub.rooms().len()), (vec![socket.id()], 1));
        assert!(held() < begun + 1024 * 1024, "{} bytes", held() - begun);
    });
}

/// A54: who joins while others talk gets every message that is said after its join, once and in order.
#[test]
fn who_has_joined_misses_nothing() {
    const MEMBERS: usize = 100;
    block_on(async {
        let hub = Hub::new();
        let (said, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let publisher = tokio::spawn({
            let (hub, said, is_over) = (hub.clone(), said.clone(), is_over.clone());
            async move {
                let room = hub.room("a");
                while !is_over.load(Ordering::SeqCst) {
                    room.ready().await;
                    let number = said.fetch_add(1, Ordering::SeqCst);
                    room.broadcast(&*number.to_string()).unwrap();
                    tokio::task::yield_now().await;
                }
                room.ready().await;
                room.broadcast("over").unwrap();
            }
        });
        let mut members = Vec::new();
        for _ in 0..MEMBERS {
            let (ours, theirs) = duplex(64 * 1024);
            let socket = WebSocket::from_stream(ours, Role::Server, &Arc::new(quiet()));
            let sender: Sender = socket.sender();
            tokio::spawn(socket.run(Ignore));
            let membership = hub.room("a").join(sender).unwrap();
            let joined_at = said.load(Ordering::SeqCst);
            members.push(tokio::spawn(async move {
                let mut peer = WebSocket::from_stream(theirs, Role::Client, &Arc::new(quiet()));
                let mut next = None;
                while let Some(message) = peer.recv().await.unwrap() {
                    let Ok(number) = message.as_text().unwrap().parse::<u64>() else { break };
                    assert!(next.is_none_or(|next| next == number), "{number}, not {next:?}");
                    assert!(next.is_some() || number <= joined_at, "{number}, from {joined_at}");
                    next = Some(number + 1);
                }
                drop(membership);
                next
            }));
            tokio::task::yield_now().await;
        }
        is_over.store(true, Ordering::SeqCst);
        publisher.await.unwrap();
        for member in members {
            let next = member.await.unwrap();
            assert!(next.is_none_or(|next| next == said.load(Ordering::SeqCst)));
        }
    });
}
