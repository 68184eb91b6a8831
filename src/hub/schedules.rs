//! Models of a hub: rooms that connections come to and leave while others speak, the shutdown, the job queue, the numbers. With
//! the locks and tasks of `--cfg sockeye_shuttle`; `tests/schedules` runs them.
//!
//! There is one worker, as on a current-thread runtime. What is tokio's is not modelled: its channels and its `Notify` do
//! each of their steps at once, and its clock stands still.

// One that is not in the list would never run.
#![deny(dead_code)]

use std::sync::LazyLock;
use std::time::Duration;

use shuttle::future::{block_on, spawn};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;
use tokio::runtime::{Builder, Runtime};

use crate::frame::CloseCode;
use crate::outbox::Sender;
use crate::outbox::driven::{assert_in_order, connection, drive, numbers, text};
use crate::outbox::modelled::Line;
use crate::protocol::Config;
use crate::sync::Arc;

use super::error::RegisterError;
use super::hub::{Hub, Registration};
use super::metrics::{Gauges, Metrics, Snapshot};
use super::peer::Profile;
use super::shutdown::Shutdown;

/// Every model, by its name. Each is one execution, and panics where it finds something.
pub const MODELS: [(&str, fn()); 4] = [
    (
        "who_is_in_a_room_hears_all_that_is_said_there",
        who_is_in_a_room_hears_all_that_is_said_there,
    ),
    (
        "a_shutdown_and_registrations_do_not_miss_each_other",
        a_shutdown_and_registrations_do_not_miss_each_other,
    ),
    ("publishers_that_are_held_back_are_let_go", publishers_that_are_held_back_are_let_go),
    ("a_snapshot_is_of_some_moment", a_snapshot_is_of_some_moment),
];

const PUBLISHERS: [&str; 2] = ["a", "b"];

/// Messages of each publisher.
const EACH: usize = 40;

/// What a hub asks where it is. It runs nothing: the workers are the scheduler's.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime without anything"));

fn hub(job_queue: usize) -> Hub {
    let config = Config { outbox_messages_max: 1024, ..Config::default() };
    Hub::builder().config(config).job_queue(job_queue).build().expect("a hub of its own")
}

/// A connection that the hub knows, by its number. Its socket takes all.
fn register(hub: &Hub, id: u64) -> Result<(Registration, Arc<Line>), RegisterError> {
    let (outbox, line) = connection(hub.config().clone(), id);
    line.allow(usize::MAX);
    let registration = hub.register(&Sender::new(outbox), Profile::new().user("somebody"))?;
    Ok((registration, line))
}

fn publish(hub: &Hub) -> [thread::JoinHandle<()>; 2] {
    PUBLISHERS.map(|name| {
        let hub = hub.clone();
        thread::spawn(move || {
            let room = hub.room("room");
            for number in 0..EACH {
                room.broadcast(&text(name, number)[..]).expect("a place in the queue");
            }
        })
    })
}

/// Comes, says so, and goes.
fn come_and_go(hub: &Hub, id: u64) -> Arc<Line> {
    let (registration, line) = register(hub, id).expect("room for all");
    let room = registration.join("room").expect("room for all");
    room.broadcast(&format!("in{id}")[..]).expect("a place in the queue");
    (0..thread_rng().gen_range(0..10)).for_each(|_| thread::yield_now());
    if thread_rng().gen_bool(0.5) {
        assert!(registration.leave("room"));
    } else {
        drop(registration);
    }
    room.broadcast(&format!("out{id}")[..]).expect("a place in the queue");
    line
}

/// Between its coming and its going a member misses nothing, and before and after it hears nothing; who is there from
/// the beginning hears all. In the end nobody is left.
fn who_is_in_a_room_hears_all_that_is_said_there() {
    let _entered = RUNTIME.enter();
    let hub = hub(65_536);
    let (member, heard) = register(&hub, 1).expect("room for all");
    member.join("room").expect("room for all");
    let publishers = publish(&hub);
    let comers = [10, 20, 30].map(|first| {
        let hub = hub.clone();
        thread::spawn(move || {
            (first..first + 4).map(|id| (id, come_and_go(&hub, id))).collect::<Vec<_>>()
        })
    });
    publishers.into_iter().for_each(|publisher| publisher.join().expect("no panic"));
    let comers = comers.into_iter().flat_map(|comer| comer.join().expect("no panic"));
    let comers: Vec<(u64, Arc<Line>)> = comers.collect();
    block_on(hub.shared().caught_up());
    let heard = heard.texts();
    assert_eq!(heard.len(), PUBLISHERS.len() * EACH + 2 * comers.len());
    assert_in_order(&heard, &PUBLISHERS);
    let mut deliveries = heard.len();
    for (id, line) in &comers {
        let texts = line.texts();
        deliveries += texts.len();
        assert!(texts.contains(&format!("in{id}")) && !texts.contains(&format!("out{id}")));
        for name in PUBLISHERS {
            let numbers = numbers(&texts, name);
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{id}: {numbers:?}");
        }
        // What it has heard is what was said there meanwhile, in the same order.
        let first = heard.iter().position(|text| Some(text) == texts.first()).expect("it was said");
        assert_eq!(heard[first..first + texts.len()], texts[..], "{id}");
    }
    drop(member);
    assert!(hub.is_empty() && hub.rooms().is_empty() && hub.user("somebody").is_empty());
    assert!(hub.shared().rooms.lock().is_empty(), "a room that nobody holds");
    let snapshot = hub.shared().metrics.snapshot(Gauges::default());
    assert_eq!(snapshot.broadcasts, (PUBLISHERS.len() * EACH + 2 * comers.len()) as u64);
    assert_eq!(
        (snapshot.deliveries, snapshot.messages_delivered),
        (deliveries as u64, deliveries as u64)
    );
    let opened = 1 + comers.len() as u64;
    assert_eq!((snapshot.accepted, snapshot.opened, closed(&snapshot)), (opened, opened, opened));
}

fn closed(snapshot: &Snapshot) -> u64 {
    snapshot.closed.values().sum()
}

/// The task of a connection: until it is told to go.
async fn stay(registration: Registration, line: Arc<Line>) -> (u16, Vec<String>) {
    let outbox = registration.sender().current().expect("a connection");
    let frame = drive(outbox.clone(), line.clone()).await;
    assert!(outbox.take_close_request().is_none());
    registration.ended_with(frame.code());
    (frame.code().as_u16(), line.texts())
}

/// Everybody who was let in is told to go, once, behind what was said before; nobody else is let in.
fn a_shutdown_and_registrations_do_not_miss_each_other() {
    let _entered = RUNTIME.enter();
    let hub = hub(65_536);
    let present = [1, 2, 3].map(|id| {
        let (registration, line) = register(&hub, id).expect("room for all");
        spawn(stay(registration, line))
    });
    let newcomers = [10, 20, 30].map(|first| {
        let hub = hub.clone();
        thread::spawn(move || {
            let come = |id| match register(&hub, id) {
                Ok((registration, line)) => Some(spawn(stay(registration, line))),
                Err(RegisterError::Stopped) => None,
                Err(error) => panic!("{error}"),
            };
            (first..first + 5).filter_map(come).collect::<Vec<_>>()
        })
    });
    (0..thread_rng().gen_range(0..20)).for_each(|_| thread::yield_now());
    hub.broadcast("last words").expect("a place in the queue");
    let report =
        block_on(hub.shutdown(Shutdown::new(Duration::from_secs(60)))).expect("a lawful code");
    let newcomers = newcomers.into_iter().flat_map(|way| way.join().expect("no panic"));
    let newcomers: Vec<_> = newcomers.collect();
    assert_eq!((report.told, report.ended), (3 + newcomers.len(), report.told));
    assert_eq!((report.left, report.lost_messages, report.queued_messages), (0, 0, 0));
    for stayed in present {
        let (code, texts) = block_on(stayed).expect("no abort");
        assert_eq!((code, &texts[..]), (1001, &["last words".to_owned()][..]));
    }
    for stayed in newcomers {
        assert_eq!(block_on(stayed).expect("no abort").0, 1001);
    }
    assert!(hub.is_empty() && matches!(register(&hub, 99), Err(RegisterError::Stopped)));
    let snapshot = hub.shared().metrics.snapshot(Gauges::default());
    assert_eq!((snapshot.opened, closed(&snapshot)), (report.told as u64, report.told as u64));
}

/// Broadcasts that may wait for the worker: as many as there are publishers, who are let go together.
const JOBS_MAX: usize = 4;

fn publishers_that_are_held_back_are_let_go() {
    let _entered = RUNTIME.enter();
    let hub = hub(JOBS_MAX);
    let (member, heard) = register(&hub, 1).expect("room for all");
    member.join("room").expect("room for all");
    block_on(hub.shared().caught_up());
    let publishers = ["a", "b", "c", "d"].map(|name| {
        let hub = hub.clone();
        spawn(async move {
            let room = hub.room("room");
            let mut refused = 0;
            for number in 0..EACH {
                room.ready().await;
                // Others were let go, too.
                while let Err(error) = room.broadcast(&text(name, number)[..]) {
                    assert!(error.jobs >= JOBS_MAX, "{error}");
                    refused += 1;
                    room.ready().await;
                }
            }
            refused
        })
    });
    let watcher = {
        let hub = hub.clone();
        thread::spawn(move || {
            for _ in 0..EACH {
                let (jobs, _) = hub.queued();
                assert!(jobs <= JOBS_MAX, "{jobs}");
            }
        })
    };
    let refused: u64 = publishers.into_iter().map(|task| block_on(task).expect("no abort")).sum();
    watcher.join().expect("no panic");
    block_on(hub.shared().caught_up());
    let heard = heard.texts();
    assert_eq!(heard.len(), 4 * EACH);
    assert_in_order(&heard, &["a", "b", "c", "d"]);
    let snapshot = hub.shared().metrics.snapshot(Gauges::default());
    assert_eq!((snapshot.broadcasts, snapshot.jobs_refused), (4 * EACH as u64, refused));
    drop(member);
}

/// Connections that each thread counts.
const COUNTED: u64 = 20;

/// While several count, no connection ends before it was opened, and nothing goes back; afterwards every number is exact.
fn a_snapshot_is_of_some_moment() {
    let metrics = Arc::new(Metrics::new());
    let counting = [1, 2, 3].map(|_| {
        let metrics = metrics.clone();
        thread::spawn(move || {
            for us in 1..=COUNTED {
                metrics.count_accepted();
                metrics.count_opened();
                metrics.count_sent(2, 10);
                metrics.count_closed(CloseCode::Normal);
                metrics.record_round_trip(us);
            }
        })
    });
    let mut before = metrics.snapshot(Gauges::default());
    for _ in 0..3 {
        let now = metrics.snapshot(Gauges::default());
        assert!(closed(&now) <= now.opened && now.opened <= now.accepted, "{now:?}");
        assert!(before.opened <= now.opened && closed(&before) <= closed(&now));
        assert!(
            before.messages_sent <= now.messages_sent
                && before.round_trip.count() <= now.round_trip.count()
        );
        before = now;
    }
    counting.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let now = metrics.snapshot(Gauges::default());
    let all = 3 * COUNTED;
    assert_eq!((now.accepted, now.opened, closed(&now)), (all, all, all));
    assert_eq!((now.messages_sent, now.bytes_sent), (2 * all, 10 * all));
    assert_eq!(
        (now.round_trip.count(), now.round_trip.sum_us()),
        (all, 3 * (1..=COUNTED).sum::<u64>())
    );
}
