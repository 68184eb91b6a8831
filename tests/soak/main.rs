//! Everything at once, for a while: real sockets, rooms of a thousand and of ten, publishers, members that
//! come and go and members that never read, under each policy. What a healthy member should get arrives once
//! and in order, the numbers add up, and nothing is left when all have gone.
//!
//! Nothing here depends on speed: publishers go on when every healthy member has said what it has.
//! `SOAK_CONNECTIONS` (1,000) and `SOAK_SECONDS` (20) are its size and its length. The clients are a process
//! of their own, so that descriptors and memory are the server's alone.

#![cfg(feature = "hub")]

mod clients;
#[path = "../support/held.rs"]
mod held;
mod who;

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sockeye::hub::limits::Limits;
use sockeye::hub::metrics::{DropPolicy, Snapshot};
use sockeye::hub::{Except, Handlers, Hub, Registration, Shutdown};
use sockeye::protocol::Overflow;
use sockeye::{Acceptor, Config, MessageRef, NetStream, Request, Sender, Server, WebSocket};
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use clients::Clients;
use held::Held;
use who::{BIG_ROOM, SEVENTHS, SMALL_ROOM, channels_of, is_healthy, is_stalled};

/// Longer than anything takes on a machine that moves at all.
const LONG: Duration = Duration::from_secs(900);

const POLICIES: [Overflow; 4] = [
    Overflow::Block { timeout: LONG },
    Overflow::DropNewest,
    Overflow::DropOldest,
    Overflow::Close,
];

const PUBLISHERS: usize = 4;

/// Rounds of a life before anything is measured.
const ROUNDS_FIRST: u64 = 3;

/// Rounds that fill every outbox behind a socket that nobody reads from, however large the buffers of the
/// system are.
const ROUNDS_MIN: u64 = 12;

/// What is said to those that do not read, each time, in bytes.
const STALLED_BYTES: usize = 64 * 1024;

/// Descriptors beside the connections'.
const OTHER_DESCRIPTORS: u64 = 200;

fn config() -> Config {
    let mut config = Config::default();
    config.ping_interval = None;
    config.idle_timeout = None;
    config.outbox_messages_max = 256;
    config.outbox_bytes_max = 256 * 1024;
    // A machine that is busy is no reason to give up.
    config.write_timeout = LONG;
    config.message_timeout = LONG;
    config
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Messages said so far on each channel, by all publishers.
#[derive(Default)]
struct Said(Mutex<HashMap<String, u64>>);

impl Said {
    fn note(&self, channel: &str) {
        *self.0.lock().unwrap().entry(channel.to_owned()).or_default() += 1;
    }

    /// As many a member has to have.
    fn to(&self, member: usize) -> u64 {
        let said = self.0.lock().unwrap();
        let on = |channel: &str| said.get(channel).copied().unwrap_or(0);
        let others = (0..SEVENTHS).filter(|seventh| *seventh != member % SEVENTHS);
        channels_of(member).iter().map(|channel| on(channel)).sum::<u64>()
            + others.map(|seventh| on(&format!("but-{seventh}"))).sum::<u64>()
            + on(&format!("to-{member}"))
    }
}

/// The server's side.
struct Site {
    hub: Hub,
    said: Said,
    members: Vec<Mutex<Option<Sender>>>,
    healthy: usize,
    /// Healthy members that are there.
    arrived: AtomicUsize,
    /// Of this round, healthy members that have it all.
    acknowledged: AtomicUsize,
    /// What has gone wrong, once for each.
    faults: Mutex<Vec<String>>,
    changed: Notify,
}

impl Site {
    fn new(count: usize) -> Arc<Self> {
        let mut limits = Limits::default();
        limits.connections_max = 2 * count + 100;
        let hub = Hub::builder().config(config()).limits(limits).build().unwrap();
        Arc::new(Self {
            hub,
            said: Said::default(),
            members: (0..count).map(|_| Mutex::default()).collect(),
            healthy: (0..count).filter(|member| is_healthy(*member)).count(),
            arrived: AtomicUsize::new(0),
            acknowledged: AtomicUsize::new(0),
            faults: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn fault(&self, fault: String) {
        self.faults.lock().unwrap().push(fault);
        self.changed.notify_one();
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let faults = self.faults.lock().unwrap().clone();
                assert!(faults.is_empty(), "{faults:?}");
                if is_so(self) {
                    return;
                }
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("{what}"));
    }

    /// One connection, from its handshake to its end.
    async fn serve(
        self: Arc<Self>,
        socket: WebSocket<NetStream>,
        registration: Registration,
        request: Request,
    ) {
        let member: usize = request.query("member").unwrap().parse().unwrap();
        for room in &channels_of(member)[1..] {
            registration.join(room).unwrap();
        }
        if is_stalled(member) {
            registration.join("stalled").unwrap();
        }
        if is_healthy(member) {
            *self.members[member].lock().unwrap() = Some(socket.sender());
            self.arrived.fetch_add(1, Ordering::Relaxed);
            self.changed.notify_one();
        }
        let site = self.clone();
        let handlers = Handlers::new().on_message(move |_, message| site.heard(member, message));
        let outcome = socket.run(handlers.handler(registration)).await;
        if is_healthy(member) {
            self.arrived.fetch_sub(1, Ordering::Relaxed);
            self.changed.notify_one();
            if u16::from(outcome.code) != 1000 {
                self.fault(format!("member {member}: {outcome:?}"));
            }
        }
    }

    /// A healthy member says how many it has.
    fn heard(&self, member: usize, message: MessageRef<'_>) {
        let count = message.as_text().and_then(|text| text.parse().ok());
        let due = self.said.to(member);
        if count != Some(due) {
            self.fault(format!("member {member} has {message:?} of {due}"));
        }
        if self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == self.healthy {
            self.changed.notify_one();
        }
    }

    /// All that is said in one round, until every healthy member has it.
    async fn round(self: &Arc<Self>, round: u64, numbers: &mut [Numbers]) {
        let publishers = numbers.iter_mut().enumerate();
        let publishing = publishers.map(|(publisher, numbers)| {
            let site = self.clone();
            let mut numbers = std::mem::take(numbers);
            tokio::spawn(async move {
                site.publish(publisher, round, &mut numbers).await;
                numbers
            })
        });
        let publishing: Vec<_> = publishing.collect();
        for (numbers, task) in numbers.iter_mut().zip(publishing) {
            *numbers = task.await.unwrap();
        }
        self.acknowledged.store(0, Ordering::Relaxed);
        let long = "x".repeat(16 * 1024);
        let report = loop {
            self.hub.room("any").ready().await;
            match self.hub.broadcast_reported(&*format!("end {long}"), Except::nobody()) {
                Ok(report) => break report.await,
                Err(_) => continue,
            }
        };
        assert!(report.sent() >= self.healthy, "{report:?} for {} healthy", self.healthy);
        let has_all = |site: &Self| site.acknowledged.load(Ordering::Relaxed) == site.healthy;
        self.until("somebody has not got all", has_all).await;
    }

    async fn publish(&self, publisher: usize, round: u64, numbers: &mut Numbers) {
        let count = self.members.len();
        let mut random = Random(1 + round * 31 + publisher as u64);
        let much = "x".repeat(STALLED_BYTES);
        for _ in 0..3 {
            // A full job queue: then there is less for those who do not listen.
            let _ = self.hub.room("stalled").broadcast(&*much);
            self.broadcast("all".to_owned(), publisher, numbers).await;
            self.broadcast(format!("but-{}", random.below(SEVENTHS)), publisher, numbers).await;
            for room in 0..count.div_ceil(BIG_ROOM) {
                self.broadcast(format!("big-{room}"), publisher, numbers).await;
            }
            for _ in 0..6 {
                let room = random.below(count.div_ceil(SMALL_ROOM));
                self.broadcast(format!("small-{room}"), publisher, numbers).await;
            }
            for _ in 0..6 {
                self.tell(random.below(count), publisher, numbers).await;
            }
        }
    }

    async fn broadcast(&self, channel: String, publisher: usize, numbers: &mut Numbers) {
        let text = numbers.text(&channel, publisher);
        loop {
            let all_but = channel.strip_prefix("but-").map(|seventh| seventh.parse().unwrap());
            let said = match all_but {
                Some(seventh) => self.hub.broadcast_except(&*text, self.seventh(seventh)),
                None if channel == "all" => self.hub.broadcast(&*text),
                None => self.hub.room(&channel).broadcast(&*text),
            };
            if said.is_ok() {
                return self.said.note(&channel);
            }
            self.hub.room("any").ready().await;
        }
    }

    fn seventh(&self, first: usize) -> Vec<u64> {
        let members = self.members.iter().skip(first).step_by(SEVENTHS);
        members.filter_map(|member| Some(member.lock().unwrap().as_ref()?.id())).collect()
    }

    /// To one member alone.
    async fn tell(&self, member: usize, publisher: usize, numbers: &mut Numbers) {
        let sender = self.members[member].lock().unwrap().clone();
        if let Some(sender) = sender {
            let channel = format!("to-{member}");
            sender.send(numbers.text(&channel, publisher)).await.unwrap();
            self.said.note(&channel);
        }
    }
}

/// What a publisher has said: on each channel, and in all broadcasts.
#[derive(Default)]
struct Numbers {
    channels: HashMap<String, u64>,
    all: u64,
}

impl Numbers {
    fn text(&mut self, channel: &str, publisher: usize) -> String {
        let next = self.channels.entry(channel.to_owned()).or_default();
        *next += 1;
        self.all += 1;
        let padding = "-".repeat((self.all * 37 % 300) as usize);
        format!("{channel} {publisher} {next} {} {padding}", self.all)
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// A whole life: everybody comes, is told things until it is enough, and goes.
async fn live(count: usize, is_enough: impl Fn(u64) -> bool) -> (Snapshot, u64) {
    let site = Site::new(count);
    let (stop, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    let mut addresses = Vec::new();
    for policy in POLICIES {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        addresses.push(server.local_addr().unwrap().to_string());
        let mut config = (**site.hub.config()).clone();
        config.overflow = policy;
        let acceptor = Acceptor::new(config).handshake_timeout(LONG);
        let server = server.acceptor(site.hub.admit_with(acceptor));
        let mut stopped = stopped.clone();
        let stopped = async move {
            let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
            Shutdown::new(LONG)
        };
        let (hub, site) = (site.hub.clone(), site.clone());
        let serve =
            move |socket, registration, request| site.clone().serve(socket, registration, request);
        serving.spawn(async move { hub.serve_sockets_until(server, serve, stopped).await });
    }
    let mut clients = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "clients"])
        .env("SOAK_ADDRESSES", addresses.join(","))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let is_full = |site: &Site| site.arrived.load(Ordering::Relaxed) == site.healthy;
    site.until("somebody has not come", is_full).await;
    let mut numbers: Vec<Numbers> = (0..PUBLISHERS).map(|_| Numbers::default()).collect();
    let mut rounds = 0;
    while !is_enough(rounds) {
        site.round(rounds, &mut numbers).await;
        rounds += 1;
    }
    while site.hub.broadcast("over").is_err() {
        site.hub.room("any").ready().await;
    }
    site.until("somebody has not gone", |site| site.arrived.load(Ordering::Relaxed) == 0).await;
    assert!(clients.wait().await.unwrap().success(), "the clients have seen what must not be");
    stop.send_replace(true);
    while let Some(served) = serving.join_next().await {
        assert_eq!(served.unwrap().unwrap().left, 0);
    }
    assert!(site.hub.is_empty() && site.hub.rooms().is_empty());
    (site.hub.metrics(), rounds)
}

/// Each message that an outbox took has ended in one number.
fn assert_balanced(snapshot: &Snapshot) {
    let ended = snapshot.dropped[&DropPolicy::DropOldest] + snapshot.dropped[&DropPolicy::Ended];
    assert_eq!(snapshot.gauges.queued_messages, 0);
    assert_eq!(snapshot.messages_sent, snapshot.messages_delivered + ended, "{snapshot:?}");
    assert_eq!(snapshot.opened, snapshot.closed_total());
}

/// A15, A16, A41, A49, A54, BC-02, BY-26, CN-05, MT-01, MT-03.
#[test]
fn soak() {
    let count = number("SOAK_CONNECTIONS", 1000);
    let length = Duration::from_secs(number("SOAK_SECONDS", 20) as u64);
    allow_descriptors(count as u64);
    runtime().block_on(async {
        let (first, _) = live(count, |rounds| rounds == ROUNDS_FIRST).await;
        assert_balanced(&first);
        let before = Held::now().await;
        let began = Instant::now();
        let is_enough = |rounds| rounds >= ROUNDS_MIN && began.elapsed() >= length;
        let (snapshot, rounds) = live(count, is_enough).await;
        assert_balanced(&snapshot);
        let after = Held::now().await;
        let seconds = began.elapsed().as_secs();
        println!("soak: {count} connections, {seconds} s, {rounds} rounds, {} accepted", snapshot.accepted);
        let Snapshot { messages_sent, messages_delivered, dropped, broadcasts, .. } = &snapshot;
        println!("soak: {broadcasts} broadcasts, {messages_sent} messages sent, {messages_delivered} delivered");
        println!("soak: dropped {dropped:?}");
        println!("soak: before {before:?}");
        println!("soak: after {after:?}");
        after.assert_as(&before);
        if count >= 400 {
            // There was somebody who does not read under each of them.
            assert!(dropped.values().all(|messages| *messages > 0), "{dropped:?}");
        }
    });
}

/// As many as the system lets this process have.
fn allow_descriptors(connections: u64) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Where it may not be raised it may suffice.
        let _ = setrlimit(Resource::Nofile, limit);
        let enough = connections + OTHER_DESCRIPTORS;
        let has = getrlimit(Resource::Nofile).current;
        assert!(
            has.is_none_or(|has| has >= enough),
            "{enough} descriptors are needed, not {has:?}"
        );
    }
}

/// The process that [`soak`] begins.
#[test]
#[ignore = "a part of soak, which runs it"]
fn clients() {
    let addresses = std::env::var("SOAK_ADDRESSES").expect("soak says where");
    let count = number("SOAK_CONNECTIONS", 1000);
    allow_descriptors(count as u64);
    let addresses = addresses.split(',').map(|address| address.parse().unwrap()).collect();
    runtime().block_on(Clients::new(addresses, count).live(count));
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
