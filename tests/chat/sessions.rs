//! What survives: a member that loses the network, and what was said before somebody came.

use serde_json::{Value, json};
use sockeye::{Config, Connector};

use super::program::{Chat, Person};

impl Chat {
    /// Comes back to a session, after so many messages of the server.
    async fn come_back(&self, session: &Value, received: u64) -> (Person, Value) {
        let url = format!("{}?resume=1", self.url());
        let socket = Connector::new(Config::default()).connect(&url).await.unwrap();
        let mut person = Person::silent(socket);
        let asked = json!({
            "sessionId": session["sessionId"], "token": session["token"], "received": received,
        });
        person.send("sys.reconnect.request", asked).await;
        let restored = person.expect("sys.session.restored").await;
        (person, restored)
    }
}

fn texts(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|kept| kept["event"]["p"]["text"].as_str().unwrap()).collect()
}

/// EX-02, BY-31, SE-03: who loses the network is in the room still, nobody is told of it, and what was said
/// meanwhile comes when it is back, once and in order.
#[tokio::test]
async fn a_cut_network_loses_nothing() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("lobby", "Bob", 2).await;
    ann.sees(2, "Bob joined").await;
    ann.say("before").await;
    bob.hears(ann.id, "Ann", "before").await;
    ann.hears_itself("before").await;
    let (session, id) = (bob.session.clone(), bob.id);
    drop(bob);
    for n in 0..20 {
        ann.say(&n.to_string()).await;
        // And nothing of Bob in between.
        ann.hears_itself(&n.to_string()).await;
    }
    // The answer to his wish, and one message.
    let (mut bob, restored) = chat.come_back(&session, 2).await;
    assert_eq!(restored["restored"], true, "{restored}");
    bob.room = "lobby".to_owned();
    for n in 0..20 {
        bob.hears(ann.id, "Ann", &n.to_string()).await;
    }
    bob.say("here again").await;
    ann.hears(id, "Bob", "here again").await;
    // His page may have been loaded anew: it asks for what it shows.
    let joined = bob.enter(json!({"room": "lobby", "name": "Bob"})).await.unwrap();
    assert_eq!((bob.id, &bob.people), (id, &ann.people));
    assert_eq!(texts(&joined["last"]).len(), 22);
    ann.say("nobody came").await;
    ann.hears_itself("nobody came").await;
}

/// SE-05: a place is kept for as long as the server is told to.
#[tokio::test]
async fn a_place_is_not_kept_for_ever() {
    let chat = Chat::start_with(&["--away", "1"]);
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let bob = chat.join("lobby", "Bob", 2).await;
    ann.sees(2, "Bob joined").await;
    let session = bob.session.clone();
    drop(bob);
    ann.sees(1, "Bob left").await;
    let (mut bob, restored) = chat.come_back(&session, 1).await;
    assert_eq!(restored, json!({"restored": false, "reason": "expired"}));
    bob.expect("sys.session.created").await;
    bob.enter(json!({"room": "lobby", "name": "Bob"})).await.unwrap();
    ann.sees(2, "Bob joined").await;
}

/// BY-34: newcomers have what was said last, and ask for what was said before that, in pages that meet.
#[tokio::test]
async fn newcomers_see_what_was_said() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    for n in 0..130 {
        ann.say(&n.to_string()).await;
        ann.hears_itself(&n.to_string()).await;
    }
    let mut bob = chat.connect().await;
    let joined = bob.enter(json!({"room": "lobby", "name": "Bob"})).await.unwrap();
    let mut page = joined["last"].clone();
    let mut said: Vec<u32> = texts(&page).iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(said, (80..130).collect::<Vec<_>>());
    while page["hasMore"] == true {
        let number = page["events"][0]["number"].clone();
        bob.ask("chat.before", json!({"room": "lobby", "number": number})).await;
        page = bob.expect("chat.before.ack").await;
        said.splice(0..0, texts(&page).into_iter().map(|text| text.parse().unwrap()));
    }
    assert_eq!(said, (0..130).collect::<Vec<_>>());
    let first = &page["events"][0];
    assert_eq!((&first["number"], &first["event"]["e"]), (&json!(1), &json!("chat.message")));
    assert!(first["ageMs"].is_u64());
    ann.sees(2, "Bob joined").await;
    ann.say("hello").await;
    bob.hears(ann.id, "Ann", "hello").await;
}
