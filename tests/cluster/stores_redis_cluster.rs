//! A Redis Cluster as the store of sessions, the real programs, and fakes of them.

#![cfg(all(unix, feature = "redis", feature = "app"))]

use std::time::Duration;

use sockeye::session::stores::{RedisStore, SessionStore, StoreErrorKind, Wrote};

use crate::stored::by_42_survives_its_node;
use crate::support::redis_cluster::{CALM, Nodes, QUICK, until};
use crate::support::redis_fake::Fake;
use crate::support::server::within;
use crate::support::stores::{conforms, put};

const MINUTE: Duration = Duration::from_secs(60);

fn store(nodes: &Nodes) -> RedisStore {
    RedisStore::cluster(&nodes.urls()).unwrap().deadline(MINUTE)
}

fn key(id: &str) -> String {
    format!("sockeye:session:{id}")
}

#[tokio::test]
async fn by_42_a_redis_cluster_is_a_store() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    conforms(store(&nodes)).await;
    by_42_survives_its_node(store(&nodes)).await;
}

/// BY-42: each record is where its slot is, and each node has its share.
#[tokio::test]
async fn by_42_records_are_spread_over_the_nodes() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    let store = store(&nodes);
    for number in 0..200 {
        let put = put(0, 1, &number.to_string(), MINUTE);
        assert_eq!(store.put(&number.to_string(), put).await.unwrap(), Wrote::Done);
    }
    for number in 0..200 {
        let record = store.get(&number.to_string()).await.unwrap().unwrap();
        assert_eq!(record.bytes, number.to_string());
    }
    let mut counts = Vec::new();
    for node in &nodes.nodes {
        counts.push(node.ask("DBSIZE").await.trim_start_matches(':').parse::<usize>().unwrap());
    }
    assert!(counts.iter().all(|count| *count > 30), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 200);
    // With braces in its prefix all of them are together.
    let together = store.prefix("{one}:");
    for number in 0..30 {
        together.put(&number.to_string(), put(0, 1, "", MINUTE)).await.unwrap();
    }
    let owner = &nodes.nodes[nodes.owner("{one}:").await];
    assert_eq!(owner.ask("EVAL \"return #redis.call('KEYS', '{one}:*')\" 0").await, ":30");
}

/// BY-42: a slot that has moved is gone after, within the same call.
#[tokio::test]
async fn by_42_moved_is_followed() {
    let Some(nodes) = Nodes::start(3, CALM).await else { return };
    let store = store(&nodes);
    let owner = nodes.owner(&key("a")).await;
    assert_eq!(store.get("a").await.unwrap(), None);
    nodes.move_slot(&key("a"), (owner + 1) % 3).await;
    nodes.agree().await;
    // What it knows is old enough to be doubted by then.
    assert_eq!(store.put("a", put(0, 1, "one", MINUTE)).await.unwrap(), Wrote::Done);
    assert_eq!(store.get("a").await.unwrap().unwrap().bytes, "one");
    assert_eq!(nodes.owner(&key("a")).await, (owner + 1) % 3);
}

/// BY-42: while a slot is on its way records are found where they are, and begin where it goes; also at a node that has no slots yet.
#[tokio::test]
async fn by_42_a_slot_on_its_way() {
    let Some(mut nodes) = Nodes::start(3, CALM).await else { return };
    let store = store(&nodes).prefix("{one}:");
    let from = nodes.owner("{one}:").await;
    let to = nodes.add_empty().await;
    assert_eq!(store.put("old", put(0, 1, "1", MINUTE)).await.unwrap(), Wrote::Done);
    nodes.begin_move("{one}:", from, to).await;
    let keys = async |node: usize| {
        let answer = nodes.nodes[node].ask("DBSIZE").await;
        answer.trim_start_matches(':').parse::<usize>().unwrap()
    };
    assert_eq!(store.put("new", put(0, 1, "2", MINUTE)).await.unwrap(), Wrote::Done);
    assert_eq!((keys(from).await, keys(to).await), (1, 1));
    assert_eq!(store.get("old").await.unwrap().unwrap().bytes, "1");
    assert_eq!(store.get("new").await.unwrap().unwrap().bytes, "2");
    let port = nodes.nodes[to].program.port;
    let migrate = format!("MIGRATE 127.0.0.1 {port} {{one}}:old 0 5000 AUTH tops3cret");
    nodes.nodes[from].tell(&migrate).await;
    assert_eq!((keys(from).await, keys(to).await), (0, 2));
    assert_eq!(store.put("old", put(1, 2, "3", MINUTE)).await.unwrap(), Wrote::Done);
    assert_eq!(store.put("old", put(1, 2, "x", MINUTE)).await.unwrap(), Wrote::Taken);
    assert_eq!(store.get("old").await.unwrap().unwrap().bytes, "3");
    store.remove("new", 1).await.unwrap();
    assert_eq!((keys(from).await, keys(to).await), (0, 1));
    nodes.end_move("{one}:", from, to).await;
    assert_eq!(store.get("old").await.unwrap().unwrap().bytes, "3");
    assert_eq!(store.get("new").await.unwrap(), None);
}

/// BY-42: the node that was named is asked once, and is told why; where that comes to nothing it is as if it were away.
#[tokio::test]
async fn by_42_a_redirection_has_an_end() {
    let other = Fake::start().await;
    let back = format!("-ASK 1 127.0.0.1:{}\r\n", other.port);
    let (fake, store) = fake(back.clone().leak()).await;
    for (answer, counts, wrote) in [
        (":0\r\n", (1, 1), Ok(Wrote::Done)),
        (&*back, (2, 2), Err(StoreErrorKind::Unreachable)),
        ("-MOVED 1 127.0.0.1:1\r\n", (2, 2), Err(StoreErrorKind::Unreachable)),
        ("-NOPERM no\r\n", (1, 1), Err(StoreErrorKind::Refused)),
    ] {
        let before = (fake.count("EVAL"), other.count("EVAL"));
        let answer = answer.to_owned();
        other.answers(move |words| match words[0].as_str() {
            "ASKING" => "+OK\r\n".to_owned(),
            _ => answer.clone(),
        });
        let put = within(store.put("a", put(0, 1, "", MINUTE))).await;
        assert_eq!(put.map_err(|error| error.kind()), wrote);
        let after = (fake.count("EVAL") - before.0, other.count("EVAL") - before.1);
        assert_eq!((after, other.count("ASKING")), (counts, other.count("EVAL")));
    }
    assert_eq!(other.connections(), 1, "one connection is for all questions");
}

/// BY-42: the others may not know for a while who has a slot now: the node that was named is asked all the same, in that
/// call, and they are not asked about it all the time.
#[tokio::test]
async fn by_42_moved_is_followed_before_all_know() {
    let other = Fake::start().await;
    other.answers(|_| ":0\r\n".to_owned());
    let moved = format!("-MOVED 1 127.0.0.1:{}\r\n", other.port);
    let moved: &str = moved.leak();
    let (fake, store) = fake(moved).await;
    let began = std::time::Instant::now();
    for number in 1..=100 {
        let put = within(store.put("a", put(0, number, "", MINUTE))).await;
        assert_eq!(put.unwrap(), Wrote::Done);
        let asked = (fake.count("EVAL"), other.count("EVAL"), other.count("ASKING"));
        let number = usize::try_from(number).unwrap();
        assert_eq!(asked, (number, number, 0));
    }
    let most = 2 + usize::try_from(began.elapsed().as_millis() / 100).unwrap();
    assert!(fake.count("CLUSTER") <= most, "{} of {most}", fake.count("CLUSTER"));
    let learned = std::time::Instant::now();
    until("it is doubted", async || learned.elapsed() > Duration::from_millis(150)).await;
    let slots = fake.slots_at(other.port);
    fake.answers(move |words| match words[0].as_str() {
        "CLUSTER" => slots(words),
        _ => moved.to_owned(),
    });
    // The first of them still goes the long way.
    for number in 101..=103 {
        assert_eq!(store.put("a", put(0, number, "", MINUTE)).await.unwrap(), Wrote::Done);
    }
    assert_eq!((fake.count("EVAL"), other.count("EVAL")), (101, 103));
    assert_eq!(other.connections(), 1, "one connection is for all questions");
}

/// BY-42: an address that is none is not gone to.
#[tokio::test]
async fn by_42_a_redirection_to_nowhere() {
    for answer in ["-ASK 1 ?:1\r\n", "-ASK 1 x\r\n", "-ASK\r\n", "-ASK 1 x:99999\r\n"] {
        let (fake, store) = fake(answer).await;
        let error = within(store.get("a")).await.unwrap_err();
        assert_eq!(
            (error.kind(), fake.count("EVAL")),
            (StoreErrorKind::Unreachable, 2),
            "{answer}"
        );
    }
}

/// BY-42: what cannot be done yet is asked again until it can, or time is over.
#[tokio::test]
async fn by_42_try_again() {
    let (fake, store) = fake("-TRYAGAIN not yet\r\n").await;
    let error = within(store.clone().deadline(Duration::from_millis(500)).get("a")).await;
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert!((2..=51).contains(&fake.count("EVAL")), "{}", fake.count("EVAL"));
    let (slots, left) = (fake.slots_at(fake.port), std::sync::atomic::AtomicUsize::new(5));
    fake.answers(move |words| match words[0].as_str() {
        "CLUSTER" => slots(words),
        _ if left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) > 1 => {
            "-TRYAGAIN not yet\r\n".to_owned()
        }
        _ => ":0\r\n".to_owned(),
    });
    let put = within(store.put("a", put(0, 1, "", MINUTE))).await;
    assert_eq!(put.unwrap(), Wrote::Done);
}

/// BY-42: a primary that is killed is another one soon, which has the records; those of the other nodes are there all the time.
#[tokio::test]
async fn by_42_a_replica_has_the_records() {
    let Some(mut nodes) = Nodes::start(3, QUICK).await else { return };
    let store = store(&nodes);
    let owner = nodes.owner(&key("a")).await;
    nodes.add_replica(owner).await;
    assert_eq!(store.put("a", put(0, 1, "one", MINUTE)).await.unwrap(), Wrote::Done);
    let waited = nodes.nodes[owner].ask("WAIT 1 60000").await;
    assert_eq!(waited, ":1");
    nodes.nodes[owner].program.kill();
    let error = store.get("a").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error:?}");
    until("the replica has taken over", async || match store.get("a").await {
        Ok(record) => record.unwrap().bytes == "one",
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error:?}");
            false
        }
    })
    .await;
    assert_eq!(store.put("a", put(1, 2, "two", MINUTE)).await.unwrap(), Wrote::Done);
}

/// Has all slots; what it answers to a script.
async fn fake(script: &'static str) -> (Fake, RedisStore) {
    let fake = Fake::start().await;
    let slots = fake.slots_at(fake.port);
    fake.answers(move |words| match words[0].as_str() {
        "CLUSTER" => slots(words),
        _ => script.to_owned(),
    });
    let store = RedisStore::cluster(&fake.url()).unwrap().deadline(MINUTE);
    (fake, store)
}

/// BY-42: what may have been done is not done again where that would be something else; all else is tried once more, and no
/// more than that.
#[tokio::test]
async fn by_42_what_is_tried_again() {
    for (answer, counts, kind) in [
        // Nobody knows whether it was done: taking over, writing again, reading, removing.
        ("", [1, 2, 2, 2], StoreErrorKind::Unreachable),
        ("-MOVED 1 127.0.0.1:1\r\n", [2, 2, 2, 2], StoreErrorKind::Unreachable),
        ("-CLUSTERDOWN down\r\n", [2, 2, 2, 2], StoreErrorKind::Unreachable),
        ("-NOPERM no\r\n", [1, 1, 1, 1], StoreErrorKind::Refused),
        ("+what\r\n", [1, 1, 1, 1], StoreErrorKind::Answer),
    ] {
        let (fake, store) = fake(answer).await;
        let (mut seen, mut all) = (Vec::new(), 0);
        for call in 0..4 {
            let called = async {
                match call {
                    0 => store.put("a", put(1, 2, "", MINUTE)).await.map(drop),
                    1 => store.put("a", put(2, 2, "", MINUTE)).await.map(drop),
                    2 => store.get("a").await.map(drop),
                    _ => store.remove("a", 2).await,
                }
            };
            let error = within(called).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{answer} {call}: {error:?}");
            seen.push(fake.count("EVAL") - all);
            all = fake.count("EVAL");
        }
        assert_eq!(seen, counts, "{answer}");
    }
}

/// BY-42: what was not asked, for there was nobody, has not been done: it is tried again, whatever it is.
#[tokio::test]
async fn by_42_what_was_not_asked_is_tried_again() {
    let (fake, store) = fake("").await;
    fake.answers(fake.slots_at(1));
    let error = within(store.get("a")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error:?}");
    let learned = std::time::Instant::now();
    until("it is doubted", async || learned.elapsed() > Duration::from_millis(150)).await;
    let slots = fake.slots_at(fake.port);
    fake.answers(move |words| match words[0].as_str() {
        "CLUSTER" => slots(words),
        _ => ":0\r\n".to_owned(),
    });
    let put = within(store.put("a", put(1, 2, "", MINUTE))).await;
    assert_eq!((put.unwrap(), fake.count("EVAL")), (Wrote::Done, 1));
}

/// BY-42: a node that is away does not make each call ask where it is.
#[tokio::test]
async fn by_42_a_node_that_is_away_is_not_asked_for_all_the_time() {
    let (fake, store) = fake("").await;
    fake.answers(fake.slots_at(1));
    let began = std::time::Instant::now();
    for _ in 0..200 {
        let error = within(store.get("a")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error:?}");
    }
    let most = 2 + usize::try_from(began.elapsed().as_millis() / 100).unwrap();
    assert!(fake.count("CLUSTER") <= most, "{} of {most}", fake.count("CLUSTER"));
}

/// BY-42: no call takes longer than it may, and no error names the password.
#[tokio::test]
async fn by_42_a_cluster_that_does_not_answer() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:wr0ng@{}", silent.local_addr().unwrap());
    let store = RedisStore::cluster(&url).unwrap().deadline(Duration::from_millis(30));
    let error = within(store.get("a")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    let Some(nodes) = Nodes::start(1, CALM).await else { return };
    let wrong = nodes.urls().replace("tops3cret", "wr0ng");
    let refused = RedisStore::cluster(&wrong).unwrap().get("a").await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused, "{refused:?}");
    let setting = RedisStore::cluster("redis://:wr0ng@host/7").unwrap_err();
    assert_eq!(setting.kind(), StoreErrorKind::Setting);
    let texts = format!("{store:?} {error:?} {refused} {refused:?} {setting:?}");
    assert!(!texts.contains("wr0ng"), "{texts}");
}
