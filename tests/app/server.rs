//! An application's server: the seeds' first program, its settings, its life. Over real sockets.

#![cfg(feature = "app")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::{App, AppError, Context, EventError, Next, Reply, RequestError, Route};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::{Hub, Shutdown};
use sockeye::{CloseCode, Config, Server};
use tokio::sync::{Notify, mpsc};

use crate::support::app::AppSite;
use crate::support::server::within;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Say {
    room_id: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Join {
    room_id: String,
}

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The first program of S0.
fn chat() -> App {
    App::new()
        .on("chat.message", async |context: Context, say: Say| -> Result<()> {
            let said = json!({"userId": context.user_id(), "text": say.text});
            context.to_room(&say.room_id).except_self().send("chat.message", &said)?;
            context.reply("chat.message.ack", &json!({"status": "sent"}))?;
            Ok(())
        })
        .on("room.join", async |context: Context, join: Join| -> Result<()> {
            context.join(&join.room_id)?;
            context.reply("room.joined", &json!({"roomId": join.room_id}))?;
            Ok(())
        })
}

/// Who has a token is its user.
fn by_token() -> impl sockeye::auth::Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some("wrong") => Err(AuthError::Invalid),
        Some("root") => Ok(Identity::new("root").with_role("admin")),
        Some(user) => Ok(Identity::new(user)),
    })
}

/// EX-03, EV-05, EV-06, SV-03, SV-06, SE-01, BC-04: rooms, a reply with its correlation id, a broadcast to all but
/// the speaker.
#[tokio::test]
async fn the_first_program_of_the_seed_works() {
    let site = AppSite::start(chat()).await;
    let mut ann = site.connect("/ws").await;
    let mut bob = site.silent("/ws").await;
    let created = bob.created().await;
    assert_eq!(created["userId"], Value::Null);
    assert_eq!(created["sessionId"].as_str().unwrap().len(), 22);
    assert_eq!((&created["sent"], &created["received"]), (&json!(0), &json!(0)));
    assert!(created["token"].is_string() && created["expiresMs"] == 120_000);
    assert_eq!(created["ackEvery"], 16);
    for client in [&mut ann, &mut bob] {
        client.ask("room.join", json!({"roomId": "lobby"}), "c1").await;
        let joined = client.event().await;
        assert_eq!(
            joined,
            json!({"v": "1.0", "e": "room.joined", "p": {"roomId": "lobby"}, "c": "c1"})
        );
    }
    ann.send("chat.message", json!({"roomId": "lobby", "text": "hello"})).await;
    assert_eq!(ann.expect("chat.message.ack").await, json!({"status": "sent"}));
    assert_eq!(bob.expect("chat.message").await, json!({"userId": null, "text": "hello"}));
    assert_eq!(site.running.hub().room("lobby").len(), 2);
    let (report, _, _) = tokio::join!(site.stop(), ann.ended(), bob.ended());
    assert_eq!((report.told, report.left), (2, 0));
}

/// AU-01, AU-04, ER-12, SV-01: who is known is; who must be is asked, by the server, and by one handler.
#[tokio::test]
async fn users_are_known_and_others_refused() {
    let app = || {
        App::new()
            .authenticator(by_token())
            .on("who", async |context: Context, _: Value| json!({"user": context.user_id()}))
            .on_authenticated("secret", async |_: Context, _: Value| json!({"told": true}))
    };
    let site = AppSite::start(app()).await;
    let mut ann = site.login("/ws", "ann").await;
    ann.send("who", json!({})).await;
    assert_eq!(ann.expect("who.ack").await, json!({"user": "ann"}));
    ann.send("secret", json!({})).await;
    assert_eq!(ann.expect("secret.ack").await, json!({"told": true}));
    let mut nobody = site.connect("/ws").await;
    nobody.ask("secret", json!({}), "s").await;
    let refused = nobody.event().await;
    assert_eq!((&refused["e"], &refused["p"]["code"]), (&json!("sys.error"), &json!(401)));
    assert_eq!(refused["c"], "s");
    assert_eq!(site.status("/ws", Some("wrong")).await, 401);
    let strict = AppSite::start(app().require_auth()).await;
    assert_eq!(strict.status("/ws", None).await, 401);
    strict.login("/ws", "ann").await;
}

/// SV-07: what a handler returns is its answer; nothing is none.
#[tokio::test]
async fn what_a_handler_returns_is_its_answer() {
    let app = App::new()
        .on("value", async |_: Context, _: Value| json!({"n": 1}))
        .on("unit", async |_: Context, _: Value| ())
        .on("none", async |_: Context, _: Value| None::<Value>)
        .on("some", async |_: Context, _: Value| Some(json!({"n": 2})))
        .on("result", async |_: Context, _: Value| Ok::<_, EventError>(json!({"n": 3})))
        .on("own", async |_: Context, _: Value| -> Result<Option<Value>> { Ok(Some(json!({}))) });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    for event in ["unit", "none", "value", "some", "result", "own"] {
        client.ask(event, json!({}), event).await;
    }
    for (event, payload) in [
        ("value", json!({"n": 1})),
        ("some", json!({"n": 2})),
        ("result", json!({"n": 3})),
        ("own", json!({})),
    ] {
        let answer = client.event().await;
        assert_eq!(answer["e"], format!("{event}.ack"));
        assert_eq!((&answer["p"], &answer["c"]), (&payload, &json!(event)));
    }
}

/// SV-04: middleware sees events, changes them, stops them, and is around their handlers; the first is outermost.
#[tokio::test]
async fn middleware_sees_changes_stops_and_wraps() {
    let (seen, mut order) = mpsc::unbounded_channel();
    let inner = seen.clone();
    let app = App::new()
        .middleware(move |next: Next| {
            let seen = seen.clone();
            async move {
                let name = next.event().name().to_owned();
                seen.send(format!("before {name}")).unwrap();
                let reply = next.run().await;
                let has_reply = matches!(&reply, Ok(reply) if reply.payload_json().is_some());
                seen.send(format!("after {name} {has_reply}")).unwrap();
                reply
            }
        })
        .middleware(async |mut next: Next| {
            match next.event().name() {
                "stopped" => return Ok(Reply::none()),
                "refused" => return Err(EventError::new(4030, "not today").into()),
                "old.name" => next.event_mut().set_name("echo")?,
                _ => {}
            }
            next.event_mut().set_payload(&json!({"n": 7}))?;
            next.run().await
        })
        .on("echo", move |context: Context, payload: Value| {
            inner.send(format!("handler {}", context.event())).unwrap();
            async move { payload }
        });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    for event in ["stopped", "refused", "old.name", "echo", "unknown"] {
        client.ask(event, json!({"n": 1}), event).await;
    }
    let refused = client.event().await;
    assert_eq!((&refused["p"]["code"], &refused["c"]), (&json!(4030), &json!("refused")));
    let changed = client.event().await;
    assert_eq!((&changed["e"], &changed["p"]), (&json!("old.name.ack"), &json!({"n": 7})));
    assert_eq!(client.expect("echo.ack").await, json!({"n": 7}));
    assert_eq!(client.expect("sys.error").await["code"], 404);
    let mut came = Vec::new();
    while let Ok(line) = order.try_recv() {
        came.push(line);
    }
    let expected = [
        "before stopped",
        "after stopped false",
        "before refused",
        "after refused false",
        "before old.name",
        "handler echo",
        "after old.name true",
        "before echo",
        "handler echo",
        "after echo true",
        "before unknown",
        "after unknown false",
    ];
    assert_eq!(came, expected);
}

/// BY-32: the server asks the client, from a handler, and the client's next messages are read meanwhile; they are
/// handled afterwards, in order.
#[tokio::test]
async fn a_handler_asks_its_client() {
    let app = App::new()
        .on("begin", async |context: Context, _: Value| -> Result<Value> {
            let answer =
                context.request("name?", &json!({"a": 1}), Duration::from_secs(10)).await?;
            Ok(json!({"name": answer.payload::<Value>()?["name"]}))
        })
        .on("after", async |_: Context, payload: Value| payload)
        .on("refused", async |context: Context, _: Value| -> Result<Value> {
            let asked = context.request("may I?", &(), Duration::from_secs(10)).await;
            let Err(RequestError::Refused(error)) = asked else { return Ok(json!({})) };
            Ok(json!({"code": error.code, "message": error.message}))
        })
        .on("late", async |context: Context, _: Value| -> Result<Value> {
            let asked = context.request("silence", &(), Duration::from_millis(20)).await;
            Ok(json!({"error": asked.unwrap_err().to_string()}))
        });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    client.ask("begin", json!({}), "c1").await;
    let question = client.event().await;
    let id = question["c"].as_str().unwrap();
    assert!(question["e"] == "name?" && id.starts_with("s-") && question["p"]["a"] == 1);
    for n in 0..3 {
        client.send("after", json!({"n": n})).await;
    }
    client.json(json!({"v": "1.0", "e": "sys.ping"})).await;
    assert_eq!(client.event().await["e"], "sys.pong");
    client.ask("name", json!({"name": "ann"}), id).await;
    assert_eq!(client.expect("begin.ack").await, json!({"name": "ann"}));
    for n in 0..3 {
        assert_eq!(client.expect("after.ack").await, json!({"n": n}));
    }
    client.send("refused", json!({})).await;
    let question = client.event().await;
    let no = json!({"code": 404, "message": "no", "recoverable": true});
    client.ask("sys.error", no, question["c"].as_str().unwrap()).await;
    assert_eq!(client.expect("refused.ack").await, json!({"code": 404, "message": "no"}));
    client.send("late", json!({})).await;
    let question = client.event().await;
    assert_eq!(client.expect("late.ack").await["error"], "no answer within 20 ms");
    // Nobody waits any more: it is passed over.
    client.ask("too.late", json!({}), question["c"].as_str().unwrap()).await;
    client.send("after", json!({"n": 9})).await;
    assert_eq!(client.expect("after.ack").await, json!({"n": 9}));
}

/// Handlers of one connection run one after the other, in the order of their events; those of others do not wait.
#[tokio::test]
async fn events_of_a_connection_keep_their_order() {
    let gate = Arc::new(Notify::new());
    let at_gate = gate.clone();
    let app = App::new()
        .on("wait", move |_: Context, _: Value| {
            let gate = at_gate.clone();
            async move {
                gate.notified().await;
                json!({})
            }
        })
        .on("next", async |_: Context, payload: Value| payload);
    let site = AppSite::start(app).await;
    let (mut ann, mut bob) = (site.connect("/ws").await, site.connect("/ws").await);
    ann.send("wait", json!({})).await;
    for n in 0..100 {
        ann.send("next", json!({"n": n})).await;
    }
    bob.send("next", json!({"n": 0})).await;
    assert_eq!(bob.expect("next.ack").await, json!({"n": 0}));
    gate.notify_one();
    ann.expect("wait.ack").await;
    for n in 0..100 {
        assert_eq!(ann.expect("next.ack").await, json!({"n": n}));
    }
}

/// SV-05, SH-01: a stop tells every client, waits for handlers at work, and reports; a second application goes on.
#[tokio::test]
async fn several_applications_start_and_stop() {
    let (first, second) = (AppSite::start(chat()).await, AppSite::start(chat()).await);
    let (mut ann, mut bob) = (first.connect("/ws").await, second.connect("/ws").await);
    let (stopped, outcome) = tokio::join!(first.stop(), ann.ended());
    assert_eq!((stopped.told, stopped.left), (1, 0));
    assert_eq!(outcome.code, CloseCode::GoingAway);
    bob.ask("room.join", json!({"roomId": "r"}), "c").await;
    bob.expect("room.joined").await;
}

/// A handler whose connection has fallen goes on to its end, and a stop waits for it.
#[tokio::test]
async fn a_handler_outlives_its_connection() {
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let done = Arc::new(AtomicUsize::new(0));
    let held = (begun.clone(), gate.clone(), done.clone());
    let app = App::new().on("work", move |_: Context, _: Value| {
        let (begun, gate, done) = held.clone();
        async move {
            begun.notify_one();
            gate.notified().await;
            done.fetch_add(1, Ordering::SeqCst);
        }
    });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    client.send("work", json!({})).await;
    within(begun.notified()).await;
    drop(client);
    gate.notify_one();
    site.stop().await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

/// CN-12, CN-14: while a handler works its client's pings are answered, so much is read behind its message and no more, and a client
/// that goes is noticed: it waits for no handler and no deadline.
#[tokio::test]
async fn a_client_is_listened_to_while_a_handler_works() {
    let (begun, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let held = (begun.clone(), gone.clone());
    let mut config = Config::default();
    (config.ping_interval, config.idle_timeout) = (None, None);
    let app = App::new()
        .hub(Hub::builder().config(config))
        .handler_timeout(Duration::from_secs(3600))
        .on("work", move |context: Context, _: Value| {
            let (begun, gone) = held.clone();
            context.on_close(move |_| gone.notify_one());
            async move {
                begun.notify_one();
                std::future::pending::<()>().await;
            }
        })
        .on("next", async |_: Context, _: Value| {});
    let site = AppSite::start(app).await;
    let received = || site.running.hub().metrics().messages_received;
    for bytes in [0, 40_000] {
        let mut client = site.connect("/ws").await;
        client.send("work", json!({})).await;
        within(begun.notified()).await;
        let before = received();
        let sender = client.socket.sender();
        let listening = async { while client.socket.recv().await.unwrap().is_some() {} };
        tokio::select! {
            answered = within(sender.ping()) => drop(answered.unwrap()),
            () = listening => panic!("it ended"),
        }
        // What is short, or what is long.
        let (ahead, more) = if bytes == 0 { (16, 100) } else { (2, 5) };
        for _ in 0..more {
            client.send("next", json!({"filling": "x".repeat(bytes)})).await;
        }
        within(async {
            while received() < before + ahead {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(received(), before + ahead);
        drop(client);
    }
    let mut client = site.connect("/ws").await;
    client.send("work", json!({})).await;
    within(begun.notified()).await;
    drop(client);
    within(gone.notified()).await;
}

/// What a new session begins with goes to its end, though its client asks for an old one meanwhile.
#[tokio::test]
async fn what_opens_a_session_that_is_given_up_ends() {
    let (begun, gate, ended) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let held = (begun.clone(), gate.clone(), ended.clone());
    let app = App::new().on_open(move |_: Context| {
        let (begun, gate, ended) = held.clone();
        async move {
            begun.notify_one();
            gate.notified().await;
            ended.notify_one();
        }
    });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    within(begun.notified()).await;
    let asked = json!({"sessionId": "none", "token": "none", "received": 0});
    client.send("sys.reconnect.request", asked).await;
    assert_eq!(client.expect("sys.session.restored").await["restored"], false);
    // Of the session that it has instead.
    within(begun.notified()).await;
    for _ in 0..2 {
        gate.notify_one();
        within(ended.notified()).await;
    }
}

/// SV-02: several listeners, settings of the hub and a default room; what makes no sense is refused at the start.
#[tokio::test]
async fn listeners_and_settings() {
    let servers =
        [Server::bind("127.0.0.1:0").await.unwrap(), Server::bind("127.0.0.1:0").await.unwrap()];
    let [first, second] = servers;
    let hub = Hub::builder().default_room("lobby").connections_max(1);
    let running = chat().hub(hub).listen(first).listen(second).start().await.unwrap();
    assert_eq!(running.local_addrs().len(), 2);
    let site = AppSite { running };
    let mut client = site.connect("/ws").await;
    assert_eq!(site.status("/ws", None).await, 503);
    site.running.to_room("lobby").send("news", &json!({"n": 1})).unwrap();
    assert_eq!(client.expect("news").await, json!({"n": 1}));
    site.running.to_all().send("news", &json!({"n": 2})).unwrap();
    assert_eq!(client.expect("news").await, json!({"n": 2}));

    let none = async |_: Context, _: Value| ();
    let twice = App::new().on("a", none).on("a", none).start().await;
    assert!(matches!(twice, Err(AppError::Event { .. })), "{twice:?}");
    let system = App::new().on("sys.ping", none).start().await;
    assert!(matches!(system, Err(AppError::Event { .. })), "{system:?}");
    let route = App::new().route("/a/{b}", Route::events()).route("/a/{c}", Route::events());
    assert!(matches!(route.start().await, Err(AppError::Route { .. })));
    let hub = App::new().hub(Hub::builder().job_queue(0)).start().await;
    assert!(matches!(hub, Err(AppError::Hub(_))));
}

/// LM-01: an application has one default of how long messages may be, whatever else its hub is given; a config that was
/// chosen holds.
#[tokio::test]
async fn lm_01_the_hubs_limits_are_not_those_of_messages() {
    let chosen = |bytes| {
        let mut config = Config::default();
        config.message_bytes_max = bytes;
        Hub::builder().config(config)
    };
    for (app, bytes_max) in [
        (App::new(), 256 * 1024),
        (App::new().hub(Hub::builder()), 256 * 1024),
        (App::new().hub(Hub::builder().connections_max(5)), 256 * 1024),
        (App::new().hub(chosen(100 * 1024)), 100 * 1024),
        (App::new().hub(chosen(512 * 1024)), 512 * 1024),
    ] {
        let site = AppSite::start(app).await;
        assert_eq!(site.running.hub().config().message_bytes_max, bytes_max);
        let mut client = site.connect("/ws").await;
        client.text("x".repeat(bytes_max)).await;
        assert_eq!(client.expect("sys.error").await["code"], 413, "{bytes_max}");
        client.text("x".repeat(bytes_max + 1)).await;
        assert_eq!(client.ended().await.code, CloseCode::MessageTooBig, "{bytes_max}");
    }
    assert_eq!(Hub::builder().build().unwrap().config().message_bytes_max, 64 * 1024);
}

/// HB-11, BC-02: the application keeps values for its handlers, and speaks to users wherever they are.
#[tokio::test]
async fn handlers_share_state_and_speak_to_users() {
    let app = App::new()
        .authenticator(by_token())
        .state(AtomicUsize::new(0))
        .on("count", async |context: Context, _: Value| {
            let count = context.state::<AtomicUsize>().unwrap();
            json!({"n": count.fetch_add(1, Ordering::SeqCst)})
        })
        .on("tell", async |context: Context, payload: Value| -> Result<()> {
            let to = payload["to"].as_str().unwrap_or_default();
            context.to_user(to).send("told", &json!({"by": context.user_id()}))?;
            Ok(())
        });
    let site = AppSite::start(app).await;
    let mut ann = site.login("/ws", "ann").await;
    let (mut bob, mut too) = (site.login("/ws", "bob").await, site.login("/ws", "bob").await);
    ann.send("count", json!({})).await;
    bob.send("count", json!({})).await;
    let counts =
        (ann.expect("count.ack").await["n"].clone(), bob.expect("count.ack").await["n"].clone());
    assert!(counts == (json!(0), json!(1)) || counts == (json!(1), json!(0)));
    ann.send("tell", json!({"to": "bob"})).await;
    assert_eq!(bob.expect("told").await, json!({"by": "ann"}));
    assert_eq!(too.expect("told").await, json!({"by": "ann"}));
}

/// An application that is dropped takes its connections and the handlers that are at work with it.
#[tokio::test]
async fn a_dropped_application_leaves_nothing() {
    let (begun, alive) = (Arc::new(Notify::new()), Arc::new(()));
    let held = (begun.clone(), alive.clone());
    let app = App::new().on("work", move |_: Context, _: Value| {
        let (begun, alive) = held.clone();
        async move {
            begun.notify_one();
            std::future::pending::<()>().await;
            drop(alive);
        }
    });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    client.send("work", json!({})).await;
    within(begun.notified()).await;
    drop(site);
    client.ended().await;
    let gone = async {
        while Arc::strong_count(&alive) > 1 {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
}

/// BY-27, AU-13: TLS on a listener of one's own.
#[cfg(feature = "ring")]
#[tokio::test]
async fn by_27_an_application_speaks_tls() {
    let authority = crate::support::tls::Authority::new();
    let server = Server::bind("127.0.0.1:0").await.unwrap().tls(authority.here());
    let running = chat().listen(server).start().await.unwrap();
    let url = format!("wss://127.0.0.1:{}/ws", running.local_addrs()[0].port());
    let connector =
        sockeye::Connector::new(crate::support::pair::quiet()).tls(authority.connector());
    let mut client =
        crate::support::app::AppClient { socket: within(connector.connect(&url)).await.unwrap() };
    client.created().await;
    client.ask("room.join", json!({"roomId": "lobby"}), "c1").await;
    assert_eq!(client.expect("room.joined").await, json!({"roomId": "lobby"}));
}

/// A stop whose deadline is short drops handlers that are at work.
#[tokio::test]
async fn a_stop_has_a_deadline() {
    let begun = Arc::new(Notify::new());
    let at_work = begun.clone();
    let app = App::new().on("work", move |_: Context, _: Value| {
        at_work.notify_one();
        std::future::pending::<()>()
    });
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    client.send("work", json!({})).await;
    within(begun.notified()).await;
    let stop = site.running.stop(Shutdown::new(Duration::from_millis(50)));
    let (report, outcome) = tokio::join!(within(stop), client.ended());
    assert_eq!(report.unwrap().told, 1);
    assert_eq!(outcome.code, CloseCode::GoingAway);
}
