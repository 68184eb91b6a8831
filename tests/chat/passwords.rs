//! Rooms that are closed with a password.

use serde_json::{Value, json};

use super::program::{Chat, Person};

/// A wish to join the den.
fn wish(name: &str, password: Option<&str>, creates: bool) -> Value {
    json!({"room": "den", "name": name, "password": password, "create": creates})
}

impl Chat {
    async fn enter(&self, name: &str, password: &str, creates: bool, people: usize) -> Person {
        let mut person = self.connect().await;
        let joined = person.enter(wish(name, Some(password), creates)).await.unwrap();
        assert_eq!((&joined["room"], &joined["isPrivate"]), (&json!("den"), &json!(true)));
        assert_eq!(person.people.len(), people);
        person
    }
}

/// EX-04, AU-05: who makes a room may close it with a password; who knows it gets in.
#[tokio::test]
async fn a_room_may_have_a_password() {
    let chat = Chat::start();
    let mut ann = chat.enter("Ann", "rød fisk 🐟", true, 1).await;
    let mut bob = chat.enter("Bob", "rød fisk 🐟", false, 2).await;
    // As a page does that has lost its session: the room may be gone meanwhile, but is not.
    let _again = chat.enter("Cat", "rød fisk 🐟", true, 3).await;
    ann.sees(2, "Bob joined").await;
    ann.sees(3, "Cat joined").await;
    bob.say("hello").await;
    ann.hears(bob.id, "Bob", "hello").await;
    // Who is in asks again without it: the page was loaded anew, and remembers no password.
    let joined = bob.enter(wish("Bob", None, false)).await.unwrap();
    assert_eq!(joined["isPrivate"], true);
    ann.say("nobody came").await;
    ann.hears_itself("nobody came").await;
}

/// AU-05, A13: a wrong password, none, and a room that is not there are one answer, and those who are in
/// the room hear nothing of it.
#[tokio::test]
async fn strangers_learn_nothing() {
    let chat = Chat::start();
    let mut ann = chat.enter("Ann", "salmon", true, 1).await;
    ann.say("a secret").await;
    ann.hears_itself("a secret").await;
    let _open = chat.join("lobby", "Ann", 1).await;
    for (room, password, creates) in [
        ("den", Some("trout"), false),
        ("den", Some("salmon "), false),
        ("den", Some("trout"), true),
        ("den", None, false),
        ("den", None, true),
        ("attic", Some("salmon"), false),
        ("lobby", Some("salmon"), false),
        ("lobby", Some("salmon"), true),
    ] {
        let mut eve = chat.connect().await;
        let mut wish = wish("Eve", password, creates);
        wish["room"] = json!(room);
        let refusal = eve.enter(wish).await.unwrap_err();
        let message = "no room of this name with this password";
        let expected = json!({"code": 403, "message": message, "recoverable": true});
        assert_eq!(refusal, expected, "{room} {password:?} {creates}");
        // Nor does she hear or say anything there.
        for event in ["chat.message", "chat.before"] {
            eve.ask(event, json!({"room": room, "text": "hello", "number": 9})).await;
            assert_eq!(eve.expect("sys.error").await["code"], 409);
        }
    }
    let _bob = chat.enter("Bob", "salmon", false, 2).await;
    ann.sees(2, "Bob joined").await;
}

/// A08, A13: after ten wrong passwords within a minute an address tries no more, not even the right one.
#[tokio::test]
async fn guessing_has_an_end() {
    let chat = Chat::start();
    let mut ann = chat.enter("Ann", "salmon", true, 1).await;
    let mut eve = chat.connect().await;
    for guess in 0..10 {
        let refusal = eve.enter(wish("Eve", Some(&guess.to_string()), false)).await.unwrap_err();
        assert_eq!(refusal["code"], 403);
    }
    // Another connection is no way around.
    for mut person in [eve, chat.connect().await] {
        for password in [Some("salmon"), Some("trout"), None] {
            let refusal = person.enter(wish("Eve", password, false)).await.unwrap_err();
            assert_eq!(refusal["code"], 429);
            let message = refusal["message"].as_str().unwrap();
            assert!(message.starts_with("too many wrong passwords"), "{message}");
        }
    }
    ann.say("still here").await;
    ann.hears_itself("still here").await;
}

/// AU-05: a password ends with its room, and so does what was said there.
#[tokio::test]
async fn a_password_ends_with_its_room() {
    let chat = Chat::start();
    let mut watcher = chat.join("lobby", "Cat", 1).await;
    watcher.watch(true).await;
    let mut ann = chat.enter("Ann", "salmon", true, 1).await;
    let bob = chat.enter("Bob", "salmon", false, 2).await;
    ann.sees(2, "Bob joined").await;
    ann.say("a secret").await;
    ann.hears_itself("a secret").await;
    for person in [ann, bob] {
        person.leave().await;
    }
    // The seats are free a little after the close.
    watcher.numbers_that(|numbers| numbers["rooms"] == 1).await;
    let mut eve = chat.connect().await;
    let joined = eve.enter(wish("Eve", None, false)).await.unwrap();
    assert_eq!((&joined["isPrivate"], eve.people.len()), (&json!(false), 1));
    assert_eq!(joined["last"]["events"], json!([]), "nothing of the room before");
    let mut cat = chat.connect().await;
    let refusal = cat.enter(wish("Cat", Some("salmon"), true)).await.unwrap_err();
    assert_eq!(refusal["code"], 403);
}

/// HS-10: a password that is none is told, with its field.
#[tokio::test]
async fn bad_passwords_are_refused() {
    let chat = Chat::start();
    let mut person = chat.connect().await;
    for password in [json!(""), json!("é".repeat(65)), json!(7), json!(["a"]), json!({})] {
        let mut wish = wish("Ann", None, true);
        wish["password"] = password;
        let refusal = person.enter(wish).await.unwrap_err();
        assert_eq!(refusal["code"], 422);
        assert_eq!(refusal["errors"][0]["field"], "/password", "{refusal}");
    }
    let long = "é".repeat(64);
    assert!(person.enter(wish("Ann", Some(&long), true)).await.is_ok());
}
