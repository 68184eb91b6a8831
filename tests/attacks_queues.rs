//! Clients that read slowly or not at all, raw sockets against each policy of a running hub's queues:
//! what a send says, what the counters say and what the client gets in the end agree to the message.

#![cfg(feature = "hub")]

#[path = "support/heap.rs"]
mod heap;
mod support;

use std::time::Duration;

use sockeye::frame::{Frame, Opcode};
use sockeye::hub::metrics::{CloseClass, DropPolicy};
use sockeye::hub::{Except, Hub, Report};
use sockeye::protocol::Overflow;
use sockeye::{Config, Message, SendError, Sender};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use heap::Heap;
use support::hub::{Healthy, HubSite, build, echo, gracefully};
use support::io::RawPeer;
use support::pair::quiet;
use support::server::{allow_descriptors, within};

const KIB: usize = 1024;

/// What one connection may queue in these tests, and the heap that it may cost: that, what is being
/// written, and what the test keeps.
const QUEUE_BYTES: usize = 512 * KIB;
const HELD_BYTES_MAX: usize = QUEUE_BYTES + 512 * KIB;

/// A site, its healthy client, and a raw client that reads nothing yet, with its sender.
struct Stalled {
    site: HubSite,
    healthy: Healthy,
    peer: RawPeer<TcpStream>,
    sender: Sender,
}

async fn stalled(overflow: Overflow) -> Stalled {
    let mut config = quiet();
    config.write_timeout = Duration::from_secs(100_000);
    config.outbox_bytes_max = QUEUE_BYTES;
    // Each message is one frame.
    config.fragment_bytes_max = None;
    config.overflow = overflow;
    let site = HubSite::start(build(|hub| hub.config(config).default_room("room")), echo()).await;
    let healthy = site.healthy("/").await;
    let known = site.hub.peers()[0].id();
    let peer = site.peer("/").await;
    site.has(2).await;
    let sender = of_other(&site.hub, known);
    Stalled { site, healthy, peer, sender }
}

fn of_other(hub: &Hub, known: u64) -> Sender {
    let peers = hub.peers();
    let other = peers.iter().find(|peer| peer.id() != known);
    other.expect("two connections").sender().clone()
}

/// Long enough that the kernel's buffers are soon full.
fn numbered(number: usize) -> Message {
    Message::text(format!("{number} {}", "x".repeat(100 * KIB)))
}

/// The numbers of the messages that a client gets up to one that has none; that one.
async fn numbers(peer: &mut RawPeer<TcpStream>) -> (Vec<usize>, Option<Frame>) {
    let mut numbers = Vec::new();
    loop {
        let frame = within(peer.data()).await;
        let text = frame.as_ref().filter(|frame| frame.opcode == Opcode::Text);
        let text = text.and_then(|frame| std::str::from_utf8(&frame.payload).ok());
        match text.and_then(|text| text.split(' ').next()?.parse().ok()) {
            Some(number) => numbers.push(number),
            None => return (numbers, frame),
        }
    }
}

/// Sends until one is not taken; how many were, and why not.
fn fill(sender: &Sender) -> (usize, SendError) {
    for number in 0..1_000 {
        if let Err(error) = sender.try_send(numbered(number)) {
            return (number, error);
        }
    }
    panic!("the client reads nothing, and a hundred megabytes were taken");
}

/// A48, CN-05, ER-02, row 27: a send to a client that does not read waits as long as the policy says and
/// not longer, says so, and sends nothing; what waited before is there when the client reads again.
#[tokio::test]
async fn a48_block_times_out() {
    let mut heap = Heap::turn().await;
    let timeout = Duration::from_secs(10);
    let Stalled { site, mut healthy, mut peer, sender } =
        stalled(Overflow::Block { timeout }).await;
    heap.begin();
    let (taken, error) = fill(&sender);
    assert!(matches!(error, SendError::Full { .. }), "{error}");
    heap.assert_held(HELD_BYTES_MAX, "a queue that is full");
    // From here on time is virtual.
    tokio::time::pause();
    let begun = Instant::now();
    let waiting = (0..16).map(|_| {
        let sender = sender.clone();
        async move { (sender.send(numbered(999)).await, begun.elapsed()) }
    });
    for (result, waited) in JoinSet::from_iter(waiting).join_all().await {
        assert_eq!(result, Err(SendError::Timeout { timeout_ms: 10_000 }));
        assert!(waited >= timeout && waited < timeout + Duration::from_millis(100), "{waited:?}");
    }
    tokio::time::resume();
    healthy.check().await;
    // They were given back, not lost.
    assert_eq!((sender.dropped(), site.hub.metrics().dropped[&DropPolicy::Block]), (0, 0));
    heap.assert_held(HELD_BYTES_MAX, "those that waited");
    let sending = tokio::spawn(async move { sender.send("the end").await });
    let (got, last) = numbers(&mut peer).await;
    assert_eq!(got, Vec::from_iter(0..taken));
    assert_eq!(last, Some(Frame::text("the end")));
    within(sending).await.unwrap().unwrap();
    drop((healthy, peer));
    site.end(gracefully()).await;
}

/// A49, CN-06, BY-05: what is dropped is counted to the message, newest and oldest alike: the client gets
/// all the others, in order, and no counter says anything else.
#[tokio::test]
async fn a49_drops_are_counted_exactly() {
    const MESSAGES: usize = 500;
    let mut heap = Heap::turn().await;
    for (overflow, policy) in [
        (Overflow::DropNewest, DropPolicy::DropNewest),
        (Overflow::DropOldest, DropPolicy::DropOldest),
    ] {
        let Stalled { site, mut healthy, mut peer, sender } = stalled(overflow).await;
        heap.begin();
        let mut refused = Vec::new();
        for number in 0..MESSAGES {
            if sender.try_send(numbered(number)).is_err() {
                refused.push(number);
            }
            if number % 100 == 0 {
                healthy.check().await;
            }
        }
        heap.assert_held(HELD_BYTES_MAX, "a queue that drops");
        let dropped = sender.dropped();
        assert_eq!(site.hub.metrics().dropped[&policy], dropped);
        assert!(dropped > 300, "{dropped}");
        // There is room again when it reads.
        let ending = tokio::spawn(async move {
            while sender.queued().0 > 0 {
                tokio::task::yield_now().await;
            }
            sender.try_send("the end").unwrap();
        });
        let (got, last) = numbers(&mut peer).await;
        assert_eq!(last, Some(Frame::text("the end")));
        within(ending).await.unwrap();
        assert_eq!(got.len() as u64, MESSAGES as u64 - dropped, "{policy}");
        assert!(got.is_sorted_by(|one, other| one < other), "{policy}: in order");
        match policy {
            DropPolicy::DropNewest => {
                assert_eq!(refused.len() as u64, dropped);
                assert!(got.iter().all(|number| !refused.contains(number)));
            }
            _ => assert_eq!((refused.len(), got.last()), (0, Some(&(MESSAGES - 1)))),
        }
        healthy.check().await;
        drop((healthy, peer));
        site.end(gracefully()).await;
    }
}

/// A50, CN-07, ER-03, row 27: a client that falls behind is closed with 1013, at once for its senders; it
/// finds the code behind what was written when it reads again.
#[tokio::test]
async fn a50_close_closes() {
    let mut heap = Heap::turn().await;
    let Stalled { site, mut healthy, mut peer, sender } = stalled(Overflow::Close).await;
    heap.begin();
    let (taken, error) = fill(&sender);
    assert!(matches!(error, SendError::Full { .. } | SendError::Closed), "{error}");
    assert!(sender.is_closed(), "nothing more is taken");
    assert_eq!(sender.try_send("x").unwrap_err(), SendError::Closed);
    heap.assert_held(HELD_BYTES_MAX, "a queue that closes");
    healthy.check().await;
    let (got, last) = numbers(&mut peer).await;
    assert_eq!(got, Vec::from_iter(0..got.len()));
    assert!(got.len() <= taken);
    let last = last.expect("a close frame");
    assert_eq!((last.opcode, &last.payload[..2]), (Opcode::Close, &1013_u16.to_be_bytes()[..]));
    drop(peer);
    site.has(1).await;
    let metrics = site.hub.metrics();
    assert_eq!(metrics.closed[&CloseClass::TryAgainLater], 1);
    let lost = metrics.dropped[&DropPolicy::Ended];
    assert_eq!(got.len() as u64 + lost, taken as u64, "delivered or counted");
    drop(healthy);
    site.end(gracefully()).await;
}

/// The members of a room, and how many messages they have all together.
struct Audience {
    heard: watch::Receiver<usize>,
    members: JoinSet<usize>,
}

impl Audience {
    /// Joins so many raw clients, each of which reads, and looks whether it gets all in order.
    async fn join(site: &HubSite, members: usize) -> Self {
        let (sender, heard) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for _ in 0..members {
            let mut peer = site.peer("/").await;
            let sender = sender.clone();
            tasks.spawn(async move {
                let mut next = 0;
                while let Some(frame) =
                    peer.data().await.filter(|frame| frame.opcode == Opcode::Text)
                {
                    assert_eq!(frame.payload, round_text(next).as_bytes(), "each, once, in order");
                    next += 1;
                    sender.send_modify(|heard| *heard += 1);
                }
                next
            });
        }
        Self { heard, members: tasks }
    }

    /// Says one message to all; how long it took until the last of them had it.
    async fn hear(&mut self, site: &HubSite, round: usize) -> (Report, Duration) {
        let due = self.members.len() * (round + 1);
        let began = std::time::Instant::now();
        let said = site.hub.room("room").broadcast_reported(&*round_text(round), Except::nobody());
        let report = said.expect("the queue has room").await;
        within(self.heard.wait_for(|heard| *heard == due)).await.unwrap();
        (report, began.elapsed())
    }
}

fn round_text(round: usize) -> String {
    format!("{round} {}", "y".repeat(KIB))
}

/// The median and the worst.
fn of_times(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

/// A16, BC-05, CN-05, row 66: of a thousand members of a room one stops reading. Under each policy the other 999
/// get every message, once and in order, none of them later than before; the one costs its queue and no more.
/// How long a message takes to the last of them is printed, with and without it.
#[test]
fn a16_one_stalled_of_a_thousand() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut heap = runtime.block_on(Heap::turn());
    runtime.block_on(one_stalled_of_a_thousand(&mut heap));
    // The turn ends when all is freed.
    drop(runtime);
}

async fn one_stalled_of_a_thousand(heap: &mut Heap) {
    const OTHERS: usize = 999;
    const ROUNDS: usize = 20;
    allow_descriptors();
    for overflow in [
        Overflow::Block { timeout: Duration::from_secs(100_000) },
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Close,
    ] {
        let Stalled { site, healthy, peer, sender } = stalled(overflow).await;
        // One that would answer what it hears, with more.
        drop(healthy);
        site.has(1).await;
        let mut audience = Audience::join(&site, OTHERS).await;
        site.has(1 + OTHERS).await;
        let mut before = Vec::new();
        for round in 0..ROUNDS {
            let (report, took) = audience.hear(&site, round).await;
            assert_eq!(report.sent(), OTHERS + 1);
            before.push(took);
        }
        heap.begin();
        for number in 0..1_000 {
            if sender.try_send(numbered(number)).is_err() || sender.dropped() > 0 {
                break;
            }
        }
        assert!(sender.dropped() > 0 || sender.is_closed() || sender.queued().1 > QUEUE_BYTES / 2);
        let mut after = Vec::new();
        for round in ROUNDS..2 * ROUNDS {
            let (report, took) = audience.hear(&site, round).await;
            assert!(report.sent() >= OTHERS, "{report:?}");
            let all = report.sent() + report.full + report.overloaded + report.closed;
            assert_eq!(all, OTHERS + 1, "{report:?}");
            after.push(took);
        }
        heap.assert_held(HELD_BYTES_MAX, "one of a thousand that reads nothing");
        let (before, after) = (of_times(before), of_times(after));
        println!(
            "{overflow:?}: to the last of {OTHERS} (median, worst) {before:?}, then {after:?}"
        );
        drop(peer);
        site.has(OTHERS).await;
        let metrics = site.hub.metrics();
        let lost = metrics.dropped[&DropPolicy::DropOldest] + metrics.dropped[&DropPolicy::Ended];
        assert_eq!(metrics.messages_sent, metrics.messages_delivered + lost, "{metrics:?}");
        let ending = tokio::spawn(site.end(gracefully()));
        while let Some(heard) = audience.members.join_next().await {
            assert_eq!(heard.unwrap(), 2 * ROUNDS);
        }
        assert_eq!(within(ending).await.unwrap().left, 0);
    }
}

/// A53, MS-03, row 46: 64 tasks send at once, short messages, long ones in fragments, pings in between:
/// a raw client that reads in small bites finds each message whole, once, and each task's in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a53_no_interleaving() {
    const TASKS: usize = 64;
    const COUNT: usize = 20;
    let mut heap = Heap::turn().await;
    let mut config: Config = quiet();
    config.overflow = Overflow::Block { timeout: Duration::from_secs(600) };
    config.fragment_bytes_max = Some(4 * KIB);
    let site = HubSite::start(build(|hub| hub.config(config)), echo()).await;
    let mut peer = site.peer("/").await;
    site.has(1).await;
    let sender = site.hub.peers()[0].sender().clone();
    heap.begin();
    let body = |task: usize, number: usize| {
        let fill = char::from(b'a' + (task % 26) as u8);
        format!("{task} {number} {}", String::from(fill).repeat(task * number * 20))
    };
    for task in 0..TASKS {
        let sender = sender.clone();
        tokio::spawn(async move {
            for number in 0..COUNT {
                sender.send(body(task, number)).await.unwrap();
                if number % 5 == 0 {
                    sender.send(Message::Ping("p".into())).await.unwrap();
                }
            }
        });
    }
    let (mut next, mut message) = ([0; TASKS], Vec::new());
    while next.iter().any(|number| *number < COUNT) {
        let frame = within(peer.data()).await.expect("a frame");
        let is_first = frame.opcode == Opcode::Text;
        assert!(is_first || frame.opcode == Opcode::Continuation, "{:?}", frame.opcode);
        assert_eq!(is_first, message.is_empty(), "a message begins where the last one ended");
        message.extend_from_slice(&frame.payload);
        if frame.fin {
            let text = String::from_utf8(std::mem::take(&mut message)).unwrap();
            let task: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(text, body(task, next[task]));
            next[task] += 1;
        }
    }
    assert_eq!(next, [COUNT; TASKS]);
    heap.assert_held(4 * KIB * KIB, "sixty-four senders");
    drop(peer);
    site.end(gracefully()).await;
}
