//! An application whose sessions are kept in a store.

use crate::session::stores::{SessionStore, StoreConfig};

use super::builder::App;
use super::storing::Storage;

impl App {
    /// Keeps its sessions in a store as well, so that they survive this node: the node that a client reaches next goes on with
    /// its session, be it another one of a cluster or this one, started again. With [`pubsub`](Self::pubsub) or
    /// without; all nodes have to have the same store.
    ///
    /// What changes is written once a second, and when a session begins or its connection falls. A node that ends without a goodbye loses what it
    /// sent since, where the client has not had it: such a session goes on with its rooms, its user, its metadata and
    /// what was written, and its client is told that there is a gap. What that client sent last may be handled twice, or have been
    /// begun only. See [`session::stores`](crate::session::stores).
    ///
    /// A store that is slow or away holds nothing up: its sessions end with their node then, as without it
    /// ([`StoreSnapshot`](crate::hub::metrics::StoreSnapshot)).
    ///
    /// ```
    /// use sockeye::app::App;
    /// use sockeye::session::stores::MemoryStore;
    ///
    /// let store = MemoryStore::new();
    /// let app = App::new().session_store(store.clone());
    /// # drop(app);
    /// ```
    pub fn session_store(self, store: impl SessionStore) -> Self {
        self.session_store_with(store, StoreConfig::default())
    }

    /// The same with other numbers.
    pub fn session_store_with(mut self, store: impl SessionStore, config: StoreConfig) -> Self {
        self.storage = Some(Storage::new(store, config));
        self
    }
}
