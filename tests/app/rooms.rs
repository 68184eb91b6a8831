//! Rooms of an application: what is kept of what was said, and who is told who comes and goes. Over real sockets.

#![cfg(feature = "app")]

use std::time::Duration;

use serde_json::{Value, json};
use sockeye::app::{App, Audience, Codec, Context, EventError, EventSendError, Route};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::{HistoryConfig, Hub, JoinError, Peer, PresenceKind};

use crate::support::app::{AppClient, AppSite};
use crate::support::server::within;

fn by_token() -> impl sockeye::auth::Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some(user) => Ok(Identity::new(user)),
    })
}

fn text<'a>(payload: &'a Value, name: &str) -> &'a str {
    payload[name].as_str().unwrap()
}

/// Joins with the last three, says and keeps, shows pages.
fn app() -> App {
    App::new()
        .authenticator(by_token())
        .on("join", async |context: Context, wish: Value| -> Result<_, EventError> {
            let last = context.join_with_history(text(&wish, "room"), 3)?;
            Ok(json!({"last": last}))
        })
        .on("say", async |context: Context, said: Value| -> Result<(), EventError> {
            let room = context.to_room(text(&said, "room")).keep();
            room.ready().await;
            room.except_self().send("said", &said)?;
            Ok(())
        })
        .on("price", async |context: Context, price: Value| -> Result<(), EventError> {
            let room = context.to_room("prices").keep_latest(price["of"].as_u64().unwrap());
            room.send("price", &price)?;
            Ok(())
        })
        .on("before", async |context: Context, asked: Value| {
            context.history().before(text(&asked, "room"), asked["number"].as_u64(), 3)
        })
        .on("leave", async |context: Context, wish: Value| {
            context.leave(text(&wish, "room"));
            json!({})
        })
}

async fn ask(client: &mut AppClient, event: &str, payload: Value) -> Value {
    client.ask(event, payload, "a").await;
    loop {
        let answer = client.event().await;
        if answer["c"] == "a" {
            return answer["p"].clone();
        }
    }
}

fn numbers(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|kept| kept["number"].as_u64().unwrap()).collect()
}

/// BY-34: who joins is answered with the last events as they were sent, hears what comes, and asks for what was
/// before, in pages that meet.
#[tokio::test]
async fn by_34_who_joins_has_the_last_events() {
    let site = AppSite::start(app()).await;
    let mut ann = site.connect("/ws").await;
    for n in 1..=8 {
        ann.send("say", json!({"room": "lobby", "n": n})).await;
    }
    // Another room has its own, and what is not kept is not there.
    ann.send("say", json!({"room": "attic", "n": 9})).await;
    let mut bob = site.connect("/ws").await;
    assert_eq!(ask(&mut ann, "join", json!({"room": "attic"})).await["last"]["hasMore"], false);
    site.running.to_room("lobby").send("said", &json!({"n": 0})).unwrap();
    let page = &ask(&mut bob, "join", json!({"room": "lobby"})).await["last"];
    assert_eq!((numbers(page), &page["hasMore"]), (vec![6, 7, 8], &json!(true)));
    let first = &page["events"][0];
    let event = json!({"v": "1.0", "e": "said", "p": {"room": "lobby", "n": 6}});
    assert_eq!((&first["event"], first["ageMs"].is_u64()), (&event, true));
    let page = ask(&mut bob, "before", json!({"room": "lobby", "number": 6})).await;
    assert_eq!((numbers(&page), &page["hasMore"]), (vec![3, 4, 5], &json!(true)));
    let page = ask(&mut bob, "before", json!({"room": "lobby", "number": 3})).await;
    assert_eq!((numbers(&page), &page["hasMore"]), (vec![1, 2], &json!(false)));
    ann.send("say", json!({"room": "lobby", "n": 10})).await;
    assert_eq!(bob.expect("said").await["n"], 10);
    // Kept, but not for who said it.
    bob.send("say", json!({"room": "lobby", "n": 11})).await;
    let newest = ask(&mut bob, "before", json!({"room": "lobby"})).await;
    assert_eq!(numbers(&newest), [8, 9, 10]);
    assert_eq!(site.running.history().before("lobby", None, 99).messages.len(), 10);
    let page = ask(&mut bob, "before", json!({"room": "nowhere"})).await;
    assert_eq!(page, json!({"events": [], "hasMore": false, "epoch": 0}));
}

/// BY-34: of values with a key the latest is kept; how much is kept is the application's.
#[tokio::test]
async fn by_34_the_latest_of_a_key_is_kept() {
    let mut config = HistoryConfig::default();
    config.messages_max = 3;
    let site = AppSite::start(app().history(config)).await;
    let mut ann = site.connect("/ws").await;
    for (of, n) in [(1, 10), (2, 20), (1, 11), (2, 21), (1, 12)] {
        ann.send("price", json!({"of": of, "n": n})).await;
    }
    let last = &ask(&mut ann, "join", json!({"room": "prices"})).await["last"];
    let prices = last["events"].as_array().unwrap().iter().map(|kept| &kept["event"]["p"]["n"]);
    assert_eq!(prices.collect::<Vec<_>>(), [21, 12]);
    for n in 1..=5 {
        ann.send("say", json!({"room": "lobby", "n": n})).await;
    }
    assert_eq!(numbers(&ask(&mut ann, "before", json!({"room": "lobby"})).await), [3, 4, 5]);
}

/// Only what is said to a room is kept.
#[tokio::test]
async fn only_rooms_keep() {
    let site = AppSite::start(app()).await;
    let keeps = |audience: Audience| audience.keep().send("news", &json!({}));
    let running = &site.running;
    for audience in [running.to_all(), running.to_user("ann")] {
        assert!(matches!(keeps(audience), Err(EventSendError::NoRoom)));
    }
    assert!(keeps(running.to_room("lobby").codec(Codec::Tagged)).is_ok());
    let page = serde_json::to_value(running.history().before("lobby", None, 9)).unwrap();
    assert_eq!(page["events"][0]["event"], json!({"type": "news"}));
    // What is no event is no page of events.
    running.history().broadcast("lobby", "no JSON").unwrap();
    assert!(serde_json::to_value(running.history().before("lobby", None, 9)).is_err());
}

/// BC-01, BC-02: from outside of handlers an event goes to a user, to one session, to a room, to all, in the codec of whoever gets
/// it; a session that is not there is an error, and what is for one is not kept.
#[tokio::test]
async fn events_from_outside_reach_one_or_many() {
    let tagged = Route::events().codec(Codec::Tagged);
    let site = AppSite::start(app().route("/tagged", tagged)).await;
    let running = &site.running;
    let mut ann = site.try_connect("/ws", Some("ann")).await.unwrap();
    let ann_id = ann.created().await["sessionId"].as_str().unwrap().to_owned();
    let mut bob = site.login("/ws", "bob").await;
    let mut other = site.try_connect("/tagged", None).await.unwrap();
    let other_id = other.created().await["sessionId"].as_str().unwrap().to_owned();
    ask(&mut ann, "join", json!({"room": "lobby"})).await;
    running.to_session(&ann_id).send("news", &json!({"n": 1})).unwrap();
    running.to_user("ann").send("news", &json!({"n": 2})).unwrap();
    running.to_session(&ann_id).except_user("ann").send("news", &json!({"n": 0})).unwrap();
    running.to_session(&ann_id).except_user("bob").send("news", &json!({"n": 3})).unwrap();
    for n in 1..=3 {
        assert_eq!(ann.expect("news").await, json!({"n": n}));
    }
    running.to_room("lobby").send("news", &json!({"n": 4})).unwrap();
    assert_eq!(ann.expect("news").await, json!({"n": 4}));
    running.to_session(&other_id).send("news", &json!({"n": 5})).unwrap();
    let is_of_other = json!({"type": "news", "n": 5});
    assert_eq!(other.event().await, is_of_other);
    running.to_user("bob").send("news", &json!({"n": 6})).unwrap();
    assert_eq!(bob.expect("news").await, json!({"n": 6}), "nothing else has come to bob");
    let to = |id: &str| running.to_session(id).send("news", &json!({}));
    assert!(matches!(to("nobody"), Err(EventSendError::NoSession)));
    let kept = running.to_session(&ann_id).keep().send("news", &json!({}));
    assert!(matches!(kept, Err(EventSendError::NoRoom)));
    let unwritable = running.to_session(&ann_id).send("news", &json!([1]));
    assert!(matches!(unwritable, Err(EventSendError::Unwritable(_))));
}

/// BC-02: the same from a handler: to another session, by its id.
#[tokio::test]
async fn handlers_speak_to_one_session() {
    let whisper = async |context: Context, said: Value| -> Result<Value, EventError> {
        context.to_session(text(&said, "to")).send("whisper", &said)?;
        Ok(json!({}))
    };
    let site = AppSite::start(app().on("whisper", whisper)).await;
    let mut ann = site.login("/ws", "ann").await;
    let mut bob = site.try_connect("/ws", Some("bob")).await.unwrap();
    let to = bob.created().await["sessionId"].clone();
    ask(&mut ann, "whisper", json!({"to": to, "text": "psst"})).await;
    assert_eq!(bob.expect("whisper").await["text"], "psst");
    let nobody = ask(&mut ann, "whisper", json!({"to": "nobody"})).await;
    assert_eq!((&nobody["code"], &nobody["reason"]), (&json!(404), &json!("no_session")));
}

/// What is said outside of routes is in the codec of the application's own route, or of its first where it has no own;
/// one that speaks no events has no say.
#[tokio::test]
async fn what_runs_speaks_the_codec_of_its_routes() {
    let raw = || Route::raw(async |_, _, _| ());
    let tagged = || Route::events().codec(Codec::Tagged);
    for (app, is_tagged) in [
        (App::new(), false),
        (App::new().route("/raw", raw()).route("/a", tagged()), true),
        (App::new().codec(Codec::Tagged), true),
        (App::new().on("a", async |_: Context, _: Value| ()).route("/a", tagged()), false),
    ] {
        let site = AppSite::start(app).await;
        site.running.to_room("lobby").keep().send("news", &json!({})).unwrap();
        let page = serde_json::to_value(site.running.history().before("lobby", None, 1)).unwrap();
        assert_eq!(page["events"][0]["event"]["type"] == "news", is_tagged, "{page}");
    }
}

/// Joins and leaves are told as events: who is here, by name.
fn told() -> App {
    app().presence("presence", |change| {
        let is_here = change.kind == PresenceKind::Joined;
        let room = change.room.name();
        (room != "quiet").then(|| {
            json!({"room": room, "user": change.user.as_deref(), "id": change.peer.as_ref().map(Peer::id), "isHere": is_here})
        })
    })
}

async fn presence(client: &mut AppClient) -> (String, bool) {
    let told = client.expect("presence").await;
    assert_eq!((&told["room"], told["id"].is_u64()), (&json!("lobby"), true));
    (told["user"].as_str().unwrap_or("somebody").to_owned(), told["isHere"].as_bool().unwrap())
}

/// BY-33: one line has the members of a room told who comes and who goes, as events; not who it is about, and
/// nobody where there is nothing to be told.
#[tokio::test]
async fn by_33_joins_and_leaves_are_events() {
    let site = AppSite::start(told()).await;
    let mut ann = site.login("/ws", "ann").await;
    for room in ["lobby", "quiet"] {
        ask(&mut ann, "join", json!({"room": room})).await;
    }
    let mut bob = site.login("/ws", "bob").await;
    let mut bobs_other = site.login("/ws", "bob").await;
    let mut guest = site.connect("/ws").await;
    for client in [&mut bob, &mut bobs_other, &mut guest] {
        for room in ["lobby", "quiet"] {
            ask(client, "join", json!({"room": room})).await;
        }
    }
    assert_eq!(presence(&mut ann).await, ("bob".to_owned(), true));
    assert_eq!(presence(&mut ann).await, ("somebody".to_owned(), true));
    let users = site.running.hub().room("lobby").users();
    assert_eq!(users.iter().map(|user| &**user).collect::<Vec<_>>(), ["ann", "bob"]);
    let peers = site.running.hub().room("lobby").peers().await;
    assert_eq!(peers.iter().filter(|peer| peer.user() == Some("bob")).count(), 2);
    ask(&mut bob, "leave", json!({"room": "lobby"})).await;
    // The other one of Bob is there still.
    within(guest.socket.close(1000, "")).await.unwrap();
    assert_eq!(presence(&mut ann).await, ("somebody".to_owned(), false));
    within(bobs_other.socket.close(1000, "")).await.unwrap();
    assert_eq!(presence(&mut ann).await, ("bob".to_owned(), false));
}

/// BY-33: a session that waits for its client is still there, and nobody is told.
#[tokio::test]
async fn by_33_who_is_away_is_there() {
    let site = AppSite::start(told()).await;
    let mut ann = site.login("/ws", "ann").await;
    ask(&mut ann, "join", json!({"room": "lobby"})).await;
    let mut bob = site.login("/ws", "bob").await;
    ask(&mut bob, "join", json!({"room": "lobby"})).await;
    assert_eq!(presence(&mut ann).await, ("bob".to_owned(), true));
    drop(bob);
    let suspended = async {
        while site.running.sessions().suspended() == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(suspended).await;
    let mut cat = site.login("/ws", "cat").await;
    ask(&mut cat, "join", json!({"room": "lobby"})).await;
    assert_eq!(presence(&mut ann).await, ("cat".to_owned(), true));
}

/// BY-33: where the hub has no place for it, it is told later, all of it and in order.
#[tokio::test]
async fn by_33_a_full_hub_is_told_later() {
    let app = told().hub(Hub::builder().job_queue(2)).on(
        "flicker",
        async |context: Context, _: Value| {
            // Without a break, so that the worker has no turn in between.
            for _ in 0..10 {
                context.join("lobby").unwrap();
                context.leave("lobby");
            }
            context.join("lobby").unwrap();
        },
    );
    let site = AppSite::start(app).await;
    let mut ann = site.login("/ws", "ann").await;
    ask(&mut ann, "join", json!({"room": "lobby"})).await;
    let mut bob = site.login("/ws", "bob").await;
    bob.send("flicker", json!({})).await;
    for change in 0..21 {
        assert_eq!(presence(&mut ann).await, ("bob".to_owned(), change % 2 == 0));
    }
}

/// EV-07: refusals of doors and rooms are shown where a handler's error is one for the client.
#[tokio::test]
async fn refusals_are_errors_for_the_client() {
    let hub = Hub::builder().room_members_max(1).on_join(|_, room| room != "attic");
    let app = app().hub(hub).on("guess", async |_: Context, _: Value| -> Result<(), EventError> {
        Err(AuthError::RateLimited { retry_after: Duration::from_secs(1) }.into())
    });
    let site = AppSite::start(app).await;
    let mut ann = site.connect("/ws").await;
    ask(&mut ann, "join", json!({"room": "lobby"})).await;
    let mut bob = site.connect("/ws").await;
    for (event, room, code, reason, message) in [
        ("join", "attic", 403, json!("refused"), JoinError::Refused.to_string()),
        (
            "join",
            "a\u{7}b",
            422,
            json!("room_name"),
            JoinError::Name { bytes_max: 128 }.to_string(),
        ),
        (
            "join",
            "lobby",
            503,
            json!("room_full"),
            JoinError::RoomFull { members_max: 1 }.to_string(),
        ),
        ("guess", "", 429, Value::Null, "too many attempts".to_owned()),
    ] {
        let error = ask(&mut bob, event, json!({"room": room})).await;
        assert_eq!((&error["code"], &error["message"]), (&json!(code), &json!(message)));
        assert_eq!(error["reason"], reason, "{message}");
    }
}
