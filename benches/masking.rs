//! Masking in place, by size, beside a copy of the same bytes, a XOR of all with one byte, which has no key to turn,
//! and a XOR byte by byte as it is specified.

mod support;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

use sockeye::frame::{MaskingKeys, apply_mask};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn masking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("masking");
    for bytes in [16, 125, 1024, 16 * 1024, 1024 * 1024] {
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut payload = vec![0x55; bytes];
        group.bench_function(BenchmarkId::new("apply_mask", bytes), |bencher| {
            bencher.iter(|| apply_mask(black_box(&mut payload), black_box(KEY)));
        });
        let mut copy = vec![0; bytes];
        group.bench_function(BenchmarkId::new("memcpy", bytes), |bencher| {
            bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&payload)));
        });
        group.bench_function(BenchmarkId::new("plain xor", bytes), |bencher| {
            bencher.iter(|| plain_xor(black_box(&mut payload), black_box(KEY[0])));
        });
        group.bench_function(BenchmarkId::new("by byte", bytes), |bencher| {
            bencher.iter(|| by_byte(black_box(&mut payload), black_box(KEY)));
        });
    }
    group.finish();
}

#[inline(never)]
fn plain_xor(payload: &mut [u8], key: u8) {
    payload.iter_mut().for_each(|byte| *byte ^= key);
}

/// RFC 6455 5.3 as it is written.
#[inline(never)]
fn by_byte(payload: &mut [u8], key: [u8; 4]) {
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
}

/// What a client pays for the key of one frame.
fn keys(criterion: &mut Criterion) {
    criterion.bench_function("masking/next_key", |bencher| {
        let keys = || MaskingKeys::from_seed([7; 32]);
        bencher.iter_batched_ref(keys, MaskingKeys::next_key, BatchSize::NumIterations(4096));
    });
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = masking, keys
}
criterion_main!(benches);
