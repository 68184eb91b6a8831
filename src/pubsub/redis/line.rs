//! A connection to one server.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisError};

use crate::sync::Arc;

use super::heard::Heard;

/// Connects, to ask and to be answered. Whoever asks has a deadline.
pub(crate) async fn connect(info: &ConnectionInfo) -> Result<MultiplexedConnection, RedisError> {
    open(info, AsyncConnectionConfig::new()).await
}

/// The same for who listens, too. The task is the crate's, which ends it when the last clone is dropped.
pub(super) async fn listen(
    info: &ConnectionInfo,
    heard: &Arc<Heard>,
) -> Result<MultiplexedConnection, RedisError> {
    let heard = heard.clone();
    let receive = move |info| {
        heard.receive(info);
        Ok::<_, std::convert::Infallible>(())
    };
    open(info, AsyncConnectionConfig::new().set_push_sender(receive)).await
}

async fn open(
    info: &ConnectionInfo,
    config: AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let config = config.set_connection_timeout(None).set_response_timeout(None);
    let client = Client::open(info.clone())?;
    client.get_multiplexed_async_connection_with_config(&config).await
}
