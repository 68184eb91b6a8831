//! What the connections of an application share.

use std::error::Error;
use std::sync::Weak;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::hub::{History, HistoryConfig, Hub};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};

use super::context::Context;
use super::event::Codec;
use super::handle::Work;
use super::link::Link;
use super::member::Member;
use super::settings::Settings;
use super::{Moving, Storage, Storing};
use crate::session::{Session, SessionConfig, Sessions};

pub(super) struct Shared {
    pub(super) hub: Hub,
    /// Of what is said outside of routes.
    pub(super) codec: Codec,
    pub(super) history: History,
    pub(super) sessions: Sessions,
    /// Where the hub is a node of a cluster.
    pub(super) moving: Option<Moving>,
    /// Where its sessions are kept in a store.
    pub(super) storing: Option<Arc<Storing>>,
    pub(super) settings: Settings,
    pub(super) began: Instant,
    is_stopping: AtomicBool,
    /// Connections that owe their client an acknowledgement.
    due: Mutex<Vec<Weak<Link>>>,
    /// Handlers whose connection has fallen. `None`: the application is over, and nobody owns them.
    orphans: Mutex<Option<JoinSet<()>>>,
}

impl Shared {
    pub(super) fn new(
        hub: Hub,
        codec: Codec,
        history: HistoryConfig,
        sessions: SessionConfig,
        storage: Option<Storage>,
        settings: Settings,
    ) -> Self {
        let moving = Moving::of(&hub);
        let storing = storage.map(|storage| {
            Arc::new(Storing::new(storage, &hub, moving.as_ref(), sessions.suspended_for))
        });
        let place = moving.as_ref().map(Moving::place).unwrap_or_default();
        Self {
            history: History::new(&hub, history),
            hub,
            codec,
            sessions: Sessions::placed(sessions, &place),
            moving,
            storing,
            settings,
            began: Instant::now(),
            is_stopping: AtomicBool::new(false),
            due: Mutex::default(),
            orphans: Mutex::new(Some(JoinSet::new())),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        crate::protocol::millis(self.began.elapsed())
    }

    /// Tells the application of an error that the client does not see.
    pub(super) fn report(&self, context: &Context, error: &(dyn Error + Send + Sync + 'static)) {
        if let Some(hook) = &self.settings.on_error {
            hook(context, error);
        }
    }

    /// A connection owes an acknowledgement within about a second.
    pub(super) fn owe(&self, link: &Arc<Link>) {
        self.due.lock().push(Arc::downgrade(link));
    }

    /// What there is to do about once a second.
    pub(super) fn sweep(&self) {
        for session in self.sessions.sweep() {
            self.forget(&session);
        }
        let due = std::mem::take(&mut *self.due.lock());
        for link in due.iter().filter_map(Weak::upgrade) {
            link.acknowledge();
        }
        if let Some(orphans) = &mut *self.orphans.lock() {
            while orphans.try_join_next().is_some() {}
        }
    }

    /// Ends a session for good.
    pub(super) fn end(&self, session: &Session, code: u16, reason: &str) {
        self.sessions.end(session, code, reason);
        self.forget(session);
    }

    /// A session is over.
    fn forget(&self, session: &Session) {
        if let Some(member) = session.attached::<Member>() {
            member.end();
        }
        if let Some(storing) = &self.storing {
            storing.end(session.id());
        }
    }

    /// Lets a handler go on without its connection, until the application ends.
    pub(super) fn adopt(&self, work: Work) {
        // A runtime that ends takes its handlers with it.
        let Ok(runtime) = Handle::try_current() else { return };
        if let Some(orphans) = &mut *self.orphans.lock() {
            orphans.spawn_on(work, &runtime);
        }
    }

    /// All that was adopted, to be waited for.
    pub(super) fn take_orphans(&self) -> JoinSet<()> {
        self.orphans.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The application is over: what was adopted ends, and nothing is adopted any more.
    pub(super) fn close(&self) {
        self.begin_stop();
        let orphans = self.orphans.lock().take();
        // A JoinSet that is dropped ends its tasks; not under the lock, for these may end connections.
        drop(orphans);
    }

    /// From now on a session ends with its connection.
    pub(super) fn begin_stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}
