//! The tasks of a server: handshakes and connections, and who owns them.

use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::sync::Notify;

use crate::frame::CloseFrame;
use crate::handshake::AddressKey;
use crate::outbox::Outbox;
use crate::sync::{Arc, IdMap, Mutex};

use super::runtime::{AbortHandle, spawn, timeout};

/// Handshakes that may be under way at a time, and those of one address.
const HALF_OPEN_MAX: usize = 1024;
const HALF_OPEN_PER_ADDRESS_MAX: usize = 32;

/// How long connections have to end after a shutdown, beyond the close timeout.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// All tasks of a server.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    members: Mutex<Members>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Members {
    live: IdMap<Live>,
    next_key: u64,
    /// Nobody joins any more.
    is_closing: bool,
    half_open: usize,
    /// By number of address. Whoever chose addresses that fall together would have at most [`HALF_OPEN_MAX`] of them here.
    half_open_of: IdMap<usize>,
}

/// One task of a server.
#[derive(Debug)]
struct Live {
    /// `None` for the moment in which it is spawned.
    task: Option<AbortHandle>,
    /// `None` while it is a handshake.
    outbox: Option<Weak<Outbox>>,
}

impl Tasks {
    /// Runs a task that ends with the server at the latest.
    pub(super) fn spawn<Fut>(tasks: &Arc<Self>, handshake: Handshake<Fut>)
    where
        Fut: Future + Send + 'static,
    {
        let mut members = tasks.members.lock();
        if members.is_closing {
            return;
        }
        let key = members.next_key;
        members.next_key += 1;
        members.live.insert(key, Live { task: None, outbox: None });
        drop(members);
        let member = Member { tasks: tasks.clone(), key };
        let stage = Stage::Handshake { handshake };
        let task = spawn(Owned { stage, member });
        tasks.enlist(key, task);
    }

    fn enlist(&self, key: u64, task: AbortHandle) {
        let mut members = self.members.lock();
        let is_closing = members.is_closing;
        match members.live.get_mut(&key) {
            Some(live) if !is_closing || live.outbox.is_some() => live.task = Some(task),
            // It has ended already, or the server has, or ends handshakes and could not see this one.
            _ => {
                drop(members);
                task.abort();
            }
        }
    }

    /// Nobody joins any more.
    pub(super) fn is_closing(&self) -> bool {
        self.members.lock().is_closing
    }

    /// Ends handshakes at once and asks connections to close.
    fn close_all(&self) {
        let mut members = self.members.lock();
        members.is_closing = true;
        let (mut handshakes, mut outboxes) = (Vec::new(), Vec::new());
        for live in members.live.values() {
            match &live.outbox {
                Some(outbox) => outboxes.extend(outbox.upgrade()),
                None => handshakes.extend(live.task.clone()),
            }
        }
        drop(members);
        handshakes.iter().for_each(AbortHandle::abort);
        for outbox in outboxes {
            if let Ok(frame) = CloseFrame::new(1001, "server is shutting down") {
                outbox.request_close(frame);
            }
        }
    }

    async fn ended(&self) {
        loop {
            let notified = self.ended.notified();
            if self.members.lock().live.is_empty() {
                return;
            }
            notified.await;
        }
    }
}

/// Ends all tasks when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Owner(Arc<Tasks>);

impl Owner {
    pub(super) const fn tasks(&self) -> &Arc<Tasks> {
        &self.0
    }

    /// Ends handshakes at once, closes connections with 1001, and waits for them.
    pub(super) async fn end(self, close_timeout: Duration) {
        self.0.close_all();
        let most = close_timeout.saturating_add(SHUTDOWN_GRACE);
        // What has not ended by then is dropped with the owner.
        let _ = timeout(most, self.0.ended()).await;
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut members = self.0.members.lock();
        members.is_closing = true;
        let live = std::mem::take(&mut members.live);
        drop(members);
        live.into_values().filter_map(|live| live.task).for_each(|task| task.abort());
    }
}

/// Strikes its task off the list when it ends.
#[derive(Debug)]
struct Member {
    tasks: Arc<Tasks>,
    key: u64,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.tasks.members.lock();
        let live = members.live.remove(&self.key);
        if members.live.capacity() > 64 && members.live.len() < members.live.capacity() / 8 {
            // Memory of a burst is given back.
            members.live.shrink_to_fit();
        }
        let is_last = members.live.is_empty();
        drop(members);
        drop(live);
        if is_last {
            self.tasks.ended.notify_waiters();
        }
    }
}

impl Member {
    /// Its handshake is done. False: the server is closing.
    fn begin_serving(&self, outbox: Weak<Outbox>) -> bool {
        let mut members = self.tasks.members.lock();
        if members.is_closing {
            return false;
        }
        if let Some(live) = members.live.get_mut(&self.key) {
            live.outbox = Some(outbox);
        }
        true
    }
}

/// A handshake under way.
pub(super) struct HalfOpen {
    tasks: Arc<Tasks>,
    /// `None`: a proxy that has not said whom it speaks for, or a stream without addresses.
    address: Option<AddressKey>,
}

impl HalfOpen {
    /// A place among the handshakes; `address`: of those that have one, and are no proxy that has as many clients as
    /// there are.
    pub(super) fn enter(tasks: &Arc<Tasks>, address: Option<IpAddr>) -> Option<Self> {
        let mut members = tasks.members.lock();
        if members.half_open >= HALF_OPEN_MAX {
            return None;
        }
        let address = match address {
            Some(address) => Some(members.enter(address)?),
            None => None,
        };
        members.half_open += 1;
        Some(Self { tasks: tasks.clone(), address })
    }

    /// The proxy speaks for this client. False: it has as many under way as it may.
    pub(super) fn pass_to(&mut self, client: IpAddr) -> bool {
        self.address = self.tasks.members.lock().enter(client);
        self.address.is_some()
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        let mut members = self.tasks.members.lock();
        members.half_open -= 1;
        if let Some(address) = self.address
            && let Entry::Occupied(mut count) = members.half_open_of.entry(address.number())
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Members {
    /// A place among the handshakes of one address.
    fn enter(&mut self, address: IpAddr) -> Option<AddressKey> {
        let is_exempt = address.to_canonical().is_loopback();
        let key = AddressKey::from(address);
        let under_way = self.half_open_of.entry(key.number()).or_default();
        if !is_exempt && *under_way >= HALF_OPEN_PER_ADDRESS_MAX {
            return None;
        }
        *under_way += 1;
        Some(key)
    }
}

/// A connection, after its handshake.
pub(super) struct Served<Fut> {
    pub(super) future: Fut,
    pub(super) outbox: Weak<Outbox>,
}

/// `None`: it came to nothing.
pub(super) type Handshake<Fut> = Pin<Box<dyn Future<Output = Option<Served<Fut>>> + Send>>;

pin_project! {
    /// A connection's task with its place on the list.
    struct Owned<Fut> {
        #[pin]
        stage: Stage<Fut>,
        member: Member,
    }
}

pin_project! {
    /// The handshake is beside the task, so that its memory is given back when the connection begins.
    #[project = StageProjection]
    enum Stage<Fut> {
        Handshake { handshake: Handshake<Fut> },
        Serving { #[pin] future: Fut },
    }
}

impl<Fut: Future> Future for Owned<Fut> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Handshake { handshake } => {
                    let Some(Served { future, outbox }) = ready!(handshake.as_mut().poll(cx))
                    else {
                        return Poll::Ready(());
                    };
                    if !this.member.begin_serving(outbox) {
                        return Poll::Ready(());
                    }
                    this.stage.set(Stage::Serving { future });
                }
                StageProjection::Serving { future } => return future.poll(cx).map(|_| ()),
            }
        }
    }
}
