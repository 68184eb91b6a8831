//! Floor 8: a Redis Cluster as the broker, the real programs. One that is not there is told loudly, and is a failure where
//! `SOCKEYE_ALL_PROGRAMS` is set.

#![cfg(all(unix, feature = "redis"))]

use std::collections::HashSet;
use std::error::Error as _;
use std::time::Duration;

use rustix::process::Signal;
use sockeye::pubsub::redis::RedisCluster;
use sockeye::pubsub::{Broker, Bus, BusConfig, BusEvents, BusState, Incoming, PubSubErrorKind};

use crate::support::brokers::{Program, down_at_start, down_by, kill_under_load};
use crate::support::pubsub::{
    SOON, config, conforms, gap_after, is_down, is_up, listening, message,
};
use crate::support::redis::{client_kill, command, url_of};
use crate::support::redis_cluster::{CALM, Nodes, QUICK, until};
use crate::support::server::within;

/// What a channel is called there.
fn wire(channel: &str) -> String {
    format!("{}.{channel}", config().prefix)
}

/// Nothing is noticed by being asked.
fn without_ping() -> BusConfig {
    let mut config = config();
    config.ping_interval = Duration::from_secs(1_000_000);
    config
}

/// A channel whose slot this node has.
async fn channel_of(nodes: &Nodes, node: usize) -> String {
    for number in 0.. {
        let channel = format!("room-{number}");
        if nodes.owner(&wire(&channel)).await == node {
            return channel;
        }
    }
    unreachable!("each node has some")
}

/// SC-03, BY-40, A28, A29: a cluster keeps what every broker has to keep.
#[tokio::test]
async fn redis_cluster_conforms() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    conforms(nodes.broker()).await;
}

/// BY-40, A28: each channel is on one node, each node has its share, one seed is enough, and nothing is lost or comes twice.
#[tokio::test]
async fn a28_channels_are_spread_over_the_nodes() {
    const CHANNELS: usize = 600;
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    let one = RedisCluster::new(&url_of(nodes.nodes[1].program.address())).unwrap();
    let names: Vec<_> = (0..CHANNELS).map(|number| format!("room {number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (bus, mut events) = listening(one, config(), &names).await;
    let (other, _other_events) = listening(nodes.broker(), config(), &names[..1]).await;
    let mut counts = Vec::new();
    for node in &nodes.nodes {
        counts.push(node.channels().await);
    }
    assert!(counts.iter().all(|count| *count > CHANNELS / 6), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), CHANNELS);
    for round in 0..10 {
        for (number, name) in names.iter().enumerate() {
            let bus = if number % 2 == 0 { &bus } else { &other };
            bus.publish(name, format!("{name} {round}")).unwrap();
        }
        let mut heard = HashSet::new();
        for _ in 0..CHANNELS {
            let (channel, text) = message(&mut events).await;
            assert_eq!(text, format!("{channel} {round}"));
            assert!(heard.insert(channel));
        }
    }
    for name in &names {
        bus.unsubscribe(name);
    }
    other.unsubscribe(names[0]);
    until("nobody listens", async || {
        let mut count = 0;
        for node in &nodes.nodes {
            count += node.channels().await;
        }
        count == 0
    })
    .await;
    assert_eq!((bus.counters().gaps, other.counters().gaps), (0, 0));
    assert_eq!((bus.counters().connections, bus.counters().lost_out), (1, 0));
}

/// Numbers that come in order, where one is missing behind a gap, up to the last.
async fn hear_to(events: &mut BusEvents, last: u64) -> (u64, u64) {
    let (mut heard, mut gaps, mut count, mut is_gap) = (0, 0, 0, false);
    while heard < last {
        let Some(Incoming::Message(message)) = within(events.next()).await else {
            (is_gap, gaps) = (true, gaps + 1);
            continue;
        };
        let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        assert!(number == heard + 1 || (number > heard && is_gap), "{heard}, {number}");
        (heard, is_gap, count) = (number, false, count + 1);
    }
    (count, gaps)
}

/// Says numbers until the bus has had another connection, and then one more when all listen again; that one.
async fn say_until_again(publisher: &Bus, listener: &Bus, channel: &str) -> u64 {
    let mut number = 0;
    let is_again = |bus: &Bus| matches!(*bus.state().borrow(), BusState::Up { connections: 2.. });
    within(async {
        while !is_again(publisher) || !is_again(listener) {
            number += 1;
            publisher.publish(channel, number.to_string()).unwrap();
            while publisher.queued() > 1000 {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(listener.subscribed(channel, SOON).await);
    publisher.publish(channel, (number + 1).to_string()).unwrap();
    number + 1
}

/// A25, A23, BY-41: a slot that goes to another node while it is published to: nothing comes twice or out of order, where
/// something is missing there is a gap, and then all is heard again, over the other node.
#[tokio::test]
async fn a25_a_slot_moves_under_load() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    let channel = channel_of(&nodes, 0).await;
    let mut large = without_ping();
    large.incoming_messages_max = 10_000_000;
    large.incoming_bytes_max = 1 << 30;
    let (bus, mut events) = listening(nodes.broker(), large.clone(), &[&channel]).await;
    let (publisher, _) = Bus::start(nodes.broker(), large);
    is_up(&publisher).await;
    let moving = async {
        until("some have come", async || bus.counters().received > 1000).await;
        nodes.move_slot(&wire(&channel), 2).await;
    };
    let saying = say_until_again(&publisher, &bus, &channel);
    let (last, ()) = tokio::join!(saying, moving);
    let (count, gaps) = hear_to(&mut events, last).await;
    println!("{last} said, {count} came, {gaps} gaps");
    assert!(gaps >= 1 && gaps == bus.counters().gaps, "{gaps}");
    assert_eq!(nodes.owner(&wire(&channel)).await, 2);
    assert_eq!((nodes.nodes[0].channels().await, nodes.nodes[2].channels().await), (0, 1));
}

/// A25: who only listens hears of it from the node that had the slot, without asking or saying anything.
#[tokio::test]
async fn a25_a_listener_is_told_of_a_slot_that_moves() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    let channel = channel_of(&nodes, 1).await;
    let (bus, mut events) = listening(nodes.broker(), without_ping(), &[&channel]).await;
    nodes.move_slot(&wire(&channel), 0).await;
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    assert!(bus.subscribed(&channel, SOON).await);
    bus.publish(&channel, "after").unwrap();
    assert_eq!(message(&mut events).await.1, "after");
    assert_eq!(nodes.nodes[0].channels().await, 1);
}

/// A25: who has nothing in a slot that moves hears of it by asking, also while it says something elsewhere all the time; so
/// that what it says there later is not lost.
#[tokio::test]
async fn a25_a_slot_that_moves_is_asked_for() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    let (channel, elsewhere) = (channel_of(&nodes, 1).await, channel_of(&nodes, 0).await);
    let mut asking = config();
    asking.ping_interval = Duration::from_millis(100);
    let (publisher, mut events) = listening(nodes.broker(), asking, &[&elsewhere]).await;
    nodes.move_slot(&wire(&channel), 0).await;
    let busy = async {
        loop {
            publisher.publish(&elsewhere, "busy").unwrap();
            if within(events.next()).await == Some(Incoming::Gap) {
                return;
            }
        }
    };
    within(busy).await;
    let (_bus, mut events) = listening(nodes.broker(), config(), &[&channel]).await;
    is_up(&publisher).await;
    publisher.publish(&channel, "not lost").unwrap();
    assert_eq!(message(&mut events).await.1, "not lost");
    assert!(publisher.counters().lost_out <= 1);
}

/// What is published to a slot that has moved, before anybody has asked, is answered with MOVED: the connection ends.
#[tokio::test]
async fn a25_moved_is_a_lost_connection() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    let channel = channel_of(&nodes, 2).await;
    let (publisher, _events) = Bus::start(nodes.broker(), without_ping());
    is_up(&publisher).await;
    nodes.move_slot(&wire(&channel), 0).await;
    nodes.agree().await;
    publisher.publish(&channel, "lost").unwrap();
    assert_eq!(down_by(&publisher).await, PubSubErrorKind::Lost);
    is_up(&publisher).await;
    assert_eq!(publisher.counters().lost_out, 1);
    // The same for who begins to listen.
    nodes.move_slot(&wire(&channel), 1).await;
    nodes.agree().await;
    publisher.subscribe(&channel).unwrap();
    assert_eq!(down_by(&publisher).await, PubSubErrorKind::Lost);
    assert!(publisher.subscribed(&channel, SOON).await);
    assert_eq!(nodes.nodes[1].channels().await, 1);
}

/// A23, row 70: a primary is killed, and its replica takes over: a gap, then all is heard again; and when it comes back as a
/// replica of the other nothing is lost any more.
#[tokio::test]
async fn a23_a_replica_takes_over() {
    let Some(mut nodes) = Nodes::start(3, QUICK).await else { return };
    let replica = nodes.add_replica(0).await;
    let channel = channel_of(&nodes, 0).await;
    let (bus, mut events) = listening(nodes.broker(), without_ping(), &[&channel]).await;
    let (publisher, _) = Bus::start(nodes.broker(), without_ping());
    is_up(&publisher).await;
    nodes.nodes[0].program.kill();
    is_down(&bus).await;
    is_down(&publisher).await;
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    is_up(&publisher).await;
    assert!(bus.subscribed(&channel, SOON).await);
    publisher.publish(&channel, "after").unwrap();
    assert_eq!(message(&mut events).await.1, "after");
    assert_eq!(nodes.nodes[replica].channels().await, 1);
    nodes.nodes[0].program.run().await;
    nodes.agree().await;
    for number in 0..100 {
        publisher.publish(&channel, number.to_string()).unwrap();
        assert_eq!(message(&mut events).await.1, number.to_string());
    }
    assert_eq!((bus.counters().gaps, publisher.counters().gaps), (1, 1));
}

/// A25: a primary that becomes a replica while it lives says goodbye to who listens: they do not stay with it.
#[tokio::test]
async fn a25_a_primary_that_becomes_a_replica_is_left() {
    let Some(mut nodes) = Nodes::start(3, QUICK).await else { return };
    let replica = nodes.add_replica(0).await;
    let channel = channel_of(&nodes, 0).await;
    let (bus, mut events) = listening(nodes.broker(), without_ping(), &[&channel]).await;
    nodes.nodes[replica].tell("CLUSTER FAILOVER").await;
    assert_eq!(within(events.next()).await, Some(Incoming::Gap));
    assert!(bus.subscribed(&channel, SOON).await);
    assert_eq!((nodes.nodes[0].channels().await, nodes.nodes[replica].channels().await), (0, 1));
    let (publisher, _) = Bus::start(nodes.broker(), config());
    publisher.publish(&channel, "after").unwrap();
    assert_eq!(message(&mut events).await.1, "after");
}

/// A24: a node that stands still is noticed, by being asked or by what is published to it, also while others answer.
#[tokio::test]
async fn a24_one_node_stands_still() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    let (still, lively) = (channel_of(&nodes, 1).await, channel_of(&nodes, 0).await);
    for is_publishing in [false, true] {
        let mut short = config();
        short.ping_interval = Duration::from_millis(if is_publishing { 1_000_000 } else { 100 });
        short.publish_timeout = Duration::from_secs(1);
        let (bus, mut events) = listening(nodes.broker(), short, &[&still, &lively]).await;
        nodes.nodes[1].program.stop();
        let mut state = bus.state();
        let is_down = state.wait_for(|state| matches!(state, BusState::Down { .. }));
        let talking = async {
            loop {
                if bus.queued() < 100 {
                    bus.publish(if is_publishing { &still } else { &lively }, "x").unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            state = within(is_down) => {
                let BusState::Down { kind, .. } = *state.unwrap() else { unreachable!() };
                assert_eq!(kind, PubSubErrorKind::Timeout);
            }
            () = talking => {}
        }
        nodes.nodes[1].program.signal(Signal::CONT);
        while within(events.next()).await != Some(Incoming::Gap) {}
        assert!(bus.subscribed(&still, SOON).await);
        bus.publish(&still, "after").unwrap();
        while message(&mut events).await.1 != "after" {}
        assert_eq!(bus.counters().gaps, 1);
    }
}

/// A27, A25: `CLIENT KILL` on one of the nodes, and a restart of one, are one gap each.
#[tokio::test]
async fn a27_a25_client_kill_and_restart() {
    let Some(mut nodes) = Nodes::start(3, CALM).await else { return };
    let broker = nodes.broker();
    gap_after(broker.clone(), async || client_kill(nodes.nodes[2].program.address()).await).await;
    let owner = nodes.owner(&wire("room")).await;
    gap_after(broker, async || {
        nodes.nodes[owner].program.kill();
        nodes.nodes[owner].program.run().await;
    })
    .await;
}

#[tokio::test]
async fn a23_kill_under_load() {
    let Some(mut nodes) = Nodes::start(3, CALM).await else { return };
    let (broker, owner) = (nodes.broker(), nodes.owner(&wire("c")).await);
    kill_under_load(&mut nodes.nodes[owner].program, broker).await;
}

#[tokio::test]
async fn a60_down_at_start() {
    let Some(mut nodes) = Nodes::start(3, CALM).await else { return };
    let broker = nodes.broker();
    // Without one of them there is no cluster.
    down_at_start(&mut nodes.nodes[1].program, broker).await;
}

/// A server that is of no cluster says so, and the first node that is not there is passed over.
#[tokio::test]
async fn a60_seeds_that_are_none() {
    let Some(server) = Program::start(command).await else { return };
    let alone = RedisCluster::new(&url_of(server.address())).unwrap();
    let Err(error) = within(alone.connect()).await else { panic!("it is a cluster") };
    assert_eq!(error.kind(), PubSubErrorKind::Answer, "{error:?}");
    let Some(nodes) = Nodes::start(1, CALM).await else { return };
    let urls = format!("redis://127.0.0.1:1, {}", nodes.urls());
    for _ in 0..4 {
        let broker = RedisCluster::new(&urls).unwrap();
        let (bus, mut events) = listening(broker, config(), &["c"]).await;
        bus.publish("c", "heard").unwrap();
        assert_eq!(message(&mut events).await.1, "heard");
        assert_eq!(bus.counters().connections, 1);
    }
}

/// A59: a wrong password, and none, are refusals, and no text of any error names what was given.
#[tokio::test]
async fn a59_no_password_in_any_text() {
    let Some(nodes) = Nodes::start(1, CALM).await else { return };
    let address = nodes.nodes[0].program.address();
    for userinfo in [":wr0ngpassword@", "wr0nguser:wr0ngpassword@", ""] {
        let broker = RedisCluster::new(&format!("redis://{userinfo}{address}")).unwrap();
        let Err(error) = within(broker.connect()).await else { panic!("it is let in") };
        assert_eq!(error.kind(), PubSubErrorKind::Refused, "{error:?}");
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        let texts = format!("{broker:?} {error:?} {error} {source}");
        assert!(!texts.contains("wr0ng"), "{texts}");
    }
    for urls in [
        "",
        "redis://:wr0ng@host:notaport",
        "redis://:wr0ng@one,wr0ng://:wr0ng@two",
        "redis://:wr0ng@one,,redis://:wr0ng@two",
        "redis://:wr0ng@one/3",
        "redis+unix:///wr0ng",
    ] {
        let error = RedisCluster::new(urls).unwrap_err();
        assert_eq!(error.kind(), PubSubErrorKind::Setting, "{urls}");
        assert!(!format!("{error:?} {error}").contains("wr0ng"), "{error:?}");
    }
}
