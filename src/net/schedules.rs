//! Models of senders that wait, and of a server that shuts down while clients come. With the locks and tasks of
//! `--cfg sockeye_shuttle`; `tests/schedules` runs them.
//!
//! What is tokio's is not modelled: its `Notify` does each of its steps at once, and its clock stands still.

// One that is not in the list would never run.
#![deny(dead_code)]

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::time::Duration;

use shuttle::future::{block_on, spawn, yield_now};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;

use crate::frame::CloseFrame;
use crate::outbox::driven::{Telling, Told, assert_in_order, connection, drive, numbers, text};
use crate::outbox::modelled::Line;
use crate::outbox::{Outbox, SendError, Sender};
use crate::protocol::{Config, Overflow};
use crate::sync::{Arc, AtomicUsize, Ordering};

use super::tasks::{HalfOpen, Handshake, Owner, Served, Tasks};

/// Every model, by its name. Each is one execution, and panics where it finds something.
pub const MODELS: [(&str, fn()); 5] = [
    ("who_waits_for_room_gets_it_in_turn", who_waits_for_room_gets_it_in_turn),
    ("who_is_cancelled_passes_its_room_on", who_is_cancelled_passes_its_room_on),
    ("a_close_finds_everybody_who_waits", a_close_finds_everybody_who_waits),
    ("a_shutdown_and_newcomers_do_not_miss_each_other", || shut_down(End::Orderly)),
    ("an_owner_that_is_dropped_leaves_nobody", || shut_down(End::Dropped)),
];

const SENDERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Messages of each sender.
const EACH: usize = 40;

/// How likely a sender looks again without anybody having woken it, each time it looks.
const WOKEN_FOR_NOTHING: f64 = 0.3;

fn config(told: &Arc<Told>) -> Arc<Config> {
    Arc::new(Config {
        outbox_messages_max: 4,
        outbox_bytes_max: 300,
        overflow: Overflow::Block { timeout: Duration::MAX },
        observer: Some(Telling::to(told)),
        ..Config::default()
    })
}

fn close(code: u16) -> CloseFrame {
    CloseFrame::new(code, "").expect("a code that may be sent")
}

/// Sends its messages one after the other; `taken` is how many were taken. Now and then it is woken for nothing.
async fn send_all(sender: Sender, name: &str, taken: Arc<AtomicUsize>) -> Result<(), SendError> {
    for number in 0..EACH {
        let mut sending = pin!(sender.send(text(name, number)));
        poll_fn(|cx| {
            if thread_rng().gen_bool(WOKEN_FOR_NOTHING) {
                cx.waker().wake_by_ref();
            }
            sending.as_mut().poll(cx)
        })
        .await?;
        taken.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn who_waits_for_room_gets_it_in_turn() {
    let told = Arc::new(Told::default());
    let (outbox, line) = connection(config(&told), 1);
    let driver = spawn(drive(outbox.clone(), line.clone()));
    let taken = Arc::new(AtomicUsize::new(0));
    let senders =
        SENDERS.map(|name| spawn(send_all(Sender::new(outbox.clone()), name, taken.clone())));
    for sender in senders {
        assert_eq!(block_on(sender).expect("no abort"), Ok(()));
    }
    outbox.request_close(close(1000));
    block_on(driver).expect("no abort");
    let came = line.texts();
    assert_eq!((came.len(), taken.load(Ordering::Relaxed)), (SENDERS.len() * EACH, came.len()));
    assert_in_order(&came, &SENDERS);
    assert_eq!((outbox.queued(), outbox.dropped()), ((0, 0), 0));
    outbox.detach();
    told.assert_balanced();
}

/// Half of the senders are cancelled somewhere in the middle: what they were told to be taken came, no more, and nobody else waits
/// for them.
fn who_is_cancelled_passes_its_room_on() {
    let told = Arc::new(Told::default());
    let (outbox, line) = connection(config(&told), 1);
    let driver = spawn(drive(outbox.clone(), line.clone()));
    let taken = SENDERS.map(|_| Arc::new(AtomicUsize::new(0)));
    let mut senders: Vec<_> = SENDERS
        .iter()
        .zip(&taken)
        .map(|(name, taken)| spawn(send_all(Sender::new(outbox.clone()), name, taken.clone())))
        .collect();
    let cancelled = senders.split_off(SENDERS.len() / 2);
    for sender in &cancelled {
        (0..thread_rng().gen_range(0..60)).for_each(|_| thread::yield_now());
        sender.abort();
    }
    for sender in senders {
        assert_eq!(block_on(sender).expect("no abort"), Ok(()));
    }
    for sender in cancelled {
        assert!(matches!(block_on(sender), Err(_) | Ok(Ok(()))));
    }
    outbox.request_close(close(1000));
    block_on(driver).expect("no abort");
    let came = line.texts();
    assert_in_order(&came, &SENDERS);
    for (name, taken) in SENDERS.iter().zip(taken) {
        let expected: Vec<_> = (0..taken.load(Ordering::Relaxed)).collect();
        assert_eq!(numbers(&came, name), expected, "{name}");
    }
    assert_eq!((outbox.queued(), outbox.dropped()), ((0, 0), 0));
    outbox.detach();
    told.assert_balanced();
}

/// The socket takes nothing, and nobody ever drains: only the close can wake them.
fn a_close_finds_everybody_who_waits() {
    let told = Arc::new(Told::default());
    let (outbox, line) = connection(config(&told), 1);
    let taken = Arc::new(AtomicUsize::new(0));
    let senders =
        SENDERS.map(|name| spawn(send_all(Sender::new(outbox.clone()), name, taken.clone())));
    let closers = [4000, 4001].map(|code| {
        let outbox = outbox.clone();
        thread::spawn(move || match code {
            4000 => outbox.request_close(close(code)),
            _ => outbox.request_close_now(close(code)),
        })
    });
    for sender in senders {
        assert_eq!(block_on(sender).expect("no abort"), Err(SendError::Closed));
    }
    closers.into_iter().for_each(|closer| closer.join().expect("no panic"));
    outbox.detach();
    let reasons = [outbox.take_close_request(), outbox.take_close_request()];
    assert!(matches!(reasons, [Some(_), None]), "{reasons:?}");
    assert!(line.texts().is_empty());
    assert_eq!(outbox.dropped() as usize, taken.load(Ordering::Relaxed));
    told.assert_balanced();
}

/// How a server ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    Dropped,
}

/// Tasks that are there, and what connections were told.
#[derive(Default)]
struct Seen {
    live: AtomicUsize,
    served: AtomicUsize,
    told: AtomicUsize,
    left: AtomicUsize,
}

struct Live(Arc<Seen>);

impl Live {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.live.fetch_add(1, Ordering::Relaxed);
        Self(seen.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Clients that come over each of three ways in.
const NEWCOMERS: u64 = 8;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// As many handshakes as one address may have under way.
const HALF_OPEN_PER_ADDRESS_MAX: usize = 32;

/// One that leaves by itself, or stays until it is told to go.
async fn serve(live: Live, number: u64, outbox: Arc<Outbox>, line: Arc<Line>) {
    let seen = live.0.clone();
    seen.served.fetch_add(1, Ordering::Relaxed);
    if number % 3 == 1 {
        yield_now().await;
        seen.left.fetch_add(1, Ordering::Relaxed);
        return;
    }
    assert_eq!(drive(outbox.clone(), line).await.code().as_u16(), 1001);
    assert!(outbox.take_close_request().is_none());
    seen.told.fetch_add(1, Ordering::Relaxed);
}

/// One that takes its time, or never ends.
fn handshake(
    tasks: &Arc<Tasks>,
    seen: &Arc<Seen>,
    number: u64,
) -> Handshake<impl Future<Output = ()> + Send + use<>> {
    let (tasks, live) = (tasks.clone(), Live::new(seen));
    Box::pin(async move {
        let half_open = HalfOpen::enter(&tasks, Some(ADDRESS));
        for _ in 0..number % 4 {
            yield_now().await;
        }
        if number % 4 == 3 {
            std::future::pending::<()>().await;
        }
        drop(half_open);
        let (outbox, line) = connection(config(&Arc::default()), number);
        Some(Served { outbox: Arc::downgrade(&outbox), future: serve(live, number, outbox, line) })
    })
}

fn shut_down(end: End) {
    let (owner, seen) = (Owner::default(), Arc::new(Seen::default()));
    let tasks = owner.tasks().clone();
    let ways_in = [0, 1, 2].map(|way| {
        let (tasks, seen) = (tasks.clone(), seen.clone());
        thread::spawn(move || {
            for number in 0..NEWCOMERS {
                Tasks::spawn(&tasks, handshake(&tasks, &seen, way * NEWCOMERS + number));
            }
        })
    });
    (0..thread_rng().gen_range(0..40)).for_each(|_| thread::yield_now());
    let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    match end {
        End::Orderly => block_on(owner.end(Duration::from_secs(5))),
        End::Dropped => drop(owner),
    }
    assert!(tasks.is_closing());
    ways_in.into_iter().for_each(|way| way.join().expect("no panic"));
    match end {
        End::Orderly => assert_eq!(read(&seen.served), read(&seen.told) + read(&seen.left)),
        // Who is aborted goes when it is its turn.
        End::Dropped => {
            while read(&seen.live) > 0 {
                thread::yield_now();
            }
        }
    }
    Tasks::spawn(&tasks, handshake(&tasks, &seen, 0));
    assert_eq!(read(&seen.live), 0);
    let enter = |_| HalfOpen::enter(&tasks, Some(ADDRESS));
    let entered: Vec<_> = (0..=HALF_OPEN_PER_ADDRESS_MAX).map_while(enter).collect();
    assert_eq!(entered.len(), HALF_OPEN_PER_ADDRESS_MAX);
}
