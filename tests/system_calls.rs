//! What a message costs in system calls, counted by `strace`: with one in flight, with many, and to many; and what a
//! connection costs that only comes and goes.
//!
//! Counts do not drift as times do, so they are pinned. The test runs itself again as the server, under `strace`,
//! once with few messages and once with many: what is more is the messages', and all else cancels out.
//!
//! ```text
//!   the test: clients, one step at a time ──► strace ──► server: one of KINDS
//! ```

#![cfg(all(target_os = "linux", feature = "hub"))]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sockeye::frame::Frame;
use sockeye::hub::{Hub, Membership};
use sockeye::{Connection, Handler, MessageRef, NetStream, Server, WebSocket};

use support::programs::{Running, not_tested, spawn};

/// What this process is: unset for the test, else a kind of server.
const ROLE: &str = "SOCKEYE_SYSTEM_CALLS_ROLE";

/// Steps of the two runs: their difference is what is counted.
const FEW: usize = 50;
const MANY: usize = FEW + STEPS;
const STEPS: usize = 500;

const IN_FLIGHT: usize = 64;
const MEMBERS: usize = 20;

/// No answer for so long: something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of server, and what a step of its clients may cost it.
struct Kind {
    name: &'static str,
    /// Messages of a step: they come in one read.
    in_flight: usize,
    clients: usize,
    reads: usize,
    writes: usize,
    waits: usize,
    others: usize,
}

/// A step is one message or one batch from the first client, and all answers; where there is no client before, it is a
/// connection from its first byte to its last.
const KINDS: [Kind; 10] = [
    echo("handler", 1),
    echo("borrowed", 1),
    echo("owned", 1),
    echo("handler", IN_FLIGHT),
    echo("borrowed", IN_FLIGHT),
    echo("owned", IN_FLIGHT),
    Kind {
        name: "chat",
        in_flight: 1,
        clients: MEMBERS,
        reads: 1,
        writes: MEMBERS,
        waits: 1,
        others: 0,
    },
    visit("handler"),
    visit("borrowed"),
    visit("owned"),
];

const fn echo(name: &'static str, in_flight: usize) -> Kind {
    Kind { name, in_flight, clients: 1, reads: 1, writes: 1, waits: 1, others: 0 }
}

/// Request and close frame are read, both are answered. The rest is an accept and one in vain, the socket in and out of
/// the list that is waited on, and its close; nobody sends anything more.
const fn visit(name: &'static str) -> Kind {
    Kind { name, in_flight: 0, clients: 0, reads: 2, writes: 2, waits: 3, others: 5 }
}

/// BY-12, BY-06: one read and one write for all that came at once, and a share of a wait; a broadcast is one
/// write a member.
#[test]
fn messages_cost_no_more_system_calls_than_they_must() {
    match std::env::var(ROLE).as_deref() {
        Ok(kind) => serve(kind),
        Err(_) if is_traceable() => KINDS.iter().for_each(judge),
        Err(_) => {}
    }
}

/// Whether there is a `strace`, and it may trace here.
fn is_traceable() -> bool {
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "true"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let Some(mut running) = spawn(&mut command) else { return false };
    let mut said = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let is_traced = running.0.wait().unwrap().success() && said.contains("execve");
    if !is_traced {
        not_tested(&format!("strace may not trace here ({})", said.trim()));
    }
    is_traced
}

fn judge(kind: &Kind) {
    let few = Calls::of_run(kind, FEW);
    let many = Calls::of_run(kind, MANY);
    let per_step = |names: &[&str]| {
        let sum = |calls: &Calls| names.iter().map(|name| calls.count(name)).sum::<usize>();
        sum(&many).saturating_sub(sum(&few)) as f64 / STEPS as f64
    };
    let reads = per_step(&["recvfrom", "recvmsg", "read", "readv"]);
    let writes = per_step(&["sendto", "sendmsg", "writev"]);
    // The clock of the connections, once in 100 ms: a write with which the thread wakes itself, and a wait. Where the last
    // connection ends it begins anew, and so do the runtime's timers.
    let wakes = per_step(&["write"]);
    let waits = per_step(&["epoll_wait", "epoll_pwait", "epoll_pwait2"]);
    let all = (many.all() - few.all()) as f64 / STEPS as f64;
    let what = format!("{}, {} in flight, {} clients", kind.name, kind.in_flight, kind.clients);
    println!("{what}: a step is {reads} reads, {writes} writes, {waits} waits, {all} calls");
    let margin = 0.05;
    let near = |seen: f64, expected: usize| (seen - expected as f64).abs() <= margin;
    assert!(near(reads, kind.reads), "{what}: {reads} reads");
    assert!(near(writes, kind.writes), "{what}: {writes} writes");
    assert!(waits <= kind.waits as f64 + margin, "{what}: {waits} waits");
    let begins = if kind.clients == 0 { 2 } else { 1 };
    let ticks = (begins * many.ticks) as f64 / STEPS as f64;
    assert!(wakes <= ticks, "{what}: {wakes} wakes, {ticks} ticks");
    // A debug build asks whether a descriptor is one before it closes it.
    let others = all - reads - writes - waits - wakes - per_step(&["fcntl"]);
    assert!(others <= kind.others as f64 + margin, "{what}: {others} others: {few:?} {many:?}");
}

/// What `strace -c` counted, by name.
#[derive(Debug)]
struct Calls {
    counts: BTreeMap<String, usize>,
    /// Ticks of the connections' clock that there was time for.
    ticks: usize,
}

impl Calls {
    fn of_run(kind: &Kind, steps: usize) -> Self {
        let (table, began) = (Table::new(kind, steps), Instant::now());
        let mut server = Traced::start(kind.name, &table.0);
        let mut clients: Vec<_> = (0..kind.clients).map(|_| connect(server.address)).collect();
        let frame = Frame::binary(vec![7; 16]);
        let batch = frame.clone().masked([1, 2, 3, 4]).encode().repeat(kind.in_flight);
        let answer = frame.encode().repeat(kind.in_flight);
        let mut received = vec![0; answer.len()];
        for _ in 0..steps {
            match clients.first_mut() {
                Some(first) => first.write_all(&batch).unwrap(),
                None => visit_once(server.address),
            }
            for client in &mut clients {
                client.read_exact(&mut received).unwrap();
                assert_eq!(received, answer);
            }
        }
        server.stop();
        let ticks = 1 + began.elapsed().as_millis() as usize / 100;
        Self { counts: counts(&std::fs::read_to_string(&table.0).unwrap()), ticks }
    }

    fn count(&self, name: &str) -> usize {
        self.counts.get(name).copied().unwrap_or(0)
    }

    fn all(&self) -> usize {
        self.counts.values().sum()
    }
}

/// `% time, seconds, usecs/call, calls, errors, syscall`: the errors may be missing.
fn counts(table: &str) -> BTreeMap<String, usize> {
    let rows = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (calls, name) = (fields.get(3)?.parse().ok()?, fields.last()?);
        (*name != "total").then(|| ((*name).to_owned(), calls))
    });
    let counts = rows.collect::<BTreeMap<_, _>>();
    assert!(counts.contains_key("execve"), "no table of strace: {table}");
    counts
}

/// A file of this run's own, until it is dropped.
struct Table(PathBuf);

impl Table {
    fn new(kind: &Kind, steps: usize) -> Self {
        let name = format!("sockeye-calls-{}-{}-{steps}", std::process::id(), kind.name);
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// This test again, as a server under `strace`. It ends with its input.
struct Traced {
    process: Running,
    address: SocketAddr,
}

impl Traced {
    fn start(kind: &str, table: &std::path::Path) -> Self {
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-o"]).arg(table).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "messages_cost_no_more_system_calls_than_they_must"]);
        command.arg("--nocapture").env(ROLE, kind).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = spawn(&mut command).expect("strace was there");
        let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let address = lines.map_while(Result::ok).find_map(|line| {
            line.split_once("listening on ").map(|(_, address)| address.trim().parse().unwrap())
        });
        Self { process, address: address.expect("the server listens") }
    }

    fn stop(&mut self) {
        drop(self.process.0.stdin.take());
        let status = self.process.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
    stream
}

/// Comes and goes.
fn visit_once(address: SocketAddr) {
    let mut stream = connect(address);
    let close = Frame::close(1000, "").unwrap();
    stream.write_all(&close.clone().masked([1, 2, 3, 4]).encode()).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, close.encode());
}

// The server.

/// Serves until the standard input ends.
fn serve(kind: &str) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        println!("listening on {}", server.local_addr().unwrap());
        match kind {
            "handler" => server.serve(|socket, _| socket.run(Echo)).await,
            "borrowed" => server.serve(|socket, _| borrowed(socket)).await,
            "owned" => server.serve(|socket, _| owned(socket)).await,
            "chat" => {
                let hub = Hub::new();
                server.serve(move |socket, _| socket.run(Chat::new(&hub))).await
            }
            _ => panic!("{kind}?"),
        }
        .unwrap();
    });
}

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        connection.send(message).unwrap();
    }
}

async fn borrowed(mut socket: WebSocket<NetStream>) {
    let sender = socket.sender();
    while let Ok(Some(message)) = socket.recv_ref().await {
        sender.feed(message).unwrap();
    }
}

async fn owned(mut socket: WebSocket<NetStream>) {
    while let Ok(Some(message)) = socket.recv().await {
        socket.feed(message).unwrap();
    }
}

/// Sends everything to everybody.
struct Chat {
    hub: Hub,
    lobby: Option<Membership>,
}

impl Chat {
    fn new(hub: &Hub) -> Self {
        Self { hub: hub.clone(), lobby: None }
    }
}

impl Handler for Chat {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        self.lobby = Some(self.hub.room("lobby").join(connection.sender()).unwrap());
    }

    fn on_message(&mut self, _: &mut Connection<'_>, message: MessageRef<'_>) {
        let lobby = self.lobby.as_ref().unwrap();
        lobby.room().broadcast(message).unwrap();
    }
}
