//! Bytes in, events out: many frames a read through the endpoint without I/O, as a server has them.
//!
//! What is timed begins with a copy of the read, for frames are unmasked where they lie; `memcpy` is
//! that copy alone.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use sockeye::frame::MaskingKeys;
use sockeye::protocol::{Config, Encoder, Endpoint, Event, MessageRef, Role, WriteBuffer};

/// About what one read brings.
const BLOCK_BYTES: usize = 64 * 1024;

fn decode(criterion: &mut Criterion) {
    for payload_bytes in [16, 125, 1024, 16 * 1024] {
        let text = support::ascii(payload_bytes);
        let mut group = criterion.benchmark_group("decode");
        let frames = Frames::of(MessageRef::Binary(text.as_bytes()));
        group.throughput(Throughput::Elements(frames.count));
        let mut copy = frames.bytes.clone();
        group.bench_function(BenchmarkId::new("memcpy", payload_bytes), |bencher| {
            bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&frames.bytes)));
        });
        for (name, message) in
            [("binary", MessageRef::Binary(text.as_bytes())), ("text", MessageRef::Text(&text))]
        {
            let frames = Frames::of(message);
            group.bench_function(BenchmarkId::new(name, payload_bytes), |bencher| {
                let mut server = Server::new();
                bencher.iter(|| server.receive(&frames, frames.bytes.len()));
            });
            let name = format!("{name}, cut reads");
            group.bench_function(BenchmarkId::new(name, payload_bytes), |bencher| {
                let mut server = Server::new();
                bencher.iter(|| server.receive(&frames, BLOCK_BYTES / 7));
            });
        }
        group.finish();
    }
}

/// A client's frames, end to end.
struct Frames {
    bytes: Vec<u8>,
    count: u64,
}

impl Frames {
    fn of(message: MessageRef<'_>) -> Self {
        let mut encoder = Encoder::with_keys(MaskingKeys::from_seed([7; 32]));
        let mut out = WriteBuffer::new();
        let mut count = 0;
        while out.len() < BLOCK_BYTES {
            encoder.message(message, &mut out);
            count += 1;
        }
        Self { bytes: out.into_vec(), count }
    }
}

struct Server {
    endpoint: Endpoint,
    block: Vec<u8>,
    out: WriteBuffer,
}

impl Server {
    fn new() -> Self {
        Self {
            endpoint: Endpoint::new(Role::Server, Arc::new(Config::default()), 0),
            block: Vec::new(),
            out: WriteBuffer::new(),
        }
    }

    /// Takes the frames in reads of so many bytes.
    fn receive(&mut self, frames: &Frames, read_bytes: usize) {
        let mut count = 0;
        for read in frames.bytes.chunks(read_bytes) {
            self.block.clear();
            self.block.extend_from_slice(read);
            let mut at = 0;
            loop {
                let out = &mut self.out;
                let event = self.endpoint.receive(&mut self.block, &mut at, out, 0);
                let Some(Event::Message(message)) = event else {
                    break;
                };
                black_box(message);
                count += 1;
            }
        }
        assert_eq!(count, frames.count);
    }
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = decode
}
criterion_main!(benches);
