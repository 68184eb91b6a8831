//! What a broadcast costs once, whatever the number of members: preparing it, and joining several
//! into the run that one write sends.

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use sockeye::outbox::Run;
use sockeye::{MessageRef, PreparedMessage};

/// Broadcasts that are joined.
const COUNT: usize = 32;

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

criterion_group! {
    name = benches;
    config = support::brief();
    targets = fanout
}
criterion_main!(benches);
