//! Floor 8: what nodes of a Redis Cluster may say, said by fakes.

#![cfg(all(unix, feature = "redis"))]

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::pubsub::redis::RedisCluster;
use sockeye::pubsub::{Broker, Bus, Incoming, PubSubErrorKind};

use crate::support::brokers::down_by;
use crate::support::pubsub::{config, is_down, is_up, listening, message};
use crate::support::redis_fake::{Fake, pushed, slots};
use crate::support::server::within;

const LAST: usize = 16_383;

fn broker(fake: &Fake) -> RedisCluster {
    RedisCluster::new(&fake.url()).unwrap()
}

/// Has all slots and confirms all, but for what is to be answered otherwise.
fn whole(fake: &Fake, otherwise: impl Fn(&[String]) -> Option<String> + Send + Sync + 'static) {
    let port = fake.port;
    fake.answers(move |words| {
        if let Some(answer) = otherwise(words) {
            return answer;
        }
        match words[0].as_str() {
            "CLUSTER" => slots(&[(0, LAST, None, port, "a")]),
            "SSUBSCRIBE" => pushed("ssubscribe", &words[1], 1),
            "SUNSUBSCRIBE" => pushed("sunsubscribe", &words[1], 0),
            "SPUBLISH" => ":0\r\n".to_owned(),
            other => format!("-ERR unknown {other}\r\n"),
        }
    });
}

async fn error(broker: &RedisCluster) -> (PubSubErrorKind, String) {
    let Err(error) = within(broker.connect()).await else { panic!("it is connected") };
    (error.kind(), error.source().map(ToString::to_string).unwrap_or_default())
}

/// A58: a node may say what it likes about slots: it is an error of its kind, and the bus goes on trying.
#[tokio::test]
async fn a58_wrong_slots() {
    let fake = Fake::start().await;
    let all = slots(&[(0, LAST, None, fake.port, "a")]);
    let elsewhere = slots(&[(0, LAST, Some("127.0.0.1"), 1, "a")]);
    for (answer, kind, source) in [
        ("-ERR This instance has cluster support disabled\r\n", PubSubErrorKind::Answer, "ERR"),
        ("-CLUSTERDOWN Hash slot not served\r\n", PubSubErrorKind::Unreachable, "CLUSTERDOWN"),
        ("-NOPERM nothing for you\r\n", PubSubErrorKind::Refused, "NOPERM"),
        ("+OK\r\n", PubSubErrorKind::Answer, "CLUSTER SLOTS"),
        ("*0\r\n", PubSubErrorKind::Unreachable, "CLUSTERDOWN"),
        (&all.replace(":0\r\n", ":1\r\n"), PubSubErrorKind::Unreachable, "CLUSTERDOWN"),
        (&all.replace(":16383", ":16384"), PubSubErrorKind::Answer, "CLUSTER SLOTS"),
        ("", PubSubErrorKind::Unreachable, ""),
        (&elsewhere, PubSubErrorKind::Unreachable, ""),
    ] {
        let said = answer.to_owned();
        fake.answers(move |_| said.clone());
        let (told, by) = error(&broker(&fake)).await;
        assert_eq!(told, kind, "{answer}: {by}");
        assert!(source.is_empty() || by == source, "{answer}: {by}");
    }
    let (bus, _events) = Bus::start(broker(&fake), config());
    is_down(&bus).await;
    whole(&fake, |_| None);
    is_up(&bus).await;
}

/// A25: where two nodes do not agree there is no connection, so that nobody speaks to one while others listen to the other.
#[tokio::test]
async fn a25_nodes_have_to_agree() {
    let (one, other) = (Fake::start().await, Fake::start().await);
    let (ports, agrees) = ((one.port, other.port), Arc::new(AtomicBool::new(false)));
    let both = move || slots(&[(0, 8191, None, ports.0, "a"), (8192, LAST, None, ports.1, "b")]);
    let is_agreed = agrees.clone();
    let says = move |words: &[String]| match words[0].as_str() {
        "CLUSTER" if is_agreed.load(Ordering::SeqCst) => both(),
        "CLUSTER" => slots(&[(0, 8192, None, ports.0, "a"), (8193, LAST, None, ports.1, "b")]),
        _ => ":0\r\n".to_owned(),
    };
    one.answers(move |words| if words[0] == "CLUSTER" { both() } else { ":0\r\n".to_owned() });
    other.answers(says);
    let broker = broker(&one);
    let disagree = (PubSubErrorKind::Unreachable, "slots have moved".to_owned());
    assert_eq!(error(&broker).await, disagree);
    agrees.store(true, Ordering::SeqCst);
    let mut asking = config();
    asking.ping_interval = Duration::from_millis(20);
    let (bus, _events) = Bus::start(broker, asking);
    is_up(&bus).await;
    // And by being asked it is heard of.
    agrees.store(false, Ordering::SeqCst);
    assert_eq!(down_by(&bus).await, PubSubErrorKind::Lost);
}

/// A25, A58: what a node answers when it has a channel no longer, or cannot be used now, ends the connection, as does a
/// channel that it takes away; what is left because it was asked for does not.
#[tokio::test]
async fn a25_what_ends_a_connection() {
    for (command, answer, kind) in [
        ("SPUBLISH", "-MOVED 1 127.0.0.1:1\r\n", PubSubErrorKind::Lost),
        ("SPUBLISH", "-CLUSTERDOWN The cluster is down\r\n", PubSubErrorKind::Lost),
        ("SPUBLISH", "-CROSSSLOT Keys in request\r\n", PubSubErrorKind::Answer),
        ("SPUBLISH", "-NOPERM no\r\n", PubSubErrorKind::Refused),
        ("SPUBLISH", "", PubSubErrorKind::Lost),
        ("SSUBSCRIBE", "-MOVED 1 127.0.0.1:1\r\n", PubSubErrorKind::Lost),
        ("SSUBSCRIBE", "-LOADING later\r\n", PubSubErrorKind::Lost),
        ("SUNSUBSCRIBE", "-MOVED 1 127.0.0.1:1\r\n", PubSubErrorKind::Lost),
        ("SPUBLISH", ">3\r\n$12\r\nsunsubscribe\r\n$1\r\nx\r\n:0\r\n:0\r\n", PubSubErrorKind::Lost),
        ("SPUBLISH", ">2\r\n$8\r\nsmessage\r\n:1\r\n:0\r\n", PubSubErrorKind::Answer),
    ] {
        let fake = Fake::start().await;
        whole(&fake, |_| None);
        let (bus, mut events) = listening(broker(&fake), config(), &["left", "kept"]).await;
        bus.unsubscribe("left");
        crate::support::redis_cluster::until("it has left", async || {
            fake.count("SUNSUBSCRIBE") == 1 && bus.channels() == 1
        })
        .await;
        assert_eq!(bus.counters().connections, 1, "{command}");
        whole(&fake, move |words| (words[0] == command).then(|| answer.to_owned()));
        match command {
            "SPUBLISH" => bus.publish("kept", "x").unwrap(),
            "SSUBSCRIBE" => bus.subscribe("new").unwrap(),
            _ => bus.unsubscribe("kept"),
        }
        assert_eq!(down_by(&bus).await, kind, "{command} {answer}");
        whole(&fake, |_| None);
        assert_eq!(within(events.next()).await, Some(Incoming::Gap), "{command} {answer}");
    }
}

/// A batch is one pipeline, in the order in which it was said, and what comes is what was pushed.
#[tokio::test]
async fn what_a_node_is_told() {
    let fake = Fake::start().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let said = heard.clone();
    whole(&fake, move |words| {
        let [command, channel, payload] = words else { return None };
        (command == "SPUBLISH").then(|| {
            said.lock().unwrap().push(payload.clone());
            let name = format!("${}\r\n{channel}\r\n", channel.len());
            format!(">3\r\n$8\r\nsmessage\r\n{name}${}\r\n{payload}\r\n:1\r\n", payload.len())
        })
    });
    let (bus, mut events) = listening(broker(&fake), config(), &["a b"]).await;
    assert_eq!(fake.count(&format!("SSUBSCRIBE {}.a_20b", config().prefix)), 1);
    for number in 0..1000 {
        bus.publish("a b", number.to_string()).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(message(&mut events).await, ("a b".to_owned(), number.to_string()));
    }
    let numbers = (0..1000).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(*heard.lock().unwrap(), numbers);
}
