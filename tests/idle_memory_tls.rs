//! What an idle connection with TLS costs a server (BY-04).
//!
//! The figures must be the server's alone. So the test runs itself again, as the server and as its clients, which an
//! environment variable tells apart.
//!
//! One test, for the counters are those of the whole process. `--nocapture` shows the figures.

#![cfg(all(target_os = "linux", feature = "ring"))]

mod support;

use std::alloc::System;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;

use sockeye::tls::rustls;
use sockeye::tls::rustls::{ClientConfig, StreamOwned, version};
use sockeye::{Acceptor, Connection, Handler, MessageRef, Server};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use support::pair::quiet;
use support::server::{LONG, allow_descriptors, lawful};
use support::tls::{Authority, ByHand, client_config};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What this process is: unset for the test, `server`, or the server's address.
const ROLE: &str = "SOCKEYE_IDLE_MEMORY_TLS_ROLE";

/// The certificate of the authority, for the clients.
const ROOTS: &str = "SOCKEYE_IDLE_MEMORY_TLS_ROOTS";

const CONNECTIONS: usize = 200;

/// Before the baseline: more than the sessions a server remembers.
const WARM_UP: usize = 300;

/// Bytes of the allocator that a connection may cost: what is seen, and little more.
const HEAP_BYTES_MAX: i64 = 8 * 1024;

/// Sends every message back.
struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        connection.send(message).expect("an open connection");
    }
}

/// BY-04, BY-27: an idle connection's bytes are bounded with TLS, too, by both versions of it.
#[test]
fn by_04_idle_connections_with_tls() {
    match std::env::var(ROLE).as_deref() {
        Err(_) => {
            let output = again("server").output().expect("a server process");
            let said = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}{errors}");
            let figures: Vec<_> =
                said.lines().filter(|line| line.ends_with(" a connection")).collect();
            assert_eq!(figures.len(), 4, "{said}");
            println!("{}", figures.join("\n"));
        }
        Ok("server") => serve(),
        Ok(address) => Clients::new(address.parse().expect("an address")).run(),
    }
}

/// This test again, in another role.
fn again(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "by_04_idle_connections_with_tls", "--nocapture"]).env(ROLE, role);
    command
}

// The server.

fn serve() {
    allow_descriptors();
    let authority = Authority::new();
    let mut clients = Remote::start(start_server(&authority), &authority.pem);
    for version in ["1.2", "1.3"] {
        clients.tell(&format!("open {WARM_UP} {version}"));
        clients.tell("echo 16384");
        clients.tell("close");
        let before = heap_bytes();
        clients.tell(&format!("open {CONNECTIONS} {version}"));
        for bytes in [1024, 16384] {
            clients.tell(&format!("echo {bytes}"));
            let heap = (heap_bytes() - before) / CONNECTIONS as i64;
            println!("TLS {version} after {bytes}: {heap} bytes of heap a connection");
            assert!(heap > 0, "nothing was measured");
            assert!(heap <= HEAP_BYTES_MAX, "TLS {version}: {heap} bytes of heap");
        }
        clients.tell("close");
    }
}

/// A server without pings, for the handshakes of all take longer than one waits for them, on a thread and a runtime of its own.
fn start_server(authority: &Authority) -> SocketAddr {
    let (sender, address) = mpsc::channel();
    let tls = authority.here();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let server = Server::bind("127.0.0.1:0").await.expect("an address").tls(tls);
            sender.send(server.local_addr().expect("its address")).expect("somebody waits");
            let server = server.acceptor(Acceptor::new(quiet()));
            server.serve(|socket, _| socket.run(Echo)).await.expect("a listener that works");
        });
    });
    address.recv_timeout(LONG).expect("a server")
}

fn heap_bytes() -> i64 {
    let stats = ALLOCATOR.stats();
    let heap = stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated);
    i64::try_from(heap).expect("a number of bytes")
}

/// The clients' process, seen from the server's: a line there, a line back.
struct Remote {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Remote {
    fn start(address: SocketAddr, roots: &str) -> Self {
        let mut command = again(&address.to_string());
        command.env(ROOTS, roots).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a client process");
        let commands = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        Self { process, commands, answers }
    }

    /// Tells it what to do and waits until it is done.
    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("a client process");
        let mut lines = self.answers.by_ref().lines().map_while(Result::ok);
        assert!(lines.any(|line| line == "done"), "the clients ended at: {command}");
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

// The clients.

struct Clients {
    address: SocketAddr,
    streams: Vec<StreamOwned<rustls::ClientConnection, std::net::TcpStream>>,
}

impl Clients {
    fn new(address: SocketAddr) -> Self {
        allow_descriptors();
        Self { address, streams: Vec::new() }
    }

    fn run(mut self) {
        let roots = std::env::var(ROOTS).expect("a certificate");
        for line in std::io::stdin().lines() {
            let line = line.expect("a pipe");
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["open", count, version] => {
                    let version = if version == "1.2" { &version::TLS12 } else { &version::TLS13 };
                    let config = client_config(&roots, &[version]);
                    let count = count.parse().expect("a number");
                    (0..count).for_each(|_: usize| self.open(config.clone()));
                }
                ["echo", bytes] => self.echo(bytes.parse().expect("a number")),
                ["close"] => self.close(),
                _ => panic!("{line}?"),
            }
            println!("done");
        }
    }

    fn open(&mut self, config: ClientConfig) {
        let ByHand { tls, tcp } = ByHand::dial(config, self.address);
        let mut stream = StreamOwned::new(tls, tcp);
        stream.write_all(&lawful()).expect("a server");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("an answer");
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
        self.streams.push(stream);
    }

    /// Each connection gets one message back.
    fn echo(&mut self, payload_len: u16) {
        let frame = |second: u8, key: &[u8]| {
            let head = [&[0x82, second][..], &payload_len.to_be_bytes(), key].concat();
            [head, vec![b'x'; payload_len.into()]].concat()
        };
        let (sent, expected) = (frame(0x80 | 126, &[0; 4]), frame(126, &[]));
        for stream in &mut self.streams {
            stream.write_all(&sent).expect("a server");
            let mut back = vec![0; expected.len()];
            stream.read_exact(&mut back).expect("a message");
            assert!(back == expected, "another message");
        }
    }

    /// Closing handshakes, so that the server has let all of them go.
    fn close(&mut self) {
        for mut stream in self.streams.drain(..) {
            stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).expect("a server");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).expect("the end");
            assert_eq!(rest, [0x88, 0]);
        }
    }
}
