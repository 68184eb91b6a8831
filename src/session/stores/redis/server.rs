//! One server, or one node of a cluster.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionInfo, FromRedisValue, RedisError};

use crate::pubsub::PubSubErrorKind;
use crate::pubsub::redis::{connect, kind_of};
use crate::session::stores::made::Made;

pub(super) struct Server {
    pub(super) info: ConnectionInfo,
    connection: Made<MultiplexedConnection>,
}

/// What went wrong.
pub(super) struct Failed {
    pub(super) error: RedisError,
    /// Without a connection nothing was asked; otherwise it may have been done.
    pub(super) was_asked: bool,
}

impl Server {
    pub(super) fn new(info: ConnectionInfo) -> Self {
        Self { info, connection: Made::default() }
    }

    /// Connects if there is no connection. Whoever asks has a deadline.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failed> {
        let connecting = self.connection.begin();
        let connected = connecting.value(connect(&self.info)).await;
        let mut connection = connected.map_err(|error| Failed { error, was_asked: false })?;
        let asked = command.query_async(&mut connection).await;
        let asked = asked.map_err(|error| Failed { error, was_asked: true });
        connecting.end(!asked.as_ref().is_err_and(Failed::is_lost));
        asked
    }
}

impl Failed {
    pub(super) fn is_lost(&self) -> bool {
        kind_of(&self.error).kind() == PubSubErrorKind::Lost
    }
}
