//! Redis, or Valkey, as the broker.
//!
//! One connection that speaks RESP3 (Redis 6 or later, any Valkey) does all: what is published is written as one
//! pipeline, and what comes is pushed beside the answers. Plain `SUBSCRIBE`: a Redis Cluster carries each message to all
//! of its nodes; sharded pub/sub, which would not, is not used.
//!
//! **TLS** is a feature of the `redis` crate, which this crate does not force on anyone: depend on it beside this one,
//! with the feature `tokio-rustls-comp` and a version that is the same, and give a URL that begins with `rediss:`.
//!
//! **Limits.** Redis cuts a subscriber that is too slow (`client-output-buffer-limit pubsub`, 32 MB by default): the bus
//! connects again, with a gap.

use std::fmt;
use std::sync::OnceLock;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, ProtocolVersion,
    PushInfo, PushKind, RedisError, ServerErrorKind, Value,
};

use crate::client::BoxFuture;
use crate::sync::Arc;

use super::broker::{Broker, BusMessage, Incoming, PubSub};
use super::error::{PubSubError, PubSubErrorKind};
use super::inbox::{CONNECTION_LIMITS, Inbox};

/// A Redis server, by its URL.
///
/// ```no_run
/// use sockeye::pubsub::{Bus, BusConfig, redis::Redis};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Redis::new("redis://:password@127.0.0.1:6379")?;
/// let (bus, mut events) = Bus::start(redis, BusConfig::default());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Redis {
    client: Client,
}

impl Redis {
    /// The server at a URL: `redis://user:password@host:port`, or `redis+unix:///path`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`PubSubErrorKind::Setting`] for what is no such URL.
    pub fn new(url: &str) -> Result<Self, PubSubError> {
        // What is wrong with the URL is not told: it may have the password in it.
        let setting = |_: RedisError| PubSubError::new(PubSubErrorKind::Setting);
        let info = url.into_connection_info().map_err(setting)?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(setting)?;
        Ok(Self { client })
    }
}

impl Broker for Redis {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        Box::pin(async {
            let inbox = Arc::new(Inbox::new(CONNECTION_LIMITS));
            let error = Arc::new(OnceLock::new());
            let (pushed, wrong) = (inbox.clone(), error.clone());
            // The bus has a deadline for everything.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None)
                .set_push_sender(move |info| receive(info, &pushed, &wrong));
            let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
            let connection = connecting.await.map_err(|error| of_connecting(&error))?;
            Ok(Box::new(Line { connection, inbox, error }) as Box<dyn PubSub>)
        })
    }
}

/// A connection; its task is the crate's, which ends it when the last clone is dropped.
struct Line {
    connection: MultiplexedConnection,
    inbox: Arc<Inbox>,
    /// Why it ended, if it was no plain loss.
    error: Arc<OnceLock<PubSubErrorKind>>,
}

/// What the server pushes. Confirmations are answers as well.
fn receive(
    info: PushInfo,
    inbox: &Inbox,
    error: &OnceLock<PubSubErrorKind>,
) -> Result<(), PubSubError> {
    match info.kind {
        PushKind::Message => match message(info.data) {
            Some(message) => {
                inbox.push(message);
            }
            None => {
                let _ = error.set(PubSubErrorKind::Answer);
                inbox.end();
            }
        },
        PushKind::Disconnection => inbox.end(),
        _ => {}
    }
    Ok(())
}

fn message(data: Vec<Value>) -> Option<BusMessage> {
    let mut values = data.into_iter();
    let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
        (values.next(), values.next())
    else {
        return None;
    };
    let channel = String::from_utf8(channel).ok()?;
    Some(BusMessage { channel: channel.into(), payload: payload.into() })
}

impl Line {
    async fn ask(&self, command: &'static str, names: &[Arc<str>]) -> Result<(), PubSubError> {
        let names = names.iter().map(AsRef::as_ref).collect::<Vec<&str>>();
        let mut connection = self.connection.clone();
        let asked = match command {
            "SUBSCRIBE" => connection.subscribe(&names[..]).await,
            _ => connection.unsubscribe(&names[..]).await,
        };
        asked.map_err(|error| of(&error))
    }
}

impl PubSub for Line {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(async move {
            let mut pipeline = Pipeline::with_capacity(messages.len());
            for message in messages {
                pipeline.cmd("PUBLISH").arg(&*message.channel).arg(&message.payload[..]).ignore();
            }
            let mut connection = self.connection.clone();
            pipeline.query_async::<()>(&mut connection).await.map_err(|error| of(&error))
        })
    }

    fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(self.ask("SUBSCRIBE", channels))
    }

    fn unsubscribe<'a>(
        &'a self,
        channels: &'a [Arc<str>],
    ) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(self.ask("UNSUBSCRIBE", channels))
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        let why = || *self.error.get().unwrap_or(&PubSubErrorKind::Lost);
        Box::pin(async move { self.inbox.next().await.ok_or_else(|| PubSubError::new(why())) })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(async {
            let mut connection = self.connection.clone();
            let ping = Cmd::new().arg("PING").to_owned();
            ping.query_async::<()>(&mut connection).await.map_err(|error| of(&error))
        })
    }
}

/// What makes connections.
#[allow(dead_code, reason = "without feature `app` no session is kept there")]
pub(crate) const fn client_of(redis: &Redis) -> &Client {
    &redis.client
}

/// What an error is, without credentials.
#[allow(dead_code, reason = "without feature `app` no session is kept there")]
pub(crate) fn kind_of(error: &RedisError) -> PubSubError {
    of(error)
}

fn of_connecting(error: &RedisError) -> PubSubError {
    match of(error) {
        other if other.kind() != PubSubErrorKind::Lost => other,
        lost => {
            let unreachable = PubSubError::new(PubSubErrorKind::Unreachable);
            match std::error::Error::source(&lost) {
                Some(source) => unreachable.with_source(source.to_string()),
                None => unreachable,
            }
        }
    }
}

/// Only the code of what a server says is told: in its words may be what it was told.
fn of(error: &RedisError) -> PubSubError {
    let kind = match error.kind() {
        ErrorKind::AuthenticationFailed => PubSubErrorKind::Refused,
        ErrorKind::Server(ServerErrorKind::NoPerm) => PubSubErrorKind::Refused,
        ErrorKind::InvalidClientConfig => PubSubErrorKind::Setting,
        ErrorKind::RESP3NotSupported | ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            PubSubErrorKind::Answer
        }
        ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => PubSubErrorKind::Refused,
            _ => PubSubErrorKind::Answer,
        },
        _ => PubSubErrorKind::Lost,
    };
    let source = error.code().map_or_else(|| error.category().to_owned(), str::to_owned);
    PubSubError::new(kind).with_source(source)
}

/// Neither URL nor password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
