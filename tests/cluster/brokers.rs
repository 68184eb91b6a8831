//! Floor 9: nodes of a cluster over a broker that is a program of its own, whichever it is.

#![cfg(all(unix, feature = "hub", any(feature = "redis", feature = "nats")))]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::hub::cluster::{ClusterConfig, GapAt};
use sockeye::hub::{Hub, Room};
use sockeye::pubsub::{Broker, BusState};

use crate::support::brokers::Program;
use crate::support::cluster::{Member, config, counts, is_up, node, node_with, watching, whole};
use crate::support::pubsub::SOON;
use crate::support::server::within;

/// Waits in real time.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "{what}");
}

async fn meet(hubs: &[&Hub]) {
    for hub in hubs {
        until("all know each other", || hub.cluster().others().len() == hubs.len() - 1).await;
    }
}

/// A28, BY-41, BY-43: three nodes: one copy each, no echo, names of rooms and users that mean something to a
/// broker, and all nodes are asked.
pub(crate) async fn a28_three_nodes<B: Broker + Clone>(broker: B) {
    let hubs = [(); 3].map(|()| node(broker.clone()));
    let (room, user) = ("r*>. \u{1f41f}_", "ann.*");
    let mut members = Vec::new();
    for hub in &hubs {
        members.push(Member::of(hub, user, room).await);
    }
    meet(&[&hubs[0], &hubs[1], &hubs[2]]).await;
    for (number, hub) in hubs.iter().enumerate() {
        hub.room(room).broadcast(&*number.to_string()).unwrap();
    }
    for member in &mut members {
        let mut texts = [member.text().await, member.text().await, member.text().await];
        texts.sort();
        assert_eq!(texts, ["0", "1", "2"]);
    }
    hubs[1].send_to_user(user, "to you");
    for member in &mut members {
        assert_eq!(member.text().await, "to you");
    }
    let cluster = hubs[2].cluster();
    assert_eq!(whole(cluster.room_members(room, SOON).await), 3);
    let closed = cluster.disconnect_user(user, 4003, "", SOON).await.unwrap();
    assert_eq!(whole(closed), 3);
    for member in &mut members {
        assert_eq!(member.close_code().await, Some(4003));
    }
    for hub in &hubs {
        let counts = counts(hub);
        assert_eq!((counts.missed, counts.gaps, counts.repeated, counts.poisoned), (0, 0, 0, 0));
    }
}

/// A23, BY-41: kill -9 under load: what was said is what came and what is missing by number, to the last message, and nothing
/// comes twice or out of order.
pub(crate) async fn a23_the_ledger<B: Broker + Clone>(server: &mut Program, broker: B) {
    const SAID: u64 = 20_000;
    let mut large = config();
    large.bus.outgoing_messages_max = 200_000;
    large.bus.incoming_messages_max = 200_000;
    let (missed, gaps) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let there = node_with(broker.clone(), counting(&large, &missed, &gaps), |hub| hub);
    let here = node_with(broker, large, |hub| hub);
    let mut bob = Member::of(&there, "bob", "lobby").await;
    meet(&[&here, &there]).await;
    let room = here.room("lobby");
    room.broadcast("0").unwrap();
    assert_eq!(bob.text().await, "0");
    let heard = Mutex::new(Vec::new());
    let last = SAID.to_string();
    let reading = async {
        loop {
            let text = bob.text().await;
            heard.lock().unwrap().push(text.parse::<u64>().unwrap());
            if text == last {
                return;
            }
        }
    };
    let saying = async {
        for number in 1..SAID {
            room.ready().await;
            room.broadcast(&*number.to_string()).unwrap();
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
            if number == SAID / 4 {
                until("some have come", || heard.lock().unwrap().len() > 1000).await;
                server.kill();
                is_up(&there, false).await;
            }
            if number == SAID / 2 {
                server.run().await;
            }
        }
        is_up(&here, true).await;
        assert!(there.room("lobby").subscribed(SOON).await);
        until("all has left", || counts(&here).queued == 0).await;
        room.broadcast(&*last).unwrap();
    };
    within(async { tokio::join!(reading, saying) }).await;
    let heard = heard.into_inner().unwrap();
    assert!(heard.is_sorted_by(|one, next| one < next), "in order, and none twice");
    let (came, missing) = (heard.len() as u64, missed.load(Ordering::SeqCst));
    println!("{SAID} said, {came} came, {missing} missing by number");
    assert_eq!(came + missing, SAID);
    assert!(missing == 0 || gaps.load(Ordering::SeqCst) > 0);
    assert_eq!((counts(&there).repeated, counts(&there).poisoned), (0, 0));
}

/// Counts what is missing in rooms, and gaps.
fn counting(
    config: &ClusterConfig,
    missed: &Arc<AtomicU64>,
    gaps: &Arc<AtomicU64>,
) -> ClusterConfig {
    let (missed, gaps) = (missed.clone(), gaps.clone());
    config.clone().on_gap(move |gap| {
        gaps.fetch_add(1, Ordering::SeqCst);
        if let (GapAt::Room(_), Some(count)) = (&gap.at, gap.missed) {
            missed.fetch_add(count, Ordering::SeqCst);
        }
    })
}

/// A60, A25, BY-33: nodes that begin without a broker find each other when it comes, see who is there, and again after it
/// was restarted without its data.
pub(crate) async fn a60_nodes_find_each_other<B: Broker + Clone>(server: &mut Program, broker: B) {
    server.kill();
    let mut quick = config();
    quick.heartbeat_interval = Duration::from_millis(200);
    let (here, _) = watching(broker.clone(), quick.clone());
    let (there, _) = watching(broker, quick);
    let ann = Member::new(&here, Some("ann"));
    let bob = Member::new(&there, Some("bob"));
    let rooms = [&ann, &bob].map(|member| member.registration.join("lobby").unwrap());
    let seen = || rooms.iter().all(|room| names(room) == ["ann", "bob"]);
    is_up(&here, false).await;
    for _ in 0..2 {
        server.run().await;
        meet(&[&here, &there]).await;
        until("both are seen", seen).await;
        server.kill();
        is_up(&here, false).await;
        is_up(&there, false).await;
        // Nobody has left for that.
        assert!(seen());
    }
}

fn names(room: &Room) -> Vec<String> {
    room.users().iter().map(ToString::to_string).collect()
}

/// A29: whatever length somebody publishes, it is passed over and counted, and what is right goes on. `is_cut`: the broker
/// itself cuts who is to be sent so much, and the node comes back.
pub(crate) async fn a29_poison_of_any_length<B: Broker + Clone>(
    broker: B,
    publish: impl AsyncFn(&str, usize),
    is_cut: bool,
) {
    let (here, there) = (node(broker.clone()), node(broker));
    let mut bob = Member::of(&there, "bob", "lobby").await;
    meet(&[&here, &there]).await;
    let channel = format!("{}.r-lobby", config().bus.prefix);
    for mib in [2, 32, 64] {
        let seen = || counts(&there).lost_in + counts(&there).gaps;
        let before = seen();
        publish(&channel, mib << 20).await;
        until("it is counted", || seen() > before).await;
        is_up(&there, true).await;
        assert!(there.room("lobby").subscribed(SOON).await);
        let text = format!("right after {mib} MiB");
        here.room("lobby").broadcast(&*text).unwrap();
        assert_eq!(bob.text().await, text);
    }
    let counts = counts(&there);
    assert_eq!((counts.poisoned, counts.missed, counts.repeated), (0, 0, 0));
    let state = there.cluster().state().unwrap().borrow().clone();
    let BusState::Up { connections } = state else { panic!("{state:?}") };
    assert_eq!(connections > 1, is_cut, "{connections} connections");
}
