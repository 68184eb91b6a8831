//! Floor 9: what all nodes are asked.

#![cfg(all(feature = "hub", feature = "pubsub"))]

use std::time::Duration;

use sockeye::hub::Hub;
use sockeye::hub::cluster::NodeId;
use sockeye::pubsub::{Bus, Memory};
use tokio::time::Instant;

use crate::support::cluster::{
    Member, brokers, config, counts, is_up, meet, node, node_with, pass, until, whole,
};
use crate::support::pubsub::SOON;

/// Three nodes that know each other.
async fn three(memory: &Memory) -> [Hub; 3] {
    let hubs = [(); 3].map(|()| node(memory.clone()));
    meet(&[&hubs[0], &hubs[1], &hubs[2]]).await;
    hubs
}

/// BY-43: connections, members and users of a room, and the connections of a user, on all nodes.
#[tokio::test(start_paused = true)]
async fn all_nodes_are_counted() {
    let hubs = three(&Memory::new()).await;
    let mut members = Vec::new();
    for (node, user) in [(0, "ann"), (0, "bob"), (1, "ann"), (2, "cid"), (2, "cid")] {
        members.push(Member::of(&hubs[node], user, "lobby").await);
    }
    let guest = Member::new(&hubs[1], None);
    guest.registration.join("lobby").unwrap();
    for hub in &hubs {
        let cluster = hub.cluster();
        let connections = cluster.connections(SOON).await;
        assert_eq!((connections.answered, whole(connections)), (3, 6));
        assert_eq!(whole(cluster.room_members("lobby", SOON).await), 6);
        assert_eq!(whole(cluster.room_members("attic", SOON).await), 0);
        let users = whole(cluster.room_users("lobby", SOON).await);
        assert_eq!(users.iter().map(|user| &**user).collect::<Vec<_>>(), ["ann", "bob", "cid"]);
        let of = async |user| whole(cluster.user_connections(user, SOON).await);
        assert_eq!((of("ann").await, of("cid").await, of("eve").await), (2, 2, 0));
    }
}

/// BY-43: the time is that of this node, too: what its workers have not told by then is missing.
#[tokio::test(start_paused = true)]
async fn a_node_may_be_late_for_itself() {
    let hub = node(Memory::new());
    let _ann = Member::of(&hub, "ann", "lobby").await;
    let cluster = hub.cluster();
    // What is known without a worker is there at once.
    assert_eq!(whole(cluster.connections(Duration::ZERO).await), 1);
    let late = cluster.room_users("lobby", Duration::ZERO).await;
    assert_eq!((late.is_complete(), late.answered, late.missing.len()), (false, 0, 1));
    assert_eq!(whole(cluster.room_users("lobby", SOON).await).len(), 1);
    let alone = Hub::new();
    let late = alone.cluster().room_users("lobby", Duration::ZERO).await;
    assert!(late.is_complete(), "a room that is not there has no worker: {late:?}");
    let _bob = Member::of(&alone, "bob", "lobby").await;
    let late = alone.cluster().room_users("lobby", Duration::ZERO).await;
    assert_eq!((late.is_complete(), late.answered, late.missing.len()), (false, 0, 0));
}

/// BY-43: a user is disconnected everywhere, with code and reason, behind what was said to it; nobody else is.
#[tokio::test(start_paused = true)]
async fn a_user_is_disconnected_everywhere() {
    let hubs = three(&Memory::new()).await;
    let mut anns = Vec::new();
    for hub in &hubs {
        anns.push(Member::of(hub, "ann", "lobby").await);
    }
    let mut bob = Member::of(&hubs[1], "bob", "lobby").await;
    let cluster = hubs[0].cluster();
    assert!(cluster.disconnect_user("ann", 1005, "", SOON).await.is_err());
    assert!(cluster.disconnect_user("ann", 4001, &"x".repeat(124), SOON).await.is_err());
    let closed = cluster.disconnect_user("ann", 4003, "removed", SOON).await.unwrap();
    assert_eq!(whole(closed), 3);
    for ann in &mut anns {
        assert_eq!(ann.close_code().await, Some(4003));
    }
    hubs[0].room("lobby").broadcast("still there").unwrap();
    assert_eq!(bob.text().await, "still there");
}

/// BY-43: members move from one room to another, as far as they may.
#[tokio::test(start_paused = true)]
async fn members_move() {
    let memory = Memory::new();
    let open = node(memory.clone());
    let strict = node_with(memory, config(), |hub| {
        hub.on_join(|peer, room| room != "attic" || peer.user() != Some("eve"))
    });
    meet(&[&open, &strict]).await;
    let mut ann = Member::of(&open, "ann", "lobby").await;
    let mut bob = Member::of(&strict, "bob", "lobby").await;
    let mut eve = Member::of(&strict, "eve", "lobby").await;
    let moved = whole(open.cluster().move_members("lobby", "attic", SOON).await);
    assert_eq!((moved.moved, moved.refused), (2, 1));
    assert!(strict.room("attic").subscribed(SOON).await);
    open.room("attic").broadcast("attic").unwrap();
    open.room("lobby").broadcast("lobby").unwrap();
    let heard = [ann.text().await, bob.text().await, eve.text().await];
    assert_eq!(heard, ["attic", "attic", "lobby"]);
    let counts = async |room| whole(strict.cluster().room_members(room, SOON).await);
    assert_eq!((counts("lobby").await, counts("attic").await), (1, 2));
    // Into itself nobody moves.
    let moved = whole(open.cluster().move_members("attic", "attic", SOON).await);
    assert_eq!((moved.moved, moved.refused, counts("attic").await), (0, 2, 2));
}

/// BY-43: who does not answer in time is named, and what the others say counts; who is gone is not waited for.
#[tokio::test(start_paused = true)]
async fn partial_answers_are_marked() {
    let brokers = brokers(3);
    let hubs: Vec<Hub> = brokers.iter().map(|broker| node(broker.clone())).collect();
    meet(&hubs.iter().collect::<Vec<_>>()).await;
    let _members =
        [Member::of(&hubs[0], "ann", "lobby").await, Member::of(&hubs[1], "bob", "lobby").await];
    let cluster = hubs[0].cluster();
    let third = hubs[2].cluster().node().unwrap();
    brokers[2].set(|faults| faults.is_paused = true);
    let start = Instant::now();
    let members = cluster.room_members("lobby", Duration::from_secs(1)).await;
    assert_eq!((members.value, members.answered), (2, 2));
    assert_eq!((&*members.missing, members.is_complete()), (&[third][..], false));
    assert_eq!(start.elapsed().as_secs(), 1);
    // It expires while it is waited for: it is missing, and nobody waits for longer.
    let start = Instant::now();
    let members = cluster.room_members("lobby", Duration::from_secs(60)).await;
    assert_eq!((members.value, members.missing), (2, vec![third]));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    // From then on it is not one of them.
    assert_eq!(whole(cluster.room_members("lobby", SOON).await), 2);
    // Nobody is reached from a node that is cut off.
    brokers[0].set(|faults| faults.is_away = true);
    brokers[0].cut();
    is_up(&hubs[0], false).await;
    let members = cluster.room_members("lobby", Duration::from_millis(100)).await;
    assert_eq!((members.value, members.missing.len()), (1, 1));
}

/// BY-43: answers that are longer than a message come in parts; one that is too long is none.
#[tokio::test(start_paused = true)]
async fn long_answers_come_in_parts() {
    let memory = Memory::new();
    let mut small = config();
    small.answer_bytes_max = 1000;
    let (here, there) = (node(memory.clone()), node(memory.clone()));
    let little = node_with(memory, small, |hub| hub);
    meet(&[&here, &there, &little]).await;
    let mut members = Vec::new();
    for number in 0..5000 {
        let member = Member::new(&there, Some(&format!("{number:0100}")));
        member.registration.join("lobby").unwrap();
        members.push(member);
    }
    let users = whole(here.cluster().room_users("lobby", SOON).await);
    assert_eq!(users.len(), 5000);
    let users = little.cluster().room_users("lobby", SOON).await;
    assert_eq!((users.value.len(), users.missing), (0, vec![there.cluster().node().unwrap()]));
}

/// BY-43, A29: open questions are bounded both ways; a future that is dropped leaves nothing open.
#[tokio::test(start_paused = true)]
async fn questions_are_bounded() {
    let brokers = brokers(2);
    let mut small = config();
    small.questions_max = 2;
    let (here, there) = (node_with(brokers[0].clone(), small, |hub| hub), node(brokers[1].clone()));
    meet(&[&here, &there]).await;
    brokers[1].set(|faults| faults.is_paused = true);
    let cluster = here.cluster();
    let ask = || cluster.connections(Duration::from_secs(1));
    let start = Instant::now();
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    assert_eq!([&one, &two, &three].map(|asked| asked.missing.len()), [1, 1, 1]);
    assert_eq!(start.elapsed().as_secs(), 1);
    for _ in 0..10 {
        let asked = tokio::time::timeout(Duration::from_millis(1), cluster.connections(SOON)).await;
        assert!(asked.is_err());
    }
    brokers[1].set(|faults| faults.is_paused = false);
    until("it is there", || here.cluster().others().len() == 1).await;
    assert!(whole(cluster.connections(SOON).await) == 0);
}

/// A29: a flood of questions is answered as far as may be at a time, and the node goes on.
#[tokio::test(start_paused = true)]
async fn a_flood_of_questions_harms_nobody() {
    use sockeye::hub::cluster::{Body, Envelope, Question};

    let memory = Memory::new();
    let hub = node(memory.clone());
    is_up(&hub, true).await;
    let mut ann = Member::of(&hub, "ann", "lobby").await;
    let (other, _events) = Bus::start(memory, config().bus);
    for number in 1..=10_000 {
        let body = Body::Question { id: number, question: Question::Users("lobby".into()) };
        let node = NodeId::from_bytes([9; 16]);
        other.publish("nodes", Envelope { node, stream: 1, number, body }.encode()).unwrap();
    }
    pass(SOON).await;
    hub.room("lobby").broadcast("well").unwrap();
    assert_eq!(ann.text().await, "well");
    assert!(counts(&hub).published >= 64);
}
