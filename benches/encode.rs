//! Messages in, bytes out: many frames into one buffer, beside copies of the same payloads.

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use sockeye::frame::MaskingKeys;
use sockeye::protocol::{Encoder, Message, MessageRef, Role, WriteBuffer};

/// Messages of one turn.
const COUNT: usize = 50;

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(COUNT as u64));
    for payload_bytes in [16, 125, 1024, 16 * 1024] {
        let payload = vec![0x55; payload_bytes];
        let message = MessageRef::Binary(&payload);
        group.bench_function(BenchmarkId::new("memcpy", payload_bytes), |bencher| {
            let mut out = WriteBuffer::new();
            bencher.iter(|| turn(&mut out, |out| out.extend_from_slice(black_box(&payload))));
        });
        group.bench_function(BenchmarkId::new("server", payload_bytes), |bencher| {
            let mut encoder = Encoder::new(Role::Server);
            let mut out = WriteBuffer::new();
            bencher.iter(|| turn(&mut out, |out| encoder.message(black_box(message), out)));
        });
        group.bench_function(BenchmarkId::new("client", payload_bytes), |bencher| {
            let mut encoder = Encoder::with_keys(MaskingKeys::from_seed([7; 32]));
            let mut out = WriteBuffer::new();
            bencher.iter(|| turn(&mut out, |out| encoder.message(black_box(message), out)));
        });
        let owned = Message::binary(payload.clone());
        group.bench_function(BenchmarkId::new("server, owned", payload_bytes), |bencher| {
            let mut encoder = Encoder::new(Role::Server);
            let mut out = WriteBuffer::new();
            bencher.iter(|| turn(&mut out, |out| encoder.owned(black_box(&owned), out)));
        });
    }
    group.finish();
}

/// What one turn sends, then a kernel that takes it all.
fn turn(out: &mut WriteBuffer, mut send: impl FnMut(&mut WriteBuffer)) {
    for _ in 0..COUNT {
        send(out);
    }
    black_box(out.first());
    out.advance(out.len());
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = encode
}
criterion_main!(benches);
