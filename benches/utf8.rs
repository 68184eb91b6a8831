//! Checking text: whole and piece by piece, ASCII and not, beside the standard library.

mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

use sockeye::frame::Utf8Validator;

/// What one read of a long text may bring, and bytes that cut every second character.
const PIECES: [usize; 2] = [1021, 125];

fn utf8(criterion: &mut Criterion) {
    for bytes in [125, 1024, 16 * 1024] {
        check(criterion, "utf8 ascii", &support::ascii(bytes));
        check(criterion, "utf8 multi-byte", &support::multi_byte(bytes));
    }
}

fn check(criterion: &mut Criterion, name: &str, text: &str) {
    let bytes = text.as_bytes();
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function(BenchmarkId::new("std", bytes.len()), |bencher| {
        bencher.iter(|| std::str::from_utf8(black_box(bytes)).is_ok());
    });
    group.bench_function(BenchmarkId::new("whole", bytes.len()), |bencher| {
        bencher.iter(|| in_pieces(black_box(bytes), usize::MAX));
    });
    for piece in PIECES.into_iter().filter(|piece| *piece < bytes.len()) {
        let name = format!("pieces of {piece}");
        group.bench_function(BenchmarkId::new(name, bytes.len()), |bencher| {
            bencher.iter(|| in_pieces(black_box(bytes), piece));
        });
    }
    group.finish();
}

fn in_pieces(bytes: &[u8], piece: usize) -> bool {
    let mut validator = Utf8Validator::new();
    let is_valid = bytes.chunks(piece).all(|piece| validator.push(piece).is_ok());
    is_valid && validator.is_complete()
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = utf8
}
criterion_main!(benches);
