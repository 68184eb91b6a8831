//! What a send costs before the kernel: the lock, the policy, the encoding and the queue.
//!
//! `outbox`: the connection is on a pipe in memory and is never polled, so what is sent stays; each round
//! has a connection of its own, which is not timed. `drained`: its stream takes all that is written, and
//! the connection is polled once a round, beside a channel of tokio's with the same bound that hands the
//! same bytes over and does not encode them.

mod support;

use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use sockeye::outbox::Run;
use sockeye::protocol::{CloseOutcome, Config, Role};
use sockeye::{Connection, Handler, Message, MessageRef, PreparedMessage, Sender, WebSocket};

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

fn drained(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let mut group = criterion.benchmark_group("drained");
    group.throughput(Throughput::Elements(COUNT as u64));
    let payload = Bytes::from(vec![0x55; 64]);
    let prepared = PreparedMessage::new(MessageRef::Binary(&payload));
    let mut run = Run::default();
    (0..COUNT).for_each(|_| run.push(prepared.clone()));
    group.bench_function("mpsc", |bencher| {
        let (sender, mut receiver) = mpsc::channel(COUNT);
        bencher.iter(|| channel_round(&sender, &mut receiver, &payload));
    });
    let mut bench = |name, send: &dyn Fn(&Sender)| {
        let socket = WebSocket::from_stream(Taker, Role::Server, &Arc::new(Config::default()));
        let sender = socket.sender();
        let mut driver = socket.run(Ignore);
        let mut poll = || Pin::new(&mut driver).poll(&mut Context::from_waker(Waker::noop()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                send(black_box(&sender));
                let polled: Poll<CloseOutcome> = poll();
                assert!(polled.is_pending() && sender.queued().0 == 0);
            });
        });
    };
    let each = |send: &dyn Fn()| (0..COUNT).for_each(|_| send());
    bench("try_send", &|sender| {
        each(&|| assert!(sender.try_send(Message::Binary(payload.clone())).is_ok()));
    });
    bench("try_send_prepared", &|sender| {
        each(&|| assert!(sender.try_send_prepared(&prepared).is_ok()));
    });
    bench("try_send_run", &|sender| assert!(sender.try_send_run(&run).is_ok()));
    group.finish();
}

fn channel_round(sender: &mpsc::Sender<Bytes>, receiver: &mut mpsc::Receiver<Bytes>, one: &Bytes) {
    for _ in 0..COUNT {
        assert!(black_box(sender).try_send(one.clone()).is_ok(), "the channel has room");
    }
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(message) = receiver.poll_recv(&mut cx) {
        black_box(message);
    }
}

struct Ignore;

impl Handler for Ignore {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// Takes whatever is written and gives nothing.
struct Taker;

impl AsyncRead for Taker {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Taker {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = outbox, drained
}
criterion_main!(benches);
