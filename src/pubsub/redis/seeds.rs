//! Nodes that are asked where the others are.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, Value};
use tokio::time::timeout;

use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::pubsub::turn;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};

use super::fault::{of_cluster, of_connecting};
use super::line::connect;
use super::slots::Slots;

/// How long one of them may take: then it is the next one's turn.
const SEED_WITHIN: Duration = Duration::from_secs(1);

/// Those that were given, and those that are known from them.
pub(crate) struct Seeds {
    /// At least one.
    given: Arc<[ConnectionInfo]>,
    /// The primaries that were told last: who was given may be gone by now.
    known: Arc<Mutex<Vec<ConnectionInfo>>>,
    /// Which is asked next, modulo their number.
    turn: AtomicUsize,
}

impl Seeds {
    /// The nodes at these URLs, with commas between them.
    pub(crate) fn parse(urls: &str) -> Result<Self, PubSubError> {
        let given = urls.split(',').map(|url| seed(url.trim()));
        // What is wrong is not told: it may have a password in it.
        let given = given.collect::<Option<Arc<[ConnectionInfo]>>>();
        let given = given.ok_or(PubSubError::new(PubSubErrorKind::Setting))?;
        Ok(Self { given, known: Arc::default(), turn: turn::any() })
    }

    /// The slots, as the next one that answers has them.
    ///
    /// # Errors
    /// What was wrong with the last one, when none has answered.
    ///
    /// Cancel safety: the next call begins with the next one.
    pub(crate) async fn learn(&self) -> Result<Slots, PubSubError> {
        let mut nodes = self.given.to_vec();
        nodes.extend(self.known.lock().iter().cloned());
        let mut last = PubSubError::new(PubSubErrorKind::Unreachable);
        for _ in 0..nodes.len() {
            let node = &nodes[self.turn.fetch_add(1, Ordering::Relaxed) % nodes.len()];
            match timeout(SEED_WITHIN, slots_at(node)).await {
                Ok(Ok(slots)) => {
                    let known = slots.nodes().iter().map(|node| node.info.clone());
                    *self.known.lock() = known.collect();
                    return Ok(slots);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = PubSubError::new(PubSubErrorKind::Unreachable),
            }
        }
        Err(last)
    }
}

/// A clone has turns of its own, as two that shared them could each meet the same node again and again.
impl Clone for Seeds {
    fn clone(&self) -> Self {
        Self { given: self.given.clone(), known: self.known.clone(), turn: turn::any() }
    }
}

/// `None` for what is no URL, or cannot be of a cluster: a file, or another database than the first.
fn seed(url: &str) -> Option<ConnectionInfo> {
    let info = url.into_connection_info().ok()?;
    if matches!(info.addr(), ConnectionAddr::Unix(_)) || info.redis_settings().db() != 0 {
        return None;
    }
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Some(info.set_redis_settings(settings))
}

async fn slots_at(node: &ConnectionInfo) -> Result<Slots, PubSubError> {
    let mut connection = connect(node).await.map_err(|error| of_connecting(of_cluster(&error)))?;
    ask_slots(&mut connection, node).await.map_err(of_connecting)
}

/// What a node that is reached like this says about the slots.
pub(super) async fn ask_slots(
    connection: &mut MultiplexedConnection,
    node: &ConnectionInfo,
) -> Result<Slots, PubSubError> {
    let asked = Cmd::new().arg("CLUSTER").arg("SLOTS").query_async::<Value>(connection).await;
    Slots::parse(&asked.map_err(|error| of_cluster(&error))?, node)
}
