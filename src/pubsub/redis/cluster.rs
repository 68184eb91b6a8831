//! Makes connections to a cluster.

use std::fmt;

use crate::client::BoxFuture;
use crate::pubsub::broker::{Broker, PubSub};
use crate::pubsub::error::PubSubError;
use crate::sync::Arc;

use super::fault::{of_cluster, of_connecting};
use super::heard::Heard;
use super::line::listen;
use super::lines::Lines;
use super::seeds::Seeds;
use super::together::together;

/// Nodes that are connected to at a time.
const CONNECTING_MAX: usize = 32;

/// The nodes of a Redis Cluster, by the URLs of one or more of them.
///
/// ```no_run
/// use sockeye::pubsub::{Bus, BusConfig, redis::RedisCluster};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let urls = "redis://:password@10.0.0.1:6379,redis://:password@10.0.0.2:6379";
/// let (bus, mut events) = Bus::start(RedisCluster::new(urls)?, BusConfig::default());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisCluster {
    seeds: Seeds,
}

impl RedisCluster {
    /// The nodes at these URLs, with commas between them: `redis://user:password@host:port`. One is enough to find the
    /// others by, and several are for when it is away. All nodes are shown the user and password of the one that told
    /// of them, and TLS is as with that one. A comma in a password is written `%2C`. Nothing is connected yet.
    ///
    /// The user may need `CLUSTER SLOTS`, `SPUBLISH`, `SSUBSCRIBE` and `SUNSUBSCRIBE`.
    ///
    /// # Errors
    /// [`PubSubErrorKind::Setting`](crate::pubsub::PubSubErrorKind::Setting) for what are no such URLs, or cannot be of a
    /// cluster: a Unix socket, or another database than 0.
    pub fn new(urls: &str) -> Result<Self, PubSubError> {
        Ok(Self { seeds: Seeds::parse(urls)? })
    }

    async fn open(&self) -> Result<Lines, PubSubError> {
        let slots = self.seeds.learn().await?;
        let heard = Arc::new(Heard::new());
        let mut lines = Vec::with_capacity(slots.nodes().len());
        for nodes in slots.nodes().chunks(CONNECTING_MAX) {
            let connecting = nodes.iter().map(|node| listen(&node.info, &heard));
            lines.extend(together(connecting).await.map_err(|error| of_cluster(&error))?);
        }
        let lines = Lines::new(slots, lines, heard);
        lines.agree().await?;
        Ok(lines)
    }
}

impl Broker for RedisCluster {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn PubSub>, PubSubError>> {
        Box::pin(async {
            let lines = self.open().await.map_err(of_connecting)?;
            Ok(Box::new(lines) as Box<dyn PubSub>)
        })
    }
}

/// Neither URLs nor passwords.
impl fmt::Debug for RedisCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCluster").finish_non_exhaustive()
    }
}
