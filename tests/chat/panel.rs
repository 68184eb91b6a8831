//! The metrics panel.

use serde_json::{Value, json};

use super::program::{Chat, PATIENCE, Person};

impl Person {
    pub(crate) async fn watch(&mut self, is_on: bool) {
        self.send("metrics.watch", json!({"on": is_on})).await;
    }

    /// The next numbers; other messages are passed over.
    async fn numbers(&mut self) -> Value {
        loop {
            let event = self.event().await;
            if event["e"] == "metrics" {
                return event["p"].clone();
            }
        }
    }

    /// The first numbers that fit; they come once a second.
    pub(crate) async fn numbers_that(&mut self, fit: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..PATIENCE.as_secs() {
            last = self.numbers().await;
            if fit(&last) {
                return last;
            }
        }
        panic!("{last}");
    }
}

/// MT-01, EX-13: whoever opened the panel is sent the hub's numbers, and they move.
#[tokio::test]
async fn the_panel_shows_what_happens() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    ann.watch(true).await;
    // The first may have been counted a moment before she came.
    let is_here = |numbers: &Value| numbers["connections"] == 1 && numbers["rooms"] == 1;
    let first = ann.numbers_that(is_here).await;
    assert_eq!((&first["dropped"], &first["closed"]), (&json!(0), &json!({})));
    let mut bob = chat.join("rust", "Bob", 1).await;
    for name in ["messages_in", "bytes_in", "messages_out", "bytes_out"] {
        // Only the newest numbers wait for her, so she may miss those of one second: it is said in each.
        let numbers = loop {
            bob.say("hello").await;
            bob.hears_itself("hello").await;
            let numbers = ann.numbers().await;
            if numbers[name].as_u64() > Some(0) {
                break numbers;
            }
        };
        assert_eq!((&numbers["connections"], &numbers["rooms"]), (&json!(2), &json!(2)));
        assert!(numbers["uptime_ms"].as_u64() > first["uptime_ms"].as_u64());
    }
    bob.leave().await;
    let numbers = ann.numbers_that(|numbers| numbers["connections"] == 1).await;
    assert_eq!(numbers["closed"], json!({"1000": 1}));
    assert!(numbers["broadcast_us"]["count"].as_u64() > Some(0));
}

/// EX-13: nobody is sent numbers without asking, nor after closing the panel; asking twice is asking once. Those
/// who look are not told of each other.
#[tokio::test]
async fn numbers_are_for_those_who_look() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("rust", "Bob", 1).await;
    let mut cat = chat.join("random", "Cat", 1).await;
    for person in [&mut ann, &mut bob] {
        person.watch(true).await;
        person.watch(true).await;
        person.expect("metrics").await;
    }
    bob.watch(false).await;
    // What was said after it is heard after it, and what was on its way came before.
    bob.say("enough").await;
    while bob.event().await["e"] != "chat.message" {}
    for _ in 0..3 {
        ann.expect("metrics").await;
    }
    for person in [&mut bob, &mut cat] {
        person.say("quiet?").await;
        person.hears_itself("quiet?").await;
    }
}
