//! What counting costs, on one thread and on two at once, beside one atomic number that both share.

mod support;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use sockeye::hub::metrics::{Gauges, Histogram, Metrics};

fn metrics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    group.throughput(Throughput::Elements(1));
    let (shared, metrics, histogram) = (AtomicU64::new(0), Metrics::new(), Histogram::new());
    let mut bench = |name: &str, count: &(dyn Fn(u64) + Sync)| {
        group.bench_function(format!("{name}/1 thread"), |bencher| {
            bencher.iter_custom(|turns| time(turns, count));
        });
        group.bench_function(format!("{name}/2 threads"), |bencher| {
            bencher.iter_custom(|turns| time_both(turns, count));
        });
    };
    bench("shared atomic", &|turns| {
        (0..turns).for_each(|_| _ = black_box(&shared).fetch_add(1, Ordering::Relaxed));
    });
    bench("counter", &|turns| (0..turns).for_each(|_| black_box(&metrics).count_broadcast()));
    bench("message and bytes", &|turns| {
        (0..turns).for_each(|_| black_box(&metrics).count_received(1, 64));
    });
    bench("histogram", &|turns| {
        (0..turns).for_each(|turn| black_box(&histogram).record(black_box(turn % 10_000)));
    });
    group.bench_function("snapshot", |bencher| {
        bencher.iter(|| black_box(&metrics).snapshot(Gauges::default()));
    });
    let snapshot = metrics.snapshot(Gauges::default());
    group.bench_function("prometheus", |bencher| {
        bencher.iter(|| black_box(&snapshot).prometheus(&Default::default()));
    });
    group.finish();
}

fn time(turns: u64, count: &(dyn Fn(u64) + Sync)) -> Duration {
    let start = Instant::now();
    count(turns);
    start.elapsed()
}

/// The time of the slower one, each doing all turns. It means something only where two cores are idle.
fn time_both(turns: u64, count: &(dyn Fn(u64) + Sync)) -> Duration {
    let barrier = Barrier::new(2);
    let timed = || {
        barrier.wait();
        time(turns, count)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(timed);
        timed().max(other.join().expect("it only counts"))
    })
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = metrics
}
criterion_main!(benches);
