//! Rooms, who is in them, and what is said there.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::{Config, Connector, Message, NetStream};
use tokio::net::TcpStream;

use super::program::{Chat, Person, notice_of};

/// EX-02, CL-18: everybody in a room hears what is said there, its author included; nobody else does.
#[tokio::test]
async fn rooms_are_apart() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("lobby", "Bob", 2).await;
    let mut eve = chat.join("rust", "Eve", 1).await;
    ann.sees(2, "Bob joined").await;
    assert!(ann.id != bob.id && bob.id != eve.id && ann.id != eve.id);

    ann.say("  hello\n<b>Bob</b> 🐟 \n").await;
    eve.say("is anybody here?").await;
    for person in [&mut ann, &mut bob] {
        let said = person.expect("chat.message").await;
        assert_eq!(said["text"], "hello\n<b>Bob</b> 🐟");
        assert_eq!(said["name"], "Ann");
    }
    // The next that each of them hears is of their own room.
    bob.say("hi").await;
    ann.hears(bob.id, "Bob", "hi").await;
    bob.hears_itself("hi").await;
    eve.hears_itself("is anybody here?").await;
}

/// EX-02, HB-06, BY-33: one person in two rooms, by two connections, is two members; so are two of one name.
#[tokio::test]
async fn the_same_name_may_be_in_several_rooms() {
    let chat = Chat::start();
    let mut lobby = chat.join("lobby", "Ann", 1).await;
    let mut rust = chat.join("rust", "Ann", 1).await;
    let again = chat.join("lobby", "Ann", 2).await;
    lobby.sees(2, "Ann joined").await;
    rust.say("here").await;
    rust.hears_itself("here").await;
    assert_ne!(lobby.id, again.id);
}

/// BC-07, EX-02, BY-33: counts and notices follow members that come, leave, and vanish without a word.
#[tokio::test]
async fn counts_are_right() {
    let chat = Chat::start_with(&["--away", "1"]);
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("lobby", "Bob", 2).await;
    ann.sees(2, "Bob joined").await;
    let eve = chat.join("lobby", "Eve", 3).await;
    ann.sees(3, "Eve joined").await;
    bob.sees(3, "Eve joined").await;

    eve.leave().await;
    ann.sees(2, "Eve left").await;
    bob.sees(2, "Eve left").await;
    drop(bob);
    ann.sees(1, "Bob left").await;

    for is_reset in [false, true] {
        let stream = TcpStream::connect(chat.addr).await.unwrap();
        if is_reset {
            // Nothing but a reset is sent when it is dropped.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        let connector = Connector::new(Config::default());
        let socket = connector.connect_on(&chat.url(), NetStream::from(stream)).await.unwrap();
        let mut mallory = Person::silent(socket);
        mallory.expect("sys.session.created").await;
        mallory.enter(json!({"room": "lobby", "name": "Mallory"})).await.unwrap();
        ann.sees(2, "Mallory joined").await;
        drop(mallory);
        ann.sees(1, "Mallory left").await;
    }
    chat.join("lobby", "Zoe", 2).await;
}

/// HS-10, EX-02: a bad name or room is refused with the field, and nothing is joined.
#[tokio::test]
async fn bad_names_and_rooms_are_refused() {
    let chat = Chat::start();
    let mut person = chat.connect().await;
    let bad = ["", " \t ", "\n", "a\0b", "a\u{1f}b", "a\u{85}b", &"\u{e9}".repeat(33)];
    for bad in bad.into_iter().map(|text| json!(text)).chain([json!(7), Value::Null]) {
        for (field, other) in [("name", "room"), ("room", "name")] {
            let refusal = person.enter(json!({field: bad, other: "fine"})).await.unwrap_err();
            assert_eq!(refusal["code"], 422, "{refusal}");
            assert_eq!(refusal["errors"][0]["field"], format!("/{field}"), "{refusal}");
            let refusal = person.enter(json!({other: "fine"})).await.unwrap_err();
            assert_eq!(refusal["errors"][0]["rule"], "required", "{refusal}");
        }
    }
    person.enter(json!({"name": "fine", "room": "fine"})).await.unwrap();
    assert_eq!(person.people.len(), 1);
}

/// HS-10: length is counted in characters, without the space around.
#[tokio::test]
async fn names_are_counted_in_characters() {
    let chat = Chat::start();
    let (name, room) = ("魚".repeat(32), "é".repeat(32));
    chat.join(&"🐟".repeat(32), &name, 1).await;
    let _first = chat.join(&room, &name, 1).await;
    let mut padded = chat.connect().await;
    let wish = json!({"name": " a&b=c+d%20\n", "room": format!(" {room} ")});
    let joined = padded.enter(wish).await.unwrap();
    assert_eq!((&joined["name"], &joined["room"]), (&json!("a&b=c+d%20"), &json!(room)));
    assert_eq!(padded.people.len(), 2, "a room that looks the same is the same");
}

/// EX-02: a page of another site does not get in (403).
#[tokio::test]
async fn other_origins_are_refused() {
    let chat = Chat::start();
    for (origin, is_in) in [
        ("http://example.com".to_owned(), false),
        ("null".to_owned(), false),
        (format!("http://{}", chat.addr), true),
    ] {
        let value = http::HeaderValue::from_str(&origin).unwrap();
        let connector = Connector::new(Config::default()).header(http::header::ORIGIN, value);
        let result = connector.connect(&chat.url()).await;
        assert_eq!(result.is_ok(), is_in, "{origin}");
    }
}

/// EX-02: whatever is not an event of the chat is answered with an error, and nobody else hears of it; who goes on
/// like this is closed with 1008.
#[tokio::test]
async fn what_is_not_understood_is_told() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("lobby", "Bob", 2).await;
    ann.sees(2, "Bob joined").await;
    let said = |text: Value| {
        json!({"v": "1.0", "e": "chat.message", "p": {"room": "lobby", "text": text}}).to_string()
    };
    let elsewhere = r#"{"v":"1.0","e":"chat.message","p":{"room":"rust","text":"hi"}}"#;
    let bad = [
        (400, Message::text("hello")),
        (400, Message::text("null")),
        (404, Message::text(r#"{"v":"1.0","e":"joined","p":{"id":"1"}}"#)),
        (415, Message::binary(said(json!("binary")))),
        (422, Message::text(r#"{"v":"1.0","e":"chat.message"}"#)),
        (422, Message::text(said(json!(7)))),
        (422, Message::text(said(json!("")))),
        (422, Message::text(said(json!(" \n\t ")))),
        (422, Message::text(said(json!("é".repeat(2001))))),
        (409, Message::text(elsewhere)),
    ];
    for (code, message) in bad {
        bob.socket.send(message.clone()).await.unwrap();
        assert_eq!(bob.expect("sys.error").await["code"], code, "{message:?}");
    }
    bob.say("still here").await;
    ann.hears(bob.id, "Bob", "still here").await;
    // Those that are no events at all are forgiven ten at once; some were forgiven already.
    for _ in 0..20 {
        // It may be closed by now.
        let _ = bob.socket.send(Message::text("hello")).await;
    }
    let (code, reason) = bob.closed().await;
    assert_eq!((code, &*reason), (1008, "too many bad events"));
    ann.sees(1, "Bob left").await;
}

/// EX-02: 2,000 characters are taken however many bytes they are, 64 KiB and a byte is 1009.
#[tokio::test]
async fn long_messages_have_a_limit() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    for text in ["🐟".repeat(2000), "\u{1}".repeat(2000)] {
        ann.say(&format!(" {text} ")).await;
        ann.hears_itself(&text).await;
    }
    ann.socket.feed(Message::text(" ".repeat(65_537))).unwrap();
    let _ = ann.socket.flush().await;
    assert_eq!(ann.closed().await.0, 1009);
}

/// BC-07, EX-02, BY-33: while many come and speak at once, each hears all that is said from there on, each author's
/// words in order, and in the end knows who is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_among_many() {
    const PEOPLE: usize = 12;
    const WORDS: u64 = 40;
    let chat = Arc::new(Chat::start());
    let tasks = (0..PEOPLE).map(|index| {
        let chat = chat.clone();
        tokio::spawn(async move {
            let mut person = chat.connect().await;
            let wish = json!({"room": "lobby", "name": format!("p{index}")});
            person.enter(wish).await.unwrap();
            for word in 0..WORDS {
                person.say(&word.to_string()).await;
            }
            // The next word of each author that was heard.
            let mut words = HashMap::from([(person.id, 0)]);
            while person.people.len() < PEOPLE || words[&person.id] < WORDS {
                let event = person.event().await;
                let payload = &event["p"];
                match event["e"].as_str().unwrap() {
                    "room.presence" => drop(person.notes(payload)),
                    "chat.message" => {
                        let word: u64 = payload["text"].as_str().unwrap().parse().unwrap();
                        let next = words.entry(payload["id"].as_u64().unwrap()).or_insert(word);
                        assert_eq!(word, *next, "in order, none missing, none twice");
                        *next += 1;
                    }
                    other => panic!("{other}"),
                }
            }
            person
        })
    });
    // All stay until the last has seen everything.
    let mut people = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        people.push(task.await.unwrap());
    }
    assert_eq!(people.len(), PEOPLE);
}

/// BC-07, EX-02: a member that reads nothing is sent away in the end, and nobody else misses a word
/// of what is said meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_read_holds_up_nobody() {
    const SPEAKERS: usize = 16;
    const WORDS: usize = 190;
    let chat = Chat::start_with(&["--away", "1"]);
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let slow = chat.join("lobby", "Mallory", 2).await;
    ann.sees(2, "Mallory joined").await;
    // More than the kernel and the outbox hold, by as many as may say so much at once.
    let mut notices = Vec::new();
    for _ in 0..SPEAKERS {
        let mut speaker = chat.connect().await;
        speaker.enter(json!({"room": "lobby", "name": "Bob"})).await.unwrap();
        for word in 0..WORDS {
            let text = format!("{word} {}", "🐟".repeat(1900));
            speaker.say(&text).await;
            for person in [&mut ann, &mut speaker] {
                let mut heard = person.event().await;
                while heard["e"] != "chat.message" {
                    notices.push(notice_of(&heard["p"]));
                    heard = person.event().await;
                }
                assert_eq!(heard["p"]["text"], text);
            }
        }
        speaker.leave().await;
    }
    // Its seat is free when its last write has timed out, on a slow machine before this.
    while !notices.iter().any(|notice| notice == "Mallory left") {
        let change = ann.expect("room.presence").await;
        notices.push(notice_of(&change));
    }
    drop(slow);
}

/// LM-05, EX-02: whoever says more than people write is closed with 1008; others are not touched.
#[tokio::test]
async fn a_flood_has_an_end() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("lobby", "Bob", 2).await;
    ann.sees(2, "Bob joined").await;
    // One at a time, so that nothing of it is unread when the server closes.
    let json = json!({"v": "1.0", "e": "chat.message", "p": {"room": "lobby", "text": "buy"}});
    let json = json.to_string();
    for _ in 0..500 {
        if bob.socket.send(&*json).await.is_err() || bob.socket.recv().await.unwrap().is_none() {
            break;
        }
    }
    let (code, reason) = bob.closed().await;
    assert!(code == 1008 && reason.starts_with("too much at once"), "{code} {reason}");
    let mut heard = ann.event().await;
    while heard["e"] == "chat.message" {
        heard = ann.event().await;
    }
    assert_eq!(notice_of(&heard["p"]), "Bob left");
}

#[cfg(unix)]
fn signal(chat: &Chat, name: &str) {
    let id = chat.process.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// EX-02, A31: a chat that is interrupted or told to end says goodbye (1001) and ends.
#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_chat_says_goodbye() {
    for name in ["-INT", "-TERM"] {
        let mut chat = Chat::start();
        let ann = chat.join("lobby", "Ann", 1).await;
        signal(&chat, name);
        let code = ann.closed().await.0;
        let status = chat.process.wait().unwrap();
        assert_eq!((code, status.code()), (1001, Some(0)), "{name}: {status}");
    }
}

/// A31: told twice, a chat does not wait for those who ignore the close.
#[cfg(unix)]
#[tokio::test]
async fn a_chat_that_is_told_twice_ends_at_once() {
    let mut chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let _ignores = chat.join("lobby", "Mallory", 2).await;
    ann.sees(2, "Mallory joined").await;
    signal(&chat, "-TERM");
    assert_eq!(ann.closed().await.0, 1001);
    signal(&chat, "-TERM");
    assert_eq!(chat.process.wait().unwrap().code(), Some(1));
}
