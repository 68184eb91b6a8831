//! What a send costs before the kernel: the lock, the policy, the encoding and the queue.
//!
//! The connection is on a pipe in memory and is never polled, so what is sent stays; each round has a
//! connection of its own, which is not timed.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::DuplexStream;

use sockeye::protocol::{Config, Role};
use sockeye::{Message, MessageRef, PreparedMessage, Sender, WebSocket};

/// Messages of one round: as many as a queue takes by default.
const COUNT: usize = 64;

fn outbox(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let mut group = criterion.benchmark_group("outbox");
    group.throughput(Throughput::Elements(COUNT as u64));
    for payload_bytes in [16, 1024] {
        let payload = vec![0x55; payload_bytes];
        let owned = Message::binary(payload.clone());
        let prepared = PreparedMessage::new(MessageRef::Binary(&payload));
        let mut bench = |name, send: &dyn Fn(&Sender) -> bool| {
            group.bench_function(BenchmarkId::new(name, payload_bytes), |bencher| {
                let round = |outbox: &mut Outbox| outbox.round(send);
                bencher.iter_batched_ref(Outbox::new, round, BatchSize::SmallInput);
            });
        };
        bench("feed", &|sender| sender.feed(&payload[..]).is_ok());
        bench("try_send", &|sender| sender.try_send(owned.clone()).is_ok());
        bench("try_send_prepared", &|sender| sender.try_send_prepared(&prepared).is_ok());
    }
    group.finish();
}

struct Outbox {
    /// Keeps the outbox open.
    _socket: WebSocket<DuplexStream>,
    sender: Sender,
}

impl Outbox {
    fn new() -> Self {
        let (stream, _) = tokio::io::duplex(64);
        let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(Config::default()));
        Self { sender: socket.sender(), _socket: socket }
    }

    fn round(&self, send: &dyn Fn(&Sender) -> bool) {
        for _ in 0..COUNT {
            assert!(send(black_box(&self.sender)), "the outbox has room");
        }
    }
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = outbox
}
criterion_main!(benches);
