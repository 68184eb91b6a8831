//! Sessions: taking one up on a new connection, and ten thousand that come back at once.

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sockeye::session::{Opening, Resume, Session, SessionConfig, Sessions};
use sockeye::{Config, Message, Role, WebSocket};
use tokio::io::{DuplexStream, duplex};

/// Who comes back at once after a server was gone.
const HERD: usize = 10_000;

/// Events that each of them has missed.
const MISSED: usize = 4;

fn socket(config: &Arc<Config>) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, peer) = duplex(4096);
    (WebSocket::from_stream(ours, Role::Server, config), peer)
}

/// A session that waits, its token, and what it has sent.
struct Waiting {
    session: Session,
    token: String,
}

impl Waiting {
    fn new(sessions: &Sessions, config: &Arc<Config>) -> Self {
        let (socket, _peer) = socket(config);
        let mut token = String::new();
        let session =
            sessions.create(&socket.sender(), Some("ann"), |opening| note(&mut token, opening));
        let session = session.expect("a place");
        sessions.suspend(&session, socket.id());
        Self { session, token }
    }

    fn miss(&self) {
        for _ in 0..MISSED {
            self.session.sender().try_send(vec![7; 64]).expect("a session");
        }
    }

    /// Comes back with all but what it has missed, is sent that, and is away again.
    fn come_back(&mut self, sessions: &Sessions, config: &Arc<Config>) {
        let (mut socket, _peer) = socket(config);
        let token = std::mem::take(&mut self.token);
        let received = self.session.sent() - MISSED as u64;
        let id = self.session.id().as_str();
        let resume = Resume {
            id,
            token: &token,
            user: Some("ann"),
            received,
            instead_of: None,
            acknowledged: 0,
        };
        let again =
            sessions.resume(&socket.sender(), &resume, |opening| note(&mut self.token, opening));
        again.expect("its session");
        // What has not left was not received.
        leave(&mut socket);
        sessions.suspend(&self.session, socket.id());
    }
}

/// Writes what waits: the buffer holds it, so that nothing has to be waited for.
fn leave(socket: &mut WebSocket<DuplexStream>) {
    let mut context = Context::from_waker(Waker::noop());
    let flushed = pin!(socket.flush()).poll(&mut context);
    assert!(matches!(flushed, Poll::Ready(Ok(()))), "{flushed:?}");
}

fn note(token: &mut String, opening: &Opening<'_>) -> Message {
    opening.token.clone_into(token);
    Message::text(format!("{} {} {}", opening.token, opening.sent, opening.received))
}

fn sessions(criterion: &mut Criterion) {
    let config = Arc::new(Config::default());
    let all = Sessions::new(SessionConfig::default());
    let mut group = criterion.benchmark_group("sessions");
    group.throughput(Throughput::Elements(1));
    // The yardstick: a connection without a session that is sent as much.
    group.bench_function("a connection", |bencher| {
        bencher.iter(|| {
            let (mut socket, _peer) = socket(&config);
            let sender = socket.sender();
            for _ in 0..=MISSED {
                sender.try_send(vec![7; 64]).expect("an open connection");
            }
            leave(&mut socket);
        });
    });
    let mut one = Waiting::new(&all, &config);
    group.bench_function("resume", |bencher| {
        bencher.iter(|| {
            one.miss();
            one.come_back(&all, &config);
        });
    });
    group.throughput(Throughput::Elements(HERD as u64));
    let mut herd: Vec<Waiting> = (0..HERD).map(|_| Waiting::new(&all, &config)).collect();
    group.bench_function("10,000 at once", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                herd.iter().for_each(Waiting::miss);
                let began = Instant::now();
                herd.iter_mut().for_each(|waiting| waiting.come_back(&all, &config));
                spent += began.elapsed();
            }
            spent
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = sessions
}
criterion_main!(benches);
