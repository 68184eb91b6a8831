//! What it costs to go on with a session: on its own node, on another that asks the first, and from the store.
//!
//! `cargo bench --bench moves --features app,redis,nats`
//!
//! Client and nodes are one process with one thread, and `redis-server` and `nats-server` are others: a time is that of the whole
//! way, from the first byte of the new connection to the answer that the session is there again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use sockeye::app::{App, Running};
use sockeye::hub::cluster::ClusterConfig;
use sockeye::hub::{Hub, Shutdown};
use sockeye::pubsub::nats::Nats;
use sockeye::pubsub::redis::Redis;
use sockeye::session::stores::{NatsStore, Put, RedisStore, SessionStore, Wrote};
use sockeye::{Connector, NetStream, WebSocket};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sessions that are resumed, one after the other.
const SESSIONS: usize = 200;

/// Records that are written and read, and how many calls there are at a time.
const RECORDS: usize = 50_000;
const CALLS: usize = 64;
const RECORD_BYTES: usize = 1_000;

/// Everything that is waited for comes sooner.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server of its own, until it is dropped.
struct Server {
    child: Child,
    address: String,
    /// What it writes, if anything.
    data: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

impl Server {
    fn redis(&self) -> Result<RedisStore, Failure> {
        Ok(RedisStore::new(&format!("redis://{}", self.address))?)
    }

    fn nats(&self) -> Result<NatsStore, Failure> {
        Ok(NatsStore::new(Nats::new(&self.address)?))
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(measure()));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), Failure> {
    let redis = start("redis-server").await?;
    if let Some(server) = &redis {
        println!("resume, {SESSIONS} sessions one after the other: median, 99 %");
        let broker = Some(Redis::new(&format!("redis://{}", server.address))?);
        let (one, two) = (server.redis()?, server.redis()?);
        let [one, two] = [node(broker.clone(), one).await?, node(broker, two).await?];
        while one.hub().metrics().cluster.is_none_or(|cluster| cluster.nodes == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        resume("on its own node", &one, &one).await?;
        resume("on another node", &one, &two).await?;
        end(one).await?;
        end(two).await?;
        from_the_store("from the store, Redis", server.redis()?, server.redis()?).await?;
    }
    let nats = start("nats-server").await?;
    if let Some(server) = &nats {
        from_the_store("from the store, NATS", server.nats()?, server.nats()?).await?;
    }
    println!("store, {RECORDS} records of {RECORD_BYTES} bytes, {CALLS} calls at a time: a second");
    if let Some(server) = &redis {
        store("Redis", server.redis()?).await?;
    }
    if let Some(server) = &nats {
        store("NATS", server.nats()?).await?;
    }
    Ok(())
}

/// `None`: it is not installed.
async fn start(program: &str) -> Result<Option<Server>, Failure> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let port = TcpListener::bind(any)?.local_addr()?.port().to_string();
    let data = std::env::temp_dir().join(format!("sockeye-moves-{port}"));
    let mut command = Command::new(program);
    match program {
        "redis-server" => command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]),
        _ => command.args(["-a", "127.0.0.1", "-p", &port, "-js", "-sd"]).arg(&data),
    };
    command.current_dir(std::env::temp_dir());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("NOT MEASURED: {program} is not installed");
            return Ok(None);
        }
        child => child?,
    };
    let server = Server { child, address: format!("127.0.0.1:{port}"), data };
    let listens = async {
        while tokio::net::TcpStream::connect(&server.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await?;
    Ok(Some(server))
}

/// A node that writes its sessions down; alone, or one that others know of.
async fn node(broker: Option<Redis>, store: impl SessionStore) -> Result<Running, Failure> {
    let mut hub = Hub::builder();
    if let Some(broker) = broker {
        hub = hub.cluster(broker, ClusterConfig::default());
    }
    let app = App::new().host("127.0.0.1").port(0).hub(hub).session_store(store);
    Ok(app.start().await?)
}

/// Two nodes that know nothing of each other: the second finds the sessions as if the first were gone.
async fn from_the_store<S: SessionStore>(what: &str, one: S, two: S) -> Result<(), Failure> {
    let [one, two] = [node(None, one).await?, node(None, two).await?];
    resume(what, &one, &two).await?;
    end(one).await?;
    end(two).await
}

async fn end(node: Running) -> Result<(), Failure> {
    node.stop(Shutdown::new(Duration::from_secs(1))).await?;
    Ok(())
}

/// What a client has to know of its session.
struct Ticket {
    id: Value,
    token: Value,
}

async fn connect(node: &Running, target: &str) -> Result<WebSocket<NetStream>, Failure> {
    let connector = Connector::new(sockeye::Config::default()).subprotocol("sockeye.v1");
    let url = format!("ws://{}{target}", node.local_addrs()[0]);
    Ok(tokio::time::timeout(PATIENCE, connector.connect(&url)).await??)
}

/// The payload of the next event.
async fn next(socket: &mut WebSocket<NetStream>) -> Result<Value, Failure> {
    let message = tokio::time::timeout(PATIENCE, socket.recv()).await??.ok_or("it has ended")?;
    let event: Value = serde_json::from_str(message.as_text().ok_or("no text")?)?;
    Ok(event["p"].clone())
}

/// Sessions that fall on one node and go on at the other.
async fn resume(what: &str, from: &Running, to: &Running) -> Result<(), Failure> {
    let mut tickets = Vec::new();
    for _ in 0..SESSIONS {
        let mut socket = connect(from, "/ws").await?;
        let created = next(&mut socket).await?;
        let ticket = Ticket { id: created["sessionId"].clone(), token: created["token"].clone() };
        // It falls: who says goodbye does not come back.
        drop(socket);
        tickets.push(ticket);
    }
    // What falls is written at once; a little later all are.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut times = Vec::new();
    for Ticket { id, token } in tickets {
        let began = Instant::now();
        let mut socket = connect(to, "/ws?resume=1").await?;
        let payload = json!({"sessionId": id, "token": token, "received": 0});
        let request = json!({"v": "1.0", "e": "sys.reconnect.request", "p": payload});
        socket.send(request.to_string()).await?;
        let restored = next(&mut socket).await?;
        times.push(began.elapsed());
        if restored["restored"] == json!(false) {
            return Err(format!("{what}: {restored}").into());
        }
        socket.close(1000, "").await?;
    }
    times.sort();
    let [median, high] = [times[SESSIONS / 2], times[SESSIONS * 99 / 100]];
    println!("| {what} | {} us | {} us |", median.as_micros(), high.as_micros());
    Ok(())
}

/// Calls a second, and how long one takes where there are others.
async fn store(name: &str, store: impl SessionStore + Clone) -> Result<(), Failure> {
    let bytes = Bytes::from(vec![b'x'; RECORD_BYTES]);
    for what in ["put", "put again", "get"] {
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for call in 0..CALLS {
            let (store, bytes) = (store.clone(), bytes.clone());
            calls.spawn(async move {
                for record in (call..RECORDS).step_by(CALLS) {
                    let id = format!("{record:022}");
                    let keep_for = Duration::from_secs(60);
                    let expected = u64::from(what == "put again");
                    let put = Put { expected, epoch: 1, bytes: bytes.clone(), keep_for };
                    let is_done = match what {
                        "get" => store.get(&id).await?.is_some_and(|found| found.bytes == bytes),
                        _ => store.put(&id, put).await? == Wrote::Done,
                    };
                    if !is_done {
                        return Err(format!("{what} of record {record}").into());
                    }
                }
                Ok::<(), Failure>(())
            });
        }
        while let Some(ended) = calls.join_next().await {
            ended??;
        }
        println!("| {name}, {what} | {:.0} |", RECORDS as f64 / began.elapsed().as_secs_f64());
    }
    Ok(())
}
