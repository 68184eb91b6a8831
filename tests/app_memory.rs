//! What an event costs in allocations, on its way in and on its way out.
//!
//! One test, for the counters are those of the whole process.

#![cfg(feature = "app")]

#[path = "support/heap.rs"]
mod heap;
mod support;

use serde::Deserialize;
use serde_json::json;
use sockeye::Message;
use sockeye::app::event::Codec;
use sockeye::app::{App, Context};

use heap::Heap;
use support::app::AppSite;

#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Step {
    x: i32,
    y: i32,
}

/// How many allocations it takes to send these and to hear of the last.
async fn allocations(heap: &mut Heap, site: &AppSite, event: &str, events: usize) -> usize {
    let mut client = site.connect("/ws").await;
    let text = json!({"v": "1.0", "e": event, "p": {"x": 1, "y": -2}, "c": "c1"}).to_string();
    let last = Message::text(json!({"v": "1.0", "e": "last", "p": {}}).to_string());
    client.send("join", json!({})).await;
    for _ in 0..2 {
        // The first round fills buffers that are kept.
        heap.begin();
        for _ in 0..events {
            client.socket.feed_ref(&*text).unwrap();
        }
        client.socket.feed(last.clone()).unwrap();
        client.socket.flush().await.unwrap();
        while !client
            .socket
            .recv_ref()
            .await
            .unwrap()
            .unwrap()
            .as_text()
            .unwrap()
            .contains("last.ack")
        {}
    }
    heap.allocated().0
}

/// BY-35: reading an event allocates nothing, and handling one allocates its future: once. One that is sent, to its
/// own client or to a room, is its text and the few that lead it to its outbox.
#[tokio::test]
async fn an_event_costs_one_allocation() {
    let mut heap = Heap::turn().await;
    for (codec, text) in [
        (Codec::Envelope, r#"{"v":"1.0","e":"step","p":{"x":1,"y":2},"c":"c1","t":17}"#),
        (Codec::Tagged, r#"{"type":"step","requestId":"c1","x":1,"y":2}"#),
    ] {
        // Of three: while the first one runs, the harness may still note that it began a test.
        let least = (0..3).map(|_| {
            heap.begin();
            let event = codec.parse(text).unwrap();
            let step: Step = event.payload().unwrap();
            assert_eq!((step.x, event.name(), event.correlation_id()), (1, "step", Some("c1")));
            heap.allocated().0
        });
        assert_eq!(least.min(), Some(0), "{codec:?}");
    }

    let app = App::new()
        .on("step", async |_: Context, _: Step| ())
        .on("join", async |context: Context, _: serde_json::Value| {
            context.join("lobby").unwrap();
        })
        .on("answer", async |context: Context, _: Step| {
            context.send("moved", &json!(null)).unwrap();
        })
        .on("tell", async |context: Context, _: Step| {
            context.to_room("lobby").send("moved", &json!(null)).unwrap();
        })
        .on("last", async |_: Context, _: serde_json::Value| json!({}));
    let site = AppSite::start(app).await;
    let few = allocations(&mut heap, &site, "step", 100).await;
    let many = allocations(&mut heap, &site, "step", 1100).await;
    let extra = many.saturating_sub(few);
    println!("1,000 events more: {extra} allocations");
    // Every sixteenth is acknowledged, which costs three or four.
    assert!((1000..=1000 + 1000 / 16 * 5).contains(&extra), "{extra} allocations");
    // So many more for each that is sent: its text, and what takes it to the outbox, or to the room and from there.
    for (event, more) in [("answer", 3), ("tell", 5)] {
        let few = allocations(&mut heap, &site, event, 100).await;
        let many = allocations(&mut heap, &site, event, 1100).await;
        let sent = many.saturating_sub(few).saturating_sub(extra);
        println!("1,000 events more that {event}: {sent} allocations more");
        assert!(sent <= 1000 * more + 100, "{event}: {sent} allocations");
    }
}
