//! An application on many nodes.

use crate::hub::cluster::ClusterConfig;
use crate::pubsub::Broker;

use super::builder::App;

impl App {
    /// One node of many: from here on rooms, broadcasts, users and who is there are those of all nodes that reach this
    /// broker, by the same calls as on one. What is [kept](super::Audience::keep) is kept on each node that has members
    /// in the room then; limits are the node's own. A session that is resumed on another node goes there. What is promised, and another config:
    /// [`hub::cluster`](crate::hub::cluster), [`HubBuilder::cluster`](crate::hub::HubBuilder::cluster).
    ///
    /// ```
    /// use sockeye::app::App;
    /// use sockeye::pubsub::Memory;
    ///
    /// let memory = Memory::new();
    /// let nodes = [App::new().port(8080).pubsub(memory.clone()), App::new().port(8081).pubsub(memory)];
    /// # drop(nodes);
    /// ```
    pub fn pubsub(mut self, broker: impl Broker) -> Self {
        self.wiring = Some(ClusterConfig::default().wiring(broker));
        self
    }
}
