//! The nodes of a cluster, each for the keys of its slots.

use std::time::Duration;

use redis::{Cmd, FromRedisValue};
use tokio::time::Instant;

use crate::pubsub::PubSubError;
use crate::pubsub::redis::{Seeds, Slots, is_moved, of_cluster, slot_of};
use crate::session::stores::made::Made;
use crate::sync::{Arc, Mutex};

use super::server::{Failed, Server};

/// So long what was learned is believed of a node that does not answer: else each call would ask where it is.
const BELIEVED_FOR: Duration = Duration::from_millis(100);

pub(super) struct Cluster {
    seeds: Seeds,
    table: Made<Arc<Table>>,
    /// Those of the last table: the next one takes them over, with their connections.
    servers: Mutex<Vec<Arc<Server>>>,
}

struct Table {
    slots: Slots,
    /// In the order of `slots.nodes()`.
    servers: Vec<Arc<Server>>,
    learned_at: Instant,
}

/// What went wrong, and whether it is worth another attempt.
struct Refused {
    error: PubSubError,
    again: Again,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Never,
    /// It may have been done.
    IfHarmless,
    Yes,
}

impl Cluster {
    pub(super) fn new(seeds: Seeds) -> Self {
        Self { seeds, table: Made::default(), servers: Mutex::default() }
    }

    /// Asks the node that has the key, once more where it may be another one by now.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        may_repeat: bool,
    ) -> Result<T, PubSubError> {
        let slot = slot_of(key);
        let asked = match self.ask_owner(slot, command).await {
            Err(Refused { again: Again::Yes, .. }) => self.ask_owner(slot, command).await,
            Err(Refused { again: Again::IfHarmless, .. }) if may_repeat => {
                self.ask_owner(slot, command).await
            }
            asked => asked,
        };
        asked.map_err(|refused| refused.error)
    }

    async fn ask_owner<T: FromRedisValue>(&self, slot: usize, command: &Cmd) -> Result<T, Refused> {
        let using = self.table.begin();
        let table = using.value(self.learn()).await;
        let table = table.map_err(|error| Refused { error, again: Again::Never })?;
        let asked = table.servers[table.slots.owner(slot)].ask(command).await;
        let failed = match asked {
            Ok(answer) => {
                using.end(true);
                return Ok(answer);
            }
            Err(failed) => failed,
        };
        let again = again(&failed);
        let is_young = table.learned_at.elapsed() < BELIEVED_FOR;
        let is_elsewhere = failed.error.code() == Some("MOVED");
        using.end(again == Again::Never || (is_young && !is_elsewhere));
        Err(Refused { error: of_cluster(&failed.error), again })
    }

    async fn learn(&self) -> Result<Arc<Table>, PubSubError> {
        let slots = self.seeds.learn().await?;
        let mut known = self.servers.lock();
        let servers = slots.nodes().iter().map(|node| {
            let is_there = |server: &&Arc<Server>| server.info.addr() == node.info.addr();
            let there = known.iter().find(is_there).cloned();
            there.unwrap_or_else(|| Arc::new(Server::new(node.info.clone())))
        });
        let servers: Vec<_> = servers.collect();
        *known = servers.clone();
        Ok(Arc::new(Table { slots, servers, learned_at: Instant::now() }))
    }
}

fn again(failed: &Failed) -> Again {
    if is_moved(&failed.error) {
        Again::Yes
    } else if !failed.is_lost() {
        Again::Never
    } else if failed.was_asked {
        Again::IfHarmless
    } else {
        Again::Yes
    }
}
