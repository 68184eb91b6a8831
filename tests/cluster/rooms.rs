//! Floor 9: a hub that is one node of many: rooms, users, everybody.

#![cfg(all(feature = "hub", feature = "pubsub"))]

use std::time::Duration;

use bytes::Bytes;
use sockeye::hub::cluster::{Body, Carried, ClusterConfig, Envelope, NodeId};
use sockeye::hub::{Except, History, HistoryConfig, Hub, HubError, Shutdown};
use sockeye::pubsub::{Bus, Memory};
use sockeye::{Message, MessageRef};

use crate::support::cluster::{
    A_WHILE, Member, brokers, config, counts, is_up, meet, node, node_with, pass, telling, until,
    whole,
};
use crate::support::pubsub::SOON;

/// A28, row 72: three nodes: what one says to a room, a user or all comes once to each, also where it was said, and nothing
/// comes back.
#[tokio::test(start_paused = true)]
async fn a28_each_has_exactly_one_copy() {
    let memory = Memory::new();
    let hubs: Vec<Hub> = (0..3).map(|_| node(memory.clone())).collect();
    let mut members = Vec::new();
    for hub in &hubs {
        members.push(Member::of(hub, "ann", "lobby").await);
    }
    meet(&hubs.iter().collect::<Vec<_>>()).await;
    for (number, hub) in hubs.iter().enumerate() {
        hub.room("lobby").broadcast(&*format!("room {number}")).unwrap();
        hub.broadcast(&*format!("all {number}")).unwrap();
        let here = hub.send_to_user("ann", &*format!("user {number}"));
        assert_eq!(here.len(), 1);
        hub.room("attic").broadcast("nobody is there").unwrap();
        pass(A_WHILE).await;
    }
    hubs[1].room("lobby").broadcast("last").unwrap();
    for member in &mut members {
        let mut texts = member.texts_to("last").await;
        texts.sort();
        let kinds = ["all", "room", "user"].into_iter();
        let expected: Vec<_> =
            kinds.flat_map(|kind| (0..3).map(move |n| format!("{kind} {n}"))).collect();
        assert_eq!(texts, expected);
    }
    for hub in &hubs {
        let counts = counts(hub);
        assert_eq!((counts.missed, counts.gaps, counts.repeated, counts.poisoned), (0, 0, 0, 0));
        assert_eq!((counts.is_up, counts.nodes), (true, 2));
    }
}

/// BY-41: messages of one node to one room stay in their order, bytes stay bytes, and each face of the room reaches all.
#[tokio::test(start_paused = true)]
async fn messages_stay_in_order_and_as_they_are() {
    let memory = Memory::new();
    let (here, there) = (node(memory.clone()), node(memory));
    let mut bob = Member::of(&there, "bob", "lobby").await;
    let room = here.room("lobby");
    for number in 0..1000 {
        room.broadcast(&*number.to_string()).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(bob.text().await, number.to_string());
    }
    room.broadcast(MessageRef::Binary(b"\xff\0")).unwrap();
    assert_eq!(bob.message().await, Some(Message::binary(b"\xff\0".to_vec())));
    room.broadcast("").unwrap();
    assert_eq!(bob.text().await, "");
    // What came of it is that of this node, where nobody is.
    assert_eq!(room.broadcast_reported("reported", Except::nobody()).unwrap().await.sent(), 0);
    here.broadcast_reported("to all", Except::nobody()).unwrap().await;
    room.broadcast_here("not for others", Except::nobody()).unwrap();
    room.broadcast_except("last", 1).unwrap();
    let mut texts = [bob.text().await, bob.text().await, bob.text().await];
    // To a room and to all are two orders.
    texts.sort();
    assert_eq!(texts, ["last", "reported", "to all"]);
}

/// BC-02: a number leaves out a connection of this node, a name all connections of a user on all nodes.
#[tokio::test(start_paused = true)]
async fn users_are_left_out_everywhere() {
    let memory = Memory::new();
    let (here, there) = (node(memory.clone()), node(memory));
    let mut members = Vec::new();
    for hub in [&here, &there] {
        for user in ["ann", "bob"] {
            members.push(Member::of(hub, user, "lobby").await);
        }
    }
    let room = here.room("lobby");
    room.broadcast_except("not ann", Except::user("ann")).unwrap();
    room.broadcast_except("nobody", Except::user("ann").and_user("bob")).unwrap();
    room.broadcast_except("not here", vec![members[0].id(), members[1].id()]).unwrap();
    room.broadcast_except("only bob there", Except::from(members[1].id()).and_user("ann")).unwrap();
    here.broadcast_except("all but bob", Except::user("bob")).unwrap();
    pass(A_WHILE).await;
    room.broadcast("last").unwrap();
    let expected = [
        vec!["all but bob"],
        vec!["not ann"],
        vec!["all but bob", "not here"],
        vec!["not ann", "not here", "only bob there"],
    ];
    for (member, expected) in members.iter_mut().zip(expected) {
        let mut texts = member.texts_to("last").await;
        texts.sort();
        assert_eq!(texts, expected);
    }
}

/// A60: without a broker, from the start or later, what is said here is heard here as ever; what waited then is heard there.
#[tokio::test(start_paused = true)]
async fn a60_those_who_are_here_hear_it_whatever_the_broker_does() {
    let brokers = brokers(2);
    brokers[0].set(|faults| faults.is_away = true);
    let (here, there) = (node(brokers[0].clone()), node(brokers[1].clone()));
    let mut ann = Member::new(&here, Some("ann"));
    let room = ann.registration.join("lobby").unwrap();
    let mut bob = Member::of(&there, "bob", "lobby").await;
    room.broadcast("early").unwrap();
    assert_eq!(ann.text().await, "early");
    is_up(&here, false).await;
    assert!(!counts(&here).is_up && !room.subscribed(Duration::from_secs(5)).await);
    brokers[0].set(|faults| faults.is_away = false);
    assert_eq!(bob.text().await, "early");
    assert!(room.subscribed(SOON).await);
    brokers[0].set(|faults| faults.is_away = true);
    brokers[0].cut();
    is_up(&here, false).await;
    for number in 0..10 {
        room.broadcast(&*number.to_string()).unwrap();
        assert_eq!(ann.text().await, number.to_string());
    }
    brokers[0].set(|faults| faults.is_away = false);
    for number in 0..10 {
        assert_eq!(bob.text().await, number.to_string());
    }
    there.room("lobby").broadcast("back").unwrap();
    // The one that was away may not hear yet: at most once.
    assert!(room.subscribed(SOON).await);
    there.room("lobby").broadcast("last").unwrap();
    assert!(ann.texts_to("last").await.len() <= 1);
}

/// BY-41: what is swallowed on the way is missed by its number, and counted.
#[tokio::test(start_paused = true)]
async fn what_is_swallowed_is_missed() {
    let brokers = brokers(2);
    let here = node(brokers[0].clone());
    let (there, gaps) = telling(brokers[1].clone());
    let mut bob = Member::of(&there, "bob", "lobby").await;
    meet(&[&here, &there]).await;
    let say = |text: &str| {
        here.room("lobby").broadcast(text).unwrap();
        here.broadcast(text).unwrap();
        here.send_to_user("bob", text);
    };
    say("1");
    pass(A_WHILE).await;
    brokers[1].set(|faults| faults.swallowed_per_mille = 1000);
    say("2");
    say("3");
    pass(A_WHILE).await;
    brokers[1].set(|faults| faults.swallowed_per_mille = 0);
    assert!(gaps.is_empty());
    say("4");
    for text in ["1", "1", "1", "4", "4", "4"] {
        assert_eq!(bob.text().await, text);
    }
    assert_eq!(gaps.sorted(), ["everybody 2", "room lobby 2", "user bob 2"]);
    let counts = counts(&there);
    assert_eq!((counts.gaps, counts.missed >= 6), (3, true));
}

/// BY-41, A23: what the broker says it lost, a connection that was lost, and what another node could not say, are gaps.
#[tokio::test(start_paused = true)]
async fn every_way_to_lose_is_told() {
    let brokers = brokers(2);
    let mut small = config();
    small.bus.outgoing_messages_max = 4;
    let here = node_with(brokers[0].clone(), small, |hub| hub);
    let (there, gaps) = telling(brokers[1].clone());
    let mut bob = Member::of(&there, "bob", "lobby").await;
    meet(&[&here, &there]).await;
    brokers[1].cut();
    until("a gap", || gaps.take() == ["anywhere"]).await;
    // The last message before a silence: only the node itself knows that it was not taken.
    let room = here.room("lobby");
    brokers[0].set(|faults| faults.is_away = true);
    brokers[0].cut();
    is_up(&here, false).await;
    for number in 0..6 {
        room.broadcast(&*number.to_string()).unwrap();
    }
    assert_eq!(counts(&here).lost_out, 2);
    brokers[0].set(|faults| faults.is_away = false);
    for number in 0..4 {
        assert_eq!(bob.text().await, number.to_string());
    }
    until("a gap", || gaps.take() == ["anywhere"]).await;
    room.broadcast("6").unwrap();
    assert_eq!(bob.text().await, "6");
    assert_eq!(gaps.take(), ["room lobby 2"]);
    assert_eq!(counts(&there).gaps, 3);
}

/// A hook that panics, or speaks itself, harms nothing.
#[tokio::test(start_paused = true)]
async fn a_hook_may_speak_and_panic() {
    let brokers = brokers(2);
    let here = node(brokers[0].clone());
    let config = config().on_gap(|gap| {
        gap.hub.room("lobby").broadcast_here("gap", Except::nobody()).unwrap();
        panic!("on purpose");
    });
    let there = node_with(brokers[1].clone(), config, |hub| hub);
    let mut bob = Member::of(&there, "bob", "lobby").await;
    brokers[1].cut();
    assert_eq!(bob.text().await, "gap");
    here.room("lobby").broadcast("after").unwrap();
    assert_eq!(bob.text().await, "after");
    assert_eq!(there.metrics().handler_panics, 1);
}

/// BY-41, row 74: a node listens to the rooms and users that are there, and to no others any more after a while.
#[tokio::test(start_paused = true)]
async fn a_node_listens_to_what_is_there() {
    let brokers = brokers(1);
    let mut late = config();
    late.bus.unsubscribe_delay = Duration::from_secs(5);
    let hub = node_with(brokers[0].clone(), late, |hub| hub);
    let own = 3;
    for _ in 0..20 {
        let ann = Member::of(&hub, "ann", "lobby").await;
        let other = Member::new(&hub, Some("ann"));
        other.registration.join("lobby").unwrap();
        drop((ann, other));
        pass(A_WHILE).await;
    }
    assert_eq!((counts(&hub).channels, brokers[0].calls().subscribe), (own + 2, 5));
    pass(Duration::from_secs(6)).await;
    assert_eq!((counts(&hub).channels, brokers[0].calls().unsubscribe), (own, 2));
    let guest = Member::new(&hub, None);
    let room = guest.registration.join("lobby").unwrap();
    assert!(room.subscribed(SOON).await);
    assert_eq!(counts(&hub).channels, own + 1);
    guest.registration.leave("lobby");
    assert!(!room.subscribed(A_WHILE).await);
}

/// BY-41: what there is no room for is refused, counted, and harms nothing that is there.
#[tokio::test(start_paused = true)]
async fn channels_are_bounded() {
    let mut small = config();
    small.bus.channels_max = 5;
    let hub = node_with(Memory::new(), small, |hub| hub);
    let mut ann = Member::of(&hub, "ann", "lobby").await;
    let room = ann.registration.join("attic").unwrap();
    assert!(!room.subscribed(A_WHILE).await);
    assert_eq!(counts(&hub).unheard, 1);
    room.broadcast("here").unwrap();
    assert_eq!(ann.text().await, "here");
}

/// A29, row 73: whatever somebody publishes, it is counted and passed over, and what is right goes on.
#[tokio::test(start_paused = true)]
async fn a29_poison_is_counted_and_passed_over() {
    let memory = Memory::new();
    let (here, there) = (node(memory.clone()), node(memory.clone()));
    let mut bob = Member::of(&there, "bob", "lobby").await;
    meet(&[&here, &there]).await;
    let mut large = config().bus;
    large.message_bytes_max = 8 * 1024 * 1024;
    let (foreign, _events) = Bus::start(memory, large);
    let before = counts(&there);
    let message = Body::Message(Carried::new(true, "forged"));
    let of = |number, body| {
        Envelope { node: NodeId::from_bytes([9; 16]), stream: 1, number, body }.encode()
    };
    let mut other_version = of(1, message.clone());
    other_version[0] = 2;
    let mut not_utf8 = of(1, message.clone());
    *not_utf8.last_mut().unwrap() = 0xff;
    let mut cut_off = of(1, Body::Joined("eve".into()));
    cut_off.pop();
    let own = there.cluster().node().unwrap();
    let poison = [
        ("r-lobby", b"not JSON".to_vec()),
        ("r-lobby", Vec::new()),
        ("r-lobby", b"{\"v\":1}\r\n".to_vec()),
        ("r-lobby", other_version),
        ("r-lobby", not_utf8),
        ("r-lobby", cut_off),
        // What is right, where it does not belong.
        ("r-lobby", of(1, Body::Goodbye)),
        ("all", of(1, Body::Joined("eve".into()))),
        ("nodes", of(1, message.clone())),
    ];
    let count = poison.len() as u64;
    for (channel, bytes) in poison {
        foreign.publish(channel, bytes).unwrap();
    }
    foreign.publish("r-lobby", vec![1; 8 * 1024 * 1024]).unwrap();
    // An answer that nobody asked for, and one that was said by ourselves.
    let answer = Body::Answer { id: 7, is_last: true, answer: Default::default() };
    foreign.publish(&format!("n-{own}"), of(1, answer)).unwrap();
    let echo = Envelope { node: own, stream: 1, number: 1, body: message };
    foreign.publish("r-lobby", echo.encode()).unwrap();
    pass(A_WHILE).await;
    here.room("lobby").broadcast("right").unwrap();
    assert_eq!(bob.text().await, "right");
    let after = counts(&there);
    assert_eq!((after.poisoned - before.poisoned, after.lost_in - before.lost_in), (count, 1));
}

/// Row 72: what comes once more, or behind what followed it, is thrown out.
#[tokio::test(start_paused = true)]
async fn what_comes_again_is_thrown_out() {
    let memory = Memory::new();
    let hub = node(memory.clone());
    let mut bob = Member::of(&hub, "bob", "lobby").await;
    let (other, _events) = Bus::start(memory, config().bus);
    for (number, text) in [(1, "1"), (1, "again"), (2, "2"), (1, "late"), (5, "5"), (3, "late")] {
        let body = Body::Message(Carried::new(true, text));
        let node = NodeId::from_bytes([9; 16]);
        other.publish("r-lobby", Envelope { node, stream: 4, number, body }.encode()).unwrap();
    }
    for text in ["1", "2", "5"] {
        assert_eq!(bob.text().await, text);
    }
    pass(A_WHILE).await;
    assert_eq!((counts(&hub).repeated, counts(&hub).missed), (3, 2));
}

/// A29: no more nodes are known than may be, whoever says that it is one.
#[tokio::test(start_paused = true)]
async fn nodes_are_bounded() {
    let memory = Memory::new();
    let mut small = config();
    small.nodes_max = 10;
    let hub = node_with(memory.clone(), small, |hub| hub);
    is_up(&hub, true).await;
    let (other, _events) = Bus::start(memory, config().bus);
    for number in 0..100 {
        let body = Body::Heartbeat { interval_ms: 1000, digest_ms: 1000, lost: 0 };
        let node = NodeId::from_bytes([number; 16]);
        other.publish("nodes", Envelope { node, stream: 1, number: 1, body }.encode()).unwrap();
    }
    until("they are known", || hub.cluster().others().len() == 10).await;
    pass(A_WHILE).await;
    assert_eq!((counts(&hub).nodes, counts(&hub).poisoned), (10, 90));
    // However many are new, they are greeted once.
    assert!(counts(&hub).published < 5);
    pass(Duration::from_secs(10)).await;
    assert_eq!((counts(&hub).nodes, counts(&hub).expired), (0, 10));
}

/// BY-34: what is said to be kept is kept on each node that has members in the room, and only the latest of a key.
#[tokio::test(start_paused = true)]
async fn what_is_kept_is_kept_on_all_nodes() {
    let memory = Memory::new();
    let (here, there) = (node(memory.clone()), node(memory));
    let histories = [&here, &there].map(|hub| History::new(hub, HistoryConfig::default()));
    let mut bob = Member::of(&there, "bob", "lobby").await;
    histories[0].broadcast("lobby", "said").unwrap();
    for price in 1..=3 {
        histories[0].broadcast_latest("lobby", 7, &*price.to_string()).unwrap();
    }
    here.room("lobby").broadcast("not kept").unwrap();
    assert_eq!(bob.texts_to("not kept").await, ["said", "1", "2", "3"]);
    for history in &histories {
        let page = history.before("lobby", None, 10);
        let kept: Vec<_> = page.messages.iter().map(|said| said.message.payload()).collect();
        assert_eq!(kept, [b"said".as_slice(), b"3"]);
    }
}

/// SC-01, SC-04: a hub that is no node answers for itself, with no set-up, and has no metrics of a cluster.
#[tokio::test(start_paused = true)]
async fn one_hub_is_its_own_cluster() {
    let hub = Hub::new();
    let mut ann = Member::of(&hub, "ann", "lobby").await;
    let cluster = hub.cluster();
    assert_eq!((cluster.node(), cluster.others().len()), (None, 0));
    assert!(cluster.state().is_none());
    assert_eq!(whole(cluster.connections(SOON).await), 1);
    let users = whole(cluster.room_users("lobby", SOON).await);
    assert!(users.len() == 1 && users.contains("ann"));
    let closed = cluster.disconnect_user("ann", 4000, "", SOON).await.unwrap();
    assert_eq!((whole(closed), ann.close_code().await), (1, Some(4000)));
    assert!(hub.metrics().cluster.is_none() && !hub.prometheus().contains("cluster"));
}

/// A node's numbers are in its metrics' text.
#[tokio::test(start_paused = true)]
async fn a_node_tells_its_numbers() {
    let memory = Memory::new();
    let (here, there) = (node(memory.clone()), node(memory));
    let earlier = here.metrics();
    meet(&[&here, &there]).await;
    let text = here.prometheus();
    for line in
        ["sockeye_cluster_up 1", "sockeye_cluster_nodes 1", "sockeye_cluster_missed_total 0"]
    {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let change = here.metrics().since(&earlier).cluster.unwrap();
    assert!(change.published > 0 && change.nodes == 1);
}

/// A node has to have a runtime to live in.
#[test]
fn a_node_needs_a_runtime() {
    let built = Hub::builder().cluster(Memory::new(), ClusterConfig::default()).build();
    assert_eq!(built.unwrap_err(), HubError::NoRuntime);
}

/// BY-41: a node that shuts down says goodbye: the others know at once. One that is dropped is missed after three heartbeats.
#[tokio::test(start_paused = true)]
async fn a_node_says_goodbye_or_is_missed() {
    let memory = Memory::new();
    let hubs: Vec<Hub> = (0..3).map(|_| node(memory.clone())).collect();
    meet(&hubs.iter().collect::<Vec<_>>()).await;
    let [one, two, three] = hubs.try_into().unwrap();
    three.shutdown(Shutdown::new(SOON)).await.unwrap();
    pass(A_WHILE).await;
    assert_eq!((counts(&one).nodes, counts(&one).expired), (1, 0));
    // What is left of it serves itself.
    let mut ann = Member::new(&one, None);
    three.broadcast("unheard").unwrap();
    drop(two);
    pass(Duration::from_secs(4)).await;
    assert_eq!(counts(&one).nodes, 1);
    pass(Duration::from_secs(5)).await;
    assert_eq!((counts(&one).nodes, counts(&one).expired), (0, 1));
    one.broadcast("heard").unwrap();
    assert_eq!(ann.text().await, "heard");
}

/// Row 70: while a node itself is cut off it holds the others for there, and finds them again.
#[tokio::test(start_paused = true)]
async fn who_is_cut_off_takes_nobody_for_gone() {
    let brokers = brokers(2);
    let (here, there) = (node(brokers[0].clone()), node(brokers[1].clone()));
    meet(&[&here, &there]).await;
    brokers[0].set(|faults| faults.is_away = true);
    brokers[0].cut();
    pass(Duration::from_secs(60)).await;
    assert_eq!((counts(&here).nodes, counts(&there).nodes), (1, 0));
    brokers[0].set(|faults| faults.is_away = false);
    meet(&[&here, &there]).await;
    assert_eq!(counts(&here).expired, 0);
}

/// Row 73, BY-41: messages of another node for which this one's workers have no room at the moment wait, also where the
/// workers are not half busy, and hold up nothing.
#[tokio::test(start_paused = true)]
async fn what_has_no_room_waits() {
    let memory = Memory::new();
    let here = node(memory.clone());
    let there = node_with(memory, config(), |hub| hub.job_bytes_max(1000));
    let mut bob = Member::of(&there, "bob", "lobby").await;
    meet(&[&here, &there]).await;
    let room = here.room("lobby");
    let lens = [400, 700, 2000, 601, 602];
    for len in lens {
        room.broadcast(&*"x".repeat(len)).unwrap();
    }
    for len in lens {
        assert_eq!(bob.text().await.len(), len);
    }
    assert_eq!(counts(&there).missed, 0);
}

/// A24: a broker that is slow delays, and loses nothing.
#[tokio::test(start_paused = true)]
async fn a_slow_broker_loses_nothing() {
    let brokers = brokers(2);
    brokers.iter().for_each(|broker| broker.set(|faults| faults.delay = Duration::from_millis(20)));
    let (here, there) = (node(brokers[0].clone()), node(brokers[1].clone()));
    let mut bob = Member::of(&there, "bob", "lobby").await;
    for number in 0..500 {
        here.room("lobby").broadcast(&*number.to_string()).unwrap();
    }
    for number in 0..500 {
        assert_eq!(bob.text().await, number.to_string());
    }
    // Ten seconds behind, and nobody was taken for gone for it.
    let counts = counts(&there);
    assert_eq!((counts.missed, counts.gaps, counts.expired, counts.nodes), (0, 0, 0, 1));
}

/// The longest message of a hub reaches all; one that the bus does not take reaches those who are here, and is counted.
#[tokio::test(start_paused = true)]
async fn long_messages() {
    let memory = Memory::new();
    let mut small = config();
    small.bus.message_bytes_max = 1000;
    let (here, there) = (node_with(memory.clone(), small, |hub| hub), node(memory));
    let mut ann = Member::of(&here, "ann", "lobby").await;
    let mut bob = Member::of(&there, "bob", "lobby").await;
    let (fits, long) = ("x".repeat(900), Bytes::from(vec![b'y'; 2000]));
    here.room("lobby").broadcast(&*fits).unwrap();
    here.room("lobby").broadcast(MessageRef::Binary(&long)).unwrap();
    assert_eq!(ann.text().await, fits);
    assert_eq!(ann.message().await, Some(Message::binary(long)));
    assert_eq!(bob.text().await, fits);
    assert_eq!(counts(&here).lost_out, 1);
}
