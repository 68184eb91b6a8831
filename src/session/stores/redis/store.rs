//! Redis, or Valkey, as the store.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, FromRedisValue};
use tokio::time::timeout;

use crate::client::BoxFuture;
use crate::pubsub::redis::{Redis, Seeds, info_of, kind_of};
use crate::session::stores::error::{StoreError, StoreErrorKind};
use crate::session::stores::fault::of;
use crate::session::stores::session_store::{Put, Record, SessionStore, Wrote};
use crate::sync::Arc;

use super::cluster::Cluster;
use super::server::Server;

/// Compares and writes in one step. Epochs are compared as texts: Lua's numbers are not as long.
const PUT: &str = "local e = redis.call('HGET', KEYS[1], 'e') or '0'
if e ~= ARGV[1] then if e == '0' then return 1 else return 2 end end
redis.call('HSET', KEYS[1], 'e', ARGV[2], 'b', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 0";

/// What is too long is not sent.
const GET: &str = "local n = redis.call('HSTRLEN', KEYS[1], 'b')
if n > tonumber(ARGV[1]) then return {redis.call('HGET', KEYS[1], 'e'), n, false} end
return {redis.call('HGET', KEYS[1], 'e'), n, redis.call('HGET', KEYS[1], 'b')}";

const REMOVE: &str =
    "if redis.call('HGET', KEYS[1], 'e') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// The longest record that is read, in bytes.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest that a record is kept, in milliseconds: a year.
const KEEP_MS_MAX: u128 = 366 * 24 * 3600 * 1000;

/// Records in a Redis server, by its URL, as that of [`Redis`], TLS included, or in a Redis Cluster, as that of
/// [`RedisCluster`](crate::pubsub::redis::RedisCluster). Each is one key, a hash with the prefix before the session's name, and is
/// changed by a script, in one step.
///
/// One connection to each server does all; where it is lost the next call makes another. No call takes longer than
/// [`deadline`](Self::deadline).
///
/// **In a cluster** a record is where its key's slot is. Where a node says that it is another's (`MOVED`), that one is asked at
/// once, which the rest of the cluster may not know of yet, and soon the cluster, where everything is (once in 100 ms at most).
/// Where this comes to nothing, or a node cannot be reached, the cluster is asked anew and all is tried once more. Not tried
/// again is what may have been done already: a put with another epoch whose answer was lost is
/// [`StoreErrorKind::Unreachable`]. A record whose slot is on its way from one node to another is found on either (`ASK`).
/// Either is followed once, to whichever node of the cluster it names, with the same user and password; `TRYAGAIN` is asked again
/// until the deadline.
///
/// **What Redis loses is lost**: with a standby that takes over before it has the last writes, an epoch may go back, and two nodes
/// have a session for as long as it takes until one of them writes.
///
/// ```no_run
/// use sockeye::app::App;
/// use sockeye::session::stores::RedisStore;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let app = App::new().session_store(RedisStore::new("redis://:password@127.0.0.1:6379")?.prefix("chat:session:"));
/// # drop(app);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    servers: Arc<Servers>,
    prefix: Arc<str>,
    deadline: Duration,
}

enum Servers {
    One(Server),
    Cluster(Cluster),
}

/// What is asked of the server that has the key.
struct Script {
    key: String,
    command: Cmd,
    /// Twice is as once.
    may_repeat: bool,
}

impl RedisStore {
    /// The server at a URL: `redis://user:password@host:port`, or `redis+unix:///path`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`StoreErrorKind::Setting`] for what is no such URL.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let redis = Redis::new(url).map_err(|error| of(&error))?;
        Ok(Self::of(Servers::One(Server::new(info_of(&redis).clone()))))
    }

    /// The nodes of a cluster at these URLs, with commas between them: one is enough to find the others by, and several are for
    /// when it is away. Nothing is connected yet.
    ///
    /// The user may need `CLUSTER SLOTS`, `ASKING`, `EVAL`, and what the scripts do to hashes with the prefix.
    ///
    /// # Errors
    /// [`StoreErrorKind::Setting`] for what are no such URLs, or cannot be of a cluster: a Unix socket, or another database
    /// than 0.
    ///
    /// ```no_run
    /// use sockeye::session::stores::RedisStore;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = RedisStore::cluster("redis://:password@10.0.0.1:6379,redis://:password@10.0.0.2:6379")?;
    /// # drop(store);
    /// # Ok(()) }
    /// ```
    pub fn cluster(urls: &str) -> Result<Self, StoreError> {
        let seeds = Seeds::parse(urls).map_err(|error| of(&error))?;
        Ok(Self::of(Servers::Cluster(Cluster::new(seeds))))
    }

    fn of(servers: Servers) -> Self {
        let deadline = Duration::from_secs(1);
        Self { servers: Arc::new(servers), prefix: "sockeye:session:".into(), deadline }
    }

    /// What stands before the name of each session in its key (default `sockeye:session:`): that of one application.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a call may take, connecting included (default 1 s): then it is [`StoreErrorKind::Timeout`], and the next one
    /// connects again.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs a script on the key of a session.
    async fn run<T: FromRedisValue>(&self, script: Script) -> Result<T, StoreError> {
        let Script { key, command, may_repeat } = script;
        let asking = async {
            match &*self.servers {
                Servers::One(server) => {
                    server.ask(&command).await.map_err(|failed| kind_of(&failed.error))
                }
                Servers::Cluster(cluster) => cluster.ask(&key, &command, may_repeat).await,
            }
        };
        match timeout(self.deadline, asking).await {
            Ok(asked) => asked.map_err(|error| of(&error)),
            Err(_) => Err(StoreError::new(StoreErrorKind::Timeout)),
        }
    }

    fn script(&self, text: &str, id: &str) -> Script {
        let key = format!("{}{id}", self.prefix);
        let mut command = Cmd::new();
        command.arg("EVAL").arg(text).arg(1).arg(&key);
        Script { key, command, may_repeat: true }
    }
}

impl SessionStore for RedisStore {
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            let mut script = self.script(GET, id);
            script.command.arg(RECORD_BYTES_MAX);
            type Found = (Option<String>, usize, Option<Vec<u8>>);
            let (epoch, _, bytes): Found = self.run(script).await?;
            let Some(epoch) = epoch else { return Ok(None) };
            let answer = || StoreError::new(StoreErrorKind::Answer);
            let epoch = epoch.parse().map_err(|_| answer())?;
            let bytes = Bytes::from(bytes.ok_or_else(answer)?);
            Ok(Some(Record { epoch, bytes }))
        })
    }

    fn put<'a>(&'a self, id: &'a str, put: Put) -> BoxFuture<'a, Result<Wrote, StoreError>> {
        Box::pin(async move {
            let keep_ms = put.keep_for.as_millis().clamp(1, KEEP_MS_MAX) as u64;
            let mut script = self.script(PUT, id);
            let arguments = script.command.arg(put.expected).arg(put.epoch);
            arguments.arg(&put.bytes[..]).arg(keep_ms);
            // Otherwise the second would find what the first has written.
            script.may_repeat = put.expected == put.epoch;
            match self.run::<u8>(script).await? {
                0 => Ok(Wrote::Done),
                1 => Ok(Wrote::Missing),
                2 => Ok(Wrote::Taken),
                _ => Err(StoreError::new(StoreErrorKind::Answer)),
            }
        })
    }

    fn remove<'a>(&'a self, id: &'a str, epoch: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut script = self.script(REMOVE, id);
            script.command.arg(epoch);
            self.run::<u64>(script).await.map(drop)
        })
    }
}

/// Neither URL nor password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
