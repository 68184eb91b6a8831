//! What an idle connection costs a server (BY-04): it holds no read and no write buffer.
//!
//! The figures must be the server's alone, and each kind of connection needs a heap that no other has
//! used. So the test runs itself again, in two more roles, which an environment variable tells apart:
//!
//! ```text
//!   the test ──► server: echo ──► clients
//!            └─► server: chat ──► clients
//! ```
//!
//! One test, for the counters are those of the whole process. `--nocapture` shows the figures.

#![cfg(all(target_os = "linux", feature = "hub"))]

use std::alloc::System;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use sockeye::hub::{Hub, Membership};
use sockeye::protocol::{Config, Role};
use sockeye::{Acceptor, Connection, Handler, MessageRef, Server, WebSocket};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What this process is: unset for the test, else a kind of server, or the server's address.
const ROLE: &str = "SOCKEYE_IDLE_MEMORY_ROLE";

/// Enough that a page more or less is a byte or two a connection.
const CONNECTIONS: usize = 4000;

/// Connections that come and go before the baseline, so that what is there once a thread, or grows
/// with the first use, is not counted.
const WARM_UP: usize = 64;

/// Bytes of resident memory a connection may cost.
const RESIDENT_BYTES_MAX: i64 = 1536;

/// Bytes of the allocator a connection may cost: what is seen, and little more. A chat member has a
/// place in its room as well.
const ECHO_BYTES_MAX: i64 = 1001;
const CHAT_BYTES_MAX: i64 = 1179;

/// What a task may cost: tokio adds about a hundred bytes to the future and rounds up to 128.
const TASK_BYTES_MAX: usize = 384;

/// The largest future that fits such a task.
const FUTURE_BYTES_MAX: usize = 280;

/// What a server's task has beside the future it runs: who owns it, and its number.
const OWNER_BYTES: usize = 16;

/// No answer for so long: something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends every message back.
struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        connection.send(message).expect("an open connection");
    }
}

/// Sends text to everybody, and all else back.
struct Chat {
    hub: Hub,
    lobby: Option<Membership>,
}

impl Handler for Chat {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        self.lobby = Some(self.hub.room("lobby").join(connection.sender()).unwrap());
    }

    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        match (message, &self.lobby) {
            (MessageRef::Text(_), Some(lobby)) => {
                lobby.room().broadcast(message).expect("an idle hub");
            }
            _ => connection.send(message).expect("an open connection"),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lobby = self.lobby.as_ref();
        lobby.map_or(Poll::Ready(()), |lobby| lobby.room().poll_ready(cx))
    }
}

/// BY-04: an idle connection's bytes, its driver and its task are bounded.
#[test]
fn by_04_idle_connections_are_small() {
    match std::env::var(ROLE).as_deref() {
        Err(_) => {
            drivers_are_small();
            ["echo", "chat"].into_iter().for_each(run_server);
        }
        Ok("echo") => measure("bare echo", ECHO_BYTES_MAX, false),
        Ok("chat") => measure("chat member", CHAT_BYTES_MAX, true),
        Ok(address) => Clients::new(address.parse().expect("an address")).run(),
    }
}

/// The handler's own size comes on top, so it is the bare echo's that is pinned.
fn drivers_are_small() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let config = Config::default().into();
    let socket = || WebSocket::from_stream(unconnected(), Role::Server, &config);
    let echo = size_of_val(&socket().run(Echo));
    let hub = Hub::new();
    let chat = size_of_val(&socket().run(Chat { hub, lobby: None }));
    println!("driver: {echo} bytes with a bare echo, {chat} with a chat member");
    let future = echo + OWNER_BYTES;
    assert!(future <= FUTURE_BYTES_MAX, "{future} bytes need more than {TASK_BYTES_MAX}");
    let task = task_bytes(future_of::<FUTURE_BYTES_MAX>());
    assert_eq!(task, TASK_BYTES_MAX, "tokio's tasks have changed");
}

/// A future of so many bytes.
fn future_of<const BYTES: usize>() -> impl Future<Output = ()> + Send + 'static {
    let bytes = [0_u8; BYTES];
    let future = std::future::poll_fn(move |_| {
        std::hint::black_box(&bytes);
        Poll::Pending
    });
    assert_eq!(size_of_val(&future), BYTES);
    future
}

fn task_bytes(future: impl Future<Output: Send> + Send + 'static) -> usize {
    let region = Region::new(ALLOCATOR);
    tokio::spawn(future);
    region.change().bytes_allocated
}

fn unconnected() -> tokio::net::TcpStream {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_nonblocking(true).expect("a mode");
    tokio::net::TcpStream::from_std(stream).expect("a stream")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// This test again, in another role.
fn again(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "by_04_idle_connections_are_small", "--nocapture"]).env(ROLE, role);
    command
}

fn run_server(kind: &str) {
    let output = again(kind).output().expect("a server process");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{kind}: {stdout}{stderr}");
    let figures = stdout.lines().filter(|line| line.contains(" a connection"));
    let figures: Vec<_> = figures.collect();
    assert!(!figures.is_empty(), "{kind} printed no figures: {stdout}");
    println!("{}", figures.join("\n"));
}

// The server.

/// Measures connections of one kind, in a process that does nothing else.
fn measure(kind: &str, heap_bytes_max: i64, is_chat: bool) {
    allow_descriptors();
    let mut clients = Remote::start(start_server(is_chat));
    clients.tell(&format!("open {WARM_UP}"));
    clients.tell("echo 1024");
    clients.tell("echo 16384");
    clients.tell("close");
    let before = Memory::now();
    clients.tell(&format!("open {CONNECTIONS}"));
    for bytes in [1024, 16384] {
        clients.tell(&format!("echo {bytes}"));
        Memory::now().judge(&before, &format!("{kind} after {bytes}"), heap_bytes_max);
    }
    if is_chat {
        clients.tell("broadcast 1024");
        Memory::now().judge(&before, &format!("{kind} after a broadcast"), heap_bytes_max);
    }
}

/// A server with the default configuration, on a thread and a runtime of its own.
fn start_server(is_chat: bool) -> SocketAddr {
    let (sender, address) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async move {
            let server = Server::bind("127.0.0.1:0").await.expect("an address");
            sender.send(server.local_addr().expect("its address")).expect("somebody waits");
            let server = server.acceptor(Acceptor::new(Config::default()));
            let served = if is_chat {
                let hub = Hub::new();
                let chat = move || Chat { hub: hub.clone(), lobby: None };
                server.serve(move |socket, _| socket.run(chat())).await
            } else {
                server.serve(|socket, _| socket.run(Echo)).await
            };
            served.expect("a listener that works");
        });
    });
    address.recv_timeout(PATIENCE).expect("a server")
}

/// What this process holds, in bytes.
struct Memory {
    heap: i64,
    resident: i64,
}

impl Memory {
    fn now() -> Self {
        let stats = ALLOCATOR.stats();
        let heap = stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated);
        Self { heap: i64::try_from(heap).expect("a number of bytes"), resident: resident_bytes() }
    }

    fn judge(&self, before: &Self, what: &str, heap_bytes_max: i64) {
        let count = CONNECTIONS as i64;
        let heap = (self.heap - before.heap) / count;
        let resident = (self.resident - before.resident) / count;
        println!("{what}: {heap} bytes of heap, {resident} resident a connection");
        assert!(heap > 0, "nothing was measured");
        assert!(heap <= heap_bytes_max, "{what}: {heap} bytes of heap");
        assert!(resident <= RESIDENT_BYTES_MAX, "{what}: {resident} resident");
    }
}

fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("a Linux with /proc");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    let kib: i64 = kib.and_then(|kib| kib.trim().parse().ok()).expect("a line");
    kib * 1024
}

/// Each end of each connection is one. What the system does not allow shows at the connect.
fn allow_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit { current: maximum, maximum };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// The clients' process, seen from the server's: a line there, a line back.
struct Remote {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    line: String,
}

impl Remote {
    fn start(address: SocketAddr) -> Self {
        let mut process = again(&address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client process");
        Self {
            commands: process.stdin.take().expect("a pipe"),
            answers: BufReader::new(process.stdout.take().expect("a pipe")),
            process,
            line: String::new(),
        }
    }

    /// Tells it what to do and waits until it is done.
    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("a client process");
        while self.line.trim() != "done" {
            self.line.clear();
            let len = self.answers.read_line(&mut self.line).expect("a pipe");
            assert!(len > 0, "the clients ended at: {command}");
        }
        self.line.clear();
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

// The clients.

/// Plain streams and frames written by hand.
struct Clients {
    address: SocketAddr,
    streams: Vec<TcpStream>,
}

impl Clients {
    fn new(address: SocketAddr) -> Self {
        allow_descriptors();
        Self { address, streams: Vec::new() }
    }

    fn run(mut self) {
        for line in std::io::stdin().lines() {
            let line = line.expect("a pipe");
            let (command, number) = line.split_once(' ').unwrap_or((&line, "0"));
            let number = number.parse().expect("a number");
            match command {
                "open" => self.streams = (0..number).map(|_| self.connect()).collect(),
                "echo" => self.echo(number),
                "broadcast" => self.broadcast(number),
                "close" => self.close(),
                _ => panic!("{line}?"),
            }
            println!("done");
        }
    }

    fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("a descriptor and a server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("a server");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("an answer");
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
        stream
    }

    /// Each connection gets one message back.
    fn echo(&mut self, payload_len: u16) {
        let frame = masked(0x82, payload_len);
        let echo = unmasked(0x82, payload_len);
        for stream in &mut self.streams {
            stream.write_all(&frame).expect("a server");
            expect(stream, &echo);
        }
    }

    /// One message reaches each connection.
    fn broadcast(&mut self, payload_len: u16) {
        let first = self.streams.first_mut().expect("a connection");
        first.write_all(&masked(0x81, payload_len)).expect("a server");
        let message = unmasked(0x81, payload_len);
        self.streams.iter_mut().for_each(|stream| expect(stream, &message));
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

fn expect(stream: &mut TcpStream, frame: &[u8]) {
    let mut read = vec![0; frame.len()];
    stream.read_exact(&mut read).expect("a message");
    assert!(read == frame, "another message");
}

/// A client's frame of `x`, with 16 bits of length and a mask of zeros.
fn masked(first_byte: u8, payload_len: u16) -> Vec<u8> {
    frame(first_byte, 0x80 | 126, payload_len, &[0; 4])
}

/// The same frame as a server sends it.
fn unmasked(first_byte: u8, payload_len: u16) -> Vec<u8> {
    frame(first_byte, 126, payload_len, &[])
}

fn frame(first_byte: u8, second_byte: u8, payload_len: u16, key: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte, second_byte];
    frame.extend(payload_len.to_be_bytes());
    frame.extend(key);
    frame.resize(frame.len() + usize::from(payload_len), b'x');
    frame
}
