//! Compressing small messages by themselves, beside a coder for streams that is reset for each.

mod support;

#[path = "support/json.rs"]
mod json;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compress, Compression, FlushCompress};
use std::hint::black_box;

use sockeye::deflate::SmallDeflater;

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

criterion_group! {
    name = benches;
    config = support::brief();
    targets = deflate
}
criterion_main!(benches);
