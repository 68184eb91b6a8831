//! The tunnel example as its users start it: both ends of the compiled program, and plain TCP around them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::programs::example;

/// A test that waits longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// One end, on a port of its own, until it is dropped.
struct End {
    process: Child,
    addr: SocketAddr,
}

impl End {
    fn start(arguments: &[&str]) -> Self {
        let mut command = example("tunnel");
        command.arg(arguments[0]).args(["--port", "0"]).args(&arguments[1..]);
        let process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = process.expect(
            "the example is there: cargo test builds it, cargo test --test tunnel does not",
        );
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        Self { process, addr: addr.unwrap_or_else(|| panic!("{line:?}")) }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Both ends on the way to a target.
struct Tunnel {
    client: End,
    server: End,
}

impl Tunnel {
    fn to(target: SocketAddr) -> Self {
        let server = End::start(&["server", "--to", &target.to_string()]);
        let url = format!("ws://{}/", server.addr);
        Self { client: End::start(&["client", "--url", &url]), server }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.client.addr).await.unwrap()
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("nothing comes")
}

/// Sends back what comes, and says goodbye when its peer has nothing more to say.
async fn echo_target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = tcp.split();
                tokio::io::copy(&mut from, &mut to).await.unwrap();
                to.write_all(b"goodbye").await.unwrap();
                to.shutdown().await.unwrap();
            });
        }
    });
    addr
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31 + seed) % 251) as u8).collect()
}

/// BY-11: 1 MiB there and back, on several connections at once; what the target says after the half close
/// still comes.
#[tokio::test]
async fn carries_both_ways_and_half_closes() {
    let tunnel = Tunnel::to(echo_target().await);
    let round = async |seed| {
        let bytes = pattern(seed, 1024 * 1024);
        let mut tcp = tunnel.connect().await;
        let (mut from, mut to) = tcp.split();
        let mut came = Vec::new();
        let writing = async {
            to.write_all(&bytes).await.unwrap();
            to.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(from.read_to_end(&mut came), writing);
        read.unwrap();
        let (echo, goodbye) = came.split_at(bytes.len());
        assert!(echo == bytes);
        assert_eq!(goodbye, b"goodbye");
    };
    within(async { tokio::join!(round(1), round(2), round(3)) }).await;
}

/// BY-11: the target may end first, too, and then take more.
#[tokio::test]
async fn the_target_may_end_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tunnel = Tunnel::to(listener.local_addr().unwrap());
    let mut tcp = tunnel.connect().await;
    let (mut target, _) = within(listener.accept()).await.unwrap();
    target.write_all(b"all I have").await.unwrap();
    target.shutdown().await.unwrap();
    let mut came = Vec::new();
    within(tcp.read_to_end(&mut came)).await.unwrap();
    assert_eq!(came, b"all I have");
    tcp.write_all(b"and me").await.unwrap();
    tcp.shutdown().await.unwrap();
    came.clear();
    within(target.read_to_end(&mut came)).await.unwrap();
    assert_eq!(came, b"and me");
}

/// BY-11: an end that is none is an error on the other side: a tunnel that breaks, and a target that
/// cannot be reached.
#[tokio::test]
async fn a_break_is_no_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let tunnel = Tunnel::to(target);
    let mut tcp = tunnel.connect().await;
    let (mut accepted, _) = within(listener.accept()).await.unwrap();
    accepted.write_all(b"beginning").await.unwrap();
    let mut came = [0; 9];
    within(tcp.read_exact(&mut came)).await.unwrap();
    let Tunnel { client, server } = tunnel;
    drop(server);
    assert!(within(tcp.read(&mut came)).await.is_err());

    drop((listener, accepted));
    let server = End::start(&["server", "--to", &target.to_string()]);
    let url = format!("ws://{}/", server.addr);
    drop(client);
    let client = End::start(&["client", "--url", &url]);
    let mut tcp = TcpStream::connect(client.addr).await.unwrap();
    assert!(within(tcp.read(&mut came)).await.is_err());
}

/// BY-11: only so many connections at a time; the next gets its turn.
#[tokio::test]
async fn connections_are_bounded() {
    let server = End::start(&["server", "--to", &echo_target().await.to_string()]);
    let url = format!("ws://{}/", server.addr);
    let client = End::start(&["client", "--url", &url, "--max-connections", "1"]);
    let mut first = TcpStream::connect(client.addr).await.unwrap();
    let mut second = TcpStream::connect(client.addr).await.unwrap();
    let mut came = [0; 5];
    first.write_all(b"first").await.unwrap();
    second.write_all(b"second").await.unwrap();
    within(first.read_exact(&mut came)).await.unwrap();
    assert!(timeout(Duration::from_millis(300), second.read_u8()).await.is_err());
    drop(first);
    within(second.read_exact(&mut came)).await.unwrap();
    assert_eq!(&came, b"secon");
}

/// BY-11: a command line that is not understood is an error with the usage.
#[test]
fn refuses_a_bad_command_line() {
    for arguments in [
        &["server"][..],
        &["client", "--to", "127.0.0.1:1"],
        &["somewhere", "--to", "127.0.0.1:1"],
        &["server", "--to", "127.0.0.1:1", "--max-connections", "0"],
        &["server", "--to", "127.0.0.1:1", "--port", "many"],
        &[],
    ] {
        let output = example("tunnel").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: tunnel"));
    }
}
