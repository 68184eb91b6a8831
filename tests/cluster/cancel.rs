//! BY-43: every question to all nodes can be dropped at every poll. What only asks changes nothing; what does something does it.

#![cfg(all(feature = "hub", feature = "pubsub"))]

use std::time::Duration;

use sockeye::hub::Hub;
use sockeye::pubsub::Memory;

use crate::support::cluster::{Member, meet, node, whole};
use crate::support::pubsub::SOON;
use crate::support::streams::{every_poll, polls};

/// Two nodes that know each other, with a member of the lobby each.
async fn two() -> ([Hub; 2], [Member; 2]) {
    let memory = Memory::new();
    let hubs = [(); 2].map(|()| node(memory.clone()));
    meet(&[&hubs[0], &hubs[1]]).await;
    let ann = Member::of(&hubs[0], "ann", "lobby").await;
    let bob = Member::of(&hubs[1], "bob", "lobby").await;
    (hubs, [ann, bob])
}

/// `Cluster::connections`, `room_members`, `room_users`, `user_connections` and `Room::subscribed`.
#[tokio::test(start_paused = true)]
async fn what_only_asks() {
    every_poll(1, async |count| {
        let (hubs, _members) = two().await;
        let cluster = hubs[0].cluster();
        let mut is_dropped = polls(cluster.connections(SOON), count).await.is_none();
        is_dropped |= polls(cluster.room_members("lobby", SOON), count).await.is_none();
        is_dropped |= polls(cluster.room_users("lobby", SOON), count).await.is_none();
        is_dropped |= polls(cluster.user_connections("bob", SOON), count).await.is_none();
        is_dropped |= polls(hubs[0].room("lobby").subscribed(SOON), count).await.is_none();
        assert_eq!(whole(cluster.connections(SOON).await), 2, "dropped after {count} polls");
        assert_eq!(whole(cluster.room_members("lobby", SOON).await), 2);
        assert_eq!(whole(cluster.room_users("lobby", SOON).await).len(), 2);
        assert_eq!(whole(cluster.user_connections("bob", SOON).await), 1);
        assert!(hubs[0].room("lobby").subscribed(SOON).await);
        is_dropped
    })
    .await;
}

/// `Cluster::disconnect_user`: once polled it is done; before nothing has happened.
#[tokio::test(start_paused = true)]
async fn disconnect() {
    every_poll(1, async |count| {
        let (hubs, [mut ann, mut bob]) = two().await;
        let cluster = hubs[0].cluster();
        let asked = polls(cluster.disconnect_user("bob", 4003, "", SOON), count).await;
        if count == 0 {
            hubs[1].room("lobby").broadcast("still here").unwrap();
            assert_eq!(bob.text().await, "still here");
            return true;
        }
        assert_eq!(bob.close_code().await, Some(4003), "dropped after {count} polls");
        hubs[1].room("lobby").broadcast("alone").unwrap();
        assert_eq!(ann.text().await, "alone");
        asked.is_none()
    })
    .await;
}

/// `Cluster::move_members`: as well.
#[tokio::test(start_paused = true)]
async fn moving() {
    every_poll(1, async |count| {
        let (hubs, mut members) = two().await;
        let cluster = hubs[0].cluster();
        let asked = polls(cluster.move_members("lobby", "attic", SOON), count).await;
        let room = if count == 0 { "lobby" } else { "attic" };
        let moved = async {
            while whole(cluster.room_members(room, SOON).await) != 2 {
                tokio::time::advance(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, moved).await.unwrap();
        for hub in &hubs {
            assert!(hub.room(room).subscribed(SOON).await);
        }
        hubs[1].room(room).broadcast("here").unwrap();
        for member in &mut members {
            assert_eq!(member.text().await, "here", "dropped after {count} polls");
        }
        asked.is_none()
    })
    .await;
}
