//! One server, or one node of a cluster.

use redis::aio::MultiplexedConnection;
use redis::{
    Cmd, ConnectionInfo, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Value,
};

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
        self.on(async |mut connection| command.query_async(&mut connection).await).await
    }

    /// The same of a slot that is on its way here: the node takes one command of it that it is told to.
    pub(super) async fn ask_on_its_way<T: FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<T, Failed> {
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(command.clone()).ignore_errors();
        self.on(async |mut connection| {
            let answers: Vec<RedisResult<Value>> = both.query_async(&mut connection).await?;
            let [told, answer] = <[_; 2]>::try_from(answers).map_err(|_| strange())?;
            told?;
            Ok(T::from_redis_value(answer?)?)
        })
        .await
    }

    async fn on<T>(
        &self,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Failed> {
        let connecting = self.connection.begin();
        let connected = connecting.value(connect(&self.info)).await;
        let connection = connected.map_err(|error| Failed { error, was_asked: false })?;
        let asked = ask(connection).await;
        let asked = asked.map_err(|error| Failed { error, was_asked: true });
        connecting.end(!asked.as_ref().is_err_and(Failed::is_lost));
        asked
    }
}

/// Two commands have two answers.
fn strange() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "not two answers").into()
}

impl Failed {
    pub(super) fn is_lost(&self) -> bool {
        kind_of(&self.error).kind() == PubSubErrorKind::Lost
    }
}
