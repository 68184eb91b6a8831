//! Rooms that are closed with a password.

use super::program::{Chat, Person, encoded};

const CREATE: &str = "&create=1";

impl Chat {
    /// Comes with a password, and to a room that is not there yet with `CREATE`.
    async fn knock(&self, room: &str, name: &str, password: Option<&str>, more: &str) -> Person {
        let url = format!("{}{more}", self.url(room, name));
        let socket = self.connect_with(&url, password).await.unwrap();
        Person { socket, id: String::new() }
    }

    async fn enter(&self, name: &str, password: &str, more: &str, people: usize) -> Person {
        let person = self.knock("den", name, Some(password), more).await;
        Person::welcomed(person.socket, "den", name, people, true).await
    }
}

/// EX-04, AU-05: who makes a room may close it with a password; who knows it gets in.
#[tokio::test]
async fn a_room_may_have_a_password() {
    let chat = Chat::start();
    let mut ann = chat.enter("Ann", "rød fisk 🐟", CREATE, 1).await;
    let mut bob = chat.enter("Bob", "rød fisk 🐟", "", 2).await;
    // As a page does that has lost its connection: the room may be gone meanwhile, but is not.
    let again = chat.enter("Cat", "rød fisk 🐟", CREATE, 3).await;
    ann.sees(2, "Bob joined").await;
    ann.sees(3, "Cat joined").await;
    bob.say("hello").await;
    ann.hears(&bob.id, "Bob", "hello").await;
    // The password is offered as a subprotocol, and another one is chosen.
    assert_eq!(bob.socket.subprotocol(), Some("chat"));
    drop(again);
}

/// AU-05, A13: a wrong password, none, and a room that is not there are one answer, and those who are in
/// the room hear nothing of it.
#[tokio::test]
async fn strangers_learn_nothing() {
    let chat = Chat::start();
    let mut ann = chat.enter("Ann", "salmon", CREATE, 1).await;
    let _open = chat.join("lobby", "Ann", 1).await;
    for (room, password, more) in [
        ("den", Some("trout"), ""),
        ("den", Some("salmon "), ""),
        ("den", Some("trout"), CREATE),
        ("den", None, ""),
        ("den", None, "&room_password=salmon"),
        ("attic", Some("salmon"), ""),
        ("lobby", Some("salmon"), ""),
        ("lobby", Some("salmon"), CREATE),
    ] {
        let eve = chat.knock(room, "Eve", password, more).await;
        let refusal = (4403, "no room of this name with this password".to_owned());
        assert_eq!(eve.closed().await, refusal, "{room} {password:?} {more}");
    }
    let _bob = chat.enter("Bob", "salmon", "", 2).await;
    ann.sees(2, "Bob joined").await;
}

/// A08, A13: after ten wrong passwords within a minute an address tries no more, not even the right one.
#[tokio::test]
async fn guessing_has_an_end() {
    let chat = Chat::start();
    let mut ann = chat.enter("Ann", "salmon", CREATE, 1).await;
    for guess in 0..10 {
        let eve = chat.knock("den", "Eve", Some(&guess.to_string()), "").await;
        assert_eq!(eve.closed().await.0, 4403);
    }
    for password in [Some("salmon"), Some("trout"), None] {
        let eve = chat.knock("den", "Eve", password, "").await;
        let (code, reason) = eve.closed().await;
        assert!(code == 1008 && reason.starts_with("too many wrong passwords"), "{code} {reason}");
    }
    ann.say("still here").await;
    ann.hears(&ann.id.clone(), "Ann", "still here").await;
}

/// AU-05: a password ends with its room.
#[tokio::test]
async fn a_password_ends_with_its_room() {
    let chat = Chat::start();
    let mut watcher = chat.join("lobby", "Cat", 1).await;
    watcher.watch(true).await;
    let ann = chat.enter("Ann", "salmon", CREATE, 1).await;
    let bob = chat.enter("Bob", "salmon", "", 2).await;
    for person in [ann, bob] {
        let mut socket = person.socket;
        assert!(socket.close(1000, "").await.unwrap().clean);
    }
    // The seats are free a little after the close.
    watcher.numbers_that(|numbers| numbers["rooms"] == 1).await;
    let eve = chat.knock("den", "Eve", None, "").await;
    let _eve = Person::welcomed(eve.socket, "den", "Eve", 1, false).await;
    let cat = chat.knock("den", "Cat", Some("salmon"), CREATE).await;
    assert_eq!(cat.closed().await.0, 4403);
}

/// HS-10: a password that is none is refused before the upgrade.
#[tokio::test]
async fn bad_passwords_are_refused() {
    let chat = Chat::start();
    for offer in ["", "*", "YQ==", "_w", "YQ, room-password.Yg", &"YWFh".repeat(22)] {
        let head = format!(
            "GET /chat?room={}&name=a&create=1 HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: chat, room-password.{offer}",
            encoded("den")
        );
        let page = chat.get(&head).await;
        assert_eq!(page.status, 400, "{offer} {}", page.body);
    }
}
