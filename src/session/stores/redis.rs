//! Redis, or Valkey, as the store.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::client::BoxFuture;
use crate::pubsub::redis::{Redis, client_of, kind_of};
use crate::pubsub::{PubSubError, PubSubErrorKind};
use crate::sync::{Arc, Mutex};

use super::error::{StoreError, StoreErrorKind};
use super::session_store::{Put, Record, SessionStore, Wrote};

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

/// Records in a Redis server, by its URL, as that of [`Redis`], TLS included. Each is one key, a hash with the prefix before the
/// session's name, and is changed by a script, in one step.
///
/// One connection does all; where it is lost the next call makes another. No call takes longer than
/// [`deadline`](Self::deadline).
///
/// **What Redis loses is lost**: with a standby that takes over before it has the last writes, an epoch may go back, and two nodes
/// have a session for as long as it takes until one of them writes. The nodes of a Redis Cluster that send clients to each
/// other are not followed: give it a server, or a proxy.
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
    client: Client,
    line: Arc<Mutex<Line>>,
    prefix: Arc<str>,
    deadline: Duration,
}

/// The connection, made by whoever asks first. Another one takes its place when it has failed.
type Line = Arc<OnceCell<MultiplexedConnection>>;

impl RedisStore {
    /// The server at a URL: `redis://user:password@host:port`, or `redis+unix:///path`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`StoreErrorKind::Setting`] for what is no such URL.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let redis = Redis::new(url).map_err(|error| of(&error))?;
        Ok(Self {
            client: client_of(&redis).clone(),
            line: Arc::default(),
            prefix: "sockeye:session:".into(),
            deadline: Duration::from_secs(1),
        })
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
    async fn run<T: FromRedisValue>(&self, script: Cmd) -> Result<T, StoreError> {
        let line = self.line.lock().clone();
        let asked = timeout(self.deadline, self.ask(&line, &script)).await;
        let error = match asked {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => of(&kind_of(&error)),
            Err(_) => StoreError::new(StoreErrorKind::Timeout),
        };
        let is_lost = matches!(error.kind(), StoreErrorKind::Unreachable | StoreErrorKind::Timeout);
        let mut current = self.line.lock();
        if is_lost && Arc::ptr_eq(&current, &line) {
            *current = Line::default();
        }
        Err(error)
    }

    async fn ask<T: FromRedisValue>(&self, line: &Line, script: &Cmd) -> Result<T, RedisError> {
        // The deadline is that of the call.
        let config = AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(None).set_response_timeout(None);
        let connect = || self.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = line.get_or_try_init(connect).await?.clone();
        script.query_async(&mut connection).await
    }

    fn script(&self, text: &str, id: &str) -> Cmd {
        let mut script = Cmd::new();
        script.arg("EVAL").arg(text).arg(1).arg(format!("{}{id}", self.prefix));
        script
    }
}

impl SessionStore for RedisStore {
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            let mut script = self.script(GET, id);
            script.arg(RECORD_BYTES_MAX);
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
            script.arg(put.expected).arg(put.epoch).arg(&put.bytes[..]).arg(keep_ms);
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
            script.arg(epoch);
            self.run::<u64>(script).await.map(drop)
        })
    }
}

fn of(error: &PubSubError) -> StoreError {
    let kind = match error.kind() {
        PubSubErrorKind::Unreachable | PubSubErrorKind::Lost => StoreErrorKind::Unreachable,
        PubSubErrorKind::Refused => StoreErrorKind::Refused,
        PubSubErrorKind::Timeout => StoreErrorKind::Timeout,
        PubSubErrorKind::Answer => StoreErrorKind::Answer,
        PubSubErrorKind::Setting => StoreErrorKind::Setting,
    };
    match std::error::Error::source(error) {
        Some(source) => StoreError::new(kind).with_source(source.to_string()),
        None => StoreError::new(kind),
    }
}

/// Neither URL nor password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
