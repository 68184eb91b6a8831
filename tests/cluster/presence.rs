//! Floor 9: who is in a room, over all nodes.

#![cfg(all(feature = "hub", feature = "pubsub"))]

use std::time::Duration;

use sockeye::hub::{Hub, Room, Shutdown};
use sockeye::pubsub::Memory;

use crate::support::cluster::{
    A_WHILE, Member, brokers, config, counts, is_up, meet, node_with, pass, until, watching,
};
use sockeye::testing::FaultyBroker;

fn users(room: &Room) -> Vec<String> {
    room.users().iter().map(ToString::to_string).collect()
}

async fn sees(hub: &Hub, room: &str, expected: &[&str]) {
    let room = hub.room(room);
    until(&format!("{expected:?} are seen"), || users(&room) == expected).await;
}

/// BY-33: a user is there with any connection on any node: the first that comes and the last that goes are told on every node
/// with members in the room, and each sees the same users.
#[tokio::test(start_paused = true)]
async fn the_first_and_the_last_connection_on_any_node_are_told() {
    let memory = Memory::new();
    let (here, told_here) = watching(memory.clone(), config());
    let (there, told_there) = watching(memory, config());
    let ann = Member::of(&here, "ann", "lobby").await;
    let bob = Member::of(&there, "bob", "lobby").await;
    sees(&here, "lobby", &["ann", "bob"]).await;
    sees(&there, "lobby", &["ann", "bob"]).await;
    assert_eq!(told_here.take(), ["+ann lobby", "+bob lobby"]);
    assert_eq!(told_there.sorted(), ["+ann lobby", "+bob lobby"]);
    // The same user once more on the other node, and here: nobody is told.
    let again = [Member::of(&there, "ann", "lobby").await, Member::of(&here, "ann", "lobby").await];
    pass(A_WHILE).await;
    drop(ann);
    pass(A_WHILE).await;
    let [ann_there, ann_here] = again;
    pass(A_WHILE).await;
    assert!(told_here.is_empty() && told_there.is_empty());
    // Nobody is there any more: that node looks away, and nothing has changed for the other.
    drop(ann_here);
    sees(&here, "lobby", &[]).await;
    until("they are out of sight", || told_here.sorted() == ["-ann lobby", "-bob lobby"]).await;
    assert!(told_there.is_empty());
    drop(ann_there);
    until("ann has left", || told_there.take() == ["-ann lobby"]).await;
    drop(bob);
    assert_eq!(told_there.take(), ["-bob lobby"]);
}

/// BY-33: whoever comes to a room on a node where nobody was sees who is there elsewhere, however many they are.
#[tokio::test(start_paused = true)]
async fn who_comes_late_sees_all() {
    let memory = Memory::new();
    let (here, _told) = watching(memory.clone(), config());
    let (there, told) = watching(memory, config());
    let names: Vec<_> = (0..9000).map(|number| format!("user {number:05}")).collect();
    let mut members = Vec::new();
    for name in &names {
        let member = Member::new(&here, Some(name));
        member.registration.join("lobby").unwrap();
        members.push(member);
    }
    let _bob = Member::of(&there, "bob", "lobby").await;
    let mut expected: Vec<_> = names.iter().map(String::as_str).collect();
    expected.insert(0, "bob");
    sees(&there, "lobby", &expected).await;
    assert_eq!(told.take().len(), 9001);
    members.truncate(1);
    sees(&there, "lobby", &["bob", "user 00000"]).await;
}

/// BY-33: a node that falls silent takes its members with it, after three heartbeats; one that ends, at once; others stay.
#[tokio::test(start_paused = true)]
async fn members_of_a_node_that_dies_leave() {
    let brokers = brokers(3);
    let (here, told) = watching(brokers[0].clone(), config());
    let (dying, _) = watching(brokers[1].clone(), config());
    let (ending, _) = watching(brokers[2].clone(), config());
    let _ann = Member::of(&here, "ann", "lobby").await;
    let _bob = Member::of(&dying, "bob", "lobby").await;
    let _cid = Member::of(&ending, "cid", "lobby").await;
    let _both = [Member::of(&dying, "dan", "lobby").await, Member::of(&here, "dan", "lobby").await];
    sees(&here, "lobby", &["ann", "bob", "cid", "dan"]).await;
    told.take();
    ending.shutdown(Shutdown::new(Duration::from_secs(1))).await.unwrap();
    pass(A_WHILE).await;
    assert_eq!(told.take(), ["-cid lobby"]);
    cut_off(&brokers[1]);
    pass(Duration::from_secs(4)).await;
    assert!(told.is_empty());
    pass(Duration::from_secs(5)).await;
    assert_eq!(told.take(), ["-bob lobby"]);
    assert_eq!(users(&here.room("lobby")), ["ann", "dan"]);
    assert_eq!(counts(&here).expired, 1);
    // It was only away, and is back.
    brokers[1].set(|faults| faults.is_away = false);
    sees(&here, "lobby", &["ann", "bob", "dan"]).await;
    sees(&dying, "lobby", &["ann", "bob", "dan"]).await;
    assert_eq!(told.take(), ["+bob lobby"]);
}

fn cut_off(broker: &FaultyBroker<Memory>) {
    broker.set(|faults| faults.is_away = true);
    broker.cut();
}

/// BY-33: connections to the broker that are lost for a short time change nothing that is seen.
#[tokio::test(start_paused = true)]
async fn a_short_gap_changes_nothing() {
    let brokers = brokers(2);
    let (here, told) = watching(brokers[0].clone(), config());
    let (there, told_there) = watching(brokers[1].clone(), config());
    let _ann = Member::of(&here, "ann", "lobby").await;
    let _bob = Member::of(&there, "bob", "lobby").await;
    meet(&[&here, &there]).await;
    sees(&here, "lobby", &["ann", "bob"]).await;
    sees(&there, "lobby", &["ann", "bob"]).await;
    told.take();
    told_there.take();
    for number in 0..10 {
        cut_off(&brokers[number % 2]);
        pass(Duration::from_secs(2)).await;
        brokers[number % 2].set(|faults| faults.is_away = false);
        is_up(&here, true).await;
        is_up(&there, true).await;
        pass(Duration::from_secs(3)).await;
    }
    assert!(told.is_empty() && told_there.is_empty());
    assert_eq!((counts(&here).expired, counts(&there).expired), (0, 0));
}

/// BY-33: what is swallowed without a word is made good by the next digest, in both directions.
#[tokio::test(start_paused = true)]
async fn what_is_swallowed_is_made_good() {
    let brokers = brokers(2);
    let (here, _) = watching(brokers[0].clone(), config());
    let (there, told) = watching(brokers[1].clone(), config());
    let _ann = Member::of(&here, "ann", "lobby").await;
    let _bob = Member::of(&there, "bob", "lobby").await;
    sees(&there, "lobby", &["ann", "bob"]).await;
    told.take();
    brokers[1].set(|faults| faults.swallowed_per_mille = 1000);
    let cid = Member::of(&here, "cid", "lobby").await;
    pass(A_WHILE).await;
    brokers[1].set(|faults| faults.swallowed_per_mille = 0);
    assert!(told.is_empty());
    pass(Duration::from_secs(35)).await;
    assert_eq!(told.take(), ["+cid lobby"]);
    brokers[1].set(|faults| faults.swallowed_per_mille = 1000);
    drop(cid);
    pass(A_WHILE).await;
    brokers[1].set(|faults| faults.swallowed_per_mille = 0);
    pass(Duration::from_secs(35)).await;
    assert_eq!(told.take(), ["-cid lobby"]);
}

/// BY-33: what changed while a node was cut off is seen when it is back, and nothing else is told.
#[tokio::test(start_paused = true)]
async fn what_changed_meanwhile_is_seen() {
    let brokers = brokers(2);
    let (here, _) = watching(brokers[0].clone(), config());
    let (there, told) = watching(brokers[1].clone(), config());
    let ann = Member::of(&here, "ann", "lobby").await;
    let _cid = Member::of(&here, "cid", "lobby").await;
    let _dan = Member::of(&there, "dan", "lobby").await;
    sees(&there, "lobby", &["ann", "cid", "dan"]).await;
    told.take();
    cut_off(&brokers[1]);
    drop(ann);
    let _bob = Member::of(&here, "bob", "lobby").await;
    pass(Duration::from_secs(60)).await;
    assert!(told.is_empty());
    brokers[1].set(|faults| faults.is_away = false);
    sees(&there, "lobby", &["bob", "cid", "dan"]).await;
    assert_eq!(told.sorted(), ["+bob lobby", "-ann lobby"]);
    sees(&here, "lobby", &["bob", "cid", "dan"]).await;
}

/// BY-33: users of other nodes are bounded, and the count of them is right whatever comes and goes.
#[tokio::test(start_paused = true)]
async fn users_elsewhere_are_bounded() {
    let memory = Memory::new();
    let mut small = config();
    small.presence_max = 2;
    let (here, _) = watching(memory.clone(), small);
    let (there, _) = watching(memory, config());
    let _ann = Member::of(&here, "ann", "lobby").await;
    for _ in 0..5 {
        let mut members = Vec::new();
        for name in ["bob", "cid", "dan"] {
            members.push(Member::of(&there, name, "lobby").await);
        }
        let room = here.room("lobby");
        until("as many as may be are seen", || users(&room).len() == 3).await;
        pass(A_WHILE).await;
        assert_eq!(users(&room).len(), 3);
        drop(members);
        sees(&here, "lobby", &["ann"]).await;
    }
}

/// BY-33: presence costs one short message a room and node in its interval while nothing happens.
#[tokio::test(start_paused = true)]
async fn while_nothing_happens_it_costs_a_digest() {
    let brokers = brokers(2);
    let mut quick = config();
    quick.heartbeat_interval = Duration::from_secs(10);
    let (here, _) = watching(brokers[0].clone(), quick.clone());
    let there = node_with(brokers[1].clone(), quick, |hub| hub);
    let ann = Member::new(&here, Some("ann"));
    for room in 0..50 {
        ann.registration.join(&format!("room {room}")).unwrap();
    }
    meet(&[&here, &there]).await;
    pass(Duration::from_secs(60)).await;
    let before = brokers[0].calls().published;
    pass(Duration::from_secs(300)).await;
    let said = brokers[0].calls().published - before;
    // 30 heartbeats, and 50 digests in each of the 10 half minutes.
    assert!((500..=550).contains(&said), "{said}");
    // A node that does not look after presence says nothing of it.
    assert!(brokers[1].calls().published <= 40);
}

/// BY-33: the last words of a node that has nobody in the room any more are lost without a word: those who were there are gone
/// when nobody confirms them, by the clock of this node.
#[tokio::test(start_paused = true)]
async fn last_words_that_are_lost_are_made_good() {
    let brokers = brokers(2);
    let (here, _) = watching(brokers[0].clone(), config());
    let (there, told) = watching(brokers[1].clone(), config());
    let ann = Member::of(&here, "ann", "lobby").await;
    let _bob = Member::of(&there, "bob", "lobby").await;
    sees(&there, "lobby", &["ann", "bob"]).await;
    // Long enough for some to be confirmed, and they stay.
    pass(Duration::from_secs(300)).await;
    assert_eq!(told.sorted(), ["+ann lobby", "+bob lobby"]);
    brokers[1].set(|faults| faults.swallowed_per_mille = 1000);
    drop(ann);
    pass(A_WHILE).await;
    brokers[1].set(|faults| faults.swallowed_per_mille = 0);
    pass(Duration::from_secs(100)).await;
    assert_eq!(told.take(), ["-ann lobby"]);
}
