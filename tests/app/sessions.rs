//! Sessions of an application: what was sent and not seen is sent again, once and in order. Over real sockets.

#![cfg(feature = "app")]

use std::time::Duration;

use serde_json::{Value, json};
use sockeye::app::{App, Context, Route};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::Hub;
use sockeye::session::SessionConfig;
use sockeye::{CloseCode, Message};
use tokio::sync::mpsc;

use crate::support::app::{AppClient, AppSite};
use crate::support::server::within;

fn by_token() -> impl sockeye::auth::Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some(user) => Ok(Identity::new(user)),
    })
}

/// Joins rooms, echoes, and says how often a session was opened.
fn app() -> App {
    App::new()
        .authenticator(by_token())
        .on("join", async |context: Context, payload: Value| {
            context.join(payload["room"].as_str().unwrap_or_default()).unwrap();
            json!({})
        })
        .on("echo", async |_: Context, payload: Value| payload)
        .on("resumed?", async |context: Context, _: Value| json!({"is": context.is_resumed()}))
        .on("ask", async |context: Context, payload: Value| {
            let asked = context.request("question", &payload, Duration::from_secs(20)).await;
            json!({"answer": asked.ok().map(|event| event.name().to_owned())})
        })
}

/// What a client has to know to come back.
#[derive(Clone, Debug)]
struct Ticket {
    id: String,
    token: String,
}

impl Ticket {
    fn of(opening: &Value) -> Self {
        let text = |name: &str| opening[name].as_str().unwrap().to_owned();
        Self { id: text("sessionId"), token: text("token") }
    }
}

async fn begin(site: &AppSite) -> (AppClient, Ticket) {
    let mut client = site.silent("/ws").await;
    let ticket = Ticket::of(&client.created().await);
    (client, ticket)
}

async fn ask_back(client: &mut AppClient, ticket: &Ticket, received: u64) {
    let payload = json!({"sessionId": ticket.id, "token": ticket.token, "received": received});
    client.send("sys.reconnect.request", payload).await;
}

/// Comes back with this number of messages, by the query or by the first message.
async fn come_back(
    site: &AppSite,
    ticket: &Ticket,
    received: u64,
    target: &str,
) -> (AppClient, Value) {
    let mut client = site.silent(target).await;
    if target == "/ws" {
        client.created().await;
    }
    ask_back(&mut client, ticket, received).await;
    let restored = client.message().await;
    assert_eq!(restored["e"], "sys.session.restored", "{restored}");
    let restored = restored["p"].clone();
    (client, restored)
}

/// The session waits for its next connection.
async fn suspended(site: &AppSite, ticket: &Ticket) {
    let waits = async {
        // Its room is the witness: what is said to it is kept.
        while !site.running.sessions().get(&ticket.id).is_some_and(|session| session.is_suspended())
        {
            tokio::task::yield_now().await;
        }
    };
    within(waits).await;
}

fn tell(site: &AppSite, n: u32) {
    site.running.to_room("lobby").send("news", &json!({"n": n})).unwrap();
}

/// SE-02, SE-03, SE-04, HB-10, BY-30, BY-31: the connection falls, the session is suspended and stays in its room; what
/// was said meanwhile and what was not received before comes again, once and in order; the token is another each time.
#[tokio::test]
async fn by_31_a_session_goes_on_exactly() {
    for target in ["/ws", "/ws?resume=1"] {
        let site = AppSite::start(app()).await;
        let (mut client, mut ticket) = begin(&site).await;
        client.ask("join", json!({"room": "lobby"}), "j").await;
        client.expect("join.ack").await;
        let (mut received, mut sent, mut n) = (1, 1, 0);
        for round in 0..3 {
            for _ in 0..5 {
                tell(&site, n);
                n += 1;
            }
            // Two are seen by the application at the other end, and the others not.
            for seen in 0..2 {
                assert_eq!(
                    client.expect("news").await,
                    json!({"n": n - 5 + seen}),
                    "round {round}"
                );
            }
            received += 2;
            drop(client);
            suspended(&site, &ticket).await;
            assert_eq!(site.running.hub().room("lobby").len(), 1);
            for _ in 0..4 {
                tell(&site, n);
                n += 1;
            }
            let (mut next, restored) = come_back(&site, &ticket, received, target).await;
            assert_eq!(restored["restored"], true);
            assert_eq!(
                (&restored["sent"], &restored["received"]),
                (&json!(received), &json!(sent))
            );
            assert_eq!(restored["sessionId"], ticket.id.as_str());
            assert_ne!(restored["token"], ticket.token.as_str());
            for seen in 0..7 {
                assert_eq!(next.expect("news").await, json!({"n": n - 7 + seen}), "round {round}");
            }
            received += 7;
            next.send("resumed?", json!({})).await;
            assert_eq!(next.expect("resumed?.ack").await, json!({"is": true}));
            (received, sent) = (received + 1, sent + 1);
            (client, ticket) = (next, Ticket::of(&restored));
        }
        assert_eq!(site.running.hub().len(), 1);
    }
}

/// EV-03, EV-04, SE-01, SE-03: the events of the protocol, each in its direction: `created` and `restored` to the client,
/// `ping` and `pong` both ways, `error` to the client, and `reconnect.request` to the server.
#[tokio::test]
async fn ev_03_the_events_of_the_protocol() {
    let app = app().on("ping me", async |context: Context, _: Value| {
        context.send("sys.ping", &json!({"n": 1})).unwrap();
    });
    let site = AppSite::start(app).await;
    let mut client = site.silent("/ws").await;
    let created = client.message().await;
    assert_eq!((&created["v"], &created["e"]), (&json!("1.0"), &json!("sys.session.created")));
    let mut names: Vec<_> = created["p"].as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let all = ["ackEvery", "expiresMs", "received", "sent", "sessionId", "token", "userId"];
    assert_eq!(names, all);
    client.ask("sys.ping", json!({"any": "thing"}), "p").await;
    let pong = client.event().await;
    let answer = json!({"v": "1.0", "e": "sys.pong", "p": {"any": "thing"}, "c": "p"});
    assert_eq!(pong, answer);
    client.send("ping me", json!({})).await;
    assert_eq!(client.expect("sys.ping").await, json!({"n": 1}));
    // It is passed over: what comes next is the answer to the question behind it.
    client.send("sys.pong", json!({"n": 1})).await;
    client.ask("nobody.knows", json!({}), "e").await;
    let error = client.event().await;
    assert_eq!((&error["e"], &error["c"]), (&json!("sys.error"), &json!("e")));
    let shown = json!({"code": 404, "message": "unknown event", "recoverable": true});
    assert_eq!(error["p"], shown);
    let ticket = Ticket::of(&created["p"]);
    let (_client, restored) = come_back(&site, &ticket, 3, "/ws?resume=1").await;
    assert_eq!((&restored["restored"], &restored["sessionId"]), (&json!(true), &json!(ticket.id)));
}

fn who(context: &Context) -> Value {
    json!({"session": context.session_id(), "user": context.user_id()})
}

/// SE-06, SV-06: every handler is told session and user, those of events as well as those around them; they are what the client
/// was told, also on the next connection.
#[tokio::test]
async fn se_06_handlers_know_session_and_user() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let (opened, closed) = (told.clone(), told);
    let app = app()
        .on("who", async |context: Context, _: Value| who(&context))
        .on_open(move |context: Context| {
            opened.send(who(&context)).unwrap();
            async {}
        })
        .on_close(move |context, _| closed.send(who(context)).unwrap());
    let site = AppSite::start(app).await;
    for token in [None, Some("ann")] {
        let mut client = site.try_connect("/ws", token).await.unwrap();
        let created = client.created().await;
        let known = json!({"session": created["sessionId"], "user": token});
        client.send("who", json!({})).await;
        assert_eq!(client.expect("who.ack").await, known);
        let mut next = site.try_connect("/ws?resume=1", token).await.unwrap();
        ask_back(&mut next, &Ticket::of(&created), 1).await;
        assert_eq!(next.expect("sys.session.restored").await["userId"], json!(token));
        next.send("who", json!({})).await;
        assert_eq!(next.expect("who.ack").await, known);
        within(next.socket.close(1000, "")).await.unwrap();
        // Two connections have opened, and two have ended.
        for _ in 0..4 {
            assert_eq!(within(heard.recv()).await.unwrap(), known);
        }
    }
}

/// Without a token, with another's, with an old one or with none of such a name nothing is resumed: a new session
/// follows at once.
#[tokio::test]
async fn nothing_is_resumed_without_its_secret() {
    for target in ["/ws", "/ws?resume=1"] {
        let site = AppSite::start(app()).await;
        let (mut victim, ticket) = begin(&site).await;
        let (_other, others) = begin(&site).await;
        let wrong = [
            Ticket { token: String::new(), ..ticket.clone() },
            Ticket { token: others.token.clone(), ..ticket.clone() },
            Ticket { id: "x".repeat(22), ..ticket.clone() },
        ];
        for wrong in wrong {
            let (mut thief, restored) = come_back(&site, &wrong, 0, target).await;
            assert_eq!(restored, json!({"restored": false, "reason": "unknown"}));
            let created = thief.created().await;
            assert_ne!(created["sessionId"], ticket.id.as_str());
            thief.send("echo", json!({"n": 1})).await;
            assert_eq!(thief.expect("echo.ack").await, json!({"n": 1}));
        }
        // Not even a payload that is none.
        let mut thief = site.silent(target).await;
        if target == "/ws" {
            thief.created().await;
        }
        thief.send("sys.reconnect.request", json!({"sessionId": 7})).await;
        assert_eq!(thief.expect("sys.session.restored").await["reason"], "unknown");
        thief.created().await;
        victim.send("echo", json!({"n": 2})).await;
        assert_eq!(victim.expect("echo.ack").await, json!({"n": 2}));
    }
}

/// A18: another user resumes nothing, and the session's own can still.
#[tokio::test]
async fn a18_another_user_resumes_nothing() {
    let site = AppSite::start(app()).await;
    let mut ann = site.try_connect("/ws", Some("ann")).await.unwrap();
    let ticket = Ticket::of(&ann.created().await);
    let mut bob = site.try_connect("/ws?resume=1", Some("bob")).await.unwrap();
    ask_back(&mut bob, &ticket, 0).await;
    assert_eq!(bob.expect("sys.session.restored").await["reason"], "unknown");
    assert_eq!(bob.created().await["userId"], "bob");
    drop(ann);
    suspended(&site, &ticket).await;
    let mut ann = site.try_connect("/ws?resume=1", Some("ann")).await.unwrap();
    ask_back(&mut ann, &ticket, 0).await;
    let restored = ann.expect("sys.session.restored").await;
    assert_eq!((&restored["restored"], &restored["userId"]), (&json!(true), &json!("ann")));
}

/// A19, 4001: a connection that is there still loses the session to the new one; what was sent to it is not handled
/// twice.
#[tokio::test]
async fn a19_a_living_connection_is_taken_over() {
    let site = AppSite::start(app()).await;
    let (mut old, ticket) = begin(&site).await;
    let (mut new, restored) = come_back(&site, &ticket, 0, "/ws?resume=1").await;
    assert_eq!(restored["restored"], true);
    assert_eq!(u16::from(old.ended().await.code), 4001);
    new.send("echo", json!({"n": 1})).await;
    assert_eq!(new.expect("echo.ack").await, json!({"n": 1}));
    assert_eq!((site.running.sessions().len(), site.running.hub().len()), (1, 1));
}

/// SE-05: a session that waits for too long expires, leaves its rooms, and whoever comes too late is told.
#[tokio::test]
async fn se_05_sessions_expire() {
    let mut config = SessionConfig::default();
    config.suspended_for = Duration::from_millis(1);
    let site = AppSite::start(app().sessions(config)).await;
    let (mut client, ticket) = begin(&site).await;
    client.send("join", json!({"room": "lobby"})).await;
    client.expect("join.ack").await;
    drop(client);
    let gone = async {
        while !site.running.hub().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
    assert_eq!((site.running.hub().room("lobby").len(), site.running.sessions().len()), (0, 0));
    let (mut late, restored) = come_back(&site, &ticket, 1, "/ws?resume=1").await;
    assert_eq!(restored, json!({"restored": false, "reason": "expired"}));
    late.created().await;
}

/// BY-31: what is not kept any more is not made up: the client is told that its history is lost.
#[tokio::test]
async fn lost_history_is_told() {
    let mut config = SessionConfig::default();
    config.kept_messages_max = 3;
    let site = AppSite::start(app().sessions(config)).await;
    let (mut client, ticket) = begin(&site).await;
    client.send("join", json!({"room": "lobby"})).await;
    client.expect("join.ack").await;
    drop(client);
    suspended(&site, &ticket).await;
    for n in 0..5 {
        tell(&site, n);
    }
    let all_said = async {
        while site.running.sessions().get(&ticket.id).is_some_and(|session| session.sent() < 6) {
            tokio::task::yield_now().await;
        }
    };
    within(all_said).await;
    let (mut client, restored) = come_back(&site, &ticket, 1, "/ws?resume=1").await;
    assert_eq!(restored, json!({"restored": false, "reason": "history_lost"}));
    client.created().await;
    // Its rooms are left within the next sweep.
    let left = async {
        while !site.running.hub().room("lobby").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(left).await;
}

/// BY-31: the server acknowledges after every sixteen messages, and about a second after the last; what it has had is
/// not sent again.
#[tokio::test(start_paused = true)]
async fn by_31_the_server_acknowledges() {
    let site = AppSite::start(app()).await;
    let (mut client, ticket) = begin(&site).await;
    for n in 0..17 {
        client.send("echo", json!({"n": n})).await;
    }
    let (mut acknowledged, mut echoes) = (Vec::new(), 0);
    while acknowledged.last() != Some(&17) || echoes < 17 {
        let message = client.message().await;
        match message["e"].as_str().unwrap() {
            "sys.ack" => acknowledged.push(message["p"]["received"].as_u64().unwrap()),
            _ => echoes += 1,
        }
    }
    // The second begins to run out when there is nothing left to do.
    assert_eq!(acknowledged, [16, 17]);
    client.send("sys.ack", json!({"received": 17})).await;
    client.send("sys.ack", json!({"received": 99})).await;
    let refused = client.expect("sys.error").await;
    assert_eq!(refused["code"], 400);
    client.send("sys.ack", json!({"received": 18})).await;
    let (_, restored) = come_back(&site, &ticket, 18, "/ws?resume=1").await;
    assert_eq!((&restored["received"], &restored["sent"]), (&json!(17), &json!(18)));
    assert_eq!(site.running.sessions().kept_bytes(), 0);
}

/// BY-32: a question and its answer survive a reconnect.
#[tokio::test]
async fn by_32_a_pending_answer_survives_a_reconnect() {
    let site = AppSite::start(app()).await;
    let (mut client, ticket) = begin(&site).await;
    client.ask("ask", json!({"n": 1}), "a").await;
    let question = client.event().await;
    assert_eq!(question["e"], "question");
    drop(client);
    suspended(&site, &ticket).await;
    let (mut client, _) = come_back(&site, &ticket, 1, "/ws?resume=1").await;
    client.ask("the.answer", json!({}), question["c"].as_str().unwrap()).await;
    let answer = client.event().await;
    assert_eq!((&answer["e"], &answer["c"]), (&json!("ask.ack"), &json!("a")));
    assert_eq!(answer["p"], json!({"answer": "the.answer"}));
}

/// A question that is not the first message is out of place; a goodbye ends the session for good.
#[tokio::test]
async fn sessions_end_with_a_goodbye() {
    let site = AppSite::start(app()).await;
    let (mut client, ticket) = begin(&site).await;
    client.send("echo", json!({"n": 1})).await;
    client.expect("echo.ack").await;
    ask_back(&mut client, &ticket, 1).await;
    assert_eq!(client.expect("sys.error").await["code"], 409);
    within(client.socket.close(1000, "bye")).await.unwrap();
    let gone = async {
        while !site.running.sessions().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
    let (_, restored) = come_back(&site, &ticket, 2, "/ws?resume=1").await;
    assert_eq!(restored["reason"], "unknown");
}

/// A connection that says it resumes may begin with something else, which is handled; nothing is said before.
#[tokio::test]
async fn a_first_message_that_resumes_nothing_is_an_event() {
    let site = AppSite::start(app()).await;
    let mut client = site.silent("/ws?resume=1").await;
    client.send("echo", json!({"n": 1})).await;
    client.created().await;
    assert_eq!(client.expect("echo.ack").await, json!({"n": 1}));
    let mut client = site.silent("/ws?resume=1").await;
    within(client.socket.send(Message::binary(vec![1]))).await.unwrap();
    client.created().await;
    assert_eq!(client.expect("sys.error").await["code"], 415);
}

/// A suspended session takes no connection's place, and a stop ends it.
#[tokio::test]
async fn suspended_sessions_take_no_place() {
    let site = AppSite::start(app().hub(Hub::builder().connections_max(1))).await;
    let (client, ticket) = begin(&site).await;
    assert_eq!(site.status("/ws", None).await, 503);
    drop(client);
    suspended(&site, &ticket).await;
    let (second, other) = begin(&site).await;
    assert_eq!((site.running.sessions().len(), site.running.hub().len()), (2, 2));
    drop(second);
    suspended(&site, &other).await;
    let report = site.stop().await;
    assert_eq!((report.told, report.left), (0, 0));
}

/// A session goes on where it began: on a route of its codec.
#[tokio::test]
async fn a_session_goes_on_on_its_route() {
    let site = AppSite::start(app().route("/other", Route::events())).await;
    let (client, ticket) = begin(&site).await;
    drop(client);
    suspended(&site, &ticket).await;
    let (_, restored) = come_back(&site, &ticket, 0, "/other?resume=1").await;
    assert_eq!(restored["reason"], "unknown");
    let (_, restored) = come_back(&site, &ticket, 0, "/ws?resume=1").await;
    assert_eq!(restored["restored"], true);
}

/// A client that says it resumes and then nothing is closed with 4408.
#[tokio::test(start_paused = true)]
async fn a_silent_resumer_is_closed() {
    let site = AppSite::start(app()).await;
    let mut client = site.silent("/ws?resume=1").await;
    let outcome = client.ended().await;
    assert_eq!(outcome.code, CloseCode::from(4408));
}

/// A handler that is at work when its connection falls answers on the next one. While it works nothing is read, so
/// the server has not seen the end: the session is taken over.
#[tokio::test]
async fn an_answer_finds_the_next_connection() {
    let (begun, mut started) = mpsc::unbounded_channel();
    let (go, gate) = tokio::sync::watch::channel(false);
    let app = App::new().on("slow", move |_: Context, _: Value| {
        let (begun, mut gate) = (begun.clone(), gate.clone());
        async move {
            begun.send(()).unwrap();
            gate.wait_for(|is_open| *is_open).await.unwrap();
            json!({"done": true})
        }
    });
    let site = AppSite::start(app).await;
    let (mut client, ticket) = begin(&site).await;
    client.ask("slow", json!({}), "s").await;
    within(started.recv()).await.unwrap();
    drop(client);
    let (mut client, restored) = come_back(&site, &ticket, 0, "/ws?resume=1").await;
    assert_eq!(restored["received"], 1, "it need not be sent again");
    go.send(true).unwrap();
    let answer = client.event().await;
    assert_eq!((&answer["e"], &answer["c"]), (&json!("slow.ack"), &json!("s")));
}
