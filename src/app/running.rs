//! An application that runs.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep, timeout, timeout_at};

use crate::frame::{CloseCode, CloseFrameError};
use crate::hub::{History, Hub, Shutdown, ShutdownReport};
use crate::net::{Acceptor, AttachedServer, Door, Server};
use crate::session::Sessions;
use crate::sync::Arc;

use super::audience::{Audience, To};
use super::error::AppError;
use super::member::SessionOf;
use super::serving::serve;
use super::shared::Shared;
use super::{Last, Moving, write};

/// How often expired sessions are ended and acknowledgements sent.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether all sessions have gone to other nodes.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// An application that runs. Made by [`App::start`](super::App::start). Dropping it drops its connections, its
/// sessions and the handlers that are at work.
#[derive(Debug)]
#[must_use = "an application ends when this is dropped"]
pub struct Running {
    shared: Handle,
    addrs: Vec<SocketAddr>,
    phase: watch::Sender<Phase>,
    servers: JoinSet<io::Result<()>>,
    attached: AttachedServer,
    /// They end with this.
    _keepers: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// No more connections are taken.
    Draining,
    /// All have been told to go, and have had their time.
    Drained,
}

/// What is shared, which others may keep beyond the end.
struct Handle(Arc<Shared>);

impl Running {
    pub(super) fn start(
        shared: Arc<Shared>,
        servers: Vec<Server>,
        acceptor: Acceptor,
    ) -> Result<Self, AppError> {
        let mut addrs = Vec::new();
        for server in &servers {
            match server.local_addr() {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
                addr => addrs.push(addr?),
            }
        }
        let phase = watch::Sender::new(Phase::Serving);
        let mut tasks = JoinSet::new();
        for server in servers {
            let app = shared.clone();
            let run = move |socket, request| serve(app.clone(), socket, request);
            let (draining, drained) = (phase.subscribe(), phase.subscribe());
            let reached = reach(draining, Phase::Draining);
            let drain = async move |()| reach(drained, Phase::Drained).await;
            tasks.spawn(server.acceptor(acceptor.clone()).serve_draining(run, reached, drain));
        }
        let mut keepers = JoinSet::new();
        keepers.spawn(sweep(shared.clone()));
        keepers.spawn(write(shared.clone()));
        let app = shared.clone();
        let run = move |socket, request| serve(app.clone(), socket, request);
        let attached = AttachedServer::new(acceptor, run);
        Ok(Self {
            shared: Handle(shared),
            addrs,
            phase,
            servers: tasks,
            attached,
            _keepers: keepers,
        })
    }

    /// The addresses it listens on, without Unix sockets and others that have none.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Where another HTTP server, as hyper or axum, brings requests for this application: those of its routes, and
    /// of its pages.
    #[must_use]
    pub fn door(&self) -> Door {
        self.attached.door()
    }

    /// The hub: rooms, connections, metrics.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.shared.0.hub
    }

    /// What was [kept](Audience::keep) in rooms, in pages.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.shared.0.history
    }

    /// The sessions, with and without a connection.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.shared.0.sessions
    }

    /// To speak to a room from outside of handlers: in the codec of the application's own route, or of its first one with
    /// events where it has no own; [`Audience::codec`] says otherwise. What it gives may be kept, and go into tasks.
    pub fn to_room(&self, room: &str) -> Audience {
        self.audience(To::Room(room.to_owned()))
    }

    /// The same to all sessions.
    pub fn to_all(&self) -> Audience {
        self.audience(To::All)
    }

    /// The same to all sessions of a user.
    pub fn to_user(&self, user: &str) -> Audience {
        self.audience(To::User(user.to_owned()))
    }

    /// The same to one session, by its [id](super::Context::session_id) and in its own codec: see
    /// [`Context::to_session`](super::Context::to_session).
    pub fn to_session(&self, id: &str) -> Audience {
        self.audience(To::Session(id.to_owned()))
    }

    fn audience(&self, to: To) -> Audience {
        let shared = &self.shared.0;
        Audience::new(shared.clone(), shared.codec, to, None)
    }

    /// Takes no more connections, tells those that are there to go, and waits for them and for the handlers that
    /// are at work, up to the deadline. Sessions end with it.
    ///
    /// # Errors
    /// When the close frame of the shutdown cannot be sent: everything ends all the same, with 1001.
    ///
    /// Cancel safety: dropping the future drops what is left.
    pub async fn stop(mut self, shutdown: Shutdown) -> Result<ShutdownReport, AppError> {
        let shared = self.shared.0.clone();
        let deadline = Instant::now().checked_add(shutdown.deadline());
        shared.begin_stop();
        self.phase.send_replace(Phase::Draining);
        self.end_suspended();
        let report = shared.hub.shutdown(shutdown).await;
        let mut orphans = shared.take_orphans();
        let ended = async { while orphans.join_next().await.is_some() {} };
        match deadline {
            // What is left is dropped with the set.
            Some(deadline) => drop(timeout_at(deadline, ended).await),
            None => ended.await,
        }
        if let Some(storing) = &shared.storing {
            storing.finish(Last::Clear, deadline).await;
        }
        self.phase.send_replace(Phase::Drained);
        let (servers, attached) = (&mut self.servers, self.attached);
        let ended = async {
            while let Some(ended) = servers.join_next().await {
                ended.map_err(io::Error::other)??;
            }
            Ok::<_, io::Error>(())
        };
        let (ended, ()) = tokio::join!(ended, attached.stop());
        ended?;
        Ok(report?)
    }

    /// [Stops](Self::stop) a node of a cluster so that its clients notice no more than a new connection: takes no more
    /// connections, tells those that are there to go, and then up to the deadline other nodes may have their sessions,
    /// whose clients come back there. Sessions for which nobody has come by then end. Clients come back within a second
    /// after 1001, which is the default, and later after 1012, so the deadline should be a few seconds at least. Without
    /// other nodes this is the same as stopping; with a store (`App::session_store`) all that is left is written there, for whichever
    /// node its clients reach next.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    ///
    /// Cancel safety: dropping the future drops what is left.
    pub async fn drain(self, shutdown: Shutdown) -> Result<ShutdownReport, AppError> {
        let shared = self.shared.0.clone();
        let began = Instant::now();
        let has_others = || shared.moving.as_ref().is_some_and(Moving::has_others);
        let sessions = &shared.sessions;
        let (has_any, has_store) = (|| !sessions.is_empty(), shared.storing.is_some());
        let have_clients = || sessions.suspended() < sessions.len();
        if has_others() || has_store {
            self.phase.send_replace(Phase::Draining);
            let gone = async {
                shared.hub.dismiss(&shutdown).await?;
                while (has_any() && has_others()) || (has_store && have_clients()) {
                    sleep(DRAIN_INTERVAL).await;
                }
                Ok::<_, CloseFrameError>(())
            };
            // Whoever has not come by then is told by the stop, which takes some time itself.
            timeout(shutdown.deadline() / 10 * 9, gone).await.unwrap_or(Ok(()))?;
        }
        if let Some(storing) = &shared.storing {
            storing.finish(Last::Park, began.checked_add(shutdown.deadline() / 20 * 19)).await;
        }
        let left = shutdown.deadline().saturating_sub(began.elapsed());
        self.stop(shutdown.within(left)).await
    }

    /// Nobody can come back to what is suspended.
    fn end_suspended(&self) {
        let shared = &self.shared.0;
        for peer in shared.hub.peers() {
            let id = peer.extension::<SessionOf>();
            let session = id.and_then(|id| shared.sessions.get(&id.id));
            if let Some(session) = session.filter(crate::session::Session::is_suspended) {
                shared.end(&session, CloseCode::GoingAway.into(), "");
            }
        }
    }
}

async fn reach(mut phases: watch::Receiver<Phase>, phase: Phase) {
    // An application that is dropped ends its servers itself.
    let _ = phases.wait_for(|reached| *reached >= phase).await;
}

async fn sweep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.sweep();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
