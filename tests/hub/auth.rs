//! A hub that asks who somebody is.

#![cfg(all(feature = "hub", feature = "auth"))]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use sockeye::auth::{
    AuthError, Credentials, Identity, JwtSigner, JwtVerifier, RoomAuth, Secret, authenticate_fn,
};
use sockeye::frame::CloseCode;
use sockeye::hub::limits::Limits;
use sockeye::hub::metrics::Rejection;
use sockeye::hub::{Handlers, Hub, Shutdown};
use sockeye::{Config, Connector, Message, NetStream, Server, WebSocket};
use tokio::sync::{mpsc, oneshot};

use crate::support::hub::{HubSite, gracefully};
use crate::support::server::within;

fn secret() -> Secret {
    Secret::new(vec![7; 32]).unwrap()
}

/// A token of this user that ends in so many seconds.
fn token(user: &str, seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({"sub": user, "name": "N. N.", "exp": now + seconds});
    JwtSigner::new(secret()).sign(&claims).unwrap()
}

/// AU-05, AU-06, AU-07, AU-08, AU-09, AU-12, HS-10, HS-11, CN-14: one call: the token from header, query or subprotocol, room
/// and password from the query; who it is stays with the connection; what is wrong has its status.
#[tokio::test]
async fn one_call_serves_with_auth() {
    let auth = RoomAuth::new(secret());
    auth.passwords().set("chat", "pass word").unwrap();
    let (said, mut sayings) = mpsc::unbounded_channel();
    let handlers = Handlers::new().on_open(move |connection| {
        let peer = connection.peer();
        let identity = peer.identity().unwrap();
        let rooms = peer.rooms().iter().map(|room| room.name().to_owned()).collect::<Vec<_>>();
        let name = identity.name().map(str::to_owned);
        said.send((peer.user().map(str::to_owned), name, rooms)).unwrap();
    });
    let site = HubSite::with_auth(Hub::new(), auth, handlers).await;
    let ann = token("ann", 600);
    let chat = "room=chat&room_password=pass%20word";
    let by_query = site.connect(&format!("/?token={ann}&{chat}")).await.unwrap();
    let known = (Some("ann".to_owned()), Some("N. N.".to_owned()), vec!["chat".to_owned()]);
    assert_eq!(within(sayings.recv()).await, Some(known.clone()));
    let url = format!("ws://{}/ws?{chat}", site.address);
    let by_header = Connector::new(Config::default())
        .header(AUTHORIZATION, format!("Bearer {ann}").parse().unwrap());
    let by_header = within(by_header.connect(&url)).await.unwrap();
    assert_eq!(within(sayings.recv()).await, Some(known.clone()));
    let entry = format!("bearer.{ann}");
    let by_subprotocol =
        Connector::new(Config::default()).subprotocol(entry).subprotocol("chat.v1");
    let by_subprotocol = within(by_subprotocol.connect(&url)).await.unwrap();
    assert_eq!(within(sayings.recv()).await, Some(known));
    let answer = by_subprotocol.response().unwrap();
    assert!(answer.headers().get("sec-websocket-protocol").is_none(), "tokens are not echoed");
    assert_eq!(site.hub.user("ann").len(), 3);
    assert_eq!(site.hub.room("chat").len(), 3);
    let guest = site.connect(&format!("/?{chat}")).await.unwrap();
    assert_eq!(within(sayings.recv()).await, Some((None, None, vec!["chat".to_owned()])));

    let expired = format!("/?token={}&{chat}", token("ann", 0).replace('"', ""));
    assert!(matches!(site.status(&format!("/?token={ann}x&{chat}")).await, 401));
    assert_eq!(site.status("/?room=chat&room_password=wrong").await, 403);
    assert_eq!(site.status("/?room=other&room_password=wrong").await, 403);
    assert_eq!(site.status("/?room=%zz").await, 400);
    assert_eq!(site.status(&format!("/?room={}", "x".repeat(129))).await, 400);
    // A token within the leeway is taken, and its connection closed at once.
    let mut late = site.connect(&expired).await.unwrap();
    while within(late.recv()).await.is_ok_and(|message| message.is_some()) {}
    assert_eq!(late.outcome().unwrap().code, CloseCode::from(4401));
    drop((by_query, by_header, by_subprotocol, guest));
    site.end(gracefully()).await;
}

/// AU-01, AU-02, AU-03, AU-04, A08: a closure decides, also by asking others; after ten failures within a minute the
/// address gets 429, whatever it presents.
#[tokio::test]
async fn guessing_is_bounded() {
    let auth = authenticate_fn(async |credentials: Credentials| {
        tokio::task::yield_now().await;
        match credentials.token() {
            None => Err(AuthError::Missing),
            Some("right") => Ok(Identity::new("somebody")),
            Some("banned") => Err(AuthError::Refused),
            Some(_) => Err(AuthError::Invalid),
        }
    });
    let site = HubSite::with_auth(Hub::new(), auth, Handlers::new()).await;
    drop(site.connect("/?token=right").await.unwrap());
    for _ in 0..20 {
        assert_eq!(site.status("/").await, 401, "no guess");
    }
    assert_eq!(site.status("/?token=banned").await, 403);
    for guess in 0..9 {
        assert_eq!(site.status(&format!("/?token=guess{guess}")).await, 401);
    }
    assert_eq!(site.status("/?token=guess").await, 429);
    assert_eq!(site.status("/?token=right").await, 429);
    site.end(gracefully()).await;
}

/// LM-03, A39, A43: what can be said before the upgrade is: too many connections of a user are 429, a
/// room the hub would not take is 400.
#[tokio::test]
async fn refusals_come_before_the_upgrade() {
    let mut limits = Limits::default();
    limits.connections_per_user_max = Some(1);
    limits.room_name_bytes_max = 8;
    let hub = Hub::builder().limits(limits).build().unwrap();
    let site = HubSite::with_auth(hub, JwtVerifier::new(secret()), Handlers::new()).await;
    let ann = token("ann", 600);
    let first = site.connect(&format!("/?token={ann}&room=chat")).await.unwrap();
    assert_eq!(site.status(&format!("/?token={ann}")).await, 429);
    drop(site.connect(&format!("/?token={}", token("bob", 600))).await.unwrap());
    for room in ["%20chat", "chat%20", "a%E2%80%A8b", "123456789"] {
        let cat = token("cat", 600);
        assert_eq!(site.status(&format!("/?token={cat}&room={room}")).await, 400, "{room}");
    }
    let rejected = site.hub.metrics().rejected;
    assert_eq!((rejected[&Rejection::UserFull], rejected[&Rejection::BadRequest]), (1, 4));
    drop(first);
    while !site.hub.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(site.connect(&format!("/?token={ann}")).await.unwrap());
    site.end(gracefully()).await;
}

/// BY-24, A09: a token that ends in mid-connection closes it with 4401; a fresh one of the same user
/// renews it, another's does not.
#[tokio::test]
async fn tokens_end_and_are_renewed() {
    let handlers = Handlers::new().on_message(|connection, message| {
        let verifier = JwtVerifier::new(secret());
        let claims = verifier.verify(message.as_text().unwrap(), SystemTime::now()).unwrap();
        let identity = Identity::from_claims(claims).unwrap();
        let answer = if connection.peer().renew(&identity) { "renewed" } else { "not you" };
        connection.send(answer).unwrap();
    });
    let site = HubSite::with_auth(Hub::new(), JwtVerifier::new(secret()), handlers).await;
    let mut lazy = site.connect(&format!("/?token={}", token("ann", 1))).await.unwrap();
    let mut eager = site.connect(&format!("/?token={}", token("ann", 1))).await.unwrap();
    for (user, answer) in [("bob", "not you"), ("ann", "renewed")] {
        eager.send(token(user, 600)).await.unwrap();
        assert_eq!(within(eager.recv()).await.unwrap(), Some(Message::text(answer)));
    }
    while within(lazy.recv()).await.is_ok_and(|message| message.is_some()) {}
    let outcome = lazy.outcome().unwrap();
    assert_eq!((outcome.code, &*outcome.reason), (CloseCode::from(4401), "token expired"));
    assert_eq!(site.hub.user("ann").len(), 1);
    eager.send(token("ann", 600)).await.unwrap();
    assert_eq!(within(eager.recv()).await.unwrap(), Some(Message::text("renewed")));
    drop(eager);
    site.end(gracefully()).await;
}

/// S1's own read loop: a connection the hub knows, read by the application.
#[tokio::test]
async fn ones_own_read_loop() {
    let hub = Hub::new();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<Shutdown>();
    let serving = tokio::spawn({
        let hub = hub.clone();
        async move {
            let on_socket = async |mut socket: WebSocket<NetStream>,
                                   peer: sockeye::hub::Registration,
                                   _| {
                while let Ok(Some(mut reader)) = socket.recv_stream().await {
                    let mut bytes = Vec::new();
                    tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes).await.unwrap();
                    let len = bytes.len();
                    peer.send(format!("{}: {len}", peer.user().unwrap())).await.unwrap();
                }
            };
            let stopped = async { stopped.await.unwrap() };
            let auth = JwtVerifier::new(secret());
            hub.serve_sockets_with_auth(server, auth, on_socket, stopped).await
        }
    });
    let url = format!("ws://{address}/?token={}", token("ann", 600));
    let mut client = within(sockeye::connect(&url)).await.unwrap();
    client.send("four").await.unwrap();
    assert_eq!(within(client.recv()).await.unwrap(), Some(Message::text("ann: 4")));
    hub.broadcast("to all").unwrap();
    assert_eq!(within(client.recv()).await.unwrap(), Some(Message::text("to all")));
    stop.send(Shutdown::new(Duration::from_secs(5))).unwrap();
    assert!(within(client.recv()).await.unwrap().is_none());
    let report = within(serving).await.unwrap().unwrap();
    assert_eq!((report.told, report.ended), (1, 1));
}

/// A07: what a peer has sent, a token among it, is in no `Debug` of a connection.
#[tokio::test]
async fn debug_shows_nothing_that_was_sent() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let config = std::sync::Arc::new(Config::default());
    let mut server = WebSocket::from_stream(ours, sockeye::Role::Server, &config);
    let mut client = WebSocket::from_stream(theirs, sockeye::Role::Client, &config);
    // 109 is what no other field is made of.
    server.send("m".repeat(109)).await.unwrap();
    server.send("m".repeat(109)).await.unwrap();
    within(client.recv()).await.unwrap().unwrap();
    server.feed("m".repeat(109)).unwrap();
    for text in [format!("{client:?}"), format!("{server:?}"), format!("{:?}", client.split().1)] {
        assert!(!text.contains("mmm") && !text.contains("109, 109"), "{text}");
    }
}
