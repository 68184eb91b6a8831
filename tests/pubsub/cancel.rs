//! BY-41: every future of a bus can be dropped at every poll.

#![cfg(feature = "pubsub")]

use std::time::Duration;

use sockeye::pubsub::{Bus, Incoming, Memory};

use crate::support::pubsub::{SOON, config, is_up, listening};
use crate::support::server::within;
use crate::support::streams::{every_poll, polls};

/// `BusEvents::next`: nothing is lost or doubled.
#[tokio::test(start_paused = true)]
async fn next() {
    every_poll(1, async |count| {
        let memory = Memory::new();
        let (_hearing, mut events) = listening(memory.clone(), config(), &["a"]).await;
        let (bus, _events) = Bus::start(memory, config());
        is_up(&bus).await;
        let saying = tokio::spawn(async move {
            for n in 0..20_u8 {
                bus.publish("a", vec![n]).unwrap();
                tokio::task::yield_now().await;
            }
            bus
        });
        let mut is_dropped = false;
        for n in 0..20_u8 {
            let next = match polls(events.next(), count).await {
                Some(next) => next,
                None => {
                    is_dropped = true;
                    within(events.next()).await
                }
            };
            let Some(Incoming::Message(message)) = next else { panic!("{next:?}") };
            assert_eq!(message.payload[..], [n], "dropped after {count} polls");
        }
        saying.await.unwrap();
        is_dropped
    })
    .await;
}

/// `Bus::subscribed`: it only looks.
#[tokio::test(start_paused = true)]
async fn subscribed() {
    every_poll(1, async |count| {
        let (bus, _events) = Bus::start(Memory::new(), config());
        bus.subscribe("a").unwrap();
        let first = polls(bus.subscribed("a", SOON), count).await;
        assert!(within(bus.subscribed("a", SOON)).await && first != Some(false));
        first.is_none()
    })
    .await;
}

/// `Bus::close`: once polled it ends, and what waits is published; before nothing has happened.
#[tokio::test(start_paused = true)]
async fn close() {
    every_poll(1, async |count| {
        let memory = Memory::new();
        let (_hearing, mut heard) = listening(memory.clone(), config(), &["a"]).await;
        let (bus, mut events) = Bus::start(memory, config());
        is_up(&bus).await;
        bus.publish("a", "last").unwrap();
        let closed = polls(bus.close(), count).await;
        let Some(Incoming::Message(message)) = within(heard.next()).await else {
            panic!("nothing came");
        };
        assert_eq!(message.payload, "last", "dropped after {count} polls");
        if count == 0 {
            bus.publish("a", "more").unwrap();
            assert!(tokio::time::timeout(Duration::from_secs(1), events.next()).await.is_err());
            return true;
        }
        assert!(within(events.next()).await.is_none());
        assert!(bus.publish("a", "more").is_err());
        closed.is_none()
    })
    .await;
}
