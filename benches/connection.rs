//! A whole echo of what one read brings, with each of the faces, over a stream in memory: read, unmask, handle,
//! encode, write. Beside it a copy of the same bytes there and back, which is what no server can do without.

#[path = "support/echo.rs"]
mod echo;
mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use sockeye::frame::Frame;

use echo::{Driven, FACES, masked};

/// The loads of the comparison with other crates, one connection of each: bytes, and messages of one read.
const LOADS: [(usize, usize); 5] = [(16, 1), (16, 64), (125, 1), (1024, 16), (16 * 1024, 4)];

fn connection(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let mut group = criterion.benchmark_group("connection");
    for (bytes, in_flight) in LOADS {
        let load = format!("{bytes} x {in_flight}");
        let read = masked(&Frame::binary(vec![7; bytes]), in_flight);
        group.throughput(Throughput::Elements(in_flight as u64));
        let (mut block, mut out) = (read.clone(), read.clone());
        group.bench_function(BenchmarkId::new("memcpy twice", &load), |bencher| {
            bencher.iter(|| {
                black_box(&mut block).copy_from_slice(black_box(&read));
                black_box(&mut out).copy_from_slice(black_box(&block));
            });
        });
        for face in FACES {
            let mut server = Driven::echo(face, read.clone());
            group.bench_function(BenchmarkId::new(format!("{face:?}"), &load), |bencher| {
                bencher.iter(|| server.turn());
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = connection
}
criterion_main!(benches);
