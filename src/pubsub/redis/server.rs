//! One server.

use std::fmt;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionInfo, IntoConnectionInfo as _, Pipeline, ProtocolVersion, RedisError};

use crate::client::BoxFuture;
use crate::pubsub::broker::{Broker, BusMessage, Incoming, PubSub};
use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::sync::Arc;

use super::fault::{kind_of, of_connecting};
use super::heard::Heard;
use super::line::listen;

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
    info: ConnectionInfo,
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
        Ok(Self { info: info.set_redis_settings(settings) })
    }
}

impl Broker for Redis {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        Box::pin(async {
            let heard = Arc::new(Heard::new());
            let connecting = listen(&self.info, &heard).await;
            let connection = connecting.map_err(|error| of_connecting(kind_of(&error)))?;
            Ok(Box::new(Line { connection, heard }) as Box<dyn PubSub>)
        })
    }
}

struct Line {
    connection: MultiplexedConnection,
    heard: Arc<Heard>,
}

impl Line {
    async fn ask(&self, command: &'static str, names: &[Arc<str>]) -> Result<(), PubSubError> {
        let names = names.iter().map(AsRef::as_ref).collect::<Vec<&str>>();
        let mut connection = self.connection.clone();
        let asked = match command {
            "SUBSCRIBE" => connection.subscribe(&names[..]).await,
            _ => connection.unsubscribe(&names[..]).await,
        };
        asked.map_err(|error| kind_of(&error))
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
            pipeline.query_async::<()>(&mut connection).await.map_err(|error| kind_of(&error))
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
        Box::pin(self.heard.next())
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(async {
            let mut connection = self.connection.clone();
            let ping = Cmd::new().arg("PING").to_owned();
            ping.query_async::<()>(&mut connection).await.map_err(|error| kind_of(&error))
        })
    }
}

/// Where it is.
#[allow(dead_code, reason = "without feature `app` no session is kept there")]
pub(crate) const fn info_of(redis: &Redis) -> &ConnectionInfo {
    &redis.info
}

/// Neither URL nor password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
