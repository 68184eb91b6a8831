//! Floor 8: the bus, over the broker in memory and one that fails.

#![cfg(feature = "pubsub")]

use std::time::Duration;

use sockeye::pubsub::{
    Bus, BusConfig, BusError, BusEvents, BusOverflow, BusState, Incoming, Memory, PubSubError,
    PubSubErrorKind,
};
use tokio::time::{Instant, advance, sleep};

use crate::support::pubsub::{
    SOON, config, conforms, gap_after, is_down, is_up, listening, message,
};
use crate::support::server::within;
use sockeye::testing::Chance;
use sockeye::testing::FaultyBroker;

fn faulty() -> FaultyBroker<Memory> {
    FaultyBroker::new(Memory::new(), 1)
}

/// A bus that is connected.
async fn up(broker: &FaultyBroker<Memory>, config: BusConfig) -> (Bus, BusEvents) {
    let (bus, events) = Bus::start(broker.clone(), config);
    is_up(&bus).await;
    (bus, events)
}

/// SC-01, SC-02, BY-40: the broker in memory keeps what every broker has to keep.
#[tokio::test]
async fn memory_conforms() {
    conforms(Memory::new()).await;
}

/// BY-40: the one that fails keeps it as well while nothing is wrong, and is slow; and a cut is one gap.
#[tokio::test]
async fn faulty_conforms() {
    let broker = faulty();
    conforms(broker.clone()).await;
    gap_after(broker.clone(), async || broker.cut()).await;
}

/// A60: a broker that is down at the start is no error: the bus says so, and what waits arrives when it comes.
#[tokio::test(start_paused = true)]
async fn a60_broker_down_at_start() {
    let broker = faulty();
    broker.set(|faults| faults.is_away = true);
    let (bus, mut events) = Bus::start(broker.clone(), config());
    assert_eq!(*bus.state().borrow(), BusState::Connecting);
    bus.subscribe("room").unwrap();
    bus.publish("room", "early").unwrap();
    is_down(&bus).await;
    assert!(!bus.subscribed("room", Duration::from_secs(60)).await);
    let BusState::Down { kind, since, tries } = *bus.state().borrow() else { panic!("{bus:?}") };
    assert_eq!(kind, PubSubErrorKind::Unreachable);
    assert!(tries > 10 && since.elapsed() >= Duration::from_secs(60), "{tries}");
    broker.set(|faults| faults.is_away = false);
    assert_eq!(message(&mut events).await, ("room".to_owned(), "early".to_owned()));
    is_up(&bus).await;
    // The first connection has no gap before it.
    assert_eq!((bus.counters().gaps, bus.counters().connections), (0, 1));
}

/// A25: without a connection nothing is subscribed to, whatever was: who waits for it waits for the next one.
#[tokio::test(start_paused = true)]
async fn a25_nothing_is_subscribed_without_a_connection() {
    let broker = faulty();
    let (bus, mut events) = listening(broker.clone(), config(), &["room"]).await;
    assert!(bus.is_subscribed("room"));
    broker.set(|faults| faults.is_away = true);
    broker.cut();
    is_down(&bus).await;
    assert!(!bus.is_subscribed("room") && !bus.subscribed("room", SOON).await);
    broker.set(|faults| faults.is_away = false);
    assert!(bus.subscribed("room", SOON).await);
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    bus.publish("room", "after").unwrap();
    assert_eq!(message(&mut events).await.1, "after");
}

/// A59, A25: attempts are spread, and never further apart than the ceiling says.
#[tokio::test(start_paused = true)]
async fn a59_attempts_are_spread_up_to_the_ceiling() {
    let broker = faulty();
    broker.set(|faults| faults.is_away = true);
    let (_bus, _events) = Bus::start(broker.clone(), config());
    sleep(Duration::from_secs(600)).await;
    let early = broker.calls().connect;
    // On average one in 0.75 s.
    assert!((600..1200).contains(&early), "{early}");
    broker.set(|faults| faults.is_away = false);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(broker.calls().connected, 1);
}

/// A24: a broker that stands still is noticed by what is published, or else by asking it; then there is a gap.
#[tokio::test(start_paused = true)]
async fn a24_a_broker_that_stands_still() {
    for is_publishing in [true, false] {
        let broker = faulty();
        let (bus, mut events) = listening(broker.clone(), config(), &["room"]).await;
        broker.set(|faults| faults.is_paused = true);
        if is_publishing {
            bus.publish("room", "lost").unwrap();
        }
        let start = Instant::now();
        let mut state = bus.state();
        state.wait_for(|state| matches!(state, BusState::Down { .. })).await.unwrap();
        let BusState::Down { kind, .. } = *state.borrow() else { panic!("{bus:?}") };
        assert_eq!(kind, PubSubErrorKind::Timeout);
        let seconds = if is_publishing { 5 } else { 15 };
        assert_eq!(start.elapsed().as_secs(), seconds);
        broker.set(|faults| faults.is_paused = false);
        assert_eq!(within(events.next()).await, Some(Incoming::Gap));
        bus.publish("room", "after").unwrap();
        assert_eq!(message(&mut events).await.1, "after");
        assert_eq!(bus.counters().lost_out, u64::from(is_publishing));
    }
}

/// A24: it is asked whether it is there as often while something is published all the time: it may be several servers, and
/// another one may stand still.
#[tokio::test(start_paused = true)]
async fn a24_a_busy_broker_is_asked_as_well() {
    let broker = faulty();
    let (bus, mut events) = listening(broker.clone(), config(), &["room"]).await;
    for _ in 0..610 {
        bus.publish("room", "busy").unwrap();
        message(&mut events).await;
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((broker.calls().ping, bus.counters().gaps), (6, 0));
}

/// A23, BY-41: what is published while the broker is away waits, up to the bound; beyond it the policy says what goes.
#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded() {
    for overflow in [BusOverflow::DropNewest, BusOverflow::DropOldest] {
        let broker = faulty();
        let mut config = config();
        config.outgoing_messages_max = 3;
        config.overflow = overflow;
        let (bus, mut events) = listening(broker.clone(), config, &["c"]).await;
        broker.set(|faults| faults.is_away = true);
        broker.cut();
        is_down(&bus).await;
        let published: Vec<_> =
            (1..=5).map(|number| bus.publish("c", number.to_string())).collect();
        let refused = published.iter().filter(|result| result.is_err()).count();
        assert_eq!((bus.queued(), bus.counters().dropped_out), (3, 2));
        let kept = match overflow {
            BusOverflow::DropNewest => {
                let BusError::Full { messages, bytes } = published[4].unwrap_err() else {
                    panic!("{published:?}")
                };
                assert_eq!((refused, messages), (2, 3));
                assert!(bytes > 3);
                ["1", "2", "3"]
            }
            _ => {
                assert_eq!(refused, 0);
                ["3", "4", "5"]
            }
        };
        broker.set(|faults| faults.is_away = false);
        let mut heard = Vec::new();
        while heard.len() < 3 {
            // The gap stands where all is subscribed to, which is before or behind what waited.
            if let Some(Incoming::Message(message)) = within(events.next()).await {
                heard.push(String::from_utf8(message.payload.to_vec()).unwrap());
            }
        }
        assert_eq!(heard, kept);
    }
}

/// BY-41: bytes are bounded as well, names included.
#[tokio::test(start_paused = true)]
async fn bytes_that_wait_are_bounded() {
    let broker = faulty();
    broker.set(|faults| faults.is_away = true);
    let mut config = config();
    config.outgoing_bytes_max = 10_000;
    let (bus, _events) = Bus::start(broker, config);
    let taken = (0..100).take_while(|_| bus.publish("c", vec![0; 900]).is_ok()).count();
    assert!((9..=11).contains(&taken), "{taken}");
    assert!(bus.publish(&"n".repeat(150), vec![0; 9_900]).is_err());
}

/// A27, BY-41: who does not take what comes loses the oldest, and a gap stands in its place.
#[tokio::test(start_paused = true)]
async fn a_slow_listener_sees_a_gap() {
    let mut config = config();
    config.incoming_messages_max = 2;
    let (bus, mut events) = listening(Memory::new(), config, &["c"]).await;
    for number in 1..=5 {
        bus.publish("c", number.to_string()).unwrap();
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    assert_eq!(message(&mut events).await.1, "4");
    assert_eq!(message(&mut events).await.1, "5");
    assert_eq!((bus.counters().received, bus.counters().dropped_in), (5, 3));
}

/// A29: a node that takes less skips what is too long, and counts it.
#[tokio::test]
async fn a29_too_long_for_this_node() {
    let memory = Memory::new();
    let mut small = config();
    small.message_bytes_max = 10;
    let (bus, mut events) = listening(memory.clone(), small, &["c"]).await;
    let (other, _) = Bus::start(memory, config());
    other.publish("c", vec![b'x'; 11]).unwrap();
    other.publish("c", vec![b'x'; 10]).unwrap();
    assert_eq!(message(&mut events).await.1.len(), 10);
    assert_eq!((bus.counters().too_long_in, bus.counters().received), (1, 1));
}

/// A55: what the broker does not take is refused while it is known, and left out where it waited for it.
#[tokio::test(start_paused = true)]
async fn a55_too_long_for_the_broker() {
    let broker = faulty();
    broker.set(|faults| {
        faults.is_away = true;
        faults.message_bytes_max = 10;
    });
    let (bus, mut events) = Bus::start(broker.clone(), config());
    bus.subscribe("c").unwrap();
    bus.publish("c", vec![b'x'; 11]).unwrap();
    bus.publish("c", "fits").unwrap();
    broker.set(|faults| faults.is_away = false);
    assert_eq!(message(&mut events).await.1, "fits");
    let refused = bus.publish("c", vec![b'x'; 11]);
    assert_eq!(refused, Err(BusError::TooLong { bytes: 11, max: 10 }));
    assert_eq!((bus.counters().dropped_out, bus.counters().connections), (2, 1));
}

/// BY-41: a room that empties and fills again costs the broker nothing; one that stays empty is told after a while.
#[tokio::test(start_paused = true)]
async fn unsubscribing_is_late() {
    let broker = faulty();
    let mut late = config();
    late.unsubscribe_delay = Duration::from_secs(5);
    let (bus, mut events) = listening(broker.clone(), late, &["room"]).await;
    for _ in 0..100 {
        bus.unsubscribe("room");
        sleep(Duration::from_millis(100)).await;
        bus.subscribe("room").unwrap();
        assert!(bus.subscribed("room", SOON).await);
    }
    assert_eq!((broker.calls().subscribe, broker.calls().unsubscribe), (1, 0));
    bus.unsubscribe("room");
    // It is no longer heard at once.
    bus.publish("room", "unheard").unwrap();
    sleep(Duration::from_millis(4900)).await;
    assert_eq!((bus.channels(), broker.calls().unsubscribe), (1, 0));
    sleep(Duration::from_millis(200)).await;
    assert_eq!((bus.channels(), broker.calls().unsubscribe), (0, 1));
    bus.subscribe("room").unwrap();
    bus.publish("room", "heard").unwrap();
    assert_eq!(message(&mut events).await.1, "heard");
}

/// A26: channels are asked for many at once, and what is published is written in batches.
#[tokio::test]
async fn a26_many_at_once() {
    let broker = faulty();
    let mut config = config();
    config.outgoing_messages_max = 100_000;
    let (bus, mut events) = up(&broker, config).await;
    for number in 0..50_000 {
        bus.subscribe(&format!("room {number}")).unwrap();
    }
    for number in 0..50_000 {
        assert!(bus.subscribed(&format!("room {number}"), SOON).await);
    }
    assert_eq!(bus.channels(), 50_000);
    for _ in 0..10_000 {
        bus.publish("room 49999", "x").unwrap();
    }
    for _ in 0..10_000 {
        message(&mut events).await;
    }
    let (batches, messages) = (broker.calls().publish, broker.calls().published);
    assert!(messages == 10_000 && batches <= 100, "{batches}");
    broker.cut();
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    assert_eq!(broker.calls().subscribe, 100_000);
    let batches = broker.calls().subscribe_batches;
    assert!(batches <= 200, "{batches} times");
}

/// BY-41: channels are bounded.
#[tokio::test]
async fn channels_are_bounded() {
    let mut config = config();
    config.channels_max = 2;
    let (bus, _events) = listening(Memory::new(), config, &["a", "b"]).await;
    assert_eq!(bus.subscribe("c"), Err(BusError::Channels { max: 2 }));
    bus.subscribe("a").unwrap();
}

/// Closing publishes what waits, and then all is over for every handle.
#[tokio::test]
async fn closing_publishes_what_waits() {
    let memory = Memory::new();
    let (_listener, mut heard) = listening(memory.clone(), config(), &["c"]).await;
    let broker = FaultyBroker::new(memory, 1);
    let (bus, mut events) = up(&broker, config()).await;
    for number in 0..2000 {
        bus.publish("c", number.to_string()).unwrap();
    }
    let other = bus.clone();
    within(bus.close()).await;
    for number in 0..2000 {
        assert_eq!(message(&mut heard).await.1, number.to_string());
    }
    assert_eq!(within(events.next()).await, None);
    assert_eq!(other.publish("c", "late"), Err(BusError::Closed));
    assert_eq!(other.subscribe("c"), Err(BusError::Closed));
    assert!(!other.subscribed("c", SOON).await);
    assert_eq!(*other.state().borrow(), BusState::Closed);
    assert_eq!((broker.calls().connected, other.counters().published), (0, 2000));
    within(other.close()).await;
}

/// Closing does not wait for a broker that is away: what waits is lost, and counted.
#[tokio::test(start_paused = true)]
async fn closing_without_a_broker() {
    let broker = faulty();
    broker.set(|faults| faults.is_away = true);
    let (bus, mut events) = Bus::start(broker, config());
    is_down(&bus).await;
    bus.publish("c", "1").unwrap();
    let start = Instant::now();
    bus.close().await;
    assert_eq!((start.elapsed(), bus.counters().lost_out), (Duration::ZERO, 1));
    assert_eq!(events.next().await, None);
}

/// The task ends with the last handle, whatever it waits for.
#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_it() {
    for is_paused in [false, true] {
        let broker = faulty();
        let (bus, mut events) = up(&broker, config()).await;
        broker.set(|faults| faults.is_paused = is_paused);
        let other = bus.clone();
        drop(bus);
        other.publish("c", "1").unwrap();
        advance(Duration::from_secs(1)).await;
        assert_eq!(broker.calls().connected, 1);
        drop(other);
        assert_eq!(within(events.next()).await, None);
        assert_eq!(broker.calls().connected, 0);
    }
}

/// A23, BY-41: whatever is cut and lost on the way to the listener: each message once, in order, and where one is missing
/// there is a gap.
#[tokio::test(start_paused = true)]
async fn a23_where_something_is_missing_there_is_a_gap() {
    let mut gaps_in_all = 0;
    for seed in 0..20 {
        let memory = Memory::new();
        let broker = FaultyBroker::new(memory.clone(), seed);
        broker.set(|faults| {
            faults.lost_per_mille = 20;
            faults.delay = Duration::from_micros(300);
        });
        let (_bus, mut events) = listening(broker.clone(), config(), &["c"]).await;
        let (publisher, _) = Bus::start(memory, config());
        let publishing = async {
            let mut chance = Chance::new(seed);
            for number in 1..=2000_u32 {
                publisher.publish("c", number.to_string()).unwrap();
                sleep(Duration::from_millis(1)).await;
                match chance.below(200) {
                    0 => broker.cut(),
                    1 => broker.set(|faults| faults.is_away = !faults.is_away),
                    _ => {}
                }
            }
            broker.set(|faults| (faults.is_away, faults.lost_per_mille) = (false, 0));
            sleep(Duration::from_secs(10)).await;
            publisher.publish("c", "2001").unwrap();
        };
        let listening = async {
            let (mut last, mut is_gap, mut gaps) = (0, false, 0);
            while last < 2001 {
                let Some(Incoming::Message(message)) = events.next().await else {
                    (is_gap, gaps) = (true, gaps + 1);
                    continue;
                };
                let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                let is_next = number == last + 1;
                assert!(is_next || (number > last && is_gap), "seed {seed}: {last}, {number}");
                (last, is_gap) = (number, false);
            }
            gaps
        };
        let ((), gaps) = tokio::join!(publishing, listening);
        gaps_in_all += gaps;
    }
    assert!(gaps_in_all > 100, "{gaps_in_all} gaps");
}

/// A59: an error shows its kind and what the adapter gave as its source.
#[test]
fn errors_say_what_kind_they_are() {
    let error = PubSubError::new(PubSubErrorKind::Refused).with_source("WRONGPASS");
    assert_eq!(error.to_string(), "the broker refuses this client");
    assert!(format!("{error:?}").contains("Refused") && format!("{error:?}").contains("WRONGPASS"));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "WRONGPASS");
}

/// SC-03, SC-04, BY-40: the documentation says that a server does not scale alone, and shows an adapter of somebody else's:
/// no more than 50 lines.
#[test]
fn the_documentation_says_what_it_takes() {
    let page = include_str!("../../src/pubsub/mod.rs");
    assert!(page.contains("does not scale to a second machine alone"));
    let (_, example) = page.split_once("//! struct Line").unwrap();
    let (example, _) = example.split_once("//! let (bus,").unwrap();
    let is_code = |line: &&str| !matches!(line.trim_start_matches("//!").trim(), "" | "```");
    let lines = example.lines().filter(is_code).count();
    assert!((20..=50).contains(&lines), "{lines} lines");
    assert!(include_str!("../../README.md").contains("promises no scale by itself"));
}
