//! Connections that may not last for ever: one coarse sweep for all of them.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::frame::CloseFrame;
use crate::sync::{Arc, Mutex};

use super::peer::Peer;
use super::shared::Shared;

/// How late a connection may be told: a bound on what the sweep costs.
const SWEEP: Duration = Duration::from_secs(1);

/// What is due for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// It may last as long as it does by the hub's limit.
    Life,
    /// Its identity ends soon.
    Warning,
    /// Its identity has ended.
    Expiry,
}

/// What is due when, for all connections of a hub. The task is there while something is.
#[derive(Debug, Default)]
pub(super) struct Clock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    due: BTreeSet<(Instant, u64, Due)>,
    task: Option<JoinHandle<()>>,
}

impl Clock {
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn add(&self, hub: &Arc<Shared>, at: Instant, id: u64, due: Due) {
        let mut state = self.state.lock();
        state.due.insert((at, id, due));
        // A runtime may have ended, and the task with it.
        if state.task.as_ref().is_none_or(JoinHandle::is_finished) {
            state.task = Some(tokio::spawn(sweep(Arc::downgrade(hub))));
        }
    }

    pub(super) fn remove(&self, at: Instant, id: u64, due: Due) {
        self.state.lock().due.remove(&(at, id, due));
    }

    /// What is due now; `None` when nothing will be.
    fn take_due(&self, now: Instant) -> Option<Vec<(u64, Due)>> {
        let mut state = self.state.lock();
        if state.due.is_empty() {
            state.task = None;
            return None;
        }
        let later = state.due.split_off(&(now, u64::MAX, Due::Expiry));
        let due = std::mem::replace(&mut state.due, later);
        Some(due.into_iter().map(|(_, id, due)| (id, due)).collect())
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        if let Some(task) = self.state.lock().task.take() {
            task.abort();
        }
    }
}

async fn sweep(hub: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(hub) = hub.upgrade() else { return };
        let Some(due) = hub.clock.take_due(Instant::now()) else { return };
        for (id, due) in due {
            if let Some(peer) = hub.registry.get(id) {
                act(&hub, &peer, due);
            }
        }
    }
}

fn act(hub: &Shared, peer: &Peer, due: Due) {
    let (code, reason) = match due {
        Due::Warning => {
            if let Some(warning) = &hub.settings.warning {
                warning.warn(peer);
            }
            return;
        }
        Due::Life => (1001, "maximum life"),
        Due::Expiry => (4401, "token expired"),
    };
    if let Ok(frame) = CloseFrame::new(code, reason) {
        peer.sender().request_close(frame);
    }
}

type OnExpiring = dyn Fn(&Peer, Duration) + Send + Sync;

/// Who is told that an identity ends soon, and when.
#[derive(Clone)]
pub(super) struct Warning {
    pub(super) before: Duration,
    pub(super) call: Arc<OnExpiring>,
}

impl Warning {
    fn warn(&self, peer: &Peer) {
        let left = peer.expires_at().map(|at| at.saturating_duration_since(Instant::now()));
        // A panic of the hook's is its own matter: the others are due all the same.
        let call = || (self.call)(peer, left.unwrap_or_default());
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    }
}

impl std::fmt::Debug for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warning").field("before", &self.before).finish_non_exhaustive()
    }
}
