//! The simulated network as this crate sees it: what a server listens on, and how a client dials.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sockeye::client::{BoxFuture, Dial};
use sockeye::net::Listen;
use sockeye::{Config, Connector, NetStream, Server};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Sim};

pub(crate) const PORT: u16 = 80;

/// What a program on the network comes to.
pub(crate) type Ended = turmoil::Result;

/// What a seed decides.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    pub(crate) fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(least_ms + self.below(most_ms - least_ms + 1))
    }
}

/// Runs a scenario with each seed, and names the one that fails.
pub(crate) fn with_seeds(scenario: impl Fn(u64, Chance)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("NETWORK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NETWORK_SEEDS").unwrap_or(2),
    };
    for seed in seeds {
        let chance = Chance(ChaCha8Rng::seed_from_u64(seed));
        let ran = catch_unwind(AssertUnwindSafe(|| scenario(seed, chance)));
        if let Err(failure) = ran {
            eprintln!("NETWORK_SEED={seed}");
            resume_unwind(failure);
        }
    }
}

/// A network with delays of up to so many milliseconds, which ends after so many seconds at the latest.
pub(crate) fn network<'a>(seed: u64, delay_ms: u64, seconds: u64) -> Sim<'a> {
    network_of(seed, delay_ms, seconds, 4096)
}

/// The same, where a connection has so many segments under way at most.
pub(crate) fn network_of<'a>(seed: u64, delay_ms: u64, seconds: u64, segments: usize) -> Sim<'a> {
    Builder::new()
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(5))
        .simulation_duration(Duration::from_secs(seconds))
        .min_message_latency(Duration::from_millis(0))
        .max_message_latency(Duration::from_millis(delay_ms))
        .tcp_capacity(segments)
        .build()
}

/// What happens at which time.
pub(crate) type Events<'a> = Vec<(Duration, Box<dyn FnOnce(&mut Sim<'a>) + 'a>)>;

/// Lets all that happen; then the simulation runs to its end.
pub(crate) fn play<'a>(sim: &mut Sim<'a>, mut events: Events<'a>) {
    events.sort_by_key(|(at, _)| *at);
    let mut events = events.into_iter().peekable();
    loop {
        while let Some((_, act)) = events.next_if(|(at, _)| *at <= sim.elapsed()) {
            act(sim);
        }
        if sim.step().unwrap() {
            assert!(events.peek().is_none(), "the programs ended before all had happened");
            return;
        }
    }
}

/// Lets time pass on the host this is called on, whose clock is that of the simulation.
pub(crate) async fn pass(time: Duration) {
    assert!(turmoil::in_simulation());
    tokio::time::sleep(time).await;
}

/// Accepts for a server, until it is dropped.
#[derive(Debug)]
struct Port {
    accepted: mpsc::Receiver<(TcpStream, SocketAddr)>,
    accepting: JoinHandle<()>,
}

impl Listen for Port {
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(NetStream, Option<SocketAddr>)>> {
        self.accepted.poll_recv(cx).map(|accepted| {
            let (stream, peer) = accepted.ok_or(io::ErrorKind::BrokenPipe)?;
            Ok((NetStream::boxed(stream), Some(peer)))
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A server of the host this is called on.
pub(crate) async fn listen() -> Server {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await.unwrap();
    let (sender, accepted) = mpsc::channel(4096);
    let accepting = tokio::spawn(async move {
        while let Ok(accepted) = listener.accept().await {
            if sender.send(accepted).await.is_err() {
                return;
            }
        }
    });
    Server::on(Port { accepted, accepting })
}

/// Dials hosts of the network by their names; a name may stand for several, of which each attempt takes the next.
struct Wires;

impl Dial for Wires {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![(turmoil::lookup(host), port).into()]) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<NetStream>> {
        Box::pin(async move { Ok(NetStream::boxed(TcpStream::connect(address).await?)) })
    }
}

/// A client of this network.
pub(crate) fn connector(config: Config) -> Connector {
    Connector::new(config).dial(Wires)
}

/// Pings every 30 s, and 10 s for the answer.
pub(crate) fn keeping_alive() -> Config {
    let mut config = Config::default();
    config.ping_interval = Some(Duration::from_secs(30));
    config.pong_timeout = Duration::from_secs(10);
    config
}
