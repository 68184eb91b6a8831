//! The broker between the nodes: one that is there, or one of our own.

use std::env::var;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use sockeye::app::App;
use sockeye::pubsub::nats::Nats;
use sockeye::pubsub::redis::{Redis, RedisCluster};
use sockeye::session::stores::{NatsStore, RedisStore};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::children::parent_is_gone;
use super::fleet::Ended;
use super::stop;

/// How long a program may take until it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// Where Debian puts what only administrators are thought to start.
const FOLDERS: [&str; 3] = ["", "/usr/sbin/", "/usr/local/sbin/"];

/// What a missing broker is told with.
pub(crate) const MISSING: &str = "there is no broker to start: neither redis-server nor nats-server is installed\n\
     on Debian and Ubuntu: apt-get install redis-server      (or: apt-get install nats-server)\n\
     or name one that runs: --redis redis://HOST:6379        (or: --nats nats://HOST:4222)";

/// A broker by its URL.
pub(crate) struct Broker {
    /// What a child finds it by, in its environment: others may see a command line, and there may be a password in it.
    pub(crate) variable: &'static str,
    pub(crate) url: String,
}

impl Broker {
    pub(crate) fn redis(url: &str) -> Result<Self, String> {
        Redis::new(url).map_err(|error| format!("--redis: {error}"))?;
        Ok(Self { variable: "REDIS_URL", url: url.to_owned() })
    }

    pub(crate) fn redis_cluster(urls: &str) -> Result<Self, String> {
        RedisCluster::new(urls).map_err(|error| format!("--redis-cluster: {error}"))?;
        Ok(Self { variable: "REDIS_CLUSTER_URLS", url: urls.to_owned() })
    }

    pub(crate) fn nats(url: &str) -> Result<Self, String> {
        Nats::new(url).map_err(|error| format!("--nats: {error}"))?;
        Ok(Self { variable: "NATS_URL", url: url.to_owned() })
    }

    pub(crate) fn of_env() -> Result<Self, String> {
        match (var("REDIS_URL"), var("REDIS_CLUSTER_URLS"), var("NATS_URL")) {
            (Ok(url), ..) => Self::redis(&url),
            (_, Ok(urls), _) => Self::redis_cluster(&urls),
            (_, _, Ok(url)) => Self::nats(&url),
            _ => Err("--redis, --redis-cluster or --nats is missing".to_owned()),
        }
    }

    /// The application as a node. The broker has its sessions as well, so that they survive a node that is killed: NATS with
    /// JetStream, and without it they end with their node.
    pub(crate) fn join(&self, app: App) -> Result<App, Box<dyn std::error::Error>> {
        Ok(match self.variable {
            "REDIS_URL" => {
                let store = RedisStore::new(&self.url)?.prefix("sockeye:cluster:");
                app.pubsub(Redis::new(&self.url)?).session_store(store)
            }
            "REDIS_CLUSTER_URLS" => {
                let store = RedisStore::cluster(&self.url)?.prefix("sockeye:cluster:");
                app.pubsub(RedisCluster::new(&self.url)?).session_store(store)
            }
            _ => {
                let nats = Nats::new(&self.url)?;
                let store = NatsStore::new(nats.clone()).bucket("sockeye-cluster")?;
                app.pubsub(nats).session_store(store)
            }
        })
    }
}

/// A broker that can be started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Redis,
    Nats,
}

impl Program {
    pub(crate) const ALL: [Self; 2] = [Self::Redis, Self::Nats];

    /// Of the option and of the URL.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }

    /// Also the Debian package's.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
        }
    }

    pub(crate) fn at(self, port: u16) -> Result<Broker, String> {
        let url = format!("{}://127.0.0.1:{port}", self.scheme());
        match self {
            Self::Redis => Broker::redis(&url),
            Self::Nats => Broker::nats(&url),
        }
    }

    /// Nothing that it writes outlives it. `None`: it is not installed.
    fn start(self, port: u16, data: &Path) -> io::Result<Option<Child>> {
        let port = port.to_string();
        let args: &[&str] = match self {
            Self::Redis => &["--bind", "127.0.0.1", "--port", &port, "--save", ""],
            Self::Nats => &["-a", "127.0.0.1", "-p", &port, "-js", "-sd"],
        };
        for folder in FOLDERS {
            let mut command = Command::new(format!("{folder}{}", self.name()));
            command.args(args).args((self == Self::Nats).then_some(data));
            command.current_dir(std::env::temp_dir()).kill_on_drop(true);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            match command.spawn() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                started => return started.map(Some),
            }
        }
        Ok(None)
    }
}

impl FromStr for Program {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|program| program.scheme() == text).ok_or(())
    }
}

/// Starts a broker and ends it with this process, whose end its parent's is.
pub(crate) async fn run(program: Program, port: u16) -> Ended {
    let data = std::env::temp_dir().join(format!("sockeye-cluster-{}", std::process::id()));
    let ended = run_on(program, port, &data).await;
    // It may never have written anything.
    let _ = std::fs::remove_dir_all(&data);
    ended
}

async fn run_on(program: Program, port: u16, data: &Path) -> Ended {
    let Some(mut child) = program.start(port, data)? else {
        // The parent reads it: see `fleet`.
        println!("{} is not installed", program.name());
        return Ok(());
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    tokio::select! {
        listening = timeout(STARTS_WITHIN, listens(address)) => listening?,
        status = child.wait() => return Err(format!("{} ended: {}", program.name(), status?).into()),
    }
    let stopped = stop::asked();
    println!("{} is at {}://{address}", program.name(), program.scheme());
    tokio::select! {
        _ = parent_is_gone() => {}
        () = stopped => {}
        status = child.wait() => return Err(format!("{} ended: {}", program.name(), status?).into()),
    }
    child.kill().await?;
    Ok(())
}

async fn listens(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
