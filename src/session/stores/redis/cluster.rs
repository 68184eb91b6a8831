//! The nodes of a cluster, each for the keys of its slots.

use std::collections::VecDeque;
use std::time::Duration;

use redis::{Cmd, ConnectionInfo, FromRedisValue};
use tokio::time::{Instant, sleep};

use crate::pubsub::PubSubError;
use crate::pubsub::redis::{
    Redirection, Seeds, Slots, is_moved, of_cluster, redirected_to, slot_of,
};
use crate::session::stores::made::Made;
use crate::sync::{Arc, Mutex};

use super::server::{Failed, Server};

/// So long what was learned is believed of a node that does not answer: else each call would ask where it is.
const BELIEVED_FOR: Duration = Duration::from_millis(100);

/// After this time it is worth asking once more what could not be done with a slot that is on its way.
const LATER: Duration = Duration::from_millis(10);

/// Nodes that no table has yet whose connections are kept.
const TAKING_MAX: usize = 16;

pub(super) struct Cluster {
    seeds: Seeds,
    table: Made<Arc<Table>>,
    /// Those of the last table: the next one takes them over, with their connections.
    servers: Mutex<Vec<Arc<Server>>>,
    /// Those of no table yet that slots are on their way to, or have come to: at most [`TAKING_MAX`].
    taking: Mutex<VecDeque<Arc<Server>>>,
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
    /// As often as there is time.
    Later,
    Yes,
}

impl Cluster {
    pub(super) fn new(seeds: Seeds) -> Self {
        let (servers, taking) = (Mutex::default(), Mutex::default());
        Self { seeds, table: Made::default(), servers, taking }
    }

    /// Asks the node that has the key, once more where it may be another one by now. Whoever asks has a deadline.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        may_repeat: bool,
    ) -> Result<T, PubSubError> {
        let slot = slot_of(key);
        let asked = match self.ask_in_time(slot, command).await {
            Err(Refused { again: Again::Yes, .. }) => self.ask_in_time(slot, command).await,
            Err(Refused { again: Again::IfHarmless, .. }) if may_repeat => {
                self.ask_in_time(slot, command).await
            }
            asked => asked,
        };
        asked.map_err(|refused| refused.error)
    }

    async fn ask_in_time<T: FromRedisValue>(
        &self,
        slot: usize,
        command: &Cmd,
    ) -> Result<T, Refused> {
        loop {
            match self.ask_owner(slot, command).await {
                Err(Refused { again: Again::Later, .. }) => sleep(LATER).await,
                asked => return asked,
            }
        }
    }

    async fn ask_owner<T: FromRedisValue>(&self, slot: usize, command: &Cmd) -> Result<T, Refused> {
        let using = self.table.begin();
        let table = using.value(self.learn()).await;
        let table = table.map_err(|error| Refused { error, again: Again::Never })?;
        let (asked, is_elsewhere) =
            self.ask_at(&table.servers[table.slots.owner(slot)], command).await;
        // Others may not know yet who has it: then there is nothing to be learned, but where it is has been said.
        let is_young = table.learned_at.elapsed() < BELIEVED_FOR;
        let failed = match asked {
            Ok(answer) => {
                using.end(is_young || !is_elsewhere);
                return Ok(answer);
            }
            Err(failed) => failed,
        };
        let again = again(&failed);
        let is_right = matches!(again, Again::Never | Again::Later);
        using.end(!is_elsewhere && (is_right || is_young));
        Err(Refused { error: of_cluster(&failed.error), again })
    }

    /// Asks a node, and the node that it names where the key is, or may be, there: once, whatever that one says. And whether
    /// the slot is another's than was thought.
    async fn ask_at<T: FromRedisValue>(
        &self,
        owner: &Server,
        command: &Cmd,
    ) -> (Result<T, Failed>, bool) {
        let is_elsewhere = |asked: &Result<T, Failed>| {
            asked.as_ref().is_err_and(|failed| failed.error.code() == Some("MOVED"))
        };
        let first = owner.ask(command).await;
        let to = first.as_ref().err().and_then(|failed| redirected_to(&failed.error, &owner.info));
        let asked = match to {
            None => {
                let is_elsewhere = is_elsewhere(&first);
                return (first, is_elsewhere);
            }
            Some(Redirection::OnItsWay(info)) => self.server_at(info).ask_on_its_way(command).await,
            Some(Redirection::Moved(info)) => self.server_at(info).ask(command).await,
        };
        let is_elsewhere = is_elsewhere(&first) || is_elsewhere(&asked);
        (asked, is_elsewhere)
    }

    /// One of those that are known, or another one with the same password.
    fn server_at(&self, info: ConnectionInfo) -> Arc<Server> {
        let is_it = |server: &&Arc<Server>| server.info.addr() == info.addr();
        if let Some(server) = self.servers.lock().iter().find(is_it) {
            return server.clone();
        }
        let mut taking = self.taking.lock();
        if let Some(server) = taking.iter().find(is_it) {
            return server.clone();
        }
        let server = Arc::new(Server::new(info));
        taking.push_back(server.clone());
        let oldest = if taking.len() > TAKING_MAX { taking.pop_front() } else { None };
        drop(taking);
        drop(oldest);
        server
    }

    async fn learn(&self) -> Result<Arc<Table>, PubSubError> {
        let slots = self.seeds.learn().await?;
        let (mut known, taking) = (self.servers.lock(), self.taking.lock());
        let servers = slots.nodes().iter().map(|node| {
            let is_there = |server: &&Arc<Server>| server.info.addr() == node.info.addr();
            let there = known.iter().chain(&*taking).find(is_there);
            there.cloned().unwrap_or_else(|| Arc::new(Server::new(node.info.clone())))
        });
        let servers: Vec<_> = servers.collect();
        *known = servers.clone();
        Ok(Arc::new(Table { slots, servers, learned_at: Instant::now() }))
    }
}

fn again(failed: &Failed) -> Again {
    if failed.error.code() == Some("TRYAGAIN") {
        Again::Later
    } else if is_moved(&failed.error) {
        Again::Yes
    } else if !failed.is_lost() {
        Again::Never
    } else if failed.was_asked {
        Again::IfHarmless
    } else {
        Again::Yes
    }
}
