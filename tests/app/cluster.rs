//! Floor 11: an application on many nodes.

#![cfg(all(feature = "app", feature = "pubsub"))]

use std::time::Duration;

use serde_json::{Value, json};
use sockeye::Connector;
use sockeye::app::client::{ClientOptions, EventClient, Happening};
use sockeye::app::{App, Context, EventError};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::{PresenceKind, Shutdown};
use sockeye::pubsub::Memory;

use crate::support::app::{AppClient, AppSite};
use crate::support::cluster::whole;
use crate::support::pair::quiet;
use crate::support::programs::free_port;
use crate::support::pubsub::SOON;
use crate::support::server::within;

fn by_token() -> impl sockeye::auth::Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some(user) => Ok(Identity::new(user)),
    })
}

/// Joins when others are heard, says to the room and to a user, and tells who comes and goes.
fn app(memory: &Memory) -> App {
    App::new()
        .authenticator(by_token())
        .pubsub(memory.clone())
        .presence("presence", |change| {
            json!({"user": change.user.as_deref(), "isHere": change.kind == PresenceKind::Joined})
        })
        .on("join", async |context: Context, _: Value| -> Result<Value, EventError> {
            let page = context.join_with_history("lobby", 9)?;
            let is_heard = context.hub().room("lobby").subscribed(SOON).await;
            Ok(json!({"isHeard": is_heard, "kept": page.messages.len()}))
        })
        .on("say", async |context: Context, said: Value| -> Result<(), EventError> {
            context.to_room("lobby").keep().except_self().send("said", &said)?;
            context.to_room("lobby").except_user("bob").send("not for bob", &said)?;
            context.to_user("bob").send("for bob", &said)?;
            context.to_all().send("for all", &said)?;
            Ok(())
        })
}

async fn join(client: &mut AppClient) -> Value {
    client.ask("join", json!({}), "a").await;
    loop {
        let answer = client.event().await;
        if answer["c"] == "a" {
            return answer["p"].clone();
        }
    }
}

/// What comes, by name, until this has come.
async fn names_to(client: &mut AppClient, last: &str) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let name = client.event().await["e"].as_str().unwrap().to_owned();
        if name == last {
            names.sort();
            return names;
        }
        names.push(name);
    }
}

/// BY-42: the last node has nobody to give its sessions to, and waits for nobody.
#[tokio::test]
async fn the_last_node_drains_at_once() {
    let site = AppSite::start(app(&Memory::new())).await;
    let mut ann = site.login("/ws", "ann").await;
    join(&mut ann).await;
    let drained = site.running.drain(Shutdown::new(Duration::from_secs(3600)));
    let (report, ended) = tokio::join!(within(drained), ann.ended());
    report.unwrap();
    assert_eq!(u16::from(ended.code), 1001);
}

/// BY-42: a client with the URLs of all nodes begins where there is one, and goes on with its session at another when its
/// own goes away, at once.
#[tokio::test]
async fn a_client_with_several_urls_goes_on_at_the_next() {
    let memory = Memory::new();
    let sites = [AppSite::start(app(&memory)).await, AppSite::start(app(&memory)).await];
    let [here, there] = &sites;
    let knows = async |site: &AppSite| {
        while site.running.hub().metrics().cluster.is_none_or(|cluster| cluster.nodes == 0) {
            tokio::task::yield_now().await;
        }
    };
    within(async { tokio::join!(knows(here), knows(there)) }).await;
    let mut options = ClientOptions::default();
    options.other_urls = vec![here.url("/ws"), there.url("/ws")];
    options.backoff_first = Duration::from_millis(1);
    options.backoff_max = SOON;
    let nowhere = format!("ws://127.0.0.1:{}/ws", free_port());
    let connector =
        Connector::new(quiet()).header(http::header::AUTHORIZATION, "Bearer ann".parse().unwrap());
    let (client, mut incoming) = EventClient::connect(connector, &nowhere, options).unwrap();
    let asked: Value = client.request("join", &json!({}), SOON).await.unwrap();
    assert_eq!(asked["isHeard"], true);
    let session = client.session().unwrap();
    assert_eq!((here.running.sessions().len(), there.running.sessions().len()), (1, 0));
    let [here, there] = sites;
    let drained = here.running.drain(Shutdown::new(SOON));
    let goes_on =
        async { while !matches!(within(incoming.next()).await.unwrap(), Happening::Restored) {} };
    let (report, ()) = tokio::join!(within(drained), goes_on);
    report.unwrap();
    assert_eq!(client.session().unwrap(), session);
    assert_eq!(there.running.sessions().len(), 1);
    there.running.to_room("lobby").send("said", &json!({"n": 1})).unwrap();
    let Some(Happening::Event(event)) = within(incoming.next()).await else {
        panic!("nothing said")
    };
    assert_eq!(event.name(), "said");
}

/// SV-01, SC-01, BY-33, BY-34: rooms, users, all, kept events and who is there are those of all nodes, by the same calls.
#[tokio::test]
async fn two_nodes_are_one_application() {
    let memory = Memory::new();
    let (here, there) = (AppSite::start(app(&memory)).await, AppSite::start(app(&memory)).await);
    let mut ann = here.login("/ws", "ann").await;
    let mut bob = there.login("/ws", "bob").await;
    assert_eq!(join(&mut ann).await, json!({"isHeard": true, "kept": 0}));
    assert_eq!(join(&mut bob).await, json!({"isHeard": true, "kept": 0}));
    // Each is told of the other by its own node, once.
    assert_eq!(ann.expect("presence").await, json!({"user": "bob", "isHere": true}));
    assert_eq!(bob.expect("presence").await, json!({"user": "ann", "isHere": true}));
    ann.send("say", json!({"n": 1})).await;
    let but_bob = there.running.to_room("lobby").except_user("bob");
    but_bob.send("end", &json!({})).unwrap();
    assert_eq!(names_to(&mut bob, "for all").await, ["for bob", "said"]);
    let mut names = Vec::new();
    while names.len() < 3 {
        names.push(ann.event().await["e"].as_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["end", "for all", "not for bob"]);
    // What was kept is kept there as well.
    let mut cid = there.login("/ws", "cid").await;
    assert_eq!(join(&mut cid).await, json!({"isHeard": true, "kept": 1}));
    let cluster = here.running.hub().cluster();
    assert_eq!(whole(cluster.room_members("lobby", SOON).await), 3);
    let closed = cluster.disconnect_user("bob", 4003, "removed", SOON).await.unwrap();
    assert_eq!((whole(closed), u16::from(bob.ended().await.code)), (1, 4003));
    let told = [ann.expect("presence").await, ann.expect("presence").await];
    assert_eq!(told[0], json!({"user": "cid", "isHere": true}));
    // The code says that it does not come back: the session is over, and whoever had it gone.
    assert_eq!(told[1], json!({"user": "bob", "isHere": false}));
    // A node that stops says goodbye, and its users are gone.
    let stopped = there.running.stop(Shutdown::new(SOON));
    let (report, _) = tokio::join!(stopped, cid.ended());
    report.unwrap();
    assert_eq!(ann.expect("presence").await, json!({"user": "cid", "isHere": false}));
    let is_alone = async {
        while !cluster.others().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(is_alone).await;
}
