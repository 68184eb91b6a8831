//! Rooms, who is in them, and what is said there.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sockeye::handshake::HandshakeError;
use sockeye::{Config, Connector, Error, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::program::{Chat, Person, encoded};

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
        let author = person.next().await;
        assert_eq!(author["text"], "hello\n<b>Bob</b> 🐟");
        assert_eq!(author["name"], "Ann");
    }
    // The next that each of them hears is of their own room.
    bob.say("hi").await;
    ann.hears(&bob.id, "Bob", "hi").await;
    bob.hears(&bob.id.clone(), "Bob", "hi").await;
    eve.hears(&eve.id.clone(), "Eve", "is anybody here?").await;
}

/// EX-02, HB-06: one person in two rooms, by two connections, is two members.
#[tokio::test]
async fn the_same_name_may_be_in_several_rooms() {
    let chat = Chat::start();
    let mut lobby = chat.join("lobby", "Ann", 1).await;
    let mut rust = chat.join("rust", "Ann", 1).await;
    let again = chat.join("lobby", "Ann", 2).await;
    lobby.sees(2, "Ann joined").await;
    rust.say("here").await;
    rust.hears(&rust.id.clone(), "Ann", "here").await;
    assert_ne!(lobby.id, again.id);
}

/// BC-07, EX-02: counts and notices follow members that come, leave, and vanish without a word.
#[tokio::test]
async fn counts_are_right() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let mut bob = chat.join("lobby", "Bob", 2).await;
    ann.sees(2, "Bob joined").await;
    let eve = chat.join("lobby", "Eve", 3).await;
    ann.sees(3, "Eve joined").await;
    bob.sees(3, "Eve joined").await;

    let mut socket = eve.socket;
    assert!(socket.close(1000, "bye").await.unwrap().clean);
    ann.sees(2, "Eve left").await;
    bob.sees(2, "Eve left").await;
    drop(bob);
    ann.sees(1, "Bob left").await;

    for is_reset in [false, true] {
        let stream = joined_by_hand(&chat).await;
        ann.sees(2, "Mallory joined").await;
        if is_reset {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(stream);
        ann.sees(1, "Mallory left").await;
    }
    chat.join("lobby", "Zoe", 2).await;
}

/// A member that answers nothing.
async fn joined_by_hand(chat: &Chat) -> TcpStream {
    let mut stream = TcpStream::connect(chat.addr).await.unwrap();
    let request = format!(
        "GET /chat?room=lobby&name=Mallory HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        chat.addr
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

/// HS-10, EX-02: a bad name or room is refused before anything is joined, with a line that says why.
#[tokio::test]
async fn bad_names_and_rooms_are_refused() {
    let chat = Chat::start();
    let names = ["", "+%20+", "%09%0A", "a%00b", "a%1Fb", "a%C2%85b", "%zz", "%FF", "%E2%82"];
    let queries = names.map(|name| format!("room=lobby&name={name}"));
    let long = format!("room=lobby&name={}", encoded(&"é".repeat(33)));
    for query in queries.into_iter().chain([long, "room=lobby".to_owned()]) {
        let page = chat.get(&format!("GET /chat?{query} HTTP/1.1")).await;
        assert_eq!(page.status, 400, "{query}");
        assert_eq!(page.headers["content-type"], "text/plain; charset=utf-8");
        assert!(page.body.starts_with("name: 1 to 32 characters"), "{}", page.body);
    }
    for room in ["", "%0D%0A", &encoded(&"é".repeat(33))] {
        let page = chat.get(&format!("GET /chat?name=a&room={room} HTTP/1.1")).await;
        assert_eq!(page.status, 400, "{room}");
        assert!(page.body.starts_with("room: 1 to 32 characters"), "{}", page.body);
    }
    assert_eq!(chat.get("GET /chat HTTP/1.1").await.status, 400);
    let refused = chat.connect("lobby", "\u{7f}").await;
    assert!(
        matches!(&refused, Err(Error::Handshake(HandshakeError::UnexpectedStatus(response)))
            if response.status() == 400),
        "{refused:?}"
    );
}

/// HS-10: length is counted in characters, that of a person's name without the space around.
#[tokio::test]
async fn names_are_counted_in_characters() {
    let chat = Chat::start();
    let (name, room) = ("魚".repeat(32), "é".repeat(32));
    chat.join(&"🐟".repeat(32), &name, 1).await;
    let _first = chat.join(&room, &format!(" {name}\n"), 1).await;
    chat.join(&room, "a&b=c+d%20", 2).await;
    let padded = chat.connect(&format!(" {room} "), "Zoe").await;
    assert!(padded.unwrap_err().to_string().contains("400"), "a room that would look the same");
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
        let result = connector.connect(&chat.url("lobby", "Ann")).await;
        assert_eq!(result.is_ok(), is_in, "{origin}");
    }
}

/// EX-02: whatever is not a message of the chat closes with 1008 and a reason, and the seat is free.
#[tokio::test]
async fn what_is_not_understood_closes() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let message = |text: &str| json!({"type": "message", "text": text}).to_string();
    let bad = [
        Message::text("hello"),
        Message::text(""),
        Message::text("null"),
        Message::text("{}"),
        Message::text(r#"{"type":"joined","id":"1"}"#),
        Message::text(r#"{"type":"message"}"#),
        Message::text(r#"{"type":"message","text":7}"#),
        Message::text(r#"{"type":"message","text":"\ud800"}"#),
        Message::text(message("")),
        Message::text(message(" \n\t ")),
        Message::text(message(&"é".repeat(2001))),
        Message::binary(message("binary")),
    ];
    for message in bad {
        let mut bob = chat.join("lobby", "Bob", 2).await;
        ann.sees(2, "Bob joined").await;
        bob.socket.send(message.clone()).await.unwrap();
        let (code, reason) = bob.closed().await;
        assert_eq!(code, 1008, "{message:?}");
        assert!(reason.contains("message"), "{reason}");
        ann.sees(1, "Bob left").await;
    }
}

/// EX-02: 2,000 characters are taken however many bytes they are, 64 KiB and a byte is 1009.
#[tokio::test]
async fn long_messages_have_a_limit() {
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let id = ann.id.clone();
    for text in ["🐟".repeat(2000), "\u{1}".repeat(2000)] {
        ann.say(&format!(" {text} ")).await;
        ann.hears(&id, "Ann", &text).await;
    }
    ann.socket.feed(Message::text(" ".repeat(65_537))).unwrap();
    let _ = ann.socket.flush().await;
    assert_eq!(ann.closed().await.0, 1009);
}

/// BC-07, EX-02: while many come and speak at once, each is welcomed first, then hears all that is
/// said from there on, each author's words in order, and in the end has the right count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_among_many() {
    const PEOPLE: u64 = 12;
    const WORDS: u64 = 40;
    let chat = Arc::new(Chat::start());
    let tasks = (0..PEOPLE).map(|index| {
        let chat = chat.clone();
        tokio::spawn(async move {
            let mut person = Person {
                socket: chat.connect("lobby", &format!("p{index}")).await.unwrap(),
                id: String::new(),
            };
            for word in 0..WORDS {
                person.say(&word.to_string()).await;
            }
            let joined = person.next().await;
            assert_eq!(joined["type"], "joined");
            person.id = joined["id"].as_str().unwrap().to_owned();
            let mut people = joined["people"].as_u64().unwrap();
            // The next word of each author that was heard.
            let mut words = HashMap::from([(person.id.clone(), 0)]);
            while people < PEOPLE || words[&person.id] < WORDS {
                let message = person.next().await;
                match message["type"].as_str().unwrap() {
                    "people" => people = message["people"].as_u64().unwrap(),
                    "message" => {
                        let id = message["id"].as_str().unwrap().to_owned();
                        let word: u64 = message["text"].as_str().unwrap().parse().unwrap();
                        let next = words.entry(id).or_insert(word);
                        assert_eq!(word, *next, "in order, none missing, none twice");
                        *next += 1;
                    }
                    _ => {}
                }
            }
            assert_eq!(people, PEOPLE);
            person
        })
    });
    // All stay until the last has seen everything.
    let mut people = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        people.push(task.await.unwrap());
    }
    assert_eq!(people.len() as u64, PEOPLE);
}

/// BC-07, EX-02: a member that reads nothing is sent away in the end, and nobody else misses a word
/// of what is said meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_read_holds_up_nobody() {
    const SPEAKERS: usize = 16;
    const WORDS: usize = 190;
    let chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let slow = joined_by_hand(&chat).await;
    ann.sees(2, "Mallory joined").await;
    // More than the kernel and the outbox hold, by as many as may say so much at once.
    let mut others = Vec::new();
    for _ in 0..SPEAKERS {
        let mut speaker =
            Person { socket: chat.connect("lobby", "Bob").await.unwrap(), id: String::new() };
        assert_eq!(speaker.next().await["type"], "joined");
        for word in 0..WORDS {
            let text = format!("{word} {}", "🐟".repeat(1900));
            speaker.say(&text).await;
            for person in [&mut ann, &mut speaker] {
                let mut heard = person.next().await;
                while heard["type"] != "message" {
                    others.push(heard);
                    heard = person.next().await;
                }
                assert_eq!(heard["text"], text);
            }
        }
        assert!(speaker.socket.close(1000, "").await.unwrap().clean);
    }
    // Its seat is free when its last write has timed out, on a slow machine before this.
    let left = json!({"type": "notice", "text": "Mallory left"});
    while !others.contains(&left) {
        others.push(ann.next().await);
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
    let json = json!({"type": "message", "text": "buy"}).to_string();
    while bob.socket.send(&*json).await.is_ok() && bob.socket.recv().await.unwrap().is_some() {}
    let (code, reason) = bob.closed().await;
    assert!(code == 1008 && reason.starts_with("too much at once"), "{code} {reason}");
    let mut heard = ann.next().await;
    while heard["type"] == "message" {
        heard = ann.next().await;
    }
    assert_eq!(heard, json!({"type": "people", "people": 1}));
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
        assert_eq!(ann.closed().await.0, 1001);
        assert_eq!(chat.process.wait().unwrap().code(), Some(0), "{name}");
    }
}

/// A31: told twice, a chat does not wait for those who ignore the close.
#[cfg(unix)]
#[tokio::test]
async fn a_chat_that_is_told_twice_ends_at_once() {
    let mut chat = Chat::start();
    let mut ann = chat.join("lobby", "Ann", 1).await;
    let _ignores = joined_by_hand(&chat).await;
    ann.sees(2, "Mallory joined").await;
    signal(&chat, "-TERM");
    assert_eq!(ann.closed().await.0, 1001);
    signal(&chat, "-TERM");
    assert_eq!(chat.process.wait().unwrap().code(), Some(1));
}
