//! HB-13: every future of a hub can be dropped at every poll.

#![cfg(all(feature = "hub", feature = "pubsub"))]

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use sockeye::hub::{Hub, Profile, Shutdown};
use sockeye::{Role, Sender, Server, WebSocket};
use tokio::io::{DuplexStream, duplex};

use crate::support::cluster::Member;
use crate::support::hub::{HubSite, echo};
use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::{every_poll, polls};

fn sender() -> (Sender, DuplexStream) {
    let (ours, theirs) = duplex(1024);
    let socket = WebSocket::from_stream(ours, Role::Server, &Arc::new(quiet()));
    (socket.sender(), theirs)
}

/// `Room::ready`, `Room::members` and `Room::peers`, with jobs before them: they change nothing, and hold up nobody who waits.
#[tokio::test]
async fn rooms() {
    every_poll(1, async |count| {
        let hub = Hub::new();
        let ann = Member::new(&hub, Some("ann"));
        let room = ann.registration.join("lobby").unwrap();
        let mut is_dropped = false;
        for _ in 0..50 {
            for _ in 0..100 {
                within(room.ready()).await;
                room.broadcast("").unwrap();
            }
            is_dropped |= polls(room.ready(), count).await.is_none();
            is_dropped |= polls(room.members(), count).await.is_none();
            is_dropped |= polls(room.peers(), count).await.is_none();
        }
        assert_eq!(within(room.members()).await, [ann.id()]);
        let peers = within(room.peers()).await;
        assert!(peers.len() == 1 && peers[0].id() == ann.id(), "dropped after {count} polls");
        is_dropped
    })
    .await;
}

/// `Hub::shutdown`: nobody comes in any more, and the next one does what is left.
#[tokio::test]
async fn shutdown() {
    every_poll(1, async |count| {
        let hub = Hub::new();
        let mut ann = Member::new(&hub, Some("ann"));
        ann.registration.join("lobby").unwrap();
        let leaving = tokio::spawn(async move { ann.close_code().await });
        let first = polls(hub.shutdown(Shutdown::new(Duration::from_secs(5))), count).await;
        let (newcomer, _peer) = sender();
        assert_eq!(hub.register(&newcomer, Profile::new()).is_err(), count > 0);
        let is_dropped = first.is_none();
        let report = match first {
            Some(report) => report.unwrap(),
            None => within(hub.shutdown(Shutdown::new(Duration::from_secs(5)))).await.unwrap(),
        };
        assert_eq!((report.left, report.lost_messages), (0, 0), "{report:?}");
        assert_eq!(leaving.await.unwrap(), Some(1001), "dropped after {count} polls");
        assert!(hub.is_empty());
        is_dropped
    })
    .await;
}

/// `Hub::serve_until`: its connections end with it, and its address is free.
#[tokio::test]
async fn serve_until() {
    for count in 0..2 {
        let server = within(Server::bind("127.0.0.1:0")).await.unwrap();
        let address = server.local_addr().unwrap();
        let hub = Hub::new();
        let client = tokio::spawn(async move {
            let mut client = sockeye::connect(&format!("ws://{address}/")).await?;
            client.recv().await
        });
        let serving = hub.serve_until(server, echo(), pending());
        assert!(within(polls(serving, count)).await.is_none());
        within(client).await.unwrap().ok();
        within(Server::bind(address)).await.unwrap();
    }
    // And with one that is served.
    let site = HubSite::start(Hub::new(), echo()).await;
    let mut healthy = site.healthy("/").await;
    let hub = site.hub.clone();
    site.abort().await;
    while let Ok(Some(_)) = within(healthy.socket.recv()).await {}
    let is_empty = async {
        while !hub.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(is_empty).await;
}
