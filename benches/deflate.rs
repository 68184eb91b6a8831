//! Compressing small messages by themselves, beside a coder for streams that is reset for each; and
//! whole messages through our deflater and inflater with their context, beside the same coder without
//! us; and what is lost where messages for all come between.

mod support;

#[path = "support/json.rs"]
mod json;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::hint::black_box;

use sockeye::deflate::{Deflater, Inflater, SmallDeflater};

const BYTES: [usize; 7] = [64, 128, 256, 512, 1024, 2048, 4096];

/// So many different messages of each size, one after the other: a single one would be learned by heart
/// by the processor, branch for branch.
const MESSAGES: u64 = 99;

const LEVELS: [u32; 3] = [1, 5, 6];

fn deflate(criterion: &mut Criterion) {
    eprintln!("bytes on average:   message     small   flate2 levels {LEVELS:?}");
    for bytes in BYTES {
        let messages: Vec<_> = (0..MESSAGES).map(|seed| json::message(seed, bytes)).collect();
        sizes(bytes, &messages);
        let mut group = criterion.benchmark_group("deflate");
        group.throughput(Throughput::Bytes(bytes as u64));
        let (mut out, mut next) = (Vec::with_capacity(2 * bytes), messages.iter().cycle());
        let mut small = SmallDeflater::new();
        group.bench_function(BenchmarkId::new("small", bytes), |bencher| {
            bencher.iter(|| by_small(&mut small, black_box(next.next()), &mut out));
        });
        for level in LEVELS {
            let mut stream = Compress::new(Compression::new(level), false);
            group.bench_function(BenchmarkId::new(format!("flate2 {level}"), bytes), |bencher| {
                bencher.iter(|| by_stream(&mut stream, black_box(next.next()), &mut out));
            });
        }
        group.finish();
    }
}

/// One line of the table.
fn sizes(bytes: usize, messages: &[Vec<u8>]) {
    let mut out = Vec::new();
    let average = |total: usize| total as f64 / messages.len() as f64;
    let mut small = SmallDeflater::new();
    let total = messages.iter().map(|message| by_small(&mut small, Some(message), &mut out)).sum();
    let mut line = format!("{bytes:>27}{:>10.1}", average(total));
    for level in LEVELS {
        let mut stream = Compress::new(Compression::new(level), false);
        let total =
            messages.iter().map(|message| by_stream(&mut stream, Some(message), &mut out)).sum();
        line.push_str(&format!("{:>10.1}", average(total)));
    }
    eprintln!("{line}");
}

fn by_small(small: &mut SmallDeflater, message: Option<&Vec<u8>>, out: &mut Vec<u8>) -> usize {
    out.clear();
    small.deflate(message.expect("a cycle"), 32_768, out);
    out.len()
}

fn by_stream(stream: &mut Compress, message: Option<&Vec<u8>>, out: &mut Vec<u8>) -> usize {
    out.clear();
    stream.reset();
    let message = message.expect("a cycle");
    out.reserve(message.len() + 64);
    stream.compress_vec(message, out, FlushCompress::Sync).expect("room for all of it");
    // Without 00 00 ff ff, as the other.
    out.truncate(out.len() - 4);
    out.len()
}

/// With context: sizes, and levels for deflating.
const CONTEXT_BYTES: [usize; 3] = [1024, 16 * 1024, 256 * 1024];
const CONTEXT_LEVELS: [u8; 3] = [1, 5, 9];

/// What is taken off the end of a message (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn with_context(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deflate with context");
    for bytes in CONTEXT_BYTES {
        let messages: Vec<_> = (0..MESSAGES).map(|seed| json::message(seed, bytes)).collect();
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut out = Vec::with_capacity(2 * bytes);
        for level in CONTEXT_LEVELS {
            let mut next = messages.iter().cycle();
            let mut ours = Deflater::new(level, 15);
            group.bench_function(BenchmarkId::new(format!("ours {level}"), bytes), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    ours.finish(black_box(next.next().expect("a cycle")), &mut out);
                });
            });
            let mut stream = Compress::new(Compression::new(u32::from(level)), false);
            group.bench_function(BenchmarkId::new(format!("flate2 {level}"), bytes), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    let message = black_box(next.next().expect("a cycle"));
                    stream.compress_vec(message, &mut out, FlushCompress::Sync).expect("room");
                });
            });
        }
    }
    group.finish();
    let (mut ours, mut out) = (Deflater::new(5, 15), Vec::new());
    let lengths = (0..MESSAGES).map(|seed| {
        out.clear();
        ours.finish(&json::message(seed, 1024), &mut out);
        out.len()
    });
    let total: usize = lengths.skip(9).sum();
    eprintln!("with context, 1024 bytes: {:.1} on average", total as f64 / (MESSAGES - 9) as f64);
}

/// What a message of a connection's own costs behind one that was compressed for all: by itself, with its
/// deflater reset, and where nothing came between.
fn behind_shared(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("behind a shared frame");
    for bytes in [256, 1024, 4096, 16 * 1024] {
        let messages: Vec<_> = (0..MESSAGES).map(|seed| json::message(seed, bytes)).collect();
        group.throughput(Throughput::Bytes(bytes as u64));
        let (mut out, mut next) = (Vec::with_capacity(2 * bytes), messages.iter().cycle());
        let (mut small, mut own) = (SmallDeflater::new(), Deflater::new(5, 15));
        if bytes <= SmallDeflater::INPUT_BYTES_MAX {
            group.bench_function(BenchmarkId::new("by itself", bytes), |bencher| {
                bencher.iter(|| by_small(&mut small, black_box(next.next()), &mut out));
            });
        }
        group.bench_function(BenchmarkId::new("reset", bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                own.reset();
                own.finish(black_box(next.next().expect("a cycle")), &mut out);
            });
        });
        group.bench_function(BenchmarkId::new("nothing between", bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                own.finish(black_box(next.next().expect("a cycle")), &mut out);
            });
        });
    }
    group.finish();
}

fn inflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inflate");
    for bytes in CONTEXT_BYTES {
        let mut deflater = Deflater::new(5, 15);
        let messages: Vec<_> = (0..MESSAGES)
            .map(|seed| {
                let mut out = Vec::new();
                deflater.reset();
                deflater.finish(&json::message(seed, bytes), &mut out);
                out
            })
            .collect();
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut out = Vec::with_capacity(bytes + 64);
        let mut next = messages.iter().cycle();
        let mut ours = Inflater::new(15);
        group.bench_function(BenchmarkId::new("ours", bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                let message = black_box(next.next().expect("a cycle"));
                ours.push(message, &mut out, usize::MAX).expect("whole");
                ours.finish().expect("whole");
            });
        });
        let mut stream = Decompress::new(false);
        group.bench_function(BenchmarkId::new("flate2", bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                let message = black_box(next.next().expect("a cycle"));
                stream.decompress_vec(message, &mut out, FlushDecompress::Sync).expect("whole");
                stream.decompress_vec(&TAIL, &mut out, FlushDecompress::Sync).expect("whole");
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = deflate, with_context, behind_shared, inflate
}
criterion_main!(benches);
