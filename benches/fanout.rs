//! What a broadcast costs.
//!
//! `fanout`: once, whatever the number of members: preparing it, and joining several into the run that one
//! write sends. `members`: for each member, from the publisher to the last outbox, through a hub with one
//! worker. The members' streams are in memory and their connections are polled between the rounds, which is
//! not timed, so that what is left is the hub's own work: a look at the member, its lock, its policy, one
//! push. Beside it one push to each of as many channels of tokio's.

mod support;

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use sockeye::hub::{Except, Hub, Membership};
use sockeye::outbox::Run;
use sockeye::protocol::{CloseOutcome, Config, Overflow, Role};
use sockeye::{Connection, Handler, MessageRef, PreparedMessage, Sender, WebSocket};

/// Broadcasts that are joined.
const COUNT: usize = 32;

/// Broadcasts from one drain to the next: an outbox and a channel hold as many, and more.
const ROUNDS: usize = 32;

const PAYLOAD_BYTES: usize = 64;

fn fanout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout");
    for payload_bytes in [64, 1024, 16 * 1024] {
        let payload = vec![0x55; payload_bytes];
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("memcpy", payload_bytes), |bencher| {
            bencher.iter(|| black_box(&payload[..]).to_vec());
        });
        group.bench_function(BenchmarkId::new("prepare", payload_bytes), |bencher| {
            bencher.iter(|| PreparedMessage::new(black_box(MessageRef::Binary(&payload))));
        });
        let message = PreparedMessage::new(MessageRef::Binary(&payload));
        group.bench_function(BenchmarkId::new("clone", payload_bytes), |bencher| {
            bencher.iter(|| black_box(&message).clone());
        });
        group.throughput(Throughput::Elements(COUNT as u64));
        group.bench_function(BenchmarkId::new("run", payload_bytes), |bencher| {
            let mut run = Run::default();
            bencher.iter(|| join(&mut run, &message));
        });
    }
    group.finish();
}

fn join(run: &mut Run, message: &PreparedMessage) {
    run.clear();
    for _ in 0..COUNT {
        run.push(black_box(message).clone());
    }
    black_box(run.bytes());
}

/// A member with a stream that takes all there is when it is polled.
struct Member {
    sender: Sender,
    driver: Pin<Box<dyn Future<Output = CloseOutcome>>>,
    peer: DuplexStream,
}

struct Ignore;

impl Handler for Ignore {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

impl Member {
    fn new(config: &Arc<Config>) -> Self {
        let (ours, peer) = tokio::io::duplex(2 * ROUNDS * (PAYLOAD_BYTES + 2));
        let socket = WebSocket::from_stream(ours, Role::Server, config);
        Self { sender: socket.sender(), driver: Box::pin(socket.run(Ignore)), peer }
    }

    /// What waits leaves.
    fn drain(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.driver.as_mut().poll(&mut cx);
        let mut block = [0; 2 * ROUNDS * (PAYLOAD_BYTES + 2)];
        let mut buf = tokio::io::ReadBuf::new(&mut block);
        let _ = tokio::io::AsyncRead::poll_read(Pin::new(&mut self.peer), &mut cx, &mut buf);
        assert_eq!(self.sender.queued().0, 0, "the peer has taken all");
    }
}

/// A hub with members in rooms.
struct Site {
    runtime: Runtime,
    hub: Hub,
    rooms: Vec<String>,
    members: Vec<Member>,
    /// Their outboxes are full, and stay so.
    slow: Vec<Member>,
    memberships: Vec<Option<Membership>>,
    payload: Vec<u8>,
}

impl Site {
    fn new(count: usize, rooms: usize, slow: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let inside = runtime.enter();
        let mut config = Config::default();
        config.outbox_messages_max = 2 * ROUNDS;
        config.overflow = Overflow::DropNewest;
        let config = Arc::new(config);
        let hub = Hub::builder().job_queue(4 * rooms.max(64)).build().expect("limits above zero");
        let rooms: Vec<_> = (0..rooms).map(|room| room.to_string()).collect();
        let members: Vec<_> = (slow..count).map(|_| Member::new(&config)).collect();
        let slow: Vec<_> = (0..slow).map(|_| Member::new(&config)).collect();
        for member in &slow {
            while member.sender.try_send("x").is_ok() {}
        }
        let senders = slow.iter().chain(&members).map(|member| member.sender.clone());
        let join = |(index, sender): (usize, Sender)| {
            let room = hub.room(&rooms[index % rooms.len()]);
            Some(room.join(sender).expect("a room without bounds"))
        };
        let memberships = senders.enumerate().map(join).collect();
        let payload = vec![0x55; PAYLOAD_BYTES];
        drop(inside);
        // Until all have joined.
        runtime.block_on(hub.room(&rooms[0]).members());
        Self { runtime, hub, rooms, members, slow, memberships, payload }
    }

    /// One message to each room, until the last outbox has it.
    fn broadcast(&self) {
        let Some((last, others)) = self.rooms.split_last() else { return };
        for room in others {
            assert!(self.hub.room(room).broadcast(&self.payload[..]).is_ok(), "the queue has room");
        }
        let said = self.hub.room(last).broadcast_reported(&self.payload[..], Except::nobody());
        let report = self.runtime.block_on(said.expect("the queue has room"));
        black_box(report);
    }

    /// Some leave and come again.
    fn move_some(&mut self, count: usize) {
        let _inside = self.runtime.enter();
        for index in 0..count {
            self.memberships[index] = None;
            let room = self.hub.room(&self.rooms[index % self.rooms.len()]);
            self.memberships[index] = room.join(self.members[index].sender.clone()).ok();
        }
    }

    fn time(&mut self, rounds: u64, round: impl Fn(&mut Self)) -> Duration {
        let mut spent = Duration::ZERO;
        let mut left = rounds;
        while left > 0 {
            let now = left.min(ROUNDS as u64);
            let began = Instant::now();
            (0..now).for_each(|_| round(self));
            spent += began.elapsed();
            let _inside = self.runtime.enter();
            self.members.iter_mut().for_each(Member::drain);
            left -= now;
        }
        black_box(&self.slow);
        spent
    }
}

fn members(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("members");
    for count in [10, 100, 1000, 10_000] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("mpsc", count), |bencher| {
            let mut channels: Vec<_> = (0..count).map(|_| mpsc::channel(2 * ROUNDS)).collect();
            let one = Bytes::from(vec![0x55; PAYLOAD_BYTES]);
            bencher.iter_custom(|rounds| push_to_all(&mut channels, &one, rounds));
        });
        let mut bench = |name, rooms, slow, moving: usize| {
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                let mut site = Site::new(count, rooms, slow);
                bencher.iter_custom(|rounds| {
                    site.time(rounds, |site| {
                        site.move_some(moving);
                        site.broadcast();
                    })
                });
            });
        };
        bench("one room", 1, 0, 0);
        if count >= 1000 {
            bench("1,000 rooms", 1000, 0, 0);
            bench("1,000 rooms, 1 % slow", 1000, count / 100, 0);
        }
        if count >= 100 {
            bench("1 % slow", 1, count / 100, 0);
            bench("1 % move", 1, 0, count / 100);
        }
    }
    group.finish();
}

type Channel = (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>);

fn push_to_all(channels: &mut [Channel], one: &Bytes, rounds: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        let now = left.min(ROUNDS as u64);
        let began = Instant::now();
        for _ in 0..now {
            for (sender, _) in &*channels {
                assert!(black_box(sender).try_send(one.clone()).is_ok(), "the channel has room");
            }
        }
        spent += began.elapsed();
        for (_, receiver) in &mut *channels {
            while receiver.try_recv().is_ok() {}
        }
        left -= now;
    }
    spent
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = fanout, members
}
criterion_main!(benches);
