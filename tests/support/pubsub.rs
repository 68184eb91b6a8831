//! What every adapter has to keep, seen through a bus: one suite for all of them.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::HashSet;
use std::time::Duration;

use sockeye::pubsub::{Broker, Bus, BusConfig, BusError, BusEvents, BusState, Incoming};

use super::server::within;

/// As long as a test waits for anything.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) fn config() -> BusConfig {
    let mut config = BusConfig::default();
    config.prefix = format!("test-{}", std::process::id());
    config.unsubscribe_delay = Duration::ZERO;
    config
}

/// A bus that listens to these channels.
pub(crate) async fn listening(
    broker: impl Broker,
    config: BusConfig,
    channels: &[&str],
) -> (Bus, BusEvents) {
    let (bus, events) = Bus::start(broker, config);
    for channel in channels {
        bus.subscribe(channel).unwrap();
    }
    for channel in channels {
        assert!(bus.subscribed(channel, SOON).await, "{channel:?}: {bus:?}");
    }
    (bus, events)
}

/// The next message; no gap may come before it.
pub(crate) async fn message(events: &mut BusEvents) -> (String, String) {
    match within(events.next()).await {
        Some(Incoming::Message(message)) => {
            let text = String::from_utf8(message.payload.to_vec()).unwrap();
            (message.channel.to_string(), text)
        }
        other => panic!("{other:?} instead of a message"),
    }
}

pub(crate) async fn is_up(bus: &Bus) {
    let mut state = bus.state();
    let is_up = |state: &BusState| matches!(state, BusState::Up { .. });
    within(state.wait_for(is_up)).await.unwrap();
}

pub(crate) async fn is_down(bus: &Bus) {
    let mut state = bus.state();
    let is_down = |state: &BusState| matches!(state, BusState::Down { .. });
    within(state.wait_for(is_down)).await.unwrap();
}

/// Everything that does not need a fault.
pub(crate) async fn conforms<B: Broker + Clone>(broker: B) {
    one_copy_in_order(broker.clone()).await;
    unsubscribe_stops(broker.clone()).await;
    many_channels(broker.clone()).await;
    odd_names(broker.clone()).await;
    lengths(broker).await;
}

/// A28, BY-41: three nodes, two of which publish: each hears each message once, its own as well, in the order of each
/// publisher.
async fn one_copy_in_order<B: Broker + Clone>(broker: B) {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(listening(broker.clone(), config(), &["room"]).await);
    }
    for number in 0..500 {
        for node in [0, 1] {
            nodes[node].0.publish("room", format!("{node} {number}")).unwrap();
        }
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (bus, events) in &mut nodes {
        let mut heard = [Vec::new(), Vec::new()];
        for _ in 0..1000 {
            let (channel, text) = message(events).await;
            assert_eq!(channel, "room");
            let (node, number) = text.split_once(' ').unwrap();
            heard[node.parse::<usize>().unwrap()].push(number.parse::<usize>().unwrap());
        }
        for numbers in heard {
            assert_eq!(numbers, (0..500).collect::<Vec<_>>());
        }
        // Nothing was left behind: the last one is the next.
        bus.publish("room", "last").unwrap();
        assert_eq!(message(events).await.1, "last");
        bus.unsubscribe("room");
        let counters = bus.counters();
        assert_eq!((counters.gaps, counters.dropped_in, counters.lost_out), (0, 0, 0));
        bus.close().await;
        while events.next().await.is_some() {}
    }
}

async fn unsubscribe_stops(broker: impl Broker) {
    let (bus, mut events) = listening(broker, config(), &["left", "kept"]).await;
    bus.unsubscribe("left");
    bus.publish("left", "1").unwrap();
    bus.publish("kept", "2").unwrap();
    assert_eq!(message(&mut events).await, ("kept".to_owned(), "2".to_owned()));
    within(async {
        while bus.channels() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // And back again.
    bus.subscribe("left").unwrap();
    assert!(bus.subscribed("left", SOON).await);
    bus.publish("left", "3").unwrap();
    assert_eq!(message(&mut events).await, ("left".to_owned(), "3".to_owned()));
}

async fn many_channels<B: Broker + Clone>(broker: B) {
    let names: Vec<_> = (0..3000).map(|number| format!("channel {number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (_bus, mut events) = listening(broker.clone(), config(), &names).await;
    let (other, _) = Bus::start(broker, config());
    for name in &names {
        other.publish(name, (*name).to_owned()).unwrap();
    }
    let mut heard = HashSet::new();
    for _ in &names {
        let (channel, text) = message(&mut events).await;
        assert_eq!(channel, text);
        assert!(heard.insert(channel));
    }
}

/// A29: names that mean something to a broker, and long ones, are names like any other, each of its own.
async fn odd_names<B: Broker + Clone>(broker: B) {
    let long = "x".repeat(100_000);
    let longer = format!("{long}y");
    let names = [
        "",
        " ",
        ".",
        "..",
        "a.b",
        "a.*",
        "*",
        ">",
        "a.>",
        "a\r\nPING\r\n",
        "\0",
        "_",
        "__",
        "_2e",
        "\u{1f41f}",
        "$SYS.>",
        "[a-z]*",
        "?",
        "a b",
        "A",
        "a",
        &long,
        &longer,
    ];
    let (_bus, mut events) = listening(broker.clone(), config(), &names).await;
    let (other, _) = Bus::start(broker, config());
    for name in names {
        other.publish(name, name.to_owned()).unwrap();
    }
    let mut heard = HashSet::new();
    for _ in names {
        let (channel, text) = message(&mut events).await;
        assert_eq!(channel, text);
        assert!(heard.insert(channel));
    }
}

/// A29, A55: empty, the longest, and one more byte; any bytes.
async fn lengths(broker: impl Broker) {
    let (bus, mut events) = listening(broker, config(), &["c"]).await;
    let max = 1024 * 1024;
    let refused = bus.publish("c", vec![0; max + 1]);
    assert_eq!(refused, Err(BusError::TooLong { bytes: max + 1, max }));
    let longest: Vec<u8> = (0..max).map(|at| (at % 251) as u8).collect();
    for payload in [Vec::new(), b"\r\n\0\xff".to_vec(), longest] {
        bus.publish("c", payload.clone()).unwrap();
        let Some(Incoming::Message(message)) = within(events.next()).await else {
            panic!("{} bytes: no message", payload.len())
        };
        assert!(message.payload == payload, "{} bytes", payload.len());
    }
    assert_eq!(bus.counters().dropped_out, 1);
}

/// A23, BY-41: where a connection is lost there is one gap, and what is published after it arrives. The fault is to cut
/// the connections and let them come again.
pub(crate) async fn gap_after<B: Broker + Clone>(broker: B, fault: impl AsyncFnOnce()) {
    let (bus, mut events) = listening(broker.clone(), config(), &["room"]).await;
    let (other, _) = Bus::start(broker, config());
    is_up(&other).await;
    other.publish("room", "before").unwrap();
    assert_eq!(message(&mut events).await.1, "before");
    fault().await;
    assert_eq!(within(events.next()).await, Some(Incoming::Gap), "{bus:?}");
    let (mut state, mut number) = (other.state(), 0);
    let is_back = |state: &BusState| matches!(state, BusState::Up { connections: 2.. });
    within(state.wait_for(is_back)).await.unwrap();
    assert!(bus.subscribed("room", SOON).await);
    other.publish("room", "after").unwrap();
    while message(&mut events).await.1 != "after" {
        number += 1;
    }
    assert_eq!((number, bus.counters().gaps), (0, 1));
}
