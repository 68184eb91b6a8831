//! Routes: parameters, guards, codecs, raw handlers, pages. Over real sockets.

#![cfg(feature = "app")]

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::{App, Codec, Context, EventError, Route, Visitor, authenticated, role};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::Peer;
use sockeye::{NetStream, WebSocket};
use tokio::sync::mpsc;

use crate::support::app::AppSite;
use crate::support::server::within;

fn by_token() -> impl sockeye::auth::Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some("root") => Ok(Identity::new("root").with_role("admin")),
        Some("guest") => Ok(Identity::guest()),
        Some(user) => Ok(Identity::new(user)),
    })
}

fn told() -> Route {
    Route::events().on("who", async |context: Context, _: Value| {
        json!({"user": context.user_id(), "session": context.param("session_id")})
    })
}

/// RT-01, RT-02, EX-12: routes by path, parameters decoded, unknown paths 404.
#[tokio::test]
async fn rt_02_paths_have_parameters() {
    let app = App::new()
        .route("/ws/game/{session_id}", told())
        .route("/ws/data", told())
        .route("/files/{*rest}", Route::events().on("rest", async |context: Context, _: Value| {
            json!({"rest": context.visitor().param("rest"), "path": context.visitor().request().path()})
        }));
    let site = AppSite::start(app).await;
    for (path, session) in [
        ("/ws/game/42", json!("42")),
        ("/ws/game/a%20b+c%2F", json!("a b+c/")),
        ("/ws/data", Value::Null),
        ("/ws/data?x=1", Value::Null),
    ] {
        let mut client = site.connect(path).await;
        client.send("who", json!({})).await;
        assert_eq!(client.expect("who.ack").await["session"], session, "{path}");
    }
    let mut client = site.connect("/files/a/b").await;
    client.send("rest", json!({})).await;
    assert_eq!(client.expect("rest.ack").await, json!({"rest": "a/b", "path": "/files/a/b"}));
    for (path, status) in
        [("/ws", 404), ("/ws/game", 404), ("/ws/game/1/2", 404), ("/ws/game/%zz", 400)]
    {
        assert_eq!(site.status(path, None).await, status, "{path}");
    }
}

/// AU-10, AU-11, AU-12: guards before the upgrade; 401 for nobody, 403 for others.
#[tokio::test]
async fn au_10_guards_stand_before_the_upgrade() {
    let app = App::new()
        .authenticator(by_token())
        .route("/users", told().guard(authenticated()))
        .route("/admins", told().guard(authenticated()).guard(role("admin")))
        .route(
            "/own/{session_id}",
            told().guard(|visitor: &Visitor| {
                match visitor.param("session_id") == visitor.user_id() {
                    true => Ok(()),
                    false => Err(AuthError::Refused),
                }
            }),
        );
    let site = AppSite::start(app).await;
    for (path, token, status) in [
        ("/users", None, 401),
        ("/users", Some("guest"), 401),
        ("/users", Some("ann"), 101),
        ("/admins", None, 401),
        ("/admins", Some("ann"), 403),
        ("/admins", Some("root"), 101),
        ("/own/ann", Some("ann"), 101),
        ("/own/ann", Some("bob"), 403),
        ("/own/ann", None, 403),
    ] {
        match status {
            101 => drop(site.try_connect(path, token).await.unwrap()),
            status => assert_eq!(site.status(path, token).await, status, "{path} {token:?}"),
        }
    }
    let snapshot = site.running.hub().metrics();
    assert!(snapshot.rejected_total() >= 6, "refusals are counted");
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    from: u32,
    to: u32,
}

/// EV-08, ER-09, ER-10: a tagged route speaks S4's shape, errors too.
#[tokio::test]
async fn ev_08_a_tagged_route_speaks_its_own_shape() {
    let tagged = Route::events()
        .codec(Codec::Tagged)
        .on("get-history", async |context: Context, asked: History| {
            let rows: Vec<u32> = (asked.from..asked.to).collect();
            context.reply("history-data", &json!({"data": rows})).map(drop)
        })
        .on("fail", async |_: Context, payload: Value| match payload["known"].as_bool() {
            Some(true) => Err(EventError::new(42, "known").into()),
            _ => Err::<(), Box<dyn std::error::Error + Send + Sync>>("secret".into()),
        });
    let site = AppSite::start(App::new().route("/s4", tagged)).await;
    let mut client = site.connect("/s4").await;
    client.json(json!({"type": "get-history", "requestId": "r1", "from": 2, "to": 4})).await;
    let answer = client.event().await;
    assert_eq!(answer, json!({"type": "history-data", "requestId": "r1", "data": [2, 3]}));
    client.json(json!({"type": "fail", "known": true, "requestId": "r2"})).await;
    let known = json!({"type": "error", "requestId": "r2", "code": 42, "message": "known", "recoverable": true});
    assert_eq!(client.event().await, known);
    client.json(json!({"type": "fail"})).await;
    let masked = json!({"type": "error", "code": 500, "message": "Internal server error", "recoverable": false});
    assert_eq!(client.event().await, masked);
    client.json(json!({"type": "sys.ping", "requestId": "p", "n": 1})).await;
    assert_eq!(client.event().await, json!({"type": "sys.pong", "requestId": "p", "n": 1}));
    client.json(json!({"type": "get-history", "from": "x"})).await;
    let invalid = client.event().await;
    assert_eq!((&invalid["type"], &invalid["code"]), (&json!("error"), &json!(422)));
    assert_eq!(invalid["errors"][0]["field"], "/from");
}

/// SV-09, RT-03, CN-18: a raw handler has the socket, the visitor and the hub's peer.
#[tokio::test]
async fn sv_09_raw_handlers_have_the_socket() {
    let raw = Route::raw(async |mut socket: WebSocket<NetStream>, visitor: Visitor, peer: Peer| {
        // Whatever goes wrong ends the connection.
        let _ = peer.join("raw");
        while let Ok(Some(message)) = socket.recv().await {
            let value: Value = message.parse_json().unwrap();
            let answer = json!({"type": "echo", "data": value, "table": visitor.param("table")});
            if socket.send(sockeye::Message::json(&answer).unwrap()).await.is_err() {
                break;
            }
        }
    });
    let raw = raw.guard(authenticated());
    let app = App::new().authenticator(by_token()).route("/raw/{table}", raw);
    let site = AppSite::start(app).await;
    assert_eq!(site.status("/raw/7", None).await, 401);
    let mut client = site.try_connect("/raw/7", Some("ann")).await.unwrap();
    client.json(json!({"n": 1})).await;
    assert_eq!(client.message().await, json!({"type": "echo", "data": {"n": 1}, "table": "7"}));
    assert_eq!(site.running.hub().room("raw").len(), 1);
    assert_eq!(site.running.hub().user("ann").len(), 1);
    drop(client);
    let report = site.stop().await;
    assert_eq!(report.left, 0);
}

/// SV-11: pages, health and metrics on the same port; metrics for whom a guard lets.
#[tokio::test]
async fn sv_11_pages_are_on_the_same_port() {
    let app = App::new()
        .page("/", "text/html; charset=utf-8", "<h1>hello</h1>")
        .health("/healthz")
        .metrics("/metrics", |request| request.bearer_token() == Some("scraper"))
        .metrics("/open", |_| true);
    let site = AppSite::start(app).await;
    let page = site.get("/").await;
    assert_eq!(page, (200, "text/html; charset=utf-8".to_owned(), "<h1>hello</h1>".to_owned()));
    assert_eq!(site.get("/healthz").await.2, "ok\n");
    assert_eq!(site.get("/metrics").await.0, 403);
    let (status, content_type, body) = site.get("/open").await;
    assert!(status == 200 && content_type.starts_with("text/plain") && body.contains("# TYPE"));
    assert_eq!(site.get("/none").await.0, u16::from(StatusCode::NOT_FOUND));
    assert_eq!(site.get("/ws").await.0, u16::from(StatusCode::UPGRADE_REQUIRED));
    site.connect("/ws").await;
}

/// SV-11: in a page nothing runs, loads or connects but what is from here, unless the application says otherwise.
#[tokio::test]
async fn sv_11_pages_have_a_strict_policy() {
    let strict = || App::new().page("/", "text/html", "hello").browser_client("/sockeye.js");
    let site = AppSite::start(strict()).await;
    for path in ["/", "/sockeye.js"] {
        let policy = site.header(path, "content-security-policy").await.unwrap();
        assert!(policy.starts_with("default-src 'self'; ") && !policy.contains("unsafe"));
        assert_eq!(site.header(path, "x-content-type-options").await.unwrap(), "nosniff");
        assert_eq!(site.header(path, "referrer-policy").await.unwrap(), "no-referrer");
        assert_eq!(site.header(path, "cache-control").await.unwrap(), "no-cache");
    }
    assert_eq!(site.header("/none", "content-security-policy").await, None);
    let policy = http::HeaderValue::from_static("default-src *");
    let language = http::HeaderValue::from_static("en");
    let app = strict().page_header(http::header::CONTENT_SECURITY_POLICY, policy);
    let site = AppSite::start(app.page_header(http::header::CONTENT_LANGUAGE, language)).await;
    assert_eq!(site.header("/", "content-security-policy").await.unwrap(), "default-src *");
    assert_eq!(site.header("/", "content-language").await.unwrap(), "en");
    assert_eq!(site.header("/", "referrer-policy").await.unwrap(), "no-referrer");
}

/// CN-16, CN-17, CN-20: on_open before the first event; several on_close, those of the route and those that one
/// connection has set, each of them, also after one that panics.
#[tokio::test]
async fn cn_17_every_on_close_runs() {
    let (said, mut came) = mpsc::unbounded_channel();
    let say = Arc::new(move |what: &str| said.send(what.to_owned()).unwrap());
    let (opened, first, second, own) = (say.clone(), say.clone(), say.clone(), say.clone());
    let app = App::new()
        .on_open(move |context: Context| {
            let own = own.clone();
            opened("open");
            context.on_close(move |outcome| own(&format!("own {}", u16::from(outcome.code))));
            async move { drop(context.send("welcome", &json!({"n": 1}))) }
        })
        .on_close(move |_, _| {
            first("first");
            std::panic::resume_unwind(Box::new("as asked"));
        })
        .on_close(move |context, _| second(&format!("second {}", context.session_id().len())))
        .on("echo", async |_: Context, payload: Value| payload);
    let site = AppSite::start(app).await;
    let mut client = site.connect("/ws").await;
    assert_eq!(client.expect("welcome").await, json!({"n": 1}));
    client.send("echo", json!({"n": 2})).await;
    assert_eq!(client.expect("echo.ack").await, json!({"n": 2}));
    within(client.socket.close(1000, "bye")).await.unwrap();
    for line in ["open", "first", "second 22", "own 1000"] {
        assert_eq!(within(came.recv()).await.as_deref(), Some(line));
    }
}

/// A browser that sends its token as a subprotocol hears the application's own.
#[tokio::test]
async fn a_subprotocol_is_chosen_where_it_is_offered() {
    let app = App::new().authenticator(by_token()).subprotocol("chat").require_auth();
    let site = AppSite::start(app).await;
    let connector = sockeye::Connector::new(crate::support::pair::quiet())
        .subprotocol("chat")
        .subprotocol("bearer.ann");
    let url = site.url("/ws");
    let socket = within(connector.connect(&url)).await.unwrap();
    assert_eq!(socket.subprotocol(), Some("chat"));
    assert_eq!(site.running.hub().user("ann").len(), 1);
    let site = AppSite::start(App::new().browser_client("/sockeye.js")).await;
    let connector =
        sockeye::Connector::new(crate::support::pair::quiet()).subprotocol("sockeye.v1");
    let url = site.url("/ws");
    let socket = within(connector.connect(&url)).await.unwrap();
    assert_eq!(socket.subprotocol(), Some("sockeye.v1"));
    let (status, content_type, body) = site.get("/sockeye.js").await;
    assert!(
        status == 200 && content_type.starts_with("text/javascript") && body.contains("export")
    );
}
