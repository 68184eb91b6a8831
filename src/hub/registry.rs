//! Who is connected: by connection, by user.

use std::collections::HashMap;

use tokio::sync::Notify;

use crate::sync::{Arc, AtomicUsize, IdMap, Mutex, Ordering};

use super::error::RegisterError;
use super::peer::Peer;

/// Places that are kept whatever happened.
const PLACES_KEPT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// Connections that are registered, and those that are about to be.
    places: Arc<AtomicUsize>,
    /// The last connection has gone.
    emptied: Notify,
}

/// `users[user]` holds the ids of the peers that are this user, and is not empty.
#[derive(Debug, Default)]
struct State {
    peers: IdMap<Peer>,
    users: HashMap<Arc<str>, Vec<u64>>,
    is_stopped: bool,
}

/// A place for one connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// Takes a place, before the connection is there.
    pub(super) fn reserve(&self, connections_max: usize) -> Result<Place, RegisterError> {
        if self.state.lock().is_stopped {
            return Err(RegisterError::Stopped);
        }
        let enter = |taken| (taken < connections_max).then_some(taken + 1);
        let entered = self.places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        entered.map_err(|_| RegisterError::Full { connections_max })?;
        Ok(Place(self.places.clone()))
    }

    pub(super) fn add(&self, peer: &Peer) -> Result<(), RegisterError> {
        let mut state = self.state.lock();
        if state.is_stopped {
            return Err(RegisterError::Stopped);
        }
        if state.peers.contains_key(&peer.id()) {
            return Err(RegisterError::Twice);
        }
        state.peers.insert(peer.id(), peer.clone());
        if let Some(user) = peer.user_key() {
            state.users.entry(user.clone()).or_default().push(peer.id());
        }
        Ok(())
    }

    pub(super) fn remove(&self, peer: &Peer) {
        let mut state = self.state.lock();
        let removed = state.peers.remove(&peer.id());
        if let Some(user) = peer.user_key()
            && let Some(ids) = state.users.get_mut(user)
        {
            ids.retain(|id| *id != peer.id());
            if ids.is_empty() {
                state.users.remove(user);
            }
        }
        state.give_back();
        let is_empty = state.peers.is_empty();
        drop(state);
        drop(removed);
        if is_empty {
            self.emptied.notify_waiters();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().peers.len()
    }

    pub(super) fn get(&self, id: u64) -> Option<Peer> {
        self.state.lock().peers.get(&id).cloned()
    }

    pub(super) fn of_user(&self, user: &str) -> Vec<Peer> {
        let state = self.state.lock();
        let ids = state.users.get(user).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| state.peers.get(id).cloned()).collect()
    }

    pub(super) fn all(&self) -> Vec<Peer> {
        self.state.lock().peers.values().cloned().collect()
    }

    /// Takes no more.
    pub(super) fn stop(&self) {
        self.state.lock().is_stopped = true;
    }

    /// Resolves when nobody is registered.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl State {
    /// Memory of a burst is given back.
    fn give_back(&mut self) {
        if self.peers.capacity() > PLACES_KEPT && self.peers.len() < self.peers.capacity() / 8 {
            self.peers.shrink_to(PLACES_KEPT);
        }
        if self.users.capacity() > PLACES_KEPT && self.users.len() < self.users.capacity() / 8 {
            self.users.shrink_to(PLACES_KEPT);
        }
    }
}
