//! NATS as the store of sessions, the real program, and fakes of it.

#![cfg(all(unix, feature = "nats", feature = "app"))]

use std::time::Duration;

use sockeye::pubsub::nats::Nats;
use sockeye::session::stores::{NatsStore, SessionStore, StoreErrorKind, Wrote};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::stored::{by_42_survives_a_restart, by_42_survives_its_node};
use crate::support::nats::{Fake, Folder, INFO, LOGIN, Server, ask, broker_at};
use crate::support::programs::free_port;
use crate::support::redis_cluster::until;
use crate::support::server::within;
use crate::support::stores::{conforms, put};

const MINUTE: Duration = Duration::from_secs(60);

/// A server that keeps what it is given in a folder of its own.
async fn server() -> Option<(Server, Folder)> {
    server_with("").await
}

async fn server_with(more: &str) -> Option<(Server, Folder)> {
    let folder = Folder::new();
    let settings = format!("{LOGIN}jetstream {{ store_dir: {:?} }}\n{more}", folder.0);
    Some((Server::start(&settings).await?, folder))
}

fn store(server: &Server) -> NatsStore {
    NatsStore::new(server.broker()).deadline(MINUTE)
}

async fn kind(store: &NatsStore) -> Option<StoreErrorKind> {
    within(store.get("a")).await.err().map(|error| error.kind())
}

/// What is written past every store.
async fn forge(server: &Server, id: &str, value: &[u8]) {
    let subject = format!("$KV.sockeye-sessions.{id}");
    let answer = ask(server.address(), &subject, value).await;
    assert!(answer.contains("\"seq\":"), "{answer}");
}

#[tokio::test]
async fn by_42_nats_is_a_store() {
    let Some((server, _folder)) = server().await else { return };
    conforms(store(&server)).await;
    // Another one has seen nothing before, and finds the bucket.
    conforms(store(&server)).await;
}

#[tokio::test]
async fn by_42_a_session_survives_its_node_by_nats() {
    let Some((server, _folder)) = server().await else { return };
    by_42_survives_its_node(store(&server)).await;
    by_42_survives_a_restart(store(&server)).await;
}

/// BY-42: of two nodes, each with a connection and what it has seen, one has a session that both want, and the other cannot write.
#[tokio::test]
async fn by_42_of_two_nodes_one_has_it_by_nats() {
    let Some((server, _folder)) = server().await else { return };
    let nodes = [store(&server), store(&server)];
    for round in 0..50 {
        let id = round.to_string();
        assert_eq!(nodes[round % 2].put(&id, put(0, 1, "", MINUTE)).await.unwrap(), Wrote::Done);
        for node in &nodes {
            assert_eq!(node.get(&id).await.unwrap().unwrap().epoch, 1);
        }
        let mut claims = JoinSet::new();
        for (number, node) in nodes.iter().cloned().enumerate() {
            let id = id.clone();
            claims.spawn(async move {
                let claim = put(1, 2, &number.to_string(), MINUTE);
                (number, node.put(&id, claim).await.unwrap())
            });
        }
        let mut wrote = within(claims.join_all()).await;
        wrote.sort_by_key(|(_, wrote)| *wrote != Wrote::Done);
        assert_eq!([wrote[0].1, wrote[1].1], [Wrote::Done, Wrote::Taken]);
        let (winner, loser) = (wrote[0].0, wrote[1].0);
        assert_eq!(nodes[loser].put(&id, put(1, 1, "x", MINUTE)).await.unwrap(), Wrote::Taken);
        assert_eq!(nodes[winner].put(&id, put(2, 2, "own", MINUTE)).await.unwrap(), Wrote::Done);
        // What the other has seen is not the last thing any more.
        assert_eq!(nodes[loser].get(&id).await.unwrap().unwrap().bytes, "own");
        assert_eq!(nodes[winner].put(&id, put(2, 2, "again", MINUTE)).await.unwrap(), Wrote::Done);
        assert_eq!(nodes[loser].put(&id, put(2, 3, "", MINUTE)).await.unwrap(), Wrote::Done);
        nodes[winner].remove(&id, 2).await.unwrap();
        assert_eq!(nodes[winner].get(&id).await.unwrap().unwrap().epoch, 3);
        nodes[winner].remove(&id, 3).await.unwrap();
        assert_eq!(nodes[loser].put(&id, put(3, 3, "", MINUTE)).await.unwrap(), Wrote::Missing);
        // Nor is what it has seen a reason to say that it is somebody else's.
        assert_eq!(nodes[loser].put(&id, put(0, 4, "", MINUTE)).await.unwrap(), Wrote::Done);
        assert_eq!(nodes[winner].put(&id, put(4, 5, "", MINUTE)).await.unwrap(), Wrote::Done);
        assert_eq!(nodes[loser].put(&id, put(5, 6, "", MINUTE)).await.unwrap(), Wrote::Done);
        nodes[winner].remove(&id, 6).await.unwrap();
        assert_eq!(nodes[loser].get(&id).await.unwrap(), None);
    }
}

/// BY-42: a server that is killed and started again has the records, and what was seen of them is not believed.
#[tokio::test]
async fn by_42_nats_goes_and_comes() {
    let Some((mut server, _folder)) = server().await else { return };
    let store = store(&server);
    assert_eq!(store.put("a", put(0, 1, "one", MINUTE)).await.unwrap(), Wrote::Done);
    server.program.kill();
    assert_eq!(kind(&store).await, Some(StoreErrorKind::Unreachable));
    assert_eq!(kind(&store).await, Some(StoreErrorKind::Unreachable));
    assert!(server.program.run().await);
    until("it is back", async || kind(&store).await.is_none()).await;
    assert_eq!(store.get("a").await.unwrap().unwrap().bytes, "one");
    assert_eq!(store.put("a", put(1, 2, "two", MINUTE)).await.unwrap(), Wrote::Done);
}

/// BY-42: a bucket that somebody has deleted is made anew, and what was in it is gone.
#[tokio::test]
async fn by_42_a_bucket_that_is_gone_is_made_anew() {
    let Some((server, _folder)) = server().await else { return };
    let store = store(&server);
    for call in 0..2 {
        assert_eq!(store.put("a", put(0, 1, "one", MINUTE)).await.unwrap(), Wrote::Done);
        let answer = ask(server.address(), "$JS.API.STREAM.DELETE.KV_sockeye-sessions", b"").await;
        assert!(answer.contains("\"success\":true"), "{answer}");
        let gone = match call {
            0 => within(store.get("a")).await.map(drop),
            _ => within(store.put("a", put(1, 1, "one", MINUTE))).await.map(drop),
        };
        assert_eq!(gone.unwrap_err().kind(), StoreErrorKind::Unreachable);
        assert_eq!(store.get("a").await.unwrap(), None);
    }
}

/// BY-42: what is no record is no answer, breaks nothing, and stays; what somebody has removed is not there.
#[tokio::test]
async fn by_42_a_record_of_somebody_else_by_nats() {
    let Some((server, _folder)) = server().await else { return };
    let store = store(&server);
    assert_eq!(store.get("a").await.unwrap(), None);
    // Of another format: what follows would make sense.
    let newer: Vec<u8> =
        [2; 1].into_iter().chain(1u64.to_be_bytes()).chain(60_000u64.to_be_bytes()).collect();
    for poison in [&b""[..], b"{}", &[1; 16], &[1; 40], &newer] {
        forge(&server, "b", poison).await;
        let errors = [
            store.get("b").await.unwrap_err(),
            store.put("b", put(0, 1, "", MINUTE)).await.unwrap_err(),
            store.remove("b", 1).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), StoreErrorKind::Answer, "{error:?}");
        }
    }
    // Each bucket is a store of its own.
    let other = store.clone().bucket("other").unwrap();
    assert_eq!(other.put("b", put(0, 1, "", MINUTE)).await.unwrap(), Wrote::Done);
    assert_eq!(store.get("a").await.unwrap(), None);
}

/// BY-42: a name that a client made up asks for nothing but itself.
#[tokio::test]
async fn by_42_names_are_no_subjects() {
    let Some((server, _folder)) = server().await else { return };
    let store = store(&server);
    assert_eq!(store.put("abc", put(0, 1, "one", MINUTE)).await.unwrap(), Wrote::Done);
    let long = "x".repeat(10_000);
    for id in [">", "*", "a*", "a.b", "", " ", "a\r\nPING\r\n", "=clock", "\"", "ä", &long] {
        assert_eq!(store.get(id).await.unwrap(), None, "{id:?}");
        assert_eq!(store.put(id, put(0, 7, id, MINUTE)).await.unwrap(), Wrote::Done, "{id:?}");
        assert_eq!(store.get(id).await.unwrap().unwrap().bytes, id);
    }
    assert_eq!(store.get("abc").await.unwrap().unwrap().bytes, "one");
    for wrong in ["", "a.b", "*", "a b", &"x".repeat(65)] {
        let error = store.clone().bucket(wrong).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Setting, "{wrong}");
    }
}

/// BY-42: what the server does not take is refused here; what the bucket does not take, by it; and all goes on.
#[tokio::test]
async fn by_42_what_is_too_much_for_nats() {
    let Some((server, _folder)) = server_with("max_payload: 4096\n").await else { return };
    let store = store(&server);
    assert_eq!(store.record_bytes_max(), 1024 * 1024 - 256);
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.record_bytes_max(), 4096 - 256);
    let longest = "x".repeat(4096 - 256);
    assert_eq!(store.put("a", put(0, 1, &longest, MINUTE)).await.unwrap(), Wrote::Done);
    let error = store.put("a", put(1, 1, &format!("{longest}x"), MINUTE)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error:?}");
    assert_eq!(store.get("a").await.unwrap().unwrap().bytes, longest);
    let narrow = store.clone().bucket("narrow").unwrap();
    let config = br#"{"name":"KV_narrow","subjects":["$KV.narrow.>"],"max_bytes":8000,
        "discard":"new","max_msgs_per_subject":5,"allow_rollup_hdrs":true,"storage":"memory"}"#;
    let made = ask(server.address(), "$JS.API.STREAM.CREATE.KV_narrow", config).await;
    assert!(made.contains("did_create"), "{made}");
    assert_eq!(narrow.put("a", put(0, 1, &longest, MINUTE)).await.unwrap(), Wrote::Done);
    let error = narrow.put("b", put(0, 1, &longest, MINUTE)).await.map(|_| ());
    let kinds = match error {
        Ok(()) => narrow.put("c", put(0, 1, &longest, MINUTE)).await.unwrap_err().kind(),
        Err(error) => error.kind(),
    };
    assert_eq!(kinds, StoreErrorKind::Full);
    let config = br#"{"name":"KV_short","subjects":["$KV.short.>"],"max_msg_size":1000,
        "max_msgs_per_subject":1,"allow_rollup_hdrs":true,"storage":"memory"}"#;
    let made = ask(server.address(), "$JS.API.STREAM.CREATE.KV_short", config).await;
    assert!(made.contains("did_create"), "{made}");
    let short = store.clone().bucket("short").unwrap();
    assert_eq!(short.get("a").await.unwrap(), None);
    assert_eq!(short.record_bytes_max(), 1000 - 256);
    let fits = put(0, 1, &longest[..1000 - 256], MINUTE);
    assert_eq!(short.put("a", fits).await.unwrap(), Wrote::Done);
    narrow.remove("a", 1).await.unwrap();
    assert_eq!(narrow.get("a").await.unwrap(), None);
}

/// BY-42: of a session that is longer than the server takes the oldest messages are left out.
#[tokio::test]
async fn by_42_a_session_fits_into_what_nats_takes() {
    let Some((server, _folder)) = server_with("max_payload: 4096\n").await else { return };
    crate::stored_faults::by_42_fits(store(&server)).await;
}

/// BY-42: a bucket keeps records for as long as it was told, and what is to be kept for longer is no secret.
#[tokio::test]
async fn by_42_a_bucket_forgets() {
    let Some((server, _folder)) = server().await else { return };
    let store = store(&server).keep_max(Duration::from_secs(1));
    let error = store.put("a", put(0, 1, "", MINUTE)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Setting, "{error:?}");
    let info = "$JS.API.STREAM.INFO.KV_sockeye-sessions";
    let short = put(0, 1, &"x".repeat(500), Duration::from_secs(1));
    assert_eq!(store.put("a", short).await.unwrap(), Wrote::Done);
    let messages = async || ask(server.address(), info, b"").await.contains("\"messages\":0,");
    until("nothing is left", messages).await;
    assert_eq!(store.get("a").await.unwrap(), None);
    // It keeps what it was made with.
    let longer = store.clone().keep_max(MINUTE);
    assert_eq!(
        longer.put("a", put(0, 1, "", MINUTE)).await.unwrap_err().kind(),
        StoreErrorKind::Setting
    );
}

/// BY-42: without JetStream it says so at once, and so it does where the user may not.
#[tokio::test]
async fn by_42_nats_without_jetstream() {
    let Some(server) = Server::start(LOGIN).await else { return };
    let plain = store(&server);
    let error = within(plain.get("a")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Setting, "{error:?}");
    assert!(format!("{error:?}").contains("JetStream is not enabled"), "{error:?}");
    drop(server);
    let accounts = "accounts { A { jetstream: enabled, users: [{user: a, password: a}] }\n\
        B { users: [{user: b, password: b}] }\n\
        C { jetstream: enabled, users: [{user: c, password: c, permissions: {publish: x, subscribe: \"_INBOX.>\"}}] } }\n";
    let folder = Folder::new();
    let settings = format!("jetstream {{ store_dir: {:?} }}\n{accounts}", folder.0);
    let Some(server) = Server::start(&settings).await else { return };
    for (user, expected) in
        [("a", None), ("b", Some(StoreErrorKind::Setting)), ("c", Some(StoreErrorKind::Refused))]
    {
        let url = format!("nats://{user}:{user}@{}", server.address());
        let store = NatsStore::new(Nats::new(&url).unwrap()).deadline(MINUTE);
        assert_eq!(kind(&store).await, expected, "{user}");
    }
}

/// BY-42: no call takes longer than it may, and no error names the password.
#[tokio::test]
async fn by_42_nats_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = broker_at(silent.local_addr().unwrap());
    let silent = NatsStore::new(broker).deadline(Duration::from_millis(30));
    assert_eq!(kind(&silent).await, Some(StoreErrorKind::Timeout));
    let Some((server, _folder)) = server().await else { return };
    let wrong = format!("nats://bus:wr0ng@{}", server.address());
    let refused = NatsStore::new(Nats::new(&wrong).unwrap()).get("a").await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused, "{refused:?}");
    let store = store(&server);
    assert_eq!(store.get("a").await.unwrap(), None);
    let store = store.deadline(Duration::from_millis(200));
    server.program.stop();
    assert_eq!(kind(&store).await, Some(StoreErrorKind::Timeout));
    server.program.signal(rustix::process::Signal::CONT);
    until("it goes on", async || kind(&store).await.is_none()).await;
    let texts = format!("{refused} {refused:?} {store:?} {silent:?}");
    assert!(!texts.contains("wr0ng") && !texts.contains("s3cret"), "{texts}");
    let headless = Fake::start(INFO, "PONG\r\n").await;
    let old = NatsStore::new(headless.broker());
    assert_eq!(kind(&old).await, Some(StoreErrorKind::Setting));
}

/// BY-42: of several servers one is enough.
#[tokio::test]
async fn by_42_one_nats_server_is_enough() {
    let Some((server, _folder)) = server().await else { return };
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let urls = format!("nats://{gone},nats://bus:tops3cret@{},nats://{gone}", server.address());
    for _ in 0..3 {
        let store = NatsStore::new(Nats::new(&urls).unwrap()).deadline(MINUTE);
        assert_eq!(store.get("a").await.unwrap(), None);
    }
}

/// Servers that are one cluster.
async fn cluster() -> Option<Vec<(Server, Folder)>> {
    let ports = [free_port(), free_port(), free_port()];
    let routes = ports.map(|port| format!("\"nats://127.0.0.1:{port}\"")).join(", ");
    let mut servers = Vec::new();
    for port in ports {
        let folder = Folder::new();
        let settings = format!(
            "server_name: n{port}\njetstream {{ store_dir: {:?} }}\n{LOGIN}\
             cluster {{ name: c, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n",
            folder.0
        );
        servers.push((Server::start(&settings).await?, folder));
    }
    Some(servers)
}

/// BY-42: whichever servers of a cluster nodes are at, of those that want a session at the same time one has it.
#[tokio::test]
async fn by_42_a_cluster_of_nats_servers() {
    let Some(servers) = cluster().await else { return };
    let nodes: Vec<_> = servers.iter().map(|(server, _)| impatient(server)).collect();
    for node in &nodes {
        until("they have a leader", async || node.get("a").await.is_ok()).await;
    }
    one_has_it(&nodes).await;
}

/// Without a leader they answer nothing.
fn impatient(server: &Server) -> NatsStore {
    store(server).deadline(Duration::from_secs(5))
}

async fn one_has_it(nodes: &[NatsStore]) {
    assert_eq!(nodes[0].put("a", put(0, 1, "one", MINUTE)).await.unwrap(), Wrote::Done);
    for epoch in 1..50 {
        let mut claims = JoinSet::new();
        for (number, node) in nodes.iter().cloned().enumerate() {
            claims.spawn(async move {
                let claim = put(epoch, epoch + 1, &number.to_string(), MINUTE);
                (number, node.put("a", claim).await.unwrap())
            });
        }
        let wrote = within(claims.join_all()).await;
        let mut winners = wrote.iter().filter(|(_, wrote)| *wrote == Wrote::Done);
        let winner = winners.next().expect("one has it").0;
        assert!(winners.next().is_none(), "{wrote:?}");
        for node in nodes {
            let record = node.get("a").await.unwrap().unwrap();
            assert_eq!((record.epoch, record.bytes), (epoch + 1, winner.to_string().into()));
        }
    }
}

/// BY-42: with replicas all goes on when a server is killed, where the servers compare; those that do not are refused, also with
/// a bucket that is there.
#[tokio::test]
async fn by_42_replicas_of_nats() {
    let Some(mut servers) = cluster().await else { return };
    let nodes: Vec<_> = servers.iter().map(|(server, _)| impatient(server).replicas(3)).collect();
    let is_old = servers[0].0.is_older_than((2, 11)).await;
    if is_old {
        let is_refused = async || kind(&nodes[0]).await == Some(StoreErrorKind::Setting);
        until("they have a leader, and it is refused", is_refused).await;
        let config = br#"{"name":"KV_there","subjects":["$KV.there.>"],"num_replicas":3}"#;
        let create =
            async || ask(servers[0].0.address(), "$JS.API.STREAM.CREATE.KV_there", config).await;
        until("it is there", async || create().await.contains("num_replicas\":3")).await;
        let there = nodes[1].clone().replicas(1).bucket("there").unwrap();
        let error = there.put("a", put(0, 1, "", MINUTE)).await.unwrap_err();
        assert!(format!("{error:?}").contains("2.11"), "{error:?}");
        let answer =
            ask(servers[0].0.address(), "$JS.API.STREAM.INFO.KV_sockeye-sessions", b"").await;
        assert!(answer.contains("stream not found"), "{answer}");
        return;
    }
    for node in &nodes {
        until("they have a leader", async || node.get("a").await.is_ok()).await;
    }
    one_has_it(&nodes).await;
    servers[0].0.program.kill();
    for node in &nodes[1..] {
        let put = async || node.put("a", put(50, 50, "x", MINUTE)).await;
        until("it goes on", async || put().await.is_ok_and(|wrote| wrote == Wrote::Done)).await;
    }
}
