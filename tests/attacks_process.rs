//! Attacks that need a process of their own: no descriptors left, thousands of idle clients. The server
//! is this test again in another role, which an environment variable tells apart; the attackers are raw
//! sockets of this process.

#![cfg(all(target_os = "linux", feature = "hub"))]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sockeye::frame::Frame;
use sockeye::hub::metrics::Rejection;
use sockeye::hub::{Handlers, Hub};
use sockeye::{Config, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use support::io::RawPeer;
use support::server::{allow_descriptors, lawful, parse, read_head, read_reply, within};

/// What this process is: unset for the test, else how many descriptors the server may have.
const ROLE: &str = "SOCKEYE_ATTACKS_PROCESS_ROLE";

/// What Linux counts processor time in here, whatever the clock of the kernel. Source: `proc(5)`.
const TICK_MS: u64 = 10;

/// The server, until it is dropped.
struct Running {
    process: Child,
    address: SocketAddr,
}

impl Running {
    /// This test again, as a server with so many descriptors at most.
    fn start(test: &str, descriptors: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(ROLE, descriptors.to_string());
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a server process");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // The test harness has a word to say before.
        let address = lines.find_map(|line| {
            let line = line.expect("a pipe");
            line.split_once("listening on ").map(|(_, address)| address.parse().unwrap())
        });
        Self { process, address: address.expect("a server that listens") }
    }

    async fn raw(&self) -> TcpStream {
        within(TcpStream::connect(self.address)).await.unwrap()
    }

    async fn peer(&self) -> RawPeer<TcpStream> {
        let mut stream = self.raw().await;
        stream.write_all(&lawful()).await.unwrap();
        let (head, stream) = read_head(stream).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        RawPeer::client(stream)
    }

    /// The processor time that it has used, in milliseconds.
    fn cpu_ms(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.process.id());
        let text = std::fs::read_to_string(path).expect("a Linux with /proc");
        // Behind the name, which may have blanks: utime and stime are the 14th and 15th field.
        let (_, fields) = text.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
        ticks.sum::<u64>() * TICK_MS
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until its input ends: what comes goes back, and `metrics` is answered with numbers.
fn serve(descriptors: &str) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let descriptors = descriptors.parse().unwrap();
    let current = Some(maximum.map_or(descriptors, |maximum| maximum.min(descriptors)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::default();
        // Clients that say nothing for the length of a test stay.
        config.pong_timeout = Duration::from_secs(600);
        let hub = Hub::builder().connections_max(20_000).config(config).build().unwrap();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        println!("listening on {}", server.local_addr().unwrap());
        let handlers = Handlers::new().on_message({
            let hub = hub.clone();
            move |connection, message| {
                if message.as_text() != Some("metrics") {
                    let _ = connection.send(message);
                    return;
                }
                let metrics = hub.metrics();
                let numbers = format!("{} {}", hub.len(), metrics.rejected[&Rejection::Shortage]);
                let _ = connection.send(&*numbers);
            }
        });
        hub.serve_until(server, handlers, std::future::pending()).await.unwrap();
    });
}

/// The server's connections, and its tries to accept for which there was no descriptor.
async fn metrics(peer: &mut RawPeer<TcpStream>) -> (usize, u64) {
    peer.send(Frame::text("metrics")).await;
    let answer = within(peer.data()).await.expect("it stays open");
    let text = std::str::from_utf8(&answer.payload).unwrap();
    let (connections, shortages) = text.split_once(' ').unwrap();
    (connections.parse().unwrap(), shortages.parse().unwrap())
}

/// Row 49: a server without a descriptor left serves whom it has, does not spin, and takes newcomers as
/// soon as there is one.
#[tokio::test]
async fn row_49_no_descriptors_left() {
    if let Ok(descriptors) = std::env::var(ROLE) {
        return std::thread::spawn(move || serve(&descriptors)).join().unwrap();
    }
    let server = Running::start("row_49_no_descriptors_left", 128);
    let mut healthy = server.peer().await;
    let (begun, mut crowd) = (Instant::now(), Vec::new());
    // The kernel takes those that the server cannot.
    for _ in 0..200 {
        let mut stream = server.raw().await;
        stream.write_all(&lawful()).await.unwrap();
        crowd.push(stream);
    }
    let mut rounds = 0;
    let tries = loop {
        let (connections, tries) = metrics(&mut healthy).await;
        assert!(connections < 128, "{connections}");
        rounds += 1;
        if tries >= 8 {
            break tries;
        }
    };
    println!("{rounds} round trips, {tries} tries");
    // The pauses double from 5 ms on: one that spins is sooner there, or has tried far more often.
    assert!(tries < 20 && begun.elapsed() >= Duration::from_millis(600), "{tries}");
    drop(crowd);
    let mut newcomer = server.peer().await;
    newcomer.send(Frame::text("hello")).await;
    assert_eq!(within(newcomer.data()).await, Some(Frame::text("hello")));
    within(async { while metrics(&mut healthy).await.0 > 2 {} }).await;
}

/// A46, BY-04: thousands of idle clients cost less than 3 % of a core: what the system has counted for
/// the whole process, while one client waits three seconds for what does not come.
#[tokio::test]
async fn a46_idle_clients_cost_no_time() {
    if let Ok(descriptors) = std::env::var(ROLE) {
        return std::thread::spawn(move || serve(&descriptors)).join().unwrap();
    }
    allow_descriptors();
    let server = Running::start("a46_idle_clients_cost_no_time", 20_000);
    let mut healthy = server.peer().await;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let clients = usize::try_from(limit.saturating_sub(100)).unwrap().min(10_000);
    let mut idle = Vec::new();
    while idle.len() < clients {
        let mut stream = server.raw().await;
        stream.write_all(&lawful()).await.unwrap();
        assert_eq!(parse(&read_reply(&mut stream).await).status, 101);
        idle.push(stream);
    }
    assert_eq!(metrics(&mut healthy).await.0, clients + 1);
    let (begun, before) = (Instant::now(), server.cpu_ms());
    let waited = tokio::time::timeout(Duration::from_secs(3), healthy.data()).await;
    assert!(waited.is_err(), "nobody speaks");
    let (used, stretch) = (server.cpu_ms() - before, begun.elapsed());
    println!("{clients} idle: {used} ms of {stretch:?}");
    assert!(u128::from(used) * 100 < stretch.as_millis() * 3, "{used} ms of {stretch:?}");
    assert_eq!(metrics(&mut healthy).await.0, clients + 1);
}
